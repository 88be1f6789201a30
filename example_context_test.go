package provost_test

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/provost-go/provost"
)

// A flow's function is an ordinary function: a unit test calls it with a context that looks like a
// run's.
func ExampleContextWithRun() {
	archive := func(ctx context.Context) error {
		run, ok := provost.RunFromContext(ctx)
		fmt.Println(ok, run.Name, run.Attempt)
		return nil
	}
	ctx := provost.ContextWithRun(context.Background(), provost.RunInfo{Name: "test", Attempt: 2})
	fmt.Println(archive(ctx))
	// Output:
	// true test 2
	// <nil>
}

// What a flow logs goes to the runner's logger and to the run's own log, at any level.
func ExampleLogger() {
	load := provost.NewJob("load", func(ctx context.Context) error {
		log := provost.Logger(ctx).With("table", "orders")
		log.Debug("connected")
		log.Info("loaded", "rows", 120)
		return nil
	})

	runner := &provost.Runner{Store: provost.NewMemoryStore(), Logger: slog.New(slog.DiscardHandler)}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	served := make(chan error, 1)
	go func() { served <- runner.Serve(ctx, &provost.Deployment{Flow: load, Name: "manual"}) }()
	<-runner.Ready()

	client := provost.NewClient(runner.Store)
	run, err := client.RunDeployment(ctx, "load/manual", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for line, err := range client.Logs(ctx, run.ID, &provost.LogOptions{Follow: true}) { // until the run is finished
		fmt.Println(line.Level, line.Message, err)
	}
	stop()
	fmt.Println(<-served)
	// Output:
	// DEBUG connected table=orders <nil>
	// INFO loaded table=orders rows=120 <nil>
	// <nil>
}
