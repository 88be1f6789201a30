//go:build unix && !aix && !solaris

package proc

import (
	"os"
	"syscall"
)

// Inherited is the file that this process got under a number of [Command.Numbers]. What this process starts does not get it. Call it
// once for each number: the file closes the number when nobody holds it any more. It must be of this process alone, as one end of a
// pipe is: waiting for it takes no thread.
func Inherited(number uintptr, name string) *os.File {
	syscall.CloseOnExec(int(number))
	_ = syscall.SetNonblock(int(number), true) // else it takes one
	return os.NewFile(number, name)
}

// IsChild reports whether this process may be one that Start started with these numbers: the head of a group, the numbers open pipes.
// Who has the numbers by mistake, from a copied environment, should touch none of the files.
func IsChild(numbers ...uintptr) bool {
	for _, n := range numbers {
		var file syscall.Stat_t
		if err := syscall.Fstat(int(n), &file); err != nil || file.Mode&syscall.S_IFMT != syscall.S_IFIFO {
			return false
		}
	}
	return syscall.Getpgrp() == syscall.Getpid()
}

// awaitParentDeath waits without a thread, mostly: the pipe is shared by all children of the parent, and where one makes it blocking
// the others' next read takes one.
func awaitParentDeath(number uintptr) {
	death := Inherited(number, "parent-death")
	if death == nil {
		return
	}
	var b [1]byte
	for err := error(nil); err == nil; { // whatever ends it ends the watch
		_, err = death.Read(b[:])
	}
}

func killSelf() {
	pid := syscall.Getpid()
	if group, err := syscall.Getpgid(pid); err == nil && group == pid {
		_ = syscall.Kill(-pid, syscall.SIGKILL)
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
}
