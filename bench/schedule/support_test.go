// Package schedule_test measures the schedules of provost and of other libraries in the same run.
package schedule_test

import (
	"strings"
	"time"
)

// now is the time from which every search begins.
var now = time.Date(2026, 3, 5, 10, 17, 23, 0, time.UTC)

// name returns the name of a benchmark: what is measured, a slash, and the library. It replaces
// slashes and spaces in what is measured, because they have a meaning for go test; cmd/ratios
// restores them.
func name(parts ...string) string {
	for i, part := range parts[:len(parts)-1] {
		parts[i] = strings.NewReplacer("/", "÷", " ", "_").Replace(part)
	}
	return strings.Join(parts[:len(parts)-1], ",_") + "/" + parts[len(parts)-1]
}
