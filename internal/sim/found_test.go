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

// What simulations found, each as small as it gets.

// A lease that ends before its run began is a crash and an attempt. It must not look like a retry that is left.
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

// A run that was cancelled ahead of its time is not counted among the skips of a pause as well.
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
		if _, err := client.CancelRun(ctx, second.ID); err != nil {
			t.Fatal(err)
		}
		if err := client.PauseDeployment(ctx, "f/d"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5*time.Hour + 30*time.Minute)
		skips, err := client.ListSkips(ctx, "f/d", store.SkipFilter{})
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

// A crash ends a run that somebody wants cancelled, like anything else that comes to nothing.
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
	if _, err := client.CancelRun(t.Context(), run.ID); err != nil {
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

// heldQuestion is a store on whose answer to DueSchedules one call waits for what held does.
type heldQuestion struct {
	store.Store
	held func()
}

func (s heldQuestion) DueSchedules(ctx context.Context, p store.DueSchedulesParams) (store.DueSchedulesResult, error) {
	s.held()
	return s.Store.DueSchedules(ctx, p)
}

// A clock that leaps while the question what to plan is under way opens a gap that the answer tells of. The plan must be one for the
// time after the leap: one for the time before would close the gap with nothing dealt with, and every missed instant would become a run.
func TestClockLeapsWhileTheFeederAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var leap atomic.Int64
		asked := false
		st := memory.New()
		began := time.Now()
		held := func() {
			if time.Since(began) > time.Minute && !asked {
				asked = true
				time.Sleep(2 * time.Second)
				leap.Store(int64(30 * 24 * time.Hour))
				time.Sleep(3 * time.Second) // a heartbeat comes
			}
		}
		now := func() time.Time { return time.Now().Round(0).Add(time.Duration(leap.Load())) }
		client := provost.NewClient(st)
		d := &provost.Deployment{Flow: provost.NewJob("f", func(context.Context) error { return nil }), Name: "d", Schedules: []schedule.Schedule{schedule.Every(10 * time.Second)}}
		ctx, stop := context.WithCancel(clock.With(t.Context(), now))
		served := make(chan error, 1)
		runner := &provost.Runner{
			Store: heldQuestion{st, held}, LeaseTTL: 5 * time.Second, Logger: slog.New(slog.DiscardHandler),
		}
		go func() { served <- runner.Serve(ctx, d) }()
		time.Sleep(2 * time.Minute)
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		runs, err := client.CountRuns(t.Context(), store.RunFilter{})
		if err != nil || runs > 20 {
			t.Errorf("%d runs (%v), want those of two minutes and one for the leap", runs, err)
		}
		skips, err := client.ListSkips(t.Context(), "f/d", store.SkipFilter{})
		if err != nil || len(skips.Items) != 1 || skips.Items[0].Reason != store.SkipMissed || skips.Items[0].Count < 250_000 {
			t.Errorf("skips are %+v (%v), want one range of what the leap passed over", skips.Items, err)
		}
	})
}
