package recur

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A plainSet is a recurrence set as the oracle reads it. It has no offset table and no bits: it
// lists dates one by one and reads the clock of time.Time.
type plainSet struct {
	clock          plainClock
	start          int64 // DTSTART
	wall           int64 // its local time, as it is written
	ahead          int64 // offset of the clock at DTSTART
	again          bool  // DTSTART is on the second pass of a time that the clock shows twice
	rules, exRules []*plainRule
	dates, exDates []int64
}

// newPlainSet parses a text that is known to be valid.
func newPlainSet(text string, zone *time.Location) *plainSet {
	text = strings.NewReplacer("\r\n ", "", "\n ", "", "\r\n\t", "", "\n\t", "", "\r\n", "\n").Replace(text)
	lines := strings.Split(text, "\n")
	if zone == nil {
		zone = time.UTC
	}
	s := &plainSet{clock: plainClock{loc: zone, known: map[int64][]int64{}}}
	s.wall = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	s.start = s.clock.when(s.wall)
	for _, line := range lines {
		if name, parameters, value := plainLine(line); name == "DTSTART" {
			if id := plainParameter(parameters, "TZID"); id != "" {
				s.clock.loc, _ = time.LoadLocation(id)
				clear(s.clock.known)
			}
			s.start, s.wall = s.clock.read(value)
		}
	}
	s.ahead = s.clock.shows(s.start) - s.start
	s.again = s.clock.when(s.wall) < s.start
	for _, line := range lines {
		switch name, parameters, value := plainLine(line); name {
		case "RRULE":
			s.rules = append(s.rules, newPlainRule(s, value))
		case "EXRULE":
			s.exRules = append(s.exRules, newPlainRule(s, value))
		case "RDATE":
			s.dates = append(s.dates, s.list(parameters, value)...)
		case "EXDATE":
			s.exDates = append(s.exDates, s.list(parameters, value)...)
		}
	}
	if len(s.rules) == 0 && strings.Contains(text, "DTSTART") {
		s.dates = append(s.dates, s.start)
	}
	return s
}

// plainLine splits a line. Bare parts are a rule.
func plainLine(line string) (name, parameters, value string) {
	name, value, ok := strings.Cut(line, ":")
	if !ok {
		return "RRULE", "", strings.ToUpper(line)
	}
	name, parameters, _ = strings.Cut(name, ";")
	return strings.ToUpper(name), parameters, strings.ToUpper(value)
}

func plainParameter(parameters, name string) string {
	for parameter := range strings.SplitSeq(parameters, ";") {
		if key, value, _ := strings.Cut(parameter, "="); strings.EqualFold(key, name) {
			return value
		}
	}
	return ""
}

func (s *plainSet) list(parameters, value string) (instants []int64) {
	clock := s.clock
	if id := plainParameter(parameters, "TZID"); id != "" {
		loc, _ := time.LoadLocation(id)
		clock = plainClock{loc: loc, known: map[int64][]int64{}}
	}
	for item := range strings.SplitSeq(value, ",") {
		item, _, _ = strings.Cut(item, "/") // the start of a period counts
		instant, _ := clock.read(item)
		instants = append(instants, instant)
	}
	return instants
}

// instants returns the members in [from, end).
func (s *plainSet) instants(from, end int64) []int64 {
	var all, dropped []int64
	for _, r := range s.rules {
		all = append(all, r.instants(from, end)...)
	}
	for _, r := range s.exRules {
		dropped = append(dropped, r.instants(from, end)...)
	}
	all = append(all, s.dates...)
	dropped = append(dropped, s.exDates...)
	slices.Sort(all)
	slices.Sort(dropped)
	return slices.DeleteFunc(slices.Compact(all), func(u int64) bool {
		_, drop := slices.BinarySearch(dropped, u)
		return drop || u < from || u >= end
	})
}

// A plainRule is one RRULE or EXRULE. A list that is not given is nil.
type plainRule struct {
	set                                             *plainSet
	freq                                            string
	unit                                            int64 // seconds; 0 for DAILY and longer
	interval                                        int64
	count                                           int   // 0: no end
	until, untilWall                                int64 // an instant and a local time; one of them is far away
	wkst                                            time.Weekday
	months, monthDays, yearDays, weekNos, positions []int
	hours, minutes, seconds                         []int
	days                                            []plainDay
	matches                                         map[int64]bool // dates that were asked about
}

// plainDay is an item of BYDAY.
type plainDay struct {
	nth     int
	weekday time.Weekday
}

