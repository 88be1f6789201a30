package jsonschema

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"

	"github.com/xeipuuv/gojsonschema"
)

// ownFormat keeps our formats apart from the library's in its global registry, which other code of the process may use.
const ownFormat = "provost-"

func init() {
	for name := range formats {
		gojsonschema.FormatCheckers.Add(ownFormat+name, checker(name))
	}
}

// checker is a format as the library calls it.
type checker string

func (c checker) IsFormat(input any) bool {
	if r, ok := input.(*big.Rat); ok {
		return matchesRat(string(c), r)
	}
	return matches(string(c), input)
}

// matchesRat is matches for a number, which the library hands over as a fraction.
func matchesRat(format string, r *big.Rat) bool {
	if formats[format].number == nil {
		return true
	}
	if r.IsInt() {
		return matches(format, json.Number(r.Num().String()))
	}
	f, _ := r.Float64() // which may be whole: so a format that takes no fractions is not asked
	return matches(format, json.Number("0.5")) && matches(format, json.Number(strconv.FormatFloat(f, 'g', -1, 64)))
}

// judge is the library with one schema.
type judge struct {
	schema *gojsonschema.Schema
	size   int // in nodes
}

// newJudge hands the library a schema that this package wrote.
func newJudge(root *node) (j judge, err error) {
	defer recoverTo(&err)
	w := writer{shared: map[*node]int{}, names: map[*node]string{}, definitions: map[string]any{}}
	w.count(root)
	document := map[string]any{"$schema": "http://json-schema.org/draft-07/schema#", "allOf": []any{w.refer(root)}, "definitions": w.definitions}
	for len(w.queue) > 0 {
		n := w.queue[0]
		w.queue = w.queue[1:]
		w.definitions[w.names[n]] = w.document(n)
	}
	schema, err := gojsonschema.NewSchema(gojsonschema.NewRawLoader(document))
	if err != nil {
		return judge{}, &Problem{Reason: err.Error()}
	}
	return judge{schema, len(w.shared)}, nil
}

func recoverTo(err *error) {
	if r := recover(); r != nil {
		*err = &Problem{Reason: fmt.Sprintf("the schema library failed: %v", r)}
	}
}

// writer writes nodes as a draft-07 document. A node that several others use is written once, in definitions; all others
// in place, because the library takes long over a reference.
type writer struct {
	shared      map[*node]int // how many use a node
	names       map[*node]string
	queue       []*node
	definitions map[string]any
}

func (w *writer) count(n *node) {
	if w.shared[n]++; w.shared[n] > 1 {
		return
	}
	for _, other := range n.children() {
		w.count(other)
	}
}

func (w *writer) refer(n *node) any {
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

// small says that n takes less to repeat than to refer to.
func (n *node) small() bool {
	return n.enum == nil && n.pattern == nil && n.ref == nil && len(n.required) < 10 && len(n.children()) == 0
}

func (w *writer) document(n *node) any {
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
		m["enum"] = unlike(n.enum)
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
	w.one(m, "if", n.cond)
	w.one(m, "then", n.then)
	w.one(m, "else", n.or)
	w.list(m, "items", n.tuple)
	w.list(m, "allOf", n.allOf)
	w.list(m, "anyOf", n.anyOf)
	w.list(m, "oneOf", n.oneOf)
	w.objects(m, n)
	return m
}

func (w *writer) one(m map[string]any, keyword string, n *node) {
	if n != nil {
		m[keyword] = w.refer(n)
	}
}

func (w *writer) list(m map[string]any, keyword string, nodes []*node) {
	if nodes == nil {
		return
	}
	list := make([]any, len(nodes))
	for i, n := range nodes {
		list[i] = w.refer(n)
	}
	m[keyword] = list
}

func (w *writer) objects(m map[string]any, n *node) {
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

// unlike drops values that the library holds for equal, because it refuses an enum with two such values.
func unlike(values []any) []any {
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
