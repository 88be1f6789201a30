package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/schedule"
	"github.com/provost-go/provost/store"
	"github.com/provost-go/provost/store/postgres"
)

// holdings records which runs are held, as the flows of several processes would see it.
type holdings struct {
	mu      sync.Mutex
	limits  map[uuid.UUID]string // by deployment
	sizes   map[string]int
	held    map[uuid.UUID]uuid.UUID // deployment, by run
	under   map[string]int          // runs under way, by limit
	done    map[uuid.UUID]int
	mistake []string
}

func (l *holdings) claimed(c store.Claim) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, twice := l.held[c.RunID]; twice || l.done[c.RunID] > 0 {
		l.mistake = append(l.mistake, fmt.Sprintf("run %s was claimed while it was held or had finished", c.RunID))
	}
	l.held[c.RunID] = c.DeploymentID
	if key := l.limits[c.DeploymentID]; key != "" {
		if l.under[key]++; l.under[key] > l.sizes[key] {
			l.mistake = append(l.mistake, fmt.Sprintf("%d runs are under way under limit %s of size %d", l.under[key], key, l.sizes[key]))
		}
	}
}

// ended must be called before the store is: from then on another run may have the slot.
func (l *holdings) ended(c store.Claim) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.held, c.RunID)
	l.done[c.RunID]++
	if key := l.limits[c.DeploymentID]; key != "" {
		l.under[key]--
	}
}

func (l *holdings) finished() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.done)
}

