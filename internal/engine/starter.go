package engine

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// starter starts claimed runs at their instants, and hands them back if the runner leaves before.
// Runs that are due together start together.
type starter struct {
	*Access
	ttl       time.Duration
	look      time.Duration // how often a timer asks the wall clock, at least: it may jump
	pool      *pool
	processes *subprocessPool // nil if no deployment is isolated

	// mu guards what follows; nothing blocks under it.
	mu      sync.Mutex
	waiting map[*batch]struct{}
	closed  bool
}

// batch is runs that wait for one instant.
type batch struct {
	due        time.Time
	executions []*Execution
	timer      *time.Timer
}

func newStarter(a *Access, c Config, p *pool, processes *subprocessPool) *starter {
	look := c.PollInterval
	if a.local {
		look = localLook
	}
	return &starter{Access: a, ttl: c.LeaseTTL, look: look, pool: p, processes: processes, waiting: make(map[*batch]struct{})}
}

// start starts runs, each at its instant.
func (s *starter) start(executions []*Execution, now time.Time) {
	slices.SortStableFunc(executions, func(a, b *Execution) int { return a.claim.DueTime.Compare(b.claim.DueTime) })
	for len(executions) > 0 {
		due := executions[0].claim.DueTime
		n := 1
		for n < len(executions) && (executions[n].claim.DueTime.Equal(due) || !executions[n].claim.DueTime.After(now)) {
			n++
		}
		s.startAt(executions[:n:n], due)
		executions = executions[n:]
	}
}

func (s *starter) startAt(executions []*Execution, due time.Time) {
	wait := due.Sub(s.now())
	switch {
	case wait <= 0:
		s.pool.launch(executions)
		return
	case s.farAhead(wait):
		s.handBack(executions)
		return
	}
	b := &batch{due: due, executions: executions}
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.waiting[b] = struct{}{}
		s.expectSubprocesses(b, 1)
		b.timer = time.AfterFunc(min(wait, s.look), func() { s.fire(b) })
	}
	s.mu.Unlock()
	if closed {
		s.handBack(executions)
	}
}

// farAhead reports whether claimed runs would wait so long that they are handed back instead, with
// the slots that they hold: the clock was set back since they were claimed.
func (s *starter) farAhead(wait time.Duration) bool { return wait > s.ttl }

// fire starts a batch whose timer has run out, unless it is early by the wall clock.
func (s *starter) fire(b *batch) {
	s.mu.Lock()
	_, waits := s.waiting[b]
	early := b.due.Sub(s.now())
	if waits && early > 0 && !s.farAhead(early) {
		b.timer.Reset(min(early, s.look))
		s.mu.Unlock()
		return
	}
	delete(s.waiting, b)
	s.mu.Unlock()
	switch {
	case !waits:
		return
	case early > 0:
		s.handBack(b.executions)
	default:
		s.pool.launch(b.executions)
	}
	s.expectSubprocesses(b, -1)
}

// expectSubprocesses has processes started ahead of the instant of runs that want one.
func (s *starter) expectSubprocesses(b *batch, sign int) {
	if s.processes == nil {
		return
	}
	runs := 0
	for _, x := range b.executions {
		if x.deployment.Isolated {
			runs++
		}
	}
	s.processes.expect(sign * runs)
}

// recheck has waiting batches look at the wall clock, because it has jumped.
func (s *starter) recheck() {
	s.mu.Lock()
	batches := slices.Collect(maps.Keys(s.waiting))
	s.mu.Unlock()
	for _, b := range batches {
		s.fire(b)
	}
}

// close hands back the runs that wait for their instant, and every run that would wait from now on.
func (s *starter) close() {
	s.mu.Lock()
	s.closed = true
	batches := slices.Collect(maps.Keys(s.waiting))
	clear(s.waiting)
	s.mu.Unlock()
	for _, b := range batches {
		b.timer.Stop()
		s.expectSubprocesses(b, -1)
		s.handBack(b.executions)
	}
}

// handBack gives up runs that were claimed and not launched.
func (s *starter) handBack(executions []*Execution) {
	for _, x := range executions {
		x.handBack()
		s.pool.running.Done()
	}
}
