package schedule_test

import (
	"fmt"
	"time"

	"github.com/provost-go/provost/schedule"
)

// missed returns the instants that passed between down and up and that the schedule wants to run
// after all. Package provost does this when a runner starts.
func missed(s schedule.Schedule, down, up time.Time) []time.Time {
	instants := s.Between(down, up)
	if len(instants) == 0 {
		return nil
	}
	oldest, most := time.Duration(1<<63-1), 1
	policy, window := s.CatchUpRule()
	switch policy {
	case schedule.CatchUpLatest:
	case schedule.CatchUpAll:
		oldest, most = 24*time.Hour, 100
	case schedule.CatchUpNone:
		oldest, window = time.Minute, 0
	}
	if window > 0 {
		oldest = window
	}
	instants = instants[max(0, len(instants)-most):]
	for len(instants) > 0 && up.Sub(instants[0]) > oldest {
		instants = instants[1:]
	}
	return instants
}

// A program was down from 01:15 to 04:30. Its schedules declare which of the instants in between
// should still run.
func ExampleSchedule_CatchUp() {
	down := time.Date(2026, 3, 27, 1, 15, 0, 0, time.UTC)
	up := time.Date(2026, 3, 27, 4, 30, 0, 0, time.UTC)
	hourly := schedule.Every(time.Hour)
	for _, s := range []schedule.Schedule{
		hourly, // CatchUpLatest is the default
		hourly.CatchUpWindow(10 * time.Minute),
		hourly.CatchUp(schedule.CatchUpAll),
		hourly.CatchUp(schedule.CatchUpAll).CatchUpWindow(2 * time.Hour),
		hourly.CatchUp(schedule.CatchUpNone),
	} {
		policy, window := s.CatchUpRule()
		fmt.Printf("%q, window %v:", policy, window)
		for _, t := range missed(s, down, up) {
			fmt.Print(t.Format(" 15:04"))
		}
		fmt.Println()
	}
	// Output:
	// "", window 0s: 04:00
	// "", window 10m0s:
	// "all", window 0s: 02:00 03:00 04:00
	// "all", window 2h0m0s: 03:00 04:00
	// "none", window 0s:
}
