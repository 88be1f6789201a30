package engine

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/store"
)

// Bounds on what a completer writes.
const (
	maxUnwritten = 10_000 // ends that wait to be written: with more, nothing is claimed
	maxWritten   = 5000   // ends in one write

	maxRefused   = 3               // refusals of one end before its result is left out; as many again before the end is given up
	quietRefusal = 5 * time.Minute // what counts as one refusal where no other end is taken meanwhile
	beginTries   = 5               // attempts to store that a run begins, where it must not begin otherwise

	lastWrites = 5 * time.Second // for the last ends to be written once the last run has ended
)

// Completer writes what became of runs, in batches: while one write is under way the next batch
// grows. It writes the logs of runs too, before their ends: after its end a run takes no lines.
//
// Its methods may be called by any goroutine. Run writes until Close was called and nothing is
// left.
type Completer struct {
	*Access
	leases    *LeaseKeeper
	launching *atomic.Int64 // see pool.launching
	relieved  func()        // called once no more than maxUnwritten ends wait, after there were more

	wake   chan struct{}
	closed chan struct{} // no more runs will end
	done   chan struct{} // Run has returned

	// mu guards what follows; nothing blocks under it.
	mu        sync.Mutex
	ends      []completion
	unwritten int          // ends that are not stored, those under way included
	expected  []*Execution // launched; RUNNING is written for those that have begun and not ended by then
	logs      []*runLog    // with lines to write
}

// completion is what became of a run, or only that it began.
type completion struct {
	update  store.RunUpdate
	hold    *Hold // nil where the update only says that the run began
	refused int   // how often the store refused a call with nothing else in it
}

// NewCompleter returns a completer of the runs that leases keeps.
func NewCompleter(a *Access, leases *LeaseKeeper) *Completer {
	return &Completer{
		Access: a, leases: leases, launching: new(atomic.Int64), relieved: func() {},
		wake: make(chan struct{}, 1), closed: make(chan struct{}), done: make(chan struct{}),
	}
}

// Begun stores in the next batch that a run has begun: update has its StartTime and Attempt.
func (c *Completer) Begun(h *Hold, update store.RunUpdate) {
	update.Lease, update.State = h.lease, store.State{}
	c.mu.Lock()
	c.ends = append(c.ends, completion{update: update})
	c.mu.Unlock()
	signal(c.wake)
}

// Complete takes what became of a run. The store is told for as long as it does not say that the
// lease is lost, even when trust in the lease has ended: the token keeps the write from anybody
// else's run, and what has been done need not be done again if nobody took the run over. Complete
// reports whether the lease is lost, so that nothing is written.
func (c *Completer) Complete(h *Hold, update store.RunUpdate) (lost bool) {
	if c.leases.Finish(h) {
		return true
	}
	c.add(h, update)
	return false
}

// add queues the end of a run that Finish has accepted.
func (c *Completer) add(h *Hold, update store.RunUpdate) {
	update.Lease = h.lease
	c.mu.Lock()
	c.ends = append(c.ends, completion{update: update, hold: h})
	c.unwritten++
	c.mu.Unlock()
	signal(c.wake)
}

// expect takes runs that are about to begin.
func (c *Completer) expect(executions []*Execution) {
	c.mu.Lock()
	c.expected = append(c.expected, executions...)
	c.mu.Unlock()
}

// noteLog takes a log that has lines to write.
func (c *Completer) noteLog(l *runLog) {
	c.mu.Lock()
	c.logs = append(c.logs, l)
	c.mu.Unlock()
	signal(c.wake)
}

// backlog returns the number of ends that are not stored.
func (c *Completer) backlog() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unwritten
}

