package stores_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/google/uuid"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/store"
	"github.com/provost-go/provost/store/postgres"
	"github.com/provost-go/provost/store/sqlite"
)

var histories = flag.Int("histories", 200, "number of histories of a run that are checked, for each store")

// TestLeasesAreLinearizable has several runners claim, renew and settle one run and reap its lapsed
// leases, all at once. Their answers must be those of some order in which the calls come one after
// another.
func TestLeasesAreLinearizable(t *testing.T) {
	for name, open := range map[string]func(*testing.T) provost.Store{
		"memory": func(*testing.T) provost.Store { return provost.NewMemoryStore() },
		"SQLite": func(t *testing.T) provost.Store {
			st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "provost.db"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { st.Close() })
			return st
		},
		"PostgreSQL": func(t *testing.T) provost.Store {
			st, err := postgres.Config{Schema: schema(t)}.Open(t.Context(), dsn(t))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { st.Close() })
			return st
		},
	} {
		t.Run(name, func(t *testing.T) {
			st := open(t)
			var wins, refusals int
			for range *histories {
				h := record(t, st, name == "PostgreSQL")
				if !porcupine.CheckOperations(leaseModel, h) {
					t.Fatalf("no order of these calls explains their answers:\n%s", listed(h))
				}
				for _, o := range h {
					if o.Output.(outcome).ok {
						wins++
					} else {
						refusals++
					}
				}
			}
			t.Logf("%d histories: %d calls succeeded, %d were refused", *histories, wins, refusals)
			if wins == 0 || refusals == 0 {
				t.Error("want calls that succeed and calls that are refused")
			}
		})
	}
}

// TestCheckerRefuses checks histories that no store may have.
func TestCheckerRefuses(t *testing.T) {
	base := time.Unix(1_800_000_000, 0)
	claim := func(token int64) porcupine.Operation {
		return porcupine.Operation{Input: call{do: "claim", now: base, ttl: time.Minute}, Output: outcome{ok: true, token: token}, Call: 1, Return: 2}
	}
	renew := porcupine.Operation{Input: call{do: "renew", now: base, ttl: time.Minute, token: 1}, Output: outcome{ok: true}, Call: 3, Return: 4}
	settle := porcupine.Operation{Input: call{do: "complete", now: base, token: 1}, Output: outcome{ok: true}, Call: 5, Return: 6}
	late := renew
	late.Call, late.Return = 7, 8
	for name, h := range map[string][]porcupine.Operation{
		"one run claimed twice":        {claim(1), claim(1)},
		"renewed without a claim":      {renew},
		"renewed after it was settled": {claim(1), settle, late},
	} {
		if porcupine.CheckOperations(leaseModel, h) {
			t.Errorf("%s: the checker accepted the history", name)
		}
	}
	if !porcupine.CheckOperations(leaseModel, []porcupine.Operation{claim(1), renew, settle}) {
		t.Error("the checker refused a correct history")
	}
}

// call is a call of a store about the run, and outcome its answer.
type call struct {
	do    string // claim, renew, complete, giveback or reap
	now   time.Time
	ttl   time.Duration
	token int64 // of renew, complete and giveback
	skips bool  // a claim and a reaping skip a run that another call has locked, so they may find nothing
}

type outcome struct {
	ok    bool
	token int64 // of a claim
}

// leased is the state of the run in the sequential model.
type leased struct {
	waits, held bool // neither: it has finished
	due         time.Time
	token       int64
	lease       time.Time // end of the lease
	crashes     int
	settled     string // how the newest lease was settled
}

