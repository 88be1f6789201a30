// Package guard stands between provost and its JSON Schema library, which dies on hostile input: it fetches remote
// references, overflows the stack on reference cycles, panics on large exponents and ignores newer keywords in silence.
//
// A schema is read by this package, refused where it asks for what the library cannot do safely, and written anew from
// what was understood; the library never sees the text of a stranger. A value is measured before the library walks it.
// Nothing else in the module may import gojsonschema, but for tests that compare with it.
package jsonschema

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
)

// Bounds on what comes from outside.
const (
	MaxSchema   = 256 << 10 // bytes of a schema
	MaxValue    = 512 << 10 // bytes of a value's JSON
	MaxDepth    = 64        // arrays and objects inside each other, in a schema or a value
	MaxNumber   = 40        // characters of a number
	MaxExponent = 308       // of a number, either sign
	MaxProblems = 50        // reported for one value

	maxNodes   = 5_000   // schemas in one document
	maxApplied = 1_000   // schemas that may judge one and the same value through allOf, $ref and the like
	maxChecked = 300_000 // steps of our own over one value, some tens of nanoseconds each
	maxAsked   = 2_000   // steps of the library over what is wrong with it, some microseconds each
)

// Problem is one thing wrong with a schema or a value.
type Problem struct {
	Path   string // from the top: "customer.address[2].zip", "" for the whole
	Reason string // what was expected, what came, how to fix it

	rule, argument string // what Reason says without the value, "" if unknown
}

func (p *Problem) Error() string {
	if p.Path == "" {
		return p.Reason
	}
	return p.Path + ": " + p.Reason
}

// Schema is a compiled schema. It is safe for concurrent use.
type Schema struct {
	root    *node
	secrets *node   // tells what is secret: the root, of which partial may have less
	partial *Schema // judges values that a later layer completes
	library func() (judge, error)
	// defaults is nil if there are none.
	defaults map[string]any
}

// Compile reads a schema of JSON Schema draft-07, of the drafts before it as far as they agree, and of those after it as
// far as they can be said in its words. The error is a *Problem whose path leads into the schema.
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
	// The library compiles now, so that a schema it cannot take is refused here and not at the first run.
	_, err := s.library()
	return s, err
}

func newSchema(root *node) *Schema {
	return &Schema{root: root, secrets: root, library: sync.OnceValues(func() (judge, error) { return newJudge(root) })}
}

// Validate returns what is wrong with v, sorted by path and at most [MaxProblems]; nil if v fits. The value holds only
// nil, bool, string, json.Number, []any and map[string]any.
//
// It says yes alone; to a no it asks the library what is wrong.
func (s *Schema) Validate(v any) []*Problem {
	b := budget{steps: maxChecked}
	if s.root.fits(v, &b) {
		return nil
	}
	if problem := CheckValue(v); problem != nil {
		return []*Problem{problem}
	}
	if b.spent() {
		return []*Problem{{Reason: fmt.Sprintf("checking this value against its schema takes more than %d steps; send less, or simplify the schema", maxChecked)}}
	}
	return s.explain(v)
}

// ValidatePartial is Validate for the lower layers of a value: nothing is required of the top level.
func (s *Schema) ValidatePartial(v any) []*Problem { return s.partial.Validate(v) }

// Defaults returns the value that the schema gives to an object that says nothing, nil if it has no default. The caller
// may change it.
func (s *Schema) Defaults() map[string]any {
	if s.defaults == nil {
		return nil
	}
	return clone(s.defaults).(map[string]any)
}

// Empty says that every object that has no key fits, whatever else the schema asks for.
func (s *Schema) Empty() bool {
	b := budget{steps: maxChecked}
	return s.root.fits(map[string]any{}, &b)
}

func sorted(problems []*Problem) []*Problem {
	slices.SortFunc(problems, func(a, b *Problem) int {
		return cmp.Or(comparePaths(a.Path, b.Path), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Reason, b.Reason))
	})
	problems = slices.CompactFunc(problems, func(a, b *Problem) bool { return *a == *b })
	return problems[:min(len(problems), MaxProblems)]
}

// comparePaths compares numbers in paths as numbers: item 2 comes before item 10.
func comparePaths(a, b string) int {
	for a != "" && b != "" {
		i, j := leadingDigits(a), leadingDigits(b)
		if i == 0 || j == 0 {
			if a[0] != b[0] {
				return cmp.Compare(a[0], b[0])
			}
			a, b = a[1:], b[1:]
			continue
		}
		if c := cmp.Or(cmp.Compare(i, j), cmp.Compare(a[:i], b[:j])); c != 0 {
			return c
		}
		a, b = a[i:], b[j:]
	}
	return cmp.Compare(a, b)
}
