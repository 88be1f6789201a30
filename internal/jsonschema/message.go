package jsonschema

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// describe names a value in a message: its type, and the value itself if it is short.
func describe(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(v)
	case json.Number:
		return "the number " + cut(string(v), MaxNumber)
	case string:
		return "the text " + show(v)
	case []any:
		return "a list of " + plural(len(v), "item")
	case map[string]any:
		return "an object"
	}
	return fmt.Sprintf("%T", v)
}

// show returns a value as JSON, cut short.
func show(v any) string {
	if s, ok := v.(string); ok {
		return strconv.Quote(cut(s, 60))
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%T", v)
	}
	return cut(string(text), 60)
}

func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit] + "..."
}

func size(v any) int {
	switch v := v.(type) {
	case string:
		return utf8.RuneCountInString(v)
	case []any:
		return len(v)
	case map[string]any:
		return len(v)
	}
	return 0
}

func plural(count any, noun string) string {
	if fmt.Sprint(count) == "1" {
		return "1 " + noun
	}
	return fmt.Sprint(count) + " " + noun + "s"
}

// typeWords are the JSON types as they are called in messages.
var typeWords = map[string]string{
	"array": "a list", "boolean": "true or false", "integer": "a whole number", "null": "null", "number": "a number",
	"object": "an object", "string": "text",
}

func article(types []string) string {
	words := make([]string, len(types))
	for i, t := range types {
		if words[i] = typeWords[t]; words[i] == "" {
			words[i] = t
		}
	}
	slices.Sort(words)
	if i := slices.Index(words, "null"); i >= 0 { // null goes last
		words = append(slices.Delete(words, i, i+1), "null")
	}
	return strings.Join(words, " or ")
}

// hint suggests the nearest fix of a wrong type.
func hint(expected []string, got any) string {
	switch v := got.(type) {
	case nil:
		return "; leave it out"
	case string:
		literal := strings.TrimSpace(v)
		if slices.Contains(expected, "integer") || slices.Contains(expected, "number") {
			if CheckNumber(literal) == "" {
				return "; write " + literal + " without quotes"
			}
		}
		if slices.Contains(expected, "boolean") && (literal == "true" || literal == "false") {
			return "; write " + literal + " without quotes"
		}
	case json.Number, bool:
		if slices.Contains(expected, "string") {
			return fmt.Sprintf(`; write "%v" in quotes`, v)
		}
	}
	if slices.Contains(expected, "array") {
		if _, isList := got.([]any); !isList {
			return "; put it in a list"
		}
	}
	return ""
}

// find follows keys from n and returns the node that applies there, or nil if no single one does.
func (n *node) find(keys []string) *node {
	n = n.unwrapped()
	if n == nil || len(keys) == 0 {
		return n
	}
	if i, err := strconv.Atoi(keys[0]); err == nil && n.properties == nil {
		if child := n.itemNode(i); child != nil {
			return child.find(keys[1:])
		}
	}
	free := budget{steps: maxSteps}
	for _, child := range n.keyNodes(keys[0], &free) {
		return child.find(keys[1:])
	}
	return nil
}

// unwrapped follows references, and combinations with a single branch besides null. It returns nil
// if they do not end.
func (n *node) unwrapped() *node {
	for range maxExpansion {
		switch {
		case n.ref != nil:
			n = n.ref
			continue
		case n.properties != nil || n.items != nil || n.enum != nil:
			return n
		}
		var branches []*node
		for _, other := range slices.Concat(n.allOf, n.anyOf, n.oneOf) {
			if other.types != typeNull {
				branches = append(branches, other)
			}
		}
		if len(branches) != 1 {
			return n
		}
		n = branches[0]
	}
	return nil
}

func (n *node) namesAt(keys []string) []string {
	if n = n.find(keys); n == nil {
		return nil
	}
	return n.order
}

// missing words the problem of a missing value, with what it should be.
func missing(n *node) string {
	const what = "is required and missing; "
	switch {
	case n != nil && len(n.enum) > 1:
		return what + "add one of " + list(n.enum)
	case n != nil && n.types != 0:
		return what + "add " + article(n.types.names())
	}
	return what + "add it"
}

// nearest suggests the name that a wrong name may have meant, or else lists the known names.
func nearest(name string, known []string) string {
	if guess := closest(name, known); guess != "" {
		return fmt.Sprintf("; did you mean %s?", guess)
	}
	if len(known) == 0 {
		return "; leave it out"
	}
	return "; expected one of " + cut(strings.Join(known, ", "), 300)
}

// notListed names the allowed values and the nearest of them.
func notListed(allowed []any, v any) string {
	expected := "expected one of "
	if len(allowed) == 1 {
		expected = "expected "
	}
	return expected + list(allowed) + "; got " + describe(v) + nearestOf(allowed, v)
}

// list lists values, as many as fit in a message.
func list(values []any) string {
	var text strings.Builder
	for i, v := range values {
		if text.Len() > 300 {
			fmt.Fprintf(&text, " and %d more", len(values)-i)
			break
		}
		if i > 0 {
			text.WriteString(", ")
		}
		text.WriteString(show(v))
	}
	return text.String()
}

// nearestOf suggests the allowed value that v may have meant: the text with the fewest letters to
// change, or the nearest number.
func nearestOf(allowed []any, v any) string {
	switch v := v.(type) {
	case string:
		if guess := closest(v, texts(allowed)); guess != "" {
			return fmt.Sprintf("; did you mean %q?", guess)
		}
	case json.Number:
		best, least := "", math.Inf(1)
		f, _ := v.Float64()
		for _, each := range allowed[:min(len(allowed), 500)] {
			if n, ok := each.(json.Number); ok {
				if g, _ := n.Float64(); math.Abs(g-f) < least {
					best, least = string(n), math.Abs(g-f)
				}
			}
		}
		if best != "" {
			return "; the nearest is " + best
		}
	}
	return ""
}

// texts returns the strings among the first 500 values, so that comparing with all of them stays
// cheap.
func texts(values []any) []string {
	var list []string
	for _, v := range values[:min(len(values), 500)] {
		if s, ok := v.(string); ok {
			list = append(list, s)
		}
	}
	return list
}

// closest returns the name that differs from s in at most a third of its letters and least of all,
// or "" if there is none.
func closest(s string, names []string) string {
	best, least := "", len(s)/3+1
	for _, name := range names {
		if len(name) > 100 || len(s) > 100 || len(name) >= len(s)+least || len(s) >= len(name)+least {
			continue // too long to compare, or to be close
		}
		if d := distance(strings.ToLower(s), strings.ToLower(name)); d < least {
			best, least = name, d
		}
	}
	return best
}

// distance returns the number of letters to change, add, remove or swap with their neighbour.
func distance(a, b string) int {
	// Three rows of the table of distances between prefixes of a and b.
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			change := last[j]
			if a[i] != b[j] {
				change++
			}
			row[j+1] = min(change, row[j]+1, last[j+1]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
