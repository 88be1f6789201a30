package provost

import (
	"math/rand/v2"
	"time"
)

// The bounds that ExponentialBackoff uses in place of bounds that are not positive.
const (
	defaultFirstDelay = time.Second
	defaultMaxDelay   = time.Hour
)

// ExponentialBackoff returns a function for [Flow.Backoff] whose delays double from attempt to
// attempt, with jitter, so that runs that failed together are not tried again together. After
// attempt n the delay is a random time between d/2 and d, where
//
//	d = min(max, first * 2^(n-1))
//
// It never overflows. A first of 0 or less means one second, a max of 0 or less one hour, a max
// below first means first, and an attempt below 1 counts as 1.
func ExponentialBackoff(first, max time.Duration) func(attempt int, err error) time.Duration {
	if first <= 0 {
		first = defaultFirstDelay
	}
	if max <= 0 {
		max = defaultMaxDelay
	}
	if max < first {
		max = first
	}
	return func(attempt int, _ error) time.Duration {
		d, doublings := max, attempt-1
		if attempt < 1 {
			doublings = 0
		}
		if first <= max>>doublings { // so first << doublings is at most max; a shift of 63 or more leaves 0
			d = first << doublings
		}
		return d/2 + rand.N(d-d/2+1)
	}
}
