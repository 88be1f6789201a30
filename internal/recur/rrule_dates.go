package recur

import (
	"slices"
	"sync/atomic"
)

// ruleDates are the dates on which all the date parts of a rule hold; a part that is not given holds always. The table of
// RFC 5545, section 3.3.10, of parts that expand and parts that limit, comes to the same: a part that expands a period
// keeps those of its dates that match.
//
// What the parts say of a year depends on its [yearShape] alone. Each shape is worked out once, when it is first met.
type ruleDates struct {
	months     []int // BYMONTH
	monthDays  []int // BYMONTHDAY, -1 is the last
	yearDays   []int // BYYEARDAY, -1 is the last
	weeks      []int // BYWEEKNO, -1 is the last
	weekdays   []nthWeekday
	weekStart  int  // WKST, Sunday is 0
	nthOfMonth bool // weekdays are counted in a month, else in a year

	shapes [yearShapes]atomic.Pointer[yearDates]
}

// nthWeekday is a weekday of BYDAY: the nth one, from the end if negative, every one if 0.
type nthWeekday struct{ n, weekday int }

// everyDate reports whether no date is left out.
func (r *ruleDates) everyDate() bool {
	return len(r.months)+len(r.monthDays)+len(r.yearDays)+len(r.weeks)+len(r.weekdays) == 0
}

// of returns the dates of a year.
func (r *ruleDates) of(shape yearShape) *yearDates {
	if dates := r.shapes[shape].Load(); dates != nil {
		return dates
	}
	dates := r.workOut(shape)
	r.shapes[shape].Store(dates)
	return dates
}

func (r *ruleDates) workOut(shape yearShape) *yearDates {
	dates := new(yearDates)
	example := int64(2001) // of an ordinary year
	if shape.length() == 366 {
		example = 2000
	}
	n := 0
	for month := 1; month <= 12; month++ {
		length := monthLength(example, month)
		for date := 1; date <= length; date++ {
			if r.hold(shape, n, month, date, length) {
				dates.add(n)
			}
			n++
		}
	}
	return dates
}

func (r *ruleDates) hold(shape yearShape, n, month, date, monthLength int) bool {
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

// onWeekday is BYDAY for a day that n days of its month or year precede.
func (r *ruleDates) onWeekday(weekday, n, length int) bool {
	for _, w := range r.weekdays {
		if w.weekday == weekday && (w.n == 0 || w.n == n/7+1 || w.n == -((length-1-n)/7+1)) {
			return true
		}
	}
	return len(r.weekdays) == 0
}

// among reports whether a list has the number n, or the negative number that counts it from the end.
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

// nth returns the date that n others from first on precede. There is one.
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
