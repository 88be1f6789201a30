package provost_test

import (
	"context"
	"testing"
	"time"

	"github.com/provost-go/provost"
)

// allWrites are the operations that fail on a store whose disk is full, or that has become a
// replica. Reads still work.
var allWrites = []string{"HeartbeatRunner", "PlanRuns", "ClaimRuns", "RenewLeases", "SettleRuns", "ReapLeases", "AppendLogs", "CreateRun"}

// A store that answers reads and refuses writes fails as a whole: the runner does not blame a
// single write for being refused.
func TestReadOnlyStoreForHoursLosesNothing(t *testing.T) {
	for _, local := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			f := newFaulty()
			var store provost.Store = f
			if local {
				store = localFaulty{f}
			}
			fl := provost.NewFlow("f", func(ctx context.Context, _ struct{}) (string, error) {
				time.Sleep(5 * time.Second)
				provost.Logger(ctx).Info("nearly there")
				return "done", nil
			})
			stop := start(t, &provost.Runner{Store: store}, &provost.Deployment{Flow: fl, Name: "d"})
			client := provost.NewClient(f.Store)
			run := request(t, client, "f/d", nil)
			time.Sleep(3 * time.Second)
			f.set(refuses, allWrites...)
			time.Sleep(2 * time.Hour)
			f.set(works)
			time.Sleep(30 * time.Second)
			got := get(t, client, run.ID)
			wantState(t, got, provost.StateCompleted)
			if string(got.Result) != `"done"` || got.Crashes != 0 || got.Attempt != 1 {
				t.Errorf("result %s, crashes %d, attempt %d, want \"done\", 0 and 1", got.Result, got.Crashes, got.Attempt)
			}
			lines := 0
			for line, err := range client.Logs(t.Context(), run.ID, nil) {
				if lines++; err != nil || line.Message != "nearly there" {
					t.Errorf("got line %+v, error %v", line, err)
				}
			}
			if lines != 1 {
				t.Errorf("%d lines in the log, want 1", lines)
			}
			clean(t, stop)
		})
	}
}

// A problem ends when nothing is left to do that could fail.
func TestHealthForgetsProblemsWithNothingLeftToDo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFaulty()
		runner := &provost.Runner{Store: f}
		inner := provost.NewFlow("inner", func(context.Context, struct{}) (int, error) { return 0, errFaulty })
		outer := job("outer", func(ctx context.Context) error {
			f.set(refuses, "SettleRuns")
			_, err := inner.Run(ctx, struct{}{})
			f.set(works)
			return err
		})
		long := job("long", func(context.Context) error {
			f.set(refuses, "RenewLeases")
			time.Sleep(15 * time.Second)
			return nil
		})
		stop := start(t, runner, outer, long)
		client := provost.NewClient(f.Store)
		runNow(t, client, "outer/d", nil)
		time.Sleep(5 * time.Second)
		if h := runner.Health(); !h.Healthy() {
			t.Errorf("after a child run: %+v", h)
		}
		run := request(t, client, "long/d", nil)
		time.Sleep(14 * time.Second)
		if h := runner.Health(); len(h.Problems) != 1 || h.Problems[0].Operation != "renew leases" {
			t.Errorf("while renewals fail: %+v", h)
		}
		wait(t, client, run.ID)
		time.Sleep(20 * time.Second)
		if h := runner.Health(); !h.Healthy() {
			t.Errorf("with nothing to renew: %+v", h)
		}
		clean(t, stop)
	})
}
