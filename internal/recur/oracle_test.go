package recur

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/provost-go/provost/internal/testenv"
)

// The oracle has no offset tables, periods or bits. It reads the clock of time.Time at every minute
// (every second, where an offset is not in whole minutes) and applies the rules as they are
// written.

// sweepExprs are the expressions that the oracle compares.
var sweepExprs = []string{
	"* * * * *", "*/15 * * * *", "*/7 * * * *", "0 * * * *", "30 * * * *", "0 */2 * * *", "15 */6 * * *",
	"* 2 * * *", "*/10 1-3 * * *", "*,5 0 * * *", "*/20 23-1 * * 0",
	"0 0 * * *", "1 0 * * *", "59 23 * * *", "30 0 * * *", "0 1 * * *", "30 1 * * *", "0 2 * * *", "30 2 * * *",
	"0 3 * * *", "0,30 0-4 * * *", "15,45 22-2 * * *", "50-10/5 23-1 * * *", "0-59 0-23 * * *", "0 12 * * *",
	"7 0-23/2 * * *", "30 2 * * sun", "0 0 * * fri-mon", "0 2 1,30,31 * 0", "15 1 28-3 nov-feb *", "30 1 */2 * 5",
	"0-59 * 30 12 *", "30 0 L * *", "30 2 * * 7L", "0 2 * 3,10 sun#2", "0 3 * * 1,sun#1,5L", "0 0 1W,15W,31W * *",
	"0 0 1 4,10 *", "0 23 LW * *", "30 1 L-2,L-6 3,9,10 *", "0 0 L-30,L-29,5 * *", "45 23 L-1 * 6L", "0 0,2 */2 * */2",
}

// sampleZones have every kind of offset change: an hour, half an hour, at midnight, at 00:01, a
// whole day, odd seconds, around Ramadan.
var sampleZones = []string{
	"UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Africa/Cairo", "Pacific/Apia",
	"America/Havana", "America/Santiago", "America/St_Johns", "Africa/Casablanca", "Asia/Manila", "Antarctica/Troll",
	"America/Juneau", "Pacific/Kwajalein", "Asia/Gaza", "Africa/Monrovia", "Europe/Amsterdam", "Asia/Pyongyang",
}

// TestOracle compares the instants around offset changes: with RECUR_SWEEP=1 around every change of
// every zone, otherwise around one of each kind since 1970. Package time reads the zones from
// another edition if ZONEINFO names one.
func TestOracle(t *testing.T) {
	zones := distinctZones(t)
	var windows []window
	switch {
	case os.Getenv("RECUR_SWEEP") != "":
		windows = changeWindows(zones, firstInstant)
	case testing.Short(), testenv.Race:
		windows = everyNth(oneOfEachKind(changeWindows(zones, 0)), 13)
	default:
		windows = oneOfEachKind(changeWindows(zones, 0))
	}
	var compared, taken atomic.Int64
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			oracles := newOracles()
			for {
				i := int(taken.Add(1)) - 1
				if i >= len(windows) {
					return
				}
				compared.Add(compareWindow(t, oracles, windows[i]))
			}
		})
	}
	group.Wait()
	t.Logf("%d instants compared in %d windows of %d zones with %d expressions", compared.Load(), len(windows), len(zones), len(sweepExprs))
}

// distinctZones returns the zones of the list, without those that always have the offsets of
// another one.
func distinctZones(t *testing.T) (zones []*Zone) {
	seen := map[string]bool{}
	for name := range zoneNames() {
		z := mustZone(t, name)
		if key := fmt.Sprint(z.initial, z.changes); !seen[key] {
			seen[key] = true
			zones = append(zones, z)
		}
	}
	return zones
}

// A window is a stretch of time around an instant in a zone.
type window struct {
	zone *Zone
	at   int64
}

// changeWindows returns the windows around each change from an instant up to sweepUntil, and one
// for each zone with few changes.
func changeWindows(zones []*Zone, from int64) (windows []window) {
	for _, z := range zones {
		for _, c := range z.changes {
			if from <= c.at && c.at < sweepUntil {
				windows = append(windows, window{z, c.at})
			}
		}
		windows = append(windows, window{z, 1_767_225_600})
	}
	return windows
}

