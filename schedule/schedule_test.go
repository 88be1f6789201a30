package schedule_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/provost-go/provost/internal/testenv"
	"github.com/provost-go/provost/params"
	"github.com/provost-go/provost/schedule"
)

func at(t testing.TB, text string) time.Time {
	t.Helper()
	parsed, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// local formats instants as the clock of a zone shows them.
func local(loc *time.Location, instants []time.Time) []string {
	var texts []string
	for _, instant := range instants {
		texts = append(texts, instant.In(loc).Format("01-02 15:04 -07:00"))
	}
	return texts
}

func TestDaylightSaving(t *testing.T) {
	tests := []struct {
		name, zone string
		schedule   schedule.Schedule
		after      string
		want       []string
	}{
		{
			"fixed time in a gap is shifted", "America/New_York", schedule.Cron("30 2 * * *"), "2026-03-07T12:00:00Z",
			[]string{"03-08 03:30 -04:00", "03-09 02:30 -04:00"},
		},
		{
			"fixed time in an overlap fires on the first pass", "America/New_York", schedule.Cron("30 1 * * *"), "2026-10-31T12:00:00Z",
			[]string{"11-01 01:30 -04:00", "11-02 01:30 -05:00"},
		},
		{
			"shifted and real times merge", "America/New_York", schedule.Cron("30 2,3 * * *"), "2026-03-08T05:00:00Z",
			[]string{"03-08 03:30 -04:00", "03-09 02:30 -04:00"},
		},
		{
			"hourly runs by real time in an overlap", "America/New_York", schedule.Cron("0 * * * *"), "2026-11-01T04:30:00Z",
			[]string{"11-01 01:00 -04:00", "11-01 01:00 -05:00", "11-01 02:00 -05:00"},
		},
		{
			"hourly runs by real time in a gap", "America/New_York", schedule.Cron("0 * * * *"), "2026-03-08T05:30:00Z",
			[]string{"03-08 01:00 -05:00", "03-08 03:00 -04:00", "03-08 04:00 -04:00"},
		},
		{
			"every second hour skips the missing one", "America/New_York", schedule.Cron("0 */2 * * *"), "2026-03-08T04:30:00Z",
			[]string{"03-08 00:00 -05:00", "03-08 04:00 -04:00", "03-08 06:00 -04:00"},
		},
		{
			"gap", "Europe/Berlin", schedule.Cron("30 2 * * *"), "2026-03-28T12:00:00Z",
			[]string{"03-29 03:30 +02:00", "03-30 02:30 +02:00"},
		},
		{
			"half an hour's gap", "Australia/Lord_Howe", schedule.Cron("15 2 * * *"), "2026-10-03T00:00:00Z",
			[]string{"10-04 02:45 +11:00", "10-05 02:15 +11:00"},
		},
		{
			"noon after half an hour's overlap", "Australia/Lord_Howe", schedule.Cron("0 12 * * *"), "2026-04-04T02:00:00Z",
			[]string{"04-05 12:00 +10:30", "04-06 12:00 +10:30"},
		},
		{
			"midnight in a gap", "Africa/Cairo", schedule.Cron("@daily"), "2026-04-23T12:00:00Z",
			[]string{"04-24 01:00 +03:00", "04-25 00:00 +03:00"},
		},
		{
			"midnight in a gap", "America/Santiago", schedule.Cron("@daily"), "2026-09-05T12:00:00Z",
			[]string{"09-06 01:00 -03:00", "09-07 00:00 -03:00"},
		},
		{
			"midnight twice", "America/Havana", schedule.Cron("@daily"), "2026-10-31T12:00:00Z",
			[]string{"11-01 00:00 -04:00", "11-02 00:00 -05:00"},
		},
		{
			"a date that does not exist merges into the next", "Pacific/Apia", schedule.Cron("0 9 * * *"), "2011-12-29T12:00:00Z",
			[]string{"12-29 09:00 -10:00", "12-31 09:00 +14:00", "01-01 09:00 +14:00"},
		},
		{
			"a weekday that does not exist is shifted", "Pacific/Apia", schedule.Cron("0 9 * * FRI"), "2011-12-24T12:00:00Z",
			[]string{"12-31 09:00 +14:00", "01-06 09:00 +14:00"},
		},
		{
			"daily interval keeps its time of day", "America/New_York", schedule.Every(24 * time.Hour).Anchor(at(t, "2026-01-05T14:00:00Z")),
			"2026-03-07T00:00:00Z",
			[]string{"03-07 09:00 -05:00", "03-08 09:00 -04:00", "03-09 09:00 -04:00"},
		},
		{
			"daily interval in a gap", "America/New_York", schedule.Every(24 * time.Hour).Anchor(at(t, "2026-01-05T07:30:00Z")),
			"2026-03-07T12:00:00Z",
			[]string{"03-08 03:30 -04:00", "03-09 02:30 -04:00"},
		},
		{
			"36 hours is a day and twelve hours", "Europe/Berlin", schedule.Every(36 * time.Hour).Anchor(at(t, "2026-03-27T23:00:00Z")),
			"2026-03-27T22:59:00Z",
			[]string{"03-28 00:00 +01:00", "03-29 13:00 +02:00", "03-31 00:00 +02:00"},
		},
		{
			"12 hours is elapsed time", "Europe/Berlin", schedule.Every(12 * time.Hour), "2026-03-28T12:00:00Z",
			[]string{"03-29 00:00 +01:00", "03-29 13:00 +02:00", "03-30 01:00 +02:00"},
		},
	}
	for _, test := range tests {
		t.Run(test.zone+"/"+test.name, func(t *testing.T) {
			sched := test.schedule.In(test.zone)
			got := local(zone(t, test.zone), sched.Upcoming(at(t, test.after), len(test.want)))
			if !slices.Equal(got, test.want) {
				t.Errorf("%s\n got %q\nwant %q", sched, got, test.want)
			}
		})
	}
}

func TestCronFields(t *testing.T) {
	tests := []struct {
		schedule schedule.Schedule
		want     []string // dates and times after 2026-01-01T00:00:00Z
	}{
		{schedule.Cron("@weekly"), []string{"2026-01-04T00:00", "2026-01-11T00:00"}},
		{schedule.Cron("@yearly"), []string{"2027-01-01T00:00"}},
		{schedule.Cron("0 0 * * 7"), []string{"2026-01-04T00:00"}},
		{schedule.Cron("0 22-2/2 1 1 *"), []string{"2026-01-01T02:00", "2026-01-01T22:00", "2027-01-01T00:00"}},
		{schedule.Cron("0 9 * jan SAT-mon"), []string{"2026-01-03T09:00", "2026-01-04T09:00", "2026-01-05T09:00", "2026-01-10T09:00"}},
		{schedule.Cron("5/20 0 * * ?"), []string{"2026-01-01T00:05", "2026-01-01T00:25", "2026-01-01T00:45", "2026-01-02T00:05"}},
		{schedule.Cron("0 0 L * *"), []string{"2026-01-31T00:00", "2026-02-28T00:00", "2026-03-31T00:00"}},
		{schedule.Cron("0 0 1W * *"), []string{"2026-02-02T00:00", "2026-03-02T00:00", "2026-04-01T00:00"}},
		{schedule.Cron("0 0 31W * *"), []string{"2026-01-30T00:00", "2026-03-31T00:00", "2026-05-29T00:00"}},
		{schedule.Cron("0 0 * * 5L"), []string{"2026-01-30T00:00", "2026-02-27T00:00"}},
		{schedule.Cron("0 0 * * L5"), []string{"2026-01-30T00:00", "2026-02-27T00:00"}},
		{schedule.Cron("0 0 * * fri#2"), []string{"2026-01-09T00:00", "2026-02-13T00:00"}},
		{schedule.Cron("0 0 * * 4#5"), []string{"2026-01-29T00:00", "2026-04-30T00:00"}},
		{schedule.Cron("0 0 1,L * *"), []string{"2026-01-31T00:00", "2026-02-01T00:00"}},
		{schedule.Cron("0 0 13 * 5"), []string{"2026-01-02T00:00", "2026-01-09T00:00", "2026-01-13T00:00"}},
		{schedule.Cron("0 0 13 * 5").DayAnd(), []string{"2026-02-13T00:00", "2026-03-13T00:00", "2026-11-13T00:00"}},
		{schedule.Cron("0 0 */2 * 1"), []string{"2026-01-05T00:00", "2026-01-19T00:00"}},
		{schedule.Cron("0 0 29 2 *"), []string{"2028-02-29T00:00", "2032-02-29T00:00"}},
		{schedule.Cron("0 0 29 2 1").DayAnd(), []string{"2044-02-29T00:00", "2072-02-29T00:00"}},
	}
	for _, test := range tests {
		var got []string
		for _, instant := range test.schedule.Upcoming(at(t, "2026-01-01T00:00:00Z"), len(test.want)) {
			got = append(got, instant.Format("2006-01-02T15:04"))
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, want %q (%v)", test.schedule.Expr(), got, test.want, test.schedule.Err())
		}
	}
}

func TestScheduleErrors(t *testing.T) {
	tests := []struct {
		schedule schedule.Schedule
		want     string // part of the message
	}{
		{schedule.Schedule{}, "make it with Cron"},
		{schedule.Cron(""), "is empty"},
		{schedule.Cron("* * * *"), "has 4 fields: write five"},
		{schedule.Cron("0 * * * * *"), "has 6 fields: write five"},
		{schedule.Cron("TZ=UTC * * * * *"), "set the schedule's time zone"},
		{schedule.Cron("CRON_TZ=Europe/Berlin"), "set the schedule's time zone"},
		{schedule.Cron("@every 1h"), "use an interval schedule"},
		{schedule.Cron("@reboot"), "names no time"},
		{schedule.Cron("@dayly"), "use @hourly"},
		{schedule.Cron(", * * * *"), "write * for every one"},
		{schedule.Cron("1, * * * *"), "empty item"},
		{schedule.Cron("60 * * * *"), "minutes go from 0 to 59"},
		{schedule.Cron("* * 0 * *"), "days of the month go from 1 to 31"},
		{schedule.Cron("* * * * 8"), "days of the week go from 0"},
		{schedule.Cron("*-5 * * * *"), "mixes * with other text"},
		{schedule.Cron("+5 * * * *"), "is not a number"},
		{schedule.Cron("-5 * * * *"), "a number is missing"},
		{schedule.Cron("1-2-3 * * * *"), "is not a number"},
		{schedule.Cron("*/0 * * * *"), "is not a positive number"},
		{schedule.Cron("*/60 * * * *"), "a step up to 59"},
		{schedule.Cron("*/5/5 * * * *"), "is not a positive number"},
		{schedule.Cron("* * * * L"), "write 5L"},
		{schedule.Cron("* * * * 5#6"), "write 5#2 for the second Friday"},
		{schedule.Cron("* * 5L * *"), "days of the month go from 1 to 31"},
		{schedule.Cron("* * 32W * *"), "nearest to the 15th"},
		{schedule.Cron("0 0 31 2 *"), "never fires"},
		{schedule.Cron("0 0 30W 2 *"), "never fires"},
		{schedule.Cron("0 0 8 * 1#1").DayAnd(), "never fires"},
		{schedule.Cron(strings.Repeat("1,", 2000) + "1 * * * *"), "at most 512"},
		{schedule.Cron("@daily").In("Local"), "means another zone on another machine"},
		{schedule.Cron("@daily").In("Europe/Berln"), "did you mean Europe/Berlin"},
		{schedule.Cron("@daily").In("new york"), "did you mean America/New_York?"},
		{schedule.Cron("@daily").In("../etc/passwd"), "is unknown"},
		{schedule.Cron("@daily").In("right/UTC"), "write \"UTC\""},
		{schedule.Every(-time.Hour), "the shortest is 1ms"},
		{schedule.Every(time.Microsecond), "the shortest is 1ms"},
		{schedule.Every(time.Second + 1), "whole microseconds"},
		{schedule.Every(time.Hour).DayAnd(), "for Cron only"},
		{schedule.Cron("@daily").Anchor(time.Unix(0, 0)), "for Every only"},
		{schedule.At(time.Unix(1<<60, 0)), "years 1 to 9999"},
		{schedule.Every(time.Hour).Anchor(time.Unix(1<<60, 0)), "years 1 to 9999"},
		{schedule.Cron("@daily").From(time.Unix(-1<<60, 0)), "years 1 to 9999"},
		{schedule.Cron("@daily").Until(time.Unix(1<<60, 0)), "years 1 to 9999"},
		{schedule.Cron("@daily").From(time.Unix(10, 0)).Until(time.Unix(5, 0)), "swap them"},
		{schedule.Cron("@daily").Jitter(-1), "negative"},
		{schedule.Cron("@daily").CatchUpWindow(-1), "negative"},
		{schedule.Cron("@daily").CatchUp("some"), "use CatchUpLatest, CatchUpAll or CatchUpNone"},
		{schedule.Cron("@daily").Named("a/b"), "use lower-case letters"},
		{schedule.Cron("@daily").Except("25.12.2026"), "write it as 2026-12-25"},
		{schedule.Cron("@daily").ExceptOn(schedule.Schedule{}), "ExceptOn: empty"},
		{schedule.Cron("@daily").ExceptOn(schedule.Cron("@daily").ExceptOn(schedule.Cron("@daily"))), "calendars of its own"},
	}
	for _, test := range tests {
		err := test.schedule.Err()
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got %v, want an error with %q", err, test.want)
		}
		if next, ok := test.schedule.Next(time.Unix(0, 0)); ok || !next.IsZero() {
			t.Errorf("%v: Next returns %v", err, next)
		}
		if prev, ok := test.schedule.Prev(time.Unix(0, 0)); ok || !prev.IsZero() {
			t.Errorf("%v: Prev returns %v", err, prev)
		}
	}
	both := schedule.Cron("61 * * * *").In("Nowhere").Err().Error()
	if !strings.Contains(both, "61") || !strings.Contains(both, "Nowhere") || strings.Count(both, "schedule: ") != 1 {
		t.Errorf("got %q, want both mistakes under one prefix", both)
	}
}

