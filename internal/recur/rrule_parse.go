package recur

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxRuleText, in bytes, has room for some 4,000 dates.
const maxRuleText = 64 << 10

// ruleSet is a parsed recurrence set.
type ruleSet struct {
	start          *dateTime // DTSTART, nil if not given
	rules, exrules []*ruleParts
	dates, exdates []dateTime
}

// ruleParts is a parsed RRULE or EXRULE.
type ruleParts struct {
	freq      frequency
	interval  int64
	count     int       // 0: not given
	until     *dateTime // nil: not given
	weekStart int       // Monday if not given
	weekdays  []nthWeekday
	lists     [numberLists][]int // ascending, without duplicates; nil: not given
	given     []string           // names of the parts
}

func parseRuleSet(text string) (set ruleSet, err error) {
	if len(text) > maxRuleText {
		return set, fmt.Errorf("recurrence rule has %d bytes: at most %d are allowed", len(text), maxRuleText)
	}
	for _, line := range unfold(text) {
		if err := set.readLine(line); err != nil {
			return set, err
		}
	}
	if len(set.rules)+len(set.dates) == 0 {
		return set, errors.New("recurrence rule is empty, it has neither RRULE nor RDATE: write a rule, such as FREQ=DAILY;BYHOUR=9")
	}
	return set, set.check()
}

