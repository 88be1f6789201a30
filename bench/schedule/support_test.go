// Package schedule measures the schedules of provost beside those of other libraries, in one run.
package schedule_test

import (
	"strings"
	"time"
)

// now is when all are asked.
var now = time.Date(2026, 3, 5, 10, 17, 23, 0, time.UTC)

// name makes the name of a benchmark: what is measured, and after the slash whose it is. Slashes and spaces of what is
// measured are written otherwise, because go test gives them a meaning; cmd/ratios reads them back.
func name(parts ...string) string {
	for i, part := range parts[:len(parts)-1] {
		parts[i] = strings.NewReplacer("/", "÷", " ", "_").Replace(part)
	}
	return strings.Join(parts[:len(parts)-1], ",_") + "/" + parts[len(parts)-1]
}
