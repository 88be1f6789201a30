package engine

import "sync"

// slots counts the runs under way against the runner's limit.
type slots struct {
	limit      int
	overloaded func() bool   // there is so much to write, or so many hooks to call, that no more runs are wanted
	freed      chan struct{} // signalled when there is room for more runs, here or under a concurrency limit

	// mu guards what follows; nothing blocks under it.
	mu     sync.Mutex
	busy   int  // runs that were claimed and have not ended
	wanted bool // the claimer found no free slot
}

func newSlots(limit int) *slots {
	return &slots{limit: limit, overloaded: func() bool { return false }, freed: make(chan struct{}, 1)}
}

// free returns how many more runs may be under way. If there is no room, freed is signalled by the
// next run that ends, or once the overload has passed.
func (s *slots) free() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	free := max(0, s.limit-s.busy)
	if s.overloaded() {
		free = 0
	}
	s.wanted = free == 0
	return free
}

// take counts runs that were claimed.
func (s *slots) take(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy += n
}

// release frees the slot of a run that has ended.
func (s *slots) release() {
	s.mu.Lock()
	s.busy--
	wanted := s.wanted
	s.mu.Unlock()
	if wanted {
		signal(s.freed)
	}
}

// relieved wakes the claimer if it found no free slot. It is called after what overloaded counts
// has become less: either free sees that, or it has noted by now that a slot is wanted.
func (s *slots) relieved() {
	s.mu.Lock()
	wanted := s.wanted
	s.mu.Unlock()
	if wanted {
		signal(s.freed)
	}
}

// inUse returns the number of runs under way.
func (s *slots) inUse() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.busy
}

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
