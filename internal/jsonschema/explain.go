package jsonschema

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/xeipuuv/gojsonschema"
)

// explain says what is wrong with v, which does not fit.
func (s *Schema) explain(v any) []*Problem {
	library, err := s.library()
	if err != nil {
		return []*Problem{{Reason: err.Error()}}
	}
	root := s.root.target()
	r := reporter{judges: map[*node]judge{root: library}, size: library.size, checked: budget{steps: maxChecked}, asked: maxAsked}
	r.report(root, v, "")
	if r.problems == nil { // not found again in time
		b := budget{steps: maxChecked}
		r.here(root, root.broken(v, &b), v, "")
	}
	return sorted(s.concealed(sorted(r.problems), v))
}

// reporter collects problems. The library explains what is small; what is large is taken apart first, because the library
// goes on over all of it and keeps each error.
type reporter struct {
	judges   map[*node]judge
	size     int    // of the largest judge in nodes
	checked  budget // steps of our own that are left
	asked    int    // steps of the library that are left
	problems []*Problem
}

func (r *reporter) add(p *Problem) { r.problems = append(r.problems, p) }

func (r *reporter) full() bool { return len(r.problems) >= MaxProblems || r.checked.spent() }

// report adds what is wrong with v by a node that v does not fit.
func (r *reporter) report(n *node, v any, path string) {
	n = n.target()
	steps := n.cost(v, r.asked)
	if r.checked.spend(min(steps, r.asked)); steps <= r.asked {
		r.asked -= steps
		if r.ask(n, v, path) {
			return
		}
	}
	if rule := n.brokenHere(v, &r.checked); rule != "" {
		r.here(n, rule, v, path)
		return
	}
	before := len(r.problems)
	for _, other := range n.allOf {
		if !r.full() && !other.takes(v, &r.checked) {
			r.report(other, v, path)
		}
	}
	if inner := n.solid(); inner != n && inner != nil && len(r.problems) == before && !inner.takes(v, &r.checked) {
		r.report(inner, v, path)
	}
	r.inside(n, v, path)
	if len(r.problems) == before && !r.full() {
		r.here(n, n.broken(v, &r.checked), v, path)
	}
}

// ask lets the library explain; it is false if the library is too dear.
func (r *reporter) ask(n *node, v any, path string) bool {
	j, ok := r.judges[n]
	if !ok {
		if r.asked < r.size {
			return false
		}
		r.asked -= r.size
		var err error
		if j, err = newJudge(n); err != nil {
			r.add(&Problem{Path: path, Reason: err.Error()})
			return true
		}
		r.judges[n] = j
	}
	problems := j.problems(n, v)
	for _, p := range problems {
		p.Path = Prepend(path, p.Path)
		r.add(p)
	}
	return problems != nil
}

// here reports a rule of n itself.
func (r *reporter) here(n *node, rule string, v any, path string) {
	m, _ := v.(map[string]any)
	switch rule {
	case "required":
		for _, name := range n.required {
			if _, ok := m[name]; !ok && !r.full() {
				r.add(broke("required", Join(path, name), missing(n.find([]string{name}))))
			}
		}
	case "enum":
		r.add(broke(rule, path, notListed(n.enum, v)))
	default:
		r.add(brokenBy(rule, n.argument(rule), path, v))
	}
}

// argument is what a rule of n asks for, as text.
func (n *node) argument(rule string) string {
	if count, ok := n.counts[rule]; ok {
		return strconv.Itoa(count)
	}
	switch {
	case rule == "type":
		return strings.Join(n.types.names(), ",")
	case rule == "format":
		return n.format
	case rule == "pattern":
		return n.pattern.expr.String()
	}
	return string(n.numbers[rule])
}

// inside reports the items and properties that do not fit.
func (r *reporter) inside(n *node, v any, path string) {
	switch v := v.(type) {
	case []any:
		for i, item := range v {
			if r.full() {
				return
			}
			if child := n.itemNode(i); child != nil && !child.takes(item, &r.checked) {
				r.report(child, item, path+index(i))
			}
		}
	case map[string]any:
		for _, key := range r.wrongKeys(n, v) {
			for _, child := range n.keyNodes(key, &r.checked) {
				switch {
				case r.full():
					return
				case child == n.additional && child.verdict != nil && !*child.verdict:
					r.add(broke("additionalProperties", Join(path, key), "is not a parameter here"+nearest(key, n.order)))
				case !child.takes(v[key], &r.checked):
					r.report(child, v[key], Join(path, key))
				}
			}
		}
	}
}