// unfold joins folded lines (RFC 5545, section 3.1) and drops empty ones.
func unfold(text string) (lines []string) {
	for line := range strings.SplitSeq(strings.ReplaceAll(text, "\r\n", "\n"), "\n") {
		if line != "" && (line[0] == ' ' || line[0] == '\t') && len(lines) > 0 {
			lines[len(lines)-1] += line[1:]
			continue
		}
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// readLine reads NAME;PARAMETER=VALUE:VALUE, or the bare parts of a rule.
func (s *ruleSet) readLine(line string) error {
	head, value, named := strings.Cut(line, ":")
	if !named {
		head, value = "RRULE", line
	}
	name, parameters, _ := strings.Cut(head, ";")
	var err error
	switch strings.ToUpper(name) {
	case "RRULE":
		s.rules, err = appendRule(s.rules, parameters, value)
	case "EXRULE":
		s.exrules, err = appendRule(s.exrules, parameters, value)
	case "RDATE":
		s.dates, err = appendDates(s.dates, parameters, value)
	case "EXDATE":
		s.exdates, err = appendDates(s.exdates, parameters, value)
	case "DTSTART":
		err = s.readStart(parameters, value)
	default:
		err = errors.New("the name is unknown: use DTSTART, RRULE, EXRULE, RDATE and EXDATE")
	}
	if err != nil {
		return fmt.Errorf("recurrence rule line %s: %w", quote(line), err)
	}
	return nil
}

func appendRule(rules []*ruleParts, parameters, value string) ([]*ruleParts, error) {
	if parameters != "" {
		return nil, fmt.Errorf("the parameters %s do not belong there: remove them", quote(parameters))
	}
	p, err := parseParts(value)
	if err != nil {
		return nil, err
	}
	return append(rules, p), nil
}

func appendDates(dates []dateTime, parameters, value string) ([]dateTime, error) {
	for text := range strings.SplitSeq(value, ",") {
		if strings.Contains(strings.ToUpper(parameters), "VALUE=PERIOD") {
			text, _, _ = strings.Cut(text, "/") // the start of a period is the instant
		}
		d, err := parseDateTime(parameters, text)
		if err != nil {
			return nil, err
		}
		dates = append(dates, d)
	}
	return dates, nil
}

func (s *ruleSet) readStart(parameters, value string) error {
	if s.start != nil {
		return errors.New("DTSTART is given twice: remove one")
	}
	d, err := parseDateTime(parameters, value)
	s.start = &d
	return err
}

// check checks what concerns several lines.
func (s *ruleSet) check() error {
	if n := len(s.rules) + len(s.exrules); n > maxRules {
		return fmt.Errorf("recurrence rule has %d RRULE and EXRULE lines: at most %d are allowed", n, maxRules)
	}
	count, dated := 0, s.start != nil && s.start.form == dateOnly
	for _, p := range slices.Concat(s.rules, s.exrules) {
		count += p.count
		if dated && p.namesTimes() {
			return errors.New("recurrence rule has a date for DTSTART, but its rule names times: give DTSTART a time, such as T000000")
		}
		if p.until != nil && p.until.form == dateOnly && !dated {
			return fmt.Errorf("recurrence rule part UNTIL=%s is a date, but the rule has times: write UNTIL=%sT235959 for the end of that day", p.until, p.until)
		}
	}
	if count > maxCount {
		return fmt.Errorf("recurrence rule has a COUNT of %d in all: the limit is %d, use UNTIL", count, maxCount)
	}
	for _, d := range slices.Concat(s.dates, s.exdates) {
		if d.form == dateOnly && !dated {
			return fmt.Errorf("recurrence rule date %s has no time, but the rule has: write, for example, %sT090000, or drop whole days with the schedule's exceptions", d, d)
		}
	}
	return nil
}

// frequencies are the values of FREQ.
var frequencies = [...]string{
	secondly: "SECONDLY", minutely: "MINUTELY", hourly: "HOURLY", daily: "DAILY", weekly: "WEEKLY", monthly: "MONTHLY", yearly: "YEARLY",
}

func (f frequency) String() string { return frequencies[f] }

// longest are the intervals that make 400 years.
var longest = [...]int64{
	secondly: calendarCycle, minutely: calendarCycle / 60, hourly: calendarCycle / 3600,
	daily: 146097, weekly: 146097 / 7, monthly: 4800, yearly: 400,
}

// numberList is a part that lists numbers.
type numberList int

const (
	bySecond numberList = iota
	byMinute
	byHour
	byMonthDay
	byYearDay
	byWeekNo
	byMonth
	bySetPos
	numberLists
)

var numberParts = [numberLists]struct {
	name, plural string
	lo, hi       int
	signed       bool // -1 counts from the end
}{
	bySecond:   {"BYSECOND", "seconds", 0, 60, false},
	byMinute:   {"BYMINUTE", "minutes", 0, 59, false},
	byHour:     {"BYHOUR", "hours", 0, 23, false},
	byMonthDay: {"BYMONTHDAY", "days of the month", 1, 31, true},
	byYearDay:  {"BYYEARDAY", "days of the year", 1, 366, true},
	byWeekNo:   {"BYWEEKNO", "weeks", 1, 53, true},
	byMonth:    {"BYMONTH", "months", 1, 12, false},
	bySetPos:   {"BYSETPOS", "positions", 1, 366, true},
}

// dayCodes are the weekdays of BYDAY and WKST.
var dayCodes = [7]string{"SU", "MO", "TU", "WE", "TH", "FR", "SA"}

// parseParts reads FREQ=DAILY;BYHOUR=9.
func parseParts(text string) (*ruleParts, error) {
	p := &ruleParts{interval: 1, weekStart: 1}
	for part := range strings.SplitSeq(strings.ToUpper(text), ";") {
		part = strings.TrimSpace(part)
		name, value, ok := strings.Cut(part, "=")
		if part == "" {
			return nil, errors.New("a part is empty: remove the extra ;")
		}
		if !ok || value == "" {
			return nil, fmt.Errorf("part %s has no value: write parts such as FREQ=DAILY, separated by ;", quote(part))
		}
		if slices.Contains(p.given, name) {
			return nil, fmt.Errorf("part %s is given twice: remove one", name)
		}
		p.given = append(p.given, name)
		if err := p.read(name, value); err != nil {
			return nil, fmt.Errorf("part %s: %w", quote(part), err)
		}
	}
	return p, p.check()
}

func (p *ruleParts) read(name, value string) (err error) {
	for list, part := range numberParts {
		if part.name == name {
			p.lists[list], err = parseNumbers(numberList(list), value)
			return err
		}
	}
	switch name {
	case "FREQ":
		i := slices.Index(frequencies[:], value)
		if i < 0 {
			return errors.New("a frequency is one of SECONDLY, MINUTELY, HOURLY, DAILY, WEEKLY, MONTHLY and YEARLY")
		}
		p.freq = frequency(i)
	case "INTERVAL":
		p.interval, err = parsePositive(value, "an interval")
	case "COUNT":
		var count int64
		count, err = parsePositive(value, "a count")
		p.count = int(min(count, maxCount+1))
	case "UNTIL":
		var until dateTime
		until, err = parseDateTime("", value)
		p.until = &until
	case "WKST":
		if p.weekStart = slices.Index(dayCodes[:], value); p.weekStart < 0 {
			return errors.New("a weekday is one of SU, MO, TU, WE, TH, FR and SA")
		}
	case "BYDAY":
		p.weekdays, err = parseWeekdays(value)
	case "RSCALE", "SKIP":
		return errors.New("other calendars (RFC 7529) are not supported: remove the part")
	default:
		return errors.New("the part is unknown: use FREQ, INTERVAL, COUNT, UNTIL, WKST, BYMONTH, BYWEEKNO, BYYEARDAY, BYMONTHDAY, BYDAY, BYHOUR, BYMINUTE, BYSECOND and BYSETPOS")
	}
	return err
}

func parsePositive(text, what string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 || text[0] == '+' {
		return 0, fmt.Errorf("%s is a whole number from 1 on", what)
	}
	return n, nil
}

func parseNumbers(list numberList, text string) (numbers []int, err error) {
	part := numberParts[list]
	for item := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(item)
		size := n
		if part.signed {
			size = max(n, -n)
		} else if item != "" && (item[0] == '+' || item[0] == '-') {
			err = strconv.ErrSyntax
		}
		if err != nil || size < part.lo || size > part.hi {
			return nil, fmt.Errorf("%s is not valid: %s", quote(item), list.bounds())
		}
		if list == bySecond {
			n = min(n, 59) // a leap second, for a clock without them (RFC 5545, section 3.3.12)
		}
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	return slices.Compact(numbers), nil
}

// bounds describes the values that a part accepts.
func (list numberList) bounds() string {
	part := numberParts[list]
	if part.signed {
		return fmt.Sprintf("%s go from 1 to %d, or from -1 (the last) to -%d", part.plural, part.hi, part.hi)
	}
	return fmt.Sprintf("%s go from %d to %d", part.plural, part.lo, min(part.hi, 59))
}

func parseWeekdays(text string) (days []nthWeekday, err error) {
	for item := range strings.SplitSeq(text, ",") {
		number, code := item[:max(len(item)-2, 0)], item[max(len(item)-2, 0):]
		d := nthWeekday{weekday: slices.Index(dayCodes[:], code)}
		if d.weekday < 0 {
			return nil, fmt.Errorf("%s is not a weekday: write SU, MO, TU, WE, TH, FR or SA, with a number before it for the nth one, negative to count from the end", quote(item))
		}
		if number != "" {
			if d.n, err = strconv.Atoi(number); err != nil || d.n == 0 || max(d.n, -d.n) > 53 {
				return nil, fmt.Errorf("%s has a number out of range: write 1 to 53, or -1 (the last) to -53", quote(item))
			}
		}
		days = append(days, d)
	}
	slices.SortFunc(days, func(a, b nthWeekday) int {
		if a.n != b.n {
			return a.n - b.n
		}
		return (a.weekday+6)%7 - (b.weekday+6)%7 // Monday first
	})
	return slices.Compact(days), nil
}

func (p *ruleParts) has(name string) bool { return slices.Contains(p.given, name) }

// namesTimes reports whether a rule has more than dates.
func (p *ruleParts) namesTimes() bool {
	return p.freq < daily || p.has("BYHOUR") || p.has("BYMINUTE") || p.has("BYSECOND")
}

// check refuses what RFC 5545, section 3.3.10, forbids.
func (p *ruleParts) check() error {
	numbered := slices.ContainsFunc(p.weekdays, func(d nthWeekday) bool { return d.n != 0 })
	switch {
	case !p.has("FREQ"):
		return errors.New("FREQ is missing: write, for example, FREQ=DAILY")
	case p.count > maxCount:
		return fmt.Errorf("COUNT is above %d: use UNTIL", maxCount)
	case p.count > 0 && p.until != nil:
		return errors.New("COUNT and UNTIL are both given: remove one")
	case p.interval > longest[p.freq]:
		return fmt.Errorf("INTERVAL=%d is more than 400 years: give at most %d", p.interval, longest[p.freq])
	case p.has("BYWEEKNO") && p.freq != yearly:
		return fmt.Errorf("BYWEEKNO goes with FREQ=YEARLY only, not %s", p.freq)
	case p.has("BYYEARDAY") && (p.freq == daily || p.freq == weekly || p.freq == monthly):
		return fmt.Errorf("BYYEARDAY does not go with FREQ=%s: use FREQ=YEARLY", p.freq)
	case p.has("BYMONTHDAY") && p.freq == weekly:
		return errors.New("BYMONTHDAY does not go with FREQ=WEEKLY: use FREQ=MONTHLY, or FREQ=DAILY with both BYMONTHDAY and BYDAY")
	case numbered && p.freq != monthly && p.freq != yearly:
		return fmt.Errorf("BYDAY with a number goes with FREQ=MONTHLY and YEARLY only, not %s: remove the number", p.freq)
	case numbered && p.has("BYWEEKNO"):
		return errors.New("BYDAY with a number does not go with BYWEEKNO: remove the number")
	case p.has("BYSETPOS") && !slices.ContainsFunc(p.given, func(name string) bool { return name != "BYSETPOS" && strings.HasPrefix(name, "BY") }):
		return errors.New("BYSETPOS picks from what another BY part lists, but there is none: add one or remove BYSETPOS")
	}
	return nil
}
