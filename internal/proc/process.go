package proc

import (
	"os"
	"sync"
)

// Process is a process that Start started, and the group that it leads. It is safe for concurrent
// use.
type Process struct {
	leader *os.Process
	group  group // what the system needs for the group

	registry   *Registry
	slot       int // in the registry
	unrecorded error

	once sync.Once
	exit Exit

	// mu guards reaped. The group is signalled and the leader, once it has ended, is reaped with mu
	// held: neither system call blocks, and no signal goes to an ID that is reused.
	mu     sync.Mutex
	reaped bool
}

// Pid returns the ID of the process, which is also that of its group, except on Windows.
func (p *Process) Pid() int { return p.leader.Pid }

// Unrecorded returns why the registry does not have the process. It returns nil if the registry has
// it, or if there is no registry. An unrecorded process still ends by WatchParent when this process
// dies; if it cannot, nothing ends it.
func (p *Process) Unrecorded() error { return p.unrecorded }

// Terminate asks the whole group to end: it sends SIGTERM, and SIGCONT so that a stopped process
// receives it. Once the leader is reaped it does nothing. On Windows it returns
// [errors.ErrUnsupported].
func (p *Process) Terminate() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return nil
	}
	return p.terminateGroup()
}

// Kill kills the whole group. After Wait it does nothing, because nothing is left.
func (p *Process) Kill() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return nil
	}
	return p.killGroup()
}

// Wait waits until the leader has ended, kills what is left of its group and reaps the leader.
// Every call returns the same Exit.
func (p *Process) Wait() Exit {
	p.once.Do(func() {
		p.exit = p.reap()
		if p.registry != nil && p.exit.Err == nil {
			p.registry.remove(p.slot)
		}
	})
	return p.exit
}

// Memory returns how much memory the whole group uses now, in bytes; shared memory counts for each
// process that shares it. It reads the entry of every process of the machine. On systems other than
// Linux it returns [errors.ErrUnsupported]. Once the leader is reaped it returns 0.
func (p *Process) Memory() (int64, error) {
	p.mu.Lock()
	reaped := p.reaped
	p.mu.Unlock()
	if reaped {
		return 0, nil
	}
	return groupMemory(p.Pid())
}

// record records the process in r, if that is not nil.
func (p *Process) record(r *Registry) {
	if r == nil {
		return
	}
	slot, err := r.add(p.Pid())
	if err != nil {
		p.unrecorded = err
		return
	}
	p.registry, p.slot = r, slot
}