func TestBoundsAndExceptions(t *testing.T) {
	daily := schedule.Cron("0 9 * * *").In("America/New_York")
	mondays := schedule.Cron("0 0 * * 1")
	tests := []struct {
		name     string
		schedule schedule.Schedule
		want     []string // from 2026-12-24 on
	}{
		{
			"from and until include their ends", daily.From(at(t, "2026-12-25T14:00:00Z")).Until(at(t, "2026-12-26T14:00:00Z")),
			[]string{"12-25 09:00 -05:00", "12-26 09:00 -05:00"},
		},
		{
			"except dates of the zone", daily.Except("2026-12-25").Except("2026-12-26").Until(at(t, "2026-12-28T00:00:00Z")),
			[]string{"12-24 09:00 -05:00", "12-27 09:00 -05:00"},
		},
		{
			"the dates of a calendar count, not its moments", daily.ExceptOn(mondays).Until(at(t, "2026-12-30T00:00:00Z")),
			[]string{"12-24 09:00 -05:00", "12-25 09:00 -05:00", "12-26 09:00 -05:00", "12-27 09:00 -05:00", "12-29 09:00 -05:00"},
		},
		{
			"also if In comes last", schedule.Cron("0 9 * * *").ExceptOn(mondays).In("America/New_York").Until(at(t, "2026-12-29T00:00:00Z")),
			[]string{"12-24 09:00 -05:00", "12-25 09:00 -05:00", "12-26 09:00 -05:00", "12-27 09:00 -05:00"},
		},
		{
			"a calendar keeps the zone it names", daily.ExceptOn(schedule.Cron("0 20 * * 1").In("Asia/Tokyo")).Until(at(t, "2026-12-29T00:00:00Z")),
			[]string{"12-24 09:00 -05:00", "12-25 09:00 -05:00", "12-26 09:00 -05:00", "12-27 09:00 -05:00"},
		},
		{"nothing is left", daily.ExceptOn(schedule.Cron("@daily")), nil},
		{"at", schedule.At(at(t, "2026-12-25T00:00:00.1234567-05:00")), []string{"12-25 00:00 -05:00"}},
	}
	loc := zone(t, "America/New_York")
	start := at(t, "2026-12-24T00:00:00Z")
	for _, test := range tests {
		forward := test.schedule.Upcoming(start, 10)
		if got := local(loc, forward); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
		var backward []time.Time
		for i, ok := test.schedule.Prev(at(t, "2027-01-30T00:00:00Z")); ok && i.After(start); i, ok = test.schedule.Prev(i) {
			backward = append(backward, i)
		}
		slices.Reverse(backward)
		if len(backward) > 10 {
			backward = backward[:10]
		}
		if !slices.Equal(forward, backward) {
			t.Errorf("%s: Next returns %v, Prev %v", test.name, forward, backward)
		}
	}
}