// Begin stores that a run begins before it does, and reports whether that is certain and the run
// may begin. A write that the store did not answer may have happened, so it is repeated for as long
// as ctx lasts, the context of the run. If it stays uncertain, the run is to be handed back: its
// function was not entered, so it may be entered later, even if the store has RUNNING. If the
// hand-back does not arrive either, the run ends CRASHED with its lease, which is the safe side.
func (c *Completer) Begin(ctx context.Context, h *Hold, update store.RunUpdate) bool {
	update.Lease = h.lease
	var err error
	for failures := 1; failures <= beginTries; failures++ {
		if err = c.writeNow(ctx, update.StartTime, update); err == nil {
			return ctx.Err() == nil // not if the run was lost or cancelled meanwhile
		}
		if errors.Is(err, store.ErrLeaseLost) || errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
			c.leases.lose(h)
			break
		}
		if !sleep(ctx, backoff(failures)) {
			break
		}
	}
	name, _ := h.run.Describe()
	c.log.Error("run not begun: its start could not be stored", "run", name, "id", h.lease.RunID, "error", err)
	return false
}

// writeNow writes one update outside of the batches: the caller has to know whether it is stored.
func (c *Completer) writeNow(ctx context.Context, now time.Time, update store.RunUpdate) error {
	callCtx, cancel := c.call(ctx)
	defer cancel()
	errs, err := c.store.SettleRuns(callCtx, store.SettleRunsParams{Now: instant.Of(now), Updates: []store.RunUpdate{update}})
	c.report(ctx, "settle runs", err)
	if err == nil && len(errs) > 0 {
		err = errs[0]
	}
	return err
}

// Close says that no more runs will end. It must not be called twice.
func (c *Completer) Close() { close(c.closed) }

// Run writes until Close is called, and then what is left, for as long as ctx lasts.
func (c *Completer) Run(ctx context.Context) {
	defer close(c.done)
	again := make(chan struct{}, 1)
	c.failures.listen(again)
	var b batchBuffer
	for {
		select {
		case <-c.wake:
			c.yieldToStarts()
		case <-c.closed:
			c.writeLast(ctx, &b)
			return
		}
		for c.flush(ctx, &b) != nil {
			if !c.rest(time.Until(b.retry.at), again) {
				break
			}
		}
	}
}

// rest waits to repeat a write. It returns false if there will be no more ends.
func (c *Completer) rest(d time.Duration, again <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-again:
	case <-c.closed:
		return false
	}
	return true
}

// writeLast writes what is left, as far as the store allows in time.
func (c *Completer) writeLast(ctx context.Context, b *batchBuffer) {
	b.retry.worked()
	for c.flush(ctx, b) != nil {
		if !sleep(ctx, time.Until(b.retry.at)) {
			break
		}
	}
	if left := c.backlog(); left > 0 {
		c.log.Error("ends of runs not stored; their leases will expire and they will run again", "runs", left)
	}
}

// maxYield bounds how long the completer stands back from a burst of starts.
const maxYield = 20 * time.Millisecond

// yieldToStarts lets launched runs begin before the ends of others are written, so that a burst of
// starts is not late for them; and it lets short runs end, so that the batch is larger.
func (c *Completer) yieldToStarts() {
	runtime.Gosched()
	for began := time.Now(); c.launching.Load() > 0 && time.Since(began) < maxYield; {
		runtime.Gosched()
	}
}

// batchBuffer is what is about to be written, kept until the store has taken it.
type batchBuffer struct {
	ends    []completion
	updates []store.RunUpdate // those of one write; its memory is for the next
	holds   []*Hold           // likewise
	size    int               // how many go into one write; 0: as many as may
	retry   retry
	since   time.Time // when writes began to fail; zero if everything is written
	passed  time.Time // when the newest write was taken
	refused time.Time // when an end was refused by itself, and that was counted

	logFailures int // refusals of logs in a row
}

// flush writes everything, logs first.
func (c *Completer) flush(ctx context.Context, b *batchBuffer) error {
	logs := c.collect(b)
	if err := c.writeAll(ctx, b, logs); err != nil {
		b.retry.failed()
		return err
	}
	b.retry.worked()
	return nil
}

// collect adds to b what has come since the last batch, and returns the logs to write before it.
func (c *Completer) collect(b *batchBuffer) []*runLog {
	c.mu.Lock()
	defer c.mu.Unlock()
	waiting := c.expected[:0]
	for _, x := range c.expected {
		switch {
		case x.ended.Load():
		case !x.started.Load():
			waiting = append(waiting, x)
		default:
			b.ends = append(b.ends, completion{update: x.progress()})
		}
	}
	clear(c.expected[len(waiting):])
	c.expected = waiting
	b.ends = append(b.ends, c.ends...)
	clear(c.ends)
	c.ends = c.ends[:0]
	logs := c.logs
	c.logs = nil
	return logs
}

