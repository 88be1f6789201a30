package provost_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/internal/testenv"
	"github.com/provost-go/provost/store"
)

func TestServeFiresEachInstantOnceAndNeverEarly(t *testing.T) {
	deployments, seconds := 10_000, 20
	if testenv.Race {
		deployments = 1000
	}
	bubble(t, func(t *testing.T) {
		began := time.Now()
		var early, late, twice, total atomic.Int64
		seen := make([][]atomic.Bool, deployments)
		index := make(map[string]int, deployments)
		f := provost.NewJob("tick", func(ctx context.Context) error {
			info, _ := provost.RunFromContext(ctx)
			now := time.Now()
			if now.Before(info.ScheduledTime) {
				early.Add(1)
			}
			if now.After(info.ScheduledTime) {
				late.Add(1)
			}
			total.Add(1)
			if n := int(info.ScheduledTime.Sub(began) / time.Second); n < 1 || n > seconds || seen[index[info.Deployment]][n-1].Swap(true) {
				twice.Add(1)
			}
			return nil
		})
		list := make([]*provost.Deployment, deployments)
		for i := range list {
			seen[i] = make([]atomic.Bool, seconds)
			name := fmt.Sprint("d", i)
			index[name] = i
			list[i] = &provost.Deployment{Flow: f, Name: name, Schedules: []provost.Schedule{provost.Every(time.Second)}}
		}
		stop := start(t, &provost.Runner{Limit: 20_000}, list...)
		time.Sleep(time.Duration(seconds)*time.Second + 100*time.Millisecond)
		clean(t, stop)
		if n := total.Load(); n != int64(deployments*seconds) || early.Load()+twice.Load() > 0 {
			t.Errorf("%d runs, %d early, %d twice or out of range; want %d, 0 and 0", n, early.Load(), twice.Load(), deployments*seconds)
		}
		if late.Load() > 0 {
			t.Errorf("%d runs were late in virtual time, want none", late.Load())
		}
	})
}

func TestServeRestartsWithoutWriting(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := &remote{Store: provost.NewMemoryStore()}
		for range 500 {
			d := &provost.Deployment{
				Flow: order, Name: "d", Parameters: provost.Params{"region": "us", "every": time.Hour}, Tags: []string{"a", "b"},
				Schedules: []provost.Schedule{provost.Cron("0 2 * * *").In("Europe/Berlin"), provost.Every(time.Hour).Jitter(time.Minute)},
			}
			clean(t, start(t, &provost.Runner{Store: st}, d))
		}
		if st.registered[store.ChangeCreated] != 1 || st.registered[store.ChangeUpdated] != 0 || st.registered[store.ChangeNone] != 499 || st.generation != 1 {
			t.Errorf("registrations %v, generation %d, want 1 created, 499 unchanged, 0 updated and generation 1", st.registered, st.generation)
		}
		if n, _ := provost.NewClient(st).CountRuns(t.Context(), provost.RunFilter{}); n != 6 {
			t.Errorf("%d runs were created, want 3 for each schedule", n)
		}
	})
}

func TestRunOnStartOncePerService(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var runs atomic.Int64
		store := provost.NewMemoryStore()
		deploy := func() *provost.Deployment {
			d := job("f", func(context.Context) error { runs.Add(1); return nil })
			d.RunOnStart = true
			return d
		}
		first := start(t, &provost.Runner{Store: store}, deploy())
		second := start(t, &provost.Runner{Store: store}, deploy())
		time.Sleep(time.Minute)
		if runs.Load() != 1 {
			t.Errorf("%d runs after two runners started, want 1", runs.Load())
		}
		clean(t, first)
		third := start(t, &provost.Runner{Store: store}, deploy())
		time.Sleep(time.Minute)
		clean(t, second)
		clean(t, third)
		if runs.Load() != 1 {
			t.Errorf("%d runs after a rolling restart, want 1", runs.Load())
		}
		fourth := start(t, &provost.Runner{Store: store}, deploy())
		time.Sleep(time.Minute)
		clean(t, fourth)
		if runs.Load() != 2 {
			t.Errorf("%d runs after a full restart, want 2", runs.Load())
		}
	})
}

