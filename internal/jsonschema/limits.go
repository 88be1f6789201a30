package jsonschema

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// CheckValue checks a value against the limits of parameters and returns the problem, or nil.
func CheckValue(v any) *Problem {
	size := 0
	if problem := measure(v, 0, &size); problem != nil {
		return problem
	}
	if size > MaxValue {
		return &Problem{Reason: fmt.Sprintf("the JSON has %d bytes, the limit is %d; pass a reference to large data instead of the data", size, MaxValue)}
	}
	return nil
}

// measure adds the length of v's JSON to size. Its result may be nil although size exceeds
// MaxValue: it stops counting there.
func measure(v any, depth int, size *int) *Problem {
	switch v := v.(type) {
	case nil:
		*size += len("null")
	case bool:
		*size += len("false")
	case string:
		n, ok := stringSize(v)
		if !ok {
			return &Problem{Reason: "the text is not valid UTF-8; send bytes as base64, as a []byte field does"}
		}
		*size += n
	case json.Number:
		if reason := CheckNumber(string(v)); reason != "" {
			return &Problem{Reason: reason}
		}
		*size += len(v)
	case []any:
		if depth++; depth > MaxDepth {
			return &Problem{Reason: tooDeep(MaxDepth)}
		}
		*size += 2
		for i, item := range v {
			if *size > MaxValue { // by how much does not matter
				return nil
			}
			*size++
			if problem := measure(item, depth, size); problem != nil {
				return under(index(i), problem)
			}
		}
	case map[string]any:
		if depth++; depth > MaxDepth {
			return &Problem{Reason: tooDeep(MaxDepth)}
		}
		*size += 2
		return measureKeys(v, depth, size)
	default:
		return &Problem{Reason: fmt.Sprintf("%T is not a plain JSON value", v)}
	}
	return nil
}

// measureKeys measures the members of an object. Of several problems it returns the one with the
// first path, whatever the order of the map.
func measureKeys(m map[string]any, depth int, size *int) (first *Problem) {
	for key, item := range m {
		if *size > MaxValue {
			break
		}
		n, ok := stringSize(key)
		*size += n + 2
		problem := measure(item, depth, size)
		switch {
		case !ok:
			problem = &Problem{Reason: fmt.Sprintf("the key %q is not valid UTF-8", cut(key, 60))}
		case problem != nil:
			problem = under(Join("", key), problem)
		}
		if problem != nil && (first == nil || comparePaths(problem.Path, first.Path) < 0) {
			first = problem
		}
	}
	return first
}

// stringSize returns the length of a string in JSON. It returns false if s is not valid UTF-8.
func stringSize(s string) (n int, ok bool) {
	n = len(s) + 2
	ascii := true
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\' || c == '\n' || c == '\r' || c == '\t':
			n++
		case c < ' ':
			n += len(`\u0000`) - 1
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return n, ascii || utf8.ValidString(s)
}

func tooDeep(limit int) string {
	return fmt.Sprintf("nested deeper than %d; flatten it, or send the inner part as a string", limit)
}

// Limits on schemas and values. They keep hostile input cheap to refuse.
const (
	MaxSchema   = 256 << 10 // bytes of a schema
	MaxValue    = 512 << 10 // bytes of the JSON of a value
	MaxDepth    = 64        // nested arrays and objects, in a schema or a value
	MaxNumber   = 40        // characters of a number
	MaxExponent = 308       // of a number, with either sign
	MaxProblems = 50        // reported for one value

	maxNodes        = 5_000   // schemas in one document
	maxExpansion    = 1_000   // schemas that may apply to one value through allOf, $ref and the like
	maxSteps        = 300_000 // steps of this package over one value, some tens of nanoseconds each
	maxLibrarySteps = 2_000   // steps of the library to explain one value, some microseconds each
)
