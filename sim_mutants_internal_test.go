package provost

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// simMutants are stores with a defect each, and a word of what the checker has to say of it.
var simMutants = map[string]struct {
	store func(*MemoryStore) Store
	says  string
}{
	"takes a stale token":    {func(m *MemoryStore) Store { return &staleStore{m} }, "stale write"},
	"loses a run":            {func(m *MemoryStore) Store { return &losingStore{MemoryStore: m} }, "is lost"},
	"grants a slot too many": {func(m *MemoryStore) Store { return &generousStore{m} }, "held under limit"},
	"plans an instant twice": {func(m *MemoryStore) Store { return &doublingStore{MemoryStore: m} }, "decided twice"},
	"drops a skip":           {func(m *MemoryStore) Store { return &skiplessStore{m} }, "is lost"},
	"claims what is claimed": {func(m *MemoryStore) Store { return &greedyStore{m} }, "held it"},
	"forgets a lease":        {func(m *MemoryStore) Store { return &forgetfulStore{m} }, "has a lease of"},
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
	staleStore     struct{ *MemoryStore }
	generousStore  struct{ *MemoryStore }
	skiplessStore  struct{ *MemoryStore }
	greedyStore    struct{ *MemoryStore }
	forgetfulStore struct{ *MemoryStore }
	losingStore    struct {
		*MemoryStore
		plans int
	}
	doublingStore struct {
		*MemoryStore
		plans int
	}
)

// SettleRuns believes whoever writes.
func (s *staleStore) SettleRuns(ctx context.Context, p SettleRunsParams) ([]error, error) {
	p.Updates = slices.Clone(p.Updates)
	for i := range p.Updates {
		if r := s.runs[p.Updates[i].RunID]; r != nil {
			p.Updates[i].Token = r.holder().token
		}
	}
	return s.MemoryStore.SettleRuns(ctx, p)
}

// PlanRuns forgets a run now and then.
func (s *losingStore) PlanRuns(ctx context.Context, p PlanRunsParams) ([]error, error) {
	for i := range p.Plans {
		if s.plans++; s.plans%5 == 0 && len(p.Plans[i].Runs) > 0 {
			p.Plans[i].Runs = p.Plans[i].Runs[1:]
		}
	}
	return s.MemoryStore.PlanRuns(ctx, p)
}

// ClaimRuns has a slot more than was declared.
func (s *generousStore) ClaimRuns(ctx context.Context, p ClaimRunsParams) (Claims, error) {
	for _, l := range s.limits {
		l.size++
		s.handOut(l)
	}
	defer func() {
		for _, l := range s.limits {
			l.size--
		}
	}()
	return s.MemoryStore.ClaimRuns(ctx, p)
}

// PlanRuns makes a run twice now and then.
func (s *doublingStore) PlanRuns(ctx context.Context, p PlanRunsParams) ([]error, error) {
	errs, err := s.MemoryStore.PlanRuns(ctx, p)
	for i := range p.Plans {
		plan := &p.Plans[i]
		if s.plans++; s.plans%5 != 0 || len(plan.Runs) == 0 || errs[i] != nil {
			continue
		}
		if first := s.runs[plan.Runs[0].ID]; first != nil {
			second := *first
			second.id = uuid.New()
			second.schedule.runs.Delete(first)
			s.add(&second)
			s.enqueue(&second)
			second.schedule.runs.Insert(first)
		}
	}
	return errs, err
}

// PlanRuns keeps no skips.
func (s *skiplessStore) PlanRuns(ctx context.Context, p PlanRunsParams) ([]error, error) {
	for i := range p.Plans {
		p.Plans[i].Skips = nil
	}
	return s.MemoryStore.PlanRuns(ctx, p)
}

// ClaimRuns takes a run from its holder now and then.
func (s *greedyStore) ClaimRuns(ctx context.Context, p ClaimRunsParams) (Claims, error) {
	if r, ok := s.leases.Min(); ok && r.state().Type == StateRunning && r.token%3 == 1 {
		s.advance(r, newState(StateScheduled, p.Now, ""))
		s.leases.Delete(r)
		r.lease = never
		s.wait(r, r.due, toMicros(p.Now))
	}
	return s.MemoryStore.ClaimRuns(ctx, p)
}

// ReapLeases never finds a lease that has ended.
func (s *forgetfulStore) ReapLeases(context.Context, ReapLeasesParams) (Reaped, error) {
	return Reaped{}, nil
}
