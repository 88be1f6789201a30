package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/internal/rpc"
	"github.com/provost-go/provost/internal/wire"
	"github.com/provost-go/provost/store"
)

// isolatedRun is an attempt whose function runs in a child process, as the runner sees it.
type subprocessRun struct {
	x     *Execution
	child *subprocess

	stopping <-chan struct{}  // nil once the child knows that the run is to stop
	force    *time.Timer      // what to do next with a child that is deaf
	starting <-chan time.Time // nil once the child is ready
	overtime <-chan time.Time
	measure  <-chan time.Time

	last       bool // the child ends by itself after the run
	late       bool // it was not ready in time
	terminated bool
	killed     bool
	timedOut   bool
	memory     int64 // what it used when it was killed for that; 0 otherwise
	begun      bool
	fault      error // why the runner gave it up
}

const (
	lostTimeout  = 2 * time.Second // what a flow gets to return whose run is another's by now
	killTimeout  = 1500 * time.Millisecond
	measureEvery = 250 * time.Millisecond
	forceTimeout = killTimeout + exitTimeout + drainTimeout // from the first signal to a child of which nothing is left
	mebi         = 1 << 20
	untilAsked   = 24 * 365 * time.Hour // of a timer that is set later
)

var errKilled = errors.New("the flow did not return, and its process was killed")

// runIsolated has a child process execute the attempt, and settles what the child reports or how it died.
func (x *Execution) runIsolated() {
	child, err := x.executor.processes.take(x)
	switch {
	case err == nil:
	case x.Err() != nil:
		x.handBack()
		return
	default:
		x.crash(err.Error())
		return
	}
	if x.Err() != nil { // nothing has begun: there is nobody to ask
		x.executor.processes.giveBack(child)
		x.handBack()
		return
	}
	r := &subprocessRun{x: x, child: child, stopping: x.Done(), force: time.NewTimer(untilAsked)}
	defer r.force.Stop()
	if !child.isReady() {
		timer := time.NewTimer(startTimeout)
		defer timer.Stop()
		r.starting = timer.C
	}
	r.start()
	r.follow()
}

func (r *subprocessRun) start() {
	x, d := r.x, r.x.deployment
	r.child.runs++
	r.last = r.child.runs >= r.child.pool.runsPerChild
	r.child.current.Store(x)
	run := assignment{
		Claim: x.claim, Flow: d.Flow.Name, Deployment: d.Name, Version: d.Version, Once: d.Once, Secrets: d.Secrets != nil,
		Path: d.Path, Env: d.Env, Level: lowestLevel(x.executor.log), Build: r.child.pool.build, Last: r.last,
	}
	r.child.tell(frameRun, run)
}

// follow waits for the end of the run or of its process, and settles the run.
func (r *subprocessRun) follow() {
	if r.x.executor.processes.memory > 0 {
		ticker := time.NewTicker(measureEvery)
		defer ticker.Stop()
		r.measure = ticker.C
	}
	for {
		select {
		case m := <-r.child.messages:
			if r.receive(m) {
				return
			}
		case <-r.stopping:
			r.stop()
		case <-r.starting:
			if r.starting = nil; !r.child.isReady() {
				r.late = true
				r.kill()
			}
		case <-r.overtime:
			if r.x.Err() == nil { // else it is to end for that
				r.timedOut = true
				r.escalate()
			}
		case <-r.force.C:
			r.escalate()
		case <-r.measure:
			r.weigh()
		case <-r.child.done:
			select {
			case m := <-r.child.messages: // its last
				if r.receive(m) {
					return
				}
			default:
				r.died()
				return
			}
		}
	}
}

// receive deals with a message of the child, and says whether the run is settled.
func (r *subprocessRun) receive(m rpc.Frame) (settled bool) {
	err := errors.New("out of turn")
	switch m.Kind {
	case frameBegin:
		var begin beginMessage
		if err = wire.Read(m.Body, &begin); err == nil {
			return r.begin(begin)
		}
	case frameEnd:
		var end endMessage
		if err = wire.Read(m.Body, &end); err == nil && end.Update.Lease != r.x.claim.Lease {
			err = errors.New("the end of another run")
		}
		if err == nil {
			r.end(end)
			return true
		}
	case frameRefuse:
		var refusal refusalMessage
		if err = wire.Read(m.Body, &refusal); err == nil {
			r.refuse(refusal)
			return true
		}
	}
	r.fault = fmt.Errorf("a message makes no sense: %w", err)
	r.kill()
	return false
}

func (r *subprocessRun) begin(m beginMessage) (settled bool) {
	x := r.x
	if r.begun {
		return false
	}
	if !x.begin(m.At) {
		r.kill()
		<-r.child.done
		x.handBack()
		return true
	}
	r.begun = true
	if timeout := x.deployment.Flow.Timeout; timeout > 0 {
		timer := time.NewTimer(timeout + unresponsiveTimeout)
		context.AfterFunc(x, func() { timer.Stop() })
		r.overtime = timer.C
	}
	if x.deployment.Once {
		r.child.tell(frameGo, struct{}{})
	}
	return false
}

