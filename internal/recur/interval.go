package recur

import (
	"fmt"
	"strings"
	"time"
)

// Interval fires at a fixed distance from an anchor. Tick k depends on the anchor and k alone:
// every process computes the same one at any time.
//
// Under 24 hours, tick k is anchor + k·d in elapsed time. From 24 hours on, k·d is split into whole
// days, which are added on the zone's calendar, and a rest, which is added as elapsed time: "every
// 24 hours at 02:00" stays at 02:00 when the clocks change.
type Interval struct {
	zone   *Zone
	step   int64 // microseconds
	anchor int64 // microseconds since 1970
	wall   int64 // what the zone's clock shows at the anchor, in microseconds
}

const (
	microsPerSecond = 1_000_000
	microsPerDay    = secondsPerDay * microsPerSecond
)

// NewInterval returns an Interval that fires every d, which is at least a millisecond and in whole
// microseconds. A zero anchor means Monday 2001-01-01 00:00 in the zone, so that ticks are aligned
// to the clock.
func NewInterval(d time.Duration, anchor time.Time, zone *Zone) (*Interval, error) {
	if d < time.Millisecond {
		return nil, fmt.Errorf("interval is %v: the shortest is 1ms", d)
	}
	if d%time.Microsecond != 0 {
		return nil, fmt.Errorf("interval is %v: instants are kept in whole microseconds, round it to %v", d, d.Round(time.Microsecond))
	}
	i := &Interval{zone: zone, step: d.Microseconds()}
	if anchor.IsZero() {
		i.anchor = zone.resolve(defaultAnchor) * microsPerSecond
	} else if s := anchor.Unix(); s < firstInstant || s > lastInstant {
		return nil, fmt.Errorf("anchor is %v: it must be in the years 1 to 9999", anchor)
	} else {
		i.anchor = anchor.UnixMicro()
	}
	i.wall = i.anchor + zone.offset(zone.periodOf(floorDiv(i.anchor, microsPerSecond)))*microsPerSecond
	return i, nil
}

const defaultAnchor = 978307200 // 2001-01-01T00:00:00

// Every returns the distance between ticks.
func (i *Interval) Every() time.Duration { return time.Duration(i.step) * time.Microsecond }

// Next returns the first instant strictly after the given one, and false past the year 9999.
func (i *Interval) Next(after time.Time) (time.Time, bool) {
	if after.Unix() > lastInstant {
		return time.Time{}, false
	}
	from := int64(firstInstant*microsPerSecond - 1)
	if after.Unix() >= firstInstant {
		from = floorMicro(after)
	}
	k := floorDiv(from-i.anchor-i.slack(), i.step)
	for i.tick(k) <= from {
		k++
	}
	return instantOf(i.tick(k))
}

// Prev returns the last instant strictly before the given one, and false before the year 1.
func (i *Interval) Prev(before time.Time) (time.Time, bool) {
	if before.Unix() < firstInstant {
		return time.Time{}, false
	}
	until := int64(lastInstant+1) * microsPerSecond
	if before.Unix() <= lastInstant {
		until = ceilMicro(before)
	}
	k := ceilDiv(until-i.anchor+i.slack(), i.step)
	for i.tick(k) >= until {
		k--
	}
	return instantOf(i.tick(k))
}

// slack bounds how far tick k is from anchor + k·d, in either direction: the difference of two
// offsets.
func (i *Interval) slack() int64 {
	if i.step < microsPerDay {
		return 0
	}
	return 2 * maxOffset * microsPerSecond
}

// tick returns tick k. It never decreases with k. Ticks that a jump of the clock brings together
// are one instant.
func (i *Interval) tick(k int64) int64 {
	distance := k * i.step
	if i.step < microsPerDay || k == 0 {
		return i.anchor + distance
	}
	days := floorDiv(distance, microsPerDay)
	wall := i.wall + days*microsPerDay
	second := floorDiv(wall, microsPerSecond)
	return i.zone.resolve(second)*microsPerSecond + wall - second*microsPerSecond + distance - days*microsPerDay
}

// Expr returns the distance as time.ParseDuration reads it.
func (i *Interval) Expr() string { return i.Every().String() }

// Describe returns in English when the schedule fires, without the zone: "every 90 minutes", "every
// 2 days at 02:00".
func (i *Interval) Describe() string {
	if i.step%microsPerDay == 0 {
		return i.dayWords(i.step / microsPerDay)
	}
	units := [...]struct {
		name   string
		length int64
	}{
		{"hour", 3600 * microsPerSecond},
		{"minute", 60 * microsPerSecond},
		{"second", microsPerSecond},
		{"millisecond", 1000},
		{"microsecond", 1},
	}
	for _, unit := range units {
		if i.step%unit.length == 0 && i.step < 100*unit.length {
			return everyN(int(i.step/unit.length), unit.name)
		}
	}
	return "every " + i.Every().String()
}

func (i *Interval) dayWords(days int64) string {
	day := floorDiv(i.wall, microsPerDay)
	at := " at " + time.UnixMicro(i.wall).UTC().Format("15:04:05.999999")
	at = strings.TrimSuffix(at, ":00")
	if days%7 != 0 {
		return everyN(int(days), "day") + at
	}
	return everyN(int(days/7), "week") + " on " + weekdayNames[weekday(day)] + at
}

func floorMicro(t time.Time) int64 { return t.Unix()*microsPerSecond + int64(t.Nanosecond())/1000 }

func ceilMicro(t time.Time) int64 { return t.Unix()*microsPerSecond + (int64(t.Nanosecond())+999)/1000 }

func instantOf(micro int64) (time.Time, bool) {
	second := floorDiv(micro, microsPerSecond)
	if second < firstInstant || second > lastInstant {
		return time.Time{}, false
	}
	return time.UnixMicro(micro).UTC(), true
}
