package guard

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
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

// pattern is a regular expression and what it costs: size is what matching costs per character, weight what compiling
// costs.
type pattern struct {
	expr         *regexp.Regexp
	size, weight int
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

// newer are keywords that the library would ignore in silence, with what to write instead.
var newer = map[string]string{
	"nullable":              `add "null" to the type: "type": ["string", "null"]`,
	"$defs":                 `call it "definitions" and refer to "#/definitions/..."`,
	"prefixItems":           `give "items" an array of schemas`,
	"unevaluatedProperties": `use "additionalProperties" in the schema that lists the properties`,
	"unevaluatedItems":      `use "additionalItems"`,
	"dependentRequired":     `use "dependencies" with arrays of names`,
	"dependentSchemas":      `use "dependencies" with schemas`,
	"minContains":           `use "contains", which asks for one`,
	"maxContains":           "drop it, draft-07 has no such rule",
	"$anchor":               `refer to "#/definitions/..."`,
	"$dynamicRef":           `use "$ref"`,
	"$dynamicAnchor":        `refer to "#/definitions/..."`,
	"$recursiveRef":         `use "$ref": "#"`,
	"$recursiveAnchor":      `use "$ref": "#"`,
	"$vocabulary":           "drop it",
	"extends":               `use "allOf"`,
	"disallow":              `use "not"`,
	"divisibleBy":           `use "multipleOf"`,
}

// rules are the keywords that decide about values.
var rules = map[string]bool{
	"type": true, "enum": true, "const": true, "format": true, "pattern": true,
	"properties": true, "required": true, "additionalProperties": true, "patternProperties": true, "propertyNames": true, "dependencies": true,
	"items": true, "additionalItems": true, "contains": true, "uniqueItems": true,
	"minimum": true, "maximum": true, "exclusiveMinimum": true, "exclusiveMaximum": true, "multipleOf": true,
	"minLength": true, "maxLength": true, "minItems": true, "maxItems": true, "minProperties": true, "maxProperties": true,
	"allOf": true, "anyOf": true, "oneOf": true, "not": true, "if": true, "then": true, "else": true, "contentEncoding": true,
}

// reader turns a document into nodes, each place of it once.
type reader struct {
	document any
	nodes    map[string]*node // by JSON pointer
	weight   int              // of the regular expressions so far
}

// parseSchema reads a schema and refuses what could harm: it returns the root and every node that can be reached.
func parseSchema(text []byte) (*node, []*node, error) {
	document, err := Parse(text, Limits{Bytes: MaxSchema, Depth: MaxDepth, Numbers: true})
	if err != nil {
		return nil, nil, err
	}
	r := &reader{document: document, nodes: map[string]*node{}}
	root, err := r.node(document, "")
	if err != nil {
		return nil, nil, err
	}
	nodes := make([]*node, 0, len(r.nodes))
	for _, at := range slices.Sorted(maps.Keys(r.nodes)) {
		nodes = append(nodes, r.nodes[at])
	}
	if err := checkExpansion(nodes); err != nil {
		return nil, nil, err
	}
	return root, nodes, nil
}

func (r *reader) node(v any, at string) (*node, error) {
	if n := r.nodes[at]; n != nil {
		return n, nil
	}
	n := &node{at: at}
	r.nodes[at] = n
	switch v := v.(type) {
	case bool:
		n.verdict = &v
		return n, nil
	case map[string]any:
		return n, r.fill(n, v)
	}
	return nil, refuse(at, "expected a schema: an object, true or false; got %s", describe(v))
}

func (r *reader) fill(n *node, m map[string]any) error {
	if err := checkKeywords(n.at, m); err != nil {
		return err
	}
	n.value, n.isValue = m["default"]
	if writeOnly, ok := m["writeOnly"]; ok {
		var err error
		if n.secret, err = readSecret(writeOnly, n.at); err != nil {
			return err
		}
	}
	if ref, ok := m["$ref"]; ok {
		return r.fillRef(n, ref)
	}
	// Sorted, so that of several mistakes the same one is reported each time.
	for _, keyword := range slices.Sorted(maps.Keys(m)) {
		if err := r.rule(n, keyword, m[keyword], m); err != nil {
			return err
		}
	}
	return checkRanges(n)
}

func checkKeywords(at string, m map[string]any) error {
	_, isRef := m["$ref"]
	for _, keyword := range slices.Sorted(maps.Keys(m)) {
		fix, isNewer := newer[keyword]
		switch {
		case isNewer:
			return refuse(at, "%q is not a keyword of JSON Schema draft-07 and would be ignored; %s", keyword, fix)
		case isRef && rules[keyword]:
			return refuse(at, `%q beside "$ref" would be ignored; write "allOf": [{"$ref": ...}] and put it beside that`, keyword)
		case (keyword == "$id" || keyword == "id") && at != "":
			return refuse(at, `%q would move the base of references; remove it and refer to "#/definitions/..."`, keyword)
		case keyword == "$schema":
			if err := checkDraft(at, m[keyword]); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkDraft(at string, v any) error {
	name, _ := v.(string)
	switch strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(name, "http://"), "https://"), "#") {
	case "json-schema.org/draft-07/schema", "json-schema.org/draft-06/schema", "json-schema.org/draft-04/schema", "json-schema.org/schema":
		return nil
	}
	return refuse(at+"/$schema", `%s is not supported; write the schema in "http://json-schema.org/draft-07/schema#" or leave "$schema" out`, show(v))
}

func (r *reader) fillRef(n *node, v any) error {
	ref, ok := v.(string)
	if !ok {
		return refuse(n.at+"/$ref", "expected a string, got %s", describe(v))
	}
	at, target, err := r.resolve(ref)
	if err != nil {
		return refuse(n.at+"/$ref", "%v", err)
	}
	n.ref, err = r.node(target, at)
	return err
}

// resolve finds "#" and "#/a/b" in the document.
func (r *reader) resolve(ref string) (at string, target any, err error) {
	pointer, ok := strings.CutPrefix(ref, "#")
	if !ok || pointer != "" && pointer[0] != '/' {
		return "", nil, fmt.Errorf(`%q leads out of the schema; copy what it names into "definitions" and refer to "#/definitions/..."`, ref)
	}
	if pointer, err = url.PathUnescape(pointer); err != nil {
		return "", nil, fmt.Errorf("%q is not a valid reference: %v", ref, err)
	}
	target = r.document
	if pointer == "" {
		return "", target, nil
	}
	for token := range strings.SplitSeq(pointer[1:], "/") {
		key := strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
		switch v := target.(type) {
		case map[string]any:
			target, ok = v[key]
		case []any:
			i, numErr := strconv.Atoi(key)
			if ok = numErr == nil && 0 <= i && i < len(v) && strconv.Itoa(i) == key; ok {
				target = v[i]
			}
		default:
			ok = false
		}
		if !ok {
			return "", nil, fmt.Errorf("%q names nothing in the schema", ref)
		}
	}
	return pointer, target, nil
}

// rule reads one keyword into n.
func (r *reader) rule(n *node, keyword string, v any, all map[string]any) (err error) {
	at := n.at + "/" + escape(keyword)
	switch keyword {
	case "type":
		n.types, err = readTypes(v, at)
	case "enum":
		list, ok := v.([]any)
		if !ok || len(list) == 0 {
			return refuse(at, "expected a list of the allowed values, got %s", describe(v))
		}
		n.enum = list
	case "const":
		// An enum beside it is a rule of its own.
		if n.enum != nil || all["enum"] != nil {
			n.allOf = append(n.allOf, &node{at: at, enum: []any{v}})
		} else {
			n.enum = []any{v}
		}
	case "format":
		name, ok := v.(string)
		if !ok {
			return refuse(at, "expected a string, got %s", describe(v))
		}
		n.format = name
		n.secret = n.secret || name == "password"
	case "contentEncoding":
		if _, named := all["format"]; v == "base64" && !named {
			n.format = "byte"
		}
	case "pattern":
		n.pattern, err = r.readPattern(v, at)
	case "properties":
		n.properties, err = r.nodeMap(v, at)
		n.order = slices.Sorted(maps.Keys(n.properties))
	case "required":
		n.required, err = readNames(v, at)
	case "additionalProperties":
		n.additional, err = r.node(v, at)
	case "patternProperties":
		err = r.fillPatterns(n, v, at)
	case "propertyNames":
		n.names, err = r.node(v, at)
	case "dependencies":
		err = r.fillDependencies(n, v, at)
	case "items":
		if list, ok := v.([]any); ok {
			n.tuple, err = r.nodeList(list, at)
		} else {
			n.items, err = r.node(v, at)
		}
	case "additionalItems":
		n.more, err = r.node(v, at)
	case "contains":
		n.contains, err = r.node(v, at)
	case "uniqueItems":
		unique, ok := v.(bool)
		if !ok {
			return refuse(at, "expected true or false, got %s", describe(v))
		}
		n.unique = unique
	case "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf":
		err = readNumber(n, keyword, v, all)
	case "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties":
		err = readCount(n, keyword, v)
	case "allOf":
		var list []*node
		list, err = r.nodeList(v, at)
		n.allOf = append(n.allOf, list...)
	case "anyOf":
		n.anyOf, err = r.nodeList(v, at)
	case "oneOf":
		n.oneOf, err = r.nodeList(v, at)
	case "not":
		n.not, err = r.node(v, at)
	case "if":
		n.cond, err = r.node(v, at)
	case "then":
		n.then, err = r.node(v, at)
	case "else":
		n.or, err = r.node(v, at)
	case "definitions":
		_, err = r.nodeMap(v, at)
	}
	return err
}

func (r *reader) nodeMap(v any, at string) (map[string]*node, error) {
	m, ok := v.(map[string]any)
	if !ok {
		return nil, refuse(at, "expected an object of schemas, got %s", describe(v))
	}
	nodes := make(map[string]*node, len(m))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		n, err := r.node(m[key], at+"/"+escape(key))
		if err != nil {
			return nil, err
		}
		nodes[key] = n
	}
	return nodes, nil
}

func (r *reader) nodeList(v any, at string) ([]*node, error) {
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		return nil, refuse(at, "expected a list of schemas, got %s", describe(v))
	}
	nodes := make([]*node, len(list))
	for i, item := range list {
		n, err := r.node(item, at+"/"+strconv.Itoa(i))
		if err != nil {
			return nil, err
		}
		nodes[i] = n
	}
	return nodes, nil
}

