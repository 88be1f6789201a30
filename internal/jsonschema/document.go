package jsonschema

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
)

// documentWriter writes nodes as a draft-07 document. A node with several users is written once,
// under definitions. All others are written in place, because references are slow in the library.
type documentWriter struct {
	shared      map[*node]int // the number of users of a node
	names       map[*node]string
	queue       []*node
	definitions map[string]any
}

func (w *documentWriter) count(n *node) {
	if w.shared[n]++; w.shared[n] > 1 {
		return
	}
	for _, other := range n.children() {
		w.count(other)
	}
}

func (w *documentWriter) refer(n *node) any {
	if n.verdict != nil {
		return *n.verdict
	}
	if w.shared[n] == 1 || n.small() {
		return w.document(n)
	}
	name, ok := w.names[n]
	if !ok {
		name = "d" + strconv.Itoa(len(w.names))
		w.names[n] = name
		w.queue = append(w.queue, n)
	}
	return map[string]any{"$ref": "#/definitions/" + name}
}

// small reports whether n is cheaper to repeat than to reference.
func (n *node) small() bool {
	return n.enum == nil && n.pattern == nil && n.ref == nil && len(n.required) < 10 && len(n.children()) == 0
}

func (w *documentWriter) document(n *node) any {
	if n.ref != nil {
		return w.refer(n.ref)
	}
	m := map[string]any{}
	for keyword, number := range n.numbers {
		m[keyword] = number
	}
	for keyword, count := range n.counts {
		m[keyword] = json.Number(strconv.Itoa(count))
	}
	if n.types != 0 {
		m["type"] = toAny(n.types.names())
	}
	if n.enum != nil {
		m["enum"] = withoutFloatTwins(n.enum)
	}
	if n.pattern != nil {
		m["pattern"] = n.pattern.expr.String()
	}
	if _, known := formats[n.format]; known {
		m["format"] = ownFormat + n.format
	}
	if n.required != nil {
		m["required"] = toAny(n.required)
	}
	if n.unique {
		m["uniqueItems"] = true
	}
	w.one(m, "additionalProperties", n.additional)
	w.one(m, "propertyNames", n.names)
	w.one(m, "items", n.items)
	w.one(m, "additionalItems", n.more)
	w.one(m, "contains", n.contains)
	w.one(m, "not", n.not)
	w.one(m, "if", n.ifNode)
	w.one(m, "then", n.thenNode)
	w.one(m, "else", n.elseNode)
	w.list(m, "items", n.tuple)
	w.list(m, "allOf", n.allOf)
	w.list(m, "anyOf", n.anyOf)
	w.list(m, "oneOf", n.oneOf)
	w.objects(m, n)
	return m
}

func (w *documentWriter) one(m map[string]any, keyword string, n *node) {
	if n != nil {
		m[keyword] = w.refer(n)
	}
}

func (w *documentWriter) list(m map[string]any, keyword string, nodes []*node) {
	if nodes == nil {
		return
	}
	list := make([]any, len(nodes))
	for i, n := range nodes {
		list[i] = w.refer(n)
	}
	m[keyword] = list
}

func (w *documentWriter) objects(m map[string]any, n *node) {
	if n.properties != nil {
		properties := map[string]any{}
		for _, name := range n.order {
			properties[name] = w.refer(n.properties[name])
		}
		m["properties"] = properties
	}
	if n.patterns != nil {
		patterns := map[string]any{}
		for _, p := range n.patterns {
			patterns[p.expr.String()] = w.refer(p.node)
		}
		m["patternProperties"] = patterns
	}
	if n.deps != nil || n.depKeys != nil {
		dependencies := map[string]any{}
		for _, key := range slices.Sorted(maps.Keys(n.deps)) {
			dependencies[key] = w.refer(n.deps[key])
		}
		for key, names := range n.depKeys {
			dependencies[key] = toAny(names)
		}
		m["dependencies"] = dependencies
	}
}

// withoutFloatTwins drops values that are equal to others as floats, because the library refuses an
// enum with two values that it considers equal.
func withoutFloatTwins(values []any) []any {
	seen := map[string]bool{}
	var list []any
	for _, v := range values {
		text, _ := json.Marshal(asFloats(v))
		if !seen[string(text)] {
			seen[string(text)] = true
			list = append(list, v)
		}
	}
	return list
}

func asFloats(v any) any {
	switch v := v.(type) {
	case json.Number:
		f, _ := v.Float64()
		return f
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = asFloats(v[i])
		}
		return list
	case map[string]any:
		m := make(map[string]any, len(v))
		for key := range v {
			m[key] = asFloats(v[key])
		}
		return m
	}
	return v
}

func toAny(names []string) []any {
	list := make([]any, len(names))
	for i, name := range names {
		list[i] = name
	}
	return list
}
