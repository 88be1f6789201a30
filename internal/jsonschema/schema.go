package jsonschema

import (
	"fmt"
	"sync"
)

// Schema is a compiled JSON Schema. It is safe for concurrent use.
type Schema struct {
	root    *node
	secrets *node   // defines what is secret; partial uses the root of the complete schema
	partial *Schema // validates values that a later layer completes
	library func() (validator, error)

	defaults map[string]any // nil if there are none
}

// Compile compiles a schema. It accepts JSON Schema draft-07, earlier drafts where they agree with
// draft-07, and keywords of later drafts where draft-07 can express them. The error is a [*Problem]
// whose path leads into the schema.
func Compile(text []byte) (*Schema, error) {
	root, nodes, err := parseSchema(text)
	if err != nil {
		return nil, err
	}
	markSecrets(nodes)
	if err := checkSecretDefaults(nodes); err != nil {
		return nil, err
	}
	defaults, err := readDefaults(root, nodes)
	if err != nil {
		return nil, err
	}
	s, err := compile(root)
	if err != nil {
		return nil, err
	}
	s.defaults = defaults
	return s, nil
}

func compile(root *node) (*Schema, error) {
	s := newSchema(root)
	s.partial = s
	if loose := root.loosened(); loose != root {
		s.partial = newSchema(loose)
		s.partial.secrets = root
	}
	// Compile for the library now, so that a schema it cannot compile is refused here and not at
	// the first run.
	_, err := s.library()
	return s, err
}

func newSchema(root *node) *Schema {
	return &Schema{root: root, secrets: root, library: sync.OnceValues(func() (validator, error) { return newValidator(root) })}
}

// Validate returns the problems of v, sorted by path and at most [MaxProblems], or nil if v is
// valid. The value must consist of nil, bool, string, json.Number, []any and map[string]any only.
//
// Validate accepts a value by itself. Only to explain a refusal does it ask the library.
func (s *Schema) Validate(v any) []*Problem {
	b := budget{steps: maxSteps}
	if s.root.fits(v, &b) {
		return nil
	}
	if problem := CheckValue(v); problem != nil {
		return []*Problem{problem}
	}
	if b.spent() {
		return []*Problem{{Reason: fmt.Sprintf("checking this value against its schema takes more than %d steps; send a smaller value or simplify the schema", maxSteps)}}
	}
	return s.explain(v)
}

// ValidatePartial is like Validate for the lower layers of a value: nothing is required at the top
// level.
func (s *Schema) ValidatePartial(v any) []*Problem { return s.partial.Validate(v) }

// Defaults returns the defaults that the schema defines for an empty object, nested ones included,
// or nil if it has none. The caller may change the result.
func (s *Schema) Defaults() map[string]any {
	if s.defaults == nil {
		return nil
	}
	return clone(s.defaults).(map[string]any)
}

// AcceptsEmpty reports whether the empty object is valid.
func (s *Schema) AcceptsEmpty() bool {
	b := budget{steps: maxSteps}
	return s.root.fits(map[string]any{}, &b)
}
