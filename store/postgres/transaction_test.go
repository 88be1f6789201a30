package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/store"
	"github.com/provost-go/provost/store/postgres"
)

// TestWithTx makes runs in a transaction of the caller. They exist if and only if it commits.
func TestWithTx(t *testing.T) {
	st, pool := open(t, schema(t)), connect(t)
	client := provost.NewClient(st)
	flow := provost.NewJob("f", func(context.Context) error { return nil })
	if _, err := client.Deploy(t.Context(), &provost.Deployment{Flow: flow, Name: "d"}); err != nil {
		t.Fatal(err)
	}
	for _, commits := range []bool{false, true} {
		tx, err := pool.BeginTx(t.Context(), pgx.TxOptions{})
		if err != nil {
			t.Fatal(err)
		}
		inside := st.WithTx(tx)
		now := time.Now()
		_, err = inside.CreateRun(t.Context(), store.CreateRunParams{Now: now, ID: uuid.New(), DeploymentID: uuid.New(), ScheduledTime: now, DueTime: now})
		if !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("a run of an unknown deployment: got error %v, want %v", err, store.ErrNotFound)
		}
		run, err := provost.NewClient(inside).RunDeployment(t.Context(), "f/d", nil) // the failed call left nothing behind
		if err != nil {
			t.Fatal(err)
		}
		if seen, err := inside.GetRun(t.Context(), run.ID); err != nil || seen.State.Type != store.StateScheduled {
			t.Errorf("inside the transaction: got run %v and error %v, want it scheduled", seen, err)
		}
		if _, err := st.GetRun(t.Context(), run.ID); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("outside the transaction: got error %v, want the run not found", err)
		}
		if commits {
			err = tx.Commit(t.Context())
		} else {
			err = tx.Rollback(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := st.GetRun(t.Context(), run.ID); commits != (err == nil) {
			t.Errorf("after the transaction, committed: %t: reading the run: got error %v", commits, err)
		}
	}
}

// TestOtherProcessHears makes runs in one process. They begin in another at once, not at its next
// poll.
func TestOtherProcessHears(t *testing.T) {
	name := longSchema(t, 63) // the longest name of PostgreSQL
	theirs, mine := open(t, name), open(t, name)
	began := make(chan time.Time, 100)
	d := &provost.Deployment{Flow: provost.NewJob("f", func(context.Context) error { began <- time.Now(); return nil }), Name: "d"}
	ctx, stop := context.WithCancel(t.Context())
	runner := &provost.Runner{Store: theirs, PollInterval: time.Hour}
	served := make(chan error, 1)
	go func() { served <- runner.Serve(ctx, d) }()
	<-runner.Ready()
	client := provost.NewClient(mine)
	for range 5 {
		asked := time.Now()
		if _, err := client.RunDeployment(t.Context(), "f/d", nil); err != nil {
			t.Fatal(err)
		}
		select {
		case at := <-began:
			t.Logf("began after %v", at.Sub(asked))
		case <-time.After(30 * time.Second):
			t.Fatal("the run did not begin in time: no notification arrived")
		}
	}

	// Many one after the other, so that not every commit notifies. The rest are notified of later,
	// but soon enough.
	for attempt := 1; !notifiedOfMany(t, mine, began); attempt++ {
		if attempt == 3 {
			t.Fatal("runs made in transactions do not begin before the next poll")
		}
	}
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// notifiedOfMany makes runs in transactions, and reports whether they begin before the runner
// polls.
func notifiedOfMany(t *testing.T, store *postgres.Store, began <-chan time.Time) bool {
	t.Helper()
	const many = 20
	pool := connect(t)
	for range many {
		tx, err := pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := provost.NewClient(store.WithTx(tx)).RunDeployment(t.Context(), "f/d", nil); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	soon := time.After(5 * time.Second)
	inTime := true
	for range many {
		select {
		case <-began:
		case <-soon:
			inTime = false
			<-began // by its next poll
		}
	}
	return inTime
}