func (r *reader) fillPatterns(n *node, v any, at string) error {
	nodes, err := r.nodeMap(v, at)
	if err != nil {
		return err
	}
	for _, source := range slices.Sorted(maps.Keys(nodes)) {
		p, err := r.readPattern(source, at)
		if err != nil {
			return err
		}
		n.patterns = append(n.patterns, patternNode{p, nodes[source]})
	}
	return nil
}

func (r *reader) fillDependencies(n *node, v any, at string) error {
	m, ok := v.(map[string]any)
	if !ok {
		return refuse(at, "expected an object, got %s", describe(v))
	}
	n.deps, n.depKeys = map[string]*node{}, map[string][]string{}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		var err error
		if _, isList := m[key].([]any); isList {
			n.depKeys[key], err = readNames(m[key], at+"/"+escape(key))
		} else {
			n.deps[key], err = r.node(m[key], at+"/"+escape(key))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func readTypes(v any, at string) (typeSet, error) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	var types typeSet
	for _, item := range list {
		name, _ := item.(string)
		i := slices.Index(typeNames, name)
		if i < 0 {
			return 0, refuse(at, "%s is not a type; expected one of %s", show(item), strings.Join(typeNames, ", "))
		}
		types |= 1 << i
	}
	if types == 0 {
		return 0, refuse(at, "no type is listed, nothing would fit; leave it out to allow any")
	}
	return types, nil
}

func (r *reader) readPattern(v any, at string) (*pattern, error) {
	source, ok := v.(string)
	if !ok {
		return nil, refuse(at, "expected a regular expression, got %s", describe(v))
	}
	tooLarge := refuse(at, "the regular expressions are too large; shorten them or check the value in the flow")
	if len(source) > maxPattern/20 {
		return nil, tooLarge
	}
	parsed, err := syntax.Parse(source, syntax.Perl)
	if err != nil {
		return nil, refuse(at, "%v; the syntax is RE2, which has no look-around and no back-references", err)
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, refuse(at, "%v", err)
	}
	weight := 0
	for _, inst := range program.Inst {
		weight += 1 + len(inst.Rune)
	}
	if r.weight += weight; r.weight > maxPattern {
		return nil, tooLarge
	}
	expr, err := regexp.Compile(source)
	if err != nil {
		return nil, refuse(at, "%v", err)
	}
	return &pattern{expr, len(program.Inst), weight}, nil
}

func readNames(v any, at string) ([]string, error) {
	list, ok := v.([]any)
	if !ok {
		if _, isBool := v.(bool); isBool {
			return nil, refuse(at, `expected a list of names, got %s; "required" belongs to the object, not to its property`, describe(v))
		}
		return nil, refuse(at, "expected a list of names, got %s", describe(v))
	}
	names := make([]string, len(list))
	for i, item := range list {
		if names[i], ok = item.(string); !ok {
			return nil, refuse(at, "expected a list of names, got %s in it", describe(item))
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

func readNumber(n *node, keyword string, v any, all map[string]any) error {
	at := n.at + "/" + keyword
	if n.numbers == nil {
		n.numbers = map[string]json.Number{}
	}
	if exclusive, isBool := v.(bool); isBool && strings.HasPrefix(keyword, "exclusive") {
		// draft-04: a flag beside the bound.
		bound, ok := all[strings.ToLower(strings.TrimPrefix(keyword, "exclusive"))].(json.Number)
		if !ok {
			return refuse(at, "expected a number, got %s", describe(v))
		}
		if exclusive {
			n.numbers[keyword] = bound
		}
		return nil
	}
	number, ok := v.(json.Number)
	if !ok {
		return refuse(at, "expected a number, got %s", describe(v))
	}
	if sign, _ := compareNumbers(string(number), "0"); keyword == "multipleOf" && sign <= 0 {
		return refuse(at, "expected a number above 0, got %s", number)
	}
	n.numbers[keyword] = number
	return nil
}

func readCount(n *node, keyword string, v any) error {
	number, ok := v.(json.Number)
	count, err := ParseInt(string(number))
	if !ok || err != nil || count < 0 || count > 1<<31-1 {
		return refuse(n.at+"/"+keyword, "expected a whole number from 0 up, got %s", show(v))
	}
	if n.counts == nil {
		n.counts = map[string]int{}
	}
	n.counts[keyword] = int(count)
	return nil
}

// checkRanges refuses a lower bound above its upper bound.
func checkRanges(n *node) error {
	for _, what := range []string{"Length", "Items", "Properties"} {
		least, hasLeast := n.counts["min"+what]
		most, hasMost := n.counts["max"+what]
		if hasLeast && hasMost && least > most {
			return refuse(n.at, "min%s %d is above max%s %d, nothing would fit", what, least, what, most)
		}
	}
	least, most := n.numbers["minimum"], n.numbers["maximum"]
	if sign, ok := compareNumbers(string(least), string(most)); least != "" && most != "" && ok && sign > 0 {
		return refuse(n.at, "minimum %s is above maximum %s, nothing would fit", least, most)
	}
	return nil
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

// refuse is a problem at a JSON pointer, which it turns into a path.
func refuse(at, format string, args ...any) error {
	path := ""
	for i, token := range strings.Split(at, "/") {
		if i > 0 {
			path = Join(path, strings.NewReplacer("~1", "/", "~0", "~").Replace(token))
		}
	}
	return &Problem{Path: path, Reason: fmt.Sprintf(format, args...)}
}

func escape(key string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(key) }
