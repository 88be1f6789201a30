//go:build race

package provost_test

// raceEnabled makes the largest tests smaller: the race detector slows them tenfold.
const raceEnabled = true