// wrongKeys are the first of the keys whose values do not fit, sorted.
func (r *reporter) wrongKeys(n *node, m map[string]any) []string {
	var wrong []string
	for key, v := range m {
		i, _ := slices.BinarySearchFunc(wrong, key, comparePaths)
		if i == MaxProblems || !slices.ContainsFunc(n.keyNodes(key, &r.checked), func(child *node) bool { return !child.takes(v, &r.checked) }) {
			continue
		}
		wrong = slices.Insert(wrong, i, key)
		wrong = wrong[:min(len(wrong), MaxProblems)]
	}
	return wrong
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
	for _, e := range result.Errors() {
		p := explain(root, v, e)
		switch {
		case p == nil:
		case e.Type() == "number_any_of" || e.Type() == "number_one_of":
			vague = append(vague, p)
		default:
			problems = append(problems, p)
		}
	}
	slices.SortFunc(problems, func(a, b *Problem) int { return cmp.Compare(a.Path, b.Path) })
	vague = slices.DeleteFunc(vague, func(p *Problem) bool { return anyAt(problems, p.Path) })
	return append(problems, vague...)
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

// keywords are the rules behind the library's kinds of error, with the detail that says what the rule asks for.
var keywords = map[string]struct{ rule, detail string }{
	"false": {"false", ""}, "invalid_type": {"type", "expected"}, "number_any_of": {"anyOf", ""}, "number_one_of": {"oneOf", ""}, "number_not": {"not", ""},
	"array_min_items": {"minItems", "min"}, "array_max_items": {"maxItems", "max"}, "array_no_additional_items": {"items", ""},
	"array_min_properties": {"minProperties", "min"}, "array_max_properties": {"maxProperties", "max"}, "contains": {"contains", ""},
	"string_gte": {"minLength", "min"}, "string_lte": {"maxLength", "max"}, "pattern": {"pattern", "pattern"}, "format": {"format", "format"},
	"multiple_of": {"multipleOf", "multiple"}, "number_gte": {"minimum", "min"}, "number_gt": {"exclusiveMinimum", "min"},
	"number_lte": {"maximum", "max"}, "number_lt": {"exclusiveMaximum", "max"},
}

// explain turns an error of the library into one of ours; nil if it says no more than those beside it.
func explain(root *node, v any, e gojsonschema.ResultError) *Problem {
	path, keys := pathOf(v, e.Context())
	details := e.Details()
	at := func(key string) string { return Join(path, key) }
	switch kind := e.Type(); kind {
	case "number_all_of", "condition_then", "condition_else":
		return nil
	case "required":
		name := fmt.Sprint(details["property"])
		return broke("required", at(name), missing(root.find(append(keys, name))))
	case "additional_property_not_allowed":
		name := fmt.Sprint(details["property"])
		return broke("additionalProperties", at(name), "is not a parameter here"+nearest(name, root.namesAt(keys)))
	case "enum", "const":
		if n := root.find(keys); n != nil && n.enum != nil {
			return broke("enum", path, notListed(n.enum, e.Value()))
		}
		return broke("enum", path, "expected one of "+cut(fmt.Sprint(details["allowed"]), 300)+"; got "+describe(e.Value()))
	case "missing_dependency":
		return broke("required", at(fmt.Sprint(details["dependency"])), "is required beside another parameter and missing; add it")
	case "unique":
		return broke("uniqueItems", path, fmt.Sprintf("items %v and %v are equal; remove one of them", details["i"], details["j"]))
	case "invalid_property_name":
		return broke("propertyNames", path, fmt.Sprintf("%q is not allowed as a key here", cut(fmt.Sprint(details["property"]), 60)))
	default:
		known, ok := keywords[kind]
		if !ok {
			return broke("", path, e.Description())
		}
		return brokenBy(known.rule, argument(details[known.detail]), path, e.Value())
	}
}

func broke(rule, path, reason string) *Problem {
	return &Problem{Path: path, Reason: reason, rule: rule}
}

func brokenBy(rule, argument, path string, v any) *Problem {
	return &Problem{path, reason(rule, argument, v), rule, argument}
}

// argument is a detail of an error as we write it.
func argument(detail any) string {
	f, ok := detail.(*big.Float)
	switch {
	case !ok:
		return strings.TrimPrefix(strings.Trim(fmt.Sprint(detail), "[]"), ownFormat)
	case f.IsInt() && f.MantExp(nil) <= 64:
		return f.Text('f', 0)
	}
	return f.Text('g', 15)
}

// reason says which rule v breaks and what would not; argument is what the rule asks for.
func reason(rule, argument string, v any) string {
	got := describe(v)
	switch rule {
	case "false":
		return "nothing is allowed here; leave it out"
	case "type":
		expected := strings.Split(argument, ",")
		return "expected " + article(expected) + ", got " + got + hint(expected, v)
	case "anyOf":
		return "fits none of the allowed forms, got " + got
	case "oneOf":
		return "must fit exactly one of the allowed forms, got " + got
	case "not":
		return got + " is excluded here; choose another value"
	case "minItems":
		return fmt.Sprintf("expected at least %s, got %d; send more", plural(argument, "item"), size(v))
	case "maxItems":
		return fmt.Sprintf("expected at most %s, got %d; send fewer", plural(argument, "item"), size(v))
	case "minProperties":
		return fmt.Sprintf("expected at least %s, got %d; send more", plural(argument, "key"), size(v))
	case "maxProperties":
		return fmt.Sprintf("expected at most %s, got %d; send fewer", plural(argument, "key"), size(v))
	case "items":
		return fmt.Sprintf("got %s, more than are described; send fewer", plural(size(v), "item"))
	case "uniqueItems":
		return fmt.Sprintf("two of the %d items are equal; remove one of them", size(v))
	case "contains":
		return "no item is of the form that must be in the list"
	case "minLength":
		return fmt.Sprintf("expected at least %s, got %s", plural(argument, "character"), got)
	case "maxLength":
		return fmt.Sprintf("expected at most %s, got %d: %s", plural(argument, "character"), size(v), got)
	case "pattern":
		return fmt.Sprintf("expected text that matches %s, got %s", argument, got)
	case "format":
		return fmt.Sprintf("expected the format %s, such as %s; got %s", argument, formats[argument].example, got)
	case "multipleOf":
		return fmt.Sprintf("expected a multiple of %s, got %s%s", argument, got, nearestMultiples(v, argument))
	case "minimum":
		return fmt.Sprintf("expected at least %s, got %s", argument, got)
	case "exclusiveMinimum":
		return fmt.Sprintf("expected more than %s, got %s", argument, got)
	case "maximum":
		return fmt.Sprintf("expected at most %s, got %s", argument, got)
	case "exclusiveMaximum":
		return fmt.Sprintf("expected less than %s, got %s", argument, got)
	}
	return fmt.Sprintf("does not fit the rule %q of the schema, got %s", rule, got)
}

// nearestMultiples names the allowed numbers around a whole one.
func nearestMultiples(v any, of string) string {
	number, _ := v.(json.Number)
	x, errX := ParseInt(string(number))
	step, errStep := ParseInt(of)
	if errX != nil || errStep != nil || step <= 0 || x < -1<<62 || x > 1<<62 || step > 1<<60 {
		return ""
	}
	below := x - ((x%step)+step)%step
	return fmt.Sprintf("; the nearest are %d and %d", below, below+step)
}

// separator stands between the keys that the library writes as one text. Nobody can have it in a key.
var separator = "\x00" + rand.Text()

// pathOf is the place of an error: as a path, and as the keys that lead there.
func pathOf(v any, context *gojsonschema.JsonContext) (path string, keys []string) {
	steps := strings.Split(context.String(separator), separator)
	for _, key := range steps[1:] { // the first is the root
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
