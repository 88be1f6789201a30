package engine

import (
	"context"
	"errors"
	"slices"
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

// keeper renews leases and ends trust in them. A lease is trusted from the start of the claim or renewal that gave it, for the
// LeaseTTL less a margin, on the monotonic clock. Renewals run beside the keeper's loop, so that no call that hangs delays the
// end of trust.
type leaseKeeper struct {
	*Engine
	renewing bool
	answers  chan error // of the renewal under way
	retry    retry
	hinted   bool      // somebody wants a run cancelled, or leases are in doubt: renew now
	grace    time.Time // until when trust that has ended while the process was stopped is left alone
}

// keepLoop keeps leases until ctx ends: three renewals in a lease while runs are in flight, soon again after one that failed, at
// once when a cancellation is asked for, and none while nothing is in flight.
func (s *Engine) keepLoop(ctx context.Context) {
	k := &leaseKeeper{Engine: s, answers: make(chan error, 1)}
	again := make(chan struct{}, 1)
	s.outages.listen(again)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if next := k.keep(ctx); next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(next))
		}
		select {
		case <-ctx.Done():
			if k.renewing {
				<-k.answers
			}
			return
		case <-timer.C:
		case <-s.admitted:
		case <-s.wakeKeeper:
			k.hinted = true
		case <-again:
			k.retry.now()
		case err := <-k.answers:
			k.answered(ctx, err)
		}
	}
}

// keep does what is due, and says when there is more to do; zero while there is nothing to wait for.
func (k *leaseKeeper) keep(ctx context.Context) (next time.Time) {
	now, claiming := time.Now(), k.claiming.Load()
	k.excuse(now)
	if now.Before(k.grace) {
		next = k.grace
	} else {
		k.distrust(now)
		next = k.endOfTrust()
	}
	oldest := k.oldestTrust()
	if oldest.IsZero() {
		k.hinted = k.hinted && claiming // it may be about a run of that claim
		if k.retry.failures > 0 && !k.renewing {
			k.retry.worked()
			k.outages.drop("renew leases")
		}
		return time.Time{}
	}
	if k.renewing {
		return next
	}
	due := instant.Latest(oldest.Add(k.LeaseTTL/3), k.retry.at)
	if k.hinted {
		due = instant.Latest(now, k.retry.at) // a hint does not make a store work
	}
	if now.Before(due) {
		return instant.Earlier(due, next)
	}
	k.hinted, k.renewing = false, true
	until := instant.Latest(k.endOfTrust(), k.grace)
	go func() { k.answers <- k.renew(ctx, until) }() // keepLoop waits for the answer before it returns
	return next
}

// excuse gives a local store's leases time for one renewal if trust in them ended though no renewal was missed. The process was
// stopped then, and with it whoever could have taken the runs over: they go on. Another process may have, elsewhere.
func (k *leaseKeeper) excuse(now time.Time) {
	ends := k.endOfTrust()
	if !k.local || k.renewing || k.retry.failures > 0 || !k.grace.IsZero() || ends.IsZero() || now.Before(ends) {
		return
	}
	k.grace, k.hinted = now.Add(k.margin()), true
}

func (k *leaseKeeper) answered(ctx context.Context, err error) {
	k.renewing = false
	k.report(ctx, "renew leases", err)
	if err != nil {
		k.retry.failed()
		return
	}
	k.retry.worked()
	k.grace = time.Time{}
	k.distrust(time.Time{}) // takes stock only: what is renewed needs no excuse
}

// margin is how long before its end a lease is distrusted: for clocks that run at other speeds, and for flows to end.
func (s *Engine) margin() time.Duration { return min(leaseMargin, s.LeaseTTL/4) }

// trustSpan is how long a lease is trusted.
func (s *Engine) trustSpan() time.Duration { return s.LeaseTTL - s.margin() }

// oldestTrust is a time from which on all leases in flight are held, at least; zero if none is in flight. endOfTrust is when trust
// in the first of them ends; zero if there is none to end.
func (s *Engine) oldestTrust() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heldFrom
}

func (s *Engine) endOfTrust() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trustEnds
}

// distrust ends the runs whose lease may have ended while the store did not answer, and takes stock of the others.
func (s *Engine) distrust(now time.Time) {
	var ended []*Execution
	s.mu.Lock()
	s.heldFrom, s.trustEnds = time.Time{}, time.Time{}
	for _, x := range s.inFlight {
		if x.Gone {
			continue
		}
		s.heldFrom = instant.Earlier(s.heldFrom, x.Trusted)
		if x.distrusted || x.Ended.Load() {
			continue
		}
		ends := x.Trusted.Add(s.trustSpan())
		if now.Before(ends) {
			s.trustEnds = instant.Earlier(s.trustEnds, ends)
			continue
		}
		x.distrusted = true
		ended = append(ended, x)
	}
	s.mu.Unlock()
	for _, x := range ended {
		x.cancel(store.ErrLeaseLost)
	}
	s.noteLost("leases not renewed in time: their runs are told to stop", ended)
}

// noteLost logs leases that were lost, in one line.
func (s *Engine) noteLost(message string, lost []*Execution) {
	if len(lost) == 0 {
		return
	}
	for _, x := range lost {
		s.noteLeaseLost(x)
	}
	x := lost[0]
	s.log.Warn(message, "count", len(lost), "run", x.Claim.Name, "id", x.Claim.RunID, "deployment", store.Handle(x.served.Flow.Name, x.served.Name))
}

