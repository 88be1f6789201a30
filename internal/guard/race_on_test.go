//go:build race

package guard

// raceEnabled leaves times and memory out of tests: the race detector multiplies both.
const raceEnabled = true
