package provost_test

import (
	"fmt"
	"time"

	"github.com/provost-go/provost"
)

// A fixed time fires exactly once each day. On 29 March 2026 the clocks in Berlin skip from 02:00 to 03:00; on 25 October the hour
// from 02:00 to 03:00 comes twice.
func ExampleCron() {
	s := provost.Cron("30 2 * * *").In("Europe/Berlin")
	fmt.Println(s)
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, day := range []string{"2026-03-28T12:00:00Z", "2026-10-24T12:00:00Z"} {
		after, _ := time.Parse(time.RFC3339, day)
		for _, at := range s.Upcoming(after, 2) {
			fmt.Println(at.In(berlin))
		}
	}
	// Output:
	// every day at 02:30, Europe/Berlin
	// 2026-03-29 03:30:00 +0200 CEST
	// 2026-03-30 02:30:00 +0200 CEST
	// 2026-10-25 02:30:00 +0200 CEST
	// 2026-10-26 02:30:00 +0100 CET
}

// Ticks are counted from the anchor, not from the start of the program.
func ExampleEvery() {
	after := time.Date(2026, 5, 4, 10, 20, 0, 0, time.UTC)
	fmt.Println(provost.Every(time.Hour).Next(after))

	quarterPast := time.Date(2026, 1, 1, 0, 15, 0, 0, time.UTC)
	fmt.Println(provost.Every(time.Hour).Anchor(quarterPast).Next(after))
	// Output:
	// 2026-05-04 11:00:00 +0000 UTC true
	// 2026-05-04 11:15:00 +0000 UTC true
}

func ExampleSchedule_Except() {
	s := provost.Cron("0 9 * * mon-fri").In("America/New_York").Except("2026-11-26", "2026-12-25")
	fmt.Println(s)
	after := time.Date(2026, 11, 25, 20, 0, 0, 0, time.UTC) // the day before Thanksgiving
	next, ok := s.Next(after)
	fmt.Println(next, ok)
	// Output:
	// every weekday at 09:00, America/New_York, except on 2026-11-26, 2026-12-25
	// 2026-11-27 14:00:00 +0000 UTC true
}

// What cannot be written as one rule can be two: every weekday, but not on the last Friday of the month.
func ExampleSchedule_ExceptOn() {
	s := provost.Cron("0 6 * * mon-fri").ExceptOn(provost.Cron("0 0 * * 5L"))
	for _, at := range s.Upcoming(time.Date(2026, 1, 28, 12, 0, 0, 0, time.UTC), 2) {
		fmt.Println(at.Format("Mon 2 Jan 15:04"))
	}
	// Output:
	// Thu 29 Jan 06:00
	// Mon 2 Feb 06:00
}

// After a downtime each schedule does what it declares with the instants that passed.
func ExampleSchedule_CatchUp() {
	d := &provost.Deployment{
		Flow: provost.NewFlow("report", makeReport),
		Name: "all",
		Schedules: []provost.Schedule{
			provost.Cron("0 2 * * *"), // the newest one that was missed, however old: the default
			provost.Every(time.Hour).CatchUp(provost.CatchUpAll).CatchUpWindow(6 * time.Hour),
			provost.Every(time.Minute).CatchUp(provost.CatchUpNone),
		},
	}
	fmt.Println(d.Validate())
	// Output: <nil>
}

// A mistake shows when the deployment is validated or served, and says how to mend it.
func ExampleSchedule_Err() {
	fmt.Println(provost.Cron("0 25 * * *").Err())
	// Output: schedule: field 2 (hour) is "25": hours go from 0 to 23
}
