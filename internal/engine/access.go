package engine

import (
	"context"
	"log/slog"
	"time"

	"github.com/provost-go/provost/internal/clock"
	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/store"
)

// Access is how the parts of an engine reach the outside: the store, with a deadline for each call,
// the wall clock, the logger, the observer and the record of what fails. It starts no goroutine and
// is safe for concurrent use.
type Access struct {
	store  store.Store
	local  bool // the store's notifications are reliable: it is not polled
	direct bool // no call of the store blocks: calls need no deadline
	clock  clock.Clock
	log    *slog.Logger

	events   *eventSink // nil: nobody observes
	failures *failures
	calls    callsUnderWay
}

// NewAccess returns the access that a configuration describes.
func NewAccess(c Config) *Access {
	a := &Access{
		store: c.Store, local: store.IsLocal(c.Store), direct: store.NeverBlocks(c.Store), clock: c.Clock, log: c.Logger,
		events: newEventSink(c.Observer, c.Name, c.Logger),
	}
	if !a.direct {
		a.store = &timedStore{Store: c.Store, calls: &a.calls}
	}
	a.failures = newFailures(a.log, a.events)
	return a
}

// now returns the time on the wall clock.
func (a *Access) now() time.Time { return a.clock.Now() }

// call returns the context of one store call.
func (a *Access) call(ctx context.Context) (context.Context, context.CancelFunc) {
	if a.direct {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, StoreTimeout)
}

// callUntil is call with a second deadline, unless until is zero.
func (a *Access) callUntil(ctx context.Context, until time.Time) (context.Context, context.CancelFunc) {
	if a.direct || until.IsZero() {
		return a.call(ctx)
	}
	return context.WithDeadline(ctx, instant.Earlier(until, time.Now().Add(StoreTimeout)))
}

// report notes how a store call went, unless it failed because its caller's context ended.
func (a *Access) report(ctx context.Context, operation string, err error) {
	if err == nil || ctx.Err() == nil {
		a.failures.report(operation, err)
	}
}

// signal wakes the receiver of ch if it is not awake already.
func signal(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// sleep waits for d. It returns false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// waitFor waits for done. It returns false if that takes longer than d.
func waitFor(done <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}
