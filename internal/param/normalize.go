package param

import (
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/provost-go/provost/internal/jsonschema"
	"github.com/provost-go/provost/params"
)

// Normalize converts what a user wrote to plain values and enforces the limits. It returns
// parameters that are plain already as they are, not copied. It does not change p. The error is a
// [*params.Error].
func Normalize(p params.Params) (params.Params, error) {
	if len(p) == 0 {
		return p, nil
	}
	if !isPlainMap(p, 0) {
		plain := make(params.Params, len(p))
		if fault, ok := p[""].(*params.Error); ok { // left by Flow.Params
			return nil, fault
		}
		for key, v := range p {
			n, err := normalizeValue(v, 1)
			if err != nil {
				return nil, under(jsonschema.Join("", key), err)
			}
			plain[key] = n
		}
		p = plain
	}
	if problem := jsonschema.CheckValue(map[string]any(p)); problem != nil {
		return nil, &params.Error{Path: problem.Path, Reason: problem.Reason}
	}
	return p, nil
}

// isPlain reports whether v consists only of the types that JSON is parsed into. It does not look
// below the depth limit.
func isPlain(v any, depth int) bool {
	switch v := v.(type) {
	case nil, bool, string, json.Number:
		return true
	case []any:
		if depth < jsonschema.MaxDepth {
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
	if depth < jsonschema.MaxDepth {
		for _, v := range m {
			if !isPlain(v, depth+1) {
				return false
			}
		}
	}
	return true
}

// normalizeValue converts one Go value to a plain value: common types first, all others through the
// codec of their type.
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

// formatFloat formats a float as encoding/json does.
func formatFloat(f float64, bits int) (any, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, &params.Error{Reason: strconv.FormatFloat(f, 'g', -1, bits) + " has no form in JSON; leave it out or send a string"}
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return json.Number(strconv.FormatFloat(f, format, -1, bits)), nil
}

// formatTime keeps the offset, unless RFC 3339 cannot express it: an offset with seconds, or of a
// whole day or more.
func formatTime(t time.Time) (string, error) {
	if _, offset := t.Zone(); offset%60 != 0 || offset <= -24*60*60 || offset >= 24*60*60 {
		t = t.UTC()
	}
	if year := t.Year(); year < 0 || year > 9999 {
		return "", &params.Error{Reason: "the year " + strconv.Itoa(year) + " is outside 0 to 9999, the range of RFC 3339"}
	}
	return t.Format(time.RFC3339Nano), nil
}

// CloneRaw returns a copy of raw that shares no memory with it.
func CloneRaw(raw []json.RawMessage) []json.RawMessage {
	c := slices.Clone(raw)
	for i := range c {
		c[i] = slices.Clone(c[i])
	}
	return c
}
