//go:build unix

package testenv

import (
	"syscall"
	"time"
)

// CPU returns the processor time that this process has used. On a busy machine it measures the cost
// of work, which a clock does not. Where processes have no such count it is the time that has
// passed.
func CPU() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
