package recur

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Describe returns in English when the rule fires, without the zone: "every 2 weeks on Monday and
// Friday at 09:00".
func (r *RRule) Describe() string {
	var phrases []string
	for _, p := range r.text.rules {
		phrases = append(phrases, p.words(r.start))
	}
	if len(r.dates) > 0 {
		phrases = append(phrases, r.dateCount(r.dates))
	}
	words := strings.Join(phrases, ", and ")
	if r.text.start != nil && len(r.text.rules) > 0 {
		words += ", from " + dateTimeWords(r.start.local)
	}
	for _, p := range r.text.exrules {
		words += ", except " + p.words(r.start)
	}
	if len(r.exdates) > 0 {
		words += ", except " + r.dateCount(r.exdates)
	}
	return words
}

// dateCount lists up to three dates, as the clock of the rule's zone shows them, and counts more.
func (r *RRule) dateCount(instants []int64) string {
	if len(instants) > 3 {
		return fmt.Sprintf("on %d dates", len(instants))
	}
	var words []string
	for _, instant := range instants {
		words = append(words, dateTimeWords(instant+r.zone.offset(r.zone.periodOf(instant))))
	}
	return "on " + join(words, "and")
}

func dateTimeWords(local int64) string {
	return strings.TrimSuffix(time.Unix(local, 0).UTC().Format("2006-01-02 15:04:05"), ":00")
}

// words describes one rule.
func (p *ruleParts) words(start ruleStart) string {
	var phrases []string
	if p.freq >= daily {
		phrases = p.localWords(start)
	} else {
		phrases = p.tickWords()
	}
	words := strings.Join(phrases, " ")
	switch {
	case p.count == 1:
		words += ", once"
	case p.count > 0:
		words += ", " + strconv.Itoa(p.count) + " times"
	case p.until != nil:
		words += ", until " + dateTimeWords(p.until.local)
		if p.until.form == utcTime && start.zone.name != "UTC" {
			words += " UTC"
		}
	}
	return words
}

var frequencyNouns = [...]string{
	secondly: "second", minutely: "minute", hourly: "hour", daily: "day", weekly: "week", monthly: "month", yearly: "year",
}

func (p *ruleParts) localWords(start ruleStart) (phrases []string) {
	set, _ := p.localRule(start)
	if d := &set.dates; p.freq == weekly && p.interval == 1 && len(d.months) == 0 && p.lists[bySetPos] == nil {
		phrases = []string{"every " + join(d.plainWeekdays(), "and")}
	} else {
		phrases = append([]string{p.everyWords()}, p.dateWords(d)...)
	}
	return append(append(phrases, timeWords(&set.times)), p.pickWords()...)
}

func (p *ruleParts) everyWords() string { return everyN(int(p.interval), frequencyNouns[p.freq]) }

func (p *ruleParts) pickWords() []string {
	if positions := p.lists[bySetPos]; positions != nil {
		return []string{"(only the " + join(ordinals(positions), "and the") + " of these)"}
	}
	return nil
}

// dateWords describes the dates within a period.
func (p *ruleParts) dateWords(d *ruleDates) (phrases []string) {
	if len(d.months) > 0 {
		phrases = append(phrases, seasonWords(uint16(bitsOf(d.months, 0))))
	}
	if len(d.weeks) > 0 {
		phrases = append(phrases, "in the "+join(ordinals(d.weeks), "and the")+" week")
	}
	if len(d.yearDays) > 0 {
		phrases = append(phrases, "on the "+join(ordinals(d.yearDays), "and the")+" day of the year")
	}
	if len(d.monthDays) > 0 {
		phrases = append(phrases, "on the "+monthDayWords(d.monthDays))
	}
	if len(d.weekdays) > 0 {
		phrases = append(phrases, d.weekdayWords(p.freq == weekly || len(d.weeks) > 0))
	}
	return phrases
}

func monthDayWords(days []int) string {
	words := ordinals(days)
	for i, word := range words {
		if strings.HasSuffix(word, "last") {
			words[i] += " day"
		}
	}
	return join(words, "and the")
}

// plainWeekdays returns the names of the weekdays that have no number.
func (r *ruleDates) plainWeekdays() []string {
	var set uint8
	for _, d := range r.weekdays {
		if d.n == 0 {
			set |= 1 << d.weekday
		}
	}
	return weekdayWords(set)
}

// weekdayWords describes BYDAY, in the plural unless the days are those of a week.
func (r *ruleDates) weekdayWords(ofWeek bool) string {
	names := r.plainWeekdays()
	if len(r.monthDays)+len(r.yearDays) > 0 {
		for i, name := range names {
			names[i] = "a " + name
		}
		return "if it is " + join(append(names, r.nthWords()...), "or")
	}
	for i, name := range names {
		switch {
		case !ofWeek:
			names[i] += "s"
		case name == "weekday":
			names[i] = "every weekday"
		}
	}
	words := r.nthWords()
	text := "on " + join(append(names, words...), "and")
	if len(words) > 0 && !r.nthOfMonth {
		text += " of the year"
	}
	return text
}

func (r *ruleDates) nthWords() (words []string) {
	for _, d := range r.weekdays {
		if d.n != 0 {
			words = append(words, "the "+nthWords(d.n)+" "+weekdayNames[d.weekday])
		}
	}
	return words
}

// timeWords describes the times of a day.
func timeWords(t *dayTimes) string {
	if n := t.count(); n <= 6 {
		var words []string
		for i := range n {
			s := t.nth(i)
			words = append(words, strings.TrimSuffix(fmt.Sprintf("%02d:%02d:%02d", s/3600, s/60%60, s%60), ":00"))
		}
		return "at " + join(words, "and")
	}
	words := "at " + bitSet(t.minutes).numbers("minute") + " of " + bitSet(t.hours).numbers("hour")
	if t.seconds != 1 {
		words = "at " + bitSet(t.seconds).numbers("second") + " of " + strings.TrimPrefix(words, "at ")
	}
	return words
}

// tickWords describes a rule with FREQ=HOURLY, MINUTELY or SECONDLY.
func (p *ruleParts) tickWords() (phrases []string) {
	phrases = []string{p.everyWords()}
	for _, list := range [...]numberList{bySecond, byMinute, byHour} {
		if numbers := p.lists[list]; numbers != nil {
			unit := strings.TrimSuffix(numberParts[list].plural, "s")
			phrases = append(phrases, "at "+bitSet(bitsOf(numbers, 0)).numbers(unit))
		}
	}
	phrases = append(phrases, p.pickWords()...)
	var dates ruleDates
	p.fillDates(&dates)
	return append(phrases, p.dateWords(&dates)...)
}

// ordinals returns the words for positions; those counted from the end come last.
func ordinals(numbers []int) (words []string) {
	first, _ := slices.BinarySearch(numbers, 0)
	for _, n := range slices.Concat(numbers[first:], numbers[:first]) {
		words = append(words, nthWords(n))
	}
	return words
}

// nthWords returns "2nd", "last" or "2nd to last".
func nthWords(n int) string {
	switch {
	case n == -1:
		return "last"
	case n < 0:
		return ordinal(-n) + " to last"
	}
	return ordinal(n)
}
