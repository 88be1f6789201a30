//go:build race

package proc_test

// slowdown makes the largest tests smaller: a process with the race detector takes long to start.
const slowdown = 4
