// Package storebench has the benchmarks that durable stores share.
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

// Throughput measures b.N runs that do nothing. 50 callers make them, one at a time each. When all
// are made, a runner claims, executes and ends them. Each is stored as scheduled before it can be
// claimed, its claim is stored before its function begins, and it counts once its end is stored
// with its history.
func Throughput(b *testing.B, st store.Store) {
	var left atomic.Int64
	left.Store(int64(b.N))
	finished := make(chan struct{})
	flow := provost.NewJob("noop", func(context.Context) error {
		if left.Add(-1) == 0 {
			close(finished)
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
	<-finished
	stop() // Serve returns once every end is stored
	if err := <-served; err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "runs/s")
	b.StopTimer()
	n, err := client.CountRuns(b.Context(), store.RunFilter{States: []store.StateType{store.StateCompleted}})
	if err != nil || n != b.N {
		b.Errorf("got %d completed runs and error %v, want %d", n, err, b.N)
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

// Database is a store for one benchmark alone.
type Database struct {
	store.Store

	// Rest waits until the database has done its deferred work. It is nil if there is none.
	Rest func()

	// Snapshot opens a transaction with a snapshot of the database, which end closes. It is nil if
	// the database has no such transactions.
	Snapshot func() (end func())
}

// Claim measures a claim of 100 runs and its settlement, which should cost the same in all cases.
// Each case has a store of its own, in which many more runs wait, have finished, or wait for
// deployments that the runner does not serve, or a transaction has been open while many runs were
// made, claimed and settled.
func Claim(b *testing.B, open func(*testing.B) Database) {
	for _, c := range []struct{ waiting, finished, others, since int }{
		{waiting: 1_000},
		{waiting: 100_000},
		{waiting: 1_000_000},
		{waiting: 1_000, finished: 1_000_000},
		{waiting: 1_000, others: 1_000_000},
		{waiting: 1_000, since: 180_000}, // an hour of 50 runs/s
	} {
		b.Run(fmt.Sprintf("waiting=%d/finished=%d/others=%d/since=%d", c.waiting, c.finished, c.others, c.since), func(b *testing.B) {
			st := open(b)
			if c.since > 0 && st.Snapshot == nil {
				b.Skip("the database has no transactions that hold up others")
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
			fill(b, st, mine, c.finished+c.waiting+100*maxRounds, 0)
			settle(b, st, runner, c.finished)
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

// maxRounds bounds the claims of a benchmark: there are runs for so many.
const maxRounds = 300

// fill makes n runs that became due within the last time span, or just now.
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

// settle claims and completes n runs, 1,000 at a time.
func settle(b *testing.B, store store.Store, runner uuid.UUID, n int) {
	b.Helper()
	for range n / 1000 {
		claimAndSettle(b, store, runner, 1000)
	}
}

// claimAndSettle claims and completes n runs, and returns how long the claim took.
func claimAndSettle(b *testing.B, st store.Store, runner uuid.UUID, n int) time.Duration {
	b.Helper()
	now := time.Now()
	claims, err := st.ClaimRuns(b.Context(), store.ClaimRunsParams{Now: now, Runner: runner, ID: uuid.New(), Limit: n, TTL: time.Minute})
	if err != nil || len(claims.Runs) != n {
		b.Fatalf("got %d claims and error %v, want %d", len(claims.Runs), err, n)
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