// oneOfEachKind picks windows whose changes differ in the offsets or in the local time, and the
// first window without a change.
func oneOfEachKind(windows []window) (picked []window) {
	type kind struct{ before, after, clock int64 }
	seen := map[kind]bool{}
	for _, w := range windows {
		i := w.zone.periodOf(w.at)
		k := kind{w.zone.offset(i - 1), w.zone.offset(i), (w.at + w.zone.offset(i)) % secondsPerDay}
		if w.zone.begins(i) != w.at {
			k = kind{}
		}
		if !seen[k] {
			seen[k] = true
			picked = append(picked, w)
		}
	}
	return picked
}

func everyNth(windows []window, n int) (picked []window) {
	for i := 0; i < len(windows); i += n {
		picked = append(picked, windows[i])
	}
	return picked
}

// sweepUntil is 2038-01-01. Later changes follow the same yearly rules, and TestZoneTable compares
// their offsets.
const sweepUntil = 2_145_916_800

const (
	windowHalf = 48 * 3600            // compared on either side of a change
	windowView = windowHalf + 28*3600 // read by the oracle, so that it sees a shift of a day
)

func compareWindow(t *testing.T, oracles []*naive, w window) (compared int64) {
	from, end := w.at-windowHalf, w.at+windowHalf
	view := look(w.zone.loc, w.at-windowView, w.at+windowView)
	random := rand.New(rand.NewPCG(uint64(w.at), 1))
	for _, n := range oracles {
		c, err := NewCron(n.expr, w.zone, false)
		if err != nil {
			t.Errorf("%s in %s: %v", n.expr, w.zone.name, err)
			return compared
		}
		want := n.fires(view, from, end)
		compared += int64(len(want))
		if got := chainNext(c, from, end); !slices.Equal(got, want) {
			t.Errorf("%q in %s around %v:\n%s", n.expr, w.zone.name, time.Unix(w.at, 0).UTC(), difference(got, want))
			continue
		}
		back := chainPrev(c, from, end)
		slices.Reverse(back)
		if !slices.Equal(back, want) {
			t.Errorf("Prev of %q in %s around %v:\n%s", n.expr, w.zone.name, time.Unix(w.at, 0).UTC(), difference(back, want))
		}
		for range 8 {
			compareStart(t, c, want, from+random.Int64N(end-from), from, end)
		}
		if len(want) > 0 {
			compareAfar(t, c, want[0], want[len(want)-1])
		}
	}
	return compared
}

// compareStart checks that the instants do not depend on where a search begins.
func compareStart(t *testing.T, c *Cron, want []int64, start, from, end int64) {
	i, found := slices.BinarySearch(want, start)
	next := i
	if found {
		next++
	}
	got, ok := c.Next(time.Unix(start, 5))
	if next < len(want) && got.Unix() != want[next] || next == len(want) && ok && got.Unix() < end {
		t.Errorf("%q in %s: Next(%v) = %v", c.expr, c.zone.name, time.Unix(start, 5).UTC(), got)
	}
	got, ok = c.Prev(time.Unix(start, 0))
	if i > 0 && got.Unix() != want[i-1] || i == 0 && ok && got.Unix() >= from {
		t.Errorf("%q in %s: Prev(%v) = %v", c.expr, c.zone.name, time.Unix(start, 0).UTC(), got)
	}
}

// compareAfar searches for the first and the last instant of a window from their neighbours outside
// the window, which may be years away.
func compareAfar(t *testing.T, c *Cron, first, last int64) {
	if prev, ok := c.Prev(time.Unix(first, 0)); ok {
		if got, _ := c.Next(prev); got.Unix() != first {
			t.Errorf("%q in %s: Next(%v) = %v, want %v", c.expr, c.zone.name, prev, got, time.Unix(first, 0).UTC())
		}
	}
	if next, ok := c.Next(time.Unix(last, 0)); ok {
		if got, _ := c.Prev(next); got.Unix() != last {
			t.Errorf("%q in %s: Prev(%v) = %v, want %v", c.expr, c.zone.name, next, got, time.Unix(last, 0).UTC())
		}
	}
}

