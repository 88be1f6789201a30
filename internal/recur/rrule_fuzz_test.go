package recur

import (
	"flag"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/provost-go/provost/internal/testenv"
)

// hostileRules are meant to be slow: they fire rarely or never, have a large COUNT, or have
// exceptions that drop everything.
var hostileRules = []string{
	"DTSTART:20000101T000000\nRRULE:FREQ=DAILY;COUNT=100000;BYHOUR=1,2,3;BYSETPOS=2",
	"DTSTART:20000101T000000\nRRULE:FREQ=YEARLY;COUNT=100000;BYHOUR=0,1,2,3,4,5,6,7,8,9;BYMINUTE=0,10,20,30;BYDAY=MO;BYSETPOS=-1",
	"DTSTART:20000101T000000\nRRULE:FREQ=MONTHLY;INTERVAL=7;COUNT=100000;BYMONTHDAY=31;BYDAY=FR;BYSETPOS=1",
	"DTSTART:20000101T000000\nRRULE:FREQ=SECONDLY;COUNT=100000;INTERVAL=86399;BYSECOND=1,59",
	"DTSTART:20000101T000000\nRRULE:FREQ=SECONDLY;COUNT=100000;BYSECOND=30;BYDAY=MO",
	"DTSTART:20000101T000000\nRRULE:FREQ=SECONDLY;COUNT=100000;INTERVAL=7919;BYHOUR=3;BYMONTH=2",
	"DTSTART:20000101T000000\nRRULE:FREQ=MINUTELY;COUNT=100000;INTERVAL=1439;BYMINUTE=0;BYYEARDAY=366",
	"DTSTART:20000101T000000\nRRULE:FREQ=HOURLY;COUNT=100000;INTERVAL=23;BYHOUR=0;BYMONTHDAY=13;BYDAY=FR",
	"DTSTART:20000101T000000\nRRULE:FREQ=SECONDLY;INTERVAL=7;BYSECOND=30;BYMINUTE=30;BYHOUR=3;BYDAY=MO",
	"DTSTART:20000101T000001\nRRULE:FREQ=SECONDLY;INTERVAL=3600;BYSECOND=0",
	"DTSTART:20000101T000001\nRRULE:FREQ=SECONDLY;INTERVAL=86400;BYSECOND=0,2,3,4,5,6,7,8,9",
	"DTSTART:20000101T000000\nRRULE:FREQ=SECONDLY;INTERVAL=86413;BYSECOND=1;BYMINUTE=1;BYHOUR=1;BYMONTH=1;BYMONTHDAY=1",
	"DTSTART:20000101T000000\nRRULE:FREQ=SECONDLY;INTERVAL=604799;BYDAY=SU;BYHOUR=0;BYMINUTE=0",
	"DTSTART:20000101T000000\nRRULE:FREQ=MINUTELY;INTERVAL=10079;BYHOUR=3;BYMINUTE=33;BYDAY=WE",
	"DTSTART:20000101T000000\nRRULE:FREQ=MINUTELY;INTERVAL=1440;BYHOUR=12",
	"DTSTART:20000101T000000\nRRULE:FREQ=HOURLY;INTERVAL=24;BYHOUR=13",
	"DTSTART:20000101T000000\nRRULE:FREQ=HOURLY;INTERVAL=8765;BYHOUR=5;BYMONTH=2;BYMONTHDAY=29",
	"DTSTART:20000101T000000\nRRULE:FREQ=SECONDLY;BYYEARDAY=366;BYMONTHDAY=30",
	"FREQ=SECONDLY;INTERVAL=1000000000", "FREQ=MINUTELY;INTERVAL=210379680", "FREQ=HOURLY;INTERVAL=3506328;BYDAY=SA",
	"FREQ=DAILY;INTERVAL=1000000000", "FREQ=DAILY;INTERVAL=146097", "FREQ=DAILY;INTERVAL=146096;BYMONTHDAY=29;BYMONTH=2",
	"FREQ=DAILY;INTERVAL=9999999999999999999", "FREQ=DAILY;INTERVAL=-1", "FREQ=YEARLY;BYWEEKNO=53;BYMONTH=6", "FREQ=YEARLY;BYWEEKNO=-53;BYYEARDAY=200",
	"FREQ=YEARLY;INTERVAL=399;BYMONTHDAY=29;BYMONTH=2", "FREQ=YEARLY;INTERVAL=400;BYMONTHDAY=29;BYMONTH=2;BYDAY=MO",
	"FREQ=MONTHLY;INTERVAL=4799;BYMONTHDAY=31", "FREQ=MONTHLY;INTERVAL=12;BYMONTHDAY=31;BYMONTH=2", "FREQ=MONTHLY;INTERVAL=2;BYMONTH=2",
	"FREQ=WEEKLY;INTERVAL=20871", "FREQ=WEEKLY;INTERVAL=17;BYDAY=MO;BYMONTH=2", "FREQ=DAILY;INTERVAL=7;BYDAY=TU,TH",
	"FREQ=YEARLY;BYSETPOS=366,-366;BYDAY=MO", "FREQ=DAILY;BYHOUR=1;BYSETPOS=2", "FREQ=MONTHLY;BYSETPOS=-31;BYDAY=MO,TU,WE,TH,FR,SA,SU",
	"FREQ=SECONDLY;BYSECOND=1;BYSETPOS=1", "FREQ=SECONDLY;BYSECOND=1;BYSETPOS=2", "FREQ=HOURLY;BYMINUTE=1;BYSETPOS=-1,1,2,3", "FREQ=DAILY;BYSECOND=60,59",
	"FREQ=DAILY\nEXRULE:FREQ=DAILY", "FREQ=SECONDLY\nEXRULE:FREQ=SECONDLY", "FREQ=SECONDLY\nEXRULE:FREQ=MINUTELY;BYSECOND=0,1,2,3,4,5,6,7,8,9",
	"FREQ=SECONDLY\nEXRULE:FREQ=SECONDLY;INTERVAL=2\nEXRULE:FREQ=SECONDLY;INTERVAL=2;BYSECOND=1", "FREQ=SECONDLY;BYMONTH=1\nEXRULE:FREQ=SECONDLY;BYMONTH=1",
	"FREQ=MINUTELY\nEXRULE:FREQ=SECONDLY;INTERVAL=60\nRDATE:20300101T000030", "FREQ=SECONDLY;UNTIL=20200101T000000Z\nEXDATE:20200101T000000Z",
	"FREQ=SECONDLY\nRRULE:FREQ=SECONDLY\nRRULE:FREQ=SECONDLY\nRRULE:FREQ=SECONDLY\nEXRULE:FREQ=SECONDLY\nEXRULE:FREQ=SECONDLY\nEXRULE:FREQ=SECONDLY",
	"FREQ=DAILY;BYHOUR=0\nEXRULE:FREQ=HOURLY;BYDAY=MO,TU,WE,TH,FR,SA\nEXRULE:FREQ=WEEKLY;BYDAY=SU;BYHOUR=0",
	"RDATE:20300101T000000", "EXDATE:20300101T000000", "DTSTART:20300101T000000\nEXDATE:20300101T000000", "DTSTART:20300101T000000", "DTSTART:20300101", "DTSTART:",
	"DTSTART:20300101T000000\nRDATE:20300101T000000\nEXDATE:20300101T000000", "RDATE;TZID=Mars/Olympus:20300101T000000", "RDATE;VALUE=PERIOD:20300101T000000/",
	"DTSTART:00010101T000000\nRRULE:FREQ=YEARLY", "DTSTART:99991231T235959Z\nRRULE:FREQ=SECONDLY", "DTSTART:00000101T000000\nRRULE:FREQ=DAILY",
	"DTSTART;TZID=Pacific/Apia:20111230T000000\nRRULE:FREQ=HOURLY;COUNT=1", "DTSTART;TZID=Africa/Monrovia:18820101T000000\nRRULE:FREQ=MINUTELY;BYMINUTE=0,30",
	"DTSTART;TZID=Australia/Lord_Howe:20260405T014500\nRRULE:FREQ=HOURLY;BYMINUTE=0,30;BYSETPOS=-1", "DTSTART:20261101T063000Z\nRRULE:FREQ=DAILY;COUNT=2",
	"DTSTART;TZID=\"Europe/Berlin\";VALUE=DATE-TIME:20260105T090000\nRRULE:FREQ=DAILY;UNTIL=20260107", "DTSTART;VALUE=DATE:20260105\r\nRRULE:FREQ=DAILY;UNTIL=20260107",
	"FREQ=DAILY;UNTIL=20190101T000000", "FREQ=DAILY;COUNT=1;UNTIL=20300101T000000", "FREQ=DAILY;COUNT=0", "FREQ=DAILY;COUNT=100001", "FREQ=DAILY;", ";FREQ=DAILY", "FREQ",
	"FREQ=DAILY;FREQ=DAILY", "freq=daily;byday=mo,MO,+1mo", "FREQ=MONTHLY;BYDAY=+1MO,01MO,-0MO,MO", "FREQ=DAILY;BYHOUR=٣", "FREQ=DAILY;BYHOUR= 9", "FREQ=DAILY\n ;BYHOUR=9\n\t,10",
	"FREQ=HOURLY;BYMONTHDAY=" + numbers(-31, 31) + ";BYYEARDAY=" + numbers(1, 200),
	"FREQ=YEARLY;BYYEARDAY=" + numbers(-100, 100) + ";BYSETPOS=" + numbers(1, 100),
	"FREQ=DAILY;BYHOUR=" + numbers(0, 23) + ";BYMINUTE=" + numbers(0, 59) + ";BYSECOND=" + numbers(0, 60) + ";BYSETPOS=" + numbers(-150, 150),
	"FREQ=YEARLY;COUNT=99999;BYHOUR=" + numbers(0, 23) + ";BYMINUTE=" + numbers(0, 59) + ";BYSECOND=" + numbers(0, 60) + ";BYDAY=MO,TU,WE;BYSETPOS=" + numbers(-150, 1),
	"DTSTART:20200101T000000\nRDATE:" + strings.Repeat("20210101T000000,", 59) + "20210101T000000",
	strings.Repeat("\n", 1000) + "FREQ=DAILY", strings.Repeat("RRULE:FREQ=DAILY\n", 60), strings.Repeat("EXRULE:FREQ=SECONDLY\n", 15) + "RRULE:FREQ=SECONDLY",
	"FREQ=DAILY;BYDAY=" + strings.Repeat("MO,", 300) + "TU",
}

