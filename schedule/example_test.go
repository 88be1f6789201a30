package schedule_test

import (
	"encoding/json"
	"fmt"
	"time"
	_ "time/tzdata" // zones, also where the machine has none

	"github.com/provost-go/provost/schedule"
)

var friday = time.Date(2026, 3, 27, 12, 0, 0, 0, time.UTC)

func ExampleCron() {
	s := schedule.Cron("30 9 * * mon-fri")
	fmt.Println(s)
	for _, t := range s.Upcoming(friday, 2) {
		fmt.Println(t)
	}
	// Output:
	// every weekday at 09:30, UTC
	// 2026-03-30 09:30:00 +0000 UTC
	// 2026-03-31 09:30:00 +0000 UTC
}

func ExampleEvery() {
	s := schedule.Every(15 * time.Minute)
	next, _ := s.Next(friday.Add(time.Minute))
	fmt.Println(s)
	fmt.Println(next.Format(time.TimeOnly)) // on the quarter, whenever the program started
	// Output:
	// every 15 minutes
	// 12:15:00
}

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

// The clocks of Berlin go forward from 02:00 to 03:00 on 29 March 2026: the run of 02:30 is not lost, it comes at 03:30.
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

func ExampleSchedule_ExceptOn() {
	holidays := schedule.Cron("0 0 25,26 12 *")
	s := schedule.Cron("0 9 * * mon-fri").In("Europe/Berlin").ExceptOn(holidays).Except("2026-12-24", "2026-12-31")
	for _, t := range s.Upcoming(time.Date(2026, 12, 23, 0, 0, 0, 0, time.UTC), 3) {
		fmt.Println(t.Format(time.DateOnly))
	}
	// Output:
	// 2026-12-23
	// 2026-12-28
	// 2026-12-29
}

func ExampleSchedule_Err() {
	fmt.Println(schedule.Cron("0 0 31 2 *").In("Europ/Berlin").Err())
	// Output:
	// schedule: time zone "Europ/Berlin" is unknown: did you mean Europe/Berlin, Europe/Dublin?
	// cron expression "0 0 31 2 *" never fires: no date matches field 3 (day of month) "31" and field 4 (month) "2": change one of them, or write L in field 3 for the last day of a month
}

func ExampleSchedule_MarshalJSON() {
	s := schedule.Cron("0 2 * * *").In("Europe/Berlin").Jitter(5 * time.Minute).Named("nightly")
	text, _ := json.Marshal(s)
	fmt.Println(string(text))
	// Output:
	// {"cron":"0 2 * * *","timezone":"Europe/Berlin","jitter":"5m0s","slug":"nightly"}
}

func ExampleSchedule_DayAnd() {
	s := schedule.Cron("0 9 13 * FRI").DayAnd()
	next, _ := s.Next(friday)
	fmt.Println(s)
	fmt.Println(next.Format(time.DateOnly))
	// Output:
	// at 09:00 on the 13th of every month if it is a Friday, UTC
	// 2026-11-13
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

// After a downtime each schedule does what it declares with the instants that passed.
func ExampleSchedule_CatchUp() {
	for _, s := range []schedule.Schedule{
		schedule.Cron("0 2 * * *"), // the newest instant that was missed, however old: the default
		schedule.Every(time.Hour).CatchUp(schedule.CatchUpAll).CatchUpWindow(6 * time.Hour),
		schedule.Every(time.Minute).CatchUp(schedule.CatchUpNone),
	} {
		policy, window := s.CatchUpRule()
		fmt.Printf("%s: %q %v\n", s, policy, window)
	}
	// Output:
	// every day at 02:00, UTC: "" 0s
	// every hour: "all" 6h0m0s
	// every minute: "none" 0s
}
