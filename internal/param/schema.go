package param

import (
	"encoding/json"
	"errors"
	"sync"

	"github.com/provost-go/provost/internal/jsonschema"
	"github.com/provost-go/provost/params"
)

// Schema is a compiled schema of parameters. It is safe for concurrent use.
type Schema struct {
	Schema *jsonschema.Schema // never nil

	// emptyFits reports whether empty parameters are valid, which is then answered without work.
	emptyFits bool
}

// compiledSchemas caches compiled schemas by their text.
var compiledSchemas schemaCache

// Compile compiles a schema, which may come from outside. The error is a [*params.Error] whose path
// leads into the schema.
func Compile(raw json.RawMessage) (*Schema, error) {
	if v := compiledSchemas.get(raw); v != nil {
		return v, nil
	}
	schema, err := jsonschema.Compile(raw)
	if err != nil {
		return nil, fromProblem(err)
	}
	v := &Schema{Schema: schema, emptyFits: schema.AcceptsEmpty()}
	compiledSchemas.put(raw, v)
	return v, nil
}

// Validate checks complete parameters. The error is a [*params.Error] or up to 50 of them joined,
// sorted by path.
func (s *Schema) Validate(p params.Params) error {
	if len(p) == 0 && s.emptyFits {
		return nil
	}
	return s.run(p, s.Schema.Validate)
}

// ValidatePartial is like Validate for parameters that a higher layer completes: nothing is
// required at the top level.
func (s *Schema) ValidatePartial(p params.Params) error {
	if len(p) == 0 {
		return nil
	}
	return s.run(p, s.Schema.ValidatePartial)
}

func (s *Schema) run(p params.Params, judge func(any) []*jsonschema.Problem) error {
	plain, err := Normalize(p)
	if err != nil {
		return err
	}
	if plain == nil {
		plain = params.Params{}
	}
	problems := judge(map[string]any(plain))
	if problems == nil {
		return nil
	}
	errs := make([]error, len(problems))
	for i, problem := range problems {
		errs[i] = &params.Error{Path: problem.Path, Reason: problem.Reason}
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// Defaults returns the defaults that the schema defines for absent parameters, nested ones
// included, or nil if there are none. The caller may change the result.
func (s *Schema) Defaults() params.Params { return s.Schema.Defaults() }

// schemaCache is bounded by the total size of its texts. It evicts arbitrary entries, since a
// process knows few schemas.
type schemaCache struct {
	mu    sync.RWMutex // guards the fields below
	known map[string]*Schema
	bytes int
}

const maxCachedSchemas = 4 << 20 // bytes of schema text

func (c *schemaCache) get(raw []byte) *Schema {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.known[string(raw)]
}

func (c *schemaCache) put(raw []byte, v *Schema) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known[string(raw)] != nil {
		return
	}
	if c.known == nil {
		c.known = map[string]*Schema{}
	}
	for text := range c.known {
		if c.bytes+len(raw) <= maxCachedSchemas {
			break
		}
		delete(c.known, text)
		c.bytes -= len(text)
	}
	c.known[string(raw)] = v
	c.bytes += len(raw)
}
