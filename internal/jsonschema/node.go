package jsonschema

import (
	"encoding/json"
	"maps"
	"slices"
)

// node is one schema as this package understands it. Nodes refer to each other and form a graph. A
// node without any rule accepts every value.
type node struct {
	at      string // its location in the document, a JSON pointer
	verdict *bool  // of the schemas true and false
	ref     *node
	types   typeSet

	properties map[string]*node
	order      []string // the names of the properties, sorted
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

	allOf, anyOf, oneOf             []*node
	not, ifNode, thenNode, elseNode *node

	value   any // the default
	isValue bool

	secret      bool // writeOnly, or a password: never shown
	holdsSecret bool // there is a secret at or below the node
}

type patternNode struct {
	*pattern
	node *node
}

// typeSet has one bit for each JSON type. No bits mean any type.
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

// target returns the node at the end of n's references.
func (n *node) target() *node {
	for n.ref != nil {
		n = n.ref
	}
	return n
}

// inPlace returns the nodes that apply to the same value as n.
func (n *node) inPlace() []*node {
	var list []*node
	for _, other := range []*node{n.ref, n.not, n.ifNode, n.thenNode, n.elseNode} {
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

// children returns all nodes that n uses.
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
