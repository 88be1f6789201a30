package recur

import "fmt"

// ruleStart is DTSTART, from which a rule takes what its parts do not specify.
type ruleStart struct {
	zone    *Zone
	instant int64
	local   int64 // what the zone's clock shows, or would show if it did not jump over it
	first   int64 // the first local time that a rule may have
}

// defaultStart is 2020-01-01 00:00, the anchor of Prefect's rules without DTSTART.
const defaultStart = 1577836800

func (s *ruleSet) begin(zone *Zone) ruleStart {
	d := dateTime{local: defaultStart, form: localTime}
	if s.start != nil {
		d = *s.start
	}
	start := ruleStart{zone: zone, instant: d.instant(zone), local: d.local}
	if d.form == utcTime {
		start.local = d.local + zone.offset(zone.periodOf(d.local))
	}
	start.first = start.local
	if zone.resolve(start.local) < start.instant { // the second pass: the repeated times have fired
		i := zone.periodOf(start.instant)
		start.first = zone.begins(i) + zone.offset(i-1)
	}
	return start
}

// second returns the time of day.
func (s ruleStart) second() int { return int(modulo(s.local, secondsPerDay)) }

// earliest returns a time before every instant of a rule. Where the clock jumps over DTSTART, a
// later local time may fire before it.
func (s ruleStart) earliest() int64 { return max(s.instant-secondsPerDay, firstInstant) }

// rule returns the rule that the parts describe, and false if it can have no instant.
func (p *ruleParts) rule(start ruleStart) (*rule, bool) {
	r := &rule{first: start.earliest(), last: lastInstant}
	ok := false
	if p.freq >= daily {
		var set *localRule
		if set, ok = p.localRule(start); ok {
			r.set, r.how = set, oncePerTime
		}
	} else {
		var set *tickRule
		if set, ok = p.tickRule(start); ok {
			r.set, r.how = set, everyPass
			r.first = start.instant
		}
	}
	if p.until != nil && (p.until.form == utcTime || p.freq < daily) {
		r.last = p.until.instant(start.zone)
	}
	return r, ok
}

func (p *ruleParts) localRule(start ruleStart) (*localRule, bool) {
	day := floorDiv(start.local, secondsPerDay)
	r := &localRule{first: start.first, last: lastInstant + maxOffset}
	p.fillDates(&r.dates)
	p.defaultDates(&r.dates, day)
	second := start.second()
	r.times = dayTimes{
		hours:   uint32(bitsOf(p.lists[byHour], 1<<(second/3600))),
		minutes: bitsOf(p.lists[byMinute], 1<<(second/60%60)),
		seconds: bitsOf(p.lists[bySecond], 1<<(second%60)),
	}
	r.periods = periods{freq: p.freq, interval: p.interval, weekStart: p.weekStart}
	r.periods.origin = r.periods.of(day)
	if p.until != nil && p.until.form != utcTime {
		r.last = p.until.local
	}
	if positions := p.lists[bySetPos]; positions != nil {
		days := [...]int{daily: 1, weekly: 7, monthly: 31, yearly: 366}[p.freq]
		r.picks = newPicks(positions, days*r.times.count())
		return r, r.picks != nil
	}
	return r, true
}

// fillDates copies the date parts that are given.
func (p *ruleParts) fillDates(d *ruleDates) {
	d.months = p.lists[byMonth]
	d.monthDays = p.lists[byMonthDay]
	d.yearDays = p.lists[byYearDay]
	d.weeks = p.lists[byWeekNo]
	d.weekdays = p.weekdays
	d.weekStart = p.weekStart
	d.nthOfMonth = p.freq == monthly || p.freq == yearly && d.months != nil
}

// defaultDates fills in the date parts that a rule takes from the day of DTSTART.
func (p *ruleParts) defaultDates(d *ruleDates, start int64) {
	_, month, date := civil(start)
	switch {
	case d.monthDays != nil || d.yearDays != nil || d.weekdays != nil:
	case p.freq == weekly, d.weeks != nil:
		d.weekdays = []nthWeekday{{weekday: weekday(start)}}
	case p.freq == yearly && d.months == nil:
		d.months = []int{month}
		d.monthDays = []int{date}
	case p.freq == yearly, p.freq == monthly:
		d.monthDays = []int{date}
	}
}

