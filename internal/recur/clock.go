package recur

import "time"

// A clockSet is a set of instants described by what a clock shows.
type clockSet interface {
	// nextShown returns the first instant in [from, end) at which a clock that is offset seconds
	// ahead of UTC shows a member, or end if there is none or the range is empty.
	nextShown(offset, from, end int64) int64
	// prevShown returns the last such instant, or from-1 if there is none or the range is empty.
	prevShown(offset, from, end int64) int64
}

// passes decides how the local times of a set become instants.
type passes bool

const (
	// oncePerTime is for schedules that name local times: one instant each, see [Zone.resolve].
	oncePerTime passes = false
	// everyPass is for schedules that repeat by elapsed time: every instant at which the clock
	// shows a member.
	everyPass passes = true
)

// next returns the first instant in [from, limit], and false if there is none.
func (z *Zone) next(set clockSet, how passes, from, limit int64) (int64, bool) {
	for i := z.periodOf(from); from <= limit; i++ {
		end := min(z.begins(i+1), limit+1)
		if instant := z.nextInPeriod(set, how, i, from, end); instant < end {
			return instant, true
		}
		from = end
	}
	return 0, false
}

// nextInPeriod returns the first instant in [from, end), or end if there is none. The whole range
// is in period i.
func (z *Zone) nextInPeriod(set clockSet, how passes, i int, from, end int64) int64 {
	offset := z.offset(i)
	if how == everyPass || i < 0 {
		return set.nextShown(offset, from, end)
	}
	begin, previous := z.begins(i), z.offset(i-1)
	jump := offset - previous
	if jump < 0 { // until begin-jump the clock shows times that it has shown before
		return set.nextShown(offset, max(from, begin-jump), end)
	}
	// Until begin+jump the times that the clock jumped over fire too.
	gapEnd := min(begin+jump, end)
	if shifted := set.nextShown(previous, from, gapEnd); shifted < gapEnd {
		end = shifted
	}
	return set.nextShown(offset, from, end)
}

// prev returns the last instant in [limit, until), and false if there is none.
func (z *Zone) prev(set clockSet, how passes, limit, until int64) (int64, bool) {
	for i := z.periodOf(until - 1); until > limit; i-- {
		begin := max(z.begins(i), limit)
		if instant := z.prevInPeriod(set, how, i, begin, until); instant >= begin {
			return instant, true
		}
		until = begin
	}
	return 0, false
}

// prevInPeriod mirrors nextInPeriod: it returns the last instant in [from, end), or from-1.
func (z *Zone) prevInPeriod(set clockSet, how passes, i int, from, end int64) int64 {
	offset := z.offset(i)
	if how == everyPass || i < 0 {
		return set.prevShown(offset, from, end)
	}
	begin, previous := z.begins(i), z.offset(i-1)
	jump := offset - previous
	if jump < 0 {
		first := max(from, begin-jump)
		if instant := set.prevShown(offset, first, end); instant >= first {
			return instant
		}
		return from - 1
	}
	return max(
		set.prevShown(previous, from, min(begin+jump, end)),
		set.prevShown(offset, from, end))
}

// ahead returns the range in which to search for the instant after a time: 400 years from the next
// whole second. It returns false past the year 9999.
func ahead(after time.Time) (from, limit int64, ok bool) {
	if after.Unix() >= lastInstant {
		return 0, 0, false
	}
	from = max(after.Unix(), firstInstant-1) + 1
	return from, min(from+calendarCycle, lastInstant), true
}

// behind returns the range in which to search for the instant before a time: from limit on, before
// until. It is empty before the year 1.
func behind(before time.Time) (limit, until int64) {
	if before.Unix() < firstInstant {
		return firstInstant, firstInstant
	}
	until = min(before.Unix(), lastInstant)
	if before.Nanosecond() > 0 || before.Unix() > lastInstant {
		until++
	}
	return max(until-calendarCycle, firstInstant), until
}

func at(instant int64, ok bool) (time.Time, bool) {
	if !ok {
		return time.Time{}, false
	}
	return time.Unix(instant, 0).UTC(), true
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func ceilDiv(a, b int64) int64 { return floorDiv(a+b-1, b) }
