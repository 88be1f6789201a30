package jsonschema

import "encoding/json"

// Measure returns the length of the JSON of a value nested at a depth. It returns false if the
// value breaks a limit.
func Measure(v any, depth int) (size int, ok bool) {
	problem := measure(v, depth, &size)
	return size, problem == nil && size <= MaxValue
}

// TextSize returns the length of a text in JSON. It returns false if s is not valid UTF-8.
func TextSize(s string) (n int, ok bool) { return stringSize(s) }

// TextFits reports whether a text has a format. It is true if the format is not for text.
func TextFits(format, s string) bool { return matches(format, s) }

// NumberFits reports whether a number has a format. It is true if the format is not for numbers.
func NumberFits(format, literal string) bool { return matches(format, json.Number(literal)) }

// Compare compares two numbers exactly. It returns false if they are too large to compute with.
func Compare(a, b string) (sign int, ok bool) {
	return compareNumbers(a, b, &budget{steps: maxSteps})
}

// IsMultiple reports whether a number is a whole multiple of another, exactly. No number is a
// multiple of zero.
func IsMultiple(literal, of string) bool {
	return isMultiple(literal, of, &budget{steps: maxSteps})
}