func TestIntervalIsAFunctionOfAnchorAndTick(t *testing.T) {
	for _, name := range []string{"UTC", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Cairo"} {
		for _, d := range []time.Duration{7 * time.Minute, 5 * time.Hour, 24 * time.Hour, 25 * time.Hour, 36 * time.Hour, 7 * 24 * time.Hour} {
			sched := schedule.Every(d).In(name)
			from := at(t, "2011-12-01T00:00:00Z")
			to := from.Add(400 * 24 * time.Hour)
			if d < time.Hour {
				to = from.Add(40 * 24 * time.Hour)
			}
			all := sched.Between(from, to)
			for start := from; start.Before(to); start = start.Add(37*time.Hour + 11*time.Minute) {
				i, _ := slices.BinarySearchFunc(all, start, func(a, b time.Time) int {
					if a.After(b) {
						return 1
					}
					return -1
				})
				if i == len(all) {
					break
				}
				if next, ok := sched.Next(start); !ok || !next.Equal(all[i]) {
					t.Fatalf("%s: Next(%v) is %v; the walk from %v finds %v", sched, start, next, from, all[i])
				}
			}
			for i := 1; i < len(all); i++ {
				if prev, ok := sched.Prev(all[i]); !ok || !prev.Equal(all[i-1]) {
					t.Fatalf("%s: Prev(%v) is %v, want %v", sched, all[i], prev, all[i-1])
				}
			}
		}
	}
}

