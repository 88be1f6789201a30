package proc

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"
)

// signalGroup signals all members of the group. The ID of the group is not reused as long as its
// leader is not reaped. Other code of this program may have reaped it (a loop that reaps every
// process), so signalGroup checks that just before.
func (p *Process) signalGroup(signal syscall.Signal) error {
	if err := p.leader.Signal(syscall.Signal(0)); errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	if err := syscall.Kill(-p.Pid(), signal); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal process group %d: %w", p.Pid(), err)
	}
	return nil
}

// reap kills the group after its leader has ended and before the leader is reaped, while the ID is
// certainly the group's.
func (p *Process) reap() Exit {
	if err := p.awaitEnd(); err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.reaped = true
		return Exit{Code: -1, Err: fmt.Errorf("wait for process %d: %w", p.Pid(), err)}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.killGroup() // there is no remedy for what this user may not kill
	state, err := p.leader.Wait()
	p.reaped = true
	exit := newExit(state, err)
	if err == nil {
		exit.PeakMemory = p.peak(state)
	}
	return exit
}

// Arguments of waitid, from <linux/wait.h>.
const (
	idTypePid   = 1
	idTypePidFD = 3
	exited      = 0x4       // WEXITED
	unreaped    = 0x1000000 // WNOWAIT
)

// awaitEnd waits until the leader has ended, and does not reap it. It waits on a pidfd if there is
// one: if other code reaps the leader, another process may get its ID.
func (p *Process) awaitEnd() error {
	var err error
	noHandle := p.leader.WithHandle(func(handle uintptr) { err = waitID(idTypePidFD, handle) })
	if noHandle != nil {
		err = waitID(idTypePid, uintptr(p.Pid()))
	}
	return err
}

func waitID(idType, id uintptr) error {
	var info [128]byte // siginfo_t
	for {
		_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, idType, id, uintptr(unsafe.Pointer(&info[0])), exited|unreaped, 0, 0)
		switch errno {
		case 0:
			return nil
		case syscall.EINTR:
		default:
			return os.NewSyscallError("waitid", errno)
		}
	}
}

// peak returns the peak memory of the leader, or 0 if it is not above that of the process that
// started it, from which the system counts.
func (p *Process) peak(state *os.ProcessState) int64 {
	usage, ok := state.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	if peak := int64(usage.Maxrss) << 10; peak > p.group.floor {
		return peak
	}
	return 0
}

func ownPeak() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return int64(usage.Maxrss) << 10
}
