package provost_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/observe"
	"github.com/provost-go/provost/store"
)

// eventRecorder records events in the order in which they come.
type eventRecorder struct {
	mu     sync.Mutex
	events []observe.Event
}

func (d *eventRecorder) Observe(e observe.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events = append(d.events, e)
}

// ofKind returns the events of some kinds.
func (d *eventRecorder) ofKind(kinds ...observe.EventKind) []observe.Event {
	d.mu.Lock()
	defer d.mu.Unlock()
	var found []observe.Event
	for _, e := range d.events {
		if slices.Contains(kinds, e.Kind) {
			found = append(found, e)
		}
	}
	return found
}

// lines returns the events as text, without claims that returned no run.
func (d *eventRecorder) lines(began time.Time) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var lines []string
	for _, e := range d.events {
		if e.Kind == observe.RunsClaimed && e.Count == 0 {
			continue
		}
		parts := []string{fmt.Sprint(e.Time.Sub(began).Round(time.Millisecond)), string(e.Kind)}
		if e.Flow != "" {
			parts = append(parts, e.Flow+"/"+e.Deployment, fmt.Sprint("attempt ", e.Attempt))
		}
		switch e.Kind {
		case observe.RunStarted:
			parts = append(parts, fmt.Sprint("late ", e.Lateness))
		case observe.RunEnded, observe.RunReaped:
			parts = append(parts, e.State.Name, fmt.Sprint(e.Duration))
			if !e.DueTime.IsZero() {
				parts = append(parts, fmt.Sprint("due ", e.DueTime.Sub(began)))
			}
		case observe.RunsClaimed:
			parts = append(parts, fmt.Sprintf("%d, %d in flight, %d free", e.Count, e.InFlight, e.Free))
		case observe.InstantsSkipped:
			parts = append(parts, string(e.Reason), fmt.Sprint(e.Count), fmt.Sprint(e.First.Sub(began)), fmt.Sprint(e.Last.Sub(began)))
		case observe.RunnerDraining:
			parts = append(parts, fmt.Sprintf("%d in flight", e.InFlight))
		}
		if e.Err != nil {
			parts = append(parts, e.Err.Error())
		}
		lines = append(lines, strings.Join(parts, ", "))
	}
	return lines
}

// The runner that claims reports the runs that its claim skips for lack of a slot.
func TestObserverSeesWhatTheLimitSkips(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var seen eventRecorder
		d := job("f", func(ctx context.Context) error {
			select {
			case <-ctx.Done():
			case <-time.After(150 * time.Second):
			}
			return nil
		}, provost.Every(time.Minute))
		d.Overlap = provost.OverlapCancelNew
		began := time.Now()
		stop := start(t, &provost.Runner{Observer: &seen}, d)
		time.Sleep(4*time.Minute + 30*time.Second)
		var skipped []string
		for _, line := range seen.lines(began) {
			if strings.Contains(line, string(observe.InstantsSkipped)) {
				skipped = append(skipped, line)
			}
		}
		want := []string{"2m0s, instants_skipped, f/d, attempt 0, overlap, 1, 2m0s, 2m0s", "3m0s, instants_skipped, f/d, attempt 0, overlap, 1, 3m0s, 3m0s"}
		if !slices.Equal(skipped, want) {
			t.Errorf("observed skips %q, want %q", skipped, want)
		}
		clean(t, stop)
	})
}