// The store fails while the runs on start are created: they are created later, and not twice if
// only the response was lost.
func TestRunOnStartDuringAStoreFailure(t *testing.T) {
	for _, how := range []fault{refuses, loses, hangs} {
		bubble(t, func(t *testing.T) {
			var runs counter
			var deployments []*provost.Deployment
			for _, name := range []string{"a", "b", "c"} {
				d := job(name, func(context.Context) error { runs.add(name); return nil })
				d.RunOnStart = true
				deployments = append(deployments, d)
			}
			f := newFaulty()
			f.set(how, "CreateRun")
			began := time.Now()
			runner := &provost.Runner{Store: f}
			stop := start(t, runner, deployments...)
			if took := time.Since(began); took > 11*time.Second {
				t.Errorf("ready after %v, want at most 11s", took)
			}
			time.Sleep(time.Minute)
			if h := runner.Health(); h.Healthy() {
				t.Error("the runner is healthy although runs on start are missing")
			}
			f.set(works)
			time.Sleep(30 * time.Second)
			clean(t, stop)
			for _, name := range []string{"a", "b", "c"} {
				if n := runs.get(name); n != 1 {
					t.Errorf("%s: %d runs of %s, want 1", faultNames[how], n, name)
				}
			}
		})
	}
}

// gauge counts how many flows are running at once.
type gauge struct{ now, max atomic.Int64 }

func (g *gauge) enter() {
	n := g.now.Add(1)
	for high := g.max.Load(); n > high && !g.max.CompareAndSwap(high, n); high = g.max.Load() {
	}
}
func (g *gauge) leave() { g.now.Add(-1) }

func TestLimitOfTheRunner(t *testing.T) {
	for _, wrap := range []func(provost.Store) provost.Store{
		func(s provost.Store) provost.Store { return s },
		func(s provost.Store) provost.Store { return &remote{Store: s} },
	} {
		bubble(t, func(t *testing.T) {
			var c gauge
			store := wrap(provost.NewMemoryStore())
			d := job("f", func(context.Context) error {
				c.enter()
				defer c.leave()
				time.Sleep(time.Minute)
				return nil
			})
			stop := start(t, &provost.Runner{Store: store, Limit: 3}, d)
			client := provost.NewClient(store)
			var ids []uuid.UUID
			for range 10 {
				ids = append(ids, request(t, client, "f/d", nil).ID)
			}
			began := time.Now()
			for _, id := range ids {
				wantState(t, wait(t, client, id), provost.StateCompleted)
			}
			if took := time.Since(began).Round(5 * time.Second); c.max.Load() != 3 || took < 4*time.Minute || took > 4*time.Minute+10*time.Second {
				t.Errorf("%d runs at once, took %v, want 3 and 4m0s to 4m10s", c.max.Load(), took)
			}
			clean(t, stop)
		})
	}
}

func TestUpcomingRunsAreVisible(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := provost.NewMemoryStore()
		client := provost.NewClient(store)
		stop := start(t, &provost.Runner{Store: store}, job("f", nothing, provost.Every(time.Hour)))
		for range 5 {
			synctest.Wait()
			runs, err := client.UpcomingRuns(t.Context(), "f/d", 5)
			if err != nil || len(runs) != 5 {
				t.Fatal(runs, err)
			}
			hour := time.Now().Truncate(time.Hour)
			for i, run := range runs {
				if hour = hour.Add(time.Hour); !run.ScheduledTime.Equal(hour) || (i < 3) == (run.ID == uuid.Nil) {
					t.Errorf("upcoming run %d is %s at %s, want %s", i, run.ID, run.ScheduledTime, hour)
				}
			}
			time.Sleep(time.Hour)
		}
		clean(t, stop)
	})
}

