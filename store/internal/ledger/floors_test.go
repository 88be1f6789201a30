package ledger

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestFloors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f floors
		now := func() micros { return toMicros(time.Now()) }
		claim := func(took time.Duration, first map[int64]micros) (from micros) {
			w := f.way()
			time.Sleep(took) // in the bubble
			w.first = first
			f.gone(w, now(), true)
			return w.start(1)
		}
		long, left := 2*longWay, map[int64]micros{1: now() - toSpan(time.Hour)}
		floor := left[1] - toSpan(belowFirst)

		claim(longWay/2, left)
		w := f.way()
		time.Sleep(long)
		w.runs, w.first = int(long/eachRun), left
		f.gone(w, now(), true)
		if from := claim(long, left); from != beginning {
			t.Errorf("after a short way claims begin at %d, want the beginning", from)
		}
		if from := claim(0, left); from != floor {
			t.Errorf("after a long way claims begin at %d, want %d, shortly before the first run that was left", from, floor)
		}
		if from := f.way().start(2); from != beginning {
			t.Errorf("in a lane that is new claims begin at %d, want the beginning", from)
		}
		claim(0, nil)
		if from := claim(0, map[int64]micros{1: never}); from != floor {
			t.Errorf("after a claim that did not look claims begin at %d, want %d", from, floor)
		}
		if from, latest := claim(0, left), now(); from < floor || from >= latest {
			t.Errorf("where no run was left claims begin at %d, want shortly before %d", from, latest)
		}
		time.Sleep(wholeEvery * long)
		if from := claim(long, left); from != beginning {
			t.Errorf("after a while claims begin at %d, want the beginning", from)
		}
		f.forget()
		if from := claim(long, left); from != beginning {
			t.Errorf("after a hint claims begin at %d, want the beginning", from)
		}
		claim(long, left)
		w = f.way()
		f.lower(floor - 1)
		if from := f.way().start(1); from != beginning {
			t.Errorf("after a run was queued below them claims begin at %d, want the beginning", from)
		}
		time.Sleep(long)
		w.first = left
		f.gone(w, now(), true)
		claim(long, left)
		w = f.way()
		f.lower(left[1] - 1)
		w.first = left
		f.gone(w, now(), true)
		if from := f.way().start(1); from != floor-1 {
			t.Errorf("after a run was queued during a claim the next one begins at %d, want %d", from, floor-1)
		}
		w = f.way()
		f.forget()
		w.first = left
		f.gone(w, now(), true)
		if from := f.way().start(1); from != beginning {
			t.Errorf("after a hint during a claim the next one begins at %d, want the beginning", from)
		}
	})
}
