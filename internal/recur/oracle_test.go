package recur

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The oracle knows nothing of offset tables, periods or bits. It reads the clock of time.Time at every minute (every
// second, where an offset is not of whole minutes) and applies the rules as they are worded.

// sweepExprs are the expressions that the oracle compares.
var sweepExprs = []string{
	"* * * * *", "*/15 * * * *", "*/7 * * * *", "0 * * * *", "30 * * * *", "0 */2 * * *", "15 */6 * * *",
	"* 2 * * *", "*/10 1-3 * * *", "*,5 0 * * *",
	"0 0 * * *", "1 0 * * *", "59 23 * * *", "30 0 * * *", "0 1 * * *", "30 1 * * *", "0 2 * * *", "30 2 * * *",
	"0 3 * * *", "0,30 0-4 * * *", "15,45 22-2 * * *", "0-59 0-23 * * *", "0 12 * * *", "7 0-23/2 * * *",
	"30 2 * * sun", "0 0 * * fri-mon", "0 2 1,30,31 * 0", "30 0 L * *", "30 2 * * 7L", "0 2 * 3,10 sun#2",
	"0 0 1W,15W,31W * *", "30 1 */2 * 5", "0-59 * 30 12 *",
}

// sampleZones have every kind of change: an hour, half an hour, at midnight, at 00:01, a whole day, odd seconds, twice
// a year around Ramadan.
var sampleZones = []string{
	"UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Africa/Cairo", "Pacific/Apia",
	"America/Havana", "America/Santiago", "America/St_Johns", "Africa/Casablanca", "Asia/Manila", "Antarctica/Troll",
	"America/Juneau", "Pacific/Kwajalein", "Asia/Gaza", "Africa/Monrovia", "Europe/Amsterdam", "Asia/Pyongyang",
}

// TestOracle compares windows around every change of the sample. With RECUR_SWEEP=1 it takes every zone, otherwise some
// of each.
func TestOracle(t *testing.T) {
	names, stride := sampleZones, 7 // odd, so that both spring and autumn come up
	switch {
	case os.Getenv("RECUR_SWEEP") != "":
		names, stride = distinctZones(t), 1
	case testing.Short(), raceEnabled:
		names, stride = sampleZones[:len(sampleZones)/3], 63
	}
	var compared atomic.Int64
	var group sync.WaitGroup
	gate := make(chan struct{}, 16)
	for _, name := range names {
		group.Go(func() {
			gate <- struct{}{}
			defer func() { <-gate }()
			z, err := LoadZone(name)
			if err != nil {
				t.Error(err)
				return
			}
			for i := 0; i < len(z.changes); i += stride {
				if at := z.changes[i].at; at < sweepUntil {
					compared.Add(compareWindow(t, z, at))
				}
			}
			compared.Add(compareWindow(t, z, 1_767_225_600))
		})
	}
	group.Wait()
	t.Logf("%d instants compared in %d zones with %d expressions", compared.Load(), len(names), len(sweepExprs))
}

// distinctZones are the zones of the list without those that share another's offsets.
func distinctZones(t *testing.T) (names []string) {
	seen := map[string]bool{}
	for name := range zoneNames() {
		z, err := LoadZone(name)
		if err != nil {
			t.Fatal(err)
		}
		if key := fmt.Sprint(z.initial, z.changes); !seen[key] {
			seen[key] = true
			names = append(names, name)
		}
	}
	return names
}

// sweepUntil is 2038-01-19: later changes follow the same yearly rules, and TestZoneTable compares their offsets.
const sweepUntil = 1 << 31

const (
	windowHalf = 30 * 3600 // compared on either side of a change
	windowView = 58 * 3600 // seen by the oracle, so that a shift of a day is inside
)

func compareWindow(t *testing.T, z *Zone, at int64) (compared int64) {
	view := look(z.loc, at-windowView, at+windowView)
	from, end := at-windowHalf, at+windowHalf
	random := rand.New(rand.NewPCG(uint64(at), 1))
	for _, expr := range sweepExprs {
		c, err := NewCron(expr, z, false)
		if err != nil {
			t.Errorf("%s in %s: %v", expr, z.name, err)
			return compared
		}
		want := view.fires(expr, from, end)
		got := chainNext(c, from, end)
		compared += int64(len(want))
		if !slices.Equal(got, want) {
			t.Errorf("%q in %s around %v:\n%s", expr, z.name, time.Unix(at, 0).UTC(), difference(got, want))
			continue
		}
		back := chainPrev(c, from, end)
		slices.Reverse(back)
		if !slices.Equal(back, want) {
			t.Errorf("Prev of %q in %s around %v:\n%s", expr, z.name, time.Unix(at, 0).UTC(), difference(back, want))
		}
		for range 8 {
			compareStart(t, c, want, from+random.Int64N(end-from), end)
		}
	}
	return compared
}

// compareStart checks that the set does not depend on where a search begins.
func compareStart(t *testing.T, c *Cron, want []int64, start, end int64) {
	i, found := slices.BinarySearch(want, start)
	next := i
	if found {
		next++
	}
	if got, _ := c.Next(time.Unix(start, 5)); next < len(want) && got.Unix() != want[next] {
		t.Errorf("%q in %s: Next(%v) = %v, want %v", c.expr, c.zone.name, time.Unix(start, 5).UTC(), got, time.Unix(want[next], 0).UTC())
	}
	if got, _ := c.Prev(time.Unix(start, 0)); i > 0 && got.Unix() != want[i-1] {
		t.Errorf("%q in %s: Prev(%v) = %v, want %v", c.expr, c.zone.name, time.Unix(start, 0).UTC(), got, time.Unix(want[i-1], 0).UTC())
	}
}

func chainNext(c *Cron, from, end int64) (instants []int64) {
	for t := time.Unix(from-1, 0); ; {
		next, ok := c.Next(t)
		if !ok || next.Unix() >= end {
			return instants
		}
		instants = append(instants, next.Unix())
		t = next
	}
}

func chainPrev(c *Cron, from, end int64) (instants []int64) {
	for t := time.Unix(end, 0); ; {
		prev, ok := c.Prev(t)
		if !ok || prev.Unix() < from {
			return instants
		}
		instants = append(instants, prev.Unix())
		t = prev
	}
}

func difference(got, want []int64) string {
	var b strings.Builder
	for _, u := range got {
		if _, ok := slices.BinarySearch(want, u); !ok {
			fmt.Fprintln(&b, "  must not fire:", time.Unix(u, 0).UTC())
		}
	}
	for _, u := range want {
		if !slices.Contains(got, u) {
			fmt.Fprintln(&b, "  must fire:", time.Unix(u, 0).UTC())
		}
	}
	return b.String()
}

// A view is what a clock shows over a stretch of time.
type view struct {
	step  int64
	seen  []reading
	first map[int64]int64 // local time -> first instant that shows it
}

type reading struct{ instant, wall int64 }

func look(loc *time.Location, from, end int64) view {
	v := view{step: 60, first: map[int64]int64{}}
	for u := from; u < end; u += 3600 {
		if _, offset := time.Unix(u, 0).In(loc).Zone(); offset%60 != 0 || from%60 != 0 {
			v.step = 1
		}
	}
	for u := from; u < end; u += v.step {
		_, offset := time.Unix(u, 0).In(loc).Zone()
		r := reading{u, u + int64(offset)}
		v.seen = append(v.seen, r)
		if _, ok := v.first[r.wall]; !ok {
			v.first[r.wall] = u
		}
	}
	return v
}

// fires applies the rules to each minute.
func (v view) fires(expr string, from, end int64) (instants []int64) {
	add := func(u int64) {
		if from <= u && u < end {
			instants = append(instants, u)
		}
	}
	n := newNaive(expr)
	everyish := n.fields[0][0] == '*' || n.fields[1][0] == '*'
	for i, r := range v.seen {
		if n.match(r.wall) && (everyish || v.first[r.wall] == r.instant) {
			add(r.instant)
		}
		if everyish || i == 0 {
			continue
		}
		before := v.seen[i-1]
		for wall := before.wall + v.step; wall < r.wall; wall += v.step { // the clock jumped
			if _, shown := v.first[wall]; !shown && n.match(wall) {
				add(wall - (before.wall - before.instant))
			}
		}
	}
	slices.Sort(instants)
	return slices.Compact(instants)
}

// naive is an expression as the oracle reads it.
type naive struct {
	fields  []string
	minutes [60]bool
	hours   [24]bool
	days    map[int64]bool
}

func newNaive(expr string) *naive {
	n := &naive{fields: strings.Fields(expr), days: map[int64]bool{}}
	for m := range n.minutes {
		n.minutes[m] = naiveField(n.fields[0], m, 60, 0)
	}
	for h := range n.hours {
		n.hours[h] = naiveField(n.fields[1], h, 24, 0)
	}
	return n
}

func (n *naive) match(wall int64) bool {
	day := floorDiv(wall, secondsPerDay)
	second := wall - day*secondsPerDay
	if second%60 != 0 || !n.minutes[second/60%60] || !n.hours[second/3600] {
		return false
	}
	match, known := n.days[day]
	if !known {
		match = naiveDay(n.fields, time.Unix(wall, 0).UTC())
		n.days[day] = match
	}
	return match
}

func naiveDay(f []string, t time.Time) bool {
	if !naiveField(f[3], int(t.Month()), 12, 1) {
		return false
	}
	tomorrow := t.AddDate(0, 0, 1)
	date := naiveField(f[2], t.Day(), 31, 1) || f[2] == "L" && tomorrow.Day() == 1
	for item := range strings.SplitSeq(f[2], ",") {
		if n, ok := strings.CutSuffix(item, "W"); ok {
			date = date || naiveNearest(n, t)
		}
	}
	weekday := naiveField(f[4], int(t.Weekday()), 7, 0)
	switch f[4] {
	case "7L":
		weekday = t.Weekday() == 0 && t.AddDate(0, 0, 7).Month() != t.Month()
	case "sun#2":
		weekday = t.Weekday() == 0 && t.Day() > 7 && t.Day() <= 14
	}
	if f[2][0] != '*' && f[4][0] != '*' {
		return date || weekday
	}
	return date && weekday
}

// naiveNearest looks for the weekday with the least distance to day n.
func naiveNearest(n string, t time.Time) bool {
	day, _ := strconv.Atoi(n)
	target := time.Date(t.Year(), t.Month(), day, 0, 0, 0, 0, time.UTC)
	if target.Month() != t.Month() {
		return false
	}
	for _, distance := range []int{0, -1, 1, -2, 2} {
		d := target.AddDate(0, 0, distance)
		if d.Month() == t.Month() && d.Weekday() != 0 && d.Weekday() != 6 {
			return d.Day() == t.Day()
		}
	}
	return false
}

var naiveNames = map[string]int{"sun": 0, "mon": 1, "fri": 5}

func naiveField(field string, value, size, lo int) bool {
	for item := range strings.SplitSeq(field, ",") {
		span, stepText, _ := strings.Cut(item, "/")
		step, _ := strconv.Atoi(stepText)
		if step == 0 {
			step = 1
		}
		a, b := lo, lo+size-1
		if span != "*" {
			from, to, ranged := strings.Cut(span, "-")
			var ok bool
			if a, ok = naiveValue(from); !ok {
				continue
			}
			if b = a; ranged {
				b, _ = naiveValue(to)
			}
		}
		for n := a; ; n++ {
			if (n-lo)%size+lo == value && (n-a)%step == 0 {
				return true
			}
			if (n-lo)%size+lo == b {
				break
			}
		}
	}
	return false
}

func naiveValue(text string) (int, bool) {
	if n, ok := naiveNames[text]; ok {
		return n, true
	}
	n, err := strconv.Atoi(text)
	return n, err == nil
}
