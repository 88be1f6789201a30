// Package storebench is benchmarks that durable stores share.
package storebench

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/provost-go/provost"
	"github.com/provost-go/provost/store"
)

// Throughput is the whole way of b.N runs that do nothing: made by 50 callers, one at a time each, and when all are there, claimed, executed
// and ended by a runner. Each is Scheduled in the store before it can be claimed, has its claim there before its function begins, and
// counts once its end is there with its history.
func Throughput(b *testing.B, st store.Store) {
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
	client := provost.NewClient(st)
	if _, err := client.Deploy(b.Context(), deployment); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	began := time.Now()
	create(b, client)
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "made/s")

	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	runner := &provost.Runner{Store: st, Limit: 2000, Logger: slog.New(slog.DiscardHandler)}
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
	n, err := client.CountRuns(b.Context(), store.RunFilter{States: []store.StateType{store.StateCompleted}})
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

// Database is a store of a benchmark's own.
type Database struct {
	store.Store
	Rest     func()              // ends what the database does later of what it was asked for; nil: there is nothing
	Snapshot func() (end func()) // keeps a transaction open, with the state that it has seen; nil: it cannot be
}

// Claim is a claim of 100 runs with its settlement, where so many more wait, or are over, or wait for deployments that the runner does not
// serve, or where a transaction is open since so many runs were made, claimed and settled. It should cost the same in all cases. Each has a
// store of its own.
func Claim(b *testing.B, open func(*testing.B) Database) {
	for _, c := range []struct{ waiting, over, others, since int }{
		{waiting: 1_000},
		{waiting: 100_000},
		{waiting: 1_000_000},
		{waiting: 1_000, over: 1_000_000},
		{waiting: 1_000, others: 1_000_000},
		{waiting: 1_000, since: 180_000}, // an hour of 50 a second
	} {
		b.Run(fmt.Sprintf("waiting=%d/over=%d/others=%d/since=%d", c.waiting, c.over, c.others, c.since), func(b *testing.B) {
			st := open(b)
			if c.since > 0 && st.Snapshot == nil {
				b.Skip("nobody's transaction is in the way of another's")
			}
			mine, theirs, runner := uuid.New(), uuid.New(), uuid.New()
			now := time.Now()
			_, err := st.RegisterDeployments(b.Context(), store.RegisterDeploymentsParams{Now: now, Deployments: []*store.DeploymentRecord{
				{ID: mine, FlowID: store.FlowID("f"), Flow: "f", Name: "mine", Digest: "1"},
				{ID: theirs, FlowID: store.FlowID("f"), Flow: "f", Name: "theirs", Digest: "1"},
			}})
			if err == nil {
				_, err = st.RegisterRunner(b.Context(), store.RegisterRunnerParams{
					Now: now, Deployments: []uuid.UUID{mine},
					Runner: store.RunnerRecord{ID: runner, Name: "r", Started: now, SeenAt: now, Until: now.Add(time.Hour)},
				})
			}
			if err != nil {
				b.Fatal(err)
			}
			fill(b, st, theirs, c.others, 0)
			fill(b, st, mine, c.over+c.waiting+100*maxRounds, 0)
			settle(b, st, runner, c.over)
			if c.since > 0 {
				defer st.Snapshot()()
				fill(b, st, mine, c.since, time.Hour)
				settle(b, st, runner, c.since)
			}
			if st.Rest != nil {
				st.Rest()
			}
			var claims []time.Duration
			for b.Loop() {
				claims = append(claims, claimAndSettle(b, st, runner, 100))
			}
			slices.Sort(claims)
			b.ReportMetric(milliseconds(claims[len(claims)/2]), "claim-p50-ms")
			b.ReportMetric(milliseconds(claims[len(claims)*99/100]), "claim-p99-ms")
		})
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// maxRounds is for how many claims there is enough.
const maxRounds = 300

// fill makes runs that have become due within a span, or just now.
func fill(b *testing.B, st store.Store, deployment uuid.UUID, n int, within time.Duration) {
	b.Helper()
	const callers = 128
	work, done := make(chan time.Duration), make(chan error, callers)
	for range callers {
		go func() {
			var failure error
			for ago := range work {
				id, err := uuid.NewV7()
				if err == nil {
					now := time.Now()
					due := now.Add(-ago)
					_, err = st.CreateRun(b.Context(), store.CreateRunParams{
						Now: now, ID: id, DeploymentID: deployment, ScheduledTime: due, DueTime: due,
					})
				}
				if err != nil {
					failure = err
				}
			}
			done <- failure
		}()
	}
	for i := range n {
		work <- within - within*time.Duration(i)/time.Duration(n)
	}
	close(work)
	for range callers {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
}

// settle claims and settles n runs, a thousand at a time.
func settle(b *testing.B, store store.Store, runner uuid.UUID, n int) {
	b.Helper()
	for range n / 1000 {
		claimAndSettle(b, store, runner, 1000)
	}
}

// claimAndSettle says how long the claim took.
func claimAndSettle(b *testing.B, st store.Store, runner uuid.UUID, n int) time.Duration {
	b.Helper()
	now := time.Now()
	claims, err := st.ClaimRuns(b.Context(), store.ClaimRunsParams{Now: now, Runner: runner, ID: uuid.New(), Limit: n, TTL: time.Minute})
	if err != nil || len(claims.Runs) != n {
		b.Fatalf("%d claims, %v", len(claims.Runs), err)
	}
	took := time.Since(now)
	updates := make([]store.RunUpdate, n)
	for i, c := range claims.Runs {
		updates[i] = store.RunUpdate{
			Lease: c.Lease, StartTime: now, Attempt: 1, State: store.State{Type: store.StateCompleted, Timestamp: now},
		}
	}
	errs, err := st.SettleRuns(b.Context(), store.SettleRunsParams{Now: now, Updates: updates})
	if errs != nil || err != nil {
		b.Fatal(errs, err)
	}
	return took
}
