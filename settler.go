package provost

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"time"
)

// settler collects what became of runs and writes it in batches: while one write is under way the next batch grows.
type settler struct {
	wake   chan struct{}
	closed chan struct{} // no more runs will end
	done   chan struct{} // all that could be written is written

	// mu guards what follows; nothing blocks under it.
	mu       sync.Mutex
	updates  []RunUpdate
	settled  []*execution // whose updates they are
	expected []*execution // launched; RUNNING is written for those that have begun and not ended by then
	logs     []*runLog    // with lines to write
}

// maxUnsettled bounds what waits to be written: past it nothing is claimed.
const maxUnsettled = 10_000

const (
	hookTimeout    = time.Minute
	maxLogFailures = 3 // attempts at writing logs before they are given up for the ends of runs

	flushRetries = 5 // attempts at the last write before Serve gives up on a store that fails
)

func newSettler() *settler {
	return &settler{wake: make(chan struct{}, 1), closed: make(chan struct{}), done: make(chan struct{})}
}

func (t *settler) backlog() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.updates)
}

func (t *settler) expect(executions []*execution) {
	t.mu.Lock()
	t.expected = append(t.expected, executions...)
	t.mu.Unlock()
}

func (t *settler) noteLog(l *runLog) {
	t.mu.Lock()
	t.logs = append(t.logs, l)
	t.mu.Unlock()
	signal(t.wake)
}

// noteStart is called by a run as it begins.
func (s *server) noteStart(x *execution) {
	s.events.started(x)
	signal(s.settler.wake)
}

// storeStart writes that a run begins before it does, and says whether that is certain.
func (s *server) storeStart(x *execution) bool {
	err := s.settleNow(x, x.begun, x.progress())
	if err != nil {
		s.log.Error("run not begun: its start could not be stored", "run", x.claim.Name, "id", x.claim.RunID, "error", err)
	}
	return err == nil
}

// settleNow writes one update, outside of the batches: the caller has to know whether it is stored.
func (s *server) settleNow(ctx context.Context, now time.Time, update RunUpdate) error {
	callCtx, cancel := s.storeCall(ctx)
	defer cancel()
	errs, err := s.store.SettleRuns(callCtx, SettleRunsParams{Now: instant(now), Updates: []RunUpdate{update}})
	if err == nil && len(errs) > 0 {
		err = errs[0]
	}
	return err
}

// settle takes what became of a run. Its slot is free from here on.
func (s *server) settle(x *execution, end time.Time, update RunUpdate) {
	update.Lease = x.claim.Lease
	if s.upstream != nil {
		s.upstream.settle(x, end, update)
		return
	}
	s.events.ended(x, end, update.State)
	x.ended.Store(true)
	x.cancel(nil)
	if !x.lost() {
		t := s.settler
		t.mu.Lock()
		t.updates = append(t.updates, update)
		t.settled = append(t.settled, x)
		t.mu.Unlock()
		signal(t.wake)
	}
	s.mu.Lock()
	s.busy--
	starved := s.starved
	if x.lost() {
		s.drop(x)
	}
	s.mu.Unlock()
	if starved {
		signal(s.wake)
	}
}

// drop takes a run out of those in flight. The caller holds mu.
func (s *server) drop(x *execution) {
	last := len(s.inFlight) - 1
	moved := s.inFlight[last]
	s.inFlight[x.index], moved.index = moved, x.index
	s.inFlight[last] = nil
	s.inFlight = s.inFlight[:last]
}

// settleLoop writes until no run is left that could end.
func (s *server) settleLoop(ctx context.Context) {
	defer close(s.settler.done)
	var buffer flushBuffer
	closing, failures := false, 0
	for {
		if !closing {
			select {
			case <-s.settler.wake:
				s.yieldToStarts()
			case <-s.settler.closed:
				closing = true
			}
		}
		err := s.flush(ctx, &buffer)
		s.report("settle", err)
		if err == nil {
			failures = 0
			if closing {
				return
			}
			continue
		}
		if failures++; closing && failures >= flushRetries {
			s.log.Error("ends of runs not stored; their leases will end and they will run again", "runs", len(buffer.updates))
			return
		}
		sleep(ctx, backoff(failures))
		signal(s.settler.wake)
	}
}

// maxYield bounds how long the settler stands back from a burst of starts.
const maxYield = 20 * time.Millisecond

// yieldToStarts lets launched runs begin before the ends of others are written, so that a burst of starts is not late for them;
// and it lets short runs end, so that the batch is a larger one.
func (s *server) yieldToStarts() {
	runtime.Gosched()
	for began := time.Now(); s.launching.Load() > 0 && time.Since(began) < maxYield; {
		runtime.Gosched()
	}
}

// flushBuffer is a batch under way, kept until the store has taken it.
type flushBuffer struct {
	updates []RunUpdate
	settled []*execution // nil where an update only says that the run began

	logFailures int // writes of logs in a row that failed
}

