package schedule_test

import (
	"encoding/json"
	"fmt"
	"time"
	_ "time/tzdata" // the zones, for machines that have none

	"github.com/google/uuid"

	"github.com/provost-go/provost/params"
	"github.com/provost-go/provost/schedule"
)

var friday = time.Date(2026, 3, 27, 12, 0, 0, 0, time.UTC)

func Example() {
	s := schedule.Cron("30 2 * * mon-fri").In("Europe/Berlin").Except("2026-12-25")
	if err := s.Err(); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s)
	for _, t := range s.Upcoming(time.Date(2026, 12, 23, 12, 0, 0, 0, time.UTC), 2) {
		fmt.Println(t.Format(time.RFC3339))
	}
	// Output:
	// every weekday at 02:30, Europe/Berlin, except on 2026-12-25
	// 2026-12-24T01:30:00Z
	// 2026-12-28T01:30:00Z
}

func ExampleCron() {
	for _, s := range []schedule.Schedule{
		schedule.Cron("30 9 * * mon-fri"),
		schedule.Cron("*/15 8-18 * * *"),
		schedule.Cron("0 9 L * *"),
		schedule.Cron("0 9 15W * *"),
		schedule.Cron("0 9 * * 5#2"),
		schedule.Cron("@monthly"),
	} {
		next, _ := s.Next(friday)
		fmt.Println(next.Format("02 Jan 15:04"), "-", s)
	}
	// Output:
	// 30 Mar 09:30 - every weekday at 09:30, UTC
	// 27 Mar 12:15 - every 15 minutes from 08:00 to 18:45, UTC
	// 31 Mar 09:00 - at 09:00 on the last day of every month, UTC
	// 15 Apr 09:00 - at 09:00 on the weekday nearest to the 15th of every month, UTC
	// 10 Apr 09:00 - at 09:00 on the second Friday of every month, UTC
	// 01 Apr 00:00 - at 00:00 on the 1st of every month, UTC
}

// Ticks are aligned to the clock, no matter when the program started.
func ExampleEvery() {
	s := schedule.Every(15 * time.Minute)
	next, _ := s.Next(friday.Add(time.Minute))
	fmt.Println(s)
	fmt.Println(next.Format(time.TimeOnly))
	// Output:
	// every 15 minutes
	// 12:15:00
}

// A day is a calendar day: the tick stays at 09:00 when the clocks of Berlin change on 29 March.
func ExampleEvery_days() {
	berlin, _ := time.LoadLocation("Europe/Berlin")
	s := schedule.Every(24 * time.Hour).Anchor(time.Date(2026, 1, 5, 9, 0, 0, 0, berlin)).In("Europe/Berlin")
	for _, t := range s.Upcoming(friday, 3) {
		fmt.Println(t.In(berlin))
	}
	// Output:
	// 2026-03-28 09:00:00 +0100 CET
	// 2026-03-29 09:00:00 +0200 CEST
	// 2026-03-30 09:00:00 +0200 CEST
}

// The last working day of each month.
func ExampleRRule() {
	s := schedule.RRule("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1;BYHOUR=18").In("Europe/Berlin")
	fmt.Println(s)
	for _, t := range s.Upcoming(friday, 3) {
		fmt.Println(t.Format(time.RFC3339))
	}
	// Output:
	// every month on weekdays at 18:00 (only the last of these), Europe/Berlin
	// 2026-03-31T16:00:00Z
	// 2026-04-30T16:00:00Z
	// 2026-05-29T16:00:00Z
}

// The lines of a calendar, with the zone in DTSTART.
func ExampleRRule_lines() {
	s := schedule.RRule(`DTSTART;TZID=America/New_York:20260105T090000
RRULE:FREQ=WEEKLY;COUNT=4
EXDATE;TZID=America/New_York:20260119T090000
RDATE;TZID=America/New_York:20260120T090000`)
	for t := range s.All(time.Time{}) {
		fmt.Println(t.Format(time.RFC3339))
	}
	// Output:
	// 2026-01-05T14:00:00Z
	// 2026-01-12T14:00:00Z
	// 2026-01-20T14:00:00Z
	// 2026-01-26T14:00:00Z
}

func ExampleAt() {
	s := schedule.At(time.Date(2026, 4, 1, 8, 0, 0, 0, time.UTC))
	next, ok := s.Next(friday)
	fmt.Println(next, ok)
	_, ok = s.Next(next)
	fmt.Println(ok)
	// Output:
	// 2026-04-01 08:00:00 +0000 UTC true
	// false
}

// The clocks of Berlin jump from 02:00 to 03:00 on 29 March 2026. The run of 02:30 is not lost: it
// starts at 03:30.
func ExampleSchedule_In() {
	berlin, _ := time.LoadLocation("Europe/Berlin")
	s := schedule.Cron("30 2 * * *").In("Europe/Berlin")
	for _, t := range s.Upcoming(friday, 3) {
		fmt.Println(t.In(berlin))
	}
	// Output:
	// 2026-03-28 02:30:00 +0100 CET
	// 2026-03-29 03:30:00 +0200 CEST
	// 2026-03-30 02:30:00 +0200 CEST
}

