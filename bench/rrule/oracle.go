// Package rrule compares the recurrence rules of provost with an expand-and-filter oracle, written
// from RFC 5545, and with three independent implementations: rrule-go, python-dateutil and ical.js.
package rrule

import (
	"fmt"
	"slices"
	"time"
)

// Origin is where every list of instants begins: before any rule of the table, and near enough for
// a search of 400 years.
var Origin = time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)

// Expand returns the first n instants of a recurrence set since Origin, in order and in UTC, or all
// of them if there are fewer. It goes through every day, or every second, and keeps those that no
// part of the rule excludes. This is slow, and simple enough to be compared with RFC 5545 by eye.
// Where the RFC leaves a choice, it follows the documentation of package schedule.
//
// zone is the zone of Schedule.In, "" for none.
func Expand(text, zone string, n int) ([]time.Time, error) {
	return expand(text, zone, n, map[frequency]time.Duration{
		daily: 250 * 365 * day, hourly: 20 * 365 * day, minutely: 3 * 365 * day, secondly: 60 * day,
	})
}

// expand is Expand with a bound of the search for each frequency. The bound of daily is also that
// of longer ones.
func expand(text, zone string, n int, bounds map[frequency]time.Duration) ([]time.Time, error) {
	s, err := parseSet(text, zone)
	if err != nil {
		return nil, err
	}
	finest := daily
	for _, r := range slices.Concat(s.rules, s.exrules) {
		finest = max(finest, r.freq)
	}
	span := 40 * day
	if finest > daily {
		span = 2 * time.Hour
	}
	for ; ; span *= 2 {
		instants, complete := s.expand(s.start.instant.Add(span))
		if len(instants) >= n {
			return instants[:n], nil
		}
		if complete {
			return instants, nil
		}
		if span > bounds[finest] {
			return nil, fmt.Errorf("%d instants, and no more in %d days", len(instants), int(span.Hours()/24))
		}
	}
}

// set is a recurrence set: the instants of rules and rdates, without those of exrules and exdates.
type set struct {
	clock           clock
	start           moment
	rules, exrules  []*rule
	rdates, exdates []time.Time
}

const day = 24 * time.Hour

// expand returns the instants up to the horizon, and whether there are no others.
func (s *set) expand(horizon time.Time) (instants []time.Time, complete bool) {
	instants, complete = slices.Clone(s.rdates), true
	for _, r := range s.rules {
		some, all := s.instants(r, horizon)
		instants = append(instants, some...)
		complete = complete && all
	}
	without := slices.Clone(s.exdates)
	for _, r := range s.exrules {
		some, _ := s.instants(r, horizon)
		without = append(without, some...)
	}
	slices.SortFunc(instants, time.Time.Compare)
	instants = slices.CompactFunc(instants, time.Time.Equal)
	return slices.DeleteFunc(instants, func(t time.Time) bool {
		return slices.ContainsFunc(without, t.Equal) || !complete && t.After(horizon)
	}), complete
}

// instants returns the instants of one rule up to the horizon, unsorted, and whether there are no
// others.
func (s *set) instants(r *rule, horizon time.Time) (instants []time.Time, all bool) {
	if r.freq >= hourly {
		return s.elapsed(r, horizon)
	}
	return s.calendar(r, horizon)
}

// calendar expands a rule with FREQ=DAILY or longer: local times first, then the instants at which
// the clock shows them.
func (s *set) calendar(r *rule, horizon time.Time) (instants []time.Time, all bool) {
	// Local times come in the order of the local clock, which near a gap is not the order of their
	// instants. The loop therefore continues past the horizon's local time.
	end := s.clock.wall(horizon).Add(3 * day)
	counted := 0
	for k := 0; ; k++ {
		first, next := r.period(s.start.wall, k)
		if first.After(end) {
			return instants, false
		}
		for _, wall := range atPositions(r.times(first, next), r.bysetpos) {
			instant := s.clock.instant(wall)
			if wall.Before(s.start.wall) || instant.Before(s.start.instant) {
				continue
			}
			if r.until.before(instant, wall) {
				return instants, true
			}
			instants = append(instants, instant)
			if counted++; counted == r.count {
				return instants, true
			}
		}
	}
}

