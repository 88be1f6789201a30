package sim

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/store"
	"github.com/provost-go/provost/store/memory"
)

// mutants are stores with one defect each, and a part of what the checker must find.
var mutants = map[string]struct {
	store func(*memory.Store) store.Store
	finds string
}{
	"takes a stale token":    {newStaleStore, "stale write"},
	"loses a run":            {func(m *memory.Store) store.Store { return &losingStore{Store: m} }, "is lost"},
	"grants a slot too many": {func(m *memory.Store) store.Store { return &generousStore{m} }, "held under limit"},
	"plans an instant twice": {newDoublingStore, "decided twice"},
	"drops a skip":           {func(m *memory.Store) store.Store { return &skiplessStore{m} }, "is lost"},
	"claims what is claimed": {func(m *memory.Store) store.Store { return &greedyStore{Store: m} }, "held it"},
	"forgets a lease":        {func(m *memory.Store) store.Store { return &forgetfulStore{m} }, "has a lease of"},
}

// maxMutantSeeds is how many worlds a defect may survive.
const maxMutantSeeds = 60

// TestSimulationFindsDefects checks the checker: it must find each defect within some seeds, and
// name it.
func TestSimulationFindsDefects(t *testing.T) {
	for name, mutant := range mutants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(maxMutantSeeds) {
				found, _ := simulate(t, seed, mutant.store)
				if slices.ContainsFunc(found, func(text string) bool { return strings.Contains(text, mutant.finds) }) {
					t.Logf("found with seed %d", seed)
					return
				}
			}
			t.Errorf("nothing like %q was found in %d seeds", mutant.finds, maxMutantSeeds)
		})
	}
}

// A mutant embeds the memory store, so that gates find its optional abilities. The gates of a world
// share its history, which serialises their calls: a mutant needs no lock.
type (
	losingStore struct {
		*memory.Store
		plans int
	}
	generousStore  struct{ *memory.Store }
	skiplessStore  struct{ *memory.Store }
	forgetfulStore struct{ *memory.Store }
)

// PlanRuns drops a run now and then.
func (s *losingStore) PlanRuns(ctx context.Context, p store.PlanRunsParams) ([]error, error) {
	for i := range p.Plans {
		if s.plans++; s.plans%5 == 0 && len(p.Plans[i].Runs) > 0 {
			p.Plans[i].Runs = p.Plans[i].Runs[1:]
		}
	}
	return s.Store.PlanRuns(ctx, p)
}

// RegisterDeployments gives each limit one slot more than is declared.
func (s *generousStore) RegisterDeployments(ctx context.Context, p store.RegisterDeploymentsParams) ([]store.Registration, error) {
	p.Deployments = slices.Clone(p.Deployments)
	for i, declared := range p.Deployments {
		if declared.ConcurrencyLimit > 0 {
			more := *declared
			more.ConcurrencyLimit++
			p.Deployments[i] = &more
		}
	}
	return s.Store.RegisterDeployments(ctx, p)
}

// PlanRuns drops all skips.
func (s *skiplessStore) PlanRuns(ctx context.Context, p store.PlanRunsParams) ([]error, error) {
	for i := range p.Plans {
		p.Plans[i].Skips = nil
	}
	return s.Store.PlanRuns(ctx, p)
}

// ReapLeases never finds an expired lease.
func (s *forgetfulStore) ReapLeases(context.Context, store.ReapLeasesParams) (store.ReapLeasesResult, error) {
	return store.ReapLeasesResult{}, nil
}

// staleStore accepts the writes of anybody who once held the lease.
type staleStore struct {
	*memory.Store
	tokens  map[uuid.UUID]int64     // the newest of each run
	parents map[uuid.UUID]uuid.UUID // of child runs
}

func newStaleStore(m *memory.Store) store.Store {
	return &staleStore{m, make(map[uuid.UUID]int64), make(map[uuid.UUID]uuid.UUID)}
}

func (s *staleStore) ClaimRuns(ctx context.Context, p store.ClaimRunsParams) (store.ClaimRunsResult, error) {
	claims, err := s.Store.ClaimRuns(ctx, p)
	for _, claim := range claims.Runs {
		s.tokens[claim.RunID] = claim.Token
	}
	return claims, err
}

