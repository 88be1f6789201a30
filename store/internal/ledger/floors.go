package ledger

import (
	"maps"
	"math"
	"sync"
	"time"

	"github.com/provost-go/provost"
)

// floors are from when on claims look for runs. A claim goes through the queue of a lane from its beginning, and so past all that was
// claimed from there, as long as a transaction anywhere in the database may still see that: PostgreSQL keeps it until then. Where the way
// through a whole queue is long, claims begin a little before the first run that was left, and take the whole way now and then, and when they
// are told of a run that has become claimable further down. Its zero value has none.
type floors struct {
	mu    sync.Mutex
	lanes map[int64]micros // where they begin; nobody changes it
	until time.Time        // when the whole way is to be taken again
	ways  map[*way]bool    // under way
}

const (
	// usual is how long ago a new run, or one that waits again, is claimable since.
	usual = provost.ClaimAhead + 500*time.Millisecond

	// belowFirst is how far before the first run claims begin: one may be on its way that began to be made before, or by another clock.
	belowFirst = 5 * time.Second

	longWay    = 50 * time.Millisecond  // a longer one is not taken each time
	eachRun    = 200 * time.Microsecond // is what a run may take beside the way to it
	wholeEvery = 100                    // one of so many is a whole one, by the time that they take,
	wholeAfter = 10 * time.Second       // but one so often at least
)

// beginning is before every time.
const beginning micros = math.MinInt64

// way is how a claim goes through its lanes.
type way struct {
	lanes map[int64]micros // where it begins; nil: it is a whole one
	began time.Time
	runs  int              // that were claimed
	first map[int64]micros // that is left, by lane; nil: that was not looked at

	lowest micros // of the runs that were queued in the meantime
	told   bool   // it may have passed by what is queued somewhere since
}

func (f *floors) way() *way {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := &way{began: time.Now(), lowest: never}
	if w.began.Before(f.until) {
		w.lanes = f.lanes
	}
	if f.ways == nil {
		f.ways = make(map[*way]bool)
	}
	f.ways[w] = true
	return w
}

// start is where the way begins in a lane.
func (w *way) start(lane int64) micros {
	if from, ok := w.lanes[lane]; ok {
		return from
	}
	return beginning
}

// gone ends a way, and takes up what a claim has found if it is stored.
func (f *floors) gone(w *way, now micros, stored bool) {
	took := time.Since(w.began)
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.ways, w)
	if !stored || w.first == nil || w.told {
		return
	}
	if w.lanes == nil {
		f.lanes, f.until = nil, time.Time{}
		if took < longWay+time.Duration(w.runs)*eachRun {
			return
		}
		f.until = time.Now().Add(min(wholeEvery*took, wholeAfter))
	}
	lanes := maps.Clone(f.lanes)
	if lanes == nil {
		lanes = make(map[int64]micros, len(w.first))
	}
	for lane, first := range w.first {
		lanes[lane] = min(first, w.lowest, now) - toSpan(belowFirst)
	}
	f.lanes = lanes
}

// lower sees to it that a run which is queued now is not passed by.
func (f *floors) lower(claimable micros) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for w := range f.ways {
		w.lowest = min(w.lowest, claimable)
	}
	for _, from := range f.lanes {
		if claimable < from {
			f.lanes, f.until = nil, time.Time{}
			return
		}
	}
}

// forget has the next claim take the whole way.
func (f *floors) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lanes, f.until = nil, time.Time{}
	for w := range f.ways {
		w.told = true
	}
}
