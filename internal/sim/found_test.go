package sim

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/internal/clock"
	"github.com/provost-go/provost/schedule"
	"github.com/provost-go/provost/store"
	"github.com/provost-go/provost/store/memory"
)

// These are defects that simulations found, each in its smallest form.

// TestCrashBeforeTheStartGivesNoSecondEntry checks that a lease that ends before its run began
// counts as a crash and as an attempt. It must not look like a retry that is left.
func TestCrashBeforeTheStartGivesNoSecondEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory.New()
		entered := 0
		f := provost.NewJob("f", func(context.Context) error { entered++; return errors.New("no") })
		f.AtMostOnce = true
		d := &provost.Deployment{Flow: f, Name: "d"}
		client := provost.NewClient(st)
		if _, err := client.Deploy(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		run, err := client.RunDeployment(t.Context(), "f/d", nil)
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		gone := store.RunnerRecord{ID: store.NewID(now), Until: now.Add(time.Minute)}
		_, err = st.RegisterRunner(t.Context(), store.RegisterRunnerParams{Now: now, Runner: gone, Deployments: []uuid.UUID{run.DeploymentID}})
		if err != nil {
			t.Fatal(err)
		}
		claims, err := st.ClaimRuns(t.Context(), store.ClaimRunsParams{Now: now, Runner: gone.ID, Limit: 1, TTL: time.Second})
		if err != nil || len(claims.Runs) != 1 {
			t.Fatalf("claimed %d runs: %v", len(claims.Runs), err)
		}
		time.Sleep(2 * time.Second)
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() {
			served <- (&provost.Runner{Store: st, Logger: slog.New(slog.DiscardHandler)}).Serve(ctx, d)
		}()
		time.Sleep(time.Minute)
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		if run, err = client.GetRun(t.Context(), run.ID); err != nil || run.State.Type != store.StateFailed || entered != 1 {
			t.Errorf("the run is %s, its function was entered %d times (%v); want Failed and once", run.State.Type, entered, err)
		}
	})
}

