package engine

import "time"

// maxSlew is how far the wall clock and the timers may drift apart between two looks. More is a
// jump: somebody set the clock, or the machine was suspended, during which timers stand still.
const maxSlew = time.Second

// clockWatch compares the wall clock with the monotonic one, from one look to the next.
type clockWatch struct {
	wall, mono time.Time
	wakeAt     time.Time
	overslept  time.Duration // how much too late its owner woke: the process was stopped, or has no processor to run on
}

// jump returns how far the wall clock has jumped since the last look, 0 if it has not.
func (w *clockWatch) jump(now time.Time) time.Duration {
	wall, mono := now.Round(0), time.Now()
	jump := wall.Sub(w.wall) - mono.Sub(w.mono)
	first := w.mono.IsZero()
	w.wall, w.mono = wall, mono
	if first || jump.Abs() < maxSlew {
		return 0
	}
	return jump
}

// sleeps notes that its owner is about to wait for d at most.
func (w *clockWatch) sleeps(d time.Duration) { w.wakeAt = time.Now().Add(d) }

// wakes notes that its owner is awake again.
func (w *clockWatch) wakes() { w.overslept = max(0, time.Since(w.wakeAt)) }
