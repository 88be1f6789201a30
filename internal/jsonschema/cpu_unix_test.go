//go:build unix

package jsonschema

import (
	"syscall"
	"time"
)

// spent is the processor time of this process so far: on a busy machine it says what work costs, which a clock does not.
func spent() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
