package recur

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/provost-go/provost/internal/testenv"
)

// TestRRuleOracle compares the rules of the list, and random rules, with a plain reading of them.
// With RECUR_SWEEP=1 it compares far more of both.
func TestRRuleOracle(t *testing.T) {
	starts, drawn := 3, 1000
	switch {
	case os.Getenv("RECUR_SWEEP") != "":
		starts, drawn = 60, 100_000
	case testing.Short(), testenv.Race:
		starts, drawn = 1, 40
	}
	var compared, refused atomic.Int64
	var group sync.WaitGroup
	gate := make(chan struct{}, 4)
	compare := func(seed uint64, text func(*rand.Rand, *Zone) string) {
		gate <- struct{}{}
		group.Go(func() {
			defer func() { <-gate }()
			random := rand.New(rand.NewPCG(seed, 7))
			zone := mustZone(t, sampleZones[random.IntN(len(sampleZones))])
			n, fires := compareRRule(t, random, zone, text(random, zone))
			compared.Add(int64(n))
			if !fires {
				refused.Add(1)
			}
		})
	}
	for i, parts := range plainRules {
		for n := range starts {
			compare(uint64(i*1000+n), func(random *rand.Rand, zone *Zone) string {
				return "DTSTART:" + randomStart(random, zone).Format(plainLayout) + "\nRRULE:" + parts
			})
		}
	}
	for i := range drawn {
		compare(uint64(1_000_000+i), randomText)
	}
	group.Wait()
	t.Logf("%d instants compared in %d rules, %d of which are refused", compared.Load(), starts*len(plainRules)+drawn, refused.Load())
}

// compareRRule compares a rule around its start and its end, offset changes, the ends of years and
// leap days.
func compareRRule(t *testing.T, random *rand.Rand, zone *Zone, text string) (compared int, fires bool) {
	set := newPlainSet(text, zone.loc)
	r, err := NewRRule(text, zone)
	if err != nil {
		rare := strings.Contains(err.Error(), "years to count") && set.counts()
		if !rare && (!strings.Contains(err.Error(), "never fires") || !set.mayNeverFire()) {
			t.Errorf("%s in %s: %v", text, zone.name, err)
		}
		return 0, false
	}
	for _, window := range set.windows(random, zone) {
		n, ok := compareRRuleWindow(r, set, random, window[0], window[1])
		if ok != nil {
			t.Errorf("%s in %s between %v and %v:\n%v", text, zone.name, time.Unix(window[0], 0).UTC(), time.Unix(window[1], 0).UTC(), ok)
			break
		}
		compared += n
	}
	return compared, true
}

// mayNeverFire reports whether one of the rules, or the set, has no instant in thirty years.
func (s *plainSet) mayNeverFire() bool {
	span := int64(30 * 366 * secondsPerDay)
	return len(s.instants(firstInstant, s.start+s.reach(span))) == 0 ||
		slices.ContainsFunc(append(slices.Clone(s.rules), s.exRules...), func(r *plainRule) bool {
			return len(r.instants(s.start, s.start+r.reach(span))) == 0
		})
}