// TestManyProcesses has four stores, as of four processes, make, claim, renew, cancel and settle
// runs of deployments with and without limits. Meanwhile plans are written, runners come and go,
// and deployments are declared again. No run is held twice, no limit is exceeded, and every run
// ends once.
func TestManyProcesses(t *testing.T) {
	const stores, perStore = 4, 160
	name := schema(t)
	ids := []uuid.UUID{uuid.New(), uuid.New(), uuid.New(), uuid.New()}
	declare := func(description string) []*store.DeploymentRecord {
		record := func(i, limit int, group string) *store.DeploymentRecord {
			return &store.DeploymentRecord{
				ID: ids[i], FlowID: store.FlowID("f"), Flow: "f", Name: fmt.Sprint("d", i), Digest: fmt.Sprint(description, i), Description: description,
				ConcurrencyLimit: limit, LimitGroup: group, MaxWaiting: 10_000 * min(limit, 1),
				Schedules: []store.ScheduleRecord{{Key: "s", Schedule: schedule.Every(time.Second)}},
			}
		}
		return []*store.DeploymentRecord{record(0, 0, ""), record(1, 3, ""), record(2, 2, "g"), record(3, 2, "g")}
	}
	l := &holdings{
		limits: map[uuid.UUID]string{ids[1]: "own", ids[2]: "group", ids[3]: "group"}, sizes: map[string]int{"own": 3, "group": 2},
		held: make(map[uuid.UUID]uuid.UUID), under: make(map[string]int), done: make(map[uuid.UUID]int),
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var made, all sync.WaitGroup
	opened := make([]*postgres.Store, stores)
	for i := range opened {
		opened[i] = open(t, name)
	}
	if _, err := opened[0].RegisterDeployments(ctx, store.RegisterDeploymentsParams{Now: time.Now(), Deployments: declare("first")}); err != nil {
		t.Fatal(err)
	}
	for i, store := range opened {
		runner := uuid.New()
		if err := serve(ctx, store, runner, ids); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			made.Go(func() {
				for n := range perStore / 2 {
					if err := createOne(ctx, store, ids[n%len(ids)]); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		all.Go(func() {
			for l.finished() < stores*perStore && ctx.Err() == nil && !t.Failed() {
				if err := work(ctx, store, runner, l); err != nil {
					t.Error(err)
				}
			}
		})
		if i > 1 {
			continue
		}
		all.Go(func() { // changes what the other calls rely on
			for n := 0; l.finished() < stores*perStore && ctx.Err() == nil && !t.Failed(); n++ {
				if err := disturb(ctx, store, ids, declare(fmt.Sprint(i, n%3))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	made.Wait()
	all.Wait()
	if err := ctx.Err(); err != nil {
		t.Errorf("%v: %d runs have finished", err, l.finished())
	}
	for _, m := range l.mistake {
		t.Error(m)
	}
	for id, times := range l.done {
		if times != 1 {
			t.Errorf("run %s ended %d times, want once", id, times)
		}
	}
	n, err := opened[0].CountRuns(t.Context(), store.RunFilter{States: []store.StateType{store.StateCompleted, store.StateCancelled}})
	if err != nil || n < stores*perStore {
		t.Errorf("got %d finished runs in the store and error %v", n, err)
	}
}

func serve(ctx context.Context, st store.Store, runner uuid.UUID, ids []uuid.UUID) error {
	now := time.Now()
	_, err := st.RegisterRunner(ctx, store.RegisterRunnerParams{
		Now: now, Deployments: ids,
		Runner: store.RunnerRecord{ID: runner, Name: runner.String(), Started: now, SeenAt: now, Until: now.Add(time.Hour)},
	})
	return err
}

func createOne(ctx context.Context, st store.Store, deployment uuid.UUID) error {
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	now := time.Now()
	_, err = st.CreateRun(ctx, store.CreateRunParams{Now: now, ID: id, DeploymentID: deployment, ScheduledTime: now, DueTime: now})
	return err
}

// work claims some runs, renews their leases, sometimes cancels one, and settles them.
func work(ctx context.Context, st store.Store, runner uuid.UUID, l *holdings) error {
	claims, err := st.ClaimRuns(ctx, store.ClaimRunsParams{Now: time.Now(), Runner: runner, ID: uuid.New(), Limit: 1 + rand.N(20), TTL: time.Hour})
	if err != nil {
		return err
	}
	var leases []store.Lease
	for _, c := range claims.Runs {
		l.claimed(c)
		leases = append(leases, c.Lease)
	}
	if len(leases) == 0 {
		return nil
	}
	if rand.N(4) == 0 {
		_, err := st.CancelRun(ctx, store.CancelRunParams{Now: time.Now(), RunID: leases[0].RunID})
		if err != nil {
			return err
		}
	}
	renewal, err := st.RenewLeases(ctx, store.RenewLeasesParams{Now: time.Now(), TTL: time.Hour, Leases: leases})
	if err != nil || len(renewal.Lost) > 0 {
		return errors.Join(err, fmt.Errorf("lost: %v", renewal.Lost))
	}
	updates := make([]store.RunUpdate, len(leases))
	for i, c := range claims.Runs {
		final := store.StateCompleted
		if slices.Contains(renewal.Cancel, c.RunID) {
			final = store.StateCancelled
		}
		updates[i] = store.RunUpdate{
			Lease: c.Lease, StartTime: time.Now(), Attempt: 1, State: store.State{Type: final, Timestamp: time.Now()},
		}
		l.ended(c)
	}
	errs, err := st.SettleRuns(ctx, store.SettleRunsParams{Now: time.Now(), Updates: updates})
	return errors.Join(append(errs, err)...)
}

// disturb does what happens from time to time in a fleet.
func disturb(ctx context.Context, st store.Store, ids []uuid.UUID, records []*store.DeploymentRecord) error {
	now := time.Now()
	if _, err := st.RegisterDeployments(ctx, store.RegisterDeploymentsParams{Now: now, Deployments: records[:1+rand.N(2)]}); err != nil {
		return err
	}
	runner := uuid.New()
	if err := serve(ctx, st, runner, ids[:1+rand.N(len(ids))]); err != nil {
		return err
	}
	if err := plan(ctx, st); err != nil {
		return err
	}
	if _, err := st.ReapLeases(ctx, store.ReapLeasesParams{Now: time.Now()}); err != nil {
		return err
	}
	if err := st.HeartbeatRunner(ctx, store.HeartbeatRunnerParams{Now: time.Now(), Runner: runner, Until: time.Now().Add(time.Hour)}); err != nil {
		return err
	}
	if err := st.RemoveRunner(ctx, store.RemoveRunnerParams{Now: time.Now(), Runner: runner}); err != nil {
		return err
	}
	_, err := st.PruneRuns(ctx, store.PruneRunsParams{Before: time.Now().Add(-time.Hour)})
	return err
}

// plan plans schedules without runs, so that the number of runs stays that of the test.
func plan(ctx context.Context, st store.Store) error {
	due, err := st.DueSchedules(ctx, store.DueSchedulesParams{Now: time.Now()})
	if err != nil {
		return err
	}
	var plans []store.SchedulePlan
	for _, item := range due.Items {
		now := time.Now()
		if now.Before(item.Planned) {
			now = item.Planned
		}
		plans = append(plans, store.SchedulePlan{
			DeploymentID: item.DeploymentID, Generation: item.Generation, Key: item.Key, From: item.Planned, GapFound: item.GapFound,
			Planned: now, PlanTime: now.Add(time.Millisecond),
		})
	}
	errs, err := st.PlanRuns(ctx, store.PlanRunsParams{Now: time.Now(), Plans: plans})
	for _, refused := range errs {
		if refused != nil && !errors.Is(refused, store.ErrConflict) { // another process was first
			return refused
		}
	}
	return err
}

// TestOneRunForAKey makes runs with one key, or one ID, at the same time. All calls return one run.
func TestOneRunForAKey(t *testing.T) {
	name := schema(t)
	first, second := open(t, name), open(t, name)
	deployment := uuid.New()
	_, err := first.RegisterDeployments(t.Context(), store.RegisterDeploymentsParams{Now: time.Now(), Deployments: []*store.DeploymentRecord{
		{ID: deployment, FlowID: store.FlowID("f"), Flow: "f", Name: "d", Digest: "1"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for round := range 20 {
		same := uuid.New()
		got := make([]uuid.UUID, 16)
		var all sync.WaitGroup
		for i := range got {
			st := []*postgres.Store{first, second}[i%2]
			id, key := uuid.New(), fmt.Sprint("key ", round)
			if round%2 == 0 {
				id, key = same, ""
			}
			all.Go(func() {
				now := time.Now()
				run, err := st.CreateRun(t.Context(), store.CreateRunParams{
					Now: now, ID: id, DeploymentID: deployment, ScheduledTime: now, DueTime: now, IdempotencyKey: key,
				})
				if err != nil {
					t.Error(err)
					return
				}
				got[i] = run.ID
			})
		}
		all.Wait()
		if slices.ContainsFunc(got, func(id uuid.UUID) bool { return id != got[0] }) {
			t.Errorf("round %d: got runs %v, want one", round, got)
		}
	}
}

// TestLostConnections has the server end a store's connections. The store goes on.
func TestLostConnections(t *testing.T) {
	st, pool := open(t, schema(t)), connect(t)
	client := provost.NewClient(st)
	flow := provost.NewJob("f", func(context.Context) error { return nil })
	if _, err := client.Deploy(t.Context(), &provost.Deployment{Flow: flow, Name: "d"}); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, err := client.RunDeployment(t.Context(), "f/d", nil); err != nil {
			t.Fatal(err)
		}
		_, err := pool.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%' || $1 || '%'`, "provost")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		for { // a call may meet a connection that was just ended; callers repeat it, as runners do
			_, err = client.CountRuns(ctx, store.RunFilter{})
			if err == nil || ctx.Err() != nil {
				break
			}
		}
		cancel()
		if err != nil {
			t.Fatal(err)
		}
	}
}