// end settles what the child reports. Before that, all that was printed is in the log.
func (r *subprocessRun) end(m endMessage) {
	x := r.x
	x.executor.processes.worked()
	switch {
	case r.terminated, r.killed, m.Spent && !r.last, !r.drain():
		r.discard()
	case r.last: // the end of its process is not worth waiting for
		defer r.discard()
	default:
		r.release()
	}
	x.executor.reporter.complete(x, m.At, m.Update)
}

// drain waits for the marks that end the run in both streams.
func (r *subprocessRun) drain() bool {
	timeout := time.NewTimer(drainTimeout)
	defer timeout.Stop()
	for range 2 {
		select {
		case <-r.child.drained:
		case <-r.child.done:
			return false
		case <-timeout.C: // the flow has closed a stream, or a process holds its line
			return false
		}
	}
	return true
}

func (r *subprocessRun) release() {
	r.child.current.Store(nil)
	r.child.pool.put(r.child)
}

// discard ends the child and waits until nothing of it is left.
func (r *subprocessRun) discard() {
	if !r.last || !waitFor(r.child.done, exitTimeout) {
		r.child.dismiss()
	}
	<-r.child.done
	r.x.executor.log.Debug("child process ended", "run", r.x.claim.Name, "id", r.x.claim.RunID, "process", r.child.exit.String())
}

// refuse fails a run that the child cannot execute.
func (r *subprocessRun) refuse(m refusalMessage) {
	r.last = false // it waits for another
	r.discard()
	x := r.x
	now := x.executor.now()
	failed := store.NewState(store.StateFailed, now, bounded(x.redactor().Text(m.Reason)))
	x.executor.reporter.complete(x, now, store.RunUpdate{State: failed})
}

// stop passes on why the run is to end, and gives it some time.
func (r *subprocessRun) stop() {
	r.stopping = nil
	cause := context.Cause(r.x)
	r.child.stop(r.x.claim.RunID, cause)
	patience := unresponsiveTimeout
	if errors.Is(cause, store.ErrLeaseLost) {
		patience = lostTimeout
	}
	r.force.Reset(patience)
}

// escalate asks the processes to end, and then makes them.
func (r *subprocessRun) escalate() {
	if r.terminated {
		r.kill()
		return
	}
	r.terminated = true
	r.x.executor.log.Warn("flow does not return; its process is ended", "run", r.x.claim.Name, "id", r.x.claim.RunID,
		"pid", r.child.process.Pid())
	r.child.terminate()
	r.force.Reset(killTimeout)
}

func (r *subprocessRun) kill() {
	r.killed = true
	r.child.kill()
}

// weigh kills a child that uses more memory than it may.
func (r *subprocessRun) weigh() {
	used, err := r.child.process.Memory()
	r.x.executor.failures.report("measure child process", err)
	if err == nil && used > r.child.pool.memory {
		r.memory = used
		r.kill()
	}
}

// died settles a run whose process has ended before it said what became of it.
func (r *subprocessRun) died() {
	x, c := r.x, r.child
	switch {
	case r.memory > 0:
		x.crash(fmt.Sprintf("the child process used %d MiB of memory, more than the %d MiB of ChildMemory, and was killed",
			r.memory/mebi, c.pool.memory/mebi))
	case r.timedOut || r.begun && x.Err() == nil && x.deployment.Flow.Timeout > 0 && x.executor.now().Sub(x.begun) > x.deployment.Flow.Timeout:
		x.conclude(&timeoutError{of: x, timeout: x.deployment.Flow.Timeout, err: errors.New("nothing: its process is dead")})
	case x.Err() != nil && !r.begun:
		x.handBack()
	case !c.isReady():
		x.crash(c.startFailure(r.late).Error())
	case x.Err() != nil && (r.terminated || r.killed):
		x.conclude(errKilled)
	case x.Err() != nil:
		x.conclude(errors.New("the child process " + c.ending()))
	case r.fault != nil || c.fault != nil:
		x.crash(fmt.Sprintf("the child process was killed, because of what came from it: %v", cmp.Or(r.fault, c.fault)))
	default:
		x.crash("the child process " + c.ending())
	}
}

// crash settles an attempt that ended with its process, begun or not. It does not count against the flow's retries.
func (x *Execution) crash(why string) {
	end := x.executor.now()
	crashes := x.claim.Crashes + 1
	message := bounded(x.redactor().Text(fmt.Sprintf("crash %d: %s", crashes, why)))
	update := store.RunUpdate{Attempt: x.attempt, Crashed: true}
	begun := x.started.Load()
	if begun {
		update = x.progress()
		update.Crashed = true
	}
	if crashes >= store.MaxCrashes || begun && x.deployment.Once {
		update.State = store.NewState(store.StateCrashed, end, message)
	} else {
		update.State = store.NewNamedState(store.StateScheduled, store.NameAwaitingRetry, end, message)
		update.DueTime = instant.Of(end)
	}
	x.executor.reporter.complete(x, end, update)
}
