// Package instant holds what every package that handles points in time agrees on.
package instant

import "time"

// Of returns t as schedules and stores keep it: UTC, whole microseconds, no monotonic reading. The zero time stays zero.
func Of(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}

// Earlier returns the earlier of two times. A zero time stands for none and loses.
func Earlier(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

// Earliest returns the earlier of two times, zero times included.
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
