package params

import "github.com/provost-go/provost/internal/jsonschema"

// Params holds the parameters of a run by name. A value may be anything that has a JSON form.
// Provost converts the values when it takes the parameters: a time.Duration becomes "1h30m0s", a
// time.Time becomes text in RFC 3339, and a struct becomes an object. Parameters that are read back
// contain only nil, bool, string, json.Number, []any and map[string]any and, inside a run, a
// Secret[any] in place of each secret.
//
// A parameter that is declared as a [Secret] may be given as one. Printing Params shows every value
// that is not a Secret.
//
// Encoded parameters are limited to 512 KiB, a nesting depth of 64, and numbers of 40 characters.
type Params map[string]any

// Clone returns a copy that shares no map and no slice with p. The clone of nil is nil.
func (p Params) Clone() Params {
	if p == nil {
		return nil
	}
	return cloneMap(p, 0)
}

func cloneMap(m map[string]any, depth int) map[string]any {
	c := make(map[string]any, len(m))
	for key, v := range m {
		c[key] = cloneValue(v, depth+1)
	}
	return c
}

// cloneValue stops at the depth at which parameters are refused, because a map may contain itself.
// It does not copy values of other Go types: encoding them does.
func cloneValue(v any, depth int) any {
	if depth > jsonschema.MaxDepth {
		return v
	}
	switch v := v.(type) {
	case map[string]any:
		if v != nil {
			return cloneMap(v, depth)
		}
	case Params:
		if v != nil {
			return Params(cloneMap(v, depth))
		}
	case []any:
		if v != nil {
			c := make([]any, len(v))
			for i := range v {
				c[i] = cloneValue(v[i], depth+1)
			}
			return c
		}
	}
	return v
}

// Merge merges layers, from low to high: a key of a later layer replaces the same key of earlier
// ones. It works at the top level only, so that a nested object is replaced, not merged. It returns
// nil if all layers are empty. The result shares its values with the layers.
func Merge(layers ...Params) Params {
	size := 0
	for _, layer := range layers {
		size += len(layer)
	}
	if size == 0 {
		return nil
	}
	merged := make(Params, size)
	for _, layer := range layers {
		for key, v := range layer {
			merged[key] = v
		}
	}
	return merged
}

// Error reports a parameter that was refused, and why.
type Error struct {
	Path   string // path from the top of the parameters, such as "customer.address[2].zip"; "" for all of them
	Reason string // what was expected, what was given and how to fix it
}

func (e *Error) Error() string {
	if e.Path == "" {
		return "parameters: " + e.Reason
	}
	return "parameter " + e.Path + ": " + e.Reason
}
