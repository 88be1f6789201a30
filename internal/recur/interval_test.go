package recur

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func mustInterval(t testing.TB, d time.Duration, anchor, zone string) *Interval {
	t.Helper()
	var at time.Time
	if anchor != "" {
		at = clock(t, anchor)
	}
	i, err := NewInterval(d, at, mustZone(t, zone))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

const day = 24 * time.Hour

func TestIntervalNext(t *testing.T) {
	for _, test := range []struct {
		name         string
		d            time.Duration
		anchor, zone string
		from         string
		want         []string
	}{
		{
			"aligned to the clock without an anchor", 15 * time.Minute, "", "", "2026-01-01T00:07:00Z",
			[]string{"2026-01-01T00:15:00Z", "2026-01-01T00:30:00Z"},
		},
		{
			"elapsed time across a gap", 2 * time.Hour, "2026-03-08T00:00:00-05:00", "America/New_York", "2026-03-08T00:00:00-05:00",
			[]string{"2026-03-08T03:00:00-04:00", "2026-03-08T05:00:00-04:00"},
		},
		{
			"elapsed time across an overlap", time.Hour, "", "America/New_York", "2026-11-01T00:30:00-04:00",
			[]string{"2026-11-01T01:00:00-04:00", "2026-11-01T01:00:00-05:00", "2026-11-01T02:00:00-05:00"},
		},
		{
			"a day keeps its local time", day, "2026-01-01T02:30:00-05:00", "America/New_York", "2026-03-07T00:00:00-05:00",
			[]string{"2026-03-07T02:30:00-05:00", "2026-03-08T03:30:00-04:00", "2026-03-09T02:30:00-04:00"},
		},
		{
			"a day that has the time twice", day, "2026-01-01T01:30:00-05:00", "America/New_York", "2026-10-31T12:00:00-04:00",
			[]string{"2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"},
		},
		{
			"an anchor on the second pass stays", day, "2026-11-01T01:30:00-05:00", "America/New_York", "2026-10-31T00:00:00-04:00",
			[]string{"2026-10-31T01:30:00-04:00", "2026-11-01T01:30:00-05:00", "2026-11-02T01:30:00-05:00"},
		},
		{
			"ticks before the anchor", 36 * time.Hour, "2026-01-10T00:00:00Z", "UTC", "2026-01-06T00:00:00Z",
			[]string{"2026-01-07T00:00:00Z", "2026-01-08T12:00:00Z", "2026-01-10T00:00:00Z", "2026-01-11T12:00:00Z"},
		},
		{
			"36 hours are a day and 12 hours of elapsed time", 36 * time.Hour, "2026-03-07T00:00:00-05:00", "America/New_York",
			"2026-03-07T00:00:00-05:00",
			[]string{"2026-03-08T13:00:00-04:00", "2026-03-10T00:00:00-04:00"},
		},
		{
			"a date that does not exist", day, "2011-12-28T12:00:00-10:00", "Pacific/Apia", "2011-12-28T12:00:00-10:00",
			[]string{"2011-12-29T12:00:00-10:00", "2011-12-31T12:00:00+14:00", "2012-01-01T12:00:00+14:00"},
		},
		{
			"weeks from a Monday", 7 * day, "", "Europe/Berlin", "2026-03-24T00:00:00+01:00",
			[]string{"2026-03-30T00:00:00+02:00", "2026-04-06T00:00:00+02:00"},
		},
		{
			"microseconds", 1500 * time.Microsecond, "2026-01-01T00:00:00.0000019Z", "", "2026-01-01T00:00:00Z",
			[]string{"2026-01-01T00:00:00.000001Z", "2026-01-01T00:00:00.001501Z"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			i := mustInterval(t, test.d, test.anchor, test.zone)
			at := clock(t, test.from)
			for _, want := range test.want {
				got, ok := i.Next(at)
				if !ok || !got.Equal(clock(t, want)) || got.Location() != time.UTC {
					t.Fatalf("Next(%v) = %v, want %s", at, got.In(i.zone.loc), want)
				}
				at = got
			}
			for n := len(test.want) - 2; n >= 0; n-- {
				if at, _ = i.Prev(at); !at.Equal(clock(t, test.want[n])) {
					t.Fatalf("Prev = %v, want %s", at.In(i.zone.loc), test.want[n])
				}
			}
		})
	}
}

// TestIntervalTicks compares every tick around the offset changes of the sample zones with
// time.Date, which agrees on times that exist once, and compares Next and Prev from random starts
// with the list of ticks.
func TestIntervalTicks(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	compared := 0
	for _, name := range sampleZones {
		zone := mustZone(t, name)
		for _, d := range []time.Duration{day, 25 * time.Hour, 2*day + 30*time.Minute, 7 * day, 31*day + 1, 23 * time.Hour, 90 * time.Minute} {
			d = d.Truncate(time.Microsecond)
			anchor := time.Unix(random.Int64N(2e9), 123456000)
			i, err := NewInterval(d, anchor, zone)
			if err != nil {
				t.Fatal(err)
			}
			last := i.tick(-3000)
			for k := int64(-2999); k < 3000; k++ {
				tick := i.tick(k)
				if tick < last {
					t.Fatalf("%v in %s: tick %d is before tick %d", d, name, k, k-1)
				}
				compareTick(t, i, anchor, k, tick)
				compareGap(t, i, last, tick, random)
				last = tick
				compared++
			}
		}
	}
	t.Logf("%d ticks", compared)
}

func compareTick(t *testing.T, i *Interval, anchor time.Time, k, tick int64) {
	distance := time.Duration(k) * i.Every()
	want := anchor.Add(distance)
	if i.Every() >= day {
		days := int(floorDiv(int64(distance), int64(day)))
		local := anchor.In(i.zone.loc)
		base := time.Date(local.Year(), local.Month(), local.Day()+days, local.Hour(), local.Minute(), local.Second(), local.Nanosecond(), i.zone.loc)
		if _, before := base.Add(-26 * time.Hour).Zone(); !sameOffset(base, before) {
			return // a change is near: TestIntervalNext has the examples
		}
		want = base.Add(distance - time.Duration(days)*day)
	}
	if tick != want.UnixMicro() {
		t.Fatalf("%v in %s from %v: tick %d is %v, want %v", i.Every(), i.zone.name, anchor, k, time.UnixMicro(tick).UTC(), want.UTC())
	}
}

func sameOffset(t time.Time, offset int) bool {
	_, after := t.Add(26 * time.Hour).Zone()
	return after == offset
}

// compareGap checks a random start between two neighbouring ticks.
func compareGap(t *testing.T, i *Interval, last, tick int64, random *rand.Rand) {
	if last == tick {
		return
	}
	start := last + random.Int64N(tick-last)
	if got, ok := i.Next(time.UnixMicro(start).Add(7)); !ok || got.UnixMicro() != tick {
		t.Fatalf("%v in %s: Next(%v) = %v, want %v", i.Every(), i.zone.name, time.UnixMicro(start), got, time.UnixMicro(tick))
	}
	if got, ok := i.Prev(time.UnixMicro(start + 1)); !ok || got.UnixMicro() != last {
		t.Fatalf("%v in %s: Prev(%v) = %v, want %v", i.Every(), i.zone.name, time.UnixMicro(start+1), got, time.UnixMicro(last))
	}
}

func TestIntervalEnds(t *testing.T) {
	for _, d := range []time.Duration{time.Millisecond, day, 1<<63 - 1} {
		i, err := NewInterval(d.Truncate(time.Microsecond), time.Time{}, mustZone(t, "America/Juneau"))
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range []time.Time{{}, time.Unix(1<<62, 0), time.Unix(-1<<62, 0), time.Unix(-1<<63, 0), time.Unix(lastInstant, 999999999), time.Unix(firstInstant, 0)} {
			if got, ok := i.Next(at); ok && (!got.After(at) || got.Year() > 9999) {
				t.Errorf("every %v: Next(%v) = %v", d, at, got)
			}
			if got, ok := i.Prev(at); ok && (!got.Before(at) || got.Year() < 1) {
				t.Errorf("every %v: Prev(%v) = %v", d, at, got)
			}
		}
		if d == 1<<63-1 {
			continue
		}
		for _, far := range []int64{1 << 55, 1 << 62, 1<<63 - 1} {
			if got, ok := i.Next(time.Unix(-far, 0)); !ok || got.Year() != 1 {
				t.Errorf("every %v: the first instant is %v, from %d", d, got, -far)
			}
			if got, ok := i.Prev(time.Unix(far, 0)); !ok || got.Year() != 9999 {
				t.Errorf("every %v: the last instant is %v, from %d", d, got, far)
			}
		}
	}
}

func TestIntervalRefusals(t *testing.T) {
	zone := mustZone(t, "")
	for _, test := range []struct {
		d      time.Duration
		anchor time.Time
		want   string
	}{
		{0, time.Time{}, "the shortest is 1ms"},
		{-time.Hour, time.Time{}, "the shortest is 1ms"},
		{999 * time.Microsecond, time.Time{}, "interval is 999µs: the shortest is 1ms"},
		{time.Second + 1, time.Time{}, "whole microseconds, round it to 1s"},
		{time.Second, time.Unix(1<<60, 0), "years 1 to 9999"},
	} {
		if _, err := NewInterval(test.d, test.anchor, zone); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: got error %v, want one with %q", test.d, err, test.want)
		}
	}
}