func TestBetweenTilesTime(t *testing.T) {
	sched := schedule.Cron("*/20 * * * *")
	noon := at(t, "2026-01-01T12:00:00Z")
	morning := sched.Between(noon.Add(-time.Hour), noon)
	afternoon := sched.Between(noon, noon.Add(time.Hour))
	if len(morning) != 3 || len(afternoon) != 3 || !morning[2].Equal(noon) {
		t.Errorf("got %v and %v, want three instants each, the first three ending at noon", morning, afternoon)
	}
	if n := len(schedule.Every(time.Millisecond).Between(noon, noon.Add(time.Hour))); n != 1_000_000 {
		t.Errorf("got %d instants, want the bound of a million", n)
	}
	if got := sched.Upcoming(noon, -1); got != nil {
		t.Errorf("Upcoming(-1) = %v, want none", got)
	}
}

func TestNextAtTheEdges(t *testing.T) {
	for _, sched := range []schedule.Schedule{
		schedule.Cron("* * * * *").In("America/New_York"),
		schedule.Cron("0 0 29 2 *").In("Asia/Tokyo"),
		schedule.Every(time.Millisecond), schedule.Every(1<<63 - 1 - 854775807), schedule.Every(25 * time.Hour).In("Pacific/Apia"),
	} {
		for _, extreme := range []time.Time{{}, time.Unix(-1<<62, 0), time.Unix(1<<62, 0), at(t, "9999-12-31T23:59:59Z")} {
			if next, ok := sched.Next(extreme); ok && !next.After(extreme) {
				t.Errorf("%s: Next(%v) = %v", sched, extreme, next)
			}
			if prev, ok := sched.Prev(extreme); ok && !prev.Before(extreme) {
				t.Errorf("%s: Prev(%v) = %v", sched, extreme, prev)
			}
		}
	}
	half := at(t, "2026-01-01T00:00:00.0000005Z")
	if prev, _ := schedule.Cron("@daily").Prev(half); !prev.Equal(half.Truncate(time.Second)) {
		t.Errorf("Prev(%v) = %v, want the midnight just before", half, prev)
	}
}

