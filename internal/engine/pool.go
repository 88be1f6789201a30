package engine

import (
	"runtime"
	"slices"
	"sync"
)

// crew is the goroutines that execute runs. One that is done with a run takes the next that is ready, with its stack as grown as
// it is, instead of leaving it to a new goroutine; and before it enters a run it sees to it that another goroutine is on its way
// for the rest, since a run may block for ever. Short runs so share a few goroutines, long ones have one each.
type pool struct {
	// mu guards what follows; nothing blocks under it.
	mu    sync.Mutex
	ready []*Execution // from next on
	next  int
	onWay int // goroutines that were started and have not looked for a run yet; at most maxOnWay
}

// maxOnWay bounds how many goroutines are started ahead of need.
var maxOnWay = runtime.GOMAXPROCS(0)

// launch executes runs, as soon as there are processors for them.
func (s *Engine) launch(executions []*Execution) {
	s.settler.expect(executions)
	for _, x := range executions {
		if !x.served.Isolated {
			s.launching.Add(1)
		}
	}
	c := &s.crew
	c.mu.Lock()
	if c.next > len(c.ready)/2 { // under a load that never lets it get empty
		c.ready, c.next = slices.Delete(c.ready, 0, c.next), 0
	}
	c.ready = append(c.ready, executions...)
	start := min(len(executions), maxOnWay-c.onWay)
	c.onWay += start
	s.running.Add(start) // while the runs are counted too: once another goroutine has them, they may be over at any time
	c.mu.Unlock()
	for range start {
		go s.work()
	}
}

func (s *Engine) startWorker() {
	s.running.Add(1)
	go s.work()
}

// work executes what is ready until nothing is. A flow that ends its goroutine (runtime.Goexit) is replaced.
func (s *Engine) work() {
	defer s.running.Done()
	finished := false
	defer func() {
		if !finished && s.crew.replace() {
			s.startWorker()
		}
	}()
	for arriving := true; ; arriving = false {
		x, more := s.crew.take(arriving)
		if x == nil {
			finished = true
			return
		}
		if more {
			s.startWorker()
		}
		x.run()
	}
}

// take gives the next run, nil if none is ready; more says that the caller has to start another goroutine.
func (c *pool) take(arriving bool) (x *Execution, more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if arriving {
		c.onWay--
	}
	if c.next == len(c.ready) {
		c.ready, c.next = c.ready[:0], 0
		return nil, false
	}
	x = c.ready[c.next]
	c.ready[c.next] = nil
	c.next++
	if more = c.next < len(c.ready) && c.onWay < maxOnWay; more {
		c.onWay++
	}
	return x, more
}

// replace counts a goroutine that is to be started in the place of one that has ended, unless enough are on their way: each starts
// another while runs are left.
func (c *pool) replace() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.onWay == maxOnWay {
		return false
	}
	c.onWay++
	return true
}
