package provost_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/observe"
	"github.com/provost-go/provost/store"
)

// metrics counts what a monitoring system needs. An exporter for Prometheus has counters and a
// histogram in place of the maps; expvar publishes them as they are.
type metrics struct {
	mu       sync.Mutex
	runs     map[string]int // ended attempts, by deployment and state
	skips    map[string]int // instants, by deployment and reason
	lateness []int          // starts, by bucket
}

var buckets = []time.Duration{10 * time.Millisecond, 100 * time.Millisecond, time.Second, time.Minute}

func (m *metrics) Observe(e observe.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	label := e.Flow + "/" + e.Deployment
	switch e.Kind {
	case observe.RunStarted:
		i := 0
		for i < len(buckets) && e.Lateness > buckets[i] {
			i++
		}
		m.lateness[i]++
	case observe.RunEnded:
		if e.State.Terminal() || e.State.Name == store.NameAwaitingRetry {
			m.runs[label+" "+e.State.Name]++
		}
	case observe.InstantsSkipped:
		m.skips[label+" "+string(e.Reason)] += e.Count
	}
}

// An observer that counts runs, skips and late starts.
func ExampleRunner_observer() {
	m := &metrics{runs: map[string]int{}, skips: map[string]int{}, lateness: make([]int, len(buckets)+1)}
	attempts := 0
	load := provost.NewJob("load", func(ctx context.Context) error {
		if attempts++; attempts == 1 {
			return errors.New("connection refused")
		}
		return nil
	})
	load.Retries = 1

	runner := &provost.Runner{Store: provost.NewMemoryStore(), Observer: m, Logger: slog.New(slog.DiscardHandler)}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	served := make(chan error, 1)
	go func() { served <- runner.Serve(ctx, &provost.Deployment{Flow: load, Name: "orders"}) }()
	<-runner.Ready()

	client := provost.NewClient(runner.Store)
	for range 3 {
		run, err := client.RunDeployment(ctx, "load/orders", nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		if _, err := client.Wait(ctx, run.ID); err != nil {
			fmt.Println(err)
			return
		}
	}
	stop()
	fmt.Println(<-served)
	fmt.Println(m.runs, m.skips)
	total := 0
	for _, n := range m.lateness {
		total += n
	}
	fmt.Println(total, "starts in the histogram")
	// Output:
	// <nil>
	// map[load/orders AwaitingRetry:1 load/orders Completed:3] map[]
	// 4 starts in the histogram
}

// A handler for /healthz, in the program's own server. The body lists the problems.
func ExampleRunner_Health() {
	runner := &provost.Runner{Logger: slog.New(slog.DiscardHandler)}
	healthz := func(w http.ResponseWriter, _ *http.Request) {
		h := runner.Health()
		if !h.Healthy() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprintln(w, h.Status, h.Problems) // or all of h in JSON
	}
	check := func() {
		answer := httptest.NewRecorder()
		healthz(answer, httptest.NewRequest(http.MethodGet, "/healthz", nil))
		fmt.Print(answer.Code, " ", answer.Body)
	}

	check()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	served := make(chan error, 1)
	go func() { served <- runner.Serve(ctx, nightly()) }()
	<-runner.Ready()
	check()
	stop()
	fmt.Println(<-served)
	check()
	// Output:
	// 503 starting []
	// 200 serving []
	// <nil>
	// 503 stopped []
}
