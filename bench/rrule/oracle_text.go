package rrule

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// parseSet parses a recurrence set. It does not validate it: the rules of the table are allowed by
// RFC 5545.
func parseSet(text, zone string) (*set, error) {
	text = strings.NewReplacer("\r\n ", "", "\r\n\t", "", "\n ", "", "\n\t", "", "\r\n", "\n").Replace(text)
	var lines []property
	for line := range strings.SplitSeq(text, "\n") {
		lines = append(lines, parseProperty(line))
	}
	s := &set{}
	start := property{name: "DTSTART", value: "20200101T000000"}
	if i := slices.IndexFunc(lines, func(p property) bool { return p.name == "DTSTART" }); i >= 0 {
		start = lines[i]
	}
	if zone == "" {
		zone = start.tzid
	}
	location, err := time.LoadLocation(zone)
	if err != nil {
		return nil, err
	}
	s.clock = clock{location}
	if s.start, err = s.moment(start.value, start.tzid); err != nil {
		return nil, err
	}
	for _, p := range lines {
		switch p.name {
		case "RRULE", "EXRULE":
			r, err := s.parseRule(p.value)
			if err != nil {
				return nil, err
			}
			if p.name == "RRULE" {
				s.rules = append(s.rules, r)
			} else {
				s.exrules = append(s.exrules, r)
			}
		case "RDATE", "EXDATE":
			for value := range strings.SplitSeq(p.value, ",") {
				value, _, _ = strings.Cut(value, "/") // the start of a period counts
				m, err := s.moment(value, p.tzid)
				if err != nil {
					return nil, err
				}
				if p.name == "RDATE" {
					s.rdates = append(s.rdates, m.instant)
				} else {
					s.exdates = append(s.exdates, m.instant)
				}
			}
		case "DTSTART":
		default:
			return nil, fmt.Errorf("property %q", p.name)
		}
	}
	if s.rules == nil {
		s.rdates = append(s.rdates, s.start.instant)
	}
	return s, nil
}

// property is one line of a recurrence set.
type property struct{ name, tzid, value string }

func parseProperty(line string) property {
	head, value, found := strings.Cut(line, ":")
	if !found {
		return property{name: "RRULE", value: strings.ToUpper(line)}
	}
	name, parameters, _ := strings.Cut(head, ";")
	p := property{name: strings.ToUpper(name), value: strings.ToUpper(value)}
	for parameter := range strings.SplitSeq(parameters, ";") {
		if key, value, _ := strings.Cut(parameter, "="); strings.EqualFold(key, "TZID") {
			p.tzid = value
		}
	}
	return p
}

// moment parses a date or a time. Its own TZID, if any, decides the instant, not the clock of the
// set.
func (s *set) moment(value, tzid string) (moment, error) {
	if instant, err := time.Parse("20060102T150405Z", value); err == nil {
		return moment{instant: instant, wall: s.clock.wall(instant)}, nil
	}
	layout := "20060102T150405"
	if len(value) == len("20060102") {
		layout = "20060102"
	}
	wall, err := time.Parse(layout, value)
	if err != nil {
		return moment{}, err
	}
	own := s.clock
	if tzid != "" {
		location, err := time.LoadLocation(tzid)
		if err != nil {
			return moment{}, err
		}
		own = clock{location}
	}
	instant := own.instant(wall)
	return moment{instant: instant, wall: wall, local: true}, nil
}

func (s *set) parseRule(text string) (*rule, error) {
	r := &rule{interval: 1, wkst: time.Monday}
	for part := range strings.SplitSeq(text, ";") {
		key, value, _ := strings.Cut(part, "=")
		if err := s.parsePart(r, key, value); err != nil {
			return nil, fmt.Errorf("%s: %w", part, err)
		}
	}
	r.complete(s.start.wall)
	return r, nil
}

func (s *set) parsePart(r *rule, key, value string) error {
	var err error
	switch key {
	case "FREQ":
		i := slices.Index(frequencies, value)
		if i < 0 {
			return fmt.Errorf("no such frequency")
		}
		r.freq = frequency(i)
	case "INTERVAL":
		r.interval, err = strconv.Atoi(value)
	case "COUNT":
		r.count, err = strconv.Atoi(value)
	case "UNTIL":
		var m moment
		m, err = s.moment(value, "")
		r.until = &m
	case "WKST":
		r.wkst, err = parseWeekday(value)
	case "BYDAY":
		for item := range strings.SplitSeq(value, ",") {
			cut := len(item) - 2
			w := weekday{}
			if w.day, err = parseWeekday(item[cut:]); err != nil {
				return err
			}
			if cut > 0 {
				if w.n, err = strconv.Atoi(item[:cut]); err != nil {
					return err
				}
			}
			r.byday = append(r.byday, w)
		}
	default:
		list := map[string]*[]int{
			"BYMONTH": &r.bymonth, "BYMONTHDAY": &r.bymonthday, "BYYEARDAY": &r.byyearday, "BYWEEKNO": &r.byweekno,
			"BYHOUR": &r.byhour, "BYMINUTE": &r.byminute, "BYSECOND": &r.bysecond, "BYSETPOS": &r.bysetpos,
		}[key]
		if list == nil {
			return fmt.Errorf("the part is unknown")
		}
		for item := range strings.SplitSeq(value, ",") {
			n, err := strconv.Atoi(item)
			if err != nil {
				return err
			}
			if key == "BYSECOND" {
				n = min(n, 59) // zones have no leap seconds
			}
			*list = append(*list, n)
		}
	}
	return err
}

func parseWeekday(name string) (time.Weekday, error) {
	i := slices.Index([]string{"SU", "MO", "TU", "WE", "TH", "FR", "SA"}, name)
	if i < 0 {
		return 0, fmt.Errorf("%q is not a weekday", name)
	}
	return time.Weekday(i), nil
}