// New York sets its clocks back from 02:00 to 01:00 on 1 November 2026. A fixed time fires once, a
// wildcard on both passes.
func ExampleSchedule_In_overlap() {
	newYork, _ := time.LoadLocation("America/New_York")
	from, to := time.Date(2026, 11, 1, 1, 0, 0, 0, newYork), time.Date(2026, 11, 1, 3, 0, 0, 0, newYork)
	for _, expr := range []string{"30 1 * * *", "30 * * * *"} {
		fmt.Println(expr)
		for _, t := range schedule.Cron(expr).In("America/New_York").Between(from, to) {
			fmt.Println(t.In(newYork).Format("  15:04 MST"))
		}
	}
	// Output:
	// 30 1 * * *
	//   01:30 EDT
	// 30 * * * *
	//   01:30 EDT
	//   01:30 EST
	//   02:30 EST
}

func ExampleSchedule_Anchor() {
	s := schedule.Every(2 * time.Hour)
	fmt.Println(s.Upcoming(friday, 1)[0].Format(time.TimeOnly))
	s = s.Anchor(time.Date(2026, 1, 1, 1, 10, 0, 0, time.UTC))
	fmt.Println(s.Upcoming(friday, 1)[0].Format(time.TimeOnly))
	// Output:
	// 14:00:00
	// 13:10:00
}

// Friday the 13th. Without DayAnd the schedule would fire on every Friday and on every 13th.
func ExampleSchedule_DayAnd() {
	s := schedule.Cron("0 9 13 * FRI").DayAnd()
	next, _ := s.Next(friday)
	fmt.Println(s)
	fmt.Println(next.Format(time.DateOnly))
	// Output:
	// at 09:00 on the 13th of every month if it is a Friday, UTC
	// 2026-11-13
}

// Both bounds are inclusive.
func ExampleSchedule_Until() {
	s := schedule.Every(time.Hour).From(friday).Until(friday.Add(2 * time.Hour))
	fmt.Println(s)
	fmt.Println(len(s.Upcoming(time.Time{}, 10)))
	// Output:
	// every hour, from 2026-03-27 12:00, until 2026-03-27 14:00
	// 3
}

func ExampleSchedule_Except() {
	s := schedule.Cron("0 9 * * mon-fri").In("America/New_York").Except("2026-11-26", "2026-12-25")
	fmt.Println(s)
	after := time.Date(2026, 11, 25, 20, 0, 0, 0, time.UTC) // the day before Thanksgiving
	next, ok := s.Next(after)
	fmt.Println(next, ok)
	// Output:
	// every weekday at 09:00, America/New_York, except on 2026-11-26, 2026-12-25
	// 2026-11-27 14:00:00 +0000 UTC true
}

// A holiday is a schedule too. Only its dates count, not its times.
func ExampleSchedule_ExceptOn() {
	christmas := schedule.Cron("0 0 25,26 12 *")
	thanksgiving := schedule.Cron("0 0 * 11 4#4")
	s := schedule.Cron("0 9 * * mon-fri").In("America/New_York").ExceptOn(christmas).ExceptOn(thanksgiving)
	for _, t := range []time.Time{
		time.Date(2026, 11, 25, 20, 0, 0, 0, time.UTC),
		time.Date(2026, 12, 24, 20, 0, 0, 0, time.UTC),
	} {
		next, _ := s.Next(t)
		fmt.Println(next.Format(time.DateOnly))
	}
	// Output:
	// 2026-11-27
	// 2026-12-28
}

// A Schedule never moves its instants: DueTime adds a delay that every process computes alike.
func ExampleSchedule_Jitter() {
	s := schedule.Cron("0 2 * * *").Jitter(10 * time.Minute)
	deployment := uuid.MustParse("6c1f7c53-5d9c-4f5e-9d0a-0b6a1b8f3d11")
	for _, t := range s.Upcoming(friday, 3) {
		fmt.Println(t.Format(time.DateTime), "is due at", s.DueTime(deployment, s.Key(), t).Format(time.TimeOnly))
	}
	// Output:
	// 2026-03-28 02:00:00 is due at 02:04:46
	// 2026-03-29 02:00:00 is due at 02:03:01
	// 2026-03-30 02:00:00 is due at 02:02:58
}

func ExampleSchedule_Next() {
	s := schedule.Cron("0 9 * * mon-fri")
	next, ok := s.Next(friday)
	fmt.Println(next, ok)
	prev, ok := s.Prev(friday)
	fmt.Println(prev, ok)
	_, ok = s.Until(friday).Next(friday)
	fmt.Println(ok)
	// Output:
	// 2026-03-30 09:00:00 +0000 UTC true
	// 2026-03-27 09:00:00 +0000 UTC true
	// false
}

func ExampleSchedule_Prev() {
	s := schedule.RRule("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29")
	for t, ok := s.Prev(friday); ok; t, ok = s.Prev(t) {
		fmt.Println(t.Format(time.DateOnly)) // back to the rule's beginning in 2020
	}
	// Output:
	// 2024-02-29
	// 2020-02-29
}

