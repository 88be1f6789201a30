package engine

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/store"
)

// settler collects what became of runs and writes it in batches: while one write is under way the next batch grows.
type completer struct {
	wake   chan struct{}
	closed chan struct{} // no more runs will end
	done   chan struct{} // all that could be written is written

	// mu guards what follows; nothing blocks under it.
	mu        sync.Mutex
	ends      []completion
	unsettled int          // ends that are not stored, those under way included
	expected  []*Execution // launched; RUNNING is written for those that have begun and not ended by then
	logs      []*runLog    // with lines to write
}

// ending is what became of a run, or only that it began.
type completion struct {
	update  store.RunUpdate
	x       *Execution // nil where the update only says that the run began
	refused int        // how often the store refused a call with nothing else in it
}

// maxUnsettled bounds what waits to be written: past it nothing is claimed. maxSettled bounds one write.
const (
	maxUnsettled = 10_000
	maxSettled   = 5000
)

const (
	maxLogFailures = 3               // refusals of logs before they are given up for the ends of runs
	maxRefused     = 3               // refusals of one end before its result is left out; of that again, before the end is given up
	quietRefusal   = 5 * time.Minute // what counts as one refusal where no other end is taken meanwhile
	beginTries     = 5               // attempts at storing that a run begins, where it must not begin without
)

func newCompleter() *completer {
	return &completer{wake: make(chan struct{}, 1), closed: make(chan struct{}), done: make(chan struct{})}
}

func (t *completer) backlog() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.unsettled
}

func (t *completer) expect(executions []*Execution) {
	t.mu.Lock()
	t.expected = append(t.expected, executions...)
	t.mu.Unlock()
}

func (t *completer) noteLog(l *runLog) {
	t.mu.Lock()
	t.logs = append(t.logs, l)
	t.mu.Unlock()
	signal(t.wake)
}

// noteStart is called by a run as it begins.
func (s *Engine) noteStart(x *Execution) {
	s.events.started(x)
	s.Watch.started(x)
	signal(s.settler.wake)
}

// storeStart writes that a run begins before it does, and says whether that is certain and the run may begin. What the store did
// not answer may have happened all the same, so the write is repeated for as long as the lease is trusted. If it stays uncertain
// the run is handed back: the function was not entered, so that it may be later, also where the store has RUNNING; if the
// hand-back does not arrive either, the run ends CRASHED with its lease, which is the safe side.
func (s *Engine) storeStart(x *Execution) bool {
	var err error
	for failures := 1; failures <= beginTries; failures++ {
		if err = s.settleNow(x, x.begun, x.progress()); err == nil {
			return x.Err() == nil // not if it was lost or cancelled meanwhile
		}
		if final := errors.Is(err, store.ErrLeaseLost) || errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound); final {
			s.lose(x)
			break
		}
		if !sleep(x, backoff(failures)) {
			break
		}
	}
	s.log.Error("run not begun: its start could not be stored", "run", x.Claim.Name, "id", x.Claim.RunID, "error", err)
	return false
}

// lose notes that the store knows of another claim, or none, so that nothing more is written of this one.
func (s *Engine) lose(x *Execution) {
	s.mu.Lock()
	x.Gone = true
	s.mu.Unlock()
	s.noteLeaseLost(x)
}

// settleNow writes one update, outside of the batches: the caller has to know whether it is stored.
func (s *Engine) settleNow(ctx context.Context, now time.Time, update store.RunUpdate) error {
	callCtx, cancel := s.storeCall(ctx)
	defer cancel()
	errs, err := s.store.SettleRuns(callCtx, store.SettleRunsParams{Now: instant.Of(now), Updates: []store.RunUpdate{update}})
	s.report(ctx, "settle runs", err)
	if err == nil && len(errs) > 0 {
		err = errs[0]
	}
	return err
}

// settle takes what became of a run. Its slot is free from here on. It is written for as long as the store does not say that the
// lease is lost, also when trust in the lease has ended: the token keeps it from anybody else's run, and what has been done need
// not be done again if nobody took the run over.
func (s *Engine) settle(x *Execution, end time.Time, update store.RunUpdate) {
	update.Lease = x.Claim.Lease
	if s.upstream != nil {
		s.upstream.settle(x, end, update)
		return
	}
	s.events.ended(x, end, update.State)
	x.Ended.Store(true)
	x.cancel(nil)
	s.mu.Lock()
	s.busy--
	starved, gone := s.starved, x.Gone
	if gone {
		s.drop(x)
	}
	s.mu.Unlock()
	s.Watch.ended(x, end, update.State, update.DueTime, gone)
	if !gone {
		t := s.settler
		t.mu.Lock()
		t.ends = append(t.ends, completion{update: update, x: x})
		t.unsettled++
		t.mu.Unlock()
		signal(t.wake)
	}
	if starved {
		signal(s.freed)
	}
}

