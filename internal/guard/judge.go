package guard

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"

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
	f, _ := r.Float64()
	return matches(format, json.Number(strconv.FormatFloat(f, 'g', -1, 64)))
}

// judge is the library with one schema.
type judge struct{ schema *gojsonschema.Schema }

// newJudge hands the library a schema that this package wrote.
func newJudge(root *node) (j judge, err error) {
	defer recoverTo(&err)
	w := writer{names: map[*node]string{}, definitions: map[string]any{}}
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
	return judge{schema}, nil
}

// problems asks the library what is wrong with v, which has been measured.
func (j judge) problems(root *node, v any) (problems []*Problem) {
	var err error
	defer func() {
		if err != nil {
			problems = []*Problem{{Reason: err.Error()}}
		}
	}()
	defer recoverTo(&err)
	result, err := j.schema.Validate(gojsonschema.NewRawLoader(v))
	if err != nil {
		return nil
	}
	// That no alternative fits is worth saying only if none of them says why.
	var vague []*Problem
	steps := maxHidden
	for _, e := range result.Errors() {
		p := explain(root, v, e, &steps)
		switch {
		case p == nil:
		case e.Type() == "number_any_of" || e.Type() == "number_one_of":
			vague = append(vague, p)
		default:
			problems = append(problems, p)
		}
	}
	sortProblems(problems)
	vague = slices.DeleteFunc(vague, func(p *Problem) bool { return anyAt(problems, p.Path) })
	problems = append(problems, vague...)
	if problems == nil && !result.Valid() {
		problems = []*Problem{{Reason: "does not fit the schema"}}
	}
	return problems
}

// anyAt says that one of the problems, which are sorted, lies at a path or below it.
func anyAt(problems []*Problem, path string) bool {
	for _, below := range []string{path, path + ".", path + "["} {
		i, _ := slices.BinarySearchFunc(problems, below, func(p *Problem, path string) int { return cmp.Compare(p.Path, path) })
		if i < len(problems) && (problems[i].Path == path || below != path && strings.HasPrefix(problems[i].Path, below)) {
			return true
		}
	}
	return path == "" && len(problems) > 0
}

func recoverTo(err *error) {
	if r := recover(); r != nil {
		*err = &Problem{Reason: fmt.Sprintf("the schema library failed: %v", r)}
	}
}

// writer writes nodes as a draft-07 document; whatever has a name is written once, in definitions.
type writer struct {
	names       map[*node]string
	queue       []*node
	definitions map[string]any
}

