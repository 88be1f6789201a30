package engine

import "sync/atomic"

// slots counts the runs under way against the runner's limit.
type slots struct {
	limit      int
	overloaded func() bool   // there is so much to write, or so many hooks to call, that no more runs are wanted
	freed      chan struct{} // signalled when there is room for more runs, here or under a concurrency limit

	busy   atomic.Int64 // runs that were claimed and have not ended
	wanted atomic.Bool  // the claimer found no free slot
}

func newSlots(limit int) *slots {
	return &slots{limit: limit, overloaded: func() bool { return false }, freed: make(chan struct{}, 1)}
}

// free returns how many more runs may be under way. If there is no room, freed is signalled by the
// next run that ends, or once the overload has passed. A slot is wanted from before it counts until
// after, so that none is freed unseen meanwhile: it is counted, or freed is signalled.
func (s *slots) free() int {
	s.wanted.Store(true)
	free := max(0, s.limit-int(s.busy.Load()))
	if s.overloaded() {
		free = 0
	}
	if free > 0 {
		s.wanted.Store(false)
	}
	return free
}

// take counts runs that were claimed.
func (s *slots) take(n int) { s.busy.Add(int64(n)) }

// release frees the slot of a run that has ended.
func (s *slots) release() {
	s.busy.Add(-1)
	s.relieved()
}

// relieved wakes the claimer if it found no free slot. It is called after what overloaded counts
// has become less.
func (s *slots) relieved() {
	if s.wanted.Load() {
		signal(s.freed)
	}
}

// inUse returns the number of runs under way.
func (s *slots) inUse() int { return int(s.busy.Load()) }

// load is how full a runner is.
type load struct {
	inFlight  int // runs that hold a slot
	limit     int // slots
	unwritten int // runs that have ended, and the store does not know it yet
}

func loadOf(s *slots, k *LeaseKeeper) load {
	held := k.count() // before the slots: a run that is claimed meanwhile takes its slot first
	busy := s.inUse()
	return load{inFlight: busy, limit: s.limit, unwritten: max(0, held-busy)}
}