func TestUpdateResetsScheduledRunsAndKeepsManualOnes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := provost.NewMemoryStore()
		client := provost.NewClient(store)
		clean(t, start(t, &provost.Runner{Store: store}, job("f", nothing, provost.Every(time.Hour))))
		manual := request(t, client, "f/d", &provost.RunOptions{ScheduledTime: time.Now().Add(48 * time.Hour)})
		auto := func() (times []time.Time) {
			for _, run := range list(t, client, provost.RunFilter{States: []provost.StateType{provost.StateScheduled}, Sort: provost.SoonestDue}) {
				if run.AutoScheduled {
					times = append(times, run.ScheduledTime)
				}
			}
			return times
		}
		stop := start(t, &provost.Runner{Store: store}, job("f", nothing, provost.Every(6*time.Hour)))
		if got := auto(); len(got) != 3 || got[0].Hour() != 6 {
			t.Errorf("scheduled runs after the update: %v, want 3, the first at 6:00", got)
		}
		d, err := client.GetDeployment(t.Context(), "f/d")
		if err != nil || d.Generation != 2 {
			t.Errorf("generation %d, error %v, want 2", d.Generation, err)
		}
		if err := client.PauseDeployment(t.Context(), "f/d"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(24 * time.Hour)
		if got := auto(); len(got) != 0 {
			t.Errorf("scheduled runs while paused: %v, want none", got)
		}
		if upcoming, _ := client.UpcomingRuns(t.Context(), "f/d", 3); len(upcoming) != 1 || upcoming[0].ID != manual.ID {
			t.Errorf("upcoming runs while paused: %v, want the manual one", upcoming)
		}
		wantState(t, get(t, client, manual.ID), provost.StateScheduled)
		runNow(t, client, "f/d", nil)
		if err := client.ResumeDeployment(t.Context(), "f/d"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(7 * time.Hour)
		got := skips(t, client, "f/d")
		if len(got) != 1 || got[0].Reason != provost.SkipPaused || got[0].Count != 4 {
			t.Errorf("skips %+v, want 4 instants paused", got)
		}
		time.Sleep(48 * time.Hour)
		wantState(t, get(t, client, manual.ID), provost.StateCompleted)
		clean(t, stop)
	})
}

func TestOperatorsPauseOutlivesRestartsAndLapsesWithTheDeclaration(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := provost.NewMemoryStore()
		client := provost.NewClient(store)
		serve := func(paused bool) {
			d := job("f", nothing, provost.Every(time.Hour))
			d.Paused = paused
			stop := start(t, &provost.Runner{Store: store}, d)
			time.Sleep(time.Minute)
			clean(t, stop)
		}
		effective := func() bool {
			d, err := client.GetDeployment(t.Context(), "f/d")
			if err != nil {
				t.Fatal(err)
			}
			return d.Pause.Effective()
		}
		serve(false)
		if err := client.PauseDeployment(t.Context(), "f/d"); err != nil {
			t.Fatal(err)
		}
		serve(false)
		if !effective() {
			t.Error("an equal declaration resumed the deployment")
		}
		serve(true)
		if err := client.ResumeDeployment(t.Context(), "f/d"); err != nil || effective() {
			t.Errorf("ResumeDeployment: %v, paused %v", err, effective())
		}
		serve(true)
		if effective() {
			t.Error("an equal declaration paused the deployment again")
		}
		serve(false)
		serve(true)
		if !effective() {
			t.Error("a new declared value did not override the operator's mark")
		}
	})
}

func TestPauseOnShutdown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var runs atomic.Int64
		store := provost.NewMemoryStore()
		client := provost.NewClient(store)
		serve := func() func() error {
			return start(t, &provost.Runner{Store: store, PauseOnShutdown: true},
				job("f", func(context.Context) error { runs.Add(1); return nil }, provost.Every(time.Hour).CatchUp(provost.CatchUpAll)))
		}
		paused := func() bool {
			d, _ := client.GetDeployment(t.Context(), "f/d")
			return d.Pause.Shutdown && d.Pause.Effective()
		}
		first, second := serve(), serve()
		time.Sleep(90 * time.Minute)
		clean(t, first)
		if paused() {
			t.Error("the deployment is paused although another runner serves it")
		}
		clean(t, second)
		if !paused() {
			t.Error("the deployment is not paused after the last runner stopped")
		}
		time.Sleep(5 * time.Hour)
		third := serve()
		if paused() {
			t.Error("the deployment is still paused when it is served again")
		}
		time.Sleep(time.Minute)
		clean(t, third)
		got := skips(t, client, "f/d")
		if runs.Load() != 1 || len(got) != 1 || got[0].Reason != provost.SkipPaused || got[0].Count != 5 {
			t.Errorf("%d runs, skips %+v; want 1 run and 5 instants paused", runs.Load(), got)
		}
	})
}

