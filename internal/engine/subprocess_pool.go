package engine

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/provost-go/provost/internal/proc"
)

// subprocessPool is the subprocesses of one engine: those that execute a run, and idle ones that
// are ready for any run.
type subprocessPool struct {
	*Access
	limit        int        // runs at once
	children     *childRuns // the child runs in all subprocesses
	warm         int        // spares to keep
	runsPerChild int        // at least 1
	memory       int64      // the bound for one subprocess in bytes; 0: no bound
	build        string
	registry     *proc.Registry // nil if the system has none

	ctx        context.Context // ends with close
	cancel     context.CancelFunc
	goroutines sync.WaitGroup // maintain, and those of each subprocess
	wake       chan struct{}  // for maintain

	// mu guards what follows; nothing blocks under it.
	mu       sync.Mutex
	all      map[*subprocess]struct{}
	idle     []*subprocess // ready, the most recently used last
	expected int           // runs that wait for their instant and will need a subprocess
	deaths   int           // subprocesses in a row that died without a run
	closed   bool
}

// idleTimeout is how long a subprocess that is not a spare waits for its next run.
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

// open kills what runners that died have left on this machine, and starts the spares.
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
		p.log.Warn("subprocesses are not recorded: one that is stopped when this runner dies stays", "error", err)
	}
	p.goroutines.Go(p.maintain)
}

// close ends all subprocesses and waits for them. By then the runs have finished; it kills a
// subprocess that still executes one.
func (p *subprocessPool) close() {
	p.mu.Lock()
	p.closed = true
	idle := p.idle
	p.idle = nil
	var busy []*subprocess
	for sp := range p.all {
		if !slices.Contains(idle, sp) {
			busy = append(busy, sp)
		}
	}
	p.mu.Unlock()
	p.cancel()
	for _, sp := range busy { // a run that still executes could not be stopped otherwise
		sp.kill()
	}
	p.dismissAll(idle)
	p.goroutines.Wait()
	if p.registry != nil {
		if err := p.registry.Close(); err != nil {
			p.log.Warn("close the registry of subprocesses", "error", err)
		}
	}
}

func (p *subprocessPool) dismissAll(list []*subprocess) {
	for _, sp := range list {
		p.goroutines.Go(sp.dismiss)
	}
}

// take returns a subprocess for one run: an idle one, or else a new one, which may not be ready yet
// and reads its assignment once it is. If subprocesses cannot be started, take tries again for some
// seconds.
func (p *subprocessPool) take(ctx context.Context) (*subprocess, error) {
	for sp := p.pop(); sp != nil; sp = p.pop() {
		select {
		case <-sp.done: // it died while it was idle
		default:
			return sp, nil
		}
	}
	sp, err := p.start()
	for wait := minBackoff; err != nil && wait < startTimeout; wait *= 2 { // perhaps the system is short of processes, memory or files
		p.log.Warn("subprocess not started; trying again", "error", err)
		if !sleep(ctx, wait) {
			return nil, ctx.Err()
		}
		sp, err = p.start()
	}
	return sp, err
}

// pop returns the most recently used idle subprocess, nil if there is none.
func (p *subprocessPool) pop() *subprocess {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.idle) - 1
	if last < 0 {
		return nil
	}
	sp := p.idle[last]
	p.idle = p.idle[:last]
	signal(p.wake)
	return sp
}

// put adds a subprocess that is ready and has no run to the idle ones.
func (p *subprocessPool) put(sp *subprocess) {
	p.mu.Lock()
	closed := p.closed
	if !closed {
		sp.idleSince = time.Now()
		p.idle = append(p.idle, sp)
	}
	p.mu.Unlock()
	if closed {
		sp.dismiss()
		return
	}
	select {
	case <-sp.done: // it ended before it was idle, and its own call of forget did not find it there
		p.forget(sp)
	default:
	}
	signal(p.wake)
}

// giveBack takes a subprocess whose run is not to begin. It kills one that is still starting: that
// one may never be ready, and nothing would notice.
func (p *subprocessPool) giveBack(sp *subprocess) {
	if sp.isReady() {
		p.put(sp)
	} else {
		sp.kill()
	}
}

// forget removes a subprocess that has ended.
func (p *subprocessPool) forget(sp *subprocess) {
	p.mu.Lock()
	delete(p.all, sp)
	before := len(p.idle)
	p.idle = slices.DeleteFunc(p.idle, func(other *subprocess) bool { return other == sp })
	died := len(p.idle) < before
	if died {
		p.deaths++
	}
	p.mu.Unlock()
	if died {
		signal(p.wake)
	}
}

// expect adds runs, which may be negative, to the number of runs that will need a subprocess soon.
func (p *subprocessPool) expect(runs int) {
	p.mu.Lock()
	p.expected += runs
	p.mu.Unlock()
	if runs > 0 {
		signal(p.wake)
	}
}

// worked notes that a subprocess has executed a run, so this program can.
func (p *subprocessPool) worked() {
	p.mu.Lock()
	p.deaths = 0
	p.mu.Unlock()
}

// maintain starts spares and dismisses idle subprocesses that are not needed, until close. It
// starts one at a time, to leave the processors to the runs.
func (p *subprocessPool) maintain() {
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

// plan reports whether a spare is lacking, and after how many failures in a row. If none is
// lacking, it dismisses idle subprocesses whose time is up and returns how long there is nothing
// more to do.
func (p *subprocessPool) plan() (lacking bool, failures int, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	wanted := p.warm + min(p.expected, p.limit)
	if len(p.idle) < wanted {
		return true, p.deaths, 0
	}
	now := time.Now()
	var extra []*subprocess
	for len(p.idle) > wanted && now.Sub(p.idle[0].idleSince) >= idleTimeout {
		extra = append(extra, p.idle[0])
		p.idle = p.idle[1:]
	}
	p.dismissAll(extra)
	if len(p.idle) > wanted {
		return false, 0, idleTimeout - now.Sub(p.idle[0].idleSince)
	}
	return false, 0, time.Hour
}

// startSpare starts one spare and waits until it is ready. It logs the first of several failures.
func (p *subprocessPool) startSpare(failures int) {
	sp, err := p.start()
	if err == nil {
		err = sp.awaitReady(p.ctx)
	}
	switch {
	case err == nil:
		p.put(sp)
	case p.ctx.Err() != nil:
		if sp != nil {
			sp.kill()
		}
	default:
		p.mu.Lock()
		p.deaths++
		p.mu.Unlock()
		if failures == 0 {
			p.log.Error("spare subprocess not started", "error", err)
		}
	}
}
