package recur

import (
	"math/bits"
	"time"
)

// Cron is a parsed five-field expression in a zone. It is immutable. Two Crons with the same
// canonical text, zone and day rule are equal by ==.
type Cron struct {
	zone    *Zone
	expr    string
	minutes uint64 // bit n: minute n
	hours   uint32 // bit n: hour n
	months  uint16 // bit n: month n, from 1
	days    dayRule
	passes  passes // everyPass if the minute or hour field begins with *
}

// NewCron parses a five-field expression or a name such as @daily. A day must match both day fields
// if dayAnd is set or one of the two begins with *; otherwise it must match either of them
// (crontab(5)). An expression that never fires is an error.
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

// neverFrom is where NewCron searches for a first instant: 2000-01-01, the start of a calendar
// cycle, so that a search that finds nothing has seen every date.
const neverFrom = 946684800

// Expr returns the canonical text: numbers in place of names, single spaces. It parses to an equal
// Cron.
func (c *Cron) Expr() string { return c.expr }

// Next returns the first instant strictly after the given one, and false if there is none within
// 400 years.
func (c *Cron) Next(after time.Time) (time.Time, bool) {
	from, limit, ok := ahead(after)
	if !ok {
		return time.Time{}, false
	}
	near := min(from+nearby, limit)
	instant, ok := c.zone.next(c, c.passes, from, near)
	if !ok {
		instant, ok = c.zone.next(c, c.passes, c.earliest(near+1, limit), limit)
	}
	return at(instant, ok)
}

// Prev returns the last instant strictly before the given one, and false if there is none within
// 400 years.
func (c *Cron) Prev(before time.Time) (time.Time, bool) {
	limit, until := behind(before)
	near := max(until-nearby, limit)
	instant, ok := c.zone.prev(c, c.passes, near, until)
	if !ok {
		instant, ok = c.zone.prev(c, c.passes, limit, c.latest(limit, near))
	}
	return at(instant, ok)
}

// nearby is the range that is searched period by period of the zone: the dates of a monthly
// schedule are at most five weeks apart. A search beyond it looks for a matching date first,
// because there are many offset changes before, say, the next leap day that is a Monday.
const nearby = 36 * secondsPerDay

// earliest returns where the first matching date, at or after from, may begin, or one past the
// limit if there is none. An instant is within maxOffset of the local time that it fires for, read
// as UTC.
func (c *Cron) earliest(from, limit int64) int64 {
	day, last := floorDiv(from-maxOffset, secondsPerDay), floorDiv(limit+maxOffset, secondsPerDay)
	day, ok := c.days.next(c.months, day, last)
	if !ok {
		return limit + 1
	}
	return max(from, day*secondsPerDay-maxOffset)
}

// latest mirrors earliest for a search backward.
func (c *Cron) latest(limit, until int64) int64 {
	day, first := floorDiv(until+maxOffset, secondsPerDay), floorDiv(limit-maxOffset, secondsPerDay)
	day, ok := c.days.prev(c.months, day, first)
	if !ok {
		return limit
	}
	return min(until, (day+1)*secondsPerDay+maxOffset)
}

func (c *Cron) nextShown(offset, from, end int64) int64 {
	if from >= end {
		return end
	}
	minute, lastMinute := ceilDiv(from+offset, 60), floorDiv(end-1+offset, 60)
	if minute > lastMinute {
		return end
	}
	day, lastDay := floorDiv(minute, minutesPerDay), floorDiv(lastMinute, minutesPerDay)
	m, ok := c.nextInDay(int(minute - day*minutesPerDay))
	if !ok {
		day++
		m, _ = c.nextInDay(0)
	}
	found, ok := c.days.next(c.months, day, lastDay)
	if !ok {
		return end
	}
	if found > day {
		m, _ = c.nextInDay(0)
	}
	if minute = found*minutesPerDay + int64(m); minute > lastMinute {
		return end
	}
	return minute*60 - offset
}

const minutesPerDay = 24 * 60

// nextInDay returns the first matching minute of a day, from minute on.
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

func (c *Cron) prevShown(offset, from, end int64) int64 {
	if from >= end {
		return from - 1
	}
	minute, firstMinute := floorDiv(end-1+offset, 60), ceilDiv(from+offset, 60)
	if minute < firstMinute {
		return from - 1
	}
	day, firstDay := floorDiv(minute, minutesPerDay), floorDiv(firstMinute, minutesPerDay)
	m, ok := c.prevInDay(int(minute - day*minutesPerDay))
	if !ok {
		day--
		m, _ = c.prevInDay(minutesPerDay - 1)
	}
	found, ok := c.days.prev(c.months, day, firstDay)
	if !ok {
		return from - 1
	}
	if found < day {
		m, _ = c.prevInDay(minutesPerDay - 1)
	}
	if minute = found*minutesPerDay + int64(m); minute < firstMinute {
		return from - 1
	}
	return minute*60 - offset
}

// prevInDay returns the last matching minute of a day, up to minute.
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
