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

// subprocessRun is an attempt that a subprocess executes, as the runner sees it.
type subprocessRun struct {
	x  *Execution
	sp *subprocess

	stopping <-chan struct{}  // nil once the subprocess was told that the run is to end
	force    *time.Timer      // for the next step against an unresponsive subprocess
	starting <-chan time.Time // ends the wait for the subprocess to be ready; nil afterwards
	overtime <-chan time.Time // when the flow is well past its Timeout; nil if it has none
	measure  <-chan time.Time // when to measure the memory; nil if that has no bound

	last       bool // the subprocess exits by itself after the run
	late       bool // it was not ready in time
	terminated bool
	killed     bool
	timedOut   bool
	memory     int64 // what it used when it was killed for that; 0 otherwise
	begun      bool
	fault      error // why the runner gave the subprocess up
}

const (
	lostTimeout  = 2 * time.Second // for a flow to return once another runner may have its run
	killTimeout  = 1500 * time.Millisecond
	measureEvery = 250 * time.Millisecond
	forceTimeout = killTimeout + exitTimeout + drainTimeout // from the first signal until nothing of a subprocess is left
	mebi         = 1 << 20
	never        = 24 * 365 * time.Hour // for a timer that is reset later
)

var errKilled = errors.New("the flow did not return, and its subprocess was killed")

// runIsolated has a subprocess execute the attempt, and completes the run with what the subprocess
// reports or with how it died.
func (x *Execution) runIsolated() {
	pool := x.executor.processes
	sp, err := pool.take(x)
	switch {
	case err == nil:
	case x.Err() != nil:
		x.handBack()
		return
	default:
		x.crash(err.Error())
		return
	}
	if x.Err() != nil { // nothing has begun, so there is nothing to stop
		pool.giveBack(sp)
		x.handBack()
		return
	}
	r := &subprocessRun{x: x, sp: sp, stopping: x.Done(), force: time.NewTimer(never)}
	defer r.force.Stop()
	if !sp.isReady() {
		timer := time.NewTimer(startTimeout)
		defer timer.Stop()
		r.starting = timer.C
	}
	r.assign()
	r.supervise()
}

// assign sends the run to the subprocess.
func (r *subprocessRun) assign() {
	x, d := r.x, r.x.deployment
	r.sp.runs++
	r.last = r.sp.runs >= r.sp.pool.runsPerChild
	r.sp.current.Store(x)
	r.sp.send(frameRun, assignment{
		Claim: x.claim, Flow: d.Flow.Name, Deployment: d.Name, Version: d.Version, Once: d.Once, Secrets: d.Secrets != nil,
		Path: d.Path, Env: d.Env, Level: lowestLevel(x.executor.log), Build: r.sp.pool.build, Last: r.last,
	})
}

