package jsonschema

import "encoding/json"

// Measure is the length of a value's JSON that stands inside of depth others; not ok if the value breaks a limit.
func Measure(v any, depth int) (size int, ok bool) {
	problem := measure(v, depth, &size)
	return size, problem == nil && size <= MaxValue
}

// TextSize is the length of a text in JSON; not ok if it is not UTF-8.
func TextSize(s string) (n int, ok bool) { return stringSize(s) }

// TextFits says that a text has a format, or that the format is not one of text.
func TextFits(format, s string) bool { return matches(format, s) }

// NumberFits says that a number has a format, or that the format is not one of numbers.
func NumberFits(format, literal string) bool { return matches(format, json.Number(literal)) }

// Compare compares two numbers exactly; not ok if they are too large to compute with.
func Compare(a, b string) (sign int, ok bool) {
	return compareNumbers(a, b, &budget{steps: maxChecked})
}

// IsMultiple says that a number is a whole multiple of another, exactly. Nothing is one of zero.
func IsMultiple(literal, of string) bool {
	return isMultiple(literal, of, &budget{steps: maxChecked})
}
