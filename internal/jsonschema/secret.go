package jsonschema

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// maxHidden bounds the schemas that are held against the parts of one value to find its secrets. What comes after that is
// treated as secret.
const maxHidden = 200_000

// markSecrets tells each node whether there is a secret at or below it.
func markSecrets(nodes []*node) {
	above := map[*node][]*node{}
	var reached []*node
	for _, n := range nodes {
		if n.secret {
			n.hides = true
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
			if !parent.hides {
				parent.hides = true
				reached = append(reached, parent)
			}
		}
	}
}

// checkSecretDefaults refuses a default that tells a secret to whoever reads the schema.
func checkSecretDefaults(nodes []*node) error {
	for _, n := range nodes {
		if !n.isValue || !n.hides {
			continue
		}
		told := false
		h := hider{steps: maxHidden, hide: func(string, any) any { told = true; return nil }}
		h.value([]*node{n}, n.value, "")
		if told {
			return refuse(n.at+"/default", "a secret's default can be read in the schema; remove it, and set the value in the deployment's parameters")
		}
	}
	return nil
}

// Secret says that the schema declares secrets: values that are writeOnly, or text in the format password.
func (s *Schema) Secret() bool { return s.root.hides }

// Secrets returns v with each secret in it replaced by what hide returns for its path and value. Null is no secret. The
// value itself is not changed.
func (s *Schema) Secrets(v any, hide func(path string, v any) any) any {
	if !s.root.hides {
		return v
	}
	h := hider{steps: maxHidden, hide: hide}
	return h.value([]*node{s.root}, v, "")
}

// Conceal is Secrets for a value that may have been made for another schema: of an object that does not fit, the members
// that are not described, or do not fit, are hidden too, because nothing says what they are.
func (s *Schema) Conceal(v any, hide func(path string, v any) any) any {
	m, ok := v.(map[string]any)
	if !ok || s.ValidatePartial(v) == nil {
		return s.Secrets(v, hide)
	}
	known, judged := make(map[string]any, len(m)), make(map[string]any, len(m))
	for key, item := range m {
		if item == nil || s.root.takesMember(key, item) {
			known[key] = item
		} else {
			judged[key] = hide(Join("", key), item)
		}
	}
	shown, _ := s.Secrets(known, hide).(map[string]any)
	for key, item := range shown {
		judged[key] = item
	}
	return judged
}

// takesMember says that an object may have a member, as far as one can tell without the others.
func (n *node) takesMember(key string, v any) bool {
	b := budget{steps: maxChecked}
	for _, same := range expand([]*node{n}, false) {
		for _, child := range same.keyNodes(key, &b) {
			if !child.takes(v, &b) {
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
	known map[*node][]*node // what expand found out
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
			m[key] = h.part(nodes, func(n *node) []*node { return n.keyNodes(key, &budget{steps: maxChecked}) }, item, Join(path, key))
		}
		return m
	}
	return v
}

// expand adds the nodes that judge the same value and lead to a secret. Mostly it is one node, again and again.
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

// itemNodes lists the nodes that judge item i.
func (n *node) itemNodes(i int) []*node {
	var list []*node
	for _, other := range []*node{n.itemNode(i), n.contains} {
		if other != nil {
			list = append(list, other)
		}
	}
	return list
}

// part is value for what lies one step into the value that the nodes judge.
func (h *hider) part(nodes []*node, step func(*node) []*node, v any, path string) any {
	if h.steps -= len(nodes); h.steps < 0 {
		return h.hide(path, v)
	}
	return h.value(below(nodes, step), v, path)
}

func isSecret(n *node) bool { return n.secret }

// expand adds the nodes that judge the same value; with hiding only those that lead to a secret.
func expand(nodes []*node, hiding bool) []*node {
	var all []*node
	seen := map[*node]bool{}
	var add func(n *node)
	add = func(n *node) {
		if seen[n] || hiding && !n.hides {
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

// below lists the nodes one step into the value that lead to a secret.
func below(nodes []*node, step func(*node) []*node) []*node {
	var list []*node
	for _, n := range nodes {
		for _, child := range step(n) {
			if child.hides {
				list = append(list, child)
			}
		}
	}
	return list
}

// secretAt says that the keys lead to a secret, or into one. It takes from steps what it looked at; once there are none
// left, everything is secret.
func (n *node) secretAt(keys []string, steps *int) bool {
	if !n.hides {
		return false
	}
	nodes := expand([]*node{n}, true)
	for _, key := range keys {
		*steps -= 1 + len(nodes)
		if *steps < 0 || slices.ContainsFunc(nodes, isSecret) {
			return true
		}
		nodes = expand(below(nodes, func(n *node) []*node {
			children := n.keyNodes(key, &budget{steps: maxChecked})
			if i, err := strconv.Atoi(key); err == nil {
				children = append(children, n.itemNodes(i)...)
			}
			return children
		}), true)
	}
	return slices.ContainsFunc(nodes, isSecret)
}

// concealed rewrites what problems of v say about secrets: they tell the rule only.
func (s *Schema) concealed(problems []*Problem, v any) []*Problem {
	if !s.secrets.hides {
		return problems
	}
	h := hider{steps: maxHidden}
	for _, p := range problems {
		if path, ok := h.around(s.secrets, v, p.Path); ok {
			p.Path, p.Reason = path, "expected "+p.expected()+"; what came is secret and not shown"
		}
	}
	return problems
}

// SecretAround is the secret at a path of v or around it. A text or a number in the place of an object or a list that has
// secrets is taken for one. What cannot be judged counts as secret.
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
			nodes = below(nodes, func(n *node) []*node { return n.keyNodes(key, &budget{steps: maxChecked}) })
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

// cutStep reads the first step of a path, which is a key, or an index if that is not negative. Size is how long it is in the
// path, 0 if it is none that [Join] or index has written.
func cutStep(path string) (key string, i, size int) {
	if path[0] == '.' {
		size, path = 1, path[1:]
	}
	if path == "" || path[0] != '[' {
		end := strings.IndexAny(path, ".[")
		if end < 0 {
			end = len(path)
		}
		return path[:end], -1, size + end
	}
	quoted, err := strconv.QuotedPrefix(path[1:])
	if err == nil {
		key, _ = strconv.Unquote(quoted) // it is quoted
		return key, -1, size + len("[") + len(quoted) + len("]")
	}
	end := strings.IndexByte(path, ']')
	if i, err = strconv.Atoi(path[1:max(1, end)]); err != nil || i < 0 {
		return "", -1, 0
	}
	return "", i, size + end + 1
}

// expected says what the rule asks for.
func (p *Problem) expected() string {
	switch p.rule {
	case "required", "additionalProperties", "propertyNames":
		return "an object with the keys of its schema"
	case "type":
		return article(strings.Split(p.argument, ","))
	case "minLength":
		return "at least " + plural(p.argument, "character")
	case "maxLength":
		return "at most " + plural(p.argument, "character")
	case "pattern":
		return "text that matches " + p.argument
	case "format":
		return "the format " + p.argument
	case "minimum":
		return "at least " + p.argument
	case "maximum":
		return "at most " + p.argument
	}
	return "a value that fits its schema"
}

// Uncovered names the first place that is secret in other and not in s, "" if there is none. Both describe the same values.
func (s *Schema) Uncovered(other *Schema) (path string) {
	steps := maxHidden
	open := map[*node]bool{} // other may contain itself
	var walk func(n *node, keys []string, path string) string
	walk = func(n *node, keys []string, path string) string {
		if !n.hides || open[n] {
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
