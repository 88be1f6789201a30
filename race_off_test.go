//go:build !race

package provost_test

const raceEnabled = false
