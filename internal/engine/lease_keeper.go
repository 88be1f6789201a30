package engine

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/store"
)

// Bounds on renewals: leases in one store call, and calls at once.
const (
	maxRenewed  = 10_000
	maxRenewing = 4
)

// leaseMargin is how long before its end a lease is distrusted, at most a quarter of its TTL.
const leaseMargin = 5 * time.Second

// LeaseKeeper renews the leases of all runs under way and stops the runs whose lease cannot be
// trusted any more. A lease is trusted from the start of the claim or renewal that gave it, for its
// TTL less a margin, on the monotonic clock. Renewals run beside the keeper's loop, so that no call
// that hangs delays the end of trust.
//
// Add, Finish, Remove and StopAll may be called by any goroutine.
type LeaseKeeper struct {
	*Access
	ttl      time.Duration
	children *childRuns
	lost     atomic.Int64 // runs whose lease was lost or in doubt

	wake  chan struct{} // somebody wants a run cancelled, or leases are in doubt
	added chan struct{} // there are leases again

	claiming atomic.Bool // a claim is under way whose runs were not added yet
	missed   atomic.Bool // leases were renewed meanwhile: a cancellation may be of one of those runs

	// mu guards what follows, and the guarded fields of every Hold; nothing blocks under it.
	mu        sync.Mutex
	held      []*Hold
	heldSince time.Time // all leases are held from then on, at least; zero if there is none
	trustEnds time.Time // when trust in the first of them ends; zero if there is none to end
}

// NewLeaseKeeper returns a keeper of leases that last for ttl.
func NewLeaseKeeper(a *Access, ttl time.Duration) *LeaseKeeper {
	return &LeaseKeeper{
		Access: a, ttl: ttl, children: newChildRuns(), wake: make(chan struct{}, 1), added: make(chan struct{}, 1),
	}
}

// margin is for clocks that run at different speeds, and for flows to end.
func (k *LeaseKeeper) margin() time.Duration { return min(leaseMargin, k.ttl/4) }

// trustSpan returns how long a lease is trusted.
func (k *LeaseKeeper) trustSpan() time.Duration { return k.ttl - k.margin() }

// Add takes runs that were claimed in one call, which began at claimed.
func (k *LeaseKeeper) Add(holds []*Hold, claimed time.Time) {
	k.mu.Lock()
	first := k.heldSince.IsZero() || claimed.Before(k.heldSince) || k.trustEnds.IsZero()
	k.heldSince = instant.Earlier(k.heldSince, claimed)
	k.trustEnds = instant.Earlier(k.trustEnds, claimed.Add(k.trustSpan()))
	for _, h := range holds {
		h.index = len(k.held)
		k.held = append(k.held, h)
	}
	k.mu.Unlock()
	if first {
		signal(k.added)
	}
}

// Finish notes that it is known what became of a run. Its lease is renewed until Remove, so that
// nobody else enters the run before its end is stored. Finish reports whether the lease is lost:
// then the hold is removed, and nothing is to be written.
func (k *LeaseKeeper) Finish(h *Hold) (lost bool) {
	h.ended.Store(true)
	k.mu.Lock()
	defer k.mu.Unlock()
	if h.gone {
		k.remove(h)
	}
	return h.gone
}

// Remove lets go of runs whose end is stored, or refused.
func (k *LeaseKeeper) Remove(holds ...*Hold) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, h := range holds {
		k.remove(h)
	}
}

// remove takes a hold out of held. The caller holds mu.
func (k *LeaseKeeper) remove(h *Hold) {
	last := len(k.held) - 1
	moved := k.held[last]
	k.held[h.index], moved.index = moved, h.index
	k.held[last] = nil
	k.held = k.held[:last]
}

// StopAll asks all runs to end.
func (k *LeaseKeeper) StopAll(cause error) {
	k.mu.Lock()
	all := slices.Clone(k.held)
	k.mu.Unlock()
	for _, h := range all {
		h.run.Stop(cause)
	}
}

// Unfinished names the runs of which it is not known yet what becomes of them.
func (k *LeaseKeeper) Unfinished() []string {
	k.mu.Lock()
	all := slices.Clone(k.held)
	k.mu.Unlock()
	var names []string
	for _, h := range all {
		if !h.ended.Load() {
			_, handle := h.run.Describe()
			names = append(names, fmt.Sprintf("%s (run %s)", handle, h.lease.RunID))
		}
	}
	return names
}

// Wake has leases renewed at once: somebody wants a run cancelled, or leases are in doubt.
func (k *LeaseKeeper) Wake() { signal(k.wake) }

// count returns the number of runs that are held.
func (k *LeaseKeeper) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.held)
}

// oldestTrust returns a time from which on all leases are held, at least; zero if there is none.
func (k *LeaseKeeper) oldestTrust() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.heldSince
}

