package recur

import (
	"math"
	"sort"
	"sync"
	"time"
)

// Zone is a time zone with its offset changes. It is immutable and shared: [LoadZone] returns the
// same Zone for the same name.
//
// It has its own table because the standard library does not tell what surrounds an offset change:
// time.Date guesses inside a gap or an overlap, and Time.ZoneBounds may return an end before the
// time it was asked about (see offsetChanges).
type Zone struct {
	name    string
	loc     *time.Location
	initial int32    // offset before the first change, seconds east of UTC
	changes []change // ascending
	cycle   int      // index of the first change in the repeating part
}

// change is one offset change: from the instant at on, the clock is offset seconds ahead of UTC.
type change struct {
	at     int64
	offset int32
}

// From 2100 on every zone of tzdata follows a yearly rule (the last listed exceptions are
// Morocco's, to 2087), and a yearly rule repeats exactly with the Gregorian calendar: 400 years are
// 146097 days, a whole number of weeks. A table up to 2500 therefore covers every later year.
const (
	secondsPerDay   = 24 * 60 * 60
	calendarCycle   = 146097 * secondsPerDay
	cycleStart      = 4102444800 // 2100-01-01T00:00:00Z
	cycleEnd        = cycleStart + calendarCycle
	firstInstant    = -62135596800 // 0001-01-01T00:00:00Z
	lastInstant     = 253402300799 // 9999-12-31T23:59:59Z
	noMoreChanges   = math.MaxInt64
	beforeAnyChange = math.MinInt64
)

// zones caches zones by name. It keeps only names that were loaded, so that callers cannot grow it
// beyond the list of tzdata.
var zones sync.Map // string -> *Zone

// LoadZone returns the IANA zone of that name; "" is UTC. It refuses "Local", because a schedule
// must mean the same on every machine.
func LoadZone(name string) (*Zone, error) {
	if name == "" {
		name = "UTC"
	}
	if z, ok := zones.Load(name); ok {
		return z.(*Zone), nil
	}
	loc, err := loadLocation(name, time.LoadLocation)
	if err != nil {
		return nil, err
	}
	z, _ := zones.LoadOrStore(name, newZone(name, loc))
	return z.(*Zone), nil
}

// Name returns the IANA name, "UTC" for the default zone.
func (z *Zone) Name() string { return z.name }

// Location returns the zone as the standard library has it, for printing.
func (z *Zone) Location() *time.Location { return z.loc }

func newZone(name string, loc *time.Location) *Zone {
	z := &Zone{name: name, loc: loc}
	z.initial, z.changes = offsetChanges(loc)
	z.cycle = sort.Search(len(z.changes), func(i int) bool { return z.changes[i].at >= cycleStart })
	return z
}

// offsetChanges returns the changes of a zone up to cycleEnd, without those that change nothing but
// the abbreviation.
//
// ZoneBounds ends the last period of a year 365 days after the year began. In a leap year that is
// 31 December 00:00 UTC, so on that day the end is not after the time that was asked about; the
// walk then continues at the end of the day. It does not use the start that ZoneBounds returns,
// which may be too early: see the tests.
func offsetChanges(loc *time.Location) (initial int32, changes []change) {
	at := time.Unix(firstInstant, 0).In(loc)
	initial = offsetOf(at)
	last := initial
	for {
		_, end := at.ZoneBounds()
		if end.IsZero() {
			return initial, changes
		}
		if !end.After(at) {
			const day = secondsPerDay * time.Second
			end = at.Truncate(day).Add(day)
		}
		at = end
		if at.Unix() >= cycleEnd {
			return initial, changes
		}
		if offset := offsetOf(at); offset != last {
			changes = append(changes, change{at.Unix(), offset})
			last = offset
		}
	}
}

func offsetOf(t time.Time) int32 {
	_, offset := t.Zone()
	return int32(offset)
}

// A period is the time between two changes. Period i begins with change i, and period -1 is the
// time before the first change. Periods past the end of the table are those of the cycle, moved by
// whole cycles.

// periodOf returns the period that contains the instant.
func (z *Zone) periodOf(instant int64) int {
	shift := int64(0)
	if instant >= cycleEnd {
		shift = (instant - cycleStart) / calendarCycle
		instant -= shift * calendarCycle
	}
	lo, hi := 0, len(z.changes)
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		if z.changes[mid].at <= instant {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo - 1 + int(shift)*(len(z.changes)-z.cycle)
}

// begins returns the instant at which period i begins.
func (z *Zone) begins(i int) int64 {
	if i < 0 {
		return beforeAnyChange
	}
	index, shift := z.inTable(i)
	if index == len(z.changes) {
		return noMoreChanges
	}
	return z.changes[index].at + shift
}

// offset returns how many seconds the clock is ahead of UTC in period i.
func (z *Zone) offset(i int) int64 {
	if i < 0 {
		return int64(z.initial)
	}
	index, _ := z.inTable(i)
	return int64(z.changes[index].offset)
}

// inTable returns the index of a period's change in the table, and by how many seconds the period
// is later than that. The index is len(changes) if the zone has no such period.
func (z *Zone) inTable(i int) (index int, shift int64) {
	length := len(z.changes) - z.cycle
	if i < len(z.changes) || length == 0 {
		return min(i, len(z.changes)), 0
	}
	return z.cycle + (i-z.cycle)%length, int64((i-z.cycle)/length) * calendarCycle
}

// resolve returns the instant at which a schedule that names the local time wall fires: the first
// instant at which the clock shows it or, if the clock jumps over it, the time shifted forward by
// the jump. In both cases the time is read with the offset before the change, as RFC 5545 requires
// (section 3.3.5, form 3).
func (z *Zone) resolve(wall int64) int64 {
	for i := z.periodOf(wall - maxOffset); ; i++ {
		instant, change := wall-z.offset(i), z.begins(i+1)
		if instant < change || wall < change+z.offset(i+1) {
			return instant
		}
	}
}

// maxOffset is more than any offset that a zone ever had (15:13:42 at most).
const maxOffset = 16 * 60 * 60
