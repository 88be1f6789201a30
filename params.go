package provost

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strconv"
	"time"

	"github.com/provost-go/provost/internal/guard"
)

// Params are the parameters of a run by name. Values may be whatever has a JSON form: provost turns a time.Duration into
// "1h30m0s", a time.Time into RFC 3339 and a struct into an object when it takes them. Read back, they hold nil, bool,
// string, json.Number, []any and map[string]any only, and for code inside a run a Secret[any] where a value is secret.
//
// A [Secret] may be given for a parameter that is one. Params themselves print what they hold.
//
// Encoded they may have 512 KiB, be nested 64 deep and hold numbers of 40 characters.
type Params map[string]any

// clone copies maps and slices at every level that the limits allow; nil stays nil.
func (p Params) clone() Params {
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

// cloneValue stops at the depth at which normalizeParams refuses, because a map may contain itself. What a user put in as
// a Go value of another type is copied when it is normalized.
func cloneValue(v any, depth int) any {
	if depth > guard.MaxDepth {
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

// mergeParams lays later layers over earlier ones, key by key at the top: a nested object is replaced, not merged. It is
// nil if all layers are empty. The values are shared with the layers.
func mergeParams(layers ...Params) Params {
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

// normalizeParams turns what a user wrote into plain values and holds it to the limits. Parameters that are plain already
// are returned as they are, not copied; p is never changed. The error is a *ParamError.
func normalizeParams(p Params) (Params, error) {
	if len(p) == 0 {
		return p, nil
	}
	if !isPlainMap(p, 0) {
		plain := make(Params, len(p))
		if fault, ok := p[""].(*ParamError); ok { // of Flow.Params
			return nil, fault
		}
		for key, v := range p {
			n, err := normalizeValue(v, 1)
			if err != nil {
				return nil, under(guard.Join("", key), err)
			}
			plain[key] = n
		}
		p = plain
	}
	if problem := guard.CheckValue(map[string]any(p)); problem != nil {
		return nil, &ParamError{Path: problem.Path, Reason: problem.Reason}
	}
	return p, nil
}

// isPlain says that v is made of nothing but the types that JSON is read into. What lies too deep for the limits is not
// looked at.
func isPlain(v any, depth int) bool {
	switch v := v.(type) {
	case nil, bool, string, json.Number:
		return true
	case []any:
		if depth < guard.MaxDepth {
			for _, item := range v {
				if !isPlain(item, depth+1) {
					return false
				}
			}
		}
		return v != nil
	case map[string]any:
		return v != nil && isPlainMap(v, depth)
	}
	return false
}

func isPlainMap(m map[string]any, depth int) bool {
	if depth < guard.MaxDepth {
		for _, v := range m {
			if !isPlain(v, depth+1) {
				return false
			}
		}
	}
	return true
}

// normalizeValue turns one Go value into a plain one. The common types come first; the rest goes through the codec of its
// type.
func normalizeValue(v any, depth int) (any, error) {
	switch v := v.(type) {
	case nil, bool, string, json.Number:
		return v, nil
	case int:
		return json.Number(strconv.Itoa(v)), nil
	case int64:
		return json.Number(strconv.FormatInt(v, 10)), nil
	case float64:
		return formatFloat(v, 64)
	case time.Duration:
		return v.String(), nil
	case time.Time:
		return formatTime(v)
	}
	return codecFor(reflect.TypeOf(v)).encode(reflect.ValueOf(v), depth)
}

// formatFloat writes a float as encoding/json does.
func formatFloat(f float64, bits int) (any, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, &ParamError{Reason: strconv.FormatFloat(f, 'g', -1, bits) + " has no form in JSON; leave it out or send a string"}
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return json.Number(strconv.FormatFloat(f, format, -1, bits)), nil
}

// formatTime keeps the offset, except where RFC 3339 has no way to write it (seconds in it, or a whole day).
func formatTime(t time.Time) (string, error) {
	if _, offset := t.Zone(); offset%60 != 0 || offset <= -24*60*60 || offset >= 24*60*60 {
		t = t.UTC()
	}
	if year := t.Year(); year < 0 || year > 9999 {
		return "", &ParamError{Reason: "the year " + strconv.Itoa(year) + " has no form in RFC 3339, which knows 0 to 9999"}
	}
	return t.Format(time.RFC3339Nano), nil
}

// under moves an error one step down the path of parameters.
func under(step string, err error) error {
	if inner, ok := errors.AsType[*ParamError](err); ok {
		return &ParamError{Path: guard.Prepend(step, inner.Path), Reason: inner.Reason}
	}
	return &ParamError{Path: step, Reason: err.Error()}
}
