package proc

import (
	"os"
	"sync"
)

// Process is a process that Start started, and the group that it heads. It is safe for concurrent use.
type Process struct {
	leader *os.Process
	group  group // what the system needs to know of the group

	registry   *Registry
	slot       int // in the registry
	unrecorded error

	once sync.Once
	exit Exit

	// mu guards reaped. Under it the group is signalled and the leader, ended by then, is reaped: both are system calls that do
	// not block, and a signal never goes to a number that was given to others.
	mu     sync.Mutex
	reaped bool
}

// Pid is the number of the process and, but for Windows, of its group.
func (p *Process) Pid() int { return p.leader.Pid }

// Unrecorded is why the process does not stand in the registry, nil if it does or there is none. Should this process die, such a
// one still ends by WatchParent; if it cannot, nobody ends it.
func (p *Process) Unrecorded() error { return p.unrecorded }

// Terminate asks the whole group to end (SIGTERM; a process that is stopped goes on, to hear it). After the end of the leader it
// does nothing. Windows knows no such request: it gives [errors.ErrUnsupported].
func (p *Process) Terminate() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return nil
	}
	return p.terminateGroup()
}

// Kill ends the whole group at once. After Wait it does nothing, as then nothing is left.
func (p *Process) Kill() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return nil
	}
	return p.killGroup()
}

// Wait waits for the end of the leader, kills what it leaves behind in its group and reaps it. Each call gives the same Exit.
func (p *Process) Wait() Exit {
	p.once.Do(func() {
		p.exit = p.reap()
		if p.registry != nil && p.exit.Err == nil {
			p.registry.remove(p.slot)
		}
	})
	return p.exit
}

// Memory is how much memory the whole group has in use now, in bytes; what processes share is counted for each. It costs a look
// at every process of the machine. Other systems than Linux give [errors.ErrUnsupported].
func (p *Process) Memory() (int64, error) {
	p.mu.Lock()
	reaped := p.reaped
	p.mu.Unlock()
	if reaped {
		return 0, nil
	}
	return groupMemory(p.Pid())
}

// record writes the process into r, if there is one.
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
