package schedule_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/teambition/rrule-go"

	"github.com/provost-go/provost/schedule"
)

var rules = []string{
	"FREQ=DAILY;BYHOUR=3",
	"FREQ=WEEKLY;BYDAY=MO,WE,FR",
	"FREQ=MONTHLY;BYDAY=-1FR",
	"FREQ=MINUTELY",
	"FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29",
}

var ages = []struct {
	name  string
	years int
	days  int
}{
	{"1 day", 0, 1},
	{"1 year", 1, 0},
	{"10 years", 10, 0},
}

const zone = "Europe/Berlin" // of every rule

// pair is one rule in both libraries.
type pair struct {
	name   string
	ours   schedule.Schedule
	theirs *rrule.Set
}

func pairs(b *testing.B) []pair {
	b.Helper()
	location, err := time.LoadLocation(zone)
	if err != nil {
		b.Fatal(err)
	}
	var pairs []pair
	for _, rule := range rules {
		for _, age := range ages {
			start := now.In(location).AddDate(-age.years, 0, -age.days)
			text := fmt.Sprintf("DTSTART;TZID=%s:%s\nRRULE:%s", zone, start.Format("20060102T150405"), rule)
			ours := schedule.RRule(text)
			if err := ours.Err(); err != nil {
				b.Fatal(err)
			}
			theirs, err := rrule.StrToRRuleSet(text)
			if err != nil {
				b.Fatal(err)
			}
			if next, ok := ours.Next(now); !ok || !next.Equal(theirs.After(now, false)) {
				b.Fatalf("%s: provost returns %s, rrule-go %s", text, next, theirs.After(now, false).UTC())
			}
			pairs = append(pairs, pair{rule + ", from " + age.name + " ago", ours, theirs})
		}
	}
	return pairs
}

// BenchmarkRRule measures the search for the next instant.
func BenchmarkRRule(b *testing.B) {
	for _, p := range pairs(b) {
		b.Run(name(p.name, "provost"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.ours.Next(now)
			}
		})
		b.Run(name(p.name, "rrule-go"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.theirs.After(now, false)
			}
		})
	}
}

// BenchmarkRRule100 measures the search for the next 100 instants.
func BenchmarkRRule100(b *testing.B) {
	for _, p := range pairs(b) {
		b.Run(name(p.name, "provost"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if n := len(p.ours.Upcoming(now, 100)); n != 100 {
					b.Fatalf("%d instants", n)
				}
			}
		})
		b.Run(name(p.name, "rrule-go"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				next := p.theirs.Iterator()
				for n := 0; n < 100; {
					t, ok := next()
					if !ok {
						break // rrule-go ends a rule 292 years after DTSTART
					}
					if t.After(now) {
						n++
					}
				}
			}
		})
	}
}