// endOfTrust returns when trust in the first lease ends; zero if there is none to end.
func (k *LeaseKeeper) endOfTrust() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.trustEnds
}

// distrust ends trust in a lease whose claim was answered too late: another runner may have the
// run.
func (k *LeaseKeeper) distrust(h *Hold) {
	k.mu.Lock()
	h.distrusted = true
	k.mu.Unlock()
	h.run.Stop(store.ErrLeaseLost)
}

// lose notes that the store knows another claim of the run, or none: nothing more is written.
func (k *LeaseKeeper) lose(h *Hold) {
	k.mu.Lock()
	h.gone = true
	k.mu.Unlock()
	k.reportLoss(h)
}

// reportLoss counts, once, a run whose lease is lost or in doubt.
func (k *LeaseKeeper) reportLoss(h *Hold) {
	if h.lossReported.Swap(true) {
		return
	}
	k.lost.Add(1)
	h.run.LeaseLost()
}

// logLosses logs leases that were lost, in one line.
func (k *LeaseKeeper) logLosses(message string, lost []*Hold) {
	if len(lost) == 0 {
		return
	}
	for _, h := range lost {
		k.reportLoss(h)
	}
	name, handle := lost[0].run.Describe()
	k.log.Warn(message, "count", len(lost), "run", name, "id", lost[0].lease.RunID, "deployment", handle)
}

// claimBegins is called before a claim. Until its end the keeper does not know all runs of this
// process.
func (k *LeaseKeeper) claimBegins() { k.claiming.Store(true) }

// claimEnds is called once the runs of a claim were added. If leases were renewed meanwhile they
// are renewed again: the store may have told of a cancellation that is of one of these runs.
func (k *LeaseKeeper) claimEnds() {
	if k.claiming.Store(false); k.missed.Swap(false) {
		k.Wake()
	}
}

// renewal is the state of a keeper's loop.
type renewal struct {
	*LeaseKeeper
	underWay bool
	answers  chan error // of the renewal under way
	retry    retry
	wanted   bool      // renew now
	grace    time.Time // until when trust that has ended while the process was stopped is left alone
}

// Run keeps leases until ctx ends: it renews them three times per TTL while there are runs, soon
// again after a failure and at once when a cancellation is asked for.
func (k *LeaseKeeper) Run(ctx context.Context) {
	r := &renewal{LeaseKeeper: k, answers: make(chan error, 1)}
	again := make(chan struct{}, 1)
	k.failures.listen(again)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if next := r.keep(ctx); next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(next))
		}
		select {
		case <-ctx.Done():
			if r.underWay {
				<-r.answers
			}
			return
		case <-timer.C:
		case <-k.added:
		case <-k.wake:
			r.wanted = true
		case <-again:
			r.retry.now()
		case err := <-r.answers:
			r.answered(ctx, err)
		}
	}
}

// keep does what is due and returns when there is more to do; zero while there is nothing to wait
// for.
func (r *renewal) keep(ctx context.Context) (next time.Time) {
	now, claiming := time.Now(), r.claiming.Load()
	r.excuse(now)
	if now.Before(r.grace) {
		next = r.grace
	} else {
		r.endTrust(now)
		next = r.endOfTrust()
	}
	oldest := r.oldestTrust()
	if oldest.IsZero() {
		r.wanted = r.wanted && claiming // it may be about a run of that claim
		if r.retry.failures > 0 && !r.underWay {
			r.retry.worked()
			r.failures.drop("renew leases")
		}
		return time.Time{}
	}
	if r.underWay {
		return next
	}
	due := instant.Latest(oldest.Add(r.ttl/3), r.retry.at)
	if r.wanted {
		due = instant.Latest(now, r.retry.at) // a notification does not make a store work
	}
	if now.Before(due) {
		return instant.Earlier(due, next)
	}
	r.wanted, r.underWay = false, true
	until := instant.Latest(r.endOfTrust(), r.grace)
	go func() { r.answers <- r.renew(ctx, until) }() // Run waits for the answer before it returns
	return next
}

// excuse gives the leases of a local store time for one renewal if trust in them ended although no
// renewal was missed: the process was stopped then, and with it everybody who could have taken the
// runs over, so they go on. With any other store another process may have taken them.
func (r *renewal) excuse(now time.Time) {
	ends := r.endOfTrust()
	if !r.local || r.underWay || r.retry.failures > 0 || !r.grace.IsZero() || ends.IsZero() || now.Before(ends) {
		return
	}
	r.grace, r.wanted = now.Add(r.margin()), true
}

func (r *renewal) answered(ctx context.Context, err error) {
	r.underWay = false
	r.report(ctx, "renew leases", err)
	if err != nil {
		r.retry.failed()
		return
	}
	r.retry.worked()
	r.grace = time.Time{}
	r.endTrust(time.Time{}) // takes stock only: what was renewed needs no excuse
}

