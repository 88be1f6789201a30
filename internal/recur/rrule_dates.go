package recur

import (
	"slices"
	"sync/atomic"
)

// ruleDates is the set of dates that match every date part of a rule; a part that is not given
// matches every date. The table in RFC 5545, section 3.3.10, of parts that expand and parts that
// limit, has the same result: a part that expands a period keeps those of its dates that match.
//
// Which dates of a year match depends on the [yearShape] alone. The dates of a shape are computed
// once, when they are first needed.
type ruleDates struct {
	months     []int // BYMONTH
	monthDays  []int // BYMONTHDAY, -1 is the last
	yearDays   []int // BYYEARDAY, -1 is the last
	weeks      []int // BYWEEKNO, -1 is the last
	weekdays   []nthWeekday
	weekStart  int  // WKST, Sunday is 0
	nthOfMonth bool // weekdays are counted in the month, not in the year

	shapes [yearShapes]atomic.Pointer[yearDates]
}

// nthWeekday is a weekday of BYDAY: the nth one, counted from the end if n is negative, or every
// one if n is 0.
type nthWeekday struct{ n, weekday int }

// everyDate reports whether every date matches.
func (r *ruleDates) everyDate() bool {
	return len(r.months)+len(r.monthDays)+len(r.yearDays)+len(r.weeks)+len(r.weekdays) == 0
}

// of returns the dates of a year.
func (r *ruleDates) of(shape yearShape) *yearDates {
	if dates := r.shapes[shape].Load(); dates != nil {
		return dates
	}
	dates := r.match(shape)
	r.shapes[shape].Store(dates)
	return dates
}

// match computes the dates of a year.
func (r *ruleDates) match(shape yearShape) *yearDates {
	dates := new(yearDates)
	example := int64(2001) // of an ordinary year
	if shape.length() == 366 {
		example = 2000
	}
	n := 0
	for month := 1; month <= 12; month++ {
		length := monthLength(example, month)
		for date := 1; date <= length; date++ {
			if r.matches(shape, n, month, date, length) {
				dates.add(n)
			}
			n++
		}
	}
	return dates
}

// matches reports whether day n of a year, which is a date of a month, matches every part.
func (r *ruleDates) matches(shape yearShape, n, month, date, monthLength int) bool {
	if len(r.months) > 0 && !slices.Contains(r.months, month) ||
		!among(r.monthDays, date, monthLength) || !among(r.yearDays, n+1, shape.length()) {
		return false
	}
	if len(r.weeks) > 0 {
		if number, weeks := shape.weekNumber(n, r.weekStart); !among(r.weeks, number, weeks) {
			return false
		}
	}
	if r.nthOfMonth {
		return r.onWeekday((shape.firstWeekday()+n)%7, date-1, monthLength)
	}
	return r.onWeekday((shape.firstWeekday()+n)%7, n, shape.length())
}

// onWeekday reports whether a day matches BYDAY. n is the number of days before it in its month or
// year.
func (r *ruleDates) onWeekday(weekday, n, length int) bool {
	for _, w := range r.weekdays {
		if w.weekday == weekday && (w.n == 0 || w.n == n/7+1 || w.n == -((length-1-n)/7+1)) {
			return true
		}
	}
	return len(r.weekdays) == 0
}

// among reports whether a list contains n, or the negative number that stands for n counted from
// the end. An empty list contains every number.
func among(list []int, n, length int) bool {
	return len(list) == 0 || slices.Contains(list, n) || slices.Contains(list, n-length-1)
}

// next returns the first date in [day, last].
func (r *ruleDates) next(day, last int64) (int64, bool) {
	if r.everyDate() {
		return day, day <= last
	}
	for year := yearOf(day); year.begin <= last; year = year.next() {
		if n, ok := r.of(year.shape).next(int(max(day-year.begin, 0))); ok {
			return year.begin + int64(n), year.begin+int64(n) <= last
		}
	}
	return 0, false
}

// prev returns the last date in [first, day].
func (r *ruleDates) prev(day, first int64) (int64, bool) {
	if r.everyDate() {
		return day, day >= first
	}
	for year := yearOf(day); year.begin+year.length > first; year = year.previous() {
		if n, ok := r.of(year.shape).prev(int(min(day-year.begin, year.length-1))); ok {
			return year.begin + int64(n), year.begin+int64(n) >= first
		}
	}
	return 0, false
}

// count returns the number of dates in [first, end).
func (r *ruleDates) count(first, end int64) (count int) {
	if r.everyDate() {
		return int(end - first)
	}
	for year := yearOf(first); year.begin < end; year = year.next() {
		dates := r.of(year.shape)
		count += dates.before(int(min(end-year.begin, year.length))) - dates.before(int(max(first-year.begin, 0)))
	}
	return count
}

// nth returns the date that follows n others, counted from first on. The caller knows that there is
// one.
func (r *ruleDates) nth(first int64, n int) int64 {
	if r.everyDate() {
		return first + int64(n)
	}
	year := yearOf(first)
	dates := r.of(year.shape)
	n += dates.before(int(first - year.begin))
	for total := dates.before(366); n >= total; total = dates.before(366) {
		n -= total
		year = year.next()
		dates = r.of(year.shape)
	}
	return year.begin + int64(dates.nth(n))
}
