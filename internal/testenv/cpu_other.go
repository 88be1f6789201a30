//go:build !unix

package testenv

import "time"

var begun = time.Now()

// CPU returns the time that has passed, because this platform does not count the processor time of
// a process alike.
func CPU() time.Duration { return time.Since(begun) }