func (s *staleStore) CreateRun(ctx context.Context, p store.CreateRunParams) (*store.Run, error) {
	if p.Child != nil {
		s.parents[p.ID] = p.Child.Parent.RunID
	}
	return s.Store.CreateRun(ctx, p)
}

// SettleRuns replaces each token with the newest one.
func (s *staleStore) SettleRuns(ctx context.Context, p store.SettleRunsParams) ([]error, error) {
	p.Updates = slices.Clone(p.Updates)
	for i := range p.Updates {
		root := p.Updates[i].RunID
		for parent, ok := s.parents[root]; ok; parent, ok = s.parents[root] {
			root = parent
		}
		if token, ok := s.tokens[root]; ok {
			p.Updates[i].Token = token
		}
	}
	return s.Store.SettleRuns(ctx, p)
}

// doublingStore makes a second run for an instant now and then.
type doublingStore struct {
	*memory.Store
	plans   int
	doubled map[uuid.UUID]doubledRun // by ID of the second run
}

// doubledRun is what the store adds to the second run of an instant.
type doubledRun struct {
	schedule string
	instant  time.Time
}

func newDoublingStore(m *memory.Store) store.Store {
	return &doublingStore{Store: m, doubled: make(map[uuid.UUID]doubledRun)}
}

// PlanRuns plans, and makes the second run of the first instant of every fifth plan.
func (s *doublingStore) PlanRuns(ctx context.Context, p store.PlanRunsParams) ([]error, error) {
	errs, err := s.Store.PlanRuns(ctx, p)
	if err != nil {
		return errs, err
	}
	for i := range p.Plans {
		plan := &p.Plans[i]
		if s.plans++; s.plans%5 != 0 || len(plan.Runs) == 0 || errs[i] != nil {
			continue
		}
		first := plan.Runs[0]
		second := store.CreateRunParams{
			Now: p.Now, ID: uuid.New(), Name: "double", DeploymentID: plan.DeploymentID, Generation: plan.Generation,
			ScheduledTime: first.ScheduledTime, DueTime: first.DueTime,
		}
		if _, err := s.Store.CreateRun(ctx, second); err == nil {
			s.doubled[second.ID] = doubledRun{plan.Key, first.ScheduledTime}
		}
	}
	return errs, nil
}

// ListRuns lists a second run as one of the schedule, as the first is.
func (s *doublingStore) ListRuns(ctx context.Context, f store.RunFilter) (store.Page[*store.Run], error) {
	page, err := s.Store.ListRuns(ctx, f)
	for _, run := range page.Items {
		if d, ok := s.doubled[run.ID]; ok {
			run.Schedule, run.ScheduledTime, run.AutoScheduled = d.schedule, d.instant, true
		}
	}
	return page, err
}

// greedyStore gives a running run to a second runner now and then.
type greedyStore struct {
	*memory.Store
	held []heldRun
}

// heldRun is a run that a runner holds.
type heldRun struct {
	claim  store.Claim
	runner uuid.UUID
}

// ClaimRuns also claims the oldest run that another runner is executing, if its token fits.
func (s *greedyStore) ClaimRuns(ctx context.Context, p store.ClaimRunsParams) (store.ClaimRunsResult, error) {
	claims, err := s.Store.ClaimRuns(ctx, p)
	if err != nil {
		return claims, err
	}
	taken := slices.IndexFunc(s.held, func(h heldRun) bool {
		run, err := s.GetRun(ctx, h.claim.RunID)
		return err == nil && run.State.Type == store.StateRunning && h.runner != p.Runner && h.claim.Token%3 == 1
	})
	if taken >= 0 {
		claim := s.held[taken].claim
		claim.Token++
		claims.Runs = append(claims.Runs, claim)
	}
	for _, claim := range claims.Runs {
		s.held = slices.DeleteFunc(s.held, func(h heldRun) bool { return h.claim.RunID == claim.RunID })
		s.held = append(s.held, heldRun{claim, p.Runner})
	}
	return claims, nil
}