// windows returns the stretches of time in which a set is compared.
func (s *plainSet) windows(random *rand.Rand, zone *Zone) (windows [][2]int64) {
	span := int64(3000 * secondsPerDay)
	for _, r := range append(slices.Clone(s.rules), s.exRules...) {
		span = min(span, map[string]int64{"MONTHLY": 700, "WEEKLY": 300, "DAILY": 90, "HOURLY": 40, "MINUTELY": 8, "SECONDLY": 2}[r.freq]*secondsPerDay+
			map[string]int64{"YEARLY": 3000 * secondsPerDay}[r.freq])
	}
	span = s.reach(span)
	add := func(at, span int64) { windows = append(windows, [2]int64{at - span/4, at + span}) }
	add(s.start, span)
	add(s.start-random.Int64N(span), span/3)
	late := s.counts()
	if late {
		add(s.start+random.Int64N(span), span)
	}
	for _, r := range s.rules {
		if r.until < 1<<40 && (r.unit == 0 || r.until-s.start < span*100) {
			add(r.until, span/4)
		}
	}
	if late { // counting further ahead takes long
		return windows
	}
	for range 2 {
		if i := zone.periodOf(s.start + random.Int64N(20*366*secondsPerDay)); zone.begins(i) > firstInstant && i >= 0 {
			add(zone.begins(i), span/3)
		}
	}
	year := time.Unix(s.start, 0).UTC().Year() + random.IntN(40)
	add(time.Date(year, 12, 31, 0, 0, 0, 0, time.UTC).Unix(), span/8)
	add(time.Date(year-year%4, 2, 28, 0, 0, 0, 0, time.UTC).Unix(), span/8)
	add(time.Date(year+random.IntN(2000), 12, 20, 0, 0, 0, 0, time.UTC).Unix(), span/4)
	return windows
}

// reach shortens a span to what a scan can cover.
func (s *plainSet) reach(span int64) int64 {
	for _, r := range append(slices.Clone(s.rules), s.exRules...) {
		span = min(span, r.reach(span))
	}
	return span
}

func (r *plainRule) reach(span int64) int64 {
	if r.unit == 0 {
		return span
	}
	return min(span, r.stride(r.set.start, r.set.start+secondsPerDay)*20_000)
}

// counts reports whether a rule has a COUNT, so that the oracle counts from DTSTART to reach a
// window.
func (s *plainSet) counts() bool {
	has := func(r *plainRule) bool { return r.count > 0 }
	return slices.ContainsFunc(s.rules, has) || slices.ContainsFunc(s.exRules, has)
}

const maxCompared = 150

// compareRRuleWindow searches forward and back, from each instant and from between them.
func compareRRuleWindow(r *RRule, set *plainSet, random *rand.Rand, from, end int64) (compared int, err error) {
	want := set.instants(from, end)
	if len(want) > maxCompared {
		if random.IntN(2) == 0 {
			end, want = want[maxCompared], want[:maxCompared]
		} else {
			want = want[len(want)-maxCompared:]
			from = want[0]
		}
	}
	var forth, back []int64
	for at := time.Unix(from-1, 0); ; {
		next, ok := r.Next(at)
		if ok && !next.After(at) {
			return 0, fmt.Errorf("Next(%v) = %v", at.UTC(), next)
		}
		if !ok || next.Unix() >= end || len(forth) > len(want) {
			break
		}
		forth = append(forth, next.Unix())
		at = next
	}
	for at := time.Unix(end, 0); ; {
		prev, ok := r.Prev(at)
		if ok && !prev.Before(at) {
			return 0, fmt.Errorf("Prev(%v) = %v", at.UTC(), prev)
		}
		if !ok || prev.Unix() < from || len(back) > len(want) {
			break
		}
		back = append(back, prev.Unix())
		at = prev
	}
	slices.Reverse(back)
	if !slices.Equal(forth, want) {
		return 0, fmt.Errorf("Next: %s", difference(forth, want))
	}
	if !slices.Equal(back, want) {
		return 0, fmt.Errorf("Prev: %s", difference(back, want))
	}
	for range 6 {
		at := from + random.Int64N(end-from)
		i, found := slices.BinarySearch(want, at)
		if prev, ok := r.Prev(time.Unix(at, 0)); i > 0 && (!ok || prev.Unix() != want[i-1]) {
			return 0, fmt.Errorf("Prev(%v) = %v, want %v", time.Unix(at, 0).UTC(), prev, time.Unix(want[i-1], 0).UTC())
		}
		if found {
			i++
		}
		if next, ok := r.Next(time.Unix(at, 5)); i < len(want) && (!ok || next.Unix() != want[i]) {
			return 0, fmt.Errorf("Next(%v) = %v, want %v", time.Unix(at, 5).UTC(), next, time.Unix(want[i], 0).UTC())
		}
	}
	return len(want), nil
}
