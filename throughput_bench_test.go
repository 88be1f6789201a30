package provost_test

import (
	"context"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/provost-go/provost"
)

// BenchmarkRunDeployment measures a whole run in memory, from Client.RunDeployment to the stored
// Completed state, with as many callers as cores.
func BenchmarkRunDeployment(b *testing.B) {
	b.Run("NoParameters", func(b *testing.B) {
		c := newCountdown(b.N)
		benchmarkRuns(b, provost.NewJob("noop", func(context.Context) error { c.count(); return nil }), nil, c)
	})
	b.Run("ThreeParameters", func(b *testing.B) {
		type params struct {
			Region string  `json:"region"`
			Count  int     `json:"count"`
			Ratio  float64 `json:"ratio"`
		}
		c := newCountdown(b.N)
		noop := provost.NewAction("noop", func(context.Context, params) error { c.count(); return nil })
		benchmarkRuns(b, noop, &provost.RunOptions{Parameters: provost.Params{"region": "eu", "count": 3, "ratio": 0.5}}, c)
	})
}

// countdown reports when a number of runs have executed, and keeps callers at most a few thousand
// runs ahead of the flow.
type countdown struct {
	left atomic.Int64
	done chan struct{}
	room chan struct{} // has a token for each stretch of runs that may be sent
}

const (
	stretch  = 1024
	maxAhead = 8 // stretches
)

func newCountdown(n int) *countdown {
	c := &countdown{done: make(chan struct{}), room: make(chan struct{}, maxAhead)}
	c.left.Store(int64(n))
	for range maxAhead {
		c.room <- struct{}{}
	}
	return c
}

func (c *countdown) count() {
	switch left := c.left.Add(-1); {
	case left == 0:
		close(c.done)
	case left%stretch == 0:
		select {
		case c.room <- struct{}{}:
		default:
		}
	}
}

// send waits, before every stretch-th run of a caller, until there is room or everything is sent.
func (c *countdown) send(i int) {
	if i%stretch == 0 {
		select {
		case <-c.room:
		case <-c.done:
		}
	}
}

func benchmarkRuns(b *testing.B, flow provost.AnyFlow, options *provost.RunOptions, c *countdown) {
	store := provost.NewMemoryStore()
	runner := &provost.Runner{Store: store, Logger: slog.New(slog.DiscardHandler)}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	served := make(chan error, 1)
	go func() { served <- runner.Serve(ctx, &provost.Deployment{Flow: flow, Name: "bench"}) }()
	<-runner.Ready()
	client := provost.NewClient(store)
	b.ReportAllocs()
	b.ResetTimer()
	var callers sync.WaitGroup
	n := runtime.GOMAXPROCS(0)
	for i := range n {
		callers.Go(func() {
			for sent := range (b.N + i) / n {
				c.send(sent)
				if _, err := client.RunDeployment(ctx, "noop/bench", options); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	callers.Wait()
	<-c.done
	stop() // Serve returns when every result is stored
	if err := <-served; err != nil {
		b.Error(err)
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "runs/s")
	completed, err := client.CountRuns(context.Background(), provost.RunFilter{States: []provost.StateType{provost.StateCompleted}})
	if want := min(b.N, 10_000); err != nil || completed != want {
		b.Errorf("%d runs completed, error %v; want %d", completed, err, want)
	}
}
