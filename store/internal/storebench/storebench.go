// Package storebench is benchmarks that durable stores share.
package storebench

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost"
)

// Throughput is the whole way of b.N runs that do nothing: made by 50 callers, one at a time each, and when all are there, claimed, executed
// and ended by a runner. Each is Scheduled in the store before it can be claimed, has its claim there before its function begins, and
// counts once its end is there with its history.
func Throughput(b *testing.B, store provost.Store) {
	var left atomic.Int64
	left.Store(int64(b.N))
	over := make(chan struct{})
	flow := provost.NewJob("noop", func(context.Context) error {
		if left.Add(-1) == 0 {
			close(over)
		}
		return nil
	})
	deployment := &provost.Deployment{Flow: flow, Name: "bench"}
	client := provost.NewClient(store)
	if _, err := client.Deploy(b.Context(), deployment); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	began := time.Now()
	create(b, client)
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "made/s")

	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	runner := &provost.Runner{Store: store, Limit: 2000, Logger: slog.New(slog.DiscardHandler)}
	began = time.Now()
	served := make(chan error, 1)
	go func() { served <- runner.Serve(ctx, deployment) }()
	<-over
	stop() // Serve returns when every end is stored
	if err := <-served; err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "runs/s")
	b.StopTimer()
	n, err := client.CountRuns(b.Context(), provost.RunFilter{States: []provost.StateType{provost.StateCompleted}})
	if err != nil || n != b.N {
		b.Errorf("%d runs are Completed, error %v; want %d", n, err, b.N)
	}
}

func create(b *testing.B, client *provost.Client) {
	var callers sync.WaitGroup
	var made atomic.Int64
	for range 50 {
		callers.Go(func() {
			for made.Add(1) <= int64(b.N) {
				if _, err := client.RunDeployment(b.Context(), "noop/bench", nil); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	callers.Wait()
}

// Claim is one claim of 100 runs with its settlement, where so many more wait, or are over, or wait for deployments that the runner does not
// serve. It should cost the same in all cases. Each has a store of its own.
func Claim(b *testing.B, open func(*testing.B) provost.Store) {
	for _, c := range []struct{ waiting, over, others int }{
		{1_000, 0, 0}, {100_000, 0, 0}, {1_000_000, 0, 0}, {1_000, 1_000_000, 0}, {1_000, 0, 1_000_000},
	} {
		b.Run(fmt.Sprintf("waiting=%d/over=%d/others=%d", c.waiting, c.over, c.others), func(b *testing.B) {
			store := open(b)
			mine, theirs, runner := uuid.New(), uuid.New(), uuid.New()
			now := time.Now()
			_, err := store.RegisterDeployments(b.Context(), provost.RegisterDeploymentsParams{Now: now, Deployments: []*provost.DeploymentRecord{
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

// fill makes runs that are due.
func fill(b *testing.B, store provost.Store, deployment uuid.UUID, n int) {
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

func claimAndSettle(b *testing.B, store provost.Store, runner uuid.UUID, n int) {
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