func (p *ruleParts) tickRule(start ruleStart) (*tickRule, bool) {
	r := &tickRule{origin: start.instant, width: 1}
	p.fillDates(&r.dates)
	minutes, seconds := p.lists[byMinute], p.lists[bySecond]
	steady := start.instant + start.zone.offset(start.zone.periodOf(start.instant)) // what the clock would show if it never changed
	unit := int64(1)
	switch p.freq {
	case hourly:
		unit = secondsHour
		if minutes != nil {
			r.width = secondsHour
			if seconds == nil {
				seconds = []int{int(modulo(steady, 60))}
			}
		} else if seconds != nil {
			r.width = 60
		}
	case minutely:
		unit = 60
		if minutes != nil && seconds == nil {
			seconds = []int{int(modulo(steady, 60))}
		}
		if seconds != nil {
			r.width = 60
		}
	}
	r.origin -= modulo(steady, r.width)
	r.period = p.interval * unit
	r.times = dayTimes{
		hours:   uint32(bitsOf(p.lists[byHour], allHours)),
		minutes: bitsOf(minutes, allMinutes),
		seconds: bitsOf(seconds, allMinutes),
	}
	if positions := p.lists[bySetPos]; positions != nil && !r.pick(positions) {
		return nil, false
	}
	r.useful = newPhases(&r.times, r.width, r.period)
	return r, true
}

// pick keeps the times of each window that BYSETPOS picks. It returns false if there are none.
func (r *tickRule) pick(positions []int) bool {
	members := r.members()
	picks := newPicks(positions, len(members))
	if picks == nil {
		return false
	}
	switch r.width {
	case 60:
		r.times.seconds = bitsOf(picks.of(members), 0)
	case secondsHour:
		for _, s := range picks.of(members) {
			r.times.ofHour = append(r.times.ofHour, uint16(s))
		}
	}
	return true
}

// members returns the times in a window, counted from its first second. All windows that have times
// have the same ones.
func (r *tickRule) members() (members []int) {
	if r.width == 1 {
		return []int{0}
	}
	times := r.times
	if r.width == 60 {
		times.minutes = allMinutes
	}
	for s, ok := times.nextInHour(0); ok && s < int(r.width); s, ok = times.nextInHour(s + 1) {
		members = append(members, s)
	}
	return members
}

// maxCounting bounds the search for the last instant of a COUNT, in seconds. Rare ticks are
// searched day by day, which takes longer.
const (
	maxCounting      = calendarCycle
	maxCountingTicks = calendarCycle / 4
)

// stopAfter ends a rule with instant number count. It returns false if that is too far ahead.
func (r *rule) stopAfter(count int, start ruleStart) (ok bool) {
	switch set := r.set.(type) {
	case *localRule:
		set.last, ok = set.counted(count, start.local+maxCounting)
	case *tickRule:
		r.last, ok = set.counted(r, count, start)
	}
	return ok
}

// counted returns the last of the first count instants, and false if it is too far ahead.
func (r *tickRule) counted(bounds *rule, count int, start ruleStart) (int64, bool) {
	if r.width == 1 && r.times.everyTime() && r.dates.everyDate() {
		return min(start.instant+int64(count-1)*r.period, lastInstant), true
	}
	last, limit := start.instant-1, start.instant+maxCountingTicks
	for count > 0 {
		next, ok := bounds.next(start.zone, last+1, min(limit, lastInstant))
		if !ok {
			return last, limit > lastInstant
		}
		last = next
		count--
		period := start.zone.periodOf(last)
		offset := start.zone.offset(period)
		midnight := floorDiv(last+offset, secondsPerDay)*secondsPerDay - offset
		until := min(midnight+secondsPerDay, start.zone.begins(period+1), bounds.last+1)
		for ; count > 0; count-- {
			if next, ok = r.nextOfDay(midnight, r.window(last+1), until); !ok {
				break
			}
			last = next
		}
	}
	return last, true
}

// errNever explains why a rule has no instants.
func (p *ruleParts) errNever(start ruleStart) error {
	if p.until != nil && p.until.instant(start.zone) < start.instant {
		return fmt.Errorf("recurrence rule %s never fires: UNTIL is before DTSTART, which is %s", quote(p.expr(start.zone)), dateTimeWords(start.local))
	}
	return fmt.Errorf("recurrence rule %s never fires within 400 years of DTSTART: no date and time matches all of its parts", quote(p.expr(start.zone)))
}

// bitsOf returns the set of the numbers of a part, or missing if the part is not given.
func bitsOf(numbers []int, missing uint64) (set uint64) {
	if numbers == nil {
		return missing
	}
	for _, n := range numbers {
		set |= 1 << n
	}
	return set
}
