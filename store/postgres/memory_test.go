package postgres_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/store/postgres"
)

// turns counts how often a store sends something that has to do with its tables, and waits for the answer.
type turns struct{ atomic.Int64 }

func (n *turns) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	n.Add(1)
	return ctx
}
func (*turns) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (*turns) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

func (n *turns) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	if strings.Contains(q.SQL, ".provost_") {
		n.Add(1)
	}
	return ctx
}
func (*turns) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// openCounted is a store whose turns are counted.
func openCounted(t *testing.T, schema string) (*postgres.Store, *turns) {
	t.Helper()
	config, err := pgxpool.ParseConfig(dsn(t))
	if err != nil {
		t.Fatal(err)
	}
	counted := new(turns)
	config.ConnConfig.Tracer = counted
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	store, err := postgres.Config{Schema: schema}.New(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store, counted
}

// TestTurns holds the way of a run to what it costs, in turns to the server: they are most of the time in which it starts.
func TestTurns(t *testing.T) {
	t.Parallel()
	store, counted := openCounted(t, schema(t))
	record := provost.DeploymentRecord{ID: uuid.New(), FlowID: provost.FlowID("f"), Flow: "f", Name: "d", Digest: "1"}
	runner := uuid.New()
	register(t, store, record)
	if err := serve(t.Context(), store, runner, []uuid.UUID{record.ID}); err != nil {
		t.Fatal(err)
	}
	for round := range 4 {
		before := counted.Load()
		makeOne(t, store, record.ID)
		made := counted.Load()
		if n := len(claimAll(t, store, runner)); n != 1 {
			t.Fatalf("%d runs are claimed, want 1", n)
		}
		if creating, claiming := made-before, counted.Load()-made; round > 0 && (creating != 1 || claiming != 2) {
			t.Errorf("round %d: a run is made in %d turns and claimed in %d, want 1 and 2", round, creating, claiming)
		}
	}
}

// TestRememberedDeployment: a store that has made a run of a deployment makes the next one of what the deployment is by then, whatever
// another process has made of it.
func TestRememberedDeployment(t *testing.T) {
	t.Parallel()
	name := schema(t)
	store, other := open(t, name), open(t, name)
	record := func(t *testing.T) provost.DeploymentRecord {
		r := provost.DeploymentRecord{ID: uuid.New(), FlowID: provost.FlowID("f"), Flow: "f", Name: t.Name(), Digest: "1", Tags: []string{"old"}}
		register(t, store, r)
		makeOne(t, store, r.ID)
		return r
	}
	t.Run("replaced", func(t *testing.T) {
		r := record(t)
		r.Digest, r.Tags = "2", []string{"new"}
		register(t, other, r)
		if run := makeOne(t, store, r.ID); !slices.Equal(run.Tags, r.Tags) {
			t.Errorf("the run has the tags %q, want those that its deployment has now", run.Tags)
		}
	})
	t.Run("of another generation", func(t *testing.T) {
		r := record(t)
		if _, err := other.SetPause(t.Context(), provost.SetPauseParams{Now: time.Now(), DeploymentID: r.ID, Operator: new(true)}); err != nil {
			t.Fatal(err)
		}
		if _, err := makeRun(t, store, r.ID, 1); !errors.Is(err, provost.ErrConflict) {
			t.Errorf("a run that rests on what was before: %v, want ErrConflict", err)
		}
	})
	t.Run("limited", func(t *testing.T) {
		r := record(t)
		r.Digest, r.ConcurrencyLimit, r.MaxWaiting = "2", 1, 10
		register(t, other, r)
		makeOne(t, store, r.ID) // takes the slot
		if run := makeOne(t, store, r.ID); run.WaitReason != provost.WaitLimit {
			t.Errorf("the next run waits for %q, want the limit", run.WaitReason)
		}
	})
	t.Run("served", func(t *testing.T) {
		r := record(t)
		runner := uuid.New()
		if err := serve(t.Context(), other, runner, []uuid.UUID{r.ID}); err != nil {
			t.Fatal(err)
		}
		makeOne(t, store, r.ID)
		if n := len(claimAll(t, other, runner)); n != 2 {
			t.Errorf("%d runs are claimed, want both", n)
		}
	})
	t.Run("deleted", func(t *testing.T) {
		r := record(t)
		if err := other.DeleteDeployment(t.Context(), provost.DeleteDeploymentParams{Now: time.Now(), ID: r.ID}); err != nil {
			t.Fatal(err)
		}
		if _, err := makeRun(t, store, r.ID, 0); !errors.Is(err, provost.ErrNotFound) {
			t.Errorf("a run of a deployment that is gone: %v, want ErrNotFound", err)
		}
		r.Digest = "3"
		register(t, other, r)
		makeOne(t, store, r.ID)
	})
}

func register(t *testing.T, store provost.Store, r provost.DeploymentRecord) {
	t.Helper()
	_, err := store.RegisterDeployments(t.Context(), provost.RegisterDeploymentsParams{Now: time.Now(), Deployments: []*provost.DeploymentRecord{&r}})
	if err != nil {
		t.Fatal(err)
	}
}

// makeRun makes a run that is due.
func makeRun(t *testing.T, store provost.Store, deployment uuid.UUID, generation int64) (*provost.Run, error) {
	now := time.Now()
	return store.CreateRun(t.Context(), provost.CreateRunParams{
		Now: now, ID: uuid.New(), DeploymentID: deployment, Generation: generation, ScheduledTime: now, DueTime: now,
	})
}

func makeOne(t *testing.T, store provost.Store, deployment uuid.UUID) *provost.Run {
	t.Helper()
	run, err := makeRun(t, store, deployment, 0)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func claimAll(t *testing.T, store provost.Store, runner uuid.UUID) []provost.Claim {
	t.Helper()
	claims, err := store.ClaimRuns(t.Context(), provost.ClaimRunsParams{
		Now: time.Now(), Runner: runner, ID: uuid.New(), Limit: 10, TTL: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	return claims.Runs
}
