package engine

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// pool is the goroutines that execute runs. A goroutine that has finished a run takes the next one
// that is ready, with its stack as large as it has grown, instead of leaving it to a new goroutine.
// Before it enters a run it makes sure that another goroutine is on its way for the rest, because a
// run may block for ever. So short runs share a few goroutines, and long runs have one each.
type pool struct {
	completer *Completer

	// running counts claimed runs until they have returned or were handed back, the pool's
	// goroutines, and the poller.
	running   sync.WaitGroup
	launching atomic.Int64 // launched runs that have not reached their function; those in subprocesses, which take long, are left out

	// mu guards what follows; nothing blocks under it.
	mu    sync.Mutex
	ready []*Execution // from next on
	next  int
	onWay int // goroutines that were started and have not looked for a run yet; at most maxOnWay
}

// maxOnWay bounds how many goroutines are started ahead of need.
var maxOnWay = runtime.GOMAXPROCS(0)

// launch executes runs as soon as there are processors for them.
func (p *pool) launch(executions []*Execution) {
	p.completer.expect(executions)
	for _, x := range executions {
		if !x.deployment.Isolated {
			p.launching.Add(1)
		}
	}
	p.mu.Lock()
	if p.next > len(p.ready)/2 { // under a load that never lets it become empty
		p.ready, p.next = slices.Delete(p.ready, 0, p.next), 0
	}
	p.ready = append(p.ready, executions...)
	start := min(len(executions), maxOnWay-p.onWay)
	p.onWay += start
	p.running.Add(start) // while the runs are counted too: once another goroutine has them, they may finish at any time
	p.mu.Unlock()
	for range start {
		go p.work()
	}
}

func (p *pool) startWorker() {
	p.running.Add(1)
	go p.work()
}

// work executes what is ready until nothing is. A flow that ends its goroutine (runtime.Goexit) is
// replaced.
func (p *pool) work() {
	defer p.running.Done()
	finished := false
	defer func() {
		if !finished && p.replace() {
			p.startWorker()
		}
	}()
	for arriving := true; ; arriving = false {
		x, more := p.take(arriving)
		if x == nil {
			finished = true
			return
		}
		if more {
			p.startWorker()
		}
		p.execute(x)
	}
}

func (p *pool) execute(x *Execution) {
	defer p.running.Done()
	if !x.deployment.Isolated {
		p.launching.Add(-1)
	}
	x.run()
}

// take returns the next run, nil if none is ready. more means that the caller must start another
// goroutine.
func (p *pool) take(arriving bool) (x *Execution, more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if arriving {
		p.onWay--
	}
	if p.next == len(p.ready) {
		p.ready, p.next = p.ready[:0], 0
		return nil, false
	}
	x = p.ready[p.next]
	p.ready[p.next] = nil
	p.next++
	if more = p.next < len(p.ready) && p.onWay < maxOnWay; more {
		p.onWay++
	}
	return x, more
}

// replace counts a goroutine that is to be started in place of one that has ended, unless enough
// are on their way: each of them starts another while runs are left.
func (p *pool) replace() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.onWay == maxOnWay {
		return false
	}
	p.onWay++
	return true
}
