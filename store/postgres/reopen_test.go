package postgres_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/store"
)

// TestReopenedAtOnce reopens one run by several calls at the same time. One reopens it, and the
// others find it reopened; none finds it missing.
func TestReopenedAtOnce(t *testing.T) {
	st := open(t, schema(t))
	client := provost.NewClient(st)
	flow := provost.NewJob("f", func(context.Context) error { return nil })
	if _, err := client.Deploy(t.Context(), &provost.Deployment{Flow: flow, Name: "d"}); err != nil {
		t.Fatal(err)
	}
	for range 30 {
		run, err := client.RunDeployment(t.Context(), "f/d", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := st.CancelRun(t.Context(), store.CancelRunParams{Now: time.Now(), RunID: run.ID}); err != nil {
			t.Fatal(err)
		}
		errs := retryAtOnce(t.Context(), st, run.ID, 4)
		reopened := 0
		for _, err := range errs {
			switch {
			case err == nil:
				reopened++
			case !errors.Is(err, store.ErrConflict):
				t.Error(err)
			}
		}
		if reopened != 1 {
			t.Errorf("%d calls have reopened the run, want 1", reopened)
		}
	}
}

func retryAtOnce(ctx context.Context, st store.Store, id uuid.UUID, n int) []error {
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			_, errs[i] = st.RetryRun(ctx, store.RetryRunParams{Now: time.Now(), RunID: id})
		})
	}
	all.Wait()
	return errs
}
