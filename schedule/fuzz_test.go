package schedule_test

import (
	"encoding/json"
	"flag"
	"slices"
	"testing"
	"time"

	"github.com/provost-go/provost/internal/testenv"
	"github.com/provost-go/provost/schedule"
)

// FuzzSchedule checks what is true of every schedule: each instant follows the previous one and is
// found from every start in between, Prev reverses Next, JSON loses nothing, and no schedule of up
// to a kibibyte is slow.
func FuzzSchedule(f *testing.F) {
	for _, text := range scheduleSeeds {
		f.Add([]byte(text), int64(1_772_000_000))
		f.Add([]byte(text), int64(1_325_200_000))
	}
	f.Fuzz(func(t *testing.T, data []byte, sec int64) {
		var sched schedule.Schedule
		var err error
		within(t, data, "to read", func() { err = json.Unmarshal(data, &sched) })
		if err != nil {
			return
		}
		checkJSON(t, data, sched)
		from := time.Unix(sec%(1<<37), 0)
		var forward []time.Time
		for at := from; len(forward) < 6; {
			var next time.Time
			var ok bool
			within(t, data, "to find the next of "+at.String(), func() { next, ok = sched.Next(at) })
			if !ok {
				break
			}
			if !next.After(at) {
				t.Fatalf("%s: Next(%v) = %v", data, at, next)
			}
			forward = append(forward, next)
			checkNeighbours(t, data, sched, at, next, len(forward) == 1)
			at = next
		}
		if len(forward) > 0 {
			if all := sched.Between(from, forward[len(forward)-1]); !slices.EqualFunc(all, forward, time.Time.Equal) {
				t.Fatalf("%s: Between returns %v, Next %v", data, all, forward)
			}
		}
		within(t, data, "to find the last before "+from.String(), func() { sched.Prev(from) })
	})
}

// checkNeighbours checks two consecutive instants or, if first is set, a time and the first instant
// after it: nothing is between them in either direction. A search may give up where exceptions drop
// too much; then there is nothing to check.
func checkNeighbours(t *testing.T, data []byte, sched schedule.Schedule, before, next time.Time, first bool) {
	t.Helper()
	if again, ok := sched.Next(before.Add(next.Sub(before) / 2)); !ok || !again.Equal(next) {
		t.Fatalf("%s: Next(%v) = %v, but half-way there it is %v", data, before, next, again)
	}
	if last, ok := sched.Prev(next.Add(time.Microsecond)); !ok || !last.Equal(next) {
		t.Fatalf("%s: Prev just after %v is %v", data, next, last)
	}
	var prev time.Time
	var ok bool
	within(t, data, "to find the last before "+next.String(), func() { prev, ok = sched.Prev(next) })
	if ok && (first && prev.After(before) || !first && !prev.Equal(before)) {
		t.Fatalf("%s: Next(%v) = %v, but Prev of that is %v", data, before, next, prev)
	}
}

func checkJSON(t *testing.T, data []byte, sched schedule.Schedule) {
	t.Helper()
	first, err := json.Marshal(sched)
	if err != nil {
		t.Fatalf("%s is read but not written: %v", data, err)
	}
	var again schedule.Schedule
	if err := json.Unmarshal(first, &again); err != nil {
		t.Fatalf("%s is written but not read: %v", first, err)
	}
	second, _ := json.Marshal(again)
	if string(first) != string(second) || sched.Key() != again.Key() || sched.String() != again.String() {
		t.Fatalf("%s\nbecomes %s", first, second)
	}
}

// within checks that a step takes less than ten milliseconds. It tries several times: a slow step
// is slow each time, a busy machine is not.
func within(t *testing.T, data []byte, what string, step func()) {
	t.Helper()
	limit := 10 * time.Millisecond
	if f := flag.Lookup("test.fuzz"); f != nil && f.Value.String() != "" {
		limit *= 10 // instrumented, on both processors
	}
	best := time.Hour
	for range 30 {
		start := time.Now()
		step()
		if best = min(best, time.Since(start)); best < limit || testenv.Race || len(data) > 1<<10 {
			return
		}
	}
	t.Fatalf("%s takes %v %s", data, best, what)
}

