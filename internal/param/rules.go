package param

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/provost-go/provost/internal/jsonschema"
)

// rules are what the tags of a field require of its value beyond its type. Like the fast path,
// which applies them, they accept a value only if the schema does.
type rules struct {
	quoted bool // the tag option ",string"

	enum            bool
	texts, literals []string // the allowed values: texts, and all others as JSON literals

	bounds     []bound
	multipleOf string
	format     string

	minLength, maxLength int // -1: no bound
	pattern              *regexp.Regexp

	minItems, maxItems int
	unique             bool
	items              *rules
}

// bound is a number that values are compared with.
type bound struct {
	literal string
	value   float64
	fits    func(sign int) bool // reports whether a value with this sign relative to the bound is allowed
}

// newRules reads the rules from the schema of a field. It returns nil if there are none.
func newRules(f *field, schema members) *rules {
	r := &rules{quoted: f.quoted, minLength: -1, maxLength: -1, minItems: -1, maxItems: -1}
	found := f.quoted
	for _, rule := range tagRules {
		if _, tagged := f.tag.Lookup(rule.tag); tagged {
			r.add(rule.tag, schema.get(rule.tag))
			found = true
		}
	}
	if f.quoted {
		if pattern, ok := schema.get("pattern").(string); ok {
			r.pattern = regexp.MustCompile(pattern)
		}
	}
	if values, ok := schema.get("enum").([]any); ok {
		r.list(values)
		found = true
	}
	if items, ok := schema.get("items").(members); ok {
		if values, ok := items.get("enum").([]any); ok {
			r.items = &rules{minLength: -1, maxLength: -1, minItems: -1, maxItems: -1}
			r.items.list(values)
			found = true
		}
	}
	if !found {
		return nil
	}
	return r
}

func (r *rules) add(tag string, value any) {
	switch tag {
	case "minimum":
		r.bound(value, func(sign int) bool { return sign >= 0 })
	case "maximum":
		r.bound(value, func(sign int) bool { return sign <= 0 })
	case "exclusiveMinimum":
		r.bound(value, func(sign int) bool { return sign > 0 })
	case "exclusiveMaximum":
		r.bound(value, func(sign int) bool { return sign < 0 })
	case "multipleOf":
		r.multipleOf = string(value.(json.Number))
	case "format":
		r.format = value.(string)
	case "pattern":
		r.pattern = regexp.MustCompile(value.(string))
	case "minLength":
		r.minLength = int(value.(uint64))
	case "maxLength":
		r.maxLength = int(value.(uint64))
	case "minItems":
		r.minItems = int(value.(uint64))
	case "maxItems":
		r.maxItems = int(value.(uint64))
	case "uniqueItems":
		r.unique = value.(bool)
	}
}

func (r *rules) bound(value any, fits func(int) bool) {
	literal := string(value.(json.Number))
	if f, err := strconv.ParseFloat(literal, 64); err == nil {
		r.bounds = append(r.bounds, bound{literal, f, fits})
	}
}

func (r *rules) list(values []any) {
	r.enum = true
	for _, v := range values {
		switch v := v.(type) {
		case string:
			r.texts = append(r.texts, v)
		case json.Number:
			r.literals = append(r.literals, string(v))
		case bool:
			r.literals = append(r.literals, strconv.FormatBool(v))
		}
	}
}

func (r *rules) fitText(s string) bool {
	if r == nil {
		return true
	}
	if r.minLength >= 0 || r.maxLength >= 0 {
		if n := utf8.RuneCountInString(s); n < r.minLength || r.maxLength >= 0 && n > r.maxLength {
			return false
		}
	}
	return (!r.enum || slices.Contains(r.texts, s)) &&
		(r.pattern == nil || r.pattern.MatchString(s)) &&
		(r.format == "" || jsonschema.TextFits(r.format, s))
}

func (r *rules) fitBool(b bool) bool {
	return r == nil || !r.quoted && (!r.enum || slices.Contains(r.literals, strconv.FormatBool(b)))
}

func (r *rules) fitNumber(literal string) bool {
	if r == nil {
		return true
	}
	if r.enum && !slices.Contains(r.literals, literal) {
		return false
	}
	if len(r.bounds) > 0 {
		f, err := strconv.ParseFloat(literal, 64)
		if err != nil {
			return false
		}
		for i := range r.bounds {
			if !r.bounds[i].fit(literal, f) {
				return false
			}
		}
	}
	return (r.multipleOf == "" || jsonschema.IsMultiple(literal, r.multipleOf)) &&
		(r.format == "" || jsonschema.NumberFits(r.format, literal))
}

// fit compares the floats first. Rounding keeps the order, so only equal floats need exact
// arithmetic.
func (b *bound) fit(literal string, f float64) bool {
	switch {
	case f < b.value:
		return b.fits(-1)
	case f > b.value:
		return b.fits(1)
	}
	sign, ok := jsonschema.Compare(literal, b.literal)
	return ok && b.fits(sign)
}

func (r *rules) fitLength(n int) bool {
	return r == nil || n >= r.minItems && (r.maxItems < 0 || n <= r.maxItems)
}
