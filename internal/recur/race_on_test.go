//go:build race

package recur

// raceEnabled makes the sweeps smaller: the race detector slows it tenfold.
const raceEnabled = true
