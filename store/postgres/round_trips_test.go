package postgres_test

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/provost-go/provost/store"
)

// TestRoundTrips counts the round trips to the server that a run costs: they are most of the time
// in which it starts.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	var turns atomic.Int64 // those that concern the tables
	st := openTraced(t, schema(t), &tracer{sent: func(_ *pgx.Conn, statements []string) {
		if len(statements) > 1 || statements[0] == "COMMIT" || strings.Contains(statements[0], ".provost_") {
			turns.Add(1)
		}
	}})
	record := store.DeploymentRecord{ID: uuid.New(), FlowID: store.FlowID("f"), Flow: "f", Name: "d", Digest: "1"}
	runner := uuid.New()
	register(t, st, record)
	if err := serve(t.Context(), st, runner, []uuid.UUID{record.ID}); err != nil {
		t.Fatal(err)
	}
	for round := range 4 {
		before := turns.Load()
		makeOne(t, st, record.ID)
		made := turns.Load()
		if n := len(claimAll(t, st, runner)); n != 1 {
			t.Fatalf("got %d runs claimed, want 1", n)
		}
		if creating, claiming := made-before, turns.Load()-made; round > 0 && (creating != 1 || claiming != 2) {
			t.Errorf("round %d: a run is made in %d round trips and claimed in %d, want 1 and 2", round, creating, claiming)
		}
	}
}

// TestRememberedDeployment has one store make runs of a deployment that another process changes.
// Each run is made from what the deployment is by then.
func TestRememberedDeployment(t *testing.T) {
	t.Parallel()
	name := schema(t)
	st, other := open(t, name), open(t, name)
	record := func(t *testing.T) store.DeploymentRecord {
		r := store.DeploymentRecord{ID: uuid.New(), FlowID: store.FlowID("f"), Flow: "f", Name: t.Name(), Digest: "1", Tags: []string{"old"}}
		register(t, st, r)
		makeOne(t, st, r.ID)
		return r
	}
	t.Run("replaced", func(t *testing.T) {
		r := record(t)
		r.Digest, r.Tags = "2", []string{"new"}
		register(t, other, r)
		if run := makeOne(t, st, r.ID); !slices.Equal(run.Tags, r.Tags) {
			t.Errorf("got tags %q, want those that the deployment has now", run.Tags)
		}
	})
	t.Run("of another generation", func(t *testing.T) {
		r := record(t)
		if _, err := other.SetPause(t.Context(), store.SetPauseParams{Now: time.Now(), DeploymentID: r.ID, Operator: new(true)}); err != nil {
			t.Fatal(err)
		}
		if _, err := makeRun(t, st, r.ID, 1); !errors.Is(err, store.ErrConflict) {
			t.Errorf("a run that rests on the previous generation: got error %v, want ErrConflict", err)
		}
	})
	t.Run("limited", func(t *testing.T) {
		r := record(t)
		r.Digest, r.ConcurrencyLimit, r.MaxWaiting = "2", 1, 10
		register(t, other, r)
		makeOne(t, st, r.ID) // takes the slot
		if run := makeOne(t, st, r.ID); run.WaitReason != store.WaitLimit {
			t.Errorf("the next run: got wait reason %q, want the limit", run.WaitReason)
		}
	})
	t.Run("served", func(t *testing.T) {
		r := record(t)
		runner := uuid.New()
		if err := serve(t.Context(), other, runner, []uuid.UUID{r.ID}); err != nil {
			t.Fatal(err)
		}
		makeOne(t, st, r.ID)
		if n := len(claimAll(t, other, runner)); n != 2 {
			t.Errorf("got %d runs claimed, want both", n)
		}
	})
	t.Run("deleted", func(t *testing.T) {
		r := record(t)
		if err := other.DeleteDeployment(t.Context(), store.DeleteDeploymentParams{Now: time.Now(), ID: r.ID}); err != nil {
			t.Fatal(err)
		}
		if _, err := makeRun(t, st, r.ID, 0); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a run of a deleted deployment: got error %v, want ErrNotFound", err)
		}
		r.Digest = "3"
		register(t, other, r)
		makeOne(t, st, r.ID)
	})
}

