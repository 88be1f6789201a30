package schedule

import (
	"iter"
	"math"
	"time"
)

// Next returns the first instant after t, and false if there is none or the schedule is not valid.
// It also returns false where exceptions drop every instant of five years or more; see "Cost" in
// the package documentation.
func (s Schedule) Next(t time.Time) (time.Time, bool) { return s.seek(t, forward) }

// Prev returns the last instant before t. It returns false where Next would, looking backward.
func (s Schedule) Prev(t time.Time) (time.Time, bool) { return s.seek(t, backward) }

func (s Schedule) seek(t time.Time, way direction) (time.Time, bool) {
	if s.definition == nil || s.definition.err != nil {
		return time.Time{}, false
	}
	if s.definition.filter == nil {
		return way.step(s.definition.timing, t)
	}
	return s.definition.seek(t, way)
}

// Upcoming returns the first n instants after t, or all of them if there are fewer.
func (s Schedule) Upcoming(t time.Time, n int) []time.Time {
	var instants []time.Time
	for next := range s.All(t) {
		if len(instants) >= n {
			break
		}
		instants = append(instants, next)
	}
	return instants
}

// maxBetween bounds what Between returns.
const maxBetween = 1_000_000

// Between returns the instants after from, up to and including to, so that adjoining ranges share
// none. It returns at most the first million of them.
func (s Schedule) Between(from, to time.Time) []time.Time {
	var instants []time.Time
	for next := range s.All(from) {
		if next.After(to) || len(instants) >= maxBetween {
			break
		}
		instants = append(instants, next)
	}
	return instants
}

// All returns an iterator over the instants after t, in order. It does not end unless the schedule
// does.
func (s Schedule) All(t time.Time) iter.Seq[time.Time] {
	return func(yield func(time.Time) bool) {
		for {
			next, ok := s.Next(t)
			if !ok || !yield(next) {
				return
			}
			t = next
		}
	}
}

// Has reports whether t, to the nanosecond, is one of the schedule's instants. It is false for
// every time if the schedule is not valid.
func (s Schedule) Has(t time.Time) bool {
	next, ok := s.Next(t.Add(-time.Microsecond))
	return ok && next.Equal(t)
}

// maxCounted bounds how many instants CountUntil counts one by one.
const maxCounted = 1_000_000

// CountUntil returns the last instant that is not after until, and the number of instants from
// first to that one, both included. first must be an instant of the schedule, and not after until.
//
// An [Every] of less than 24 hours without exceptions is counted by division, up to math.MaxInt. Of
// every other schedule at most the first million instants are counted: count is then 1,000,000, and
// last is still exact. If the schedule is not valid, CountUntil returns first and 1.
func (s Schedule) CountUntil(first, until time.Time) (last time.Time, count int) {
	if interval, ok := s.evenInterval(); ok {
		if last, ok = s.Prev(until.Add(time.Microsecond)); ok {
			return last, int(min(math.MaxInt, int64(last.Sub(first)/interval)+1))
		}
	}
	last, count = first, 1
	for {
		next, ok := s.Next(last)
		if !ok || next.After(until) {
			return last, count
		}
		if count == maxCounted {
			last, _ = s.Prev(until.Add(time.Microsecond))
			return last, count
		}
		last = next
		count++
	}
}

// evenInterval returns the elapsed time between any two consecutive instants, and false if it
// varies.
func (s Schedule) evenInterval() (time.Duration, bool) {
	d := s.definition
	if d == nil || d.kind != kindInterval || d.interval >= 24*time.Hour || d.filter.excepts() {
		return 0, false
	}
	return d.interval, true
}
