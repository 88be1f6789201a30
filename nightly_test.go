package provost_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/provosttest"
)

func TestNightly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // time advances when every goroutine in here waits
		client := provosttest.Serve(t, nil, nightly()) // until the test ends

		time.Sleep(30 * 24 * time.Hour)

		completed := provost.RunFilter{States: []provost.StateType{provost.StateCompleted}}
		runs, err := client.ListRuns(t.Context(), completed)
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
	})
}
