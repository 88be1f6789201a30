package engine

import (
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/provost-go/provost/observe"
)

// Bounds on the patience of loops with a store that fails.
const (
	minBackoff = 100 * time.Millisecond
	MaxBackoff = 10 * time.Second

	failureEvery  = 20 * time.Second // an operation that comes and goes is logged no more often: two lines each time
	recoveryEvery = time.Second      // the success of one loop wakes the others no more often
)

// backoff returns how long to leave a store alone after so many failures in a row.
func backoff(failures int) time.Duration {
	return min(MaxBackoff, minBackoff<<min(failures-1, 10))
}

// retry is the patience of one loop: after a failure it waits until at, on the monotonic clock.
type retry struct {
	failures int
	at       time.Time
}

// failed postpones the next attempt by a random part of the backoff, so that many runners do not
// come back in step.
func (r *retry) failed() {
	r.failures++
	wait := backoff(r.failures)
	r.at = time.Now().Add(wait/2 + rand.N(wait/2+1))
}

func (r *retry) worked() { *r = retry{} }

// now drops the wait but not the count: another operation works again.
func (r *retry) now() { r.at = time.Time{} }

// failures records which store operations fail at the moment. The beginning and the end of a
// failure are logged once each, however long it lasts, and the first operation that works again
// wakes the loops that wait to repeat theirs.
type failures struct {
	log    *slog.Logger
	events *eventSink

	// mu guards what follows; nothing blocks under it.
	mu         sync.Mutex
	operations map[string]*failure
	succeeded  map[string]time.Time // the newest success of each
	wrote      time.Time            // the newest success of any operation that writes; has a monotonic reading
	woken      time.Time
	waiting    []chan<- struct{}
}

// failure is the state of one operation.
type failure struct {
	since    time.Time // zero while the operation works
	err      error     // the newest
	logged   bool      // the log has the beginning
	loggedAt time.Time // when the log last had a beginning
}

func newFailures(log *slog.Logger, events *eventSink) *failures {
	return &failures{log: log, events: events, operations: make(map[string]*failure), succeeded: make(map[string]time.Time)}
}

// listen has ch signalled when an operation works again.
func (f *failures) listen(ch chan<- struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting = append(f.waiting, ch)
}

// report notes how an operation went.
func (f *failures) report(operation string, err error) {
	if err != nil {
		if f.begins(operation, err) {
			f.log.Error("store trouble", "operation", operation, "error", err)
			f.events.storeFailing(operation, err)
		}
		return
	}
	if lasted, logged := f.ends(operation); logged {
		f.log.Info("store works again", "operation", operation, "after", lasted.Round(time.Millisecond))
		f.events.storeWorking(operation, lasted)
	}
}

// begins notes a failure and reports whether to log it.
func (f *failures) begins(operation string, err error) bool {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	failed := f.operations[operation]
	if failed == nil {
		failed = &failure{}
		f.operations[operation] = failed
	}
	if failed.err = err; failed.since.IsZero() {
		failed.since = now
	}
	if failed.logged || (!failed.loggedAt.IsZero() && now.Sub(failed.loggedAt) < failureEvery) {
		return false
	}
	failed.logged, failed.loggedAt = true, now
	return true
}

// ends notes a success and reports whether to log the end of a failure.
func (f *failures) ends(operation string) (lasted time.Duration, logged bool) {
	now := time.Now()
	f.mu.Lock()
	f.succeeded[operation] = now
	if writes(operation) {
		f.wrote = now
	}
	lasted, was, logged := f.clear(operation, now)
	var wake []chan<- struct{}
	if was && now.Sub(f.woken) >= recoveryEvery {
		f.woken, wake = now, f.waiting
	}
	f.mu.Unlock()
	for _, ch := range wake {
		signal(ch)
	}
	return lasted, logged
}

// clear forgets the failure of an operation, if there was one. The caller holds mu.
func (f *failures) clear(operation string, now time.Time) (lasted time.Duration, was, logged bool) {
	failed := f.operations[operation]
	if failed == nil || failed.since.IsZero() {
		return 0, false, false
	}
	lasted, logged = now.Sub(failed.since), failed.logged
	failed.since, failed.err, failed.logged = time.Time{}, nil, false
	return lasted, true, logged
}

// drop ends the failure of an operation that is not repeated, because nothing is left to do. It
// says nothing about the store.
func (f *failures) drop(operation string) {
	f.mu.Lock()
	lasted, _, logged := f.clear(operation, time.Now())
	f.mu.Unlock()
	if logged {
		f.log.Info("store trouble has ended: nothing is left to do", "operation", operation, "after", lasted.Round(time.Millisecond))
		f.events.storeWorking(operation, lasted)
	}
}

// writes reports whether the success of an operation shows that the store takes writes, whatever
// there was to do. Planning and claiming may find nothing, and a store that is read-only or whose
// disk is full answers that as well.
func writes(operation string) bool {
	switch operation {
	case "heartbeat", "renew leases", "append logs", "settle runs":
		return true
	}
	return false
}

// wroteSince reports whether any write succeeded after t. If one did, the store itself is not why
// another write fails.
func (f *failures) wroteSince(t time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.wrote.After(t)
}

// problems returns the operations that fail, by name.
func (f *failures) problems() map[string]observe.Problem {
	f.mu.Lock()
	defer f.mu.Unlock()
	found := make(map[string]observe.Problem)
	for operation, failed := range f.operations {
		if !failed.since.IsZero() {
			found[operation] = observe.Problem{Operation: operation, Since: failed.since, Error: failed.err.Error()}
		}
	}
	return found
}

// lastSuccess returns when an operation last worked, zero if it never did.
func (f *failures) lastSuccess(operation string) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.succeeded[operation]
}
