package recur

import (
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// Describe returns in English when the schedule fires, without the zone: "every weekday at 02:00",
// "every 15 minutes". Irregular values are listed: "every hour at minutes 0, 7, 14 and 21".
func (c *Cron) Describe() string {
	clock, repeats := c.clockWords()
	if c.everyDay() {
		if repeats {
			return clock
		}
		return "every day " + clock
	}
	if c.days.weekly() {
		return c.weeklyWords(clock, repeats)
	}
	return clock + " " + c.days.monthlyWords(c.months)
}

// clockWords describes the minute and hour fields. repeats reports whether the words already
// contain "every", so that they need no "every day".
func (c *Cron) clockWords() (words string, repeats bool) {
	minutes, hours := bitSet(c.minutes), bitSet(c.hours)
	minuteStep, hourStep := minutes.evenStep(60), hours.evenStep(24)
	first, last, run := hours.run(24)
	switch {
	case minuteStep > 0 && hourStep == 1:
		return everyN(minuteStep, "minute"), true
	case minuteStep > 0 && run:
		return fmt.Sprintf("%s from %02d:00 to %02d:%02d", everyN(minuteStep, "minute"), first, last, 60-minuteStep), true
	case minuteStep > 0:
		return everyN(minuteStep, "minute") + " in " + hours.numbers("hour"), true
	case hourStep > 0 && minutes == 1:
		return everyN(hourStep, "hour"), true
	case hourStep > 0:
		return everyN(hourStep, "hour") + " at " + minutes.numbers("minute"), true
	case minutes.count()*hours.count() <= 6:
		return "at " + join(clockTimes(minutes, hours), "and"), false
	case run && minutes.count() == 1:
		minute := minutes.members()[0]
		return fmt.Sprintf("every hour from %02d:%02d to %02d:%02d", first, minute, last, minute), true
	}
	return "at " + minutes.numbers("minute") + " of " + hours.numbers("hour"), false
}

func everyN(n int, unit string) string {
	if n == 1 {
		return "every " + unit
	}
	return fmt.Sprintf("every %d %ss", n, unit)
}

func clockTimes(minutes, hours bitSet) (times []string) {
	for _, hour := range hours.members() {
		for _, minute := range minutes.members() {
			times = append(times, fmt.Sprintf("%02d:%02d", hour, minute))
		}
	}
	return times
}

const (
	allDates    = 1<<32 - 1<<1
	allMonths   = 1<<13 - 1<<1
	allWeekdays = 1<<7 - 1
)

func (c *Cron) everyDay() bool {
	return c.months == allMonths && c.days.anyDate() && c.days.anyWeekday()
}

// anyDate reports whether the day-of-month field restricts nothing. Where either field is enough,
// one that matches every day makes the other pointless.
func (r *dayRule) anyDate() bool {
	return r.onDate == allDates || r.either && r.onWeekday == allWeekdays
}

// anyWeekday reports whether the day-of-week field restricts nothing.
func (r *dayRule) anyWeekday() bool {
	return r.onWeekday == allWeekdays || r.either && r.onDate == allDates
}

// weekly reports whether the days are plain weekdays, or all days.
func (r *dayRule) weekly() bool {
	return r.anyDate() && (r.anyWeekday() || r.lastOf == 0 && r.nthOf == 0)
}

// weeklyWords puts the days first where that reads better: "every Monday at 02:00", but "every 15
// minutes on Mondays".
func (c *Cron) weeklyWords(clock string, repeats bool) string {
	season := ""
	if c.months != allMonths {
		season = " " + seasonWords(c.months)
	}
	switch names := weekdayWords(c.days.onWeekday); {
	case c.days.anyWeekday() && repeats:
		return clock + season
	case c.days.anyWeekday():
		return "every day" + season + " " + clock
	case repeats:
		return clock + " on " + join(names, "and", "s") + season
	default:
		return "every " + join(names, "and") + season + " " + clock
	}
}

// monthlyWords describes days that need the month: "on the 1st of every month", "on the last Friday
// of March".
func (r *dayRule) monthlyWords(months uint16) string {
	of := " of every month"
	if _, _, run := bitSet(months >> 1).run(12); months != allMonths && run && bits.OnesCount16(months) > 2 {
		of += " " + seasonWords(months)
	} else if months != allMonths {
		of = " of " + strings.TrimPrefix(seasonWords(months), "in ")
	}
	switch {
	case r.anyDate():
		return "on " + join(r.weekdayWords("every "), "and") + of
	case r.anyWeekday():
		return "on " + join(r.dateWords(), "and") + of
	case !r.either:
		return "on " + join(r.dateWords(), "and") + of + " if it is " + join(r.weekdayWords("a "), "or")
	case r.lastOf == 0 && r.nthOf == 0 && months == allMonths:
		return "on " + join(r.dateWords(), "and") + of + " and on every " + join(weekdayWords(r.onWeekday), "and")
	}
	return "on " + join(append(r.dateWords(), r.weekdayWords("every ")...), "and") + of
}

// dateWords describes the day-of-month field.
func (r *dayRule) dateWords() (words []string) {
	dates := bitSet(r.onDate)
	switch first, last, run := dates.run(32); {
	case run && dates.count() > 2:
		words = append(words, "the "+ordinal(first)+" to the "+ordinal(last))
	default:
		for _, date := range dates.members() {
			words = append(words, "the "+ordinal(date))
		}
	}
	for _, date := range bitSet(r.nearDate).members() {
		words = append(words, "the weekday nearest to the "+ordinal(date))
	}
	before := bitSet(r.fromLast).members()
	slices.Reverse(before)
	for _, n := range before {
		words = append(words, fromLastWords(n))
	}
	if r.nearLast {
		words = append(words, "the last weekday")
	}
	return words
}

func fromLastWords(n int) string {
	switch n {
	case 0:
		return "the last day"
	case 1:
		return "the day before the last day"
	}
	return "the " + ordinal(n) + " day before the last day"
}

// weekdayWords describes the day-of-week field. It puts article before plain weekdays.
func (r *dayRule) weekdayWords(article string) (words []string) {
	for _, name := range weekdayWords(r.onWeekday) {
		words = append(words, article+name)
	}
	for _, bit := range bitSet(r.nthOf).members() {
		words = append(words, "the "+[...]string{"first", "second", "third", "fourth", "fifth"}[bit/7]+" "+weekdayNames[bit%7])
	}
	for _, day := range bitSet(r.lastOf).members() {
		words = append(words, "the last "+weekdayNames[day])
	}
	return words
}

var weekdayNames = [...]string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"}

var monthNames = [...]string{
	"", "January", "February", "March", "April", "May", "June", "July", "August", "September",
	"October", "November", "December",
}

// weekdayWords returns the names of weekdays, Monday first.
func weekdayWords(set uint8) (words []string) {
	const mondayToFriday = 0b0111110
	if set&mondayToFriday == mondayToFriday {
		words = append(words, "weekday")
		set &^= mondayToFriday
	}
	for day := 1; day <= 7; day++ {
		if set>>(day%7)&1 != 0 {
			words = append(words, weekdayNames[day%7])
		}
	}
	return words
}

// seasonWords returns "in March and May" or "from March to October".
func seasonWords(months uint16) string {
	if first, last, run := bitSet(months >> 1).run(12); run && bits.OnesCount16(months) > 2 {
		return "from " + monthNames[first+1] + " to " + monthNames[last+1]
	}
	var names []string
	for _, month := range bitSet(months).members() {
		names = append(names, monthNames[month])
	}
	return "in " + join(names, "and")
}

// bitSet is a set of values of a field: bit n stands for n.
type bitSet uint64

func (s bitSet) count() int { return bits.OnesCount64(uint64(s)) }

func (s bitSet) members() (members []int) {
	for ; s != 0; s &= s - 1 {
		members = append(members, bits.TrailingZeros64(uint64(s)))
	}
	return members
}

// evenStep returns n if the set is 0, n, 2n and so on, and n divides the size, so that "every n" is
// true across the end of the hour or day too. Otherwise it returns 0.
func (s bitSet) evenStep(size int) int {
	count := s.count()
	if count < 2 || size%count != 0 {
		return 0
	}
	step := size / count
	for n := 0; n < size; n += step {
		if s>>n&1 == 0 {
			return 0
		}
	}
	return step
}

// run returns the ends of a set without gaps, which may wrap around: 22, 23, 0, 1.
func (s bitSet) run(size int) (first, last int, ok bool) {
	starts := 0
	for n := range size {
		in, before := s>>n&1 != 0, s>>((n+size-1)%size)&1 != 0
		if in && !before {
			first = n
			starts++
		}
	}
	return first, (first + s.count() - 1) % size, starts == 1
}

// numbers returns the values with their unit: "minute 5", "hours 1 and 3".
func (s bitSet) numbers(unit string) string {
	var texts []string
	for _, n := range s.members() {
		texts = append(texts, strconv.Itoa(n))
	}
	if len(texts) > 1 {
		unit += "s"
	}
	return unit + " " + join(texts, "and")
}

// join returns an English list of words, each with the suffix.
func join(words []string, conjunction string, suffix ...string) string {
	end := strings.Join(suffix, "")
	if len(words) == 1 {
		return words[0] + end
	}
	last := len(words) - 1
	return strings.Join(words[:last], end+", ") + end + " " + conjunction + " " + words[last] + end
}

func ordinal(n int) string {
	switch {
	case n%10 == 1 && n%100 != 11:
		return strconv.Itoa(n) + "st"
	case n%10 == 2 && n%100 != 12:
		return strconv.Itoa(n) + "nd"
	case n%10 == 3 && n%100 != 13:
		return strconv.Itoa(n) + "rd"
	}
	return strconv.Itoa(n) + "th"
}
