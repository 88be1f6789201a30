package schedule_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/provost-go/provost/params"
	"github.com/provost-go/provost/schedule"
)

func TestIsPaused(t *testing.T) {
	if schedule.Cron("@daily").IsPaused() || (schedule.Schedule{}).IsPaused() {
		t.Error("a schedule is paused that nobody paused")
	}
	if !schedule.Cron("@daily").Paused().IsPaused() || !(schedule.Schedule{}).Paused().IsPaused() {
		t.Error("Paused is lost")
	}
}

func TestParameters(t *testing.T) {
	if (schedule.Schedule{}).Parameters() != nil || schedule.Cron("@daily").GivenParameters() != nil {
		t.Error("a schedule has parameters that nobody gave")
	}
	sched := schedule.Cron("@daily").WithParameters(params.Params{"old": 1}).WithParameters(params.Params{
		"token": params.NewSecret("x"), "wait": time.Minute,
	})
	given := sched.GivenParameters()
	if _, ok := given["token"].(params.Secret[string]); !ok || given["wait"] != time.Minute || len(given) != 2 {
		t.Errorf("the given parameters are %#v", given)
	}
	if got := sched.Parameters()["wait"]; got != "1m0s" {
		t.Errorf("a minute is stored as %v", got)
	}
	faulty := schedule.Cron("@daily").WithParameters(params.Params{"f": func() {}})
	if faulty.Parameters() != nil || faulty.GivenParameters() == nil || faulty.Err() == nil {
		t.Errorf("a function was accepted: %v", faulty.Parameters())
	}
}

// Timing removes every setting and no refinement of the instants.
func TestTiming(t *testing.T) {
	noon := at(t, "2026-01-01T12:00:00Z")
	bounded := schedule.Cron("@hourly").In("UTC").From(noon).Until(noon.Add(48 * time.Hour)).Except("2026-01-02").
		ExceptOn(schedule.Cron("@monthly").Paused())
	sched := bounded.Named("x").Paused().Jitter(time.Minute).CatchUp(schedule.CatchUpAll).CatchUpWindow(time.Hour).
		WithParameters(params.Params{"a": 1})
	timing := sched.Timing()
	text, err := json.Marshal(timing)
	const want = `{"cron":"0 * * * *","from":"2026-01-01T12:00:00Z","until":"2026-01-03T12:00:00Z","except":["2026-01-02"],"except_on":[{"cron":"0 0 1 * *"}]}`
	if err != nil || string(text) != want {
		t.Errorf("got  %s, %v\nwant %s", text, err, want)
	}
	if !timing.Timing().Equal(timing) || !timing.Equal(bounded.Timing()) || timing.Equal(sched) {
		t.Error("a timing is not its own timing, or that of the same schedule without settings")
	}
	next, ok := timing.Next(noon)
	if want, _ := sched.Next(noon); !ok || !next.Equal(want) {
		t.Errorf("the timing has another instant: %v, want %v", next, want)
	}
	if (schedule.Schedule{}).Timing() != (schedule.Schedule{}) || schedule.Cron("bad").Timing().Err() == nil {
		t.Error("the timing of a schedule that is not valid is valid")
	}
}
