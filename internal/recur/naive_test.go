package recur

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// naive is an expression as the oracle reads it: field by field, item by item, again for each day.
type naive struct {
	expr   string
	and    bool
	fields []string
	times  [24 * 60]bool  // of the day
	days   map[int64]bool // days that were asked about, and whether they match
}

// newOracles returns a naive for each of sweepExprs. They are not shared, because a naive caches
// days.
func newOracles() (oracles []*naive) {
	for _, expr := range sweepExprs {
		oracles = append(oracles, newNaive(expr, false))
	}
	return oracles
}

func newNaive(expr string, and bool) *naive {
	n := &naive{expr: expr, and: and, fields: strings.Fields(expr), days: map[int64]bool{}}
	for i := range n.times {
		n.times[i] = naiveField(n.fields[0], i%60, 60, 0) && naiveField(n.fields[1], i/60, 24, 0)
	}
	return n
}

// fires returns the instants in [from, end).
func (n *naive) fires(v view, from, end int64) (instants []int64) {
	list := v.once
	if n.fields[0][0] == '*' || n.fields[1][0] == '*' {
		list = v.every
	}
	today, match := int64(-1<<63), false
	for _, s := range list {
		if !n.times[s.minute] || s.instant < from || s.instant >= end {
			continue
		}
		if s.day != today {
			today, match = s.day, n.onDay(s.day)
		}
		if match {
			instants = append(instants, s.instant)
		}
	}
	return slices.Compact(instants)
}

func (n *naive) onDay(day int64) bool {
	match, known := n.days[day]
	if !known {
		match = n.matches(time.Unix(day*secondsPerDay, 0).UTC())
		n.days[day] = match
	}
	return match
}

func (n *naive) matches(t time.Time) bool {
	if !naiveField(n.fields[3], int(t.Month()), 12, 1) {
		return false
	}
	date, weekday := false, false
	for item := range strings.SplitSeq(n.fields[2], ",") {
		date = date || naiveDate(item, t)
	}
	for item := range strings.SplitSeq(n.fields[4], ",") {
		weekday = weekday || naiveWeekday(item, t)
	}
	if !n.and && n.fields[2][0] != '*' && n.fields[4][0] != '*' {
		return date || weekday
	}
	return date && weekday
}

func naiveDate(item string, t time.Time) bool {
	last := time.Date(t.Year(), t.Month()+1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, -1)
	if item == "L" {
		return t.Equal(last)
	}
	if item == "LW" {
		for last.Weekday() == time.Saturday || last.Weekday() == time.Sunday {
			last = last.AddDate(0, 0, -1)
		}
		return t.Equal(last)
	}
	if days, ok := strings.CutPrefix(item, "L-"); ok {
		n, _ := strconv.Atoi(days)
		return t.AddDate(0, 0, n).Equal(last)
	}
	if day, ok := strings.CutSuffix(item, "W"); ok {
		return naiveNearest(day, t)
	}
	return naiveField(item, t.Day(), 31, 1)
}

func naiveWeekday(item string, t time.Time) bool {
	if day, ok := strings.CutSuffix(item, "L"); ok {
		return naiveField(day, int(t.Weekday()), 7, 0) && t.AddDate(0, 0, 7).Month() != t.Month()
	}
	if day, nth, ok := strings.Cut(item, "#"); ok {
		n, _ := strconv.Atoi(nth)
		return naiveField(day, int(t.Weekday()), 7, 0) && t.AddDate(0, 0, -7*n).Month() != t.Month() && t.AddDate(0, 0, -7*(n-1)).Month() == t.Month()
	}
	return naiveField(item, int(t.Weekday()), 7, 0)
}

// naiveNearest returns the weekday with the least distance to day n.
func naiveNearest(n string, t time.Time) bool {
	day, _ := strconv.Atoi(n)
	target := time.Date(t.Year(), t.Month(), day, 0, 0, 0, 0, time.UTC)
	if target.Month() != t.Month() {
		return false
	}
	for _, distance := range []int{0, -1, 1, -2, 2} {
		d := target.AddDate(0, 0, distance)
		if d.Month() == t.Month() && d.Weekday() != 0 && d.Weekday() != 6 {
			return d.Day() == t.Day()
		}
	}
	return false
}

var naiveNames = map[string]int{"sun": 0, "mon": 1, "fri": 5, "nov": 11, "feb": 2}

func naiveField(field string, value, size, lo int) bool {
	for item := range strings.SplitSeq(field, ",") {
		span, stepText, _ := strings.Cut(item, "/")
		step, _ := strconv.Atoi(stepText)
		if step == 0 {
			step = 1
		}
		a, b := lo, lo+size-1
		if span != "*" {
			from, to, ranged := strings.Cut(span, "-")
			var ok bool
			if a, ok = naiveValue(from); !ok {
				continue
			}
			if b = a; ranged {
				b, _ = naiveValue(to)
			}
		}
		for n := a; ; n++ {
			if (n-lo)%size+lo == value && (n-a)%step == 0 {
				return true
			}
			if (n-lo)%size == (b-lo)%size {
				break
			}
		}
	}
	return false
}

func naiveValue(text string) (int, bool) {
	if n, ok := naiveNames[text]; ok {
		return n, true
	}
	n, err := strconv.Atoi(text)
	return n, err == nil
}
