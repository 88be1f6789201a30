package recur

// A tickRule is a rule with FREQ=HOURLY, MINUTELY or SECONDLY. It follows elapsed time: windows
// follow each other at a fixed distance, counted from DTSTART, whatever the clock does. A second in
// a window is a tick if the clock then shows a date and a time that match the rule's other parts.
type tickRule struct {
	dates  ruleDates
	times  dayTimes
	origin int64 // the first second of a window
	width  int64 // of a window, in seconds: 1, 60 or 3600
	period int64 // from one window to the next, in seconds
	useful phases
}

// nextShown takes at most one step for each day.
func (r *tickRule) nextShown(offset, from, end int64) int64 {
	for {
		if from = r.window(from); from >= end {
			return end
		}
		day := floorDiv(from+offset, secondsPerDay)
		found, ok := r.dates.next(day, floorDiv(end-1+offset, secondsPerDay))
		if !ok {
			return end
		}
		midnight := found*secondsPerDay - offset
		if found > day {
			from = midnight
			continue
		}
		until := min(midnight+secondsPerDay, end)
		if tick, ok := r.nextOfDay(midnight, from, until); ok {
			return tick
		}
		from = until
	}
}

// nextOfDay returns the first tick in [from, until), and false if there is none.
func (r *tickRule) nextOfDay(midnight, from, until int64) (int64, bool) {
	if !r.useful.has(midnight - r.origin) {
		return 0, false
	}
	for from < until {
		s, ok := r.times.next(int(from - midnight))
		tick := midnight + int64(s)
		if !ok || tick >= until {
			break
		}
		if from = r.window(tick); from == tick {
			return tick, true
		}
	}
	return 0, false
}

func (r *tickRule) prevShown(offset, from, end int64) int64 {
	for last := end - 1; ; {
		if last = r.windowBefore(last); last < from {
			return from - 1
		}
		day := floorDiv(last+offset, secondsPerDay)
		found, ok := r.dates.prev(day, floorDiv(from+offset, secondsPerDay))
		if !ok {
			return from - 1
		}
		midnight := found*secondsPerDay - offset
		if found < day {
			last = midnight + secondsPerDay - 1
			continue
		}
		first := max(midnight, from)
		if tick, ok := r.prevOfDay(midnight, first, last); ok {
			return tick
		}
		last = first - 1
	}
}

// prevOfDay returns the last tick in [first, last], and false if there is none.
func (r *tickRule) prevOfDay(midnight, first, last int64) (int64, bool) {
	if !r.useful.has(midnight - r.origin) {
		return 0, false
	}
	for last >= first {
		s, ok := r.times.prev(int(last - midnight))
		tick := midnight + int64(s)
		if !ok || tick < first {
			break
		}
		if last = r.windowBefore(tick); last == tick {
			return tick, true
		}
	}
	return 0, false
}

// window returns the first second, from instant on, that is in a window.
func (r *tickRule) window(instant int64) int64 {
	if phase := modulo(instant-r.origin, r.period); phase >= r.width {
		return instant + r.period - phase
	}
	return instant
}

// windowBefore returns the last second, up to instant, that is in a window.
func (r *tickRule) windowBefore(instant int64) int64 {
	if phase := modulo(instant-r.origin, r.period); phase >= r.width {
		return instant - phase + r.width - 1
	}
	return instant
}

// phases tells days that may have ticks from days that have none: it depends on how long before
// midnight the last window began. Without it, a rule such as every 7 seconds at times that avoid
// all multiples of 7 on Mondays would be searched second by second.
type phases struct {
	period int64
	set    []uint64 // bit n: a day may have ticks if a window began n seconds before midnight; nil: every day may
}

func (p *phases) has(sinceWindow int64) bool {
	if p.set == nil {
		return true
	}
	n := modulo(sinceWindow, p.period)
	return p.set[n/64]>>(n%64)&1 != 0
}

// newPhases returns the phases of windows that are less than a day apart; others are searched one
// by one. It rounds times to whole windows, so that it may let a day without ticks pass.
func newPhases(times *dayTimes, width, period int64) (p phases) {
	if times.everyTime() || period >= secondsPerDay || period < 2*width {
		return p
	}
	p = phases{period, make([]uint64, period/64+1)}
	for s, ok := times.next(0); ok; s, ok = times.next(s - s%int(width) + int(width)) {
		block := int64(s) - int64(s)%width
		for n := -block - width + 1; n < -block+width; n++ {
			phase := modulo(n, period)
			p.set[phase/64] |= 1 << (phase % 64)
		}
	}
	return p
}
