//go:build unix && !aix && !solaris

package proc

import (
	"os"
	"syscall"
)

// Inherited returns the file that this process inherited under a number of [Command.Numbers]. The
// processes that this one starts do not inherit it. Call it once for each number: the file is
// closed when it is garbage collected. The file must belong to this process alone, like one end of
// a pipe: it becomes non-blocking, so that waiting for it takes no thread.
func Inherited(number uintptr, name string) *os.File {
	syscall.CloseOnExec(int(number))
	_ = syscall.SetNonblock(int(number), true) // a blocking file takes a thread
	return os.NewFile(number, name)
}

// IsChild reports whether Start may have started this process with these numbers: it leads a group,
// and the numbers are open pipes. A process that has the numbers by mistake, from a copied
// environment, must not touch the files.
func IsChild(numbers ...uintptr) bool {
	for _, n := range numbers {
		var file syscall.Stat_t
		if err := syscall.Fstat(int(n), &file); err != nil || file.Mode&syscall.S_IFMT != syscall.S_IFIFO {
			return false
		}
	}
	return syscall.Getpgrp() == syscall.Getpid()
}

// awaitParentDeath waits for the end of the pipe. It mostly takes no thread: all processes of the
// parent share the pipe, and if one makes it blocking, the next read of each other one takes a
// thread.
func awaitParentDeath(number uintptr) {
	death := Inherited(number, "parent-death")
	if death == nil {
		return
	}
	var b [1]byte
	for err := error(nil); err == nil; { // any error ends the watch
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