// TestFloors makes a claim take long. The next claims do not begin at the start of the queue, but
// find at once what another process makes due there.
func TestFloors(t *testing.T) {
	t.Parallel()
	name := schema(t)
	var delay atomic.Int64
	st := openTraced(t, name, &tracer{answered: func() { time.Sleep(time.Duration(delay.Load())) }}) // as a slow server would
	other := open(t, name)
	record := store.DeploymentRecord{ID: uuid.New(), FlowID: store.FlowID("f"), Flow: "f", Name: "d", Digest: "1"}
	runner := uuid.New()
	register(t, st, record)
	if err := serve(t.Context(), st, runner, []uuid.UUID{record.ID}); err != nil {
		t.Fatal(err)
	}
	makeAt := func(st store.Store, due time.Duration) uuid.UUID {
		t.Helper()
		now := time.Now()
		run, err := st.CreateRun(t.Context(), store.CreateRunParams{
			Now: now, ID: uuid.New(), DeploymentID: record.ID, ScheduledTime: now, DueTime: now.Add(due),
		})
		if err != nil {
			t.Fatal(err)
		}
		return run.ID
	}
	claimed := make(map[uuid.UUID]bool)
	claim := func() int {
		t.Helper()
		runs := claimAll(t, st, runner)
		for _, c := range runs {
			claimed[c.RunID] = true
		}
		return len(runs)
	}
	takesLong := func(claim func()) {
		delay.Store(int64(60 * time.Millisecond))
		defer delay.Store(0)
		claim()
	}
	var hidden uuid.UUID
	for try := 0; hidden == uuid.Nil || claimed[hidden]; try++ { // the store may be notified late of its own change
		if try == 10 {
			t.Fatal("claims still begin at the start of the queue, without a notification")
		}
		hidden = makeAt(st, time.Hour)
		takesLong(func() { claim() })
		_, err := connect(t).Exec(t.Context(), "UPDATE "+name+".provost_due SET claimable = claimable - $1, due = due - $1 WHERE id = $2",
			2*time.Hour.Microseconds(), hidden)
		if err != nil {
			t.Fatal(err)
		}
		claim()
	}
	told := make(chan struct{}, 1)
	defer st.Notify(store.Topic{Kind: store.TopicWork}, told)()
	hear := func(id uuid.UUID, of string) {
		t.Helper()
		for !claimed[id] {
			select {
			case <-told:
				claim()
			case <-time.After(10 * time.Second):
				t.Fatalf("no notification of %s arrived", of)
			}
		}
	}
	hear(makeAt(other, -time.Minute), "a run that another process has made due a minute ago")
	if claimed[hidden] {
		t.Error("a run far below was claimed, without a notification")
	}
	record.Digest = "2"
	register(t, other, record)
	hear(hidden, "what may be anywhere")

	claimAhead := func() {
		t.Helper()
		_, err := st.ClaimRuns(t.Context(), store.ClaimRunsParams{
			Now: time.Now().Add(time.Minute), Runner: runner, ID: uuid.New(), Limit: 10, TTL: time.Minute,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	takesLong(claimAhead)
	if own := makeAt(st, 0); claim() != 1 || !claimed[own] {
		t.Error("a run was not claimed at once after the clock was set back")
	}
	claim()
	if own := makeAt(st, -time.Hour); claim() != 1 || !claimed[own] {
		t.Error("a run that was made due an hour ago was not claimed at once by the store that made it")
	}
	tx, err := connect(t).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	within := makeAt(other.WithTx(tx), 0)
	claimAhead()
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	hear(within, "a run that was made in a transaction of the caller's")
}

func register(t *testing.T, st store.Store, r store.DeploymentRecord) {
	t.Helper()
	_, err := st.RegisterDeployments(t.Context(), store.RegisterDeploymentsParams{Now: time.Now(), Deployments: []*store.DeploymentRecord{&r}})
	if err != nil {
		t.Fatal(err)
	}
}

// makeRun makes a run that is due.
func makeRun(t *testing.T, st store.Store, deployment uuid.UUID, generation int64) (*store.Run, error) {
	now := time.Now()
	return st.CreateRun(t.Context(), store.CreateRunParams{
		Now: now, ID: uuid.New(), DeploymentID: deployment, Generation: generation, ScheduledTime: now, DueTime: now,
	})
}

func makeOne(t *testing.T, store store.Store, deployment uuid.UUID) *store.Run {
	t.Helper()
	run, err := makeRun(t, store, deployment, 0)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func claimAll(t *testing.T, st store.Store, runner uuid.UUID) []store.Claim {
	t.Helper()
	claims, err := st.ClaimRuns(t.Context(), store.ClaimRunsParams{
		Now: time.Now(), Runner: runner, ID: uuid.New(), Limit: 10, TTL: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	return claims.Runs
}
