package jsonschema

import (
	"encoding/json"
	"maps"
	"slices"
)

// node is one schema as this package understood it. Nodes that refer to each other form a graph; a node without any
// rule accepts everything.
type node struct {
	at      string // where it stands in its document, a JSON pointer
	verdict *bool  // the schemas true and false
	ref     *node
	types   typeSet

	properties map[string]*node
	order      []string // the names of properties, sorted
	required   []string
	additional *node
	patterns   []patternNode
	names      *node
	deps       map[string]*node
	depKeys    map[string][]string

	items    *node
	tuple    []*node
	more     *node
	contains *node
	unique   bool

	enum   []any
	format string

	pattern *pattern

	numbers map[string]json.Number // minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf
	counts  map[string]int         // minLength, maxLength, minItems, maxItems, minProperties, maxProperties

	allOf, anyOf, oneOf []*node
	not, cond, then, or *node

	value   any // default
	isValue bool

	secret bool // writeOnly, or a password: never shown
	hides  bool // there is a secret here or below
}

type patternNode struct {
	*pattern
	node *node
}

// typeSet has one bit per JSON type; none means any.
type typeSet uint8

var typeNames = []string{"array", "boolean", "integer", "null", "number", "object", "string"}

const (
	typeArray typeSet = 1 << iota
	typeBoolean
	typeInteger
	typeNull
	typeNumber
	typeObject
	typeString
)

func (t typeSet) names() []string {
	var names []string
	for i, name := range typeNames {
		if t&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// target is where the references of n end.
func (n *node) target() *node {
	for n.ref != nil {
		n = n.ref
	}
	return n
}

// inPlace lists the nodes that judge the same value as n does.
func (n *node) inPlace() []*node {
	var list []*node
	for _, other := range []*node{n.ref, n.not, n.cond, n.then, n.or} {
		if other != nil {
			list = append(list, other)
		}
	}
	list = slices.Concat(list, n.allOf, n.anyOf, n.oneOf)
	for _, key := range slices.Sorted(maps.Keys(n.deps)) {
		list = append(list, n.deps[key])
	}
	return list
}

// children lists all nodes that n uses.
func (n *node) children() []*node {
	list := slices.Concat(n.inPlace(), n.tuple)
	for _, other := range []*node{n.additional, n.names, n.items, n.more, n.contains} {
		if other != nil {
			list = append(list, other)
		}
	}
	for _, name := range n.order {
		list = append(list, n.properties[name])
	}
	for _, p := range n.patterns {
		list = append(list, p.node)
	}
	return list
}

// checkExpansion refuses references that go in a circle without ever stepping into the value, on which the library
// overflows the stack, and those that multiply.
func checkExpansion(nodes []*node) error {
	applied := map[*node]int{} // 0: not seen, -1: being counted
	var count func(n *node) error
	count = func(n *node) error {
		switch applied[n] {
		case 0:
		case -1:
			return refuse(n.at, "the references lead back here without stepping into a property or an item; break the circle")
		default:
			return nil
		}
		applied[n] = -1
		total := 1
		for _, other := range n.inPlace() {
			if err := count(other); err != nil {
				return err
			}
			if total += applied[other]; total > maxApplied {
				return refuse(n.at, "references and combinations expand to more than %d schemas for one value; simplify them", maxApplied)
			}
		}
		applied[n] = total
		return nil
	}
	for _, n := range nodes {
		if err := count(n); err != nil {
			return err
		}
	}
	return nil
}
