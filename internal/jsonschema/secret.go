package jsonschema

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
)

// maxHidden bounds the work of finding the secrets in a value: the number of times a schema is
// applied to a part of it. Everything beyond is treated as secret.
const maxHidden = 200_000

// markSecrets marks the nodes that have a secret at or below them.
func markSecrets(nodes []*node) {
	above := map[*node][]*node{}
	var reached []*node
	for _, n := range nodes {
		if n.secret {
			n.holdsSecret = true
			reached = append(reached, n)
		}
		for _, child := range n.children() {
			above[child] = append(above[child], n)
		}
	}
	for len(reached) > 0 {
		last := len(reached) - 1
		n := reached[last]
		reached = reached[:last]
		for _, parent := range above[n] {
			if !parent.holdsSecret {
				parent.holdsSecret = true
				reached = append(reached, parent)
			}
		}
	}
}

// checkSecretDefaults refuses a default that reveals a secret to readers of the schema.
func checkSecretDefaults(nodes []*node) error {
	for _, n := range nodes {
		if !n.isValue || !n.holdsSecret {
			continue
		}
		visible := false
		h := hider{steps: maxHidden, hide: func(string, any) any { visible = true; return nil }}
		h.value([]*node{n}, n.value, "")
		if visible {
			return refuse(n.at+"/default", "a secret's default can be read in the schema by everybody; remove it and set the value in the deployment's parameters")
		}
	}
	return nil
}

// Secret reports whether the schema declares secrets: values that are writeOnly, or text in the
// format password.
func (s *Schema) Secret() bool { return s.root.holdsSecret }

// ReplaceSecrets returns v with each secret replaced by what hide returns for its path and value.
// Null is not a secret. It does not change v.
func (s *Schema) ReplaceSecrets(v any, hide func(path string, v any) any) any {
	if !s.root.holdsSecret {
		return v
	}
	h := hider{steps: maxHidden, hide: hide}
	return h.value([]*node{s.root}, v, "")
}

// Conceal is like ReplaceSecrets, for a value that may have been made for another schema. If an
// object is invalid, Conceal also hides the members that the schema does not describe and those
// that do not fit it, because it is unknown what they are.
func (s *Schema) Conceal(v any, hide func(path string, v any) any) any {
	m, ok := v.(map[string]any)
	if !ok || s.ValidatePartial(v) == nil {
		return s.ReplaceSecrets(v, hide)
	}
	known, shown := make(map[string]any, len(m)), make(map[string]any, len(m))
	for key, item := range m {
		if item == nil || s.root.acceptsMember(key, item) {
			known[key] = item
		} else {
			shown[key] = hide(Join("", key), item)
		}
	}
	fitting, _ := s.ReplaceSecrets(known, hide).(map[string]any)
	maps.Copy(shown, fitting)
	return shown
}

// acceptsMember reports whether an object may have a member, as far as that is known without the
// others.
func (n *node) acceptsMember(key string, v any) bool {
	b := budget{steps: maxSteps}
	for _, same := range expand([]*node{n}, false) {
		for _, child := range same.keyNodes(key, &b) {
			if !child.accepts(v, &b) {
				return false
			}
		}
	}
	return true
}

// hider replaces secrets.
type hider struct {
	steps int
	hide  func(path string, v any) any
	known map[*node][]*node // results of expand
}

func (h *hider) value(nodes []*node, v any, path string) any {
	if v == nil || len(nodes) == 0 {
		return v
	}
	if h.steps -= len(nodes); h.steps < 0 {
		return h.hide(path, v)
	}
	nodes = h.expand(nodes)
	if h.steps -= len(nodes); h.steps < 0 || slices.ContainsFunc(nodes, isSecret) {
		return h.hide(path, v)
	}
	switch v := v.(type) {
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			list[i] = h.part(nodes, func(n *node) []*node { return n.itemNodes(i) }, item, path+index(i))
		}
		return list
	case map[string]any:
		m := make(map[string]any, len(v))
		for key, item := range v {
			m[key] = h.part(nodes, func(n *node) []*node { return n.keyNodes(key, &budget{steps: maxSteps}) }, item, Join(path, key))
		}
		return m
	}
	return v
}

// expand is like the function expand, limited to nodes that lead to a secret. It remembers the
// results for single nodes, because most calls repeat one of them.
func (h *hider) expand(nodes []*node) []*node {
	if len(nodes) != 1 {
		return expand(nodes, true)
	}
	all, ok := h.known[nodes[0]]
	if !ok {
		if h.known == nil {
			h.known = map[*node][]*node{}
		}
		all = expand(nodes, true)
		h.known[nodes[0]] = all
	}
	return all
}

// itemNodes returns the nodes that apply to item i.
func (n *node) itemNodes(i int) []*node {
	var list []*node
	for _, other := range []*node{n.itemNode(i), n.contains} {
		if other != nil {
			list = append(list, other)
		}
	}
	return list
}

