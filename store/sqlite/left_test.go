package sqlite_test

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/store"
	"github.com/provost-go/provost/store/sqlite"
)

// TestCallsThatAreLeft ends the contexts of calls at random. The caller may then reuse its
// arguments at once, and an operation that is still under way does not touch them, which the race
// detector checks.
func TestCallsThatAreLeft(t *testing.T) {
	st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "provost.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			updates := make([]store.RunUpdate, 100)
			for range 300 {
				for i := range updates {
					updates[i] = store.RunUpdate{
						Lease: store.Lease{RunID: uuid.Must(uuid.NewV7()), Token: 1},
						State: store.State{Type: store.StateCompleted, Timestamp: time.Now()},
					}
				}
				ctx, cancel := context.WithTimeout(t.Context(), rand.N(2*time.Millisecond))
				errs, err := st.SettleRuns(ctx, store.SettleRunsParams{Now: time.Now(), Updates: updates})
				cancel()
				if err == nil && len(errs) != len(updates) {
					t.Errorf("got %d errors for %d updates of unknown runs", len(errs), len(updates))
				}
			}
		})
	}
	callers.Wait()
}