// supervise waits for the end of the run or of its subprocess, and completes the run.
func (r *subprocessRun) supervise() {
	if r.sp.pool.memory > 0 {
		ticker := time.NewTicker(measureEvery)
		defer ticker.Stop()
		r.measure = ticker.C
	}
	for {
		select {
		case m := <-r.sp.messages:
			if r.receive(m) {
				return
			}
		case <-r.stopping:
			r.stop()
		case <-r.starting:
			if r.starting = nil; !r.sp.isReady() {
				r.late = true
				r.kill()
			}
		case <-r.overtime:
			if r.x.Err() == nil { // otherwise the run ends for another reason, which has its own time
				r.timedOut = true
				r.escalate()
			}
		case <-r.force.C:
			r.escalate()
		case <-r.measure:
			r.checkMemory()
		case <-r.sp.done:
			select {
			case m := <-r.sp.messages: // its last one
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

// receive handles a message about the run, and reports whether the run is completed.
func (r *subprocessRun) receive(m rpc.Frame) (completed bool) {
	err := errors.New("it came out of turn")
	switch m.Kind {
	case frameBegin:
		var begin beginMessage
		if err = wire.Read(m.Body, &begin); err == nil {
			return r.begin(begin)
		}
	case frameEnd:
		var end endMessage
		if err = wire.Read(m.Body, &end); err == nil && end.Update.Lease != r.x.claim.Lease {
			err = errors.New("it is the end of another run")
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
	r.fault = fmt.Errorf("it sent a message that makes no sense: %w", err)
	r.kill()
	return false
}

// begin notes that the function begins, and lets it begin if it waits for that.
func (r *subprocessRun) begin(m beginMessage) (completed bool) {
	x := r.x
	if r.begun {
		return false
	}
	if !x.begin(m.At) {
		r.kill()
		<-r.sp.done
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
		r.sp.send(frameGo, struct{}{})
	}
	return false
}

// end completes the run with what the subprocess reports, once everything that the run printed is
// in its log.
func (r *subprocessRun) end(m endMessage) {
	x := r.x
	r.sp.pool.worked()
	switch {
	case r.terminated, r.killed, m.Spent && !r.last, !r.drain():
		r.discard()
	case r.last: // the end of the run need not wait for that of the subprocess
		defer r.discard()
	default:
		r.release()
	}
	x.executor.reporter.complete(x, m.At, m.Update)
}

// drain waits until both streams have the mark that ends the run. It returns false if they do not
// get it in time.
func (r *subprocessRun) drain() bool {
	timeout := time.NewTimer(drainTimeout)
	defer timeout.Stop()
	for range 2 {
		select {
		case <-r.sp.drained:
		case <-r.sp.done:
			return false
		case <-timeout.C: // the flow has closed a stream, or a process that it started has blocked it
			return false
		}
	}
	return true
}

// release leaves the subprocess to other runs.
func (r *subprocessRun) release() {
	r.sp.current.Store(nil)
	r.sp.pool.put(r.sp)
}

// discard ends the subprocess and waits until nothing of it is left.
func (r *subprocessRun) discard() {
	if !r.last || !waitFor(r.sp.done, exitTimeout) {
		r.sp.dismiss()
	}
	<-r.sp.done
	r.x.executor.log.Debug("subprocess ended", "run", r.x.claim.Name, "id", r.x.claim.RunID, "process", r.sp.exit.String())
}

// refuse fails a run that the subprocess cannot execute.
func (r *subprocessRun) refuse(m refusalMessage) {
	r.last = false // a subprocess that has refused a run does not exit by itself
	r.discard()
	x := r.x
	now := x.executor.now()
	failed := store.NewState(store.StateFailed, now, bounded(x.redactor().Text(m.Reason)))
	x.executor.reporter.complete(x, now, store.RunUpdate{State: failed})
}

// stop tells the subprocess why the run is to end, and gives the flow some time to return.
func (r *subprocessRun) stop() {
	r.stopping = nil
	cause := context.Cause(r.x)
	r.sp.stop(r.x.claim.RunID, cause)
	patience := unresponsiveTimeout
	if errors.Is(cause, store.ErrLeaseLost) {
		patience = lostTimeout
	}
	r.force.Reset(patience)
}

// escalate terminates the subprocess at the first call, and kills it at the next one.
func (r *subprocessRun) escalate() {
	if r.terminated {
		r.kill()
		return
	}
	r.terminated = true
	r.x.executor.log.Warn("the flow did not return in time; terminating its subprocess", "run", r.x.claim.Name, "id", r.x.claim.RunID,
		"pid", r.sp.process.Pid())
	r.sp.terminate()
	r.force.Reset(killTimeout)
}

func (r *subprocessRun) kill() {
	r.killed = true
	r.sp.kill()
}

// checkMemory kills a subprocess that uses more memory than it may.
func (r *subprocessRun) checkMemory() {
	used, err := r.sp.process.Memory()
	r.x.executor.failures.report("measure subprocess", err)
	if err == nil && used > r.sp.pool.memory {
		r.memory = used
		r.kill()
	}
}

// died completes a run whose subprocess has ended without reporting the end of the run.
func (r *subprocessRun) died() {
	x, sp := r.x, r.sp
	switch {
	case r.memory > 0:
		x.crash(fmt.Sprintf("the subprocess was killed: it used %d MiB of memory, more than the %d MiB of ChildMemory; "+
			"raise ChildMemory if the run needs more", r.memory/mebi, sp.pool.memory/mebi))
	case r.timedOut || r.begun && x.Err() == nil && x.deployment.Flow.Timeout > 0 && x.executor.now().Sub(x.begun) > x.deployment.Flow.Timeout:
		x.conclude(&timeoutError{of: x, timeout: x.deployment.Flow.Timeout, err: errors.New("nothing, because its subprocess ended")})
	case x.Err() != nil && !r.begun:
		x.handBack()
	case !sp.isReady():
		x.crash(sp.startError(r.late).Error())
	case x.Err() != nil && (r.terminated || r.killed):
		x.conclude(errKilled)
	case x.Err() != nil:
		x.conclude(errors.New("the subprocess " + sp.exitText()))
	case r.fault != nil || sp.fault != nil:
		x.crash(fmt.Sprintf("the subprocess broke its protocol with the runner and was killed: %v; "+
			"code of a flow must not use files that it did not open", cmp.Or(r.fault, sp.fault)))
	default:
		x.crash("the subprocess " + sp.exitText())
	}
}

// crash completes an attempt that ended with its subprocess, whether it had begun or not. A crash
// does not count against the flow's Retries.
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
