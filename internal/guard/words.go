package guard

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// describe names a value for a message: its type, and the value itself if it is short.
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

func isScalar(v any) bool {
	switch v.(type) {
	case nil, []any, map[string]any:
		return false
	}
	return true
}

// show writes a value as JSON, cut short.
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

// typeWords are the JSON types as a sentence has them.
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
	if i := slices.Index(words, "null"); i >= 0 { // last
		words = append(slices.Delete(words, i, i+1), "null")
	}
	return strings.Join(words, " or ")
}

// hint is the nearest fix of a wrong type.
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

// find follows keys from n to the node that judges what is there, nil if no single one does.
func (n *node) find(keys []string) *node {
	n = n.solid()
	if n == nil || len(keys) == 0 {
		return n
	}
	key := keys[0]
	if i, err := strconv.Atoi(key); err == nil && n.properties == nil {
		if list := n.itemNodes(i); len(list) > 0 {
			return list[0].find(keys[1:])
		}
	}
	for _, child := range n.keyNodes(key) {
		return child.find(keys[1:])
	}
	return nil
}

// solid steps through references and through combinations with one branch that is more than null.
func (n *node) solid() *node {
	for range maxApplied {
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

func allowedStrings(n *node) []string {
	if n == nil {
		return nil
	}
	var list []string
	for _, v := range n.enum {
		if s, ok := v.(string); ok {
			list = append(list, s)
		}
	}
	return list
}

// missing tells what a required value should be.
func missing(n *node) string {
	const what = "is required and missing; "
	switch {
	case n != nil && len(n.enum) > 1:
		words := make([]string, len(n.enum))
		for i, v := range n.enum {
			words[i] = show(v)
		}
		return what + "add one of " + cut(strings.Join(words, ", "), 300)
	case n != nil && n.types != 0:
		return what + "add " + article(n.types.names())
	}
	return what + "add it"
}

// nearest tells what a wrong name may have meant, else which names there are.
func nearest(name string, known []string) string {
	if guess := closest(name, known); guess != "" {
		return fmt.Sprintf("; did you mean %s?", guess)
	}
	if len(known) == 0 {
		return "; leave it out"
	}
	return "; known are " + cut(strings.Join(known, ", "), 300)
}

func didYouMean(v any, allowed []string) string {
	s, ok := v.(string)
	if guess := closest(s, allowed); ok && guess != "" {
		return fmt.Sprintf("; did you mean %q?", guess)
	}
	return ""
}

// closest is the name within a third of the letters of what was written, "" if none is.
func closest(s string, names []string) string {
	best, least := "", len(s)/3+1
	for _, name := range names {
		if len(name) > 100 || len(s) > 100 {
			continue
		}
		if d := distance(strings.ToLower(s), strings.ToLower(name)); d < least {
			best, least = name, d
		}
	}
	return best
}

// distance is the number of letters to change, add, remove or swap with their neighbour.
func distance(a, b string) int {
	// Three rows of the table of distances between beginnings of a and b.
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
