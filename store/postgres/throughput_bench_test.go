package postgres_test

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/provost-go/provost"
)

// BenchmarkThroughput is the whole way of b.N runs that do nothing: made by 50 callers, one at a time each, and when all are there,
// claimed, executed and ended by a runner. Each is Scheduled in the database before it can be claimed, has its claim there before its
// function begins, and counts once its end is there with its history; synchronous_commit is on.
//
//	go test -run '^$' -bench Throughput -benchtime 100000x ./store/postgres
func BenchmarkThroughput(b *testing.B) { measureThroughput(b, open(b, schema(b))) }

func measureThroughput(b *testing.B, store provost.Store) {
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
