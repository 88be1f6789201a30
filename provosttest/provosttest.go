// Package provosttest helps the tests of programs that use provost.
package provosttest

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"testing"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/observe"
)

// Serve serves deployments until the test ends, and gives a client of their store once they are registered and their first runs
// planned. The test fails if they cannot be served, and if their runs do not end in time at the end: Serve of the runner has to return nil.
//
// runner says how; nil is one with defaults. Where it has no Store it gets a new memory store, where it has no Logger one that
// writes to the test's log. Serve works in a bubble of testing/synctest too, and the bubble is what to use for anything that takes
// time.
func Serve(t testing.TB, runner *provost.Runner, deployments ...*provost.Deployment) *provost.Client {
	t.Helper()
	if runner == nil {
		runner = &provost.Runner{}
	}
	if runner.Store == nil {
		runner.Store = provost.NewMemoryStore()
	}
	output := &testOutput{w: t.Output()}
	if runner.Logger == nil {
		runner.Logger = slog.New(slog.NewTextHandler(output, nil))
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- runner.Serve(ctx, deployments...) }()
	<-runner.Ready()
	if runner.Health().Status != observe.HealthServing {
		cancel()
		t.Fatalf("provosttest: %v", <-served)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("provosttest: Serve returned: %v", err)
		}
		output.close()
	})
	return provost.NewClient(runner.Store)
}

// testOutput is the output of a test until that is over: a flow that goes on after that may log, and must not panic.
type testOutput struct {
	mu sync.Mutex
	w  io.Writer // nil: the test is over
}

func (o *testOutput) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.w == nil {
		return len(p), nil
	}
	return o.w.Write(p)
}

func (o *testOutput) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.w = nil
}
