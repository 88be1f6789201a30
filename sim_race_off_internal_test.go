//go:build !race

package provost

const simRace = false
