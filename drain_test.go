package provost_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/store"
)

func TestDrainLetsFlowsFinish(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := provost.NewMemoryStore()
		client := provost.NewClient(st)
		stop := start(t, &provost.Runner{Store: st}, job("f", func(ctx context.Context) error {
			time.Sleep(20 * time.Second)
			return ctx.Err()
		}))
		run := request(t, client, "f/d", nil)
		soon := request(t, client, "f/d", &provost.RunOptions{ScheduledTime: time.Now().Add(1300 * time.Millisecond)})
		time.Sleep(time.Second)
		before := time.Now()
		clean(t, stop)
		if took := time.Since(before); took != 19*time.Second {
			t.Errorf("drained in %v, want 19s", took)
		}
		wantState(t, get(t, client, run.ID), provost.StateCompleted)
		wantState(t, get(t, client, soon.ID), provost.StateScheduled)
		if got := get(t, client, soon.ID); got.Attempt != 0 || got.WaitReason != store.WaitUnserved {
			t.Errorf("handed back as %+v, want attempt 0 and wait reason %q", got, store.WaitUnserved)
		}
	})
}

func TestDrainHandsBackWithoutUsingAnAttempt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := provost.NewMemoryStore()
		client := provost.NewClient(store)
		var attempts []int
		f := provost.NewJob("f", func(ctx context.Context) error {
			info, _ := provost.RunFromContext(ctx)
			attempts = append(attempts, info.Attempt)
			if len(attempts) == 3 {
				return nil
			}
			<-ctx.Done()
			if cause := context.Cause(ctx); !strings.Contains(cause.Error(), "shutting down") {
				t.Errorf("cause %v, want that the runner is shutting down", cause)
			}
			return ctx.Err()
		})
		d := &provost.Deployment{Flow: f, Name: "d"}
		runner := func() *provost.Runner { return &provost.Runner{Store: store, ShutdownTimeout: time.Minute} }
		stop := start(t, runner(), d)
		run := request(t, client, "f/d", nil)
		for range 2 {
			time.Sleep(time.Second)
			before := time.Now()
			clean(t, stop)
			if took := time.Since(before); took != time.Minute {
				t.Errorf("drained in %v, want 1m0s", took)
			}
			got := get(t, client, run.ID)
			wantState(t, got, provost.StateScheduled, "handed back")
			if got.Attempt != 0 || got.Crashes != 0 {
				t.Errorf("attempt %d, crashes %d, want 0 and 0", got.Attempt, got.Crashes)
			}
			stop = start(t, runner(), d)
		}
		wantState(t, wait(t, client, run.ID), provost.StateCompleted)
		clean(t, stop)
		if len(attempts) != 3 || attempts[2] != 1 {
			t.Errorf("attempts %v, want 3, the last with number 1", attempts)
		}
	})
}

func TestDrainNamesAnUnresponsiveFlow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := provost.NewMemoryStore()
		client := provost.NewClient(store)
		wake := make(chan struct{})
		stop := start(t, &provost.Runner{Store: store}, job("unresponsive", func(context.Context) error { <-wake; return nil }))
		run := request(t, client, "unresponsive/d", nil)
		time.Sleep(time.Second)
		before := time.Now()
		err := stop()
		wantIs(t, err, provost.ErrDrainTimeout)
		wantError(t, err, "unresponsive/d", run.ID.String())
		if took := time.Since(before); took != 30*time.Second {
			t.Errorf("Serve returned after %v, want 30s", took)
		}
		close(wake)
	})
}

func TestDrainIsNotHeldUpByAnUnresponsiveHook(t *testing.T) {
	bubble(t, func(t *testing.T) {
		wake := make(chan struct{})
		f := provost.NewJob("f", nothing)
		f.OnCompletion = func(context.Context, *provost.Run) error { <-wake; return nil }
		store := provost.NewMemoryStore()
		stop := start(t, &provost.Runner{Store: store}, &provost.Deployment{Flow: f, Name: "d"})
		runNow(t, provost.NewClient(store), "f/d", nil)
		before := time.Now()
		err := stop()
		wantIs(t, err, provost.ErrDrainTimeout)
		wantError(t, err, "hook")
		if took := time.Since(before); took > 2*time.Minute {
			t.Errorf("Serve returned after %v, want at most 2m0s", took)
		}
		close(wake)
	})
}

func TestStoreFailureIsReportedOnceAndPasses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var logs logBuffer
		var runs counter
		store := &remote{Store: provost.NewMemoryStore()}
		client := provost.NewClient(store.Store)
		d := job("f", func(ctx context.Context) error {
			info, _ := provost.RunFromContext(ctx)
			runs.add(info.ScheduledTime.String())
			return nil
		}, provost.Every(10*time.Second))
		stop := start(t, &provost.Runner{Store: store, Logger: logs.logger()}, d)
		time.Sleep(time.Minute + time.Second)
		store.fail(errors.New("disk on fire"))
		time.Sleep(20 * time.Second)
		store.fail(nil)
		time.Sleep(time.Minute)
		store.fail(errors.New("disk on fire"))
		time.Sleep(10 * time.Minute)
		store.fail(nil)
		time.Sleep(time.Minute)
		clean(t, stop)
		total, twice := runs.total()
		if total < 14 || twice > 0 {
			t.Errorf("%d runs, %d instants twice, want at least 14 and none", total, twice)
		}
		for _, operation := range []string{"\"reap leases\"", "\"plan runs\"", "\"claim runs\"", "heartbeat"} {
			n := len(logs.lines("operation=" + operation))
			if n == 0 || n > 4 {
				t.Errorf("%d lines about %s, want 1 to 4: one for each change", n, operation)
			}
		}
		decided := 0
		for _, s := range skips(t, client, "f/d") {
			decided += s.Count
		}
		done := len(list(t, client, provost.RunFilter{States: []provost.StateType{provost.StateCompleted}}))
		cancelled := len(list(t, client, provost.RunFilter{States: []provost.StateType{provost.StateCancelled}}))
		if all := done + cancelled + decided; all != 81 && all != 80 {
			t.Errorf("%d completed, %d cancelled, %d skipped: %d instants, want 80 or 81", done, cancelled, decided, all)
		}
	})
}

func TestStoreFailureLosesNoFinishedRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := &remote{Store: provost.NewMemoryStore()}
		client := provost.NewClient(store.Store)
		var calls atomic.Int64
		stop := start(t, &provost.Runner{Store: store}, job("f", func(context.Context) error {
			calls.Add(1)
			time.Sleep(5 * time.Second)
			return nil
		}))
		run := request(t, client, "f/d", nil)
		time.Sleep(3 * time.Second)
		store.fail(errors.New("away"))
		time.Sleep(8 * time.Second)
		store.fail(nil)
		wantState(t, wait(t, client, run.ID), provost.StateCompleted)
		if calls.Load() != 1 {
			t.Errorf("called %d times, want once", calls.Load())
		}
		clean(t, stop)
	})
}
