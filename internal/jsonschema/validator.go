package jsonschema

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"

	"github.com/xeipuuv/gojsonschema"
)

// ownFormat is the prefix of our formats in the library's global registry, which other code in the
// process may use as well.
const ownFormat = "provost-"

func init() {
	for name := range formats {
		gojsonschema.FormatCheckers.Add(ownFormat+name, formatChecker(name))
	}
}

// formatChecker implements the library's interface for the format of its name.
type formatChecker string

func (c formatChecker) IsFormat(input any) bool {
	if r, ok := input.(*big.Rat); ok {
		return matchesRat(string(c), r)
	}
	return matches(string(c), input)
}

// matchesRat is matches for a number, which the library passes as a fraction.
func matchesRat(format string, r *big.Rat) bool {
	if formats[format].number == nil {
		return true
	}
	if r.IsInt() {
		return matches(format, json.Number(r.Num().String()))
	}
	// The float may be whole although r is not. A format that refuses 0.5 refuses every fraction.
	f, _ := r.Float64()
	return matches(format, json.Number("0.5")) && matches(format, json.Number(strconv.FormatFloat(f, 'g', -1, 64)))
}

// validator is a schema compiled by the library.
type validator struct {
	schema *gojsonschema.Schema
	size   int // in nodes
}

// newValidator compiles the document written from root with the library.
func newValidator(root *node) (_ validator, err error) {
	defer recoverTo(&err)
	w := documentWriter{shared: map[*node]int{}, names: map[*node]string{}, definitions: map[string]any{}}
	w.count(root)
	document := map[string]any{"$schema": "http://json-schema.org/draft-07/schema#", "allOf": []any{w.refer(root)}, "definitions": w.definitions}
	for len(w.queue) > 0 {
		n := w.queue[0]
		w.queue = w.queue[1:]
		w.definitions[w.names[n]] = w.document(n)
	}
	schema, err := gojsonschema.NewSchema(gojsonschema.NewRawLoader(document))
	if err != nil {
		return validator{}, &Problem{Reason: err.Error()}
	}
	return validator{schema, len(w.shared)}, nil
}

// recoverTo turns a panic of the library into an error.
func recoverTo(err *error) {
	if r := recover(); r != nil {
		*err = &Problem{Reason: fmt.Sprintf("the schema library failed: %v", r)}
	}
}
