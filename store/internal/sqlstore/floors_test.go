package sqlstore

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestFloors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f floors
		now := func() micros { return toMicros(time.Now()) }
		take := func(took time.Duration, runs int, first map[int64]micros) *way {
			w := f.way()
			w.enter()
			time.Sleep(took) // in the bubble
			w.leave(runs)
			w.first = first
			return w
		}
		claim := func(took time.Duration, first map[int64]micros) (from micros) {
			w := take(took, 0, first)
			f.gone(w, now(), true)
			return w.start(1)
		}
		expect := func(when string, lane int64, want micros) {
			t.Helper()
			if from := f.way().start(lane); from != want {
				t.Errorf("%s claims begin at %d, want %d", when, from, want)
			}
		}
		lower := func(from micros) { f.lower(&Hints{Lanes: map[int64]micros{1: from}}) }
		forget := func() { f.lower(&Hints{All: true}) }
		long, left := 2*longWay, map[int64]micros{1: now() - toSpan(time.Hour)}
		floor := left[1] - toSpan(belowFirst)

		claim(longWay/2, left)
		f.gone(take(long, int(long/eachRun), left), now(), true)
		expect("after a short way", 1, beginning)
		claim(long, left)
		expect("after a long way", 1, floor)
		expect("in a lane that is new", 2, beginning)
		claim(0, nil)
		expect("after a claim that did not look", 1, floor)
		claim(0, map[int64]micros{1: never})
		if from := f.way().start(1); from <= floor || from >= now() {
			t.Errorf("where no run was left claims begin at %d, want shortly before %d", from, now())
		}
		claim(0, left)
		time.Sleep(wholeEvery * long)
		expect("after a while", 1, beginning)
		claim(long, left)
		forget()
		expect("after a hint", 1, beginning)

		claim(long, left)
		lower(floor - 1)
		expect("after a run was queued below", 1, floor-1)
		claim(0, left)
		expect("after a claim of it", 1, floor)

		w := take(0, 0, left)
		lower(left[1] - 1)
		f.gone(w, now(), true)
		expect("after a run was queued during a claim", 1, floor-1)
		w = take(0, 0, left)
		lower(floor - 2)
		f.gone(w, now(), true)
		expect("after a run was queued below during a claim", 1, floor-2)

		w = take(0, 0, left)
		claim(0, left)
		time.Sleep(wholeEvery * long)
		claim(long, map[int64]micros{1: floor - toSpan(time.Hour)})
		f.gone(w, now(), true)
		expect("after another one has found what one that began later does not know", 1, floor-toSpan(time.Hour+belowFirst))

		forget()
		for range 20 {
			claim(long, left)
		}
		time.Sleep(wholeAfter)
		claim(long, left)
		expect("where late ways take as long as whole ones", 1, beginning)
		claim(3*long, left)
		expect("where whole ways have become longer", 1, floor)
		time.Sleep(wholeAfter)
		claim(long, left)
		time.Sleep(lateFor)
		claim(long, left)
		expect("a while after late ways took as long as whole ones", 1, floor)

		w = take(0, 0, left)
		forget()
		f.gone(w, now(), true)
		expect("after a hint during a claim", 1, beginning)
	})
}

func TestHints(t *testing.T) {
	var h Hints
	const lanes = 10
	for lane := range int64(lanes) {
		h.queued(lane, 10)
		h.queued(lane, 20+micros(lane))
	}
	h.Add(Hints{Cancel: true, Lanes: map[int64]micros{7: 5}})
	if h.All || h.Work || !h.Cancel || len(h.Lanes) != lanes || h.Lanes[7] != 5 || h.Lanes[8] != 10 {
		t.Errorf("got %+v", h)
	}
	var told Hints
	told.Add(h)
	if told.early(6 + toSpan(usual)); len(told.Lanes) != 1 || len(h.Lanes) != lanes {
		t.Errorf("early is %v, want lane 7 alone", told.Lanes)
	}
	if few := h.Few(lanes); few.All || len(few.Lanes) != lanes {
		t.Errorf("few are %+v, want what there is", few)
	}
	if few := h.Few(lanes - 1); !few.All || !few.Work || few.Lanes != nil || h.All {
		t.Errorf("with one lane too many few are %+v, want all", few)
	}
}
