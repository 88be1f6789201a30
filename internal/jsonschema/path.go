package jsonschema

import (
	"cmp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Join returns path with a key appended.
func Join(path, key string) string {
	if !plainKey(key) {
		return path + "[" + strconv.Quote(key) + "]"
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// Prepend returns path with a step put before it: a key, or an index such as "[3]".
func Prepend(step, path string) string {
	if path == "" || step == "" || path[0] == '[' {
		return step + path
	}
	return step + "." + path
}

// plainKey reports whether a key needs no quotes in a path.
func plainKey(key string) bool {
	if key == "" {
		return false
	}
	for _, c := range key {
		if c <= ' ' || strings.ContainsRune(`.[]"`, c) || c == utf8.RuneError {
			return false
		}
	}
	return true
}

// index returns the path step for item i.
func index(i int) string { return "[" + strconv.Itoa(i) + "]" }

// under returns err as a problem one step further down the path.
func under(step string, err error) *Problem {
	problem, ok := err.(*Problem)
	if !ok {
		return &Problem{Path: step, Reason: err.Error()}
	}
	return &Problem{Path: Prepend(step, problem.Path), Reason: problem.Reason}
}

// comparePaths compares two paths, with the numbers in them compared as numbers: item 2 comes
// before item 10.
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

// cutStep reads the first step of a path: an index if i is not negative, otherwise a key. The size
// is the length of the step in the path, or 0 if the step was not written by [Join] or index.
func cutStep(path string) (key string, i, size int) {
	if path[0] == '.' {
		size, path = 1, path[1:]
	}
	if path == "" || path[0] != '[' {
		end := strings.IndexAny(path, ".[")
		if end < 0 {
			end = len(path)
		}
		return path[:end], -1, size + end
	}
	quoted, err := strconv.QuotedPrefix(path[1:])
	if err == nil {
		key, _ = strconv.Unquote(quoted) // cannot fail: it is quoted
		return key, -1, size + len("[") + len(quoted) + len("]")
	}
	end := strings.IndexByte(path, ']')
	if i, err = strconv.Atoi(path[1:max(1, end)]); err != nil || i < 0 {
		return "", -1, 0
	}
	return "", i, size + end + 1
}
