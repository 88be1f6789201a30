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

// explain returns what is wrong with v, which is invalid.
func (s *Schema) explain(v any) []*Problem {
	library, err := s.library()
	if err != nil {
		return []*Problem{{Reason: err.Error()}}
	}
	root := s.root.target()
	r := reporter{validators: map[*node]validator{root: library}, size: library.size, budget: budget{steps: maxSteps}, libraryLeft: maxLibrarySteps}
	r.report(root, v, "")
	if r.problems == nil { // the budget ran out before anything was found
		b := budget{steps: maxSteps}
		r.here(root, root.broken(v, &b), v, "")
	}
	return sorted(s.conceal(sorted(r.problems), v))
}

// reporter collects problems. The library explains small values. Large ones are split first,
// because the library continues over the whole value and keeps every error.
type reporter struct {
	validators  map[*node]validator
	size        int    // of the validator of the root, in nodes
	budget      budget // steps of this package that are left
	libraryLeft int    // steps of the library that are left
	problems    []*Problem
}

func (r *reporter) add(p *Problem) { r.problems = append(r.problems, p) }

func (r *reporter) full() bool { return len(r.problems) >= MaxProblems || r.budget.spent() }

// report adds the problems of v, which is invalid for n.
func (r *reporter) report(n *node, v any, path string) {
	n = n.target()
	steps := n.cost(v, r.libraryLeft)
	if r.budget.spend(min(steps, r.libraryLeft)); steps <= r.libraryLeft {
		r.libraryLeft -= steps
		if r.askLibrary(n, v, path) {
			return
		}
	}
	if rule := n.brokenAssertion(v, &r.budget); rule != "" {
		r.here(n, rule, v, path)
		return
	}
	before := len(r.problems)
	for _, other := range n.allOf {
		if !r.full() && !other.accepts(v, &r.budget) {
			r.report(other, v, path)
		}
	}
	if inner := n.unwrapped(); inner != n && inner != nil && len(r.problems) == before && !inner.accepts(v, &r.budget) {
		r.report(inner, v, path)
	}
	r.inside(n, v, path)
	if len(r.problems) == before && !r.full() {
		r.here(n, n.broken(v, &r.budget), v, path)
	}
}

// askLibrary adds the problems that the library finds. It returns false if the library would cost
// too much or finds nothing.
func (r *reporter) askLibrary(n *node, v any, path string) bool {
	j, ok := r.validators[n]
	if !ok {
		if r.libraryLeft < r.size {
			return false
		}
		r.libraryLeft -= r.size
		var err error
		if j, err = newValidator(n); err != nil {
			r.add(&Problem{Path: path, Reason: err.Error()})
			return true
		}
		r.validators[n] = j
	}
	problems := j.problems(n, v)
	for _, p := range problems {
		p.Path = Prepend(path, p.Path)
		r.add(p)
	}
	return problems != nil
}

// here adds the problem of one violated rule of n itself.
func (r *reporter) here(n *node, rule string, v any, path string) {
	m, _ := v.(map[string]any)
	switch rule {
	case "required":
		for _, name := range n.required {
			if _, ok := m[name]; !ok && !r.full() {
				r.add(brokenRule("required", Join(path, name), missing(n.find([]string{name}))))
			}
		}
	case "enum":
		r.add(brokenRule(rule, path, notListed(n.enum, v)))
	default:
		r.add(brokenByValue(rule, n.argument(rule), path, v))
	}
}

// argument returns what a rule of n asks for, as text.
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

// inside adds the problems of items and properties.
func (r *reporter) inside(n *node, v any, path string) {
	switch v := v.(type) {
	case []any:
		for i, item := range v {
			if r.full() {
				return
			}
			if child := n.itemNode(i); child != nil && !child.accepts(item, &r.budget) {
				r.report(child, item, path+index(i))
			}
		}
	case map[string]any:
		for _, key := range r.wrongKeys(n, v) {
			for _, child := range n.keyNodes(key, &r.budget) {
				switch {
				case r.full():
					return
				case child == n.additional && child.verdict != nil && !*child.verdict:
					r.add(brokenRule("additionalProperties", Join(path, key), "is not a parameter here"+nearest(key, n.order)))
				case !child.accepts(v[key], &r.budget):
					r.report(child, v[key], Join(path, key))
				}
			}
		}
	}
}

// wrongKeys returns the keys with invalid values, sorted, at most MaxProblems.
func (r *reporter) wrongKeys(n *node, m map[string]any) []string {
	var wrong []string
	for key, v := range m {
		i, _ := slices.BinarySearchFunc(wrong, key, comparePaths)
		if i == MaxProblems || !slices.ContainsFunc(n.keyNodes(key, &r.budget), func(child *node) bool { return !child.accepts(v, &r.budget) }) {
			continue
		}
		wrong = slices.Insert(wrong, i, key)
		wrong = wrong[:min(len(wrong), MaxProblems)]
	}
	return wrong
}

