package sqlite_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/store/sqlite"
)

// BenchmarkClaim is one claim of 100 runs with its settlement, where so many more wait, or are over, or wait for deployments that the
// runner does not serve. It should cost the same in all cases.
//
//	go test -run '^$' -bench Claim -benchtime 100x -timeout 1h ./store/sqlite
func BenchmarkClaim(b *testing.B) {
	for _, c := range []struct{ waiting, over, others int }{
		{1_000, 0, 0}, {100_000, 0, 0}, {1_000_000, 0, 0}, {1_000, 1_000_000, 0}, {1_000, 0, 1_000_000},
	} {
		b.Run(fmt.Sprintf("waiting=%d/over=%d/others=%d", c.waiting, c.over, c.others), func(b *testing.B) {
			store, err := sqlite.Config{Relaxed: true}.Open(b.Context(), filepath.Join(b.TempDir(), "provost.db"))
			if err != nil {
				b.Fatal(err)
			}
			defer store.Close()
			mine, theirs, runner := uuid.New(), uuid.New(), uuid.New()
			now := time.Now()
			_, err = store.RegisterDeployments(b.Context(), provost.RegisterDeploymentsParams{Now: now, Deployments: []*provost.DeploymentRecord{
				{ID: mine, FlowID: provost.FlowID("f"), Flow: "f", Name: "mine", Digest: "1"},
				{ID: theirs, FlowID: provost.FlowID("f"), Flow: "f", Name: "theirs", Digest: "1"},
			}})
			if err == nil {
				_, err = store.RegisterRunner(b.Context(), provost.RegisterRunnerParams{
					Now: now, Deployments: []uuid.UUID{mine},
					Runner: provost.RunnerRecord{ID: runner, Name: "r", Started: now, SeenAt: now, Until: now.Add(time.Hour)},
				})
			}
			if err != nil {
				b.Fatal(err)
			}
			fill(b, store, mine, c.over+c.waiting+100*maxRounds)
			fill(b, store, theirs, c.others)
			for range c.over / 1000 {
				claimAndSettle(b, store, runner, 1000)
			}
			for b.Loop() {
				claimAndSettle(b, store, runner, 100)
			}
		})
	}
}

// maxRounds is for how many claims there is enough.
const maxRounds = 100

func fill(b *testing.B, store *sqlite.Store, deployment uuid.UUID, n int) {
	b.Helper()
	const callers = 128
	work, done := make(chan struct{}), make(chan error, callers)
	for range callers {
		go func() {
			var failure error
			for range work {
				id, err := uuid.NewV7()
				if err == nil {
					now := time.Now()
					_, err = store.CreateRun(b.Context(), provost.CreateRunParams{
						Now: now, ID: id, DeploymentID: deployment, ScheduledTime: now, DueTime: now,
					})
				}
				if err != nil {
					failure = err
				}
			}
			done <- failure
		}()
	}
	for range n {
		work <- struct{}{}
	}
	close(work)
	for range callers {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
}

func claimAndSettle(b *testing.B, store *sqlite.Store, runner uuid.UUID, n int) {
	b.Helper()
	now := time.Now()
	claims, err := store.ClaimRuns(b.Context(), provost.ClaimRunsParams{Now: now, Runner: runner, ID: uuid.New(), Limit: n, TTL: time.Minute})
	if err != nil || len(claims.Runs) != n {
		b.Fatalf("%d claims, %v", len(claims.Runs), err)
	}
	updates := make([]provost.RunUpdate, n)
	for i, c := range claims.Runs {
		updates[i] = provost.RunUpdate{
			Lease: c.Lease, StartTime: now, Attempt: 1, State: provost.State{Type: provost.StateCompleted, Timestamp: now},
		}
	}
	errs, err := store.SettleRuns(b.Context(), provost.SettleRunsParams{Now: now, Updates: updates})
	if errs != nil || err != nil {
		b.Fatal(errs, err)
	}
}
