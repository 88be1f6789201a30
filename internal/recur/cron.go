package recur

import (
	"math/bits"
	"time"
)

// Cron is a parsed five-field expression in a zone. It is immutable, and two Crons of the same text, zone and day rule
// are equal by ==.
type Cron struct {
	zone     *Zone
	expr     string
	minutes  uint64 // bit n: minute n
	hours    uint32 // bit n: hour n
	months   uint16 // bit n: month n, from 1
	days     dayRule
	everyish bool // the minute or hour field begins with *: follows elapsed time
}

// NewCron parses a five-field expression or a name such as @daily. Day of month and day of week are both required to
// match if dayAnd is set or one of the two begins with *; otherwise either is enough (crontab(5)).
func NewCron(expr string, zone *Zone, dayAnd bool) (*Cron, error) {
	c, err := parseCron(expr, zone, dayAnd)
	if err != nil {
		return nil, err
	}
	if _, ok := c.Next(time.Unix(neverFrom, 0)); !ok {
		return nil, errNeverFires(c)
	}
	return c, nil
}

// neverFrom is where NewCron looks for a first instant: 2000-01-01, the start of a calendar cycle, so that a search
// that ends in vain has seen every date.
const neverFrom = 946684800

// Expr is the canonical text: fields in numbers, single spaces. It parses back to an equal Cron.
func (c *Cron) Expr() string { return c.expr }

// Next returns the first instant strictly after the given one, false if there is none within 400 years.
func (c *Cron) Next(after time.Time) (time.Time, bool) {
	if after.Unix() >= lastInstant {
		return time.Time{}, false
	}
	from := max(after.Unix(), firstInstant-1) + 1
	limit := min(from+calendarCycle, lastInstant)
	for i := c.zone.periodOf(from); from <= limit; i++ {
		end := min(c.zone.begins(i+1), limit+1)
		if instant := c.nextInPeriod(i, from, end); instant < end {
			return time.Unix(instant, 0).UTC(), true
		}
		from = end
	}
	return time.Time{}, false
}

// nextInPeriod returns the first instant in [from, end), end if there is none. The whole range lies in period i.
func (c *Cron) nextInPeriod(i int, from, end int64) int64 {
	offset := c.zone.offset(i)
	if c.everyish || i < 0 {
		return c.nextOnClock(offset, from, end)
	}
	begin, previous := c.zone.begins(i), c.zone.offset(i-1)
	jump := offset - previous
	if jump < 0 { // until begin-jump the clock repeats what it showed before
		return c.nextOnClock(offset, max(from, begin-jump), end)
	}
	// Until begin+jump the times that were jumped over fire too.
	shifted := c.nextOnClock(previous, from, min(begin+jump, end))
	if shifted < min(begin+jump, end) {
		end = shifted
	}
	return c.nextOnClock(offset, from, end)
}

// nextOnClock returns the first instant in [from, end) at which a clock with that offset shows a matching time, end if
// there is none.
func (c *Cron) nextOnClock(offset, from, end int64) int64 {
	if from >= end {
		return end
	}
	minute := ceilDiv(from+offset, 60)
	lastMinute := floorDiv(end-1+offset, 60)
	if minute > lastMinute {
		return end
	}
	day, lastDay := floorDiv(minute, minutesPerDay), floorDiv(lastMinute, minutesPerDay)
	if c.days.matches(c.months, day) {
		if m, ok := c.nextInDay(int(minute - day*minutesPerDay)); ok {
			return clip(day*minutesPerDay+int64(m), lastMinute, offset, end)
		}
	}
	day, ok := c.days.next(c.months, day+1, lastDay)
	if !ok {
		return end
	}
	m, _ := c.nextInDay(0)
	return clip(day*minutesPerDay+int64(m), lastMinute, offset, end)
}

const minutesPerDay = 24 * 60

func clip(minute, lastMinute, offset, end int64) int64 {
	if minute > lastMinute {
		return end
	}
	return minute*60 - offset
}

// nextInDay returns the first matching minute of the day from minute on.
func (c *Cron) nextInDay(minute int) (int, bool) {
	hour, min := minute/60, minute%60
	if c.hours>>hour&1 != 0 {
		if rest := c.minutes >> min; rest != 0 {
			return hour*60 + min + bits.TrailingZeros64(rest), true
		}
	}
	rest := c.hours >> (hour + 1)
	if rest == 0 {
		return 0, false
	}
	return (hour+1+bits.TrailingZeros32(rest))*60 + bits.TrailingZeros64(c.minutes), true
}

// Prev returns the last instant strictly before the given one, false if there is none within 400 years.
func (c *Cron) Prev(before time.Time) (time.Time, bool) {
	until := min(before.Unix(), lastInstant) // the first second that is too late
	if before.Nanosecond() > 0 || before.Unix() > lastInstant {
		until++
	}
	limit := max(until-calendarCycle, firstInstant)
	for i := c.zone.periodOf(until - 1); until > limit; i-- {
		begin := max(c.zone.begins(i), limit)
		if instant := c.prevInPeriod(i, begin, until); instant >= begin {
			return time.Unix(instant, 0).UTC(), true
		}
		until = begin
	}
	return time.Time{}, false
}

// prevInPeriod mirrors nextInPeriod: the last instant in [from, end), or from-1.
func (c *Cron) prevInPeriod(i int, from, end int64) int64 {
	offset := c.zone.offset(i)
	if c.everyish || i < 0 {
		return c.prevOnClock(offset, from, end)
	}
	begin, previous := c.zone.begins(i), c.zone.offset(i-1)
	jump := offset - previous
	if jump < 0 {
		if instant := c.prevOnClock(offset, max(from, begin-jump), end); instant >= max(from, begin-jump) {
			return instant
		}
		return from - 1
	}
	return max(
		c.prevOnClock(previous, from, min(begin+jump, end)),
		c.prevOnClock(offset, from, end))
}

// prevOnClock mirrors nextOnClock: the last instant in [from, end), or from-1.
func (c *Cron) prevOnClock(offset, from, end int64) int64 {
	if from >= end {
		return from - 1
	}
	minute := floorDiv(end-1+offset, 60)
	firstMinute := ceilDiv(from+offset, 60)
	if minute < firstMinute {
		return from - 1
	}
	day, firstDay := floorDiv(minute, minutesPerDay), floorDiv(firstMinute, minutesPerDay)
	m, ok := 0, false
	if c.days.matches(c.months, day) {
		m, ok = c.prevInDay(int(minute - day*minutesPerDay))
	}
	if !ok {
		if day, ok = c.days.prev(c.months, day-1, firstDay); !ok {
			return from - 1
		}
		m, _ = c.prevInDay(minutesPerDay - 1)
	}
	if minute = day*minutesPerDay + int64(m); minute < firstMinute {
		return from - 1
	}
	return minute*60 - offset
}

// prevInDay returns the last matching minute of the day up to minute.
func (c *Cron) prevInDay(minute int) (int, bool) {
	hour, min := minute/60, minute%60
	if c.hours>>hour&1 != 0 {
		if rest := c.minutes & (1<<(min+1) - 1); rest != 0 {
			return hour*60 + bits.Len64(rest) - 1, true
		}
	}
	rest := c.hours & (1<<hour - 1)
	if rest == 0 {
		return 0, false
	}
	return (bits.Len32(rest)-1)*60 + bits.Len64(c.minutes) - 1, true
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func ceilDiv(a, b int64) int64 { return floorDiv(a+b-1, b) }