func ExampleSchedule_Upcoming() {
	for _, t := range schedule.Cron("0 0 L * *").Upcoming(friday, 3) {
		fmt.Println(t.Format(time.DateOnly))
	}
	// Output:
	// 2026-03-31
	// 2026-04-30
	// 2026-05-31
}

// The beginning of the range is excluded and its end included, so that adjoining ranges share no
// instant.
func ExampleSchedule_Between() {
	s := schedule.Every(20 * time.Minute)
	for _, t := range s.Between(friday, friday.Add(time.Hour)) {
		fmt.Println(t.Format(time.TimeOnly))
	}
	// Output:
	// 12:20:00
	// 12:40:00
	// 13:00:00
}

func ExampleSchedule_All() {
	for t := range schedule.Cron("0 0 13 * fri").DayAnd().All(friday) {
		if t.Year() > 2027 {
			break
		}
		fmt.Println(t.Format(time.DateOnly))
	}
	// Output:
	// 2026-11-13
	// 2027-08-13
}

func ExampleSchedule_Has() {
	s := schedule.Cron("0 12 * * fri")
	fmt.Println(s.Has(friday), s.Has(friday.Add(time.Second)))
	// Output: true false
}

// A month of seconds is counted by division.
func ExampleSchedule_CountUntil() {
	s := schedule.Every(time.Second)
	last, count := s.CountUntil(friday, friday.AddDate(0, 1, 0).Add(time.Second/2))
	fmt.Println(last, count)
	// Output: 2026-04-27 12:00:00 +0000 UTC 2678401
}

// Every mistake is reported, with what to write instead.
func ExampleSchedule_Err() {
	fmt.Println(schedule.Cron("60 2 * * *").In("Europ/Berlin").Err())
	// Output:
	// schedule: time zone "Europ/Berlin" is unknown: did you mean Europe/Berlin, Europe/Dublin?
	// field 1 (minute) is "60": minutes go from 0 to 59
}

func ExampleSchedule_String() {
	fmt.Println(schedule.Cron("*/10 9-17 * jun-aug mon-fri").In("Europe/Berlin"))
	fmt.Println(schedule.RRule("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,TH;BYHOUR=9"))
	fmt.Println(schedule.Every(90 * time.Minute).Jitter(time.Minute).Paused())
	// Output:
	// every 10 minutes from 09:00 to 17:50 on weekdays from June to August, Europe/Berlin
	// every 2 weeks on Monday and Thursday at 09:00, UTC
	// every 90 minutes, delayed by up to 1m0s, paused
}

// A key stays the same as long as the timing does, however it is written. A name fixes it for good.
func ExampleSchedule_Key() {
	fmt.Println(schedule.Cron("@daily").Key())
	fmt.Println(schedule.Cron("0 0 * * *").In("UTC").Jitter(time.Minute).Key())
	fmt.Println(schedule.Cron("0 1 * * *").Key())
	fmt.Println(schedule.Cron("0 1 * * *").Named("nightly").Key())
	// Output:
	// 345071e4ab9a
	// 345071e4ab9a
	// 97eb094b9cb1
	// nightly
}

func ExampleSchedule_Timing() {
	s := schedule.Cron("@daily").In("UTC").Named("nightly").Jitter(time.Minute).Paused()
	text, _ := json.Marshal(s.Timing())
	fmt.Println(string(text))
	// Output: {"cron":"0 0 * * *"}
}

// A schedule goes through JSON without loss.
func ExampleSchedule_MarshalJSON() {
	s := schedule.Cron("0 2 * * *").In("Europe/Berlin").Jitter(5 * time.Minute).Named("nightly")
	text, _ := json.Marshal(s)
	fmt.Println(string(text))

	var read schedule.Schedule
	err := json.Unmarshal(text, &read)
	fmt.Println(read.Equal(s), err)
	// Output:
	// {"cron":"0 2 * * *","timezone":"Europe/Berlin","jitter":"5m0s","slug":"nightly"}
	// true <nil>
}

func ExampleSchedule_UnmarshalJSON() {
	var s schedule.Schedule
	err := json.Unmarshal([]byte(`{"interval": 3600, "anchor_date": "2026-01-05T09:30:00-05:00"}`), &s)
	fmt.Println(s, err)
	err = json.Unmarshal([]byte(`{"interval": 3600, "cron": "@hourly"}`), &s)
	fmt.Println(err)
	// Output:
	// every hour <nil>
	// schedule: two kinds or more: cron, interval: give only one of them
}

func ExampleSchedule_WithParameters() {
	s := schedule.Cron("@daily").WithParameters(params.Params{"region": "eu", "days": 7, "max": 90 * time.Second})
	p := s.Parameters()
	fmt.Printf("%v %v (%T) %v\n", p["region"], p["days"], p["days"], p["max"])
	fmt.Printf("%T\n", s.GivenParameters()["max"])
	// Output:
	// eu 7 (json.Number) 1m30s
	// time.Duration
}
