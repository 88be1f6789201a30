//go:build unix

package jsonschema

import (
	"syscall"
	"time"
)

// spent returns the processor time that this process has used. On a busy machine it measures the
// cost of work, which a clock does not.
func spent() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
