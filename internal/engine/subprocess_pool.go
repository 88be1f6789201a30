package engine

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/provost-go/provost/internal/proc"
)

// childPool is the child processes of one server: those that have a run, and spare ones that are ready for any.
type subprocessPool struct {
	*Access
	limit        int        // runs at once
	children     *childRuns // of the runs in all processes
	warm         int        // spares to keep
	runsPerChild int        // at least 1
	memory       int64      // 0: no bound
	build        string
	registry     *proc.Registry // nil where there is none

	ctx    context.Context // ends with close
	cancel context.CancelFunc
	living sync.WaitGroup // one for each process, and one for keep
	wake   chan struct{}  // for keep

	// mu guards what follows; nothing blocks under it.
	mu       sync.Mutex
	all      map[*subprocess]struct{}
	idle     []*subprocess // ready, the most recently used last
	expected int           // runs that wait for their instant and will want a child
	deaths   int           // processes in a row that died without a run
	closed   bool
}

// idleTimeout is how long a child that is no spare waits for its next run.
const idleTimeout = 10 * time.Second

func newSubprocessPool(a *Access, c Config, children *childRuns) *subprocessPool {
	p := &subprocessPool{
		Access: a, limit: c.Limit, children: children,
		warm: c.WarmChildren, runsPerChild: c.RunsPerChild, memory: c.ChildMemory, build: proc.Build(),
		wake: make(chan struct{}, 1), all: make(map[*subprocess]struct{}),
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// open sweeps what runners that died have left on this machine, and starts the spares.
func (p *subprocessPool) open(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, StoreTimeout)
	defer cancel()
	if killed, err := proc.Sweep(ctx, ""); err != nil {
		p.log.Warn("sweep the processes of runners that died", "error", err)
	} else if killed > 0 {
		p.log.Warn("killed processes that a runner left behind when it died", "count", killed)
	}
	registry, err := proc.OpenRegistry("")
	switch {
	case err == nil:
		p.registry = registry
	case !errors.Is(err, errors.ErrUnsupported):
		p.log.Warn("child processes are not recorded: one that is stopped when this runner dies stays", "error", err)
	}
	p.living.Go(p.keep)
}

// close ends all processes. The runs are over by now, or their processes are to be killed.
func (p *subprocessPool) close() {
	p.mu.Lock()
	p.closed = true
	idle := p.idle
	p.idle = nil
	var busy []*subprocess
	for c := range p.all {
		if !slices.Contains(idle, c) {
			busy = append(busy, c)
		}
	}
	p.mu.Unlock()
	p.cancel()
	for _, c := range busy { // what has a run now was not to be stopped
		c.kill()
	}
	p.dismissAll(idle)
	p.living.Wait()
	if p.registry != nil {
		if err := p.registry.Close(); err != nil {
			p.log.Warn("close the registry of child processes", "error", err)
		}
	}
}

func (p *subprocessPool) dismissAll(list []*subprocess) {
	for _, c := range list {
		p.living.Go(c.dismiss)
	}
}

// take gives a child for a run of its own: one that is ready, else one that was just started and finds the run when it is.
func (p *subprocessPool) take(ctx context.Context) (*subprocess, error) {
	for c := p.pop(); c != nil; c = p.pop() {
		select {
		case <-c.done: // it died in its sleep
		default:
			return c, nil
		}
	}
	c, err := p.startChild()
	for wait := minBackoff; err != nil && wait < startTimeout; wait *= 2 { // no processes, memory or files left for the moment
		p.log.Warn("child process not started; trying again", "error", err)
		if !sleep(ctx, wait) {
			return nil, ctx.Err()
		}
		c, err = p.startChild()
	}
	return c, err
}

func (p *subprocessPool) pop() *subprocess {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.idle) - 1
	if last < 0 {
		return nil
	}
	c := p.idle[last]
	p.idle = p.idle[:last]
	signal(p.wake)
	return c
}

// put takes a child without a run.
func (p *subprocessPool) put(c *subprocess) {
	p.mu.Lock()
	closed := p.closed
	if !closed {
		c.idle = time.Now()
		p.idle = append(p.idle, c)
	}
	p.mu.Unlock()
	if closed {
		c.dismiss()
		return
	}
	select {
	case <-c.done: // before it could be forgotten
		p.forget(c)
	default:
	}
	signal(p.wake)
}

// giveBack takes a child whose run is not to begin. One that is still starting may never be ready, and nobody would see to it.
func (p *subprocessPool) giveBack(c *subprocess) {
	if c.isReady() {
		p.put(c)
	} else {
		c.kill()
	}
}

// forget drops a child that has ended.
func (p *subprocessPool) forget(c *subprocess) {
	p.mu.Lock()
	delete(p.all, c)
	before := len(p.idle)
	p.idle = slices.DeleteFunc(p.idle, func(other *subprocess) bool { return other == c })
	died := len(p.idle) < before
	if died {
		p.deaths++
	}
	p.mu.Unlock()
	if died {
		signal(p.wake)
	}
}

// expect says that so many more runs, or fewer, are about to want a child.
func (p *subprocessPool) expect(runs int) {
	p.mu.Lock()
	p.expected += runs
	p.mu.Unlock()
	if runs > 0 {
		signal(p.wake)
	}
}

// worked notes that a child has executed a run: the program is able to.
func (p *subprocessPool) worked() {
	p.mu.Lock()
	p.deaths = 0
	p.mu.Unlock()
}

// keep starts spares, one at a time so that runs have the processors, and lets go of children that nobody wants.
func (p *subprocessPool) keep() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for p.ctx.Err() == nil {
		lacking, failures, wait := p.plan()
		switch {
		case failures > 0 && lacking && !sleep(p.ctx, backoff(failures)):
			return
		case lacking:
			p.startSpare(failures)
			continue
		}
		timer.Reset(wait)
		select {
		case <-p.ctx.Done():
		case <-p.wake:
		case <-timer.C:
		}
	}
}

// plan says whether there is a spare to start, after how many failures in a row, or how long there is nothing to do.
func (p *subprocessPool) plan() (lacking bool, failures int, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	wanted := p.warm + min(p.expected, p.limit)
	if len(p.idle) < wanted {
		return true, p.deaths, 0
	}
	now := time.Now()
	var extra []*subprocess
	for len(p.idle) > wanted && now.Sub(p.idle[0].idle) >= idleTimeout {
		extra = append(extra, p.idle[0])
		p.idle = p.idle[1:]
	}
	p.dismissAll(extra)
	if len(p.idle) > wanted {
		return false, 0, idleTimeout - now.Sub(p.idle[0].idle)
	}
	return false, 0, time.Hour
}

func (p *subprocessPool) startSpare(failures int) {
	c, err := p.startChild()
	if err == nil {
		err = c.await(p.ctx)
	}
	switch {
	case err == nil:
		p.put(c)
	case p.ctx.Err() != nil:
		if c != nil {
			c.kill()
		}
	default:
		p.mu.Lock()
		p.deaths++
		p.mu.Unlock()
		if failures == 0 {
			p.log.Error("no spare child process", "error", err)
		}
	}
}
