package params

import "github.com/provost-go/provost/internal/jsonschema"

// Params are the parameters of a run by name. A value may be anything that has a JSON form: a time.Duration becomes
// "1h30m0s", a time.Time is written as in RFC 3339 and a struct becomes an object when provost takes the parameters.
// Parameters that are read back hold only nil, bool, string, json.Number, []any and map[string]any, and inside a run a
// Secret[any] in place of each secret.
//
// A [Secret] may be given for a parameter that is declared as one. Params themselves print what they hold.
//
// Encoded parameters have at most 512 KiB, are nested at most 64 deep and hold numbers of at most 40 characters.
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

// cloneValue stops at the depth at which parameters are refused, because a map may contain itself. A value of another Go
// type is copied when it is encoded.
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

// Merge lays later layers over earlier ones, key by key at the top level: a nested object is replaced, not merged. It
// returns nil if all layers are empty. The result shares its values with the layers.
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

// Error reports a parameter that was refused.
type Error struct {
	Path   string // dotted path from the top of the parameters, "" for all of them: "customer.address[2].zip"
	Reason string // what was expected, what was given and how to fix it
}

func (e *Error) Error() string {
	if e.Path == "" {
		return "parameters: " + e.Reason
	}
	return "parameter " + e.Path + ": " + e.Reason
}
