package sqlstore

import (
	"maps"
	"math"
	"sync"
	"time"

	"github.com/provost-go/provost/store"
)

// floors are from when on claims look for runs. A claim goes through the queue of a lane from its
// beginning, and so past all that was claimed from there, as long as a transaction anywhere in the
// database may still see that: PostgreSQL keeps it until then. Where the way through a whole queue
// is long, claims begin a little before the first run that was left, and take the whole way now and
// then. When they are told of a run that has become claimable further down, they begin there. The
// zero value has none.
type floors struct {
	mu    sync.Mutex
	lanes map[int64]micros // where they begin; nobody changes it
	until time.Time        // when the whole way is to be taken again
	ways  map[*way]bool    // under way

	late   time.Duration // what a way takes that is not a whole one
	learnt time.Time     // when that was last seen
}

const (
	// usual is how long ago a new run, or one that waits again, is claimable since.
	usual = store.ClaimAhead + 500*time.Millisecond

	// belowFirst is how far before the first run claims begin: one may be on its way that began to
	// be made before, or by another clock.
	belowFirst = 5 * time.Second

	eachRun = 20 * time.Microsecond // is what a run may take beside the way to it
	longWay = 5 * time.Millisecond  // a longer one is not taken each time, if others take less than half of it,

	wholeEvery = 300              // but one of so many, by the time that they take,
	wholeAfter = 10 * time.Second // and so often at least

	lateFor = 10 * time.Minute // what late ones take is seen anew after so long
)

// beginning is before every time.
const beginning micros = math.MinInt64

// way is how a claim goes through its lanes.
type way struct {
	lanes   map[int64]micros // where it begins; nil: it is a whole one
	entered time.Time
	took    time.Duration
	runs    int              // that were claimed
	first   map[int64]micros // that is left, by lane; nil: that was not looked at

	queued Hints // in the meantime
}

func (f *floors) way() *way {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := new(way)
	if time.Now().Before(f.until) {
		w.lanes = f.lanes
	}
	if f.ways == nil {
		f.ways = make(map[*way]bool)
	}
	f.ways[w] = true
	return w
}

// enter and leave are around what a claim asks for, each time that it is tried.
func (w *way) enter() { w.entered, w.first = time.Now(), nil }

func (w *way) leave(runs int) { w.runs, w.took = runs, time.Since(w.entered) }

// start is where the way begins in a lane.
func (w *way) start(lane int64) micros { return startIn(w.lanes, lane) }

func startIn(lanes map[int64]micros, lane int64) micros {
	if from, ok := lanes[lane]; ok {
		return from
	}
	return beginning
}

// gone ends a way, and takes up what a claim has found if it is stored.
func (f *floors) gone(w *way, now micros, stored bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.ways, w)
	if !stored || w.first == nil || w.queued.All {
		return
	}
	cost := w.took - time.Duration(w.runs)*eachRun
	if w.lanes == nil {
		f.lanes, f.until = nil, time.Time{}
		if f.long(cost) {
			f.until = time.Now().Add(min(wholeEvery*w.took, wholeAfter))
		}
	} else {
		f.learn(cost)
	}
	if f.until.IsZero() {
		return
	}
	lanes := make(map[int64]micros, len(w.first))
	maps.Copy(lanes, f.lanes)
	for lane, first := range w.first {
		if w.start(lane) > startIn(f.lanes, lane) {
			continue // there is something before it, of which another one knows, or a hint
		}
		if from, ok := w.queued.Lanes[lane]; ok {
			first = min(first, from)
		}
		lanes[lane] = min(first, now) - toSpan(belowFirst)
	}
	f.lanes = lanes
}

// long reports whether to take a whole way less often. It takes no less than a late one.
func (f *floors) long(cost time.Duration) bool {
	if time.Since(f.learnt) > lateFor {
		f.late = 0
	}
	f.late = min(f.late, cost)
	return cost > max(longWay, 2*f.late)
}

// learn notes what a late way has taken, among others.
func (f *floors) learn(cost time.Duration) {
	if time.Since(f.learnt) > lateFor {
		f.late = cost
	}
	f.late += (cost - f.late) / 8
	f.learnt = time.Now()
}

// lower sees to it that what is queued now is not passed by.
func (f *floors) lower(h *Hints) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for w := range f.ways {
		w.queued.Add(*h)
	}
	if h.All {
		f.lanes, f.until = nil, time.Time{}
		return
	}
	var lower map[int64]micros
	for lane, from := range h.Lanes {
		if from >= startIn(f.lanes, lane) {
			continue
		}
		if lower == nil {
			lower = maps.Clone(f.lanes)
		}
		lower[lane] = from
	}
	if lower != nil {
		f.lanes = lower
	}
}
