package provost_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provost-go/provost"
)

func TestNightly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // time in here passes when everybody waits
		store := provost.NewMemoryStore()
		runner := &provost.Runner{Store: store, Logger: slog.New(slog.DiscardHandler)}
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- runner.Serve(ctx, nightly()) }()
		<-runner.Ready()

		time.Sleep(30 * 24 * time.Hour)

		completed := provost.RunFilter{States: []provost.StateType{provost.StateCompleted}}
		runs, err := provost.NewClient(store).ListRuns(t.Context(), completed)
		if err != nil {
			t.Fatal(err)
		}
		if len(runs.Items) != 30 {
			t.Errorf("%d runs completed in 30 days, want 30", len(runs.Items))
		}
		for _, run := range runs.Items {
			if run.Parameters["region"] != "us" || run.StartTime.Sub(run.ScheduledTime) != 0 {
				t.Errorf("run of %s: parameters %v, started %s", run.ScheduledTime, run.Parameters, run.StartTime)
			}
		}

		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}