// TestCronDays compares the days of random day fields, with one and with both required, over years
// with leap days and a century without one.
func TestCronDays(t *testing.T) {
	cases := 300
	if testenv.Race {
		cases = 20
	}
	random := rand.New(rand.NewPCG(7, 8))
	zone := mustZone(t, "UTC")
	for range cases {
		expr := fmt.Sprintf("0 0 %s %s %s", randomItems(random, randomDate), randomItems(random, randomMonth), randomItems(random, randomWeekday))
		n := newNaive(expr, random.IntN(2) == 0)
		first := time.Date(1995+random.IntN(105), 1, 1, 0, 0, 0, 0, time.UTC).Unix()
		last := first + 9*366*secondsPerDay
		var want []int64
		for u := first; u < last; u += secondsPerDay {
			if n.onDay(u / secondsPerDay) {
				want = append(want, u)
			}
		}
		c, err := NewCron(expr, zone, n.and)
		if err != nil {
			if len(want) > 0 || !strings.Contains(err.Error(), "never fires") {
				t.Errorf("%v, but %q (and: %t) fires on %v", err, expr, n.and, want)
			}
			continue
		}
		back := chainPrev(c, first, last)
		slices.Reverse(back)
		if got := chainNext(c, first, last); !slices.Equal(got, want) || !slices.Equal(back, want) {
			t.Errorf("%q (and: %t):\n%sback:\n%s", expr, n.and, difference(got, want), difference(back, want))
		}
	}
}

// randomItems returns a list of one to three items, or a star.
func randomItems(random *rand.Rand, item func(*rand.Rand) string) string {
	if random.IntN(3) == 0 {
		return "*"
	}
	items := []string{item(random)}
	for random.IntN(3) == 0 {
		items = append(items, item(random))
	}
	return strings.Join(items, ",")
}

func randomDate(random *rand.Rand) string {
	date := 1 + random.IntN(31)
	switch random.IntN(7) {
	case 0:
		return "L"
	case 1:
		return "LW"
	case 2:
		return fmt.Sprintf("L-%d", 1+random.IntN(30))
	case 3:
		return fmt.Sprintf("%dW", date)
	case 4:
		return fmt.Sprintf("%d-%d", date, 1+random.IntN(31))
	case 5:
		return fmt.Sprintf("*/%d", 1+random.IntN(30))
	}
	return strconv.Itoa(date)
}

func randomMonth(random *rand.Rand) string {
	if random.IntN(2) == 0 {
		return fmt.Sprintf("%d-%d", 1+random.IntN(12), 1+random.IntN(12))
	}
	return []string{"2", "1", "12", "4"}[random.IntN(4)]
}

func randomWeekday(random *rand.Rand) string {
	weekday := random.IntN(7)
	switch random.IntN(4) {
	case 0:
		return fmt.Sprintf("%dL", weekday)
	case 1:
		return fmt.Sprintf("%d#%d", weekday, 1+random.IntN(5))
	case 2:
		return fmt.Sprintf("%d-%d", weekday, random.IntN(7))
	}
	return strconv.Itoa(weekday)
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

// A view is what a clock shows over a stretch of time: the instants at which a schedule may fire,
// and the local minutes for which it would.
type view struct {
	every []showing // for a schedule that fires whenever the clock shows a matching time
	once  []showing // for one that fires once for each local time
}

type showing struct {
	instant int64
	day     int64 // from 1970-01-01
	minute  int   // of the day
}

// look applies the rules for gaps and overlaps. It reads the clock once for all expressions.
func look(loc *time.Location, from, end int64) (v view) {
	step := int64(60)
	for u := from; u < end; u += 3600 {
		if _, offset := time.Unix(u, 0).In(loc).Zone(); offset%60 != 0 || from%60 != 0 {
			step = 1
		}
	}
	lowest := from - maxOffset
	shown := make([]bool, (end-from+2*maxOffset)/step)
	var walls []int64
	for u := from; u < end; u += step {
		_, offset := time.Unix(u, 0).In(loc).Zone()
		wall := u + int64(offset)
		walls = append(walls, wall)
		v.every = appendMinute(v.every, u, wall)
		if k := (wall - lowest) / step; !shown[k] {
			shown[k] = true
			v.once = appendMinute(v.once, u, wall)
		}
	}
	for i, wall := range walls[1:] {
		before := walls[i] // the clock jumps where the next reading is not the next minute
		for skipped := before + step; skipped < wall; skipped += step {
			if !shown[(skipped-lowest)/step] {
				v.once = appendMinute(v.once, from+int64(i)*step+skipped-before, skipped)
			}
		}
	}
	slices.SortStableFunc(v.once, func(a, b showing) int { return int(a.instant - b.instant) })
	return v
}

func appendMinute(list []showing, instant, wall int64) []showing {
	if wall%60 != 0 {
		return list
	}
	day := floorDiv(wall, secondsPerDay)
	return append(list, showing{instant, day, int(wall-day*secondsPerDay) / 60})
}
