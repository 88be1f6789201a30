package provost_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/provost-go/provost"
)

// When Serve's context ends, runs may finish; those that do not finish within ShutdownTimeout are
// handed back.
func ExampleRunner() {
	started := make(chan struct{})
	copyFiles := provost.NewJob("copy", func(ctx context.Context) error {
		close(started)
		time.Sleep(20 * time.Millisecond) // its context has not ended yet
		return ctx.Err()
	})
	runner := &provost.Runner{
		Store:           provost.NewMemoryStore(),
		Name:            "copier",
		Limit:           10,
		ShutdownTimeout: 10 * time.Second,
		Logger:          slog.New(slog.DiscardHandler),
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() {
		served <- runner.Serve(ctx, &provost.Deployment{Flow: copyFiles, Name: "now", RunOnStart: true})
	}()
	<-started
	stop()
	fmt.Println(<-served)

	runs, err := provost.NewClient(runner.Store).ListRuns(context.Background(), provost.RunFilter{Flow: "copy"})
	for _, run := range runs.Items {
		fmt.Println(run.Deployment, run.State, run.Runner)
	}
	fmt.Println(err)
	// Output:
	// <nil>
	// now Completed copier
	// <nil>
}

// A failed run is tried again, at most Retries times.
func ExampleFlow_retries() {
	attempts := 0
	flaky := provost.NewJob("flaky", func(ctx context.Context) error {
		if attempts++; attempts < 3 {
			return errors.New("connection refused")
		}
		return nil
	})
	flaky.Retries = 5
	flaky.Backoff = func(attempt int, err error) time.Duration {
		return time.Duration(attempt) * time.Millisecond
	}
	done := make(chan struct{})
	flaky.OnCompletion = func(ctx context.Context, run *provost.Run) error {
		fmt.Println("completed in attempt", run.Attempt)
		close(done)
		return nil
	}
	runner := &provost.Runner{Logger: slog.New(slog.DiscardHandler)}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- runner.Serve(ctx, &provost.Deployment{Flow: flaky, Name: "now", RunOnStart: true}) }()
	<-done
	stop()
	fmt.Println(<-served)
	// Output:
	// completed in attempt 3
	// <nil>
}
