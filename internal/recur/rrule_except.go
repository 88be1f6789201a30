package recur

import "slices"

// maxDropped is how many instants in a row, or runs of them that are passed over at once,
// exceptions may drop: more than the text has room for EXDATEs, and 13 years of days. With it a
// search takes a few milliseconds at most.
const maxDropped = 5_000

// drops reports whether exceptions drop an instant of the set. resume is the first later instant
// that they may not drop.
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

// dropsBack is drops for a search backward: resume is the last earlier instant that they may not
// drop.
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

// resume returns the next instant or, for an EXRULE that drops everything on its dates and times,
// their end: "every minute, but not in July" passes over 44,640 instants at once.
func (r *rule) resume(zone *Zone, dropped int64) int64 {
	ticks, ok := r.set.(*tickRule)
	if !ok || !r.dropsAll {
		return dropped + 1
	}
	period := zone.periodOf(dropped)
	return ticks.outside(zone.offset(period), dropped+1, min(zone.begins(period+1), r.last+1))
}

// resumeBack mirrors resume.
func (r *rule) resumeBack(zone *Zone, dropped int64) int64 {
	ticks, ok := r.set.(*tickRule)
	if !ok || !r.dropsAll {
		return dropped - 1
	}
	period := zone.periodOf(dropped)
	return ticks.outsideBack(zone.offset(period), dropped-1, max(zone.begins(period), r.first))
}

// covers reports whether the windows of an EXRULE contain every instant of the set, so that only
// its dates and times decide what it drops.
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

// outside returns the first instant in [from, end) at which the clock shows a date or a time that
// does not match the rule, or end if there is none.
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

// outsideBack returns the last such instant in [from, last], or from-1 if there is none.
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