func newPlainRule(s *plainSet, parts string) *plainRule {
	r := &plainRule{set: s, interval: 1, until: math.MaxInt64, untilWall: math.MaxInt64, wkst: time.Monday, matches: map[int64]bool{}}
	lists := map[string]*[]int{
		"BYMONTH": &r.months, "BYMONTHDAY": &r.monthDays, "BYYEARDAY": &r.yearDays, "BYWEEKNO": &r.weekNos,
		"BYSETPOS": &r.positions, "BYHOUR": &r.hours, "BYMINUTE": &r.minutes, "BYSECOND": &r.seconds,
	}
	utc := false // UNTIL
	for part := range strings.SplitSeq(parts, ";") {
		name, value, _ := strings.Cut(part, "=")
		switch name {
		case "FREQ":
			r.freq = value
			r.unit = map[string]int64{"HOURLY": 3600, "MINUTELY": 60, "SECONDLY": 1}[value]
		case "INTERVAL":
			r.interval, _ = strconv.ParseInt(value, 10, 64)
		case "COUNT":
			r.count, _ = strconv.Atoi(value)
		case "UNTIL":
			r.until, r.untilWall = s.clock.read(value)
			utc = strings.HasSuffix(value, "Z")
		case "WKST":
			r.wkst = plainWeekday(value)
		case "BYDAY":
			for item := range strings.SplitSeq(value, ",") {
				nth, _ := strconv.Atoi(item[:len(item)-2])
				r.days = append(r.days, plainDay{nth, plainWeekday(item[len(item)-2:])})
			}
		default:
			for item := range strings.SplitSeq(value, ",") {
				n, _ := strconv.Atoi(item)
				*lists[name] = append(*lists[name], n)
			}
		}
	}
	if utc || r.unit > 0 {
		r.untilWall = math.MaxInt64
	} else {
		r.until = math.MaxInt64
	}
	for i, second := range r.seconds {
		r.seconds[i] = min(second, 59)
	}
	return r
}

func plainWeekday(name string) time.Weekday {
	return time.Weekday(slices.Index([]string{"SU", "MO", "TU", "WE", "TH", "FR", "SA"}, name))
}

func (r *plainRule) instants(from, end int64) (instants []int64) {
	low := from
	if r.count > 0 {
		low = r.set.start // to count from
	}
	if r.unit > 0 {
		instants = r.scan(max(low, r.set.start), end)
	} else {
		for _, wall := range r.walls(low, end) {
			instants = append(instants, r.set.clock.when(wall))
		}
		slices.Sort(instants)
	}
	return slices.DeleteFunc(instants, func(u int64) bool { return u < from || u >= end || u > r.until })
}

// plainSlack is more than an offset and a shift together.
const plainSlack = 3 * secondsPerDay

// walls returns the local times of a rule with FREQ=DAILY or longer, from DTSTART on, that may
// become instants in [from, end).
func (r *plainRule) walls(from, end int64) (walls []int64) {
	day := floorDiv(max(from-plainSlack, r.set.wall), secondsPerDay)
	for r.period(day-1) == r.period(day) {
		day--
	}
	times := r.times()
	for day*secondsPerDay < end+plainSlack && (r.count == 0 || len(walls) < r.count) {
		var candidates []int64
		period := r.period(day)
		skip := (period-r.period(floorDiv(r.set.wall, secondsPerDay)))%r.interval != 0
		for ; r.period(day) == period; day++ {
			if !skip && r.matchDay(day) {
				for _, second := range times {
					candidates = append(candidates, day*secondsPerDay+second)
				}
			}
		}
		for _, wall := range r.pick(candidates) {
			if r.set.begins(wall) && wall <= r.untilWall {
				walls = append(walls, wall)
			}
		}
	}
	if r.count > 0 && len(walls) > r.count {
		return walls[:r.count]
	}
	return walls
}

// begins reports whether a local time is not before DTSTART. If DTSTART is on a second pass, the
// times that the pass repeats are before it.
func (s *plainSet) begins(wall int64) bool {
	return wall >= s.wall && (!s.again || s.clock.when(wall) >= s.start)
}

// pick applies BYSETPOS to the candidates of one period.
func (r *plainRule) pick(candidates []int64) (picked []int64) {
	if r.positions == nil {
		return candidates
	}
	for i, candidate := range candidates {
		if slices.Contains(r.positions, i+1) || slices.Contains(r.positions, i-len(candidates)) {
			picked = append(picked, candidate)
		}
	}
	return picked
}

