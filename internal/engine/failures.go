package engine

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// How patient loops are with a store that fails.
const (
	minBackoff = 100 * time.Millisecond
	MaxBackoff = 10 * time.Second

	troubleEvery  = 20 * time.Second // an operation that comes and goes is logged no more often: two lines each time
	recoveryEvery = time.Second      // so often at most does the success of one loop wake the others
)

// backoff is how long to leave a store alone that has failed so often in a row.
func backoff(failures int) time.Duration {
	return min(MaxBackoff, minBackoff<<min(failures-1, 10))
}

// retry is the patience of one loop: not before at, once it has failed. Times are those of the monotonic clock.
type retry struct {
	failures int
	at       time.Time
}

// failed puts the next attempt off, by a random part of the backoff: many runners do not come back in step.
func (r *retry) failed() {
	r.failures++
	wait := backoff(r.failures)
	r.at = time.Now().Add(wait/2 + rand.N(wait/2+1))
}

func (r *retry) worked() { *r = retry{} }

// now drops the wait, not the count: something else works again.
func (r *retry) now() { r.at = time.Time{} }

// outages keeps which store operations fail at the moment: the beginning and the end of that are logged once each, however long
// it lasts, and the first that works again wakes the loops that wait to repeat theirs.
type failures struct {
	log   *slog.Logger
	watch *eventSink

	// mu guards what follows; nothing blocks under it.
	mu         sync.Mutex
	operations map[string]*failure
	succeeded  map[string]time.Time // the newest success of each
	worked     time.Time            // the newest success of any that writes; has a monotonic reading
	woken      time.Time
	waiting    []chan<- struct{}
}

// outage is one operation's trouble.
type failure struct {
	since time.Time // zero while it works
	err   error     // the newest
	told  bool      // the log has its beginning
	spoke time.Time // when the log last had a beginning
}

func newFailures(log *slog.Logger, eventSink *eventSink) *failures {
	return &failures{log: log, watch: eventSink, operations: make(map[string]*failure), succeeded: make(map[string]time.Time)}
}

// listen has ch signalled when an operation works again.
func (o *failures) listen(ch chan<- struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting = append(o.waiting, ch)
}

// report notes how a store call went, unless it failed because its caller has ended.
func (s *Engine) report(ctx context.Context, operation string, err error) {
	if err == nil || ctx.Err() == nil {
		s.outages.report(operation, err)
	}
}

// report notes how a store call went.
func (o *failures) report(operation string, err error) {
	if err != nil {
		if o.begins(operation, err) {
			o.log.Error("store trouble", "operation", operation, "error", err)
			o.watch.trouble(operation, err, 0)
		}
		return
	}
	if lasted, told := o.ends(operation); told {
		o.log.Info("store works again", "operation", operation, "after", lasted.Round(time.Millisecond))
		o.watch.trouble(operation, nil, lasted)
	}
}

// begins notes a failure, and says whether to log it.
func (o *failures) begins(operation string, err error) bool {
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	out := o.operations[operation]
	if out == nil {
		out = &failure{}
		o.operations[operation] = out
	}
	if out.err = err; out.since.IsZero() {
		out.since = now
	}
	if out.told || (!out.spoke.IsZero() && now.Sub(out.spoke) < troubleEvery) {
		return false
	}
	out.told, out.spoke = true, now
	return true
}

// ends notes a success, and says whether to log it.
func (o *failures) ends(operation string) (lasted time.Duration, told bool) {
	now := time.Now()
	o.mu.Lock()
	o.succeeded[operation] = now
	if writes(operation) {
		o.worked = now
	}
	lasted, was, told := o.clear(operation, now)
	var wake []chan<- struct{}
	if was && now.Sub(o.woken) >= recoveryEvery {
		o.woken, wake = now, o.waiting
	}
	o.mu.Unlock()
	for _, ch := range wake {
		signal(ch)
	}
	return lasted, told
}

// clear forgets an operation's trouble, if there was any. The caller holds mu.
func (o *failures) clear(operation string, now time.Time) (lasted time.Duration, was, told bool) {
	out := o.operations[operation]
	if out == nil || out.since.IsZero() {
		return 0, false, false
	}
	lasted, told = now.Sub(out.since), out.told
	out.since, out.err, out.told = time.Time{}, nil, false
	return lasted, true, told
}

// drop ends the trouble of an operation that is not repeated, since there is nothing left to do it for. Nothing is known of the
// store by that.
func (o *failures) drop(operation string) {
	o.mu.Lock()
	lasted, _, told := o.clear(operation, time.Now())
	o.mu.Unlock()
	if told {
		o.log.Info("store trouble is over: there is nothing left to do", "operation", operation, "after", lasted.Round(time.Millisecond))
		o.watch.trouble(operation, nil, lasted)
	}
}

// writes reports whether the success of an operation shows that the store takes writes, whatever there was to do: planning and
// claiming may find nothing, and a store that is read-only or whose disk is full answers that as well.
func writes(operation string) bool {
	switch operation {
	case "heartbeat", "renew leases", "append logs", "settle runs":
		return true
	}
	return false
}

// workedSince reports whether any write succeeded after a time: what fails meanwhile does not fail for the store's sake.
func (o *failures) workedSince(t time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.worked.After(t)
}
