package provost

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
)

// keepLoop keeps leases until ctx ends: three renewals in a lease while runs are in flight, at once when a cancellation is asked
// for, and not at all while a local store has nothing of ours.
func (s *server) keepLoop(ctx context.Context) {
	interval := s.leaseTTL / 3
	timer := time.NewTimer(interval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-s.wakeKeeper:
		}
		if !s.local {
			s.report("heartbeat", s.vouch(ctx, s.now()))
		}
		if s.renew(ctx) || !s.local {
			timer.Reset(interval)
		} else {
			timer.Stop()
		}
	}
}

// renew prolongs the leases of all runs in flight, and says whether there are any.
func (s *server) renew(ctx context.Context) (any bool) {
	s.mu.Lock()
	leases := make([]Lease, len(s.inFlight))
	for i, x := range s.inFlight {
		leases[i] = x.claim.Lease
	}
	s.mu.Unlock()
	if len(leases) == 0 {
		return false
	}
	began := time.Now()
	callCtx, cancel := s.storeCall(ctx)
	renewal, err := s.store.RenewLeases(callCtx, RenewLeasesParams{Now: instant(began), TTL: s.leaseTTL, Leases: leases})
	cancel()
	s.report("renew", err)
	if err != nil {
		s.distrust(began)
		return true
	}
	s.trust(leases, renewal, began)
	return true
}

// trust notes which leases are held from when the renewal began, and stops the runs that are lost or to be cancelled.
func (s *server) trust(leases []Lease, renewal Renewal, began time.Time) {
	stop := make(map[uuid.UUID]error, len(renewal.Lost)+len(renewal.Cancel))
	for _, id := range renewal.Cancel {
		stop[id] = errCancelled
	}
	for _, id := range renewal.Lost {
		stop[id] = ErrLeaseLost
	}
	renewed := make(map[Lease]struct{}, len(leases))
	for _, l := range leases {
		renewed[l] = struct{}{}
	}
	s.mu.Lock()
	for _, x := range s.inFlight {
		if _, ours := renewed[x.claim.Lease]; ours && stop[x.claim.RunID] != ErrLeaseLost {
			x.trusted = began
		}
	}
	s.mu.Unlock()
	s.stop(stop)
}

// distrust ends the runs whose lease may have ended while the store did not answer.
func (s *server) distrust(now time.Time) {
	margin := min(leaseMargin, s.leaseTTL/4)
	stop := make(map[uuid.UUID]error)
	s.mu.Lock()
	for _, x := range s.inFlight {
		if now.Sub(x.trusted) > s.leaseTTL-margin {
			stop[x.claim.RunID] = ErrLeaseLost
		}
	}
	s.mu.Unlock()
	s.stop(stop)
}

// stop ends the contexts of runs and child runs, each with its cause.
func (s *server) stop(causes map[uuid.UUID]error) {
	if len(causes) == 0 {
		return
	}
	var found []*execution
	s.mu.Lock()
	for _, x := range s.inFlight {
		if causes[x.claim.RunID] != nil && !x.ended.Load() {
			found = append(found, x)
		}
	}
	for id, child := range s.children {
		if causes[id] != nil {
			found = append(found, child)
		}
	}
	s.mu.Unlock()
	for _, x := range found {
		cause := causes[x.claim.RunID]
		x.cancel(cause)
		if errors.Is(cause, ErrLeaseLost) {
			s.log.Warn("lease lost", "run", x.claim.Name, "id", x.claim.RunID)
		}
	}
}

func (s *server) addChild(x *execution) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.children[x.claim.RunID] = x
}

func (s *server) removeChild(x *execution) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.children, x.claim.RunID)
}
