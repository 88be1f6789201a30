package recur

// A localRule is a rule with FREQ=DAILY or longer: a set of local times. A local time is a number
// of seconds since the clock showed 1970-01-01 00:00, as if its offset had never changed.
type localRule struct {
	dates   ruleDates
	times   dayTimes
	periods periods
	picks   *picks // BYSETPOS, nil if not given
	first   int64  // DTSTART
	last    int64  // UNTIL, or the last that COUNT allows
}

func (r *localRule) nextShown(offset, from, end int64) int64 {
	if local, ok := r.next(from+offset, end-1+offset); ok {
		return local - offset
	}
	return end
}

func (r *localRule) prevShown(offset, from, end int64) int64 {
	if local, ok := r.prev(from+offset, end-1+offset); ok {
		return local - offset
	}
	return from - 1
}

// next returns the first local time in [from, last].
func (r *localRule) next(from, last int64) (int64, bool) {
	from, last = max(from, r.first), min(last, r.last)
	if from > last {
		return 0, false
	}
	if r.picks != nil {
		return r.nextPick(from, last)
	}
	day, lastDay := floorDiv(from, secondsPerDay), floorDiv(last, secondsPerDay)
	second := int(from - day*secondsPerDay)
	for {
		found, ok := r.nextDay(day, lastDay)
		if !ok {
			return 0, false
		}
		if found > day {
			second = 0
		}
		if s, ok := r.times.next(second); ok {
			local := found*secondsPerDay + int64(s)
			return local, local <= last
		}
		day, second = found+1, 0
	}
}

// nextDay returns the first day in [day, last] that has local times.
func (r *localRule) nextDay(day, last int64) (int64, bool) {
	for {
		found, ok := r.dates.next(day, last)
		if !ok {
			return 0, false
		}
		if day = r.periods.next(found); day == found {
			return day, true
		}
	}
}

// prev returns the last local time in [first, until].
func (r *localRule) prev(first, until int64) (int64, bool) {
	first, until = max(first, r.first), min(until, r.last)
	if first > until {
		return 0, false
	}
	if r.picks != nil {
		return r.prevPick(first, until)
	}
	day, firstDay := floorDiv(until, secondsPerDay), floorDiv(first, secondsPerDay)
	second := int(until - day*secondsPerDay)
	for {
		found, ok := r.prevDay(day, firstDay)
		if !ok {
			return 0, false
		}
		if found < day {
			second = secondsPerDay - 1
		}
		if s, ok := r.times.prev(second); ok {
			local := found*secondsPerDay + int64(s)
			return local, local >= first
		}
		day, second = found-1, secondsPerDay-1
	}
}

// prevDay returns the last day in [first, day] that has local times.
func (r *localRule) prevDay(day, first int64) (int64, bool) {
	for {
		found, ok := r.dates.prev(day, first)
		if !ok {
			return 0, false
		}
		if day = r.periods.prev(found); day == found {
			return day, true
		}
	}
}

// nextPick returns the first picked local time in [from, last].
func (r *localRule) nextPick(from, last int64) (int64, bool) {
	lastDay := floorDiv(last, secondsPerDay)
	day, ok := r.nextDay(floorDiv(from, secondsPerDay), lastDay)
	for ok {
		p := r.period(day)
		if n, ok := r.picks.next(r.rank(p, from), p.count); ok {
			local := r.nth(p, n)
			return local, local <= last
		}
		day, ok = r.nextDay(p.end, lastDay)
	}
	return 0, false
}

// prevPick returns the last picked local time in [first, until].
func (r *localRule) prevPick(first, until int64) (int64, bool) {
	firstDay := floorDiv(first, secondsPerDay)
	day, ok := r.prevDay(floorDiv(until, secondsPerDay), firstDay)
	for ok {
		p := r.period(day)
		if n, ok := r.picks.prev(r.rank(p, until+1)-1, p.count); ok {
			local := r.nth(p, n)
			return local, local >= first
		}
		day, ok = r.prevDay(p.start-1, firstDay)
	}
	return 0, false
}

// period is a period and the number of its local times, from which BYSETPOS picks.
type period struct {
	start, end int64 // days
	count      int
}

// period returns the period that contains a day with local times.
func (r *localRule) period(day int64) period {
	if r.periods.freq == daily {
		return period{day, day + 1, r.times.count()}
	}
	number := r.periods.of(day)
	start, end := r.periods.start(number), r.periods.start(number+1)
	return period{start, end, r.dates.count(start, end) * r.times.count()}
}

// rank returns how many local times of a period are before a given one.
func (r *localRule) rank(p period, local int64) int {
	day := floorDiv(local, secondsPerDay)
	if day < p.start {
		return 0
	}
	if day >= p.end {
		return p.count
	}
	rank := r.dates.count(p.start, day) * r.times.count()
	if r.dates.count(day, day+1) > 0 {
		rank += r.times.rank(int(local - day*secondsPerDay))
	}
	return rank
}

// nth returns the local time of a period that follows n others.
func (r *localRule) nth(p period, n int) int64 {
	day := r.dates.nth(p.start, n/r.times.count())
	return day*secondsPerDay + int64(r.times.nth(n%r.times.count()))
}

// counted returns the last of the first count local times, and false if it is beyond last.
func (r *localRule) counted(count int, last int64) (int64, bool) {
	if r.picks != nil {
		return r.countedPicks(count, last)
	}
	start, lastDay := floorDiv(r.first, secondsPerDay), floorDiv(last, secondsPerDay)
	day, ok := r.nextDay(start, lastDay)
	if day == start {
		count += r.times.rank(int(r.first - start*secondsPerDay)) // those of the day before DTSTART
	}
	for ; ok; day, ok = r.nextDay(day+1, lastDay) {
		if n := r.times.count(); count > n {
			count -= n
			continue
		}
		return day*secondsPerDay + int64(r.times.nth(count-1)), true
	}
	return 0, false
}

// countedPicks is counted for a rule with BYSETPOS.
func (r *localRule) countedPicks(count int, last int64) (int64, bool) {
	lastDay := floorDiv(last, secondsPerDay)
	day, ok := r.nextDay(floorDiv(r.first, secondsPerDay), lastDay)
	for ok {
		p := r.period(day)
		for n, ok := r.picks.next(r.rank(p, r.first), p.count); ok; n, ok = r.picks.next(n+1, p.count) {
			if count--; count == 0 {
				return r.nth(p, n), true
			}
		}
		day, ok = r.nextDay(p.end, lastDay)
	}
	return 0, false
}