// endTrust stops the runs whose lease may have expired while the store did not answer, and takes
// stock of the others.
func (k *LeaseKeeper) endTrust(now time.Time) {
	var ended []*Hold
	k.mu.Lock()
	k.heldSince, k.trustEnds = time.Time{}, time.Time{}
	for _, h := range k.held {
		if h.gone {
			continue
		}
		k.heldSince = instant.Earlier(k.heldSince, h.trusted)
		if h.distrusted || h.ended.Load() {
			continue
		}
		ends := h.trusted.Add(k.trustSpan())
		if now.Before(ends) {
			k.trustEnds = instant.Earlier(k.trustEnds, ends)
			continue
		}
		h.distrusted = true
		ended = append(ended, h)
	}
	k.mu.Unlock()
	for _, h := range ended {
		h.run.Stop(store.ErrLeaseLost)
	}
	k.logLosses("leases not renewed in time: their runs are told to stop", ended)
}

// renew renews the leases of all runs, in calls that end before trust does. Runs whose function has
// returned are among them until that is stored, and runs that were told to stop until they do: as
// long as the store knows no other claim, nobody else should enter them.
func (k *LeaseKeeper) renew(ctx context.Context, until time.Time) error {
	if k.claiming.Load() {
		k.missed.Store(true)
	}
	k.mu.Lock()
	held := make([]*Hold, 0, len(k.held))
	for _, h := range k.held {
		if !h.gone {
			held = append(held, h)
		}
	}
	k.mu.Unlock()
	var calls errgroup.Group
	calls.SetLimit(maxRenewing)
	for chunk := range slices.Chunk(held, maxRenewed) {
		calls.Go(func() error { return k.renewSome(ctx, chunk, until) })
	}
	return calls.Wait()
}

func (k *LeaseKeeper) renewSome(ctx context.Context, held []*Hold, until time.Time) error {
	leases := make([]store.Lease, len(held))
	for i, h := range held {
		leases[i] = h.lease
	}
	callCtx, cancel := k.callUntil(ctx, until)
	defer cancel()
	began := time.Now()
	result, err := k.store.RenewLeases(callCtx, store.RenewLeasesParams{Now: instant.Of(k.now()), TTL: k.ttl, Leases: leases})
	if err != nil {
		return err
	}
	k.renewed(held, result, began)
	return nil
}

// renewed notes which leases are held from the start of the renewal on, and stops the runs that are
// lost or to be cancelled.
func (k *LeaseKeeper) renewed(held []*Hold, result store.RenewLeasesResult, began time.Time) {
	lost := newestClaims(held, result.Lost)
	var gone []*Hold
	k.mu.Lock()
	for _, h := range held {
		if newest, is := lost[h.lease.RunID]; !is {
			h.trusted = instant.Latest(h.trusted, began)
		} else if !h.gone && (!newest.several || h.lease.Token < newest.token) {
			if h.gone = true; !h.ended.Load() { // the end of the others may be stored by now
				gone = append(gone, h)
			}
		}
	}
	k.mu.Unlock()
	for _, h := range gone {
		h.run.Stop(store.ErrLeaseLost)
	}
	k.logLosses("leases lost: their runs are told to stop, and what becomes of them is not stored", gone)
	k.cancel(held, result.Cancel)
}

// newestClaim is the newest of a run's claims in this process. There are several where the run was
// claimed again before the end of an older claim was stored. Whether the newest is lost too, the
// next renewal tells.
type newestClaim struct {
	token   int64
	several bool
}

func newestClaims(held []*Hold, ids []uuid.UUID) map[uuid.UUID]newestClaim {
	if len(ids) == 0 {
		return nil
	}
	newest := make(map[uuid.UUID]newestClaim, len(ids))
	for _, id := range ids {
		newest[id] = newestClaim{}
	}
	for _, h := range held {
		if n, is := newest[h.lease.RunID]; is {
			newest[h.lease.RunID] = newestClaim{max(n.token, h.lease.Token), n.several || n.token != 0}
		}
	}
	return newest
}

// cancel stops runs, or child runs in them, that somebody wants cancelled.
func (k *LeaseKeeper) cancel(held []*Hold, ids []uuid.UUID) {
	if len(ids) == 0 {
		return
	}
	wanted := make(map[uuid.UUID]struct{}, len(ids))
	for _, id := range ids {
		wanted[id] = struct{}{}
	}
	for _, h := range held {
		if _, is := wanted[h.lease.RunID]; is && !h.ended.Load() {
			h.run.Stop(ErrCancelled)
		}
	}
	for _, id := range ids {
		k.children.stopRun(id, ErrCancelled)
	}
}
