package sim

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/provost-go/provost/store"
	"github.com/provost-go/provost/store/memory"
)

// simMutants are stores with a defect each, and a word of what the checker has to say of it.
var simMutants = map[string]struct {
	store func(*memory.Store) store.Store
	says  string
}{
	"takes a stale token":    {func(m *memory.Store) store.Store { return &staleStore{m} }, "stale write"},
	"loses a run":            {func(m *memory.Store) store.Store { return &losingStore{Store: m} }, "is lost"},
	"grants a slot too many": {func(m *memory.Store) store.Store { return &generousStore{m} }, "held under limit"},
	"plans an instant twice": {func(m *memory.Store) store.Store { return &doublingStore{Store: m} }, "decided twice"},
	"drops a skip":           {func(m *memory.Store) store.Store { return &skiplessStore{m} }, "is lost"},
	"claims what is claimed": {func(m *memory.Store) store.Store { return &greedyStore{m} }, "held it"},
	"forgets a lease":        {func(m *memory.Store) store.Store { return &forgetfulStore{m} }, "has a lease of"},
}

// maxMutantSeeds bounds how many worlds a defect may survive.
const maxMutantSeeds = 60

// TestSimulationFindsDefects: the checker can fail. Each defect shows within some seeds, and is called by its name.
func TestSimulationFindsDefects(t *testing.T) {
	for name, mutant := range simMutants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(maxMutantSeeds) {
				found, _ := simulate(t, seed, mutant.store)
				if slices.ContainsFunc(found, func(text string) bool { return strings.Contains(text, mutant.says) }) {
					t.Logf("found with seed %d", seed)
					return
				}
			}
			t.Errorf("nothing like %q was found in %d seeds", mutant.says, maxMutantSeeds)
		})
	}
}

// A mutant shows the abilities of the store behind it, as gates look for them.
type (
	staleStore     struct{ *memory.Store }
	generousStore  struct{ *memory.Store }
	skiplessStore  struct{ *memory.Store }
	greedyStore    struct{ *memory.Store }
	forgetfulStore struct{ *memory.Store }
	losingStore    struct {
		*memory.Store
		plans int
	}
	doublingStore struct {
		*memory.Store
		plans int
	}
)

// SettleRuns believes whoever writes.
func (s *staleStore) SettleRuns(ctx context.Context, p store.SettleRunsParams) ([]error, error) {
	p.Updates = slices.Clone(p.Updates)
	for i := range p.Updates {
		if r := s.Runs[p.Updates[i].RunID]; r != nil {
			p.Updates[i].Token = r.Holder().Token
		}
	}
	return s.Store.SettleRuns(ctx, p)
}

// PlanRuns forgets a run now and then.
func (s *losingStore) PlanRuns(ctx context.Context, p store.PlanRunsParams) ([]error, error) {
	for i := range p.Plans {
		if s.plans++; s.plans%5 == 0 && len(p.Plans[i].Runs) > 0 {
			p.Plans[i].Runs = p.Plans[i].Runs[1:]
		}
	}
	return s.Store.PlanRuns(ctx, p)
}

// ClaimRuns has a slot more than was declared.
func (s *generousStore) ClaimRuns(ctx context.Context, p store.ClaimRunsParams) (store.ClaimRunsResult, error) {
	for _, l := range s.Limits {
		l.Size++
		s.HandOut(l)
	}
	defer func() {
		for _, l := range s.Limits {
			l.Size--
		}
	}()
	return s.Store.ClaimRuns(ctx, p)
}

// PlanRuns makes a run twice now and then.
func (s *doublingStore) PlanRuns(ctx context.Context, p store.PlanRunsParams) ([]error, error) {
	errs, err := s.Store.PlanRuns(ctx, p)
	for i := range p.Plans {
		plan := &p.Plans[i]
		if s.plans++; s.plans%5 != 0 || len(plan.Runs) == 0 || errs[i] != nil {
			continue
		}
		if first := s.Runs[plan.Runs[0].ID]; first != nil {
			second := *first
			second.Id = uuid.New()
			second.Schedule.Runs.Delete(first)
			s.Add(&second)
			s.Enqueue(&second)
			second.Schedule.Runs.Insert(first)
		}
	}
	return errs, err
}

// PlanRuns keeps no skips.
func (s *skiplessStore) PlanRuns(ctx context.Context, p store.PlanRunsParams) ([]error, error) {
	for i := range p.Plans {
		p.Plans[i].Skips = nil
	}
	return s.Store.PlanRuns(ctx, p)
}

// ClaimRuns takes a run from its holder now and then.
func (s *greedyStore) ClaimRuns(ctx context.Context, p store.ClaimRunsParams) (store.ClaimRunsResult, error) {
	if r, ok := s.Leases.Min(); ok && r.State().Type == store.StateRunning && r.Token%3 == 1 {
		s.Advance(r, store.NewState(store.StateScheduled, p.Now, ""))
		s.Leases.Delete(r)
		r.Lease = memory.Never
		s.Wait(r, r.Due, memory.ToMicros(p.Now))
	}
	return s.Store.ClaimRuns(ctx, p)
}

// ReapLeases never finds a lease that has ended.
func (s *forgetfulStore) ReapLeases(context.Context, store.ReapLeasesParams) (store.ReapLeasesResult, error) {
	return store.ReapLeasesResult{}, nil
}
