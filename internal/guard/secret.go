package guard

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/xeipuuv/gojsonschema"
)

// maxHidden bounds the schemas that are held against the parts of one value to find its secrets. What comes after that is
// treated as secret.
const maxHidden = 200_000

// readSecret is the keyword writeOnly. It is no rule about values, so that it may stand beside a reference too.
func readSecret(v any, at string) (bool, error) {
	secret, ok := v.(bool)
	if !ok {
		return false, refuse(at+"/writeOnly", "expected true or false, got %s", describe(v))
	}
	return secret, nil
}

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

// children lists the nodes that judge the same value as n, or a part of it.
func (n *node) children() []*node {
	list := slices.Concat(n.inPlace(), n.tuple)
	for _, other := range []*node{n.additional, n.items, n.more, n.contains} {
		if other != nil {
			list = append(list, other)
		}
	}
	for _, p := range n.patterns {
		list = append(list, p.node)
	}
	for _, name := range n.order {
		list = append(list, n.properties[name])
	}
	return list
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
		if item == nil || s.root.takes(key, item) {
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

// takes says that an object may have a member, as far as check can tell.
func (n *node) takes(key string, v any) bool {
	for _, same := range expand([]*node{n}, false) {
		for _, child := range same.keyNodes(key) {
			if !child.fits(v) {
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
}

func (h *hider) value(nodes []*node, v any, path string) any {
	if v == nil || len(nodes) == 0 {
		return v
	}
	if h.steps -= len(nodes); h.steps < 0 {
		return h.hide(path, v)
	}
	nodes = expand(nodes, true)
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
			m[key] = h.part(nodes, func(n *node) []*node { return n.keyNodes(key) }, item, Join(path, key))
		}
		return m
	}
	return v
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

// secretAt says how many of the keys lead to a secret, not ok if none is on their way. scalar says that what lies at their
// end is no object and no list: where a secret is expected inside one, it may be the secret. It takes from steps what it
// looked at; once there are none left, everything is secret.
func (n *node) secretAt(keys []string, scalar bool, steps *int) (depth int, ok bool) {
	if !n.hides {
		return 0, false
	}
	if *steps < 0 {
		return 0, true
	}
	nodes := expand([]*node{n}, true)
	for depth, key := range keys {
		*steps -= 1 + len(nodes)
		if *steps < 0 || slices.ContainsFunc(nodes, isSecret) {
			return depth, true
		}
		nodes = expand(below(nodes, func(n *node) []*node {
			children := n.keyNodes(key)
			if i, err := strconv.Atoi(key); err == nil {
				children = append(children, n.itemNodes(i)...)
			}
			return children
		}), true)
	}
	return len(keys), slices.ContainsFunc(nodes, isSecret) || scalar && len(nodes) > 0
}

// concealed is explain for a value that must not be shown: it tells the rule only.
func concealed(path string, e gojsonschema.ResultError) *Problem {
	details := e.Details()
	rule := "a value that fits its schema"
	switch e.Type() {
	case "number_all_of", "condition_then", "condition_else":
		return nil
	case "required", "missing_dependency", "additional_property_not_allowed":
		rule = "an object with the keys of its schema"
	case "invalid_type":
		rule = article(strings.Split(strings.Trim(fmt.Sprint(details["expected"]), "[]"), ","))
	case "string_gte":
		rule = "at least " + plural(details["min"], "character")
	case "string_lte":
		rule = "at most " + plural(details["max"], "character")
	case "pattern":
		rule = fmt.Sprintf("text that matches %v", details["pattern"])
	case "format":
		rule = "the format " + strings.TrimPrefix(fmt.Sprint(details["format"]), ownFormat)
	case "number_gte":
		rule = "at least " + bound(details["min"])
	case "number_lte":
		rule = "at most " + bound(details["max"])
	}
	return &Problem{path, "expected " + rule + "; what came is secret and not shown"}
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
		if _, covered := s.root.secretAt(keys, false, &steps); n.secret && !covered {
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
