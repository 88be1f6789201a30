package recur

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"
	"unsafe"
)

// TestCronWhenClocksChange has examples of the rules for daylight saving. Times are local, with
// their offset.
func TestCronWhenClocksChange(t *testing.T) {
	for _, test := range []struct {
		name, zone, expr, from string
		want                   []string
	}{
		{
			"gap shifts a fixed time forward", "America/New_York", "30 2 * * *", "2026-03-07T12:00:00-05:00",
			[]string{"2026-03-08T03:30:00-04:00", "2026-03-09T02:30:00-04:00"},
		},
		{
			"shifted and named times merge", "America/New_York", "30 2,3 * * *", "2026-03-08T00:00:00-05:00",
			[]string{"2026-03-08T03:30:00-04:00", "2026-03-09T02:30:00-04:00"},
		},
		{
			"shifted times keep the order of instants", "America/New_York", "0,45 2,3 8 3 *", "2026-03-08T00:00:00-05:00",
			[]string{"2026-03-08T03:00:00-04:00", "2026-03-08T03:45:00-04:00", "2027-03-08T02:00:00-05:00"},
		},
		{
			"overlap fires a fixed time on the first pass", "America/New_York", "30 1 * * *", "2026-10-31T12:00:00-04:00",
			[]string{"2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"},
		},
		{
			"nothing from inside the second pass", "America/New_York", "30 1 * * *", "2026-11-01T01:10:00-05:00",
			[]string{"2026-11-02T01:30:00-05:00"},
		},
		{
			"wildcard minute skips the gap", "America/New_York", "*/30 1-3 * * *", "2026-03-08T01:00:00-05:00",
			[]string{"2026-03-08T01:30:00-05:00", "2026-03-08T03:00:00-04:00", "2026-03-08T03:30:00-04:00"},
		},
		{
			"wildcard minute fires on both passes", "America/New_York", "*/30 1 * * *", "2026-11-01T00:30:00-04:00",
			[]string{
				"2026-11-01T01:00:00-04:00", "2026-11-01T01:30:00-04:00", "2026-11-01T01:00:00-05:00", "2026-11-01T01:30:00-05:00",
				"2026-11-02T01:00:00-05:00",
			},
		},
		{
			"wildcard hour", "America/New_York", "0 */2 * * *", "2026-03-08T00:00:00-05:00",
			[]string{"2026-03-08T04:00:00-04:00", "2026-03-08T06:00:00-04:00"},
		},
		{
			"fixed hours", "America/New_York", "0 0-23/2 * * *", "2026-03-08T00:00:00-05:00",
			[]string{"2026-03-08T03:00:00-04:00", "2026-03-08T04:00:00-04:00", "2026-03-08T06:00:00-04:00"},
		},
		{
			"Berlin spring", "Europe/Berlin", "0 2 * * *", "2026-03-28T12:00:00+01:00",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"},
		},
		{
			"Berlin autumn", "Europe/Berlin", "0 2 * * *", "2026-10-24T12:00:00+02:00",
			[]string{"2026-10-25T02:00:00+02:00", "2026-10-26T02:00:00+01:00"},
		},
		{
			"half an hour forward", "Australia/Lord_Howe", "15 2 * * *", "2026-10-03T12:00:00+10:30",
			[]string{"2026-10-04T02:45:00+11:00", "2026-10-05T02:15:00+11:00"},
		},
		{
			"half an hour back", "Australia/Lord_Howe", "45 1 * * *", "2026-04-04T12:00:00+11:00",
			[]string{"2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"},
		},
		{
			"noon on a day of half an hour's change", "Australia/Lord_Howe", "0 12 * * *", "2026-04-04T12:00:00+11:00",
			[]string{"2026-04-05T12:00:00+10:30", "2026-04-06T12:00:00+10:30"},
		},
		{
			"midnight that does not exist", "Africa/Cairo", "0 0 * * *", "2026-04-23T12:00:00+02:00",
			[]string{"2026-04-24T01:00:00+03:00", "2026-04-25T00:00:00+03:00"},
		},
		{
			"midnight that does not exist, by weekday", "Africa/Cairo", "0 0 * * fri", "2026-04-22T12:00:00+02:00",
			[]string{"2026-04-24T01:00:00+03:00", "2026-05-01T00:00:00+03:00"},
		},
		{
			"Santiago's midnight", "America/Santiago", "@daily", "2026-09-05T12:00:00-04:00",
			[]string{"2026-09-06T01:00:00-03:00", "2026-09-07T00:00:00-03:00"},
		},
		{
			"Santiago's last hour of the day, twice", "America/Santiago", "30 23 * * sat", "2026-04-04T12:00:00-03:00",
			[]string{"2026-04-04T23:30:00-03:00", "2026-04-11T23:30:00-04:00"},
		},
		{
			"Havana's midnight, twice", "America/Havana", "0 0 * * *", "2026-10-31T12:00:00-04:00",
			[]string{"2026-11-01T00:00:00-04:00", "2026-11-02T00:00:00-05:00"},
		},
		{
			"Havana's midnight, never", "America/Havana", "0 0 * * *", "2026-03-07T12:00:00-05:00",
			[]string{"2026-03-08T01:00:00-04:00", "2026-03-09T00:00:00-04:00"},
		},
		{
			"a date that does not exist", "Pacific/Apia", "0 12 30 12 *", "2011-01-01T00:00:00-11:00",
			[]string{"2011-12-31T12:00:00+14:00", "2012-12-30T12:00:00+14:00"},
		},
		{
			"a daily schedule over it", "Pacific/Apia", "0 12 * * *", "2011-12-29T00:00:00-10:00",
			[]string{"2011-12-29T12:00:00-10:00", "2011-12-31T12:00:00+14:00", "2012-01-01T12:00:00+14:00"},
		},
		{
			"a wildcard over it", "Pacific/Apia", "0 */12 * * *", "2011-12-29T13:00:00-10:00",
			[]string{"2011-12-31T00:00:00+14:00", "2011-12-31T12:00:00+14:00"},
		},
		{
			"back at 00:01, to 23:01", "America/St_Johns", "0,1 0 * * *", "2006-10-28T12:00:00-02:30",
			[]string{"2006-10-29T00:00:00-02:30", "2006-10-29T00:01:00-03:30", "2006-10-30T00:00:00-03:30"},
		},
		{
			"31 December of a leap year", "Europe/Berlin", "0 12 * * *", "2028-12-30T12:00:00+01:00",
			[]string{"2028-12-31T12:00:00+01:00", "2029-01-01T12:00:00+01:00"},
		},
		{
			"the leap day after a year without", "UTC", "0 0 29 2 *", "2096-03-01T00:00:00Z",
			[]string{"2104-02-29T00:00:00Z", "2108-02-29T00:00:00Z"},
		},
		{
			"a far year follows the same rules", "America/New_York", "30 2 * * *", "9998-03-07T12:00:00-05:00",
			[]string{"9998-03-08T03:30:00-04:00", "9998-03-09T02:30:00-04:00"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := mustCron(t, test.expr, test.zone)
			at := clock(t, test.from)
			for _, want := range test.want {
				got, ok := c.Next(at)
				if !ok || !got.Equal(clock(t, want)) || got.Location() != time.UTC {
					t.Fatalf("Next(%v) = %v, want %s", at.In(c.zone.loc), got.In(c.zone.loc), want)
				}
				at = got
			}
			for i := len(test.want) - 2; i >= 0; i-- {
				if at, _ = c.Prev(at); !at.Equal(clock(t, test.want[i])) {
					t.Fatalf("Prev = %v, want %s", at.In(c.zone.loc), test.want[i])
				}
			}
		})
	}
}

