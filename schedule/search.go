package schedule

import (
	"math"
	"slices"
	"time"
)

// A search for an instant that no exception drops goes from local date to local date: one instant tells of its whole date. It
// is bounded, because a schedule can drop all that it has: it ends after a calendar cycle of 400 years, in which every
// combination of date and weekday has come, and after a number of steps that is a matter of milliseconds.
const (
	maxSearchSteps = 1 << 12 // over five years of dates that a calendar drops
	maxSearchSpan  = 146_097 * secondsPerDay
	secondsPerDay  = 24 * 60 * 60
)

// search is one Next or Prev of a schedule with bounds or exceptions.
type search struct {
	spec      *spec
	way       direction
	steps     int                        // left
	calendars [maxCalendars]calendarDate // of spec.extra.exceptOn
}

// calendarDate is what a search knows of a calendar: from the date asked, found is the first on its way. A calendar is thus
// read once, however many dates the search passes.
type calendarDate struct {
	known        bool
	asked, found int64 // days since 1970
}

// seek finds the first instant from t on, in one direction, that neither a bound nor an exception drops.
func (c *spec) seek(t time.Time, way direction) (time.Time, bool) {
	x := c.extra
	s := search{spec: c, way: way, steps: maxSearchSteps + len(x.except)}
	t = x.enter(t, way)
	first, ok := way.step(c.timing, t)
	for at := first; ok && !x.outside(at); at, ok = way.step(c.timing, t) {
		if !s.drops(at) {
			return at, true
		}
		if s.steps--; s.steps < 0 || way.distance(first.Unix(), at.Unix()) > maxSearchSpan {
			break
		}
		t = way.leave(at, c.location)
	}
	return time.Time{}, false
}

// enter moves t to the bound that the search comes to first.
func (x *extra) enter(t time.Time, way direction) time.Time {
	if way == forward && !x.from.IsZero() && t.Before(x.from) {
		return x.from.Add(-time.Nanosecond)
	}
	if way == backward && !x.until.IsZero() && t.After(x.until) {
		return x.until.Add(time.Nanosecond)
	}
	return t
}

func (x *extra) outside(t time.Time) bool {
	return !x.from.IsZero() && t.Before(x.from) || !x.until.IsZero() && t.After(x.until)
}

// drops says whether the local date of an instant is excepted.
func (s *search) drops(at time.Time) bool {
	x := s.spec.extra
	if len(x.except) > 0 {
		var buffer [len(time.DateOnly)]byte
		date := at.In(s.spec.location).AppendFormat(buffer[:0], time.DateOnly)
		if _, found := slices.BinarySearch(x.except, string(date)); found {
			return true
		}
	}
	day := localDay(at, s.spec.location)
	for i, calendar := range x.exceptOn {
		if s.nearest(i, calendar, day) == day {
			return true
		}
	}
	return false
}

// nearest is the first date from day on, on the way of the search, that a calendar has.
func (s *search) nearest(i int, calendar Schedule, day int64) int64 {
	c := &s.calendars[i]
	if !c.known || s.way.distance(c.asked, day) < 0 || s.way.distance(day, c.found) < 0 {
		s.steps--
		*c = calendarDate{known: true, asked: day, found: s.way.firstDate(calendar, day)}
	}
	return c.found
}

// direction is the way of a search.
type direction int64

const (
	forward  direction = 1
	backward direction = -1
)

func (way direction) step(t interface {
	Next(time.Time) (time.Time, bool)
	Prev(time.Time) (time.Time, bool)
}, from time.Time,
) (time.Time, bool) {
	if way == forward {
		return t.Next(from)
	}
	return t.Prev(from)
}

// distance is how far b lies ahead of a, negative if behind.
func (way direction) distance(a, b int64) int64 { return int64(way) * (b - a) }

// noDate is ahead of every date.
const noDate = math.MaxInt32

// firstDate is the first local date of a calendar from day on.
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

// dateStart is where a search of a local date begins: no instant of the date lies behind it. Near a change of the clock the
// standard library does not say which midnight it means, nor does a date that is skipped have one, so there the search begins
// well before.
func (way direction) dateStart(day int64, location *time.Location) time.Time {
	if way == backward {
		day++
	}
	year, month, date := time.Unix(day*secondsPerDay, 0).UTC().Date()
	midnight := time.Date(year, month, date, 0, 0, 0, 0, location)
	const margin = 25 * time.Hour // a clock may jump by a day: over the date line
	begin, end := midnight.ZoneBounds()
	if midnight.Sub(begin) < margin || !end.IsZero() && end.Sub(midnight) < margin {
		midnight = midnight.Add(time.Duration(way) * -margin)
	}
	if way == forward {
		return midnight.Add(-time.Nanosecond)
	}
	return midnight
}

// leave is where a search goes on that is through with the local date of an instant: at the end of the date, or where the clock
// changes if that comes first. Between the two no other date can lie.
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

// localDay is the date that the clock of a location shows, in days since 1970.
func localDay(t time.Time, location *time.Location) int64 {
	_, offset := t.In(location).Zone()
	second := t.Unix() + int64(offset)
	day := second / secondsPerDay
	if second%secondsPerDay < 0 {
		day--
	}
	return day
}