func TestIntervalDescribe(t *testing.T) {
	for _, test := range []struct {
		d            time.Duration
		anchor, want string
	}{
		{15 * time.Minute, "", "every 15 minutes"},
		{time.Hour, "", "every hour"},
		{90 * time.Minute, "", "every 90 minutes"},
		{36 * time.Hour, "", "every 36 hours"},
		{time.Second, "", "every second"},
		{1500 * time.Millisecond, "", "every 1.5s"},
		{20 * time.Millisecond, "", "every 20 milliseconds"},
		{day, "", "every day at 00:00"},
		{2 * day, "2026-01-01T02:00:00Z", "every 2 days at 02:00"},
		{day, "2026-01-01T02:00:05Z", "every day at 02:00:05"},
		{7 * day, "", "every week on Monday at 00:00"},
		{14 * day, "2026-01-01T09:30:00Z", "every 2 weeks on Thursday at 09:30"},
	} {
		if got := mustInterval(t, test.d, test.anchor, "").Describe(); got != test.want {
			t.Errorf("%v: %q, want %q", test.d, got, test.want)
		}
	}
}

func BenchmarkIntervalNext(b *testing.B) {
	for _, d := range []time.Duration{time.Minute, day} {
		i := mustInterval(b, d, "", "Europe/Berlin")
		b.Run(d.String(), func(b *testing.B) {
			at := time.Unix(1_767_225_600, 0)
			b.ReportAllocs()
			for b.Loop() {
				at, _ = i.Next(at)
				if at.Year() > 9000 {
					at = time.Unix(1_767_225_600, 0)
				}
			}
		})
	}
}
