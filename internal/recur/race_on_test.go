//go:build race

package recur

// raceEnabled makes the sweep smaller: the race detector slows it tenfold.
const raceEnabled = true
