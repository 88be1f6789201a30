// Durable keeps its runs in an SQLite file: kill it, start it again, and nothing is lost.
//
//	go run ./examples/durable -db /tmp/provost.db
//
// Kill it in the middle of a run (kill -9), wait a little, and start it again with the same file:
//
//   - The run that was killed starts its second attempt once its lease has expired.
//   - The instants that passed meanwhile are caught up.
//   - Completed runs stay completed.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/store/sqlite"
)

func main() {
	path := flag.String("db", "provost.db", "SQLite file that keeps the runs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, *path); err != nil {
		log.Fatal(err)
	}
}

func serve(ctx context.Context, path string) (err error) {
	store, err := sqlite.Open(ctx, path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if err := logCounts(ctx, provost.NewClient(store)); err != nil {
		return err
	}
	runner := &provost.Runner{
		Store:    store,
		LeaseTTL: 6 * time.Second, // a dead process keeps its runs for this long; the default is five times as long

		Retention: provost.Retention{Age: 30 * 24 * time.Hour, Runs: 1000}, // of each deployment
	}
	return runner.Serve(ctx, imports())
}

// logCounts logs how many runs earlier processes left in the file.
func logCounts(ctx context.Context, client *provost.Client) error {
	for _, state := range []provost.StateType{provost.StateCompleted, provost.StateRunning, provost.StateScheduled} {
		n, err := client.CountRuns(ctx, provost.RunFilter{States: []provost.StateType{state}})
		if err != nil {
			return err
		}
		slog.Info("in the file", "state", state, "runs", n)
	}
	return nil
}

func imports() *provost.Deployment {
	return &provost.Deployment{
		Flow: provost.NewJob("import", importOrders),
		Name: "orders",
		Schedules: []provost.Schedule{
			provost.Every(3 * time.Second).CatchUp(provost.CatchUpAll).CatchUpWindow(time.Minute),
		},
		ConcurrencyLimit: 1, // one at a time
	}
}

func importOrders(ctx context.Context) error {
	run, _ := provost.RunFromContext(ctx)
	provost.Logger(ctx).Info("importing", "of", run.ScheduledTime.Format(time.TimeOnly), "attempt", run.Attempt)
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(2 * time.Second): // the work
		return nil
	}
}