func (s *server) flush(ctx context.Context, b *flushBuffer) error {
	logs := s.settler.collect(b)
	if err := s.writeLogs(ctx, logs); err != nil {
		if b.logFailures++; b.logFailures < maxLogFailures {
			return err
		}
		s.loseLogs(logs, err) // ends of runs matter more
	}
	b.logFailures = 0
	if len(b.updates) == 0 {
		return nil
	}
	callCtx, cancel := s.storeCall(ctx)
	defer cancel()
	errs, err := s.store.SettleRuns(callCtx, SettleRunsParams{Now: instant(s.now()), Updates: b.updates})
	if err != nil {
		return err
	}
	for i, err := range errs {
		s.reportSettled(b, i, err)
	}
	s.release(b)
	clear(b.updates)
	clear(b.settled)
	b.updates, b.settled = b.updates[:0], b.settled[:0]
	return nil
}

// collect adds what has come since the last batch, and gives the logs to write before it.
func (t *settler) collect(b *flushBuffer) []*runLog {
	t.mu.Lock()
	defer t.mu.Unlock()
	waiting := t.expected[:0]
	for _, x := range t.expected {
		switch {
		case x.ended.Load():
		case !x.started.Load():
			waiting = append(waiting, x)
		default:
			b.updates = append(b.updates, x.progress())
			b.settled = append(b.settled, nil)
		}
	}
	clear(t.expected[len(waiting):])
	t.expected = waiting
	b.updates = append(b.updates, t.updates...)
	b.settled = append(b.settled, t.settled...)
	clear(t.updates)
	clear(t.settled)
	t.updates, t.settled = t.updates[:0], t.settled[:0]
	logs := t.logs
	t.logs = nil
	return logs
}

func (s *server) reportSettled(b *flushBuffer, i int, err error) {
	if err != nil {
		s.log.Warn("end of a run not stored", "id", b.updates[i].RunID, "state", b.updates[i].State.String(), "error", err)
	}
}

// release takes settled runs out of those in flight and calls their hooks.
func (s *server) release(b *flushBuffer) {
	s.mu.Lock()
	for _, x := range b.settled {
		if x != nil {
			s.drop(x)
		}
	}
	s.mu.Unlock()
	for i, x := range b.settled {
		if x != nil {
			s.callHook(x, b.updates[i].State.Type)
		}
	}
}

// callHook calls the flow's hook for a terminal state, in a goroutine that Serve waits for.
func (s *server) callHook(x *execution, state StateType) {
	var hook func(context.Context, *Run) error
	switch f := x.served.flow; state {
	case StateCompleted:
		hook = f.onCompletion
	case StateFailed, StateCrashed:
		hook = f.onFailure
	case StateCancelled:
		hook = f.onCancellation
	}
	if hook == nil {
		return
	}
	s.hooks.Go(func() {
		ctx, cancel := context.WithTimeout(s.flowContext, hookTimeout)
		defer cancel()
		if err := s.runHook(ctx, x, hook); err != nil {
			s.log.Error("hook", "flow", x.served.flow.name, "id", x.claim.RunID, "state", string(state), "error", x.redactor().error(err))
		}
	})
}

func (s *server) runHook(ctx context.Context, x *execution, hook func(context.Context, *Run) error) (err error) {
	callCtx, cancel := s.storeCall(ctx)
	defer cancel()
	run, err := s.store.GetRun(callCtx, x.claim.RunID)
	if err != nil {
		return err
	}
	run.Parameters = x.served.secrets.wrapSecrets(run.Parameters)
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n\n%s", v, debug.Stack())
		}
	}()
	return hook(ctx, run)
}

// writeLogs writes the pending lines of runs. What the store refuses is lost: the lease is another's by then.
func (s *server) writeLogs(ctx context.Context, logs []*runLog) error {
	if len(logs) == 0 {
		return nil
	}
	p := AppendLogsParams{Runs: make([]RunLog, 0, len(logs))}
	for _, l := range logs {
		p.Runs = append(p.Runs, l.take())
	}
	callCtx, cancel := s.storeCall(ctx)
	defer cancel()
	if _, err := s.store.AppendLogs(callCtx, p); err != nil {
		for i, l := range logs {
			l.putBack(p.Runs[i])
			s.settler.noteLog(l)
		}
		return err
	}
	return nil
}

// loseLogs gives up lines that the store keeps refusing.
func (s *server) loseLogs(logs []*runLog, err error) {
	lines := 0
	for _, l := range logs {
		lines += l.lose()
	}
	s.log.Error("lines of runs' logs lost", "lines", lines, "error", err)
}

// flushLogs writes one run's pending lines, for a child that ends.
func (s *server) flushLogs(x *execution) {
	if l := x.runLog(); l != nil {
		err := s.writeLogs(context.WithoutCancel(x), []*runLog{l})
		s.report("log", err)
	}
}

// lost reports whether the run's lease is another's.
func (x *execution) lost() bool { return errors.Is(context.Cause(x), ErrLeaseLost) }
