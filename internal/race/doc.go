// Package race tells tests whether the race detector is on. It slows code about tenfold, so the
// largest tests are smaller under it.
package race