// numbers lists the numbers of a range, except 0.
func numbers(from, to int) string {
	var b strings.Builder
	for n := from; n <= to; n++ {
		if n != 0 || from == 0 {
			b.WriteString("," + strconv.Itoa(n))
		}
	}
	return b.String()[1:]
}

func FuzzRRule(f *testing.F) {
	for i, text := range hostileRules {
		f.Add(text, uint8(i), int64(1_577_836_800+i*86_400*100))
	}
	for i, test := range rfcExamples {
		f.Add("DTSTART:"+test.start+"\n"+test.text, uint8(i), int64(873_000_000))
	}
	for i, parts := range plainRules {
		f.Add(parts, uint8(i), int64(1_772_000_000))
	}
	f.Fuzz(func(t *testing.T, text string, zoneIndex uint8, start int64) {
		var zone *Zone
		if i := int(zoneIndex) % (len(sampleZones) + 1); i < len(sampleZones) {
			zone = mustZone(t, sampleZones[i])
		}
		var r *RRule
		var err error
		parse := func() { r, err = NewRRule(text, zone) }
		quick(t, text, parse)
		if err != nil {
			if len(err.Error()) > 1000 {
				t.Errorf("%.100q is refused in %d bytes: %.1000v", text, len(err.Error()), err)
			}
			return
		}
		again, err := NewRRule(r.Expr(), r.Zone())
		if err != nil || again.Expr() != r.Expr() || again.Zone() != r.Zone() {
			t.Fatalf("%q is %q, which reads as %v (%v)", text, r.Expr(), again, err)
		}
		if r.Describe() == "" {
			t.Error("no description")
		}
		at := time.Unix(start, 0)
		var forth, same []int64
		quick(t, text, func() { forth = firstInstants(t, r, at) })
		if same = firstInstants(t, again, at); !slices.Equal(forth, same) {
			t.Fatalf("%q from %v: %v, but as %q: %v", text, at, forth, r.Expr(), same)
		}
		checkBack(t, r, at, forth)
	})
}

