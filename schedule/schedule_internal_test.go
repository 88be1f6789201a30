package schedule

import (
	"encoding/json"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/google/uuid"

	"github.com/provost-go/provost/params"
)

func TestDueTime(t *testing.T) {
	deployment := uuid.MustParse("6c1f7c53-5d9c-4f5e-9d0a-0b6a1b8f3d11")
	for _, sched := range []Schedule{
		Cron("0 * * * *").Jitter(10 * time.Minute),
		Every(time.Second).Jitter(time.Hour), // capped by the next instant
		At(time.Unix(1_800_000_000, 0)).Jitter(time.Minute),
	} {
		var early, late int
		for _, instant := range sched.Upcoming(time.Unix(1_790_000_000, 0), 1000) {
			due := sched.DueTime(deployment, sched.Key(), instant)
			next, more := sched.Next(instant)
			room := sched.definition.jitter
			if more {
				room = min(room, next.Sub(instant)-time.Microsecond)
			}
			if delay := due.Sub(instant); delay < 0 || delay > room {
				t.Fatalf("%s: %v is due at %v", sched, instant, due)
			} else if delay < room/2 {
				early++
			} else {
				late++
			}
			if again := sched.DueTime(deployment, sched.Key(), instant); !again.Equal(due) {
				t.Fatalf("%s: %v is due at %v and at %v", sched, instant, due, again)
			}
		}
		if early+late == 1000 && (early < 400 || late < 400) {
			t.Errorf("%s: %d delays are in the first half and %d in the second", sched, early, late)
		}
	}
	sched := Every(time.Hour).Jitter(time.Hour)
	instant, _ := sched.Next(time.Unix(0, 0))
	first := sched.DueTime(deployment, "a", instant)
	if second := sched.DueTime(deployment, "b", instant); second.Equal(first) {
		t.Error("two keys have the same delay")
	}
	if third := sched.DueTime(uuid.UUID{}, "a", instant); third.Equal(first) {
		t.Error("two deployments have the same delay")
	}
	if due := Every(time.Hour).DueTime(deployment, "a", instant); !due.Equal(instant) {
		t.Errorf("without jitter %v is due at %v", instant, due)
	}
}

func TestZeroScheduleSettings(t *testing.T) {
	instant := time.Unix(1_800_000_000, 0)
	if due := (Schedule{}).DueTime(uuid.UUID{}, "", instant); !due.Equal(instant) {
		t.Errorf("%v is due at %v", instant, due)
	}
	if policy, window := (Schedule{}).CatchUpRule(); policy != CatchUpLatest || window != 0 {
		t.Errorf("catch-up is %q, %v; want latest without a window", policy, window)
	}
}

// Where the clock of a zone is set back across midnight, a date begins twice. An exception drops
// exactly its date.
func TestExceptionsFollowTheDate(t *testing.T) {
	from, until := time.Date(2003, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2012, 3, 1, 0, 0, 0, 0, time.UTC)
	for _, zone := range []string{"UTC", "America/St_Johns", "America/Havana", "Pacific/Apia", "Africa/Cairo", "Australia/Lord_Howe"} {
		calendar := Cron("17,59 0,23 * * 1,6").In(zone)
		dates := make(map[int64]bool)
		for at := range calendar.From(from.AddDate(0, 0, -9)).Until(until.AddDate(0, 0, 9)).All(time.Time{}) {
			dates[localDay(at, calendar.location())] = true
		}
		for _, own := range []string{zone, "America/New_York"} {
			plain := Every(3 * time.Hour).In(own).From(from).Until(until)
			excepted := plain.ExceptOn(calendar)
			var want []time.Time
			for at := range plain.All(time.Time{}) {
				if !dates[localDay(at, plain.location())] {
					want = append(want, at)
				}
			}
			if got := excepted.Between(time.Time{}, until); !slices.Equal(got, want) {
				t.Errorf("%s: got %d instants, want %d", excepted, len(got), len(want))
			}
			at, ok := excepted.Prev(until.AddDate(1, 0, 0))
			for i := len(want) - 1; i >= 0; i-- {
				if !ok || !at.Equal(want[i]) {
					t.Fatalf("%s: Prev returns %v, want %v", excepted, at, want[i])
				}
				at, ok = excepted.Prev(at)
			}
		}
	}
}