func TestObserverSeesWhatHappens(t *testing.T) {
	bubble(t, func(t *testing.T) {
		began := time.Now()
		var seen eventRecorder
		store := provost.NewMemoryStore()
		client := provost.NewClient(store)
		part := provost.NewJob("part", func(context.Context) error { time.Sleep(time.Second); return nil })
		calls := 0
		whole := provost.NewJob("whole", func(ctx context.Context) error {
			if calls++; calls == 1 {
				time.Sleep(2 * time.Second)
				return errors.New("not yet")
			}
			_, err := part.Run(ctx, provost.None{})
			return err
		})
		whole.Retries, whole.RetryDelay = 1, 10*time.Second
		long := provost.NewJob("long", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		hourly := provost.NewJob("hourly", nothing)
		stop := start(t, &provost.Runner{Store: store, Name: "r", Limit: 5, Observer: &seen, ShutdownTimeout: 5 * time.Second},
			&provost.Deployment{Flow: whole, Name: "d"}, &provost.Deployment{Flow: long, Name: "d"},
			&provost.Deployment{Flow: hourly, Name: "d", Schedules: []provost.Schedule{provost.Every(time.Hour)}})
		time.Sleep(time.Second)
		run := request(t, client, "whole/d", nil)
		wait(t, client, run.ID)
		time.Sleep(time.Minute)
		if err := client.PauseDeployment(t.Context(), "hourly/d"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Hour)
		if err := client.ResumeDeployment(t.Context(), "hourly/d"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		request(t, client, "long/d", nil)
		time.Sleep(time.Second)
		clean(t, stop)

		want := []string{
			"0s, runner_started",
			"1s, runs_claimed, 1, 1 in flight, 4 free",
			"1s, run_started, whole/d, attempt 1, late 0s",
			"3s, run_ended, whole/d, attempt 1, AwaitingRetry, 2s, due 13s",
			"12.5s, runs_claimed, 1, 1 in flight, 4 free",
			"13s, run_started, whole/d, attempt 2, late 0s",
			"13s, run_started, part/, attempt 1, late 0s",
			"14s, run_ended, part/, attempt 1, Completed, 1s",
			"14s, run_ended, whole/d, attempt 2, Completed, 1s",
			"1h0m0s, instants_skipped, hourly/d, attempt 0, paused, 1, 1h0m0s, 1h0m0s",
			"2h0m0s, instants_skipped, hourly/d, attempt 0, paused, 1, 2h0m0s, 2h0m0s",
			"3h0m0s, instants_skipped, hourly/d, attempt 0, paused, 1, 3h0m0s, 3h0m0s",
			"3h2m14s, runs_claimed, 1, 1 in flight, 4 free",
			"3h2m14s, run_started, long/d, attempt 1, late 0s",
			"3h2m15s, runner_draining, 1 in flight",
			"3h2m20s, run_ended, long/d, attempt 1, Scheduled, 6s",
			"3h2m20s, runner_stopped",
		}
		if got := seen.lines(began); !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		for _, e := range seen.ofKind(observe.RunStarted, observe.RunEnded) {
			if e.Runner != "r" || e.RunID == uuid.Nil || e.ScheduledTime.IsZero() || (e.Flow == "part") != (e.ParentID == run.ID) {
				t.Errorf("wrong event %+v", e)
			}
		}
	})
}

func TestObserverSeesLostLeasesAndStoreFailures(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var seenByA, seenByB eventRecorder
		shared := provost.NewMemoryStore()
		cut := &remote{Store: shared}
		client := provost.NewClient(shared)
		d := job("f", func(ctx context.Context) error {
			info, _ := provost.RunFromContext(ctx)
			if info.Attempt == 1 {
				<-ctx.Done()
				time.Sleep(30 * time.Second) // notices it late
			}
			return nil
		})
		a := &provost.Runner{Store: cut, Name: "a", Observer: &seenByA}
		stopA := start(t, a, d)
		request(t, client, "f/d", nil)
		time.Sleep(2 * time.Second)
		stopB := start(t, &provost.Runner{Store: &remote{Store: shared}, Name: "b", Observer: &seenByB}, d)
		cut.fail(errors.New("away"))
		time.Sleep(45 * time.Second)
		cut.fail(nil)
		time.Sleep(45 * time.Second)
		if n := a.Health().LeasesLost; n != 1 {
			t.Errorf("%d leases lost, want 1", n)
		}
		clean(t, stopA)
		clean(t, stopB)
		lost, ended := seenByA.ofKind(observe.LeaseLost), seenByA.ofKind(observe.RunEnded)
		if len(lost) != 1 || lost[0].Attempt != 1 || lost[0].Deployment != "d" {
			t.Errorf("lost leases %+v, want one of attempt 1", lost)
		}
		if len(ended) != 1 || ended[0].State.Type != "" || ended[0].Attempt != 1 {
			t.Errorf("ended at a: %+v, want attempt 1 without a state", ended)
		}
		reaped, ended := seenByB.ofKind(observe.RunReaped), seenByB.ofKind(observe.RunEnded)
		if len(reaped) != 1 || reaped[0].RunID != lost[0].RunID || reaped[0].State.Name != store.NameAwaitingRetry || reaped[0].Lost != "a" {
			t.Errorf("reaped %+v, want the run that a lost", reaped)
		}
		if len(ended) != 1 || ended[0].State.Type != provost.StateCompleted || ended[0].Attempt != 2 {
			t.Errorf("ended at b: %+v, want attempt 2 completed", ended)
		}
		for _, operation := range []string{"plan runs", "claim runs", "heartbeat", "renew leases"} {
			var changes []observe.EventKind
			for _, e := range seenByA.ofKind(observe.StoreFailing, observe.StoreWorking) {
				if e.Operation != operation {
					continue
				}
				changes = append(changes, e.Kind)
				if (e.Kind == observe.StoreFailing) != (e.Err != nil) || e.Kind == observe.StoreWorking && e.Duration < 20*time.Second {
					t.Errorf("wrong event %+v", e)
				}
			}
			if !slices.Equal(changes, []observe.EventKind{observe.StoreFailing, observe.StoreWorking}) {
				t.Errorf("%s: got events %v, want one store_failing and one store_working", operation, changes)
			}
		}
	})
}

func TestObserverThatPanicsIsLoggedOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var logs logBuffer
		var events counter
		store := provost.NewMemoryStore()
		observer := observe.ObserverFunc(func(e observe.Event) {
			events.add(string(e.Kind))
			panic("no metrics today")
		})
		stop := start(t, &provost.Runner{Store: store, Logger: logs.logger(), Observer: observer}, job("f", nothing))
		for range 10 {
			wantState(t, runNow(t, provost.NewClient(store), "f/d", nil), provost.StateCompleted)
		}
		clean(t, stop)
		if n := len(logs.lines("no metrics today")); n != 1 || events.get("run_ended") != 10 {
			t.Errorf("logged %d times, %d runs ended, want 1 and 10", n, events.get("run_ended"))
		}
	})
}