func (c *Completer) writeAll(ctx context.Context, b *batchBuffer, logs []*runLog) error {
	if err := c.writeLogs(ctx, logs); err != nil {
		if b.logFailures++; b.logFailures < maxLogFailures || !c.onlyThisFails(b) {
			return err
		}
		c.loseLogs(logs, err) // ends of runs matter more
		c.failures.drop("append logs")
	} else if len(logs) > 0 {
		b.logFailures = 0
	}
	for len(b.ends) > 0 {
		n := min(len(b.ends), maxWritten)
		if b.size > 0 {
			n = min(n, b.size)
		}
		if err := c.write(ctx, b, n); err != nil {
			c.suspect(b, n, err)
			return err
		}
		b.drop(n)
		b.passed = time.Now()
		b.size *= 2
		b.retry.worked()
	}
	b.size, b.since = 0, time.Time{}
	return nil
}

// write makes one call, of the first n ends.
func (c *Completer) write(ctx context.Context, b *batchBuffer, n int) error {
	ends, updates := b.ends[:n], b.updates[:0]
	b.updates = nil // a call that fails may still use them
	for i := range ends {
		updates = append(updates, ends[i].update)
	}
	callCtx, cancel := c.call(ctx)
	defer cancel()
	errs, err := c.store.SettleRuns(callCtx, store.SettleRunsParams{Now: instant.Of(c.now()), Updates: updates})
	c.report(ctx, "settle runs", err)
	if err != nil {
		return err
	}
	for i, err := range errs {
		if err != nil {
			c.log.Warn("end of a run not stored", "id", updates[i].RunID, "state", updates[i].State.String(), "error", err)
			if h := ends[i].hold; h != nil && errors.Is(err, store.ErrLeaseLost) {
				c.leases.reportLoss(h)
			}
		}
	}
	c.completed(b, ends, errs)
	clear(updates)
	b.updates = updates
	return nil
}

// completed lets go of runs whose end is stored, or refused. errs is nil if all are stored.
func (c *Completer) completed(b *batchBuffer, ends []completion, errs []error) {
	holds := b.holds[:0]
	for _, e := range ends {
		if e.hold != nil {
			holds = append(holds, e.hold)
		}
	}
	c.leases.Remove(holds...)
	c.mu.Lock()
	full := c.unwritten > maxUnwritten
	c.unwritten -= len(holds)
	c.mu.Unlock()
	if full {
		c.relieved()
	}
	for i, e := range ends {
		if e.hold != nil {
			var err error
			if errs != nil {
				err = errs[i]
			}
			e.hold.run.Completed(e.update.State.Type, err)
		}
	}
	clear(holds)
	b.holds = holds
}

// onlyThisFails reports whether nothing else fails but what b writes: other operations have worked
// since it began to fail.
func (c *Completer) onlyThisFails(b *batchBuffer) bool {
	if b.since.IsZero() {
		b.since = time.Now()
	}
	return c.failures.wroteSince(b.since)
}

// suspect looks for the one end that makes the store refuse a whole call, by halves, once the store
// itself is not the reason. An end that is refused by itself goes behind the others; later it is
// tried without its result, and at last given up.
func (c *Completer) suspect(b *batchBuffer, n int, err error) {
	if !c.onlyThisFails(b) {
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
		c.log.Error("end of a run not stored: the store refuses it; its lease will expire", "id", end.update.RunID, "state", end.update.State.String(), "error", err)
		c.completed(b, b.ends[len(b.ends)-1:], []error{err})
		b.ends = b.ends[:len(b.ends)-1]
	}
}

// drop removes the first n ends, which are written.
func (b *batchBuffer) drop(n int) {
	left := copy(b.ends, b.ends[n:])
	clear(b.ends[left:])
	b.ends = b.ends[:left]
}