func TestScheduleKey(t *testing.T) {
	base := schedule.Cron("0 2 * * 1-5").In("Europe/Berlin")
	same := []schedule.Schedule{
		schedule.Cron(" 0  2 * * mon-FRI ").In("Europe/Berlin"), base.Jitter(time.Minute), base.CatchUp(schedule.CatchUpAll),
		base.CatchUpWindow(time.Hour), base.Paused(), base.WithParameters(params.Params{"a": 1}),
	}
	for _, sched := range same {
		if sched.Key() != base.Key() {
			t.Errorf("%s has the key %s, want that of %s, %s", sched, sched.Key(), base, base.Key())
		}
	}
	seen := map[string]schedule.Schedule{base.Key(): base}
	for _, sched := range []schedule.Schedule{
		base.In("Europe/Paris"), base.In(""), base.DayAnd(), base.From(time.Unix(0, 0)), base.Until(time.Unix(0, 0)), base.Except("2026-12-25"),
		base.ExceptOn(schedule.Cron("@monthly")), schedule.Every(time.Hour), schedule.Every(time.Hour).Anchor(time.Unix(0, 0)),
		schedule.At(time.Unix(0, 0)), schedule.RRule("FREQ=DAILY"), base.Named("nightly"),
	} {
		if other, ok := seen[sched.Key()]; ok {
			t.Errorf("%s and %s have the same key", sched, other)
		}
		seen[sched.Key()] = sched
	}
	if schedule.Cron("@daily").Key() != schedule.Cron("0 0 * * *").In("UTC").Key() {
		t.Error("@daily and 0 0 * * * in UTC have different keys")
	}
	if base.ExceptOn(schedule.Cron("@monthly")).Key() != base.ExceptOn(schedule.Cron("0 0 1 * *").In("UTC").Paused()).Key() {
		t.Error("one calendar written in two ways has two keys")
	}
}

