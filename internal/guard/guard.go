// Package guard stands between provost and its JSON Schema library, which dies on hostile input: it fetches remote
// references, overflows the stack on reference cycles, panics on large exponents and ignores newer keywords in silence.
//
// A schema is read by this package, refused where it asks for what the library cannot do safely, and written anew from
// what was understood; the library never sees the text of a stranger. A value is measured before the library walks it.
// Nothing else in the module may import gojsonschema.
package guard

import (
	"cmp"
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

	maxApplied = 1_000   // schemas that may judge one and the same value through allOf, $ref and the like
	maxPattern = 200_000 // weight of a schema's compiled regular expressions: instructions and their character ranges
	maxFilled  = 10_000  // schemas looked at for defaults
	maxWork    = 100_000 // steps the library may take over one value, some microseconds each
)

// Problem is one thing wrong with a schema or a value.
type Problem struct {
	Path   string // from the top: "customer.address[2].zip", "" for the whole
	Reason string // what was expected, what came, how to fix it
}

func (p *Problem) Error() string {
	if p.Path == "" {
		return p.Reason
	}
	return p.Path + ": " + p.Reason
}

// Schema is a compiled schema. It is safe for concurrent use.
type Schema struct {
	root *node
	// direct says that check alone understands the schema, so that the library is asked only to explain a refusal.
	direct bool
	// partial judges values that a later layer completes.
	partial *Schema
	library func() (judge, error)
	// defaults is nil if there are none.
	defaults map[string]any
}

// Compile reads a schema of JSON Schema draft-07 (or -04 and -06, where they agree with it). The error is a *Problem
// whose path leads into the schema.
func Compile(text []byte) (*Schema, error) {
	root, nodes, err := parseSchema(text)
	if err != nil {
		return nil, err
	}
	markSecrets(nodes)
	direct := true
	for _, n := range nodes {
		direct = direct && n.plain()
	}
	s := newSchema(root, direct)
	s.partial = s
	if loose := root.loosened(); loose != root {
		s.partial = newSchema(loose, direct)
	}
	// The library compiles now, so that a schema it cannot take is refused here and not at the first run.
	if _, err := s.library(); err != nil {
		return nil, err
	}
	if err := checkDefaults(nodes, direct); err != nil {
		return nil, err
	}
	if err := checkSecretDefaults(nodes); err != nil {
		return nil, err
	}
	if v, ok := (&filler{open: map[*node]bool{}, steps: maxFilled}).value(root); ok {
		s.defaults, _ = v.(map[string]any)
	}
	return s, nil
}

func newSchema(root *node, direct bool) *Schema {
	return &Schema{root: root, direct: direct, library: sync.OnceValues(func() (judge, error) { return newJudge(root) })}
}

// Validate returns what is wrong with v, sorted by path and at most [MaxProblems]; nil if v fits. The value holds only
// nil, bool, string, json.Number, []any and map[string]any.
func (s *Schema) Validate(v any) []*Problem {
	if s.direct && s.root.fits(v) {
		return nil
	}
	if problem := CheckValue(v); problem != nil {
		return []*Problem{problem}
	}
	if problem := s.root.checkSizes(v); problem != nil {
		return []*Problem{problem}
	}
	judge, err := s.library()
	if err != nil {
		return []*Problem{{Reason: err.Error()}}
	}
	return sorted(judge.problems(s.root, v))
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
func (s *Schema) Empty() bool { return s.root.fits(map[string]any{}) }

func sorted(problems []*Problem) []*Problem {
	sortProblems(problems)
	problems = slices.CompactFunc(problems, func(a, b *Problem) bool { return *a == *b })
	return problems[:min(len(problems), MaxProblems)]
}

func sortProblems(problems []*Problem) {
	slices.SortFunc(problems, func(a, b *Problem) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Reason, b.Reason))
	})
}
