package proc

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"
)

// signalGroup reaches all members. That the leader is not reaped keeps its number, and so the group's, from being given to others;
// that other code of this program has not reaped it (a loop for whatever ends) is seen just before.
func (p *Process) signalGroup(signal syscall.Signal) error {
	if err := p.leader.Signal(syscall.Signal(0)); errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	if err := syscall.Kill(-p.Pid(), signal); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal process group %d: %w", p.Pid(), err)
	}
	return nil
}

// reap kills the group between the end of its leader and the leader's reaping, while the number is certainly theirs.
func (p *Process) reap() Exit {
	if err := p.awaitEnd(); err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.reaped = true
		return Exit{Code: -1, Err: fmt.Errorf("wait for process %d: %w", p.Pid(), err)}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.killGroup() // what may not be killed by this user is beyond help
	state, err := p.leader.Wait()
	p.reaped = true
	exit := newExit(state, err)
	if err == nil {
		exit.PeakMemory = p.peak(state)
	}
	return exit
}

// Arguments of waitid, of <linux/wait.h>.
const (
	idTypePid   = 1
	idTypePidFD = 3
	exited      = 0x4       // WEXITED
	unreaped    = 0x1000000 // WNOWAIT
)

// awaitEnd returns when the leader has ended, and leaves it unreaped. It waits for a descriptor of the process where there is one:
// should other code reap the leader, another process may get its number.
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

// peak is what the leader used at most. The system's figure begins at that of the process that started it: 0 if it is no more.
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
