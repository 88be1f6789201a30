package rrule

import (
	"slices"
	"time"
)

type frequency int

const (
	yearly frequency = iota
	monthly
	weekly
	daily
	hourly
	minutely
	secondly
)

var frequencies = []string{"YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY"}

// rule is one RRULE or EXRULE. A nil list allows everything.
type rule struct {
	freq     frequency
	interval int
	count    int // 0: unlimited
	until    *moment
	wkst     time.Weekday

	bymonth, bymonthday, byyearday, byweekno []int
	byday                                    []weekday
	byhour, byminute, bysecond               []int
	bysetpos                                 []int
}

// weekday is one value of BYDAY. n is 0 if it has no number.
type weekday struct {
	n   int
	day time.Weekday
}

// complete takes from DTSTART what a rule with FREQ=DAILY or longer leaves out (RFC 5545, 3.3.10:
// "Information, not contained in the rule, necessary to determine the various recurrence instance
// start time and dates are derived from the Start Time (DTSTART) component attribute").
func (r *rule) complete(start time.Time) {
	if r.freq >= hourly {
		return
	}
	r.byhour = or(r.byhour, start.Hour())
	r.byminute = or(r.byminute, start.Minute())
	r.bysecond = or(r.bysecond, start.Second())
	if r.byday != nil || r.bymonthday != nil || r.byyearday != nil {
		return
	}
	switch {
	case r.byweekno != nil, r.freq == weekly:
		r.byday = []weekday{{0, start.Weekday()}}
	case r.freq == yearly:
		r.bymonth = or(r.bymonth, int(start.Month()))
		r.bymonthday = []int{start.Day()}
	case r.freq == monthly:
		r.bymonthday = []int{start.Day()}
	}
}

func or(list []int, value int) []int {
	if list == nil {
		return []int{value}
	}
	return list
}

// allowsDate reports whether the day matches every date part.
func (r *rule) allowsDate(d time.Time) bool {
	return allows(r.bymonth, int(d.Month()), 0) &&
		allows(r.bymonthday, d.Day(), lastOfMonth(d).Day()) &&
		allows(r.byyearday, d.YearDay(), lastOfYear(d).YearDay()) &&
		r.allowsWeek(d) &&
		r.allowsWeekday(d)
}

// allows reports whether a list has the value or, if last is not 0, the negative number that stands
// for the value counted back from last. A nil list allows everything.
func allows(list []int, value, last int) bool {
	return list == nil || slices.Contains(list, value) || last > 0 && slices.Contains(list, value-last-1)
}

func (r *rule) allowsWeek(d time.Time) bool {
	if r.byweekno == nil {
		return true
	}
	// A week belongs to the year that contains most of its days, and so its fourth.
	fourth := weekStart(d, r.wkst).AddDate(0, 0, 3)
	weeks := 0
	for t := fourth.AddDate(0, 0, -7*(fourth.YearDay()/7+1)); t.Year() <= fourth.Year(); t = t.AddDate(0, 0, 7) {
		if t.Year() == fourth.Year() {
			weeks++
		}
	}
	return allows(r.byweekno, (fourth.YearDay()-1)/7+1, weeks)
}

func (r *rule) allowsWeekday(d time.Time) bool {
	if r.byday == nil {
		return true
	}
	position, last := d.Day(), lastOfMonth(d).Day()
	if r.freq == yearly && r.bymonth == nil {
		position, last = d.YearDay(), lastOfYear(d).YearDay()
	}
	fromStart := (position-1)/7 + 1
	fromEnd := -((last-position)/7 + 1)
	return slices.ContainsFunc(r.byday, func(w weekday) bool {
		return w.day == d.Weekday() && (w.n == 0 || w.n == fromStart || w.n == fromEnd)
	})
}

// allowsTime reports whether every part of a rule with FREQ=HOURLY or shorter matches when the
// local clock shows wall and a clock that keeps the offset of DTSTART shows steady.
func (r *rule) allowsTime(wall, steady, start time.Time) bool {
	if !allows(r.byhour, wall.Hour(), 0) || !allows(r.byminute, wall.Minute(), 0) || !allows(r.bysecond, wall.Second(), 0) {
		return false
	}
	if r.freq == hourly && r.byminute == nil && steady.Minute() != start.Minute() {
		return false
	}
	if r.freq <= minutely && r.bysecond == nil {
		second := steady.Second()
		if r.byminute != nil {
			second = wall.Second()
		}
		if second != start.Second() {
			return false
		}
	}
	return r.allowsDate(wall)
}

func weekStart(d time.Time, wkst time.Weekday) time.Time {
	return d.AddDate(0, 0, -(int(d.Weekday()-wkst)+7)%7)
}

func lastOfMonth(d time.Time) time.Time {
	return time.Date(d.Year(), d.Month()+1, 0, 0, 0, 0, 0, time.UTC)
}

func lastOfYear(d time.Time) time.Time {
	return time.Date(d.Year(), 12, 31, 0, 0, 0, 0, time.UTC)
}
