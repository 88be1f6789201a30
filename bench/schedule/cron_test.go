package schedule_test

import (
	"testing"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/provost-go/provost/schedule"
)

var expressions = []string{
	"* * * * *",
	"*/15 * * * *",
	"0 3 * * *",
	"0 9 * * 1-5",
	"0 0 1 * *",
	"0 0 31 12 *",
	"0 0 29 2 *",
	"59 23 31 12 1",
}

// BenchmarkCron measures the search for the next instant.
func BenchmarkCron(b *testing.B) {
	for _, zone := range []string{"UTC", "Europe/Berlin"} {
		location, err := time.LoadLocation(zone)
		if err != nil {
			b.Fatal(err)
		}
		for _, expr := range expressions {
			ours := schedule.Cron(expr).In(zone)
			if err := ours.Err(); err != nil {
				b.Fatal(err)
			}
			theirs, err := cron.ParseStandard(expr)
			if err != nil {
				b.Fatal(err)
			}
			local := now.In(location)
			if next, ok := ours.Next(now); !ok || !next.Equal(theirs.Next(local)) {
				b.Fatalf("%s in %s: provost returns %s, robfig/cron %s", expr, zone, next, theirs.Next(local).UTC())
			}
			b.Run(name(expr, zone, "provost"), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					ours.Next(now)
				}
			})
			b.Run(name(expr, zone, "robfig"), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					theirs.Next(local)
				}
			})
		}
	}
}