func TestTheZeroScheduleIsHarmless(t *testing.T) {
	for _, s := range []schedule.Schedule{{}, schedule.Schedule{}.In("Europe/Berlin").Paused(), schedule.Schedule{}.ExceptOn(schedule.Schedule{})} {
		s = s.DayAnd().Anchor(time.Time{}).From(time.Time{}).Jitter(time.Second).CatchUp(schedule.CatchUpAll)
		for _, zero := range []schedule.Schedule{{}, s} {
			next, more := zero.Next(time.Time{})
			prev, less := zero.Prev(time.Time{})
			if more || less || !next.IsZero() || !prev.IsZero() || zero.Err() == nil || zero.Expr() != "" {
				t.Errorf("%s: Next returns %v, Prev %v, Err %v, Expr %q", zero, next, prev, zero.Err(), zero.Expr())
			}
			if _, err := json.Marshal(zero); err == nil {
				t.Errorf("%s was written", zero)
			}
			zero.Key()
			if zero.Upcoming(time.Time{}, 5) != nil || zero.Between(time.Time{}, time.Unix(0, 0)) != nil {
				t.Errorf("%s has instants", zero)
			}
		}
	}
}

func TestScheduleIsImmutable(t *testing.T) {
	params := params.Params{"region": "eu"}
	base := schedule.Cron("0 2 * * *").Except("2026-12-25").WithParameters(params)
	before := fmt.Sprint(base) + base.Key()
	params["region"] = "us"
	base.Except("2026-12-26")
	base.ExceptOn(schedule.Cron("@monthly"))
	base.In("Europe/Berlin").Jitter(time.Minute).Paused()
	if after := fmt.Sprint(base) + base.Key(); after != before {
		t.Errorf("the schedule changed from %s to %s", before, after)
	}
	written, _ := json.Marshal(base)
	if !strings.Contains(string(written), `"eu"`) {
		t.Errorf("the parameters changed with the caller's: %s", written)
	}
}

