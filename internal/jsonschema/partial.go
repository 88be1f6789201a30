package jsonschema

import "maps"

// loosened returns a root that requires nothing of the top level, because a later layer may supply
// it. It returns n itself if that changes nothing.
func (n *node) loosened() *node {
	if n.ref != nil {
		return n.ref.loosened()
	}
	loose := *n
	loose.required, loose.deps, loose.depKeys = nil, nil, nil
	loose.ifNode, loose.thenNode, loose.elseNode = nil, nil, nil
	loose.counts = maps.Clone(n.counts)
	delete(loose.counts, "minProperties")
	changed := n.required != nil || n.deps != nil || n.depKeys != nil || n.ifNode != nil || len(loose.counts) != len(n.counts)
	loosen := func(list []*node) []*node {
		var all []*node
		for _, other := range list {
			all = append(all, other.loosened())
			changed = changed || all[len(all)-1] != other
		}
		return all
	}
	loose.allOf, loose.anyOf = loosen(n.allOf), loosen(n.anyOf)
	if n.oneOf != nil {
		// Which of them applies is unknown until the value is complete.
		changed = true
		loose.oneOf = nil
		loose.allOf = append(loose.allOf, &node{at: n.at, anyOf: loosen(n.oneOf), holdsSecret: n.holdsSecret})
	}
	if !changed {
		return n
	}
	return &loose
}
