package recur

import (
	"fmt"
	"slices"
	"time"
)

// RRule is a recurrence set of RFC 5545: the instants of its rules and dates, without those of its
// exceptions. It is immutable.
//
// Where the RFC leaves a choice, or a schedule needs another one than the RFC's:
//
//   - A local time that the clock jumps over is shifted forward by the jump, and counts. Section
//     3.3.5 shifts it, section 3.3.10 drops it.
//   - DTSTART is an instance only if it matches a rule, or if there is no rule.
//   - Rules with FREQ=HOURLY, MINUTELY or SECONDLY follow elapsed time.
type RRule struct {
	zone    *Zone
	expr    string
	rules   []*rule
	dates   []int64 // RDATE, ascending
	exrules []*rule
	exdates []int64 // EXDATE, ascending
	first   int64   // nothing fires before
	text    ruleSet // as read, for Describe
	start   ruleStart
}

// rule is one RRULE or EXRULE line.
type rule struct {
	set         clockSet
	how         passes
	first, last int64 // instants
	dropsAll    bool  // an EXRULE that drops every instant of its dates and times; see covers
}

// next returns the first instant in [from, limit]. If none is nearby, it looks for the next local
// time first, so that it need not pass every offset change on the way there.
func (r *rule) next(zone *Zone, from, limit int64) (int64, bool) {
	from, limit = max(from, r.first), min(limit, r.last)
	local, ok := r.set.(*localRule)
	if !ok {
		return zone.next(r.set, r.how, from, limit)
	}
	near := min(from+nearby, limit)
	if instant, ok := zone.next(local, r.how, from, near); ok || near == limit {
		return instant, ok
	}
	first, ok := local.next(near+1-maxOffset, limit+maxOffset)
	if !ok {
		return 0, false
	}
	return zone.next(local, r.how, max(near+1, first-maxOffset), limit)
}

// prev returns the last instant in [limit, until). It mirrors next.
func (r *rule) prev(zone *Zone, limit, until int64) (int64, bool) {
	limit, until = max(limit, r.first), min(until, r.last+1)
	local, ok := r.set.(*localRule)
	if !ok {
		return zone.prev(r.set, r.how, limit, until)
	}
	near := max(until-nearby, limit)
	if instant, ok := zone.prev(local, r.how, near, until); ok || near == limit {
		return instant, ok
	}
	last, ok := local.prev(limit-maxOffset, near-1+maxOffset)
	if !ok {
		return 0, false
	}
	return zone.prev(local, r.how, limit, min(near, last+maxOffset+1))
}

// Bounds of a recurrence set. With them NewRRule takes a few milliseconds at most.
const (
	maxRules = 8
	maxCount = 100_000
)

// NewRRule parses a recurrence set: the parts of one rule (FREQ=DAILY;BYHOUR=9), or lines with
// DTSTART, RRULE, EXRULE, RDATE and EXDATE. Without DTSTART the rule begins at 2020-01-01 00:00 in
// the zone, as Prefect's rules do. A nil zone stands for the TZID of DTSTART, or UTC if there is
// none. A set that never fires is an error.
func NewRRule(text string, zone *Zone) (*RRule, error) {
	set, err := parseRuleSet(text)
	if err != nil {
		return nil, err
	}
	if zone, err = set.inZone(zone); err != nil {
		return nil, err
	}
	start := set.begin(zone)
	r := &RRule{
		zone: zone, expr: set.expr(zone), text: set, start: start,
		dates: instantsOf(set.dates, zone), exdates: instantsOf(set.exdates, zone),
	}
	for _, p := range set.rules {
		rule, fires, err := p.firing(start)
		if err == nil && !fires {
			err = p.errNever(start)
		}
		if err != nil {
			return nil, err
		}
		r.rules = append(r.rules, rule)
	}
	for _, p := range set.exrules {
		rule, drops, err := p.dropping(start)
		if err != nil {
			return nil, err
		}
		if drops {
			r.exrules = append(r.exrules, rule)
		}
	}
	if len(r.rules) == 0 && set.start != nil {
		r.dates = sortedSet(append(r.dates, start.instant))
	}
	r.first = start.earliest()
	if len(r.dates) > 0 {
		r.first = min(r.first, r.dates[0])
	}
	for _, x := range r.exrules {
		if ticks, ok := x.set.(*tickRule); ok {
			x.dropsAll = ticks.covers(r)
		}
	}
	return r, r.checkFires()
}