func (w *writer) refer(n *node) any {
	if n.verdict != nil {
		return *n.verdict
	}
	name, ok := w.names[n]
	if !ok {
		name = "d" + strconv.Itoa(len(w.names))
		w.names[n] = name
		w.queue = append(w.queue, n)
	}
	return map[string]any{"$ref": "#/definitions/" + name}
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
		m["enum"] = distinct(n.enum)
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

// distinct drops values that the library holds for equal, because it refuses an enum with two such values.
func distinct(values []any) []any {
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

// explain turns an error of the library into one of ours; nil if it says no more than those beside it. steps bounds the search for
// secrets.
func explain(root *node, v any, e gojsonschema.ResultError, steps *int) *Problem {
	path, keys := pathOf(v, e.Context())
	if depth, secret := root.secretAt(keys, e.Type() == "invalid_type" && isScalar(e.Value()), steps); secret {
		at, _ := follow(v, keys[:depth])
		return concealed(at, e)
	}
	details := e.Details()
	at := func(key string) string { return Join(path, key) }
	got := describe(e.Value())
	switch e.Type() {
	case "number_all_of", "condition_then", "condition_else":
		return nil
	case "false":
		return &Problem{path, "nothing is allowed here; leave it out"}
	case "required":
		name := fmt.Sprint(details["property"])
		return &Problem{at(name), missing(root.find(append(keys, name)))}
	case "additional_property_not_allowed":
		name := fmt.Sprint(details["property"])
		return &Problem{at(name), "is not a parameter here" + nearest(name, root.namesAt(keys))}
	case "invalid_type":
		expected := strings.Split(strings.Trim(fmt.Sprint(details["expected"]), "[]"), ",")
		return &Problem{path, "expected " + article(expected) + ", got " + got + hint(expected, e.Value())}
	case "enum", "const":
		allowed := strings.ReplaceAll(fmt.Sprint(details["allowed"]), ",", ", ")
		allowed = strings.ReplaceAll(allowed, ",  ", ", ")
		return &Problem{path, "expected one of " + cut(allowed, 300) + "; got " + got + didYouMean(e.Value(), allowedStrings(root.find(keys)))}
	case "number_any_of":
		return &Problem{path, "fits none of the allowed forms, got " + got}
	case "number_one_of":
		return &Problem{path, "must fit exactly one of the allowed forms, got " + got}
	case "number_not":
		return &Problem{path, got + " is excluded here; choose another value"}
	case "missing_dependency":
		return &Problem{at(fmt.Sprint(details["dependency"])), "is required beside another parameter and missing; add it"}
	case "array_min_items":
		return &Problem{path, fmt.Sprintf("expected at least %s, got %d; send more", plural(details["min"], "item"), size(e.Value()))}
	case "array_max_items":
		return &Problem{path, fmt.Sprintf("expected at most %s, got %d; send fewer", plural(details["max"], "item"), size(e.Value()))}
	case "array_no_additional_items":
		return &Problem{path, fmt.Sprintf("got %d items, more than are described; send fewer", size(e.Value()))}
	case "array_min_properties":
		return &Problem{path, fmt.Sprintf("expected at least %s, got %d; send more", plural(details["min"], "key"), size(e.Value()))}
	case "array_max_properties":
		return &Problem{path, fmt.Sprintf("expected at most %s, got %d; send fewer", plural(details["max"], "key"), size(e.Value()))}
	case "unique":
		return &Problem{path, fmt.Sprintf("items %v and %v are equal; remove one of them", details["i"], details["j"])}
	case "contains":
		return &Problem{path, "no item is of the form that must be in the list"}
	case "invalid_property_name":
		return &Problem{path, fmt.Sprintf("%q is not allowed as a key here", cut(fmt.Sprint(details["property"]), 60))}
	case "string_gte":
		return &Problem{path, fmt.Sprintf("expected at least %s, got %s", plural(details["min"], "character"), got)}
	case "string_lte":
		return &Problem{path, fmt.Sprintf("expected at most %s, got %d: %s", plural(details["max"], "character"), size(e.Value()), got)}
	case "pattern":
		return &Problem{path, fmt.Sprintf("expected text that matches %v, got %s", details["pattern"], got)}
	case "format":
		name := strings.TrimPrefix(fmt.Sprint(details["format"]), ownFormat)
		return &Problem{path, fmt.Sprintf("expected the format %s, such as %s; got %s", name, formats[name].example, got)}
	case "multiple_of":
		return &Problem{path, fmt.Sprintf("expected a multiple of %s, got %s", bound(details["multiple"]), got)}
	case "number_gte":
		return &Problem{path, fmt.Sprintf("expected at least %s, got %s", bound(details["min"]), got)}
	case "number_gt":
		return &Problem{path, fmt.Sprintf("expected more than %s, got %s", bound(details["min"]), got)}
	case "number_lte":
		return &Problem{path, fmt.Sprintf("expected at most %s, got %s", bound(details["max"]), got)}
	case "number_lt":
		return &Problem{path, fmt.Sprintf("expected less than %s, got %s", bound(details["max"]), got)}
	}
	return &Problem{path, e.Description()}
}

// pathOf is the place of an error: as a path, and as the keys that lead there.
func pathOf(v any, context *gojsonschema.JsonContext) (path string, keys []string) {
	const separator = "\x1f\x00"
	return follow(v, strings.Split(context.String(separator), separator)[1:]) // the first is the root
}

// follow writes steps into v as a path, and says how far they lead.
func follow(v any, steps []string) (path string, keys []string) {
	for _, key := range steps {
		switch inner := v.(type) {
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i >= len(inner) {
				return path, keys
			}
			v, path = inner[i], path+"["+key+"]"
		case map[string]any:
			v, path = inner[key], Join(path, key)
		}
		keys = append(keys, key)
	}
	return path, keys
}

// bound writes a number of the library, a big.Float or an int, as people do.
func bound(v any) string {
	if f, ok := v.(*big.Float); ok {
		return f.Text('g', 15)
	}
	return fmt.Sprint(v)
}
