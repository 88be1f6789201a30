package jsonschema

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// reader converts a document to nodes, one for each location.
type reader struct {
	newest  bool             // the document declares a draft in which $ref stands beside other rules
	nodes   map[string]*node // by location
	weight  int              // of the regular expressions so far
	lookup  lookup
	pending []reference
}

// parseSchema reads a schema and refuses what could do harm. It returns the root and all reachable
// nodes.
func parseSchema(text []byte) (*node, []*node, error) {
	document, err := Parse(text, Limits{Bytes: MaxSchema, Depth: MaxDepth, Numbers: true})
	if err != nil {
		return nil, nil, err
	}
	r := &reader{nodes: map[string]*node{}, lookup: newLookup(document)}
	if r.newest, err = readDraft(document); err != nil {
		return nil, nil, err
	}
	root, err := r.node(document, "")
	if err != nil {
		return nil, nil, err
	}
	if err := r.follow(); err != nil {
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
	if len(r.nodes) >= maxNodes {
		return nil, refuse(at, "more than %d schemas in total; simplify them", maxNodes)
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
	if err := r.checkKeywords(n.at, m); err != nil {
		return err
	}
	n.value, n.isValue = m["default"]
	// Sorted, so that of several mistakes always the same one is reported.
	for _, keyword := range slices.Sorted(maps.Keys(m)) {
		if err := r.rule(n, keyword, m[keyword], m); err != nil {
			return err
		}
	}
	if err := addNull(n, m); err != nil {
		return err
	}
	return checkRanges(n)
}

// fillRef makes n the schema that a reference points to or, if there are other rules beside the
// reference, makes that schema one of them. References are resolved at the end, because their
// target may be named further down.
func (r *reader) fillRef(n *node, v any, all map[string]any) error {
	at := n.at + "/$ref"
	ref, ok := v.(string)
	if !ok {
		return refuse(at, "expected a string, got %s", describe(v))
	}
	if hasRules(all) {
		beside := &node{at: at}
		n.allOf = append(n.allOf, beside)
		n = beside
	}
	r.pending = append(r.pending, reference{n, ref, at})
	return nil
}

// follow resolves the references, and those in their targets.
func (r *reader) follow() error {
	for len(r.pending) > 0 {
		l := r.pending[0]
		r.pending = r.pending[1:]
		to, err := r.lookup.resolve(l)
		if err != nil {
			return refuse(l.at, "%v", err)
		}
		if l.from.ref, err = r.node(to.value, to.at); err != nil {
			return err
		}
	}
	return nil
}

// rule reads one keyword into n.
func (r *reader) rule(n *node, keyword string, v any, all map[string]any) (err error) {
	at := n.at + "/" + escape(keyword)
	switch keyword {
	case "$ref":
		err = r.fillRef(n, v, all)
	case "$id":
		err = r.lookup.addID(v, n.at, all)
	case "$anchor":
		err = r.lookup.addAnchor(v, n.at, all)
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
	case "writeOnly":
		var secret bool
		secret, err = readBool(v, at)
		n.secret = n.secret || secret
	case "contentEncoding", "contentMediaType":
		fillContent(n, keyword, all)
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
	case "dependencies", "dependentRequired", "dependentSchemas":
		err = r.fillDependencies(n, v, at)
	case "items":
		list, isList := v.([]any)
		switch {
		case all["prefixItems"] != nil:
			n.more, err = r.node(v, at)
		case isList:
			n.tuple, err = r.nodeList(list, at)
		default:
			n.items, err = r.node(v, at)
		}
	case "prefixItems":
		n.tuple, err = r.nodeList(v, at)
	case "additionalItems":
		n.more, err = r.node(v, at)
	case "unevaluatedProperties":
		if all["additionalProperties"] == nil {
			n.additional, err = r.node(v, at)
		}
	case "contains":
		n.contains, err = r.node(v, at)
	case "uniqueItems":
		n.unique, err = readBool(v, at)
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
		n.ifNode, err = r.node(v, at)
	case "then":
		n.thenNode, err = r.node(v, at)
	case "else":
		n.elseNode, err = r.node(v, at)
	case "definitions", "$defs":
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

// fillDependencies reads what the presence of a key requires: other keys, or a schema.
func (r *reader) fillDependencies(n *node, v any, at string) error {
	m, ok := v.(map[string]any)
	if !ok {
		return refuse(at, "expected an object, got %s", describe(v))
	}
	if n.deps != nil { // schemas under one keyword, names under another
		beside := &node{at: at}
		n.allOf = append(n.allOf, beside)
		n = beside
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

// fillContent reads contentEncoding and contentMediaType, which together are one format.
func fillContent(n *node, keyword string, all map[string]any) {
	encoding, media := all["contentEncoding"], all["contentMediaType"]
	format := ""
	switch {
	case keyword == "contentMediaType" && encoding != nil: // covered by contentEncoding
	case encoding == "base64" && media == "application/json":
		format = "byte of json"
	case encoding == "base64":
		format = "byte"
	case encoding == nil && media == "application/json":
		format = "json"
	}
	switch {
	case format == "":
	case all["format"] == nil:
		n.format = format
	default: // a rule of its own
		n.allOf = append(n.allOf, &node{at: n.at + "/" + keyword, format: format})
	}
}

func readBool(v any, at string) (bool, error) {
	b, ok := v.(bool)
	if !ok {
		return false, refuse(at, "expected true or false, got %s", describe(v))
	}
	return b, nil
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
		return 0, refuse(at, "no type is listed; leave it out to allow any")
	}
	return types, nil
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
		// draft-04: a flag beside the bound
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
	if sign, _ := compareNumbers(string(number), "0", new(budget)); keyword == "multipleOf" && sign <= 0 {
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
			return refuse(n.at, "min%s %d is above max%s %d, no value would be valid", what, least, what, most)
		}
	}
	least, most := n.numbers["minimum"], n.numbers["maximum"]
	if sign, ok := compareNumbers(string(least), string(most), new(budget)); least != "" && most != "" && ok && sign > 0 {
		return refuse(n.at, "minimum %s is above maximum %s, no value would be valid", least, most)
	}
	return nil
}

// refuse returns a problem at a JSON pointer, which it converts to a path.
func refuse(at, format string, args ...any) error {
	path := ""
	for i, token := range strings.Split(at, "/") {
		if i > 0 {
			path = Join(path, unescape(token))
		}
	}
	return &Problem{Path: path, Reason: fmt.Sprintf(format, args...)}
}

var (
	unescaper = strings.NewReplacer("~1", "/", "~0", "~")
	escaper   = strings.NewReplacer("~", "~0", "/", "~1")
)

func unescape(token string) string { return unescaper.Replace(token) }

func escape(key string) string { return escaper.Replace(key) }