// drop takes a run out of those in flight. The caller holds mu.
func (s *Engine) drop(x *Execution) {
	last := len(s.inFlight) - 1
	moved := s.inFlight[last]
	s.inFlight[x.index], moved.index = moved, x.index
	s.inFlight[last] = nil
	s.inFlight = s.inFlight[:last]
}

// settleLoop writes until no run is left that could end, and then what is left, for as long as ctx lasts.
func (s *Engine) settleLoop(ctx context.Context) {
	defer close(s.settler.done)
	again := make(chan struct{}, 1)
	s.outages.listen(again)
	var b flushBuffer
	for {
		select {
		case <-s.settler.wake:
			s.yieldToStarts()
		case <-s.settler.closed:
			s.settleLast(ctx, &b)
			return
		}
		for s.flush(ctx, &b) != nil {
			if !s.settler.rest(time.Until(b.retry.at), again) {
				break
			}
		}
	}
}

// rest waits to repeat a write, false if there will be no more ends.
func (t *completer) rest(d time.Duration, again <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-again:
	case <-t.closed:
		return false
	}
	return true
}

// settleLast writes what is left, as far as the store lets it in time.
func (s *Engine) settleLast(ctx context.Context, b *flushBuffer) {
	b.retry.worked()
	for s.flush(ctx, b) != nil {
		if !sleep(ctx, time.Until(b.retry.at)) {
			break
		}
	}
	if left := s.settler.backlog(); left > 0 {
		s.log.Error("ends of runs not stored; their leases will end and they will run again", "runs", left)
	}
}

// maxYield bounds how long the settler stands back from a burst of starts.
const maxYield = 20 * time.Millisecond

// yieldToStarts lets launched runs begin before the ends of others are written, so that a burst of starts is not late for them;
// and it lets short runs end, so that the batch is a larger one.
func (s *Engine) yieldToStarts() {
	runtime.Gosched()
	for began := time.Now(); s.launching.Load() > 0 && time.Since(began) < maxYield; {
		runtime.Gosched()
	}
}

// flushBuffer is what is about to be written, kept until the store has taken it.
type flushBuffer struct {
	ends    []completion
	updates []store.RunUpdate // those of one write; its memory is for the next
	size    int               // how many go into one write; 0: as many as may
	retry   retry
	since   time.Time // when writes began to fail; zero if all is written
	passed  time.Time // when the newest write was taken
	refused time.Time // when an end was refused by itself, and that was counted

	logFailures int // refusals of logs in a row
}

// flush writes all there is, logs first: after its end a run takes none.
func (s *Engine) flush(ctx context.Context, b *flushBuffer) error {
	logs := s.settler.collect(b)
	if err := s.writeAll(ctx, b, logs); err != nil {
		b.retry.failed()
		return err
	}
	b.retry.worked()
	return nil
}

func (s *Engine) writeAll(ctx context.Context, b *flushBuffer, logs []*runLog) error {
	if err := s.writeLogs(ctx, logs); err != nil {
		if b.logFailures++; b.logFailures < maxLogFailures || !s.alone(b) {
			return err
		}
		s.loseLogs(logs, err) // ends of runs matter more
		s.outages.drop("append logs")
	} else if len(logs) > 0 {
		b.logFailures = 0
	}
	for len(b.ends) > 0 {
		n := min(len(b.ends), maxSettled)
		if b.size > 0 {
			n = min(n, b.size)
		}
		if err := s.write(ctx, b, n); err != nil {
			s.suspect(b, n, err)
			return err
		}
		b.take(n)
		b.passed = time.Now()
		b.size *= 2
		b.retry.worked()
	}
	b.size, b.since = 0, time.Time{}
	return nil
}

// alone reports whether it is only what b writes that fails: other operations have worked since it began to.
func (s *Engine) alone(b *flushBuffer) bool {
	if b.since.IsZero() {
		b.since = time.Now()
	}
	return s.outages.workedSince(b.since)
}

// suspect looks for the one end that makes the store refuse a whole call, by halves, once that is not the store's own trouble. An
// end that is refused by itself goes behind the others; later it is tried without its result, and at last given up.
func (s *Engine) suspect(b *flushBuffer, n int, err error) {
	if !s.alone(b) {
		return
	}
	if n > 1 {
		b.size = n / 2
		b.retry.worked()
		return
	}
	end := b.ends[0]
	b.ends = append(b.ends[1:], end)
	last := &b.ends[len(b.ends)-1]
	if lately := time.Since(b.refused) < quietRefusal; !b.passed.After(b.refused) && lately {
		return // no other end was taken meanwhile: the store may take none
	}
	b.refused = time.Now()
	b.retry.worked()
	switch last.refused++; last.refused {
	case maxRefused:
		last.update.Result = nil
		last.update.State.Message = bounded("the store refused the result or the message of this run: " + err.Error())
	case 2 * maxRefused:
		s.log.Error("end of a run not stored: the store refuses it; its lease will end", "id", end.update.RunID, "state", end.update.State.String(), "error", err)
		s.release(b.ends[len(b.ends)-1:], []error{err})
		b.ends = b.ends[:len(b.ends)-1]
	}
}