// period returns the number of the year, month, week or day that contains a date.
func (r *plainRule) period(day int64) int64 {
	date := plainDate(day)
	switch r.freq {
	case "YEARLY":
		return int64(date.Year())
	case "MONTHLY":
		return int64(date.Year()*12 + int(date.Month()))
	case "WEEKLY":
		return floorDiv(day-int64(date.Weekday()-r.wkst+7)%7+7, 7) // the day on which the week begins
	default:
		return day
	}
}

func plainDate(day int64) time.Time { return time.Unix(day*secondsPerDay, 0).UTC() }

// times returns the times of a matching day.
func (r *plainRule) times() (times []int64) {
	start := time.Unix(r.set.wall, 0).UTC()
	or := func(list []int, missing int) []int {
		if list == nil {
			return []int{missing}
		}
		return list
	}
	for _, hour := range or(r.hours, start.Hour()) {
		for _, minute := range or(r.minutes, start.Minute()) {
			for _, second := range or(r.seconds, start.Second()) {
				times = append(times, int64(hour*3600+minute*60+second))
			}
		}
	}
	slices.Sort(times)
	return slices.Compact(times)
}

func (r *plainRule) matchDay(day int64) bool {
	match, known := r.matches[day]
	if !known {
		match = r.matchDate(plainDate(day))
		r.matches[day] = match
	}
	return match
}