// quick checks that a step takes less than ten milliseconds for a text of at most 1 KiB. It tries
// several times: a slow step is slow each time, a busy machine is not.
func quick(t *testing.T, text string, step func()) {
	t.Helper()
	limit := 10 * time.Millisecond
	if f := flag.Lookup("test.fuzz"); f != nil && f.Value.String() != "" {
		limit *= 10 // instrumented, on both processors
	}
	best := time.Duration(math.MaxInt64)
	for range 20 {
		start := time.Now()
		step()
		if best = min(best, time.Since(start)); best < limit || testenv.Race || len(text) > 1<<10 {
			return
		}
	}
	t.Errorf("%q took %v", text, best)
}

func firstInstants(t *testing.T, r *RRule, at time.Time) (instants []int64) {
	for range 8 {
		next, ok := r.Next(at)
		if !ok {
			break
		}
		if !next.After(at) || next.Location() != time.UTC || next.Nanosecond() != 0 {
			t.Fatalf("%q in %s: Next(%v) = %v", r.Expr(), r.Zone().Name(), at, next)
		}
		instants = append(instants, next.Unix())
		at = next
	}
	return instants
}

// checkBack searches backward through consecutive instants after at, from each of them and from
// between them.
func checkBack(t *testing.T, r *RRule, at time.Time, instants []int64) {
	before := at
	for i, u := range instants {
		instant := time.Unix(u, 0)
		middle := before.Add(instant.Sub(before) / 2)
		if next, ok := r.Next(middle); !ok || !next.Equal(instant) {
			t.Fatalf("%q in %s: Next(%v) = %v, but Next(%v) = %v", r.Expr(), r.Zone().Name(), before, instant, middle, next)
		}
		prev, ok := r.Prev(instant)
		switch {
		case ok && !prev.Before(instant), ok && i == 0 && prev.After(at):
			t.Fatalf("%q in %s: Prev(%v) = %v, and Next(%v) the former", r.Expr(), r.Zone().Name(), instant, prev, at)
		case i > 0 && (!ok || prev.Unix() != instants[i-1]):
			t.Fatalf("%q in %s: Prev(%v) = %v, want %v", r.Expr(), r.Zone().Name(), instant, prev, before)
		}
		if ok && i == 0 {
			if next, ok := r.Next(prev); !ok || !next.Equal(instant) {
				t.Fatalf("%q in %s: Next(Prev(%v)) = %v", r.Expr(), r.Zone().Name(), instant, next)
			}
		}
		if last, ok := r.Prev(instant.Add(1)); !ok || !last.Equal(instant) {
			t.Fatalf("%q in %s: Prev just after %v = %v", r.Expr(), r.Zone().Name(), instant, last)
		}
		before = instant
	}
}

