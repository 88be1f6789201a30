package engine

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/store"
)

// reaper deals with the leases of runners that died.
type reaper struct {
	*Access
	ttl    time.Duration
	leases *LeaseKeeper

	notBefore atomic.Pointer[time.Time] // until then nobody's leases are judged; has a monotonic reading
	next      time.Time                 // when to look again; has a monotonic reading
}

func newReaper(a *Access, ttl time.Duration, leases *LeaseKeeper) *reaper {
	r := &reaper{Access: a, ttl: ttl, leases: leases}
	r.notBefore.Store(&time.Time{})
	return r
}

// holdOff judges nobody's leases for one TTL.
func (r *reaper) holdOff() {
	until := time.Now().Add(r.ttl)
	r.notBefore.Store(&until)
}

// poll is the poller's task. A store that others share is asked three times per TTL. While the
// leases of this process are in doubt nobody's are judged: what healthy runners hold is renewed
// first.
func (r *reaper) poll(ctx context.Context, now time.Time) (next time.Time, err error) {
	if wait := time.Until(instant.Latest(r.next, *r.notBefore.Load())); wait > 0 {
		return now.Add(wait), nil
	}
	if held := r.leases.oldestTrust(); !held.IsZero() && time.Since(held) >= r.leases.trustSpan() {
		return now.Add(time.Second), nil // the lease keeper is at it
	}
	if !r.local {
		r.next = time.Now().Add(r.ttl / 3)
	}
	callCtx, cancel := r.call(ctx)
	defer cancel()
	reaped, err := r.store.ReapLeases(callCtx, store.ReapLeasesParams{Now: instant.Of(now)})
	r.report(ctx, "reap leases", err)
	if err != nil {
		r.next = time.Time{}
		return time.Time{}, err
	}
	for _, run := range reaped.Runs {
		r.log.Warn("run lost its runner", "run", run.Name, "id", run.ID, "deployment", store.Handle(run.Flow, run.Deployment),
			"runner", run.Runner, "state", run.State.String())
		r.events.reaped(now, run)
	}
	if !reaped.Next.IsZero() && r.local {
		return reaped.Next.Add(time.Microsecond), nil
	}
	return time.Time{}, nil
}