func TestScheduleString(t *testing.T) {
	for want, sched := range map[string]schedule.Schedule{
		"every weekday at 02:00, Europe/Berlin":                                schedule.Cron("0 2 * * mon-fri").In("Europe/Berlin"),
		"every day at 00:00, UTC":                                              schedule.Cron("@daily"),
		"every day at 09:00 and 17:00, UTC":                                    schedule.Cron("0 9,17 * * *"),
		"every minute, UTC":                                                    schedule.Cron("* * * * *"),
		"every 15 minutes from 08:00 to 18:45, UTC":                            schedule.Cron("*/15 8-18 * * *"),
		"every 6 hours, UTC":                                                   schedule.Cron("0 */6 * * *"),
		"at 09:00 on the 1st and the 15th of every month, UTC":                 schedule.Cron("0 9 1,15 * *"),
		"at 09:00 on the last day of March and June, UTC":                      schedule.Cron("0 9 L 3,6 *"),
		"at 09:00 on the 13th of every month and on every Friday, UTC":         schedule.Cron("0 9 13 * FRI"),
		"at 09:00 on the 13th of every month if it is a Friday, UTC":           schedule.Cron("0 9 13 * FRI").DayAnd(),
		"at 09:00 on the second Friday of every month, UTC":                    schedule.Cron("0 9 * * 5#2"),
		"at 09:00 on the 2nd to the 30th of every month, UTC":                  schedule.Cron("0 9 2-30 * *"),
		"every 90 minutes":                                                     schedule.Every(90 * time.Minute),
		"every 1.5s":                                                           schedule.Every(1500 * time.Millisecond),
		"every day at 09:00, America/New_York":                                 schedule.Every(24 * time.Hour).Anchor(at(t, "2026-01-05T14:00:00Z")).In("America/New_York"),
		"once at 2026-01-05 14:00:00 UTC":                                      schedule.At(at(t, "2026-01-05T14:00:00Z")),
		"every hour, UTC, except on 2026-12-25, delayed by up to 1m0s, paused": schedule.Cron("@hourly").Except("2026-12-25").Jitter(time.Minute).Paused(),
	} {
		if got := sched.String(); got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
	if got := schedule.Cron("61 * * * *").String(); !strings.HasPrefix(got, "no schedule (field 1") {
		t.Errorf("got %q", got)
	}
}

func TestNoScheduleIsSlow(t *testing.T) {
	noon := at(t, "2026-01-01T12:00:00Z")
	dates := schedule.Cron("* * * * *").In("America/New_York")
	for day := noon; len(dates.String()) > 0 && day.Before(noon.AddDate(0, 3, 0)); day = day.AddDate(0, 0, 1) {
		dates = dates.Except(day.Format(time.DateOnly))
	}
	for name, sched := range map[string]schedule.Schedule{
		"calendar of every day":    schedule.Every(time.Millisecond).In("America/New_York").ExceptOn(schedule.Cron("* * * * *")),
		"calendar of every Sunday": schedule.Cron("0 0 * * 0").In("America/Havana").ExceptOn(schedule.Cron("0 0 * * 0")),
		"calendar with dates":      schedule.Cron("*/5 * * * *").In("America/New_York").ExceptOn(dates),
		"calendars in vain":        withCalendars(schedule.Cron("0 0 * * 0").In("Europe/Berlin"), 44, schedule.Cron("0 0 * * 1")).ExceptOn(schedule.Cron("0 0 * * 0")),
		"calendars in zones":       withCalendars(schedule.Cron("0 2 * * 0").In("America/Havana"), 18, schedule.Cron("0 0 * * 1").In("America/St_Johns")).ExceptOn(schedule.Cron("0 0 * * 0")),
		"intervals in zones":       withCalendars(schedule.Every(24*time.Hour).In("America/Havana"), 18, schedule.Every(48*time.Hour).In("America/St_Johns")).ExceptOn(schedule.Cron("0 0 * * *")),
		"rare calendars":           withCalendars(schedule.Cron("0 0 * * 1").In("Europe/Berlin"), 24, schedule.Cron("0 0 29 2 2").DayAnd()).ExceptOn(schedule.Cron("0 0 * * 1")),
		"rare calendars and dates": withCalendars(schedule.Cron("0 0 29 2 1").DayAnd(), 24, schedule.Cron("0 0 29 2 2").DayAnd().In("Asia/Tokyo")).ExceptOn(schedule.Cron("0 0 29 2 *")),
		"calendars to an end":      withCalendars(schedule.Cron("* * * * *"), 24, schedule.Cron("0 0 29 2 2").DayAnd().Until(noon)).ExceptOn(schedule.Cron("* * * * *")),
		"calendar of leap days":    schedule.Cron("0 0 29 2 1").DayAnd().In("Europe/Berlin").ExceptOn(schedule.Cron("0 0 29 2 *")),
	} {
		best := time.Hour // of several searches, because the machine may be busy
		for range 5 {
			start := testenv.CPU()
			sched.Next(noon)
			sched.Prev(noon)
			best = min(best, (testenv.CPU()-start)/2)
		}
		if best > 50*time.Millisecond { // the aim is 10 ms; the race detector is slower
			t.Errorf("%s: a search took %v", name, best)
		}
		t.Logf("%s: %v", name, best)
	}
}

// withCalendars adds one calendar n times. A search reads each of them by itself.
func withCalendars(sched schedule.Schedule, n int, calendar schedule.Schedule) schedule.Schedule {
	for range n {
		sched = sched.ExceptOn(calendar)
	}
	return sched
}

func TestNextAllocatesNothing(t *testing.T) {
	noon := at(t, "2026-01-01T12:00:00Z")
	for _, sched := range []schedule.Schedule{
		schedule.Cron("0 2 * * 1-5").In("Europe/Berlin").Except("2026-01-02").ExceptOn(schedule.Cron("0 0 1 1 *")),
		schedule.Every(36 * time.Hour).In("Europe/Berlin"),
	} {
		if n := testing.AllocsPerRun(100, func() { sched.Next(noon); sched.Prev(noon) }); n != 0 {
			t.Errorf("%s: %v allocations", sched, n)
		}
	}
}

func FuzzCron(f *testing.F) {
	for _, expr := range []string{"* * * * *", "0 2 * * mon-fri", "*/7 22-2 L,15W * 5L", "5/20 0 13 2-4 7", "0 0 29 2 1#5", ",, * * * *", "TZ= * * * * *", "@daily"} {
		f.Add(expr, "America/New_York", int64(1_772_000_000), false)
		f.Add(expr, "Pacific/Apia", int64(1_325_000_000), true)
	}
	f.Fuzz(func(t *testing.T, expr, zone string, sec int64, and bool) {
		sched := schedule.Cron(expr).In(zone)
		if and {
			sched = sched.DayAnd()
		}
		_ = sched.String()
		if sched.Err() != nil {
			return
		}
		canonical := schedule.Cron(sched.Expr()).In(zone)
		if canonical.Expr() != sched.Expr() || !and && canonical.Key() != sched.Key() {
			t.Fatalf("%q becomes %q and then %q", expr, sched.Expr(), canonical.Expr())
		}
		checkWalk(t, sched, time.Unix(sec%(1<<36), 0))
	})
}

// checkWalk checks what is true of every schedule: Next advances and misses nothing, and Prev
// reverses it.
func checkWalk(t *testing.T, sched schedule.Schedule, start time.Time) {
	t.Helper()
	for from := start; ; {
		next, ok := sched.Next(from)
		if !ok {
			return
		}
		if !next.After(from) {
			t.Fatalf("%s: Next(%v) = %v", sched, from, next)
		}
		if again, _ := sched.Next(from.Add(next.Sub(from) / 2)); !again.Equal(next) {
			t.Fatalf("%s: Next(%v) = %v, but half-way there it is %v", sched, from, next, again)
		}
		if prev, ok := sched.Prev(next); ok && !prev.Equal(from) && prev.After(from) {
			t.Fatalf("%s: Next(%v) = %v, but Prev of that is %v", sched, from, next, prev)
		}
		if prev, ok := sched.Prev(next.Add(time.Microsecond)); !ok || !prev.Equal(next) {
			t.Fatalf("%s: Prev just after %v is %v", sched, next, prev)
		}
		if from = next; from.Sub(start) > 4*24*time.Hour {
			return
		}
	}
}

func BenchmarkScheduleNext(b *testing.B) {
	start := at(b, "2026-03-01T12:00:00Z")
	for name, sched := range map[string]schedule.Schedule{
		"cron":       schedule.Cron("0 2 * * mon-fri").In("Europe/Berlin"),
		"cronUTC":    schedule.Cron("0 2 * * mon-fri"),
		"minutely":   schedule.Cron("* * * * *").In("Europe/Berlin"),
		"every":      schedule.Every(time.Minute),
		"daily":      schedule.Every(24 * time.Hour).In("Europe/Berlin"),
		"exceptions": schedule.Cron("0 2 * * mon-fri").In("Europe/Berlin").Except("2026-03-02").ExceptOn(schedule.Cron("0 0 25 12 *")),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			from := start
			for b.Loop() {
				next, _ := sched.Next(from)
				if from = next; from.Year() > 2030 {
					from = start
				}
			}
		})
	}
}
