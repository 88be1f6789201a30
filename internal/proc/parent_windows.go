package proc

import (
	"io"
	"os"
	"syscall"
)

// Inherited returns the file that this process inherited under a number of [Command.Numbers]. The
// processes that this one starts do not inherit it. Call it once for each number: the file is
// closed when it is garbage collected.
func Inherited(number uintptr, name string) *os.File {
	_ = syscall.SetHandleInformation(syscall.Handle(number), syscall.HANDLE_FLAG_INHERIT, 0) // a wrong number fails when it is first used
	return os.NewFile(number, name)
}

// IsChild reports whether Start may have started this process with these numbers. On this system it
// always returns true.
func IsChild(...uintptr) bool { return true }

func awaitParentDeath(number uintptr) {
	death := Inherited(number, "parent-death")
	if death == nil {
		return
	}
	_, _ = io.Copy(io.Discard, death) // any error ends the watch
}

// killSelf ends this process. Its job ends with the parent's handle.
func killSelf() { os.Exit(1) }
