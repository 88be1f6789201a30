//go:build race

package provost

// simRace makes simulations fewer: the race detector slows them tenfold.
const simRace = true