// part is value for a part one step inside the value that the nodes apply to.
func (h *hider) part(nodes []*node, step func(*node) []*node, v any, path string) any {
	if h.steps -= len(nodes); h.steps < 0 {
		return h.hide(path, v)
	}
	return h.value(below(nodes, step), v, path)
}

func isSecret(n *node) bool { return n.secret }

// expand adds the nodes that apply to the same value. If hiding is true, it keeps only the nodes
// that lead to a secret.
func expand(nodes []*node, hiding bool) []*node {
	var all []*node
	seen := map[*node]bool{}
	var add func(n *node)
	add = func(n *node) {
		if seen[n] || hiding && !n.holdsSecret {
			return
		}
		seen[n] = true
		all = append(all, n)
		for _, other := range n.inPlace() {
			add(other)
		}
	}
	for _, n := range nodes {
		add(n)
	}
	return all
}

// below returns the nodes one step inside the value that lead to a secret.
func below(nodes []*node, step func(*node) []*node) []*node {
	var list []*node
	for _, n := range nodes {
		for _, child := range step(n) {
			if child.holdsSecret {
				list = append(list, child)
			}
		}
	}
	return list
}

// secretAt reports whether the keys lead to a secret, or into one. It subtracts its work from
// steps. Once no steps are left, everything is secret.
func (n *node) secretAt(keys []string, steps *int) bool {
	if !n.holdsSecret {
		return false
	}
	nodes := expand([]*node{n}, true)
	for _, key := range keys {
		*steps -= 1 + len(nodes)
		if *steps < 0 || slices.ContainsFunc(nodes, isSecret) {
			return true
		}
		nodes = expand(below(nodes, func(n *node) []*node {
			children := n.keyNodes(key, &budget{steps: maxSteps})
			if i, err := strconv.Atoi(key); err == nil {
				children = append(children, n.itemNodes(i)...)
			}
			return children
		}), true)
	}
	return slices.ContainsFunc(nodes, isSecret)
}

// conceal rewrites the problems of secrets in v, so that they name only the rule.
func (s *Schema) conceal(problems []*Problem, v any) []*Problem {
	if !s.secrets.holdsSecret {
		return problems
	}
	h := hider{steps: maxHidden}
	for _, p := range problems {
		if path, ok := h.around(s.secrets, v, p.Path); ok {
			p.Path, p.Reason = path, "expected "+p.expected()+"; the given value is secret and not shown"
		}
	}
	return problems
}

// SecretAround returns the path of the secret at or around a path of v. A scalar in the place of an
// object or list with secrets counts as a secret, and so does everything that cannot be determined.
func (s *Schema) SecretAround(v any, path string) (secret string, ok bool) {
	h := hider{steps: maxHidden}
	return h.around(s.secrets, v, path)
}

func (h *hider) around(root *node, v any, path string) (secret string, ok bool) {
	nodes := []*node{root}
	for at := 0; ; {
		if nodes = h.expand(nodes); len(nodes) == 0 {
			return "", false
		}
		if h.steps -= len(nodes); h.steps < 0 || slices.ContainsFunc(nodes, isSecret) || isScalar(v) {
			return path[:at], true
		}
		if at == len(path) {
			return "", false
		}
		key, i, size := cutStep(path[at:])
		switch at += size; {
		case size == 0: // not a path of ours
			return "", true
		case i >= 0:
			list, _ := v.([]any)
			v = nil
			if i < len(list) {
				v = list[i]
			}
			nodes = below(nodes, func(n *node) []*node { return n.itemNodes(i) })
		default:
			m, _ := v.(map[string]any)
			v = m[key]
			nodes = below(nodes, func(n *node) []*node { return n.keyNodes(key, &budget{steps: maxSteps}) })
		}
	}
}

func isScalar(v any) bool {
	switch v.(type) {
	case bool, string, json.Number:
		return true
	}
	return false
}

// Uncovered returns the path of the first secret of other that is not secret in s, or "" if there
// is none. Both schemas must describe the same values.
func (s *Schema) Uncovered(other *Schema) (path string) {
	steps := maxHidden
	open := map[*node]bool{} // other may contain itself
	var walk func(n *node, keys []string, path string) string
	walk = func(n *node, keys []string, path string) string {
		if !n.holdsSecret || open[n] {
			return ""
		}
		if n.secret && !s.root.secretAt(keys, &steps) {
			return path
		}
		open[n] = true
		defer delete(open, n)
		for _, same := range n.inPlace() {
			if found := walk(same, keys, path); found != "" {
				return found
			}
		}
		for _, name := range n.order {
			if found := walk(n.properties[name], append(slices.Clone(keys), name), Join(path, name)); found != "" {
				return found
			}
		}
		for step, child := range map[string]*node{"[]": n.items, "[key]": n.additional} {
			if child == nil {
				continue
			}
			if found := walk(child, append(slices.Clone(keys), "0"), path+step); found != "" {
				return found
			}
		}
		return ""
	}
	return walk(other.root, nil, "")
}