func BenchmarkRRuleNext(b *testing.B) {
	dates := make([]string, 100)
	for i := range dates {
		dates[i] = time.Date(2026, 1, 1+2*i, 9, 0, 0, 0, time.UTC).Format(plainLayout)
	}
	for _, bench := range []struct{ name, text string }{
		{"daily", "FREQ=DAILY;BYHOUR=9"},
		{"weekly", "FREQ=WEEKLY;BYDAY=MO,WE,FR;BYHOUR=9"},
		{"lastFriday", "FREQ=MONTHLY;BYDAY=-1FR"},
		{"leapDay", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29"},
		{"minutely", "DTSTART:20150101T000000\nRRULE:FREQ=MINUTELY"},
		{"secondly", "FREQ=SECONDLY"},
		{"lastWorkday", "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1"},
		{"exdates", "DTSTART:20250101T090000\nRRULE:FREQ=DAILY\nEXDATE:" + strings.Join(dates, ",")},
	} {
		r, err := NewRRule(bench.text, mustZone(b, "Europe/Berlin"))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(bench.name, func(b *testing.B) { benchmarkNext(b, r.Next) })
	}
}

func BenchmarkRRuleUpcoming100(b *testing.B) {
	r, err := NewRRule("FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=9,17;BYMINUTE=0,30", mustZone(b, "Europe/Berlin"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		at := time.Unix(1_767_225_600, 0)
		for range 100 {
			at, _ = r.Next(at)
		}
	}
}

func BenchmarkNewRRule(b *testing.B) {
	zone := mustZone(b, "Europe/Berlin")
	for _, bench := range []struct{ name, text string }{
		{"daily", "FREQ=DAILY;BYHOUR=9"},
		{"lastWorkday", "DTSTART:20260105T090000\nRRULE:FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1"},
		{"count", "DTSTART:20260105T090000\nRRULE:FREQ=DAILY;COUNT=1000"},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := NewRRule(bench.text, zone); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
