package recur

import "slices"

// maxDropped is how many instants in a row, or stretches of them, exceptions may drop: more than there may be EXDATEs, and 13
// years of days. It keeps the work of a search under some milliseconds.
const maxDropped = 5_000

// drops says whether exceptions drop an instant of the set, and from which instant on the next may not be dropped.
func (r *RRule) drops(instant int64) (resume int64, dropped bool) {
	if r.hasExdate(instant) {
		return instant + 1, true
	}
	for _, x := range r.exrules {
		if _, found := x.next(r.zone, instant, instant); found {
			return x.resume(r.zone, instant), true
		}
	}
	return 0, false
}

// dropsBack is drops for a search backward: resume is the last instant that may not be dropped.
func (r *RRule) dropsBack(instant int64) (resume int64, dropped bool) {
	if r.hasExdate(instant) {
		return instant - 1, true
	}
	for _, x := range r.exrules {
		if _, found := x.next(r.zone, instant, instant); found {
			return x.resumeBack(r.zone, instant), true
		}
	}
	return 0, false
}

func (r *RRule) hasExdate(instant int64) bool {
	_, found := slices.BinarySearch(r.exdates, instant)
	return found
}

// resume is the next instant, or the end of the date or time for which an EXRULE drops all: "every minute, but not in
// July" drops 44,640 instants.
func (r *rule) resume(zone *Zone, dropped int64) int64 {
	ticks, ok := r.set.(*tickRule)
	if !ok || !r.dropsAll {
		return dropped + 1
	}
	period := zone.periodOf(dropped)
	return ticks.outside(zone.offset(period), dropped+1, min(zone.begins(period+1), r.last+1))
}

func (r *rule) resumeBack(zone *Zone, dropped int64) int64 {
	ticks, ok := r.set.(*tickRule)
	if !ok || !r.dropsAll {
		return dropped - 1
	}
	period := zone.periodOf(dropped)
	return ticks.outsideBack(zone.offset(period), dropped-1, max(zone.begins(period), r.first))
}

// covers says that the windows of an EXRULE leave out no instant of the set, so that only its dates and times do.
func (r *tickRule) covers(set *RRule) bool {
	if r.period <= r.width {
		return true
	}
	for _, other := range set.rules {
		ticks, ok := other.set.(*tickRule)
		if !ok || ticks.period%r.period != 0 || modulo(ticks.origin-r.origin, r.period)+ticks.width > r.width {
			return false
		}
	}
	return len(set.dates) == 0
}

// outside returns the first instant in [from, end) at which the clock shows a date or a time that the rule does not have;
// end if there is none.
func (r *tickRule) outside(offset, from, end int64) int64 {
	everyTime := r.times.everyTime()
	if everyTime && r.dates.everyDate() {
		return end
	}
	for from < end {
		day := floorDiv(from+offset, secondsPerDay)
		midnight := day*secondsPerDay - offset
		if _, ok := r.dates.next(day, day); !ok {
			return from
		}
		if !everyTime {
			if s := r.times.missing(int(from - midnight)); s < secondsPerDay {
				return min(midnight+int64(s), end)
			}
		}
		from = midnight + secondsPerDay
	}
	return end
}

// outsideBack returns the last such instant in [from, last]; from-1 if there is none.
func (r *tickRule) outsideBack(offset, last, from int64) int64 {
	everyTime := r.times.everyTime()
	if everyTime && r.dates.everyDate() {
		return from - 1
	}
	for last >= from {
		day := floorDiv(last+offset, secondsPerDay)
		midnight := day*secondsPerDay - offset
		if _, ok := r.dates.next(day, day); !ok {
			return last
		}
		if !everyTime {
			if s := r.times.missingBefore(int(last - midnight)); s >= 0 {
				return max(midnight+int64(s), from-1)
			}
		}
		last = midnight - 1
	}
	return from - 1
}
