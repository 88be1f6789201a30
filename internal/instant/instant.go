// Package instant has the conventions for points in time that all packages share.
package instant

import "time"

// Of returns t as schedules and stores keep it: in UTC, truncated to microseconds, without a
// monotonic reading. The zero time stays zero.
func Of(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}

// Earlier returns the earlier of two times. The zero time stands for no time: Earlier returns the
// other one.
func Earlier(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

// Earliest returns the earlier of two times. The zero time counts as a time.
func Earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// Latest returns the later of two times.
func Latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