// firing returns the rule of an RRULE line, and whether it fires at all.
func (p *ruleParts) firing(start ruleStart) (r *rule, fires bool, err error) {
	r, fires = p.rule(start)
	if fires {
		_, fires = r.next(start.zone, start.earliest(), min(start.instant+calendarCycle, lastInstant))
	}
	if fires && p.count > 0 && !r.stopAfter(p.count, start) {
		return nil, false, p.errCount(start)
	}
	return r, fires, nil
}

// dropping returns the rule of an EXRULE line, and false if it can have no instant. It does not
// search for one: a rule that drops nothing does no harm.
func (p *ruleParts) dropping(start ruleStart) (r *rule, drops bool, err error) {
	r, drops = p.rule(start)
	if drops && p.count > 0 && !r.stopAfter(p.count, start) {
		return nil, false, p.errCount(start)
	}
	return r, drops, nil
}

// errCount refuses a COUNT whose last instant would take long to find.
func (p *ruleParts) errCount(start ruleStart) error {
	return fmt.Errorf("recurrence rule %s takes too many years to count to %d: use UNTIL, or neither", quote(p.expr(start.zone)), p.count)
}

// checkFires refuses a set that exceptions leave empty, or whose dates are out of reach.
func (r *RRule) checkFires() error {
	excepted := len(r.exrules)+len(r.exdates) > 0
	if !excepted && len(r.rules) > 0 {
		return nil
	}
	if _, ok := r.next(r.first, min(r.first+calendarCycle, lastInstant)); ok {
		return nil
	}
	if !excepted {
		return fmt.Errorf("recurrence rule %s never fires: its dates are outside the years 1 to 9999", quote(r.expr))
	}
	return fmt.Errorf("recurrence rule %s never fires: its EXRULE and EXDATE lines drop every instant, or the first %d: move DTSTART past those", quote(r.expr), maxDropped)
}

// Zone returns the zone whose clock the rules read.
func (r *RRule) Zone() *Zone { return r.zone }

// Expr returns the canonical text. It parses to an equal set.
func (r *RRule) Expr() string { return r.expr }

// HasExrule reports whether the set has EXRULE lines.
func (r *RRule) HasExrule() bool { return len(r.text.exrules) > 0 }

// Next returns the first instant strictly after the given one. It returns false if there is none
// within 400 years, or if exceptions drop 5,000 instants in a row one by one.
func (r *RRule) Next(after time.Time) (time.Time, bool) {
	from, limit, ok := ahead(after)
	if !ok {
		return time.Time{}, false
	}
	if from < r.first {
		from, limit = r.first, min(r.first+calendarCycle, lastInstant)
	}
	return at(r.next(from, limit))
}

func (r *RRule) next(from, limit int64) (int64, bool) {
	for range maxDropped {
		instant, ok := r.nextIncluded(from, limit)
		if !ok {
			break
		}
		resume, dropped := r.drops(instant)
		if !dropped {
			return instant, true
		}
		from = resume
	}
	return 0, false
}

// nextIncluded returns the first instant in [from, limit] of the rules and dates.
func (r *RRule) nextIncluded(from, limit int64) (first int64, ok bool) {
	if i, _ := slices.BinarySearch(r.dates, from); i < len(r.dates) && r.dates[i] <= limit {
		first, limit, ok = r.dates[i], r.dates[i], true
	}
	for _, rule := range r.rules {
		if instant, found := rule.next(r.zone, from, limit); found {
			first, limit, ok = instant, instant, true
		}
	}
	return first, ok
}

// Prev returns the last instant strictly before the given one. It returns false where Next would,
// looking backward.
func (r *RRule) Prev(before time.Time) (time.Time, bool) {
	limit, until := behind(before)
	return at(r.prev(limit, until))
}

func (r *RRule) prev(limit, until int64) (int64, bool) {
	for range maxDropped {
		instant, ok := r.prevIncluded(limit, until)
		if !ok {
			break
		}
		resume, dropped := r.dropsBack(instant)
		if !dropped {
			return instant, true
		}
		until = resume + 1
	}
	return 0, false
}

// prevIncluded returns the last instant in [limit, until) of the rules and dates.
func (r *RRule) prevIncluded(limit, until int64) (last int64, ok bool) {
	if i, _ := slices.BinarySearch(r.dates, until); i > 0 && r.dates[i-1] >= limit {
		last, limit, ok = r.dates[i-1], r.dates[i-1], true
	}
	for _, rule := range r.rules {
		if instant, found := rule.prev(r.zone, limit, until); found {
			last, limit, ok = instant, instant, true
		}
	}
	return last, ok
}

func sortedSet(instants []int64) []int64 {
	slices.Sort(instants)
	return slices.Compact(instants)
}
