//go:build race

package testenv

// Race reports whether the race detector is on. It slows code about tenfold, so the largest tests
// are smaller under it.
const Race = true
