package recur

import "math/bits"

// yearDates is a set of dates of one year: bit n stands for day n, counted from 0.
type yearDates [6]uint64

func (d *yearDates) add(n int) { d[n/64] |= 1 << (n % 64) }

// next returns the first day from n on, and false if there is none.
func (d *yearDates) next(n int) (int, bool) {
	i := n / 64
	for word := d[i] >> (n % 64) << (n % 64); ; word = d[i] {
		if word != 0 {
			return i*64 + bits.TrailingZeros64(word), true
		}
		if i++; i == len(d) {
			return 0, false
		}
	}
}

// prev returns the last day up to n, and false if there is none.
func (d *yearDates) prev(n int) (int, bool) {
	i := n / 64
	for word := d[i] & (1<<(n%64)<<1 - 1); ; word = d[i] {
		if word != 0 {
			return i*64 + bits.Len64(word) - 1, true
		}
		if i--; i < 0 {
			return 0, false
		}
	}
}

// before returns the number of days in the set before day n.
func (d *yearDates) before(n int) (count int) {
	for _, word := range d[:n/64] {
		count += bits.OnesCount64(word)
	}
	if rest := n % 64; rest > 0 {
		count += bits.OnesCount64(d[n/64] & (1<<rest - 1))
	}
	return count
}

// nth returns the day of the set that follows n others. The set has more than n.
func (d *yearDates) nth(n int) int {
	for i, word := range d {
		if count := bits.OnesCount64(word); n >= count {
			n -= count
			continue
		}
		return i*64 + nthBit(word, n)
	}
	panic("recur: no such date") // unreachable: callers count first
}

// A yearShape is what decides which dates of a year match the date parts of a rule: the weekday of
// January 1, and which of the year, the year before and the year after is a leap year, if any.
// There are 28.
type yearShape uint8

const yearShapes = 28

func shapeOf(year, begin int64) yearShape {
	shape := yearShape(weekday(begin))
	switch {
	case isLeap(year):
		return shape + 7
	case isLeap(year - 1):
		return shape + 14
	case isLeap(year + 1):
		return shape + 21
	}
	return shape
}

// A civilYear is a year of the calendar. The zero value is not a year; see [yearOf].
type civilYear struct {
	begin  int64 // January 1, in days since 1970
	length int64 // days
	shape  yearShape
}

// calendar lists the years from 2000 on, up to where the calendar repeats, with first day and
// shape.
var calendar = func() (years [401]struct {
	begin int32 // days since the beginning of 2000
	shape yearShape
},
) {
	for i := range years {
		begin := yearStart(int64(2000 + i))
		years[i].begin = int32(begin - day2000)
		years[i].shape = shapeOf(int64(2000+i), begin)
	}
	return years
}()

const (
	day2000   = 10957  // days from 1970 to 2000
	cycleDays = 146097 // days of 400 years
)

// yearOf returns the year that contains a day.
func yearOf(day int64) civilYear {
	cycle := floorDiv(day-day2000, cycleDays)
	n := day - day2000 - cycle*cycleDays
	i := n / 366
	for n >= int64(calendar[i+1].begin) {
		i++
	}
	return civilYear{cycle*cycleDays + day2000 + int64(calendar[i].begin), int64(calendar[i+1].begin - calendar[i].begin), calendar[i].shape}
}

// next returns the year after.
func (y civilYear) next() civilYear { return yearOf(y.begin + y.length) }

// previous returns the year before.
func (y civilYear) previous() civilYear { return yearOf(y.begin - 1) }

func (s yearShape) firstWeekday() int { return int(s % 7) }

func (s yearShape) length() int { return s.lengthIf(1) }

func (s yearShape) lengthBefore() int { return s.lengthIf(2) }

func (s yearShape) lengthAfter() int { return s.lengthIf(3) }

func (s yearShape) lengthIf(kind yearShape) int {
	if s/7 == kind {
		return 366
	}
	return 365
}

// weekNumber returns the number of the week that contains day n, as in ISO 8601 except for the day
// on which a week begins, and the number of weeks in the year to which that week belongs.
func (s yearShape) weekNumber(n, weekStart int) (number, weeks int) {
	begin := firstWeek(s.firstWeekday(), weekStart)
	end := s.length() + firstWeek(s.firstWeekday()+s.length(), weekStart)
	switch {
	case n < begin:
		end = begin
		begin = firstWeek(s.firstWeekday()-s.lengthBefore(), weekStart) - s.lengthBefore()
	case n >= end:
		begin = end
		end = s.length() + s.lengthAfter() + firstWeek(s.firstWeekday()+s.length()+s.lengthAfter(), weekStart)
	}
	return (n-begin)/7 + 1, (end - begin) / 7
}

// firstWeek returns the day of the year on which its first week begins, from -3 to 3. The first
// week is the first one with at least four days in the year.
func firstWeek(januaryFirst, weekStart int) int {
	since := ((januaryFirst-weekStart)%7 + 7) % 7
	if since <= 3 {
		return -since
	}
	return 7 - since
}

func isLeap(year int64) bool { return year%4 == 0 && (year%100 != 0 || year%400 == 0) }

// yearStart returns January 1 of a year, in days since 1970.
func yearStart(year int64) int64 {
	y := year - 1
	return 365*y + floorDiv(y, 4) - floorDiv(y, 100) + floorDiv(y, 400) - 719162
}

// monthStart returns the first day of a month, in days since 1970. Months are counted from January
// of the year 0.
func monthStart(months int64) int64 {
	year := floorDiv(months, 12)
	month := int(months - year*12)
	day := yearStart(year) + int64(daysBefore[month])
	if month > 1 && isLeap(year) {
		day++
	}
	return day
}

var daysBefore = [12]int{0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334}