var leaseModel = porcupine.Model{
	Init: func() any { return leased{waits: true} },
	Step: func(state, input, output any) (bool, any) {
		s, c, o := state.(leased), input.(call), output.(outcome)
		mine := s.held && s.token == c.token
		switch c.do {
		case "claim":
			switch {
			case !s.waits || c.now.Before(s.due.Add(-store.ClaimAhead)):
				return !o.ok, s
			case c.skips && !o.ok:
				return true, s
			}
			s.waits, s.held, s.token, s.lease, s.settled = false, true, s.token+1, c.now.Add(c.ttl), ""
			return o.ok && o.token == s.token, s
		case "renew":
			if mine {
				s.lease = c.now.Add(c.ttl)
			}
			return o.ok == mine, s
		case "complete", "giveback":
			if s.settled == c.do && s.token == c.token { // repeated
				return o.ok, s
			}
			if mine {
				s.held, s.waits, s.settled = false, c.do == "giveback", c.do
			}
			return o.ok == mine, s
		default:
			lapsed := s.held && s.lease.Before(c.now)
			if lapsed && c.skips && !o.ok {
				return true, s
			}
			if lapsed {
				s.crashes++
				s.held, s.waits, s.due = false, s.crashes < store.MaxCrashes, c.now
			}
			return o.ok == lapsed, s
		}
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v: %+v", input, output) },
}

// record has four clients make random calls about one run, and returns the calls with their
// answers.
func record(t *testing.T, st provost.Store, skips bool) []porcupine.Operation {
	t.Helper()
	base := time.Now().UTC().Truncate(time.Microsecond)
	ctx := t.Context()
	flow := "f" + uuid.NewString()
	d := &provost.DeploymentRecord{ID: uuid.New(), FlowID: store.FlowID(flow), Flow: flow, Name: "d", Digest: "1"}
	must(t, second(st.RegisterDeployments(ctx, store.RegisterDeploymentsParams{Now: base, Deployments: []*provost.DeploymentRecord{d}})))
	runners := make([]uuid.UUID, 4)
	for i := range runners {
		runners[i] = uuid.Must(uuid.NewV7())
		r := provost.RunnerRecord{ID: runners[i], Name: fmt.Sprint("r", i), Started: base, SeenAt: base, Until: base.Add(24 * time.Hour)}
		must(t, second(st.RegisterRunner(ctx, store.RegisterRunnerParams{Now: base, Runner: r, Deployments: []uuid.UUID{d.ID}})))
	}
	run := uuid.Must(uuid.NewV7())
	must(t, second(st.CreateRun(ctx, store.CreateRunParams{Now: base, ID: run, DeploymentID: d.ID, ScheduledTime: base, DueTime: base})))
	var (
		mu      sync.Mutex
		history []porcupine.Operation
		clients sync.WaitGroup
	)
	for i, runner := range runners {
		clients.Go(func() {
			token := int64(1)
			for range 8 {
				c := call{
					do: []string{"claim", "claim", "renew", "complete", "giveback", "reap"}[rand.IntN(6)], token: token, skips: skips,
					now: base.Add(rand.N(20 * time.Second)).Truncate(time.Microsecond), ttl: time.Duration(1+rand.IntN(10)) * time.Second,
				}
				began := time.Since(base)
				o, err := do(ctx, st, runner, run, c)
				ended := time.Since(base)
				if err != nil {
					t.Errorf("%+v: %v", c, err)
					return
				}
				if o.token > 0 {
					token = o.token
				}
				mu.Lock()
				history = append(history, porcupine.Operation{ClientId: i, Input: c, Output: o, Call: int64(began), Return: int64(ended)})
				mu.Unlock()
			}
		})
	}
	clients.Wait()
	for _, r := range runners {
		must(t, st.RemoveRunner(ctx, store.RemoveRunnerParams{Now: base, Runner: r}))
	}
	must(t, st.DeleteDeployment(ctx, store.DeleteDeploymentParams{Now: base, ID: d.ID}))
	return history
}

// do makes a call.
func do(ctx context.Context, st provost.Store, runner, run uuid.UUID, c call) (outcome, error) {
	lease := store.Lease{RunID: run, Token: c.token}
	settle := func(u store.RunUpdate) (outcome, error) {
		u.Lease = lease
		errs, err := st.SettleRuns(ctx, store.SettleRunsParams{Now: c.now, Updates: []store.RunUpdate{u}})
		return outcome{ok: len(errs) == 0 || errs[0] == nil}, err
	}
	switch c.do {
	case "claim":
		claims, err := st.ClaimRuns(ctx, store.ClaimRunsParams{Now: c.now, Runner: runner, ID: uuid.Must(uuid.NewV7()), Limit: 1, TTL: c.ttl})
		if err != nil || len(claims.Runs) == 0 {
			return outcome{}, err
		}
		return outcome{true, claims.Runs[0].Token}, nil
	case "renew":
		renewal, err := st.RenewLeases(ctx, store.RenewLeasesParams{Now: c.now, TTL: c.ttl, Leases: []store.Lease{lease}})
		return outcome{ok: len(renewal.Lost) == 0}, err
	case "complete":
		return settle(store.RunUpdate{StartTime: c.now, Attempt: 1, State: provost.State{Type: provost.StateCompleted, Timestamp: c.now}})
	case "giveback":
		return settle(store.RunUpdate{State: provost.State{Type: provost.StateScheduled, Timestamp: c.now}})
	default:
		reaped, err := st.ReapLeases(ctx, store.ReapLeasesParams{Now: c.now})
		return outcome{ok: slices.ContainsFunc(reaped.Runs, func(r *provost.Run) bool { return r.ID == run })}, err
	}
}

// listed returns a history as text.
func listed(history []porcupine.Operation) (text string) {
	for _, o := range history {
		text += fmt.Sprintf("client %d, %d to %d: %s\n", o.ClientId, o.Call, o.Return, leaseModel.DescribeOperation(o.Input, o.Output))
	}
	return text
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func second[T any](_ T, err error) error { return err }