// period returns the first day of the k-th period that the rule uses, and the first day after it.
func (r *rule) period(start time.Time, k int) (first, next time.Time) {
	year, month, date := start.Date()
	midnight := func(year int, month time.Month, date int) time.Time {
		return time.Date(year, month, date, 0, 0, 0, 0, time.UTC)
	}
	k *= r.interval
	switch r.freq {
	case yearly:
		return midnight(year+k, 1, 1), midnight(year+k+1, 1, 1)
	case monthly:
		return midnight(year, month+time.Month(k), 1), midnight(year, month+time.Month(k)+1, 1)
	case weekly:
		first = weekStart(midnight(year, month, date), r.wkst).AddDate(0, 0, 7*k)
		return first, first.AddDate(0, 0, 7)
	default:
		first = midnight(year, month, date+k)
		return first, first.AddDate(0, 0, 1)
	}
}

// times returns the local times of the days from first up to, but not including, next.
func (r *rule) times(first, next time.Time) []time.Time {
	var times []time.Time
	for d := first; d.Before(next); d = d.AddDate(0, 0, 1) {
		if !r.allowsDate(d) {
			continue
		}
		for _, hour := range r.byhour {
			for _, minute := range r.byminute {
				for _, second := range r.bysecond {
					times = append(times, d.Add(time.Duration(hour*3600+minute*60+second)*time.Second))
				}
			}
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	return slices.CompactFunc(times, time.Time.Equal)
}

// atPositions applies BYSETPOS to the sorted times of one period.
func atPositions(times []time.Time, positions []int) []time.Time {
	if positions == nil {
		return times
	}
	var picked []time.Time
	for i, t := range times {
		if slices.Contains(positions, i+1) || slices.Contains(positions, i-len(times)) {
			picked = append(picked, t)
		}
	}
	return picked
}

// elapsed expands a rule with FREQ=HOURLY or shorter, second by second.
func (s *set) elapsed(r *rule, horizon time.Time) (instants []time.Time, all bool) {
	unit := map[frequency]int64{hourly: 3600, minutely: 60, secondly: 1}[r.freq]
	// steady is a clock that keeps the offset of DTSTART.
	offset := s.clock.offset(s.start.instant)
	steady := func(instant time.Time) time.Time { return instant.Add(time.Duration(offset) * time.Second) }
	first := steady(s.start.instant).Unix() / unit
	for k := first; k*unit-offset <= horizon.Unix(); k += int64(r.interval) {
		for u := k*unit - offset; u < (k+1)*unit-offset; u++ {
			instant := time.Unix(u, 0).UTC()
			wall := s.clock.wall(instant)
			if instant.Before(s.start.instant) || !r.allowsTime(wall, steady(instant), s.start.wall) {
				continue
			}
			if r.bysetpos != nil && !r.atPosition(wall, steady(instant), s.start.wall, unit) {
				continue
			}
			if r.until.before(instant, wall) {
				return instants, true
			}
			instants = append(instants, instant)
			if len(instants) == r.count {
				return instants, true
			}
		}
	}
	return instants, r.until.before(horizon, s.clock.wall(horizon))
}

// atPosition applies BYSETPOS to a time that the other parts allow. Its position is counted among
// the local times of its local hour, minute or second.
func (r *rule) atPosition(wall, steady, start time.Time, unit int64) bool {
	begin := time.Unix(wall.Unix()-wall.Unix()%unit, 0).UTC()
	var times []time.Time
	for i := range unit {
		t := begin.Add(time.Duration(i) * time.Second)
		if r.allowsTime(t, t.Add(steady.Sub(wall)), start) {
			times = append(times, t)
		}
	}
	return slices.ContainsFunc(atPositions(times, r.bysetpos), wall.Equal)
}
