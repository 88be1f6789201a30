package recur

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestExruleDropsLongStretches drops more instants in a row than a search checks one by one.
func TestExruleDropsLongStretches(t *testing.T) {
	for _, test := range []struct{ text, after, want string }{
		{"RRULE:FREQ=MINUTELY\nEXRULE:FREQ=MINUTELY;BYMONTH=7,8", "2026-06-30T23:59:00", "2026-09-01T00:00:00"},
		{"RRULE:FREQ=SECONDLY\nEXRULE:FREQ=SECONDLY;BYDAY=SU", "2026-06-27T23:59:59", "2026-06-29T00:00:00"},
		{"RRULE:FREQ=SECONDLY;INTERVAL=2\nEXRULE:FREQ=SECONDLY;BYHOUR=0,1,2,3,22,23", "2026-06-27T21:59:58", "2026-06-28T04:00:00"},
	} {
		zone := mustZone(t, "Europe/Berlin")
		r, err := NewRRule(test.text, zone)
		if err != nil {
			t.Errorf("%q: %v", test.text, err)
			continue
		}
		after, want := localInstant(t, zone, test.after), localInstant(t, zone, test.want)
		if got, ok := r.Next(after); !ok || !got.Equal(want) {
			t.Errorf("%q: Next(%v) = %v, %v; want %v", test.text, after, got, ok, want)
		}
		if got, ok := r.Prev(want); !ok || !got.Equal(after) {
			t.Errorf("%q: Prev(%v) = %v, %v; want %v", test.text, want, got, ok, after)
		}
	}
}

func localInstant(t *testing.T, zone *Zone, text string) time.Time {
	t.Helper()
	at, err := time.ParseInLocation("2006-01-02T15:04:05", text, zone.loc)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// TestMissing compares the times that are missing from a set with its members.
func TestMissing(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	draw := func(all uint64) uint64 {
		if random.IntN(3) == 0 {
			return all
		}
		if set := random.Uint64() & random.Uint64() & all; set != 0 {
			return set
		}
		return 1
	}
	for range 40 {
		times := dayTimes{hours: uint32(draw(allHours)), minutes: draw(allMinutes), seconds: draw(allMinutes)}
		if random.IntN(4) == 0 {
			times.ofHour = []uint16{0, 1, 2, 1800, 3599}
		}
		for range 200 {
			second := random.IntN(secondsPerDay)
			next, last := second, second
			for next < secondsPerDay && times.has(next) {
				next++
			}
			for last >= 0 && times.has(last) {
				last--
			}
			if got := times.missing(second); got != next {
				t.Fatalf("%+v: missing(%d) = %d, want %d", times, second, got, next)
			}
			if got := times.missingBefore(second); got != last {
				t.Fatalf("%+v: missingBefore(%d) = %d, want %d", times, second, got, last)
			}
		}
	}
}

// TestCivilYears compares years and their shapes with the standard library.
func TestCivilYears(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 20_000 {
		date := time.Date(1+random.IntN(9999), 1, 1+random.IntN(366), 0, 0, 0, 0, time.UTC)
		year := yearOf(date.Unix() / secondsPerDay)
		begin := time.Date(date.Year(), 1, 1, 0, 0, 0, 0, time.UTC)
		if year.begin != floorDiv(begin.Unix(), secondsPerDay) || year.length != int64(begin.AddDate(1, 0, -1).YearDay()) {
			t.Fatalf("year of %v: %+v", date, year)
		}
		_, want := date.ISOWeek()
		if got, _ := year.shape.weekNumber(date.YearDay()-1, 1); got != want {
			t.Fatalf("week of %v is %d, want %d", date, got, want)
		}
	}
}
