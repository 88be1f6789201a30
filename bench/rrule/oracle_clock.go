package rrule

import "time"

// clock is the local clock of a zone. What it shows, a wall time, is represented by a time.Time in
// UTC with the same digits.
type clock struct{ zone *time.Location }

func (c clock) offset(t time.Time) int64 {
	_, offset := t.In(c.zone).Zone()
	return int64(offset)
}

func (c clock) wall(t time.Time) time.Time {
	return t.UTC().Add(time.Duration(c.offset(t)) * time.Second)
}

// instant returns the first instant at which the clock shows the wall time. If the clock jumps over
// it, the wall time is read with the offset before the jump (RFC 5545, 3.3.5: "If the local time
// described does not occur (when changing from standard to daylight time), the DATE-TIME value is
// interpreted using the UTC offset before the gap in local times").
func (c clock) instant(wall time.Time) time.Time {
	t := wall.Add(-30 * time.Hour) // before the clock shows it, in any zone
	for c.wall(t.Add(10 * time.Minute)).Before(wall) {
		t = t.Add(10 * time.Minute)
	}
	for c.wall(t).Before(wall) {
		t = t.Add(time.Second)
	}
	if c.wall(t).Equal(wall) {
		return t
	}
	return wall.Add(-time.Duration(c.offset(t.Add(-time.Second))) * time.Second)
}

// moment is a time on the clock, and the instant that it means. If local is set, it was written as
// a local time, and the wall time alone bounds a rule.
type moment struct {
	instant time.Time
	wall    time.Time
	local   bool
}

// before reports whether the moment is earlier than a time of the rule. A nil moment never is.
func (m *moment) before(instant, wall time.Time) bool {
	switch {
	case m == nil:
		return false
	case m.local:
		return m.wall.Before(wall)
	default:
		return m.instant.Before(instant)
	}
}