// matchDate reports whether a date matches every date part, including those taken from DTSTART.
func (r *plainRule) matchDate(date time.Time) bool {
	months, monthDays, days := r.months, r.monthDays, r.days
	start := time.Unix(r.set.wall, 0).UTC()
	if r.weekNos == nil && r.yearDays == nil && r.monthDays == nil && r.days == nil {
		switch r.freq {
		case "YEARLY":
			monthDays = []int{start.Day()}
			if months == nil {
				months = []int{int(start.Month())}
			}
		case "MONTHLY":
			monthDays = []int{start.Day()}
		case "WEEKLY":
			days = []plainDay{{0, start.Weekday()}}
		}
	}
	if r.weekNos != nil && r.yearDays == nil && r.monthDays == nil && r.days == nil {
		days = []plainDay{{0, start.Weekday()}}
	}
	lastOfMonth := time.Date(date.Year(), date.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()
	lastOfYear := time.Date(date.Year(), 12, 31, 0, 0, 0, 0, time.UTC).YearDay()
	return (months == nil || slices.Contains(months, int(date.Month()))) &&
		eitherEnd(monthDays, date.Day(), lastOfMonth) &&
		eitherEnd(r.yearDays, date.YearDay(), lastOfYear) &&
		r.matchWeek(date) &&
		(days == nil || slices.ContainsFunc(days, func(d plainDay) bool {
			switch {
			case d.weekday != date.Weekday():
				return false
			case d.nth == 0:
				return true
			case r.freq == "MONTHLY" || r.months != nil:
				return eitherEnd([]int{d.nth}, (date.Day()-1)/7+1, (date.Day()-1)/7+1+(lastOfMonth-date.Day())/7)
			default:
				return eitherEnd([]int{d.nth}, (date.YearDay()-1)/7+1, (date.YearDay()-1)/7+1+(lastOfYear-date.YearDay())/7)
			}
		}))
}

// eitherEnd reports whether a list has position n of 1 to last, counted from either end. A list
// that is not given has every position.
func eitherEnd(list []int, n, last int) bool {
	return list == nil || slices.Contains(list, n) || slices.Contains(list, n-last-1)
}

// matchWeek assigns a week to the year that contains the fourth of its days.
func (r *plainRule) matchWeek(date time.Time) bool {
	if r.weekNos == nil {
		return true
	}
	fourth := date.AddDate(0, 0, 3-int(date.Weekday()-r.wkst+7)%7)
	last := fourth
	for last.AddDate(0, 0, 7).Year() == fourth.Year() {
		last = last.AddDate(0, 0, 7)
	}
	return eitherEnd(r.weekNos, (fourth.YearDay()-1)/7+1, (last.YearDay()-1)/7+1)
}

// scan returns the members of a rule with FREQ=HOURLY, MINUTELY or SECONDLY in [from, end), up to
// its count.
func (r *plainRule) scan(from, end int64) (members []int64) {
	stride := r.stride(from, end)
	u := from + ((r.set.start-from)%stride+stride)%stride
	for ; u < end && (r.count == 0 || len(members) < r.count); u += stride {
		if r.matchInstant(u) {
			members = append(members, u)
		}
	}
	return members
}

// stride returns the least distance of two members, counted from DTSTART.
func (r *plainRule) stride(low, high int64) int64 {
	switch {
	case r.freq == "SECONDLY":
		return r.interval
	case r.seconds != nil:
		return 1
	case r.minutes == nil && r.interval <= math.MaxInt32:
		return r.unit * r.interval
	}
	for u := low; u < high; u += 900 {
		if (r.set.clock.shows(u)-u)%60 != r.set.ahead%60 {
			return 1
		}
	}
	return 60
}

// matchInstant reports whether an instant matches a rule that follows elapsed time.
func (r *plainRule) matchInstant(u int64) bool {
	elapsed, start := u+r.set.ahead, r.set.start+r.set.ahead
	if (floorDiv(elapsed, r.unit)-floorDiv(start, r.unit))%r.interval != 0 {
		return false
	}
	wall := r.set.clock.shows(u)
	day := floorDiv(wall, secondsPerDay)
	second := int(wall - day*secondsPerDay)
	hour, minute, second := second/3600, second/60%60, second%60
	switch {
	case r.minutes != nil && !slices.Contains(r.minutes, minute),
		r.seconds != nil && !slices.Contains(r.seconds, second),
		r.hours != nil && !slices.Contains(r.hours, hour),
		r.freq == "HOURLY" && r.minutes == nil && (floorDiv(elapsed, 60)-floorDiv(start, 60))%60 != 0:
		return false
	}
	if r.freq != "SECONDLY" && r.seconds == nil {
		clock := elapsed
		if r.minutes != nil {
			clock = wall
		}
		if (clock-start)%60 != 0 {
			return false
		}
	}
	return r.matchPosition(minute, second) && r.matchDay(day)
}

// matchPosition applies BYSETPOS to a time within the clock's hour or minute, even if the clock
// does not show all of it.
func (r *plainRule) matchPosition(minute, second int) bool {
	times, n := []int{0}, 0
	switch {
	case r.positions == nil:
		return true
	case r.freq == "HOURLY" && r.minutes != nil:
		times, n = nil, minute*60
		for _, m := range r.minutes {
			if r.seconds == nil {
				times = append(times, m*60)
			}
			for _, s := range r.seconds {
				times = append(times, m*60+s)
			}
		}
		if r.seconds != nil {
			n += second
		}
	case r.freq != "SECONDLY" && r.seconds != nil:
		times, n = slices.Clone(r.seconds), second
	}
	slices.Sort(times)
	times = slices.Compact(times)
	return eitherEnd(r.positions, slices.Index(times, n)+1, len(times))
}

// A plainClock reads the clock of a zone.
type plainClock struct {
	loc   *time.Location
	known map[int64][]int64 // day -> offsets of the clock around it
}

// read parses an instant or a local time. It returns both, the local time as it is written.
func (c plainClock) read(value string) (instant, wall int64) {
	if utc, ok := strings.CutSuffix(value, "Z"); ok {
		t, _ := time.Parse("20060102T150405", utc)
		return t.Unix(), c.shows(t.Unix())
	}
	layout := "20060102T150405"[:len(value)]
	t, _ := time.Parse(layout, value)
	return c.when(t.Unix()), t.Unix()
}

// shows returns what the clock shows at an instant.
func (c plainClock) shows(u int64) int64 {
	_, offset := time.Unix(u, 0).In(c.loc).Zone()
	return u + int64(offset)
}

// when returns the first instant at which the clock shows a local time. If the clock jumps over it,
// the time is read as if the clock had not jumped yet.
func (c plainClock) when(wall int64) int64 {
	day := floorDiv(wall, secondsPerDay)
	offsets, ok := c.known[day]
	if !ok {
		for u := day*secondsPerDay - maxOffset; u <= (day+1)*secondsPerDay+maxOffset; u += 3600 { // no offset is so short
			if offset := c.shows(u) - u; !slices.Contains(offsets, offset) {
				offsets = append(offsets, offset)
			}
		}
		c.known[day] = offsets
	}
	first := int64(math.MaxInt64)
	for _, offset := range offsets {
		if u := wall - offset; c.shows(u) == wall {
			first = min(first, u)
		}
	}
	if first < math.MaxInt64 {
		return first
	}
	jump := wall - maxOffset - 60
	for c.shows(jump) > wall || c.shows(jump+60) < wall {
		jump += 60
	}
	for c.shows(jump+1) < wall {
		jump++
	}
	return wall - (c.shows(jump) - jump)
}
