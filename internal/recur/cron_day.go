package recur

import "math/bits"

// dayRule decides which days of a month match. It consists of bits, so that the matching days of a
// month fit in one word and a search steps from one month of the schedule to the next.
type dayRule struct {
	onDate    uint32 // bit d: day d of the month
	nearDate  uint32 // bit d: the weekday nearest to day d ("15W")
	fromLast  uint32 // bit n: n days before the last day of the month ("L", "L-3")
	nearLast  bool   // the last weekday of the month ("LW")
	either    bool   // one of date and weekday is enough
	onWeekday uint8  // bit v: weekday v, Sunday is 0
	lastOf    uint8  // bit v: the last weekday v of the month ("5L")
	nthOf     uint64 // bit 7*(n-1)+v: the nth weekday v of the month ("5#2")
}

// next returns the first matching day in [day, last]; days count from 1970-01-01.
func (r *dayRule) next(months uint16, day, last int64) (int64, bool) {
	year, month, date := civil(day)
	first := day - int64(date-1)
	for first <= last {
		if months>>month&1 != 0 {
			if rest := r.inMonth(first, monthLength(year, month)) >> date; rest != 0 {
				found := first + int64(date-1+bits.TrailingZeros32(rest))
				return found, found <= last
			}
		}
		if later := months >> (month + 1); later != 0 {
			month += 1 + bits.TrailingZeros16(later)
		} else {
			year, month = year+1, bits.TrailingZeros16(months)
		}
		first, date = monthStart(year*12+int64(month-1)), 1
	}
	return 0, false
}

// prev returns the last matching day in [first, day].
func (r *dayRule) prev(months uint16, day, first int64) (int64, bool) {
	year, month, date := civil(day)
	begin := day - int64(date-1)
	for begin+int64(date-1) >= first {
		if months>>month&1 != 0 {
			upTo := uint32(uint64(1)<<(date+1) - 1)
			if rest := r.inMonth(begin, monthLength(year, month)) & upTo; rest != 0 {
				found := begin + int64(bits.Len32(rest)-2)
				return found, found >= first
			}
		}
		earlier := months & (1<<month - 1)
		if earlier == 0 {
			year, earlier = year-1, months
		}
		month = bits.Len16(earlier) - 1
		begin, date = monthStart(year*12+int64(month-1)), monthLength(year, month)
	}
	return 0, false
}

// inMonth returns the matching days of the month that begins on day first, bit d for day d.
func (r *dayRule) inMonth(first int64, length int) uint32 {
	opening := weekday(first)
	dates := r.dates(opening, length)
	weekdays := r.weekdays(opening, length)
	all := uint32(uint64(1)<<(length+1) - 2)
	if r.either {
		return (dates | weekdays) & all
	}
	return dates & weekdays & all
}

// dates returns the days that the day-of-month field matches.
func (r *dayRule) dates(opening, length int) uint32 {
	dates := r.onDate | bits.Reverse32(r.fromLast)>>(31-length)
	if r.nearLast {
		dates |= 1 << nearestWeekday(length, opening, length)
	}
	for near := r.nearDate; near != 0; near &= near - 1 {
		if date := bits.TrailingZeros32(near); date <= length {
			dates |= 1 << nearestWeekday(date, opening, length)
		}
	}
	return dates
}

// nearestWeekday returns the day from Monday to Friday that is nearest to a date in the same month,
// as Quartz defines "15W".
func nearestWeekday(date, opening, length int) int {
	switch (opening + date - 1) % 7 {
	case 6: // Saturday
		if date == 1 {
			return 3
		}
		return date - 1
	case 0: // Sunday
		if date == length {
			return date - 2
		}
		return date + 1
	}
	return date
}

// weekdays returns the days that the day-of-week field matches.
func (r *dayRule) weekdays(opening, length int) uint32 {
	days := byDate(r.nthOf|everyWeek*uint64(r.onWeekday), opening)
	if r.lastOf != 0 {
		days |= byDate(everyWeek*uint64(r.lastOf), opening) &^ (1<<(length-6) - 1)
	}
	return days
}

// everyWeek, multiplied by a set of weekdays, is that set in each week, in the order of nthOf.
const everyWeek = 1 | 1<<7 | 1<<14 | 1<<21 | 1<<28

// byDate turns a set in the order of nthOf into days of a month whose first day is the weekday
// opening. In each week of such a month the weekdays before opening come last.
func byDate(nth uint64, opening int) uint32 {
	last := nth & (everyWeek * (1<<opening - 1))
	return uint32(((nth&^last)>>opening | last<<(7-opening)) << 1)
}

func weekday(day int64) int { return int(((day+4)%7 + 7) % 7) } // 1970-01-01 was a Thursday

func monthLength(year int64, month int) int {
	if month == 2 {
		if isLeap(year) {
			return 29
		}
		return 28
	}
	return 30 + (month+month>>3)&1
}

// civil returns the Gregorian date of a day counted from 1970-01-01. The algorithm is
// civil_from_days of Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms".
func civil(day int64) (year int64, month, date int) {
	day += 719468 // since 0000-03-01, so that the leap day is the last of its year
	era := floorDiv(day, 146097)
	ofEra := uint32(day - era*146097)
	yearOfEra := (ofEra - ofEra/1460 + ofEra/36524 - ofEra/146096) / 365
	ofYear := ofEra - (365*yearOfEra + yearOfEra/4 - yearOfEra/100)
	shifted := (5*ofYear + 2) / 153
	date = int(ofYear-(153*shifted+2)/5) + 1
	month = int(shifted) + 3
	year = int64(yearOfEra) + era*400
	if month > 12 {
		return year + 1, month - 12, date
	}
	return year, month, date
}
