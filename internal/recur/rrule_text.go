package recur

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// dateTime is a date, or a date with a time, in the sense of RFC 5545 (sections 3.3.4 and 3.3.5).
type dateTime struct {
	local int64 // what a clock shows, in seconds since 1970-01-01 00:00
	form  dateForm
	zone  *Zone // of TZID, nil if not given
}

type dateForm uint8

const (
	dateOnly dateForm = iota
	localTime
	utcTime
)

// layouts are the forms as layouts of package time.
var layouts = [...]string{dateOnly: "20060102", localTime: "20060102T150405", utcTime: "20060102T150405Z"}

func (d dateTime) String() string { return time.Unix(d.local, 0).UTC().Format(layouts[d.form]) }

// parseDateTime parses a value with the parameters of its line, TZID and VALUE.
func parseDateTime(parameters, text string) (d dateTime, err error) {
	text = strings.ToUpper(strings.TrimSpace(text))
	d.form = dateForm(slices.IndexFunc(layouts[:], func(layout string) bool { return len(layout) == len(text) }))
	var t time.Time
	if int(d.form) < len(layouts) {
		t, err = time.Parse(layouts[d.form], text)
	}
	if int(d.form) >= len(layouts) || err != nil || t.Year() < 1 {
		return d, fmt.Errorf("%s is not a time: write 20260105T090000, with Z at the end for UTC, or the date 20260105", quote(text))
	}
	d.local = t.Unix()
	for parameter := range strings.SplitSeq(parameters, ";") {
		if err := d.readParameter(parameter); err != nil {
			return d, err
		}
	}
	if d.zone != nil && d.form != localTime {
		return d, fmt.Errorf("%s does not go with TZID: remove one", text)
	}
	return d, nil
}

func (d *dateTime) readParameter(parameter string) (err error) {
	name, value, _ := strings.Cut(parameter, "=")
	switch strings.ToUpper(name) {
	case "":
	case "TZID":
		if value = strings.Trim(value, `"`); value == "" {
			return errors.New("TZID is empty: write a zone such as Europe/Berlin")
		}
		d.zone, err = LoadZone(value)
	case "VALUE":
		if kind := strings.ToUpper(value); (kind == "DATE") != (d.form == dateOnly) || !slices.Contains([]string{"DATE", "DATE-TIME", "PERIOD"}, kind) {
			return fmt.Errorf("VALUE=%.20s does not fit %s: remove it", value, d)
		}
	default:
		return fmt.Errorf("the parameter %s is unknown: use TZID and VALUE", quote(parameter))
	}
	return err
}

// instant returns when the clock shows the time: that of the value's TZID, or else of the zone.
func (d dateTime) instant(zone *Zone) int64 {
	if d.form == utcTime {
		return d.local
	}
	if d.zone != nil {
		zone = d.zone
	}
	return zone.resolve(d.local)
}

func instantsOf(dates []dateTime, zone *Zone) (instants []int64) {
	for _, d := range dates {
		instants = append(instants, d.instant(zone))
	}
	return sortedSet(instants)
}

// inZone returns the zone on whose clock a set recurs. zone is that of the schedule, which may be
// nil.
func (s *ruleSet) inZone(zone *Zone) (*Zone, error) {
	switch {
	case s.start == nil || s.start.zone == nil:
		if zone == nil {
			return LoadZone("")
		}
	case zone == nil:
		return s.start.zone, nil
	case zone != s.start.zone:
		return nil, fmt.Errorf("recurrence rule has TZID=%s, but the schedule is in %s: remove one of them", s.start.zone.name, zone.name)
	}
	return zone, nil
}

// expr returns the canonical text of a set, for a zone that is known: with order, duplicates, case
// and defaults normalized.
func (s *ruleSet) expr(zone *Zone) string {
	var lines []string
	if s.start != nil {
		lines = append(lines, s.start.property("DTSTART", zone))
	}
	lines = append(lines, exprs("RRULE:", s.rules, zone)...)
	lines = append(lines, exprs("EXRULE:", s.exrules, zone)...)
	lines = append(lines, properties("RDATE", s.dates, zone)...)
	lines = append(lines, properties("EXDATE", s.exdates, zone)...)
	if len(lines) == 1 {
		return strings.TrimPrefix(lines[0], "RRULE:")
	}
	return strings.Join(lines, "\n")
}

// exprs returns the lines of rules, sorted, each once.
func exprs(name string, rules []*ruleParts, zone *Zone) (lines []string) {
	for _, p := range rules {
		lines = append(lines, name+p.expr(zone))
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}

// properties returns the lines of dates, sorted, each date once, with the dates of one form on one
// line.
func properties(name string, dates []dateTime, zone *Zone) (lines []string) {
	texts := map[string][]string{}
	for _, d := range dates {
		head, value, _ := strings.Cut(d.property(name, zone), ":")
		texts[head] = append(texts[head], value)
	}
	for head, values := range texts {
		slices.Sort(values)
		lines = append(lines, head+":"+strings.Join(slices.Compact(values), ","))
	}
	slices.Sort(lines)
	return lines
}

// property returns the line of a date, for a zone that is known.
func (d dateTime) property(name string, zone *Zone) string {
	d = d.in(zone)
	switch {
	case d.form == dateOnly:
		return name + ";VALUE=DATE:" + d.String()
	case d.form == localTime && d.zone != nil && d.zone != zone:
		return name + ";TZID=" + d.zone.name + ":" + d.String()
	}
	return name + ":" + d.String()
}

// in turns local times of the zone UTC into times in UTC.
func (d dateTime) in(zone *Zone) dateTime {
	if d.zone != nil {
		zone = d.zone
	}
	if d.form == localTime && zone.name == "UTC" {
		d.form = utcTime
	}
	return d
}

// expr returns the parts in the order of RFC 5545, without those that have the default value.
func (p *ruleParts) expr(zone *Zone) string {
	parts := []string{"FREQ=" + p.freq.String()}
	if p.interval > 1 {
		parts = append(parts, "INTERVAL="+strconv.FormatInt(p.interval, 10))
	}
	if p.count > 0 {
		parts = append(parts, "COUNT="+strconv.Itoa(p.count))
	}
	if p.until != nil {
		parts = append(parts, "UNTIL="+p.until.in(zone).String())
	}
	for _, list := range [...]numberList{byMonth, byWeekNo, byYearDay, byMonthDay} {
		parts = p.appendList(parts, list)
	}
	if p.weekdays != nil {
		var days []string
		for _, d := range p.weekdays {
			days = append(days, d.String())
		}
		parts = append(parts, "BYDAY="+strings.Join(days, ","))
	}
	for _, list := range [...]numberList{byHour, byMinute, bySecond, bySetPos} {
		parts = p.appendList(parts, list)
	}
	if p.weekStart != 1 {
		parts = append(parts, "WKST="+dayCodes[p.weekStart])
	}
	return strings.Join(parts, ";")
}

func (p *ruleParts) appendList(parts []string, list numberList) []string {
	if p.lists[list] == nil {
		return parts
	}
	var numbers []string
	for _, n := range p.lists[list] {
		numbers = append(numbers, strconv.Itoa(n))
	}
	return append(parts, numberParts[list].name+"="+strings.Join(numbers, ","))
}

func (d nthWeekday) String() string {
	if d.n == 0 {
		return dayCodes[d.weekday]
	}
	return strconv.Itoa(d.n) + dayCodes[d.weekday]
}