// A zone that crosses the date line skips a date or has one twice.
func TestExceptionsFollowTheDateAcrossTheDateLine(t *testing.T) {
	for _, test := range []struct{ zone, date string }{
		{"Pacific/Apia", "2011-12-30"}, {"Pacific/Kwajalein", "1993-08-21"}, {"Pacific/Kwajalein", "1969-09-30"}, {"America/Juneau", "1867-10-18"},
	} {
		day, err := time.Parse(time.DateOnly, test.date)
		if err != nil {
			t.Fatal(err)
		}
		plain := Every(time.Hour).In(test.zone).From(day.AddDate(0, 0, -4)).Until(day.AddDate(0, 0, 4))
		for days := -3; days <= 3; days++ {
			date := day.AddDate(0, 0, days)
			for _, clock := range []string{"30 0", "0 12", "59 23"} {
				calendar := Cron(clock + date.Format(" 2 1 *")).In(test.zone)
				dates := make(map[int64]bool)
				for _, at := range calendar.Between(day.AddDate(0, 0, -9), day.AddDate(0, 0, 9)) {
					dates[localDay(at, calendar.location())] = true
				}
				excepted := plain.ExceptOn(calendar)
				var forward, backward []string
				for _, at := range plain.Between(day.AddDate(0, 0, -9), day.AddDate(0, 0, 9)) {
					if !dates[localDay(at, plain.location())] {
						forward = append(forward, at.String())
					}
				}
				for at, ok := excepted.Prev(day.AddDate(0, 0, 9)); ok; at, ok = excepted.Prev(at) {
					backward = append(backward, at.String())
				}
				slices.Reverse(backward)
				if !slices.Equal(backward, forward) {
					t.Errorf("%s: Prev returns %d instants, want %d", excepted, len(backward), len(forward))
				}
				var next []string
				for _, at := range excepted.Between(day.AddDate(0, 0, -9), day.AddDate(0, 0, 9)) {
					next = append(next, at.String())
				}
				if !slices.Equal(next, forward) {
					t.Errorf("%s: Next returns %d instants, want %d", excepted, len(next), len(forward))
				}
			}
		}
	}
}

func TestScheduleDefaults(t *testing.T) {
	for _, sched := range []Schedule{Cron("@daily"), Cron("@daily").CatchUp(""), Cron("@daily").CatchUp(CatchUpLatest)} {
		if policy, window := sched.CatchUpRule(); policy != CatchUpLatest || window != 0 {
			t.Errorf("catch-up is %q, %v; want latest without a window", policy, window)
		}
		if sched.definition != nil && (sched.definition.paused || sched.definition.slug != "" || sched.Parameters() != nil) {
			t.Errorf("%s is paused, named or has parameters", sched)
		}
	}
	sched := Cron("@daily").CatchUp(CatchUpAll).CatchUpWindow(time.Hour).Named("x").Paused().WithParameters(params.Params{"a": 1})
	policy, window := sched.CatchUpRule()
	if policy != CatchUpAll || window != time.Hour || !sched.definition.paused || sched.definition.slug != "x" || sched.Parameters()["a"] != json.Number("1") {
		t.Errorf("%s lost a refinement", sched)
	}
}

// A hundred thousand deployments have a hundred thousand schedules.
func TestScheduleIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(definition{}); size > 300 {
		t.Errorf("a schedule takes %d bytes", size)
	}
	if Cron("@daily").In("Europe/Berlin").definition.timing != Cron("@daily").In("Europe/Berlin").definition.timing {
		t.Error("two schedules of one expression and zone are parsed twice")
	}
}
