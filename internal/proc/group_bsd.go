//go:build unix && !linux && !aix && !solaris

package proc

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
)

// signalGroup signals all members of the group. On some systems a group of which only the leader is
// left, ended and not reaped, returns EPERM.
func (p *Process) signalGroup(signal syscall.Signal) error {
	err := syscall.Kill(-p.Pid(), signal)
	if err != nil && !errors.Is(err, syscall.ESRCH) && !errors.Is(err, syscall.EPERM) {
		return fmt.Errorf("signal process group %d: %w", p.Pid(), err)
	}
	return nil
}

// reap kills the group just after its leader is reaped. In the microseconds between, the ID of a
// group without other members is free. These systems assign IDs in turn, so it is not reused so
// soon.
func (p *Process) reap() Exit {
	state, err := p.leader.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.killGroup() // there is no remedy for what this user may not kill
	p.reaped = true
	exit := newExit(state, err)
	if err == nil {
		exit.PeakMemory = peak(state)
	}
	return exit
}

func peak(state *os.ProcessState) int64 {
	usage, ok := state.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	if runtime.GOOS == "darwin" || runtime.GOOS == "ios" {
		return int64(usage.Maxrss) // in bytes; other systems count KiB
	}
	return int64(usage.Maxrss) << 10
}

func ownPeak() int64 { return 0 }

func groupMemory(int) (int64, error) {
	return 0, fmt.Errorf("memory of a process group: %w", errors.ErrUnsupported)
}
