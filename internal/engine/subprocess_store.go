package engine

import (
	"context"

	"github.com/provost-go/provost/store"
)

// subprocessStore is the runner's store as a subprocess uses it. It notes the child runs of the
// current run.
type subprocessStore struct {
	store.Store
	sp *subprocess
}

// Unwrap returns the store itself, for its optional abilities.
func (s *subprocessStore) Unwrap() store.Store { return s.Store }

// CreateRun notes child runs, so that the runner can pass on their cancellation.
func (s *subprocessStore) CreateRun(ctx context.Context, p store.CreateRunParams) (*store.Run, error) {
	run, err := s.Store.CreateRun(ctx, p)
	x := s.sp.current.Load()
	if err == nil && x != nil && p.Child != nil && p.Child.Parent == x.claim.Lease {
		s.sp.addChildRun(x, run)
	}
	return run, err
}

// SettleRuns forgets child runs that have ended.
func (s *subprocessStore) SettleRuns(ctx context.Context, p store.SettleRunsParams) ([]error, error) {
	errs, err := s.Store.SettleRuns(ctx, p)
	for i := range p.Updates {
		if p.Updates[i].State.Terminal() {
			s.sp.removeChildRun(p.Updates[i].RunID)
		}
	}
	return errs, err
}