func TestPruneDeletesEarlierDeployments(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := provost.NewMemoryStore()
		client := provost.NewClient(store)
		f, g := provost.NewJob("f", nothing), provost.NewJob("g", nothing)
		clean(t, start(t, &provost.Runner{Store: store},
			&provost.Deployment{Flow: f, Name: "old"}, &provost.Deployment{Flow: f, Name: "kept"}, &provost.Deployment{Flow: g, Name: "other"}))
		if _, err := client.Deploy(t.Context(), &provost.Deployment{Flow: f, Name: "pool", WorkPool: "p"}); err != nil {
			t.Fatal(err)
		}
		live := start(t, &provost.Runner{Store: store}, &provost.Deployment{Flow: f, Name: "live"})
		clean(t, start(t, &provost.Runner{Store: store, Prune: true}, &provost.Deployment{Flow: f, Name: "kept"}))
		clean(t, live)
		page, err := client.ListDeployments(t.Context(), provost.DeploymentFilter{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, d := range page.Items {
			got = append(got, d.Handle())
		}
		if fmt.Sprint(got) != "[f/kept f/live f/pool g/other]" {
			t.Errorf("deployments left: %v, want [f/kept f/live f/pool g/other]", got)
		}
	})
}

func TestCancelRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := provost.NewMemoryStore()
		client := provost.NewClient(store)
		began, entered := 0, 0
		d := job("f", func(ctx context.Context) error {
			began++
			<-ctx.Done()
			entered++
			if cause := context.Cause(ctx); cause == nil || errors.Is(cause, context.Canceled) {
				t.Errorf("cause is %v, want a reason", cause)
			}
			return ctx.Err()
		})
		stop := start(t, &provost.Runner{Store: store}, d)
		cancel := func(run *provost.Run, want provost.StateType) {
			t.Helper()
			before := time.Now()
			got, err := client.CancelRun(t.Context(), run.ID, nil)
			if err != nil {
				t.Fatal(err)
			}
			wantState(t, got, want)
			wantState(t, wait(t, client, run.ID), provost.StateCancelled)
			if took := time.Since(before); took != 0 {
				t.Errorf("cancelling took %v, want 0s", took)
			}
			_, err = client.CancelRun(t.Context(), run.ID, nil)
			if err != nil {
				t.Errorf("cancelling again: %v", err)
			}
		}
		cancel(request(t, client, "f/d", &provost.RunOptions{ScheduledTime: time.Now().Add(time.Hour)}), provost.StateCancelled)
		pending := request(t, client, "f/d", &provost.RunOptions{ScheduledTime: time.Now().Add(300 * time.Millisecond)})
		synctest.Wait()
		wantState(t, get(t, client, pending.ID), provost.StatePending)
		if got, err := client.CancelRun(t.Context(), pending.ID, nil); err != nil || got.State.Type != provost.StateCancelling {
			t.Fatal(got, err)
		}
		wantState(t, wait(t, client, pending.ID), provost.StateCancelled)
		running := request(t, client, "f/d", nil)
		time.Sleep(time.Hour)
		wantState(t, get(t, client, running.ID), provost.StateRunning)
		cancel(running, provost.StateCancelling)
		if began != 1 || entered != 1 {
			t.Errorf("the flow began %d times and ended %d times, want 1", began, entered)
		}
		clean(t, stop)
	})
}

func TestTwoRunnersShareTheRuns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := provost.NewMemoryStore()
		var seen counter
		by := make([]atomic.Int64, 2)
		var stops []func() error
		for i := range 2 {
			d := job("f", func(ctx context.Context) error {
				info, _ := provost.RunFromContext(ctx)
				seen.add(info.ScheduledTime.String())
				by[i].Add(1)
				time.Sleep(1500 * time.Millisecond)
				return nil
			}, provost.Every(time.Second))
			stops = append(stops, start(t, &provost.Runner{Store: store, Limit: 1}, d))
		}
		time.Sleep(100*time.Second + time.Millisecond)
		clean(t, stops[0])
		clean(t, stops[1])
		total, twice := seen.total()
		if total < 95 || total > 103 || twice > 0 || by[0].Load() < 30 || by[1].Load() < 30 {
			t.Errorf("%d runs, %d instants twice, %d and %d by the two runners", total, twice, by[0].Load(), by[1].Load())
		}
	})
}