// take removes what is written.
func (b *flushBuffer) take(n int) {
	left := copy(b.ends, b.ends[n:])
	clear(b.ends[left:])
	b.ends = b.ends[:left]
}

// write is one call, of the first n ends.
func (s *Engine) write(ctx context.Context, b *flushBuffer, n int) error {
	ends, updates := b.ends[:n], b.updates[:0]
	b.updates = nil // a call that fails may not have let go of them
	for i := range ends {
		updates = append(updates, ends[i].update)
	}
	callCtx, cancel := s.storeCall(ctx)
	defer cancel()
	errs, err := s.store.SettleRuns(callCtx, store.SettleRunsParams{Now: instant.Of(s.now()), Updates: updates})
	s.report(ctx, "settle runs", err)
	if err != nil {
		return err
	}
	for i, err := range errs {
		if err != nil {
			s.log.Warn("end of a run not stored", "id", updates[i].RunID, "state", updates[i].State.String(), "error", err)
			if x := ends[i].x; x != nil && errors.Is(err, store.ErrLeaseLost) {
				s.noteLeaseLost(x)
			}
		}
	}
	s.release(ends, errs)
	clear(updates)
	b.updates = updates
	return nil
}

// collect adds what has come since the last batch, and gives the logs to write before it.
func (t *completer) collect(b *flushBuffer) []*runLog {
	t.mu.Lock()
	defer t.mu.Unlock()
	waiting := t.expected[:0]
	for _, x := range t.expected {
		switch {
		case x.Ended.Load():
		case !x.started.Load():
			waiting = append(waiting, x)
		default:
			b.ends = append(b.ends, completion{update: x.progress()})
		}
	}
	clear(t.expected[len(waiting):])
	t.expected = waiting
	b.ends = append(b.ends, t.ends...)
	clear(t.ends)
	t.ends = t.ends[:0]
	logs := t.logs
	t.logs = nil
	return logs
}

// release takes runs whose end is stored, or refused, out of those in flight, and has the hooks called of those that are stored. A
// slot of a limit that frees promotes a run: it is looked for at once, not at the next poll.
func (s *Engine) release(ends []completion, errs []error) {
	settled, limited := 0, false
	s.mu.Lock()
	for _, e := range ends {
		if e.x != nil {
			s.drop(e.x)
			settled++
			limited = limited || e.x.served.Limited
		}
	}
	s.mu.Unlock()
	if limited && !s.local {
		signal(s.freed)
	}
	t := s.settler
	t.mu.Lock()
	full := t.unsettled > maxUnsettled
	t.unsettled -= settled
	t.mu.Unlock()
	if full {
		s.wakeStarved()
	}
	for i, e := range ends {
		if e.x != nil && (errs == nil || errs[i] == nil) {
			s.callHook(e.x, e.update.State.Type)
		}
	}
}

// writeLogs writes the pending lines of runs. What the store refuses is lost: the lease is another's by then.
func (s *Engine) writeLogs(ctx context.Context, logs []*runLog) error {
	begun := make([]*runLog, 0, len(logs))
	for _, l := range logs {
		if l.begin() {
			begun = append(begun, l)
		}
	}
	return s.writeBegun(ctx, begun)
}

// writeBegun is writeLogs for who has the turn of each log. It gives them back.
func (s *Engine) writeBegun(ctx context.Context, logs []*runLog) error {
	if len(logs) == 0 {
		return nil
	}
	p := store.AppendLogsParams{Runs: make([]store.RunLog, 0, len(logs))}
	for _, l := range logs {
		p.Runs = append(p.Runs, l.take())
		defer l.done()
	}
	callCtx, cancel := s.storeCall(ctx)
	defer cancel()
	_, err := s.store.AppendLogs(callCtx, p)
	s.report(ctx, "append logs", err)
	if err != nil {
		for i, l := range logs {
			l.putBack(p.Runs[i])
		}
		return err
	}
	return nil
}

const LinesLost = "lines of runs' logs lost"

// loseLogs gives up lines that the store keeps refusing.
func (s *Engine) loseLogs(logs []*runLog, err error) {
	lines := 0
	for _, l := range logs {
		if l.begin() {
			lines += l.lose()
			l.done()
		}
	}
	s.log.Error(LinesLost, "lines", lines, "error", err)
}

// flushLogs writes one run's pending lines, for a child that ends.
func (s *Engine) flushLogs(x *Execution) {
	l := x.runLog()
	ctx, cancel := s.storeCall(context.WithoutCancel(x))
	defer cancel()
	if l.await(ctx) {
		_ = s.writeBegun(ctx, []*runLog{l}) // which reports it; what is not written is kept for the settler
	}
}
