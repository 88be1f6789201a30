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

// Serve serves deployments until the test ends. It returns a client of their store once they are
// registered and their first runs are planned. The test fails if the deployments cannot be served,
// or if the runner's Serve does not return nil at the end, for example because runs do not finish
// in time.
//
// A nil runner means one with default settings. If runner.Store is nil, Serve sets it to a new
// memory store. If runner.Logger is nil, Serve sets it to a logger that writes to the test's log.
//
// Serve also works in a testing/synctest bubble. Use one for everything that takes time.
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

// testOutput is the output of a test until the test ends. A flow that is still running then may
// log, and must not panic.
type testOutput struct {
	mu sync.Mutex
	w  io.Writer // nil once the test has ended
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