func TestRunnerTakesOverFromADeadOne(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := provost.NewMemoryStore()
		client := provost.NewClient(st)
		var attempts []int
		var mu sync.Mutex
		d := job("f", func(ctx context.Context) error {
			info, _ := provost.RunFromContext(ctx)
			mu.Lock()
			defer mu.Unlock()
			attempts = append(attempts, info.Attempt)
			return nil
		})
		stop := start(t, &provost.Runner{Store: st}, d)
		clean(t, stop)
		dead, lease := deadRunner(t, st, client, "f/d")
		stop = start(t, &provost.Runner{Store: st}, d)
		began := time.Now()
		run := wait(t, client, lease.RunID)
		wantState(t, run, provost.StateCompleted)
		if took := time.Since(began); took < 20*time.Second || took > 31*time.Second {
			t.Errorf("taken over after %v, want 20s to 31s", took)
		}
		if run.Crashes != 1 || run.Attempt != 2 || len(attempts) != 1 || attempts[0] != 2 {
			t.Errorf("crashes %d, attempt %d, attempts %v, want 1, 2 and [2]", run.Crashes, run.Attempt, attempts)
		}
		errs, err := st.SettleRuns(t.Context(), store.SettleRunsParams{Now: time.Now(), Updates: []store.RunUpdate{{
			Lease: lease, State: provost.State{Type: provost.StateFailed},
		}}})
		if err != nil || len(errs) != 1 || !errors.Is(errs[0], provost.ErrLeaseLost) {
			t.Errorf("write of the dead runner %s: errors %v, %v, want ErrLeaseLost", dead, errs, err)
		}
		clean(t, stop)
	})
}

// deadRunner registers a runner, claims a new run for it, starts the run, and makes no further
// call.
func deadRunner(t *testing.T, st provost.Store, c *provost.Client, handle string) (uuid.UUID, store.Lease) {
	t.Helper()
	now, id := time.Now(), uuid.New()
	d, err := c.GetDeployment(t.Context(), handle)
	if err != nil {
		t.Fatal(err)
	}
	until := now.Add(30 * time.Second)
	if _, err := st.RegisterRunner(t.Context(), store.RegisterRunnerParams{
		Now: now, Runner: provost.RunnerRecord{ID: id, Name: "dead", Started: now, SeenAt: now, Until: until}, Deployments: []uuid.UUID{d.ID},
	}); err != nil {
		t.Fatal(err)
	}
	run := request(t, c, handle, nil)
	claims, err := st.ClaimRuns(t.Context(), store.ClaimRunsParams{Now: now, Runner: id, Limit: 1, TTL: 30 * time.Second})
	if err != nil || len(claims.Runs) != 1 || claims.Runs[0].RunID != run.ID {
		t.Fatal(claims, err)
	}
	lease := claims.Runs[0].Lease
	if errs, err := st.SettleRuns(t.Context(), store.SettleRunsParams{Now: now, Updates: []store.RunUpdate{{
		Lease: lease, StartTime: now, Attempt: claims.Runs[0].Attempt + 1,
	}}}); err != nil || errs != nil {
		t.Fatal(errs, err)
	}
	return id, lease
}

func TestAtMostOnceIsNotEnteredAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := provost.NewMemoryStore()
		client := provost.NewClient(store)
		entered := 0
		f := provost.NewJob("f", func(ctx context.Context) error {
			entered++
			info, _ := provost.RunFromContext(ctx)
			if stored := get(t, client, info.ID); stored.State.Type != provost.StateRunning {
				t.Errorf("the flow was entered while the store had %s", stored.State)
			}
			<-ctx.Done()
			return context.Cause(ctx)
		})
		f.AtMostOnce = true
		d := &provost.Deployment{Flow: f, Name: "d"}
		clean(t, start(t, &provost.Runner{Store: store}, d))
		_, lease := deadRunner(t, store, client, "f/d")
		stop := start(t, &provost.Runner{Store: store, ShutdownTimeout: time.Second}, d)
		wantState(t, wait(t, client, lease.RunID), provost.StateCrashed, "lease")
		if entered != 0 {
			t.Errorf("entered %d times after a crash, want 0", entered)
		}
		run := request(t, client, "f/d", nil)
		time.Sleep(time.Minute)
		clean(t, stop)
		clean(t, start(t, &provost.Runner{Store: store, ShutdownTimeout: time.Second}, d))
		if entered != 1 {
			t.Errorf("entered %d times around a shutdown, want 1", entered)
		}
		wantState(t, get(t, client, run.ID), provost.StateCrashed, "shutting down")
	})
}