// renew prolongs the leases of all runs in flight, in calls that end before trust does. Runs whose function has returned are
// among them until that is stored, and runs that are told to stop until they do: as long as the store knows of no other claim,
// nobody else should enter them.
func (s *Engine) renew(ctx context.Context, until time.Time) error {
	if s.claiming.Load() {
		s.missed.Store(true)
	}
	s.mu.Lock()
	held := make([]*Execution, 0, len(s.inFlight))
	for _, x := range s.inFlight {
		if !x.Gone {
			held = append(held, x)
		}
	}
	s.mu.Unlock()
	var calls errgroup.Group
	calls.SetLimit(maxRenewing)
	for chunk := range slices.Chunk(held, maxRenewed) {
		calls.Go(func() error { return s.renewSome(ctx, chunk, until) })
	}
	return calls.Wait()
}

func (s *Engine) renewSome(ctx context.Context, held []*Execution, until time.Time) error {
	leases := make([]store.Lease, len(held))
	for i, x := range held {
		leases[i] = x.Claim.Lease
	}
	callCtx, cancel := s.storeCallUntil(ctx, until)
	defer cancel()
	began := time.Now()
	renewal, err := s.store.RenewLeases(callCtx, store.RenewLeasesParams{Now: instant.Of(s.now()), TTL: s.LeaseTTL, Leases: leases})
	if err != nil {
		return err
	}
	s.Trust(held, renewal, began)
	return nil
}

// trust notes which leases are held from when the renewal began, and stops the runs that are lost or to be cancelled.
func (s *Engine) Trust(held []*Execution, renewal store.RenewLeasesResult, began time.Time) {
	lost := newestOf(held, renewal.Lost)
	var gone []*Execution
	s.mu.Lock()
	for _, x := range held {
		if newest, is := lost[x.Claim.RunID]; !is {
			x.Trusted = instant.Latest(x.Trusted, began)
		} else if !x.Gone && (!newest.several || x.Claim.Token < newest.token) {
			if x.Gone = true; !x.Ended.Load() { // the end of the others may be stored by now
				gone = append(gone, x)
			}
		}
	}
	s.mu.Unlock()
	for _, x := range gone {
		x.cancel(store.ErrLeaseLost)
	}
	s.noteLost("leases lost: their runs are told to stop, and what becomes of them is not stored", gone)
	s.cancelRuns(held, renewal.Cancel)
}

// newestToken is the newest of a run's claims in flight here. There are several where the run was claimed again before the end of
// an older claim was stored; of the newest, the next renewal tells whether it is lost too.
type newestToken struct {
	token   int64
	several bool
}

func newestOf(held []*Execution, ids []uuid.UUID) map[uuid.UUID]newestToken {
	if len(ids) == 0 {
		return nil
	}
	newest := make(map[uuid.UUID]newestToken, len(ids))
	for _, id := range ids {
		newest[id] = newestToken{}
	}
	for _, x := range held {
		if n, is := newest[x.Claim.RunID]; is {
			newest[x.Claim.RunID] = newestToken{max(n.token, x.Claim.Token), n.several || n.token != 0}
		}
	}
	return newest
}

// cancelRuns ends the contexts of runs, or of runs inside them, that somebody wants cancelled.
func (s *Engine) cancelRuns(held []*Execution, ids []uuid.UUID) {
	if len(ids) == 0 {
		return
	}
	wanted := setOf(ids)
	var found []*Execution
	for _, x := range held {
		if _, is := wanted[x.Claim.RunID]; is && !x.Ended.Load() {
			found = append(found, x)
		}
	}
	s.mu.Lock()
	for id, child := range s.children {
		if _, is := wanted[id]; is {
			found = append(found, child)
		}
	}
	s.mu.Unlock()
	for _, x := range found {
		x.cancel(errCancelled)
	}
}

func setOf(ids []uuid.UUID) map[uuid.UUID]struct{} {
	set := make(map[uuid.UUID]struct{}, len(ids))
	for _, id := range ids {
		set[id] = struct{}{}
	}
	return set
}

// heartLoop says that this runner is alive, now and three times in a lease, until ctx ends.
func (s *Engine) heartLoop(ctx context.Context) {
	again := make(chan struct{}, 1)
	s.outages.listen(again)
	var retry retry
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-again:
			if retry.failures == 0 {
				continue
			}
		}
		err := s.heartbeat(ctx)
		s.report(ctx, "heartbeat", err)
		if err != nil {
			retry.failed()
			timer.Reset(min(time.Until(retry.at), s.LeaseTTL/3))
		} else {
			retry.worked()
			timer.Reset(s.LeaseTTL / 3)
		}
	}
}

// vouch says that this runner is alive. One that the store has forgotten registers again.
func (s *Engine) heartbeat(ctx context.Context) error {
	callCtx, cancel := s.storeCall(ctx)
	defer cancel()
	now := instant.Of(s.now())
	err := s.store.HeartbeatRunner(callCtx, store.HeartbeatRunnerParams{Now: now, Runner: s.id, Until: now.Add(s.LeaseTTL)})
	if err == nil || !errors.Is(err, store.ErrNotFound) {
		return err
	}
	ids := make([]uuid.UUID, 0, len(s.Deployments))
	for id := range s.Deployments {
		ids = append(ids, id)
	}
	_, err = s.registerRunner(callCtx, now, ids)
	return err
}

func (s *Engine) addChild(x *Execution) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.children[x.Claim.RunID] = x
}

func (s *Engine) removeChild(x *Execution) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.children, x.Claim.RunID)
}