// TestCancelledRunInsideAPauseIsDecidedOnce checks that a run that was cancelled ahead of its time
// is not also among the skips of a pause.
func TestCancelledRunInsideAPauseIsDecidedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory.New()
		client := provost.NewClient(st)
		d := &provost.Deployment{Flow: provost.NewJob("f", func(context.Context) error { return nil }), Name: "d", Schedules: []schedule.Schedule{schedule.Every(time.Hour)}}
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() {
			served <- (&provost.Runner{Store: st, Logger: slog.New(slog.DiscardHandler)}).Serve(ctx, d)
		}()
		synctest.Wait()
		page, err := client.ListRuns(ctx, store.RunFilter{Sort: store.SoonestDue})
		if err != nil || len(page.Items) < 2 {
			t.Fatalf("%d runs lie ahead: %v", len(page.Items), err)
		}
		second := page.Items[1]
		if _, err := client.CancelRun(ctx, second.ID, nil); err != nil {
			t.Fatal(err)
		}
		if err := client.PauseDeployment(ctx, "f/d"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5*time.Hour + 30*time.Minute)
		skips, err := client.ListSkips(ctx, store.SkipFilter{Deployment: "f/d"})
		if err != nil {
			t.Fatal(err)
		}
		count := 0
		for _, skip := range skips.Items {
			if count += skip.Count; !second.ScheduledTime.Before(skip.First) && !second.ScheduledTime.After(skip.Last) {
				t.Errorf("the instant of the cancelled run, %s, is also in the skip %s to %s", second.ScheduledTime, skip.First, skip.Last)
			}
		}
		if count != 4 {
			t.Errorf("%d instants are skipped, want 4 of 5", count)
		}
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// TestCrashEndsCancelling checks that a crash ends a run whose cancellation was requested as
// Cancelled: the run is not executed again.
func TestCrashEndsCancelling(t *testing.T) {
	st, now := memory.New(), time.Now()
	client := provost.NewClient(st)
	d := &provost.Deployment{Flow: provost.NewJob("f", func(context.Context) error { return nil }), Name: "d"}
	if _, err := client.Deploy(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	run, err := client.RunDeployment(t.Context(), "f/d", nil)
	if err != nil {
		t.Fatal(err)
	}
	r := store.RunnerRecord{ID: store.NewID(now), Until: now.Add(time.Hour)}
	if _, err := st.RegisterRunner(t.Context(), store.RegisterRunnerParams{Now: now, Runner: r, Deployments: []uuid.UUID{run.DeploymentID}}); err != nil {
		t.Fatal(err)
	}
	claims, err := st.ClaimRuns(t.Context(), store.ClaimRunsParams{Now: now.Add(time.Second), Runner: r.ID, Limit: 1, TTL: time.Minute})
	if err != nil || len(claims.Runs) != 1 {
		t.Fatalf("claimed %d runs: %v", len(claims.Runs), err)
	}
	if _, err := client.CancelRun(t.Context(), run.ID, nil); err != nil {
		t.Fatal(err)
	}
	crashed := store.RunUpdate{Lease: claims.Runs[0].Lease, StartTime: now, Attempt: 1, State: store.NewState(store.StateCrashed, now, "killed"), Crashed: true}
	errs, err := st.SettleRuns(t.Context(), store.SettleRunsParams{Now: now, Updates: []store.RunUpdate{crashed}})
	if err := errors.Join(append(errs, err)...); err != nil {
		t.Fatal(err)
	}
	if run, err = client.GetRun(t.Context(), run.ID); err != nil || run.State.Type != store.StateCancelled {
		t.Errorf("the run is %s (%v), want Cancelled", run.State.Type, err)
	}
}

// slowPlanning is a store whose DueSchedules calls before first.
type slowPlanning struct {
	store.Store
	before func()
}

func (s slowPlanning) DueSchedules(ctx context.Context, p store.DueSchedulesParams) (store.DueSchedulesResult, error) {
	s.before()
	return s.Store.DueSchedules(ctx, p)
}

// TestClockLeapsWhileTheFeederAsks checks that a clock jump during a DueSchedules call, which opens
// a gap that its answer reports, leads to a plan for the time after the jump. A plan for the time
// before would close the gap without handling it, and every missed instant would become a run.
func TestClockLeapsWhileTheFeederAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var offset atomic.Int64
		jumped := false
		st := memory.New()
		began := time.Now()
		before := func() {
			if time.Since(began) > time.Minute && !jumped {
				jumped = true
				time.Sleep(2 * time.Second)
				offset.Store(int64(30 * 24 * time.Hour))
				time.Sleep(3 * time.Second) // for a heartbeat
			}
		}
		now := func() time.Time { return time.Now().Round(0).Add(time.Duration(offset.Load())) }
		client := provost.NewClient(st)
		d := &provost.Deployment{Flow: provost.NewJob("f", func(context.Context) error { return nil }), Name: "d", Schedules: []schedule.Schedule{schedule.Every(10 * time.Second)}}
		ctx, stop := context.WithCancel(clock.With(t.Context(), now))
		served := make(chan error, 1)
		runner := &provost.Runner{
			Store: slowPlanning{st, before}, LeaseTTL: 5 * time.Second, Logger: slog.New(slog.DiscardHandler),
		}
		go func() { served <- runner.Serve(ctx, d) }()
		time.Sleep(2 * time.Minute)
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		runs, err := client.CountRuns(t.Context(), store.RunFilter{})
		if err != nil || runs > 20 {
			t.Errorf("%d runs (%v), want those of two minutes and one for the jump", runs, err)
		}
		skips, err := client.ListSkips(t.Context(), store.SkipFilter{Deployment: "f/d"})
		if err != nil || len(skips.Items) != 1 || skips.Items[0].Reason != store.SkipMissed || skips.Items[0].Count < 250_000 {
			t.Errorf("skips are %+v (%v), want one range of what the jump passed over", skips.Items, err)
		}
	})
}