// problems returns what the library finds wrong with v, which has been measured against the limits.
func (j validator) problems(root *node, v any) (problems []*Problem) {
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
	// That no alternative matches is worth reporting only if none of them says why.
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

// anyAt reports whether one of the problems, which are sorted, is at path or below it.
func anyAt(problems []*Problem, path string) bool {
	for _, below := range []string{path, path + ".", path + "["} {
		i, _ := slices.BinarySearchFunc(problems, below, func(p *Problem, path string) int { return cmp.Compare(p.Path, path) })
		if i < len(problems) && (problems[i].Path == path || below != path && strings.HasPrefix(problems[i].Path, below)) {
			return true
		}
	}
	return path == "" && len(problems) > 0
}

// keywords maps the library's kinds of errors to the violated rule, and to the detail that holds
// the rule's argument.
var keywords = map[string]struct{ rule, detail string }{
	"false": {"false", ""}, "invalid_type": {"type", "expected"}, "number_any_of": {"anyOf", ""}, "number_one_of": {"oneOf", ""}, "number_not": {"not", ""},
	"array_min_items": {"minItems", "min"}, "array_max_items": {"maxItems", "max"}, "array_no_additional_items": {"items", ""},
	"array_min_properties": {"minProperties", "min"}, "array_max_properties": {"maxProperties", "max"}, "contains": {"contains", ""},
	"string_gte": {"minLength", "min"}, "string_lte": {"maxLength", "max"}, "pattern": {"pattern", "pattern"}, "format": {"format", "format"},
	"multiple_of": {"multipleOf", "multiple"}, "number_gte": {"minimum", "min"}, "number_gt": {"exclusiveMinimum", "min"},
	"number_lte": {"maximum", "max"}, "number_lt": {"exclusiveMaximum", "max"},
}

// explain converts an error of the library to a Problem, or to nil if the errors beside it already
// say as much.
func explain(root *node, v any, e gojsonschema.ResultError) *Problem {
	path, keys := pathOf(v, e.Context())
	details := e.Details()
	at := func(key string) string { return Join(path, key) }
	switch kind := e.Type(); kind {
	case "number_all_of", "condition_then", "condition_else":
		return nil
	case "required":
		name := fmt.Sprint(details["property"])
		return brokenRule("required", at(name), missing(root.find(append(keys, name))))
	case "additional_property_not_allowed":
		name := fmt.Sprint(details["property"])
		return brokenRule("additionalProperties", at(name), "is not a parameter here"+nearest(name, root.namesAt(keys)))
	case "enum", "const":
		if n := root.find(keys); n != nil && n.enum != nil {
			return brokenRule("enum", path, notListed(n.enum, e.Value()))
		}
		return brokenRule("enum", path, "expected one of "+cut(fmt.Sprint(details["allowed"]), 300)+"; got "+describe(e.Value()))
	case "missing_dependency":
		return brokenRule("required", at(fmt.Sprint(details["dependency"])), "is required together with another parameter; add it")
	case "unique":
		return brokenRule("uniqueItems", path, fmt.Sprintf("items %v and %v are equal; remove one of them", details["i"], details["j"]))
	case "invalid_property_name":
		return brokenRule("propertyNames", path, fmt.Sprintf("%q is not allowed as a key here", cut(fmt.Sprint(details["property"]), 60)))
	default:
		known, ok := keywords[kind]
		if !ok {
			return brokenRule("", path, e.Description())
		}
		return brokenByValue(known.rule, argument(details[known.detail]), path, e.Value())
	}
}

// argument formats a detail of an error in our own way.
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

// reason describes how v violates a rule and what would satisfy it. The argument is what the rule
// asks for.
func reason(rule, argument string, v any) string {
	got := describe(v)
	switch rule {
	case "false":
		return "nothing is allowed here; leave it out"
	case "type":
		expected := strings.Split(argument, ",")
		return "expected " + article(expected) + ", got " + got + hint(expected, v)
	case "anyOf":
		return "matches none of the allowed forms, got " + got
	case "oneOf":
		return "must match exactly one of the allowed forms, got " + got
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
		return fmt.Sprintf("got %s, more than the schema describes; send fewer", plural(size(v), "item"))
	case "uniqueItems":
		return fmt.Sprintf("two of the %d items are equal; remove one of them", size(v))
	case "contains":
		return "no item matches the form that the list must contain"
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
	return fmt.Sprintf("violates %q of the schema, got %s", rule, got)
}

// nearestMultiples names the allowed numbers around a whole number.
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

// separator separates the keys that the library joins in one text. It is random, so that no key can
// contain it.
var separator = "\x00" + rand.Text()

// pathOf returns where an error is: as a path, and as the keys that lead there.
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
