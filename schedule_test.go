package provost_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provost-go/provost"
)

// TestRRuleRuns serves for a month a deployment with three schedules: a rule, a rule with jitter
// and a rule with exceptions.
func TestRRuleRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // begins at 2000-01-01 00:00 UTC
		const from = "DTSTART:20000101T090000\n"
		schedules := map[string]provost.Schedule{
			"weekly": provost.RRule(from + "RRULE:FREQ=WEEKLY;BYDAY=MO,FR").In("Europe/Berlin"),
			"jitter": provost.RRule(from + "RRULE:FREQ=DAILY;COUNT=10").Jitter(time.Hour),
			"except": provost.RRule(from + "RRULE:FREQ=DAILY;INTERVAL=2").Except("2000-01-03").ExceptOn(provost.RRule("DTSTART:20000102\nRRULE:FREQ=WEEKLY")),
		}
		d := job("rule", nothing)
		for name, schedule := range schedules {
			d.Schedules = append(d.Schedules, schedule.Named(name))
		}
		store := provost.NewMemoryStore()
		began := time.Now()
		stop := start(t, &provost.Runner{Store: store}, d)
		time.Sleep(30*24*time.Hour + time.Minute)
		got := map[string][]time.Time{}
		for _, run := range list(t, provost.NewClient(store), provost.RunFilter{States: []provost.StateType{provost.StateCompleted}}) {
			got[run.Schedule] = append(got[run.Schedule], run.ScheduledTime)
			delay := run.StartTime.Sub(run.ScheduledTime)
			if limit := map[string]time.Duration{"jitter": time.Hour}[run.Schedule]; delay < 0 || delay > limit {
				t.Errorf("%s: the run of %v started %v late, want at most %v", run.Schedule, run.ScheduledTime, delay, limit)
			}
		}
		for name, schedule := range schedules {
			slices.SortFunc(got[name], time.Time.Compare)
			if want := schedule.Between(began, time.Now()); !slices.EqualFunc(got[name], want, time.Time.Equal) || len(want) < 8 {
				t.Errorf("%s: got runs of %v, want %v", name, got[name], want)
			}
		}
		clean(t, stop)
	})
}

func TestKindsOfSchedules(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := provost.NewMemoryStore()
		store.Keep = -1
		began := time.Now()
		var mu sync.Mutex
		times := make(map[string][]time.Duration)
		late := make(map[string]time.Duration)
		d := job("f", func(ctx context.Context) error {
			info, _ := provost.RunFromContext(ctx)
			mu.Lock()
			defer mu.Unlock()
			times[info.Schedule] = append(times[info.Schedule], info.ScheduledTime.Sub(began))
			late[info.Schedule] = max(late[info.Schedule], time.Since(info.ScheduledTime))
			if time.Now().Before(info.ScheduledTime) {
				t.Errorf("%s: a run began early", info.Schedule)
			}
			return nil
		},
			provost.Every(time.Millisecond).Named("ms"),
			provost.Every(time.Second).Named("s"),
			provost.Every(2*time.Second).Jitter(1500*time.Millisecond).Named("jitter"),
			provost.At(began.Add(5*time.Second)).Named("at"),
			provost.At(began.Add(-5*time.Second)).Named("past"),
		)
		stop := start(t, &provost.Runner{Store: store, Limit: -1}, d)
		time.Sleep(10*time.Second + 100*time.Microsecond)
		clean(t, stop)
		for key, want := range map[string]int{"ms": 10_000, "s": 10, "at": 1, "past": 0} {
			if got := len(times[key]); got != want || late[key] != 0 {
				t.Errorf("%s: %d runs, late by %v; want %d", key, got, late[key], want)
			}
		}
		if n := len(times["jitter"]); n < 4 || n > 5 || late["jitter"] == 0 || late["jitter"] > 1500*time.Millisecond {
			t.Errorf("jitter: %d runs, late by up to %v", n, late["jitter"])
		}
	})
}