var scheduleSeeds = []string{
	`{"cron":"0 2 * * mon-fri","timezone":"Europe/Berlin","except":["2026-12-25"],"except_on":[{"cron":"@monthly"}]}`,
	`{"cron":"* * * * *","timezone":"America/New_York","except_on":[{"cron":"* * * * *","timezone":"Asia/Tokyo"}]}`,
	`{"cron":"0 0 29 2 1","day_or":false,"timezone":"Pacific/Apia","except_on":[{"cron":"0 0 29 2 *"}]}`,
	`{"interval":0.001,"except_on":[{"interval":86400},{"interval":0.001}]}`,
	`{"interval":129600,"anchor_date":"2026-03-27T23:00:00Z","timezone":"Africa/Cairo","except":["2026-04-24"]}`,
	`{"at":"2026-02-27T09:00:00.5Z","slug":"x","from":"2026-01-01T00:00:00Z"}`,
	`{"rrule":"FREQ=DAILY;BYHOUR=2;BYMINUTE=30","timezone":"America/New_York","until":"2030-01-01T00:00:00Z"}`,
	`{"rrule":"FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1","timezone":"America/St_Johns","except_on":[{"rrule":"FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=31"}]}`,
	`{"rrule":"FREQ=SECONDLY","except_on":[{"rrule":"FREQ=SECONDLY"}]}`,
	`{"rrule":"FREQ=SECONDLY\nEXRULE:FREQ=SECONDLY;BYHOUR=1,2,3","except_on":[{"rrule":"FREQ=SECONDLY;INTERVAL=86399"}]}`,
	`{"rrule":"FREQ=SECONDLY\nEXRULE:FREQ=MINUTELY;BYSECOND=0,1,2,3,4,5,6,7,8,9","except_on":[{"rrule":"FREQ=DAILY\nEXRULE:FREQ=MONTHLY"}]}`,
	`{"rrule":"FREQ=DAILY;BYDAY=MO","except_on":[{"rrule":"FREQ=DAILY;BYDAY=TU"},{"rrule":"FREQ=WEEKLY"},{"rrule":"FREQ=HOURLY;INTERVAL=23;BYDAY=MO"},{"rrule":"FREQ=WEEKLY;BYDAY=MO;BYHOUR=9"}]}`,
	`{"rrule":"FREQ=HOURLY;INTERVAL=5","timezone":"America/Havana","except_on":[{"rrule":"DTSTART:20000101T000000\nRRULE:FREQ=SECONDLY;COUNT=100000;INTERVAL=7919;BYHOUR=3"}]}`,
	`{"rrule":"FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29","except_on":[{"rrule":"FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO,TU,WE,TH,FR,SA"}]}`,
	`{"rrule":"FREQ=YEARLY;INTERVAL=399;BYMONTH=2;BYMONTHDAY=29","except_on":[{"rrule":"FREQ=YEARLY;INTERVAL=399;BYMONTH=2;BYMONTHDAY=29"}]}`,
	`{"rrule":"FREQ=SECONDLY;INTERVAL=7;BYSECOND=30;BYDAY=MO","timezone":"Australia/Lord_Howe","except_on":[{"rrule":"FREQ=MINUTELY;INTERVAL=7;BYDAY=MO"},{"cron":"* * * * 1"},{"interval":60}]}`,
	`{"rrule":"DTSTART;TZID=Africa/Monrovia:18820101T000000\nRRULE:FREQ=DAILY","except_on":[{"rrule":"DTSTART;TZID=Pacific/Apia:20111230T000000\nRRULE:FREQ=DAILY;COUNT=9000"}]}`,
	`{"rrule":"FREQ=SECONDLY\nEXRULE:FREQ=SECONDLY;BYHOUR=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22","except_on":[{"rrule":"FREQ=DAILY"}]}`,
	`{"rrule":"FREQ=DAILY","except_on":[{"rrule":"FREQ=SECONDLY\nEXRULE:FREQ=SECONDLY;BYHOUR=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22"}]}`,
	`{"rrule":"FREQ=MINUTELY\nEXRULE:FREQ=MINUTELY;BYHOUR=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22","except_on":[{"rrule":"FREQ=DAILY"}]}`,
	`{"cron":"* * * * *","except_on":[{"rrule":"FREQ=MINUTELY\nEXRULE:FREQ=MINUTELY;BYHOUR=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22"},{"rrule":"FREQ=MINUTELY\nEXRULE:FREQ=HOURLY;BYHOUR=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22"}]}`,
	`{"rrule":"DTSTART:99990101\nRRULE:FREQ=DAILY\nRDATE:00010101,20260301\nEXDATE:99991231","from":"0001-01-01T00:00:00Z","until":"9999-12-31T23:59:59.999Z"}`,
}
