package jsonschema

import "maps"

// loosened returns a root that judges only what is there: nothing is required of the top level, because a later layer
// may bring it. The same node is returned if that changes nothing.
func (n *node) loosened() *node {
	if n.ref != nil {
		return n.ref.loosened()
	}
	loose := *n
	loose.required, loose.deps, loose.depKeys = nil, nil, nil
	loose.cond, loose.then, loose.or = nil, nil, nil
	loose.counts = maps.Clone(n.counts)
	delete(loose.counts, "minProperties")
	changed := n.required != nil || n.deps != nil || n.depKeys != nil || n.cond != nil || len(loose.counts) != len(n.counts)
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
		// Which one of them it is shows only when all is there.
		changed = true
		loose.oneOf = nil
		loose.allOf = append(loose.allOf, &node{at: n.at, anyOf: loosen(n.oneOf), hides: n.hides})
	}
	if !changed {
		return n
	}
	return &loose
}
