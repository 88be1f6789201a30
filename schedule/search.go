package schedule

import (
	"math"
	"slices"
	"time"
)

// A search that skips exceptions goes from local date to local date: one instant decides for its
// whole date. The search is bounded, because exceptions may drop every instant. It ends after a
// calendar cycle of 400 years, in which each combination of date and weekday has occurred, and
// after a number of steps that takes milliseconds.
const (
	maxSearchSteps = 1 << 12 // enough for over five years of dates that a calendar drops
	maxSearchSpan  = 146_097 * secondsPerDay
	secondsPerDay  = 24 * 60 * 60
)

// search is one Next or Prev of a schedule with bounds or exceptions.
type search struct {
	filter    *filter
	location  *time.Location
	way       direction
	steps     int                        // that are left
	calendars [maxCalendars]calendarDate // of filter.exceptOn
}

// calendarDate is what a search has read of a calendar: the first date that the calendar has,
// starting at asked, is found. A calendar is thus read once, however many dates the search passes.
type calendarDate struct {
	known        bool
	asked, found int64 // days since 1970
}

// seek returns the first instant after t, or the last one before it, that no bound and no exception
// drops.
func (d *definition) seek(t time.Time, way direction) (time.Time, bool) {
	f := d.filter
	s := search{filter: f, location: d.location, way: way, steps: maxSearchSteps + len(f.except)}
	t = f.enter(t, way)
	first, ok := way.step(d.timing, t)
	for at := first; ok && !f.isOutside(at); at, ok = way.step(d.timing, t) {
		if !s.drops(at) {
			return at, true
		}
		if s.steps--; s.steps < 0 || way.distance(first.Unix(), at.Unix()) > maxSearchSpan {
			break
		}
		t = way.leave(at, d.location)
	}
	return time.Time{}, false
}

// enter moves a start outside the bounds to the bound that the search reaches first.
func (f *filter) enter(t time.Time, way direction) time.Time {
	if way == forward && !f.from.IsZero() && t.Before(f.from) {
		return f.from.Add(-time.Nanosecond)
	}
	if way == backward && !f.until.IsZero() && t.After(f.until) {
		return f.until.Add(time.Nanosecond)
	}
	return t
}

// isOutside reports whether t is outside the bounds.
func (f *filter) isOutside(t time.Time) bool {
	return !f.from.IsZero() && t.Before(f.from) || !f.until.IsZero() && t.After(f.until)
}

// drops reports whether the local date of an instant is excepted.
func (s *search) drops(at time.Time) bool {
	if len(s.filter.except) > 0 {
		var buffer [len(time.DateOnly)]byte
		date := at.In(s.location).AppendFormat(buffer[:0], time.DateOnly)
		if _, found := slices.BinarySearch(s.filter.except, string(date)); found {
			return true
		}
	}
	day := localDay(at, s.location)
	for i, calendar := range s.filter.exceptOn {
		if s.nearest(i, calendar, day) == day {
			return true
		}
	}
	return false
}

// nearest returns the first date of a calendar, from day on in the direction of the search.
func (s *search) nearest(i int, calendar Schedule, day int64) int64 {
	c := &s.calendars[i]
	if !c.known || s.way.distance(c.asked, day) < 0 || s.way.distance(day, c.found) < 0 {
		s.steps--
		*c = calendarDate{known: true, asked: day, found: s.way.firstDate(calendar, day)}
	}
	return c.found
}

// direction is the direction of a search.
type direction int64

const (
	forward  direction = 1
	backward direction = -1
)

// step returns the instant that follows from in the direction.
func (way direction) step(instants sequence, from time.Time) (time.Time, bool) {
	if way == forward {
		return instants.Next(from)
	}
	return instants.Prev(from)
}

// distance returns how far b is ahead of a in the direction, negative if it is behind.
func (way direction) distance(a, b int64) int64 { return int64(way) * (b - a) }

// noDate is beyond every date.
const noDate = math.MaxInt32

// firstDate returns the first local date of a calendar from day on, in the direction.
func (way direction) firstDate(calendar Schedule, day int64) int64 {
	location := calendar.location()
	t := way.dateStart(day, location)
	for {
		at, ok := way.step(calendar, t)
		if !ok {
			return int64(way) * noDate
		}
		if found := localDay(at, location); way.distance(day, found) >= 0 {
			return found
		}
		t = way.leave(at, location)
	}
}

// dateStart returns a time before every instant of a local date, seen in the direction of the
// search. Near an offset change it stays well clear of midnight: the standard library does not
// define which of two midnights it returns, and a date that the clock skips has none.
func (way direction) dateStart(day int64, location *time.Location) time.Time {
	if way == backward {
		day++
	}
	year, month, date := time.Unix(day*secondsPerDay, 0).UTC().Date()
	midnight := time.Date(year, month, date, 0, 0, 0, 0, location)
	const margin = 25 * time.Hour // a clock may jump by a day, across the date line
	begin, end := midnight.ZoneBounds()
	if midnight.Sub(begin) < margin || !end.IsZero() && end.Sub(midnight) < margin {
		midnight = midnight.Add(time.Duration(way) * -margin)
	}
	if way == forward {
		return midnight.Add(-time.Nanosecond)
	}
	return midnight
}

// leave returns where a search continues after the local date of an instant: at the end of the
// date, or at the next offset change if that comes first. No other date begins before either.
func (way direction) leave(at time.Time, location *time.Location) time.Time {
	local := at.In(location)
	_, offset := local.Zone()
	begin, end := local.ZoneBounds()
	midnight := time.Unix(localDay(at, location)*secondsPerDay-int64(offset), 0)
	if way == backward {
		if begin.After(midnight) {
			return begin
		}
		return midnight
	}
	midnight = midnight.Add(secondsPerDay * time.Second)
	if end.After(at) && end.Before(midnight) {
		midnight = end
	}
	return midnight.Add(-time.Nanosecond)
}

// localDay returns the date that the clock of a location shows, in days since 1970.
func localDay(t time.Time, location *time.Location) int64 {
	_, offset := t.In(location).Zone()
	second := t.Unix() + int64(offset)
	day := second / secondsPerDay
	if second%secondsPerDay < 0 {
		day--
	}
	return day
}
