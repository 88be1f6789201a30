// Package clock holds the wall clock that runners and clients read.
package clock

import (
	"context"
	"time"
)

// Clock returns the time of day. A nil Clock is time.Now. Whatever must hold although somebody sets
// the wall clock, such as trust in a lease, is measured with time.Now itself, which has a monotonic
// reading.
type Clock func() time.Time

// Now returns the time of day.
func (c Clock) Now() time.Time {
	if c == nil {
		return time.Now()
	}
	return c()
}

type key struct{}

// With returns a context whose wall clock is now. Tests use it to set the clock while timers go on,
// as happens to the clocks of machines.
func With(ctx context.Context, now func() time.Time) context.Context {
	return context.WithValue(ctx, key{}, Clock(now))
}

// From returns the wall clock of a context, nil if it has none of its own.
func From(ctx context.Context) Clock {
	c, _ := ctx.Value(key{}).(Clock)
	return c
}
