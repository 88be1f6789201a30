package proc

import (
	"io"
	"os"
	"syscall"
)

// Inherited is the file that this process got under a number of [Command.Numbers]. What this process starts does not get it. Call it
// once for each number: the file closes the number when nobody holds it any more.
func Inherited(number uintptr, name string) *os.File {
	_ = syscall.SetHandleInformation(syscall.Handle(number), syscall.HANDLE_FLAG_INHERIT, 0) // a wrong number fails at its first use
	return os.NewFile(number, name)
}

// IsChild reports whether this process may be one that Start started with these numbers; here it is not known better.
func IsChild(...uintptr) bool { return true }

func awaitParentDeath(number uintptr) {
	death := Inherited(number, "parent-death")
	if death == nil {
		return
	}
	_, _ = io.Copy(io.Discard, death) // whatever ends it ends the watch
}

// killSelf ends this process; the job that it is in ends with the parent's handle.
func killSelf() { os.Exit(1) }