func clock(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestCronDayAnd(t *testing.T) {
	zone := mustZone(t, "")
	for _, test := range []struct {
		expr   string
		dayAnd bool
		want   string
	}{
		{"0 0 13 * 5", false, "2026-01-02"},
		{"0 0 13 * 5", true, "2026-02-13"},
		{"0 0 */2 * 5", false, "2026-01-09"},
		{"0 0 13 * */5", false, "2026-02-13"},
		{"0 0 L * 6", false, "2026-01-03"},
		{"0 0 L * 6", true, "2026-01-31"},
	} {
		c, err := NewCron(test.expr, zone, test.dayAnd)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := c.Next(clock(t, "2026-01-01T00:00:00Z"))
		if got.Format(time.DateOnly) != test.want {
			t.Errorf("%s (and: %t) fires on %v, want %s", test.expr, test.dayAnd, got, test.want)
		}
	}
}

// TestCronEnds checks that a search stays in the years 1 to 9999, wherever it begins.
func TestCronEnds(t *testing.T) {
	c := mustCron(t, "* * * * *", "Asia/Manila")
	huge := []time.Time{
		{},
		time.Unix(1<<62, 0), time.Unix(-1<<62, 0), time.Unix(-1<<63, 0),
		time.Unix(lastInstant, 1), time.Unix(lastInstant+1, 1), time.Unix(firstInstant, 0), time.Unix(firstInstant-1, 1),
	}
	for _, at := range huge {
		if got, ok := c.Next(at); ok && (!got.After(at) || got.Year() < 1 || got.Year() > 9999) {
			t.Errorf("Next(%d) = %v", at.Unix(), got)
		}
		if got, ok := c.Prev(at); ok && (!got.Before(at) || got.Year() < 1 || got.Year() > 9999) {
			t.Errorf("Prev(%d) = %v", at.Unix(), got)
		}
	}
	if got, ok := c.Next(time.Unix(lastInstant, 0)); ok {
		t.Errorf("an instant after the last: %v", got)
	}
	if got, ok := c.Prev(time.Unix(firstInstant, 0)); ok {
		t.Errorf("an instant before the first: %v", got)
	}
	if got, _ := c.Prev(time.Unix(lastInstant+1, 1)); got.Unix() != lastInstant-59 {
		t.Errorf("the last instant is %v", got)
	}
}

// TestCronBack searches forward and back from random instants in the whole range, most of which the
// oracle does not cover.
func TestCronBack(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, name := range sampleZones {
		for _, expr := range sweepExprs {
			c := mustCron(t, expr, name)
			for range 300 {
				at := time.Unix(firstInstant+random.Int64N(lastInstant-firstInstant), random.Int64N(1e9))
				next, ok := c.Next(at)
				if !ok {
					continue // within a year of the end
				}
				after, ok := c.Next(next)
				if back, _ := c.Prev(after); ok && !back.Equal(next) {
					t.Fatalf("%q in %s: Prev(Next(%v)) = %v", expr, name, next, back)
				}
				if prev, ok := c.Prev(next); ok {
					if prev.After(at) {
						t.Fatalf("%q in %s: Next(%v) = %v passes over %v", expr, name, at, next, prev)
					}
					if forth, _ := c.Next(prev); !forth.Equal(next) {
						t.Fatalf("%q in %s: Next(Prev(%v)) = %v", expr, name, next, forth)
					}
				}
			}
		}
	}
}

// TestCronCost checks what callers rely on: a Cron is small and a search allocates nothing.
func TestCronCost(t *testing.T) {
	if size := unsafe.Sizeof(Cron{}); size >= 200 {
		t.Errorf("a Cron has %d bytes", size)
	}
	c := mustCron(t, "30 2 * * mon-fri", "America/New_York")
	at := clock(t, "2026-03-07T12:00:00Z")
	if n := testing.AllocsPerRun(100, func() {
		next, _ := c.Next(at)
		c.Prev(next)
	}); n != 0 {
		t.Errorf("a search allocates %v times", n)
	}
}

func TestNearestWeekday(t *testing.T) {
	c := mustCron(t, "0 0 1W,15W,31W * *", "UTC")
	var got []string
	for at := clock(t, "2026-01-31T12:00:00Z"); len(got) < 8; {
		at, _ = c.Next(at)
		got = append(got, at.Format(time.DateOnly))
	}
	// 1 February is a Sunday, 15 February too; 1 August is a Saturday; April has no 31st.
	want := []string{"2026-02-02", "2026-02-16", "2026-03-02", "2026-03-16", "2026-03-31", "2026-04-01", "2026-04-15", "2026-05-01"}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func FuzzCron(f *testing.F) {
	for _, expr := range sweepExprs {
		f.Add(expr, "America/New_York", int64(1_772_000_000), false)
	}
	for _, test := range refusals {
		f.Add(test.expr, "Pacific/Apia", int64(1_325_000_000), true)
	}
	every := ""
	for date := 1; date <= 31; date++ {
		every += strconv.Itoa(date) + "W,"
	}
	f.Add("0 0 "+every+"L-3 2 mon#5", "Africa/Casablanca", int64(4_000_000_000), true)
	f.Add("0 0 "+every+"1W * sun", "Africa/Casablanca", int64(4_000_000_000), true) // never fires
	f.Fuzz(func(t *testing.T, expr, zone string, at int64, dayAnd bool) {
		z, err := LoadZone(zone)
		if err != nil {
			z = mustZone(t, "Africa/Cairo")
		}
		if len(expr) <= 1024 {
			quick(t, expr, func() { searchOnce(expr, z, at, dayAnd) })
		}
		c, err := NewCron(expr, z, dayAnd)
		if err != nil {
			return
		}
		if again, err := NewCron(c.Expr(), z, dayAnd); err != nil || *again != *c {
			t.Fatalf("%q is %q, which reads as %+v (%v)", expr, c.Expr(), again, err)
		}
		if c.Describe() == "" {
			t.Error("no description")
		}
		last := time.Unix(at, 0)
		for range 5 {
			if prev, ok := c.Prev(last); ok && !prev.Before(last) {
				t.Fatalf("%q: Prev(%v) = %v", expr, last, prev)
			}
			next, ok := c.Next(last)
			if !ok {
				return
			}
			if !next.After(last) {
				t.Fatalf("%q: Next(%v) = %v", expr, last, next)
			}
			last = next
		}
	})
}

// searchOnce does what a request with a user's text costs.
func searchOnce(expr string, z *Zone, at int64, dayAnd bool) {
	c, err := NewCron(expr, z, dayAnd)
	if err != nil {
		return
	}
	c.Next(time.Unix(at, 0))
	c.Prev(time.Unix(at, 0))
}

func BenchmarkCronNext(b *testing.B) {
	for _, bench := range []struct {
		name, expr, zone string
		dayAnd           bool
	}{
		{"everyMinute", "* * * * *", "UTC", false},
		{"nightly", "30 2 * * *", "America/New_York", false},
		{"weekdays", "*/15 9-17 * * mon-fri", "Europe/Berlin", false},
		{"lastFriday", "0 0 * * 5L", "Europe/Berlin", false},
		{"leapDay", "0 0 29 2 *", "Europe/Berlin", false},
		{"leapMonday", "0 0 29 2 1", "Europe/Berlin", true},
		{"leapMondayTwice", "0 0 29 2 mon", "Africa/Casablanca", true},
		{"fifthMonday", "0 0 * 2 mon#5", "Europe/Berlin", false},
		{"lastOfFebruary", "0 0 L 2 1", "Europe/Berlin", true},
		{"nearLeapDay", "0 0 29W 2 *", "Europe/Berlin", false},
		{"nearLeapDayMonday", "0 0 29W 2 mon", "Europe/Berlin", true},
		{"fourthMondayEndsMonth", "0 0 L * mon#4", "Europe/Berlin", true},
		{"lastOfDecember", "0 0 31 12 *", "Europe/Berlin", false},
		{"allNear", "0 0 1W,2W,3W,5W,6W,7W,8W,9W,10W,29W 2 mon#5", "Europe/Berlin", true},
	} {
		c, err := NewCron(bench.expr, mustZone(b, bench.zone), bench.dayAnd)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(bench.name, func(b *testing.B) { benchmarkNext(b, c.Next) })
	}
}

// benchmarkNext steps from instant to instant.
func benchmarkNext(b *testing.B, next func(time.Time) (time.Time, bool)) {
	begin := time.Unix(1_767_225_600, 0)
	at, ok := begin, true
	b.ReportAllocs()
	for b.Loop() {
		if at, ok = next(at); !ok {
			at = begin
		}
	}
}

func BenchmarkNewCron(b *testing.B) {
	zone := mustZone(b, "Europe/Berlin")
	for b.Loop() {
		NewCron("*/15 9-17 * * mon-fri", zone, false)
	}
}

func BenchmarkNewZone(b *testing.B) {
	zone := mustZone(b, "Europe/Berlin")
	for b.Loop() {
		newZone("Europe/Berlin", zone.loc)
	}
}
