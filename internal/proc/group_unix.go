//go:build unix && !aix && !solaris

package proc

import (
	"errors"
	"os"
	"syscall"
)

// group is the process group of a leader. Its ID is that of the leader.
type group struct {
	floor int64 // peak memory of this process when it started the leader, in bytes; the leader inherits it
}

// numbers returns the descriptors that files get when they are listed after the standard ones.
func numbers(files []*os.File) []uintptr {
	n := make([]uintptr, len(files))
	for i := range n {
		n[i] = uintptr(3 + i)
	}
	return n
}

// isolate makes the process the leader of a new group.
func (c *Command) isolate(a *os.ProcAttr) error {
	a.Files = append(a.Files, c.Files...)
	a.Sys = &syscall.SysProcAttr{Setpgid: true}
	return nil
}

func (p *Process) adopt() error {
	p.group.floor = ownPeak()
	return nil
}

// terminateGroup is called with mu held, before the leader is reaped.
func (p *Process) terminateGroup() error {
	return errors.Join(p.signalGroup(syscall.SIGTERM), p.signalGroup(syscall.SIGCONT))
}

// killGroup is called with mu held, before the leader is reaped.
func (p *Process) killGroup() error { return p.signalGroup(syscall.SIGKILL) }

func endSignal(state *os.ProcessState) string {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return status.Signal().String()
	}
	return ""
}
