package engine

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/param"
	"github.com/provost-go/provost/observe"
	"github.com/provost-go/provost/store"
)

const RunnerDraining observe.EventKind = "runner draining" // Serve's context has ended: nothing more is claimed. InFlight, Backlog

const RunnerStopped observe.EventKind = "runner stopped" // Serve returns. Err as Serve gives it

const // EventRunStarted: a function is entered. The run; Lateness. Each is followed by one EventRunEnded of the same run and attempt,
// unless the function never returns.
RunStarted observe.EventKind = "run started"

const // EventRunEnded: it is known what becomes of an attempt. The run; State, DueTime, Duration. State is terminal, or
// SCHEDULED: named AwaitingRetry with the DueTime of the next attempt, else handed back. It is the zero State if the
// lease is known to be another's: what becomes of the run is then for its runner to say. Attempt is 0 if the function was not
// entered. The event comes before the state is written; hooks come after.
RunEnded observe.EventKind = "run ended"

const // EventLeaseLost: the run is another's by now, or may be because its lease could not be renewed in time: the context of its
// function ends. Once for each attempt. The run.
LeaseLost observe.EventKind = "lease lost"

const // EventRunReaped: the lease of a run had ended without a word from its runner, and this runner dealt with that. The run;
// State, as it is now; Lost, the runner that had it.
RunReaped observe.EventKind = "run reaped"

const // EventSkipped: instants of a schedule became no run, or one that was skipped. Flow and Deployment (empty if this runner does
// not serve it), DeploymentID, Schedule; Reason, Count, First, Last.
InstantsSkipped observe.EventKind = "skipped"

const // EventClaimed: the store was asked for runs. Count, how many it gave; Duration of the call; InFlight, with them; Free, the
// slots that are left, -1 without a limit; Backlog. Where Count uses up the free slots there are more runs to come.
RunsClaimed observe.EventKind = "claimed"

const // EventStoreFailing and EventStoreWorking: an operation begins to fail, and works again. One event for each change, however
// long it lasts; of one that comes and goes, one pair in 20 seconds. Operation; Err; for EventStoreWorking Duration, of the
// trouble.
StoreFailing observe.EventKind = "store failing"

const StoreWorking observe.EventKind = "store working"

const // EventClockJumped: the wall clock was set, or the machine slept. Duration is how far it went beyond the time that passed,
// negative if it went back.
ClockJumped observe.EventKind = "clock jumped"

// watch tells an observer. A nil watch has none, and costs a comparison.
type eventSink struct {
	observer observe.Observer
	runner   string
	log      *slog.Logger
	panicked sync.Once
}

func newEventSink(o observe.Observer, runner string, log *slog.Logger) *eventSink {
	if o == nil {
		return nil
	}
	return &eventSink{observer: o, runner: runner, log: log}
}

// tell hands an event on. No lock is held.
func (w *eventSink) send(e observe.Event) {
	defer func() {
		if v := recover(); v != nil {
			w.panicked.Do(func() {
				w.log.Error("the observer panicked; this is logged once", "event", string(e.Kind), "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			})
		}
	}()
	e.Runner = w.runner
	w.observer.Observe(e)
}

// ofRun is an event of an attempt in this process.
func ofRun(kind observe.EventKind, at time.Time, x *Execution) observe.Event {
	e := observe.Event{
		Kind: kind, Time: at, Flow: x.served.Flow.Name, Deployment: x.served.Name, DeploymentID: x.served.ID, Schedule: x.Claim.Schedule,
		RunID: x.Claim.RunID, ScheduledTime: x.Claim.ScheduledTime,
	}
	if x.started.Load() {
		e.Attempt = x.attempt
	}
	if x.child != nil {
		e.Deployment, e.DeploymentID, e.ParentID = "", uuid.Nil, x.child.parent.Claim.RunID
	}
	return e
}

func (w *eventSink) started(x *Execution) {
	if w == nil {
		return
	}
	e := ofRun(RunStarted, x.begun, x)
	if x.child == nil {
		e.Lateness = x.begun.Sub(x.Claim.DueTime)
	}
	w.send(e)
}

// ended tells what becomes of an attempt, if that is not lost. due is when the next one is due, if there is one.
func (w *eventSink) ended(x *Execution, end time.Time, state store.State, due time.Time, lost bool) {
	if w == nil {
		return
	}
	e := ofRun(RunEnded, end, x)
	if e.Attempt > 0 {
		e.Duration = end.Sub(x.begun)
	}
	if !lost {
		e.State, e.DueTime = state, due
	}
	w.send(e)
}

// retried tells that a child run is tried again in its parent's process.
func (w *eventSink) retried(x *Execution, err error, delay time.Duration) {
	if w == nil {
		return
	}
	now := x.server.now()
	w.ended(x, now, store.NewNamedState(store.StateScheduled, store.NameAwaitingRetry, now, bounded(x.redactor().Text(param.ErrorText(err)))), now.Add(delay), false)
	x.started.Store(false) // should it not come to another attempt, what ends is not this one again
}

func (w *eventSink) leaseLost(at time.Time, x *Execution) {
	if w == nil {
		return
	}
	w.send(ofRun(LeaseLost, at, x))
}

func (w *eventSink) reaped(at time.Time, run *store.Run) {
	if w == nil {
		return
	}
	w.send(observe.Event{
		Kind: RunReaped, Time: at, Flow: run.Flow, Deployment: run.Deployment, DeploymentID: run.DeploymentID, Schedule: run.Schedule,
		RunID: run.ID, Attempt: run.Attempt, ScheduledTime: run.ScheduledTime, State: run.State, Lost: run.Runner,
	})
}

// skipped tells of instants of a deployment, nil if it is not served here, that became no run.
func (w *eventSink) skipped(at time.Time, sd *Deployment, skip store.Skip) {
	if w == nil {
		return
	}
	e := observe.Event{
		Kind: InstantsSkipped, Time: at, DeploymentID: skip.DeploymentID, Schedule: skip.Schedule,
		Reason: skip.Reason, Count: skip.Count, First: skip.First, Last: skip.Last,
	}
	if sd != nil {
		e.Flow, e.Deployment = sd.Flow.Name, sd.Name
	}
	w.send(e)
}

// trouble tells that an operation begins to fail, or works again after a time.
func (w *eventSink) trouble(operation string, err error, lasted time.Duration) {
	if w == nil {
		return
	}
	kind := StoreFailing
	if err == nil {
		kind = StoreWorking
	}
	w.send(observe.Event{Kind: kind, Time: time.Now(), Operation: operation, Err: err, Duration: lasted})
}

func (w *eventSink) clockJumped(at time.Time, by time.Duration) {
	if w == nil {
		return
	}
	w.send(observe.Event{Kind: ClockJumped, Time: at, Duration: by})
}

// watchClaim tells what a claim that took so long gives, before its runs begin.
func (s *Engine) watchClaim(at time.Time, took time.Duration, count int) {
	if s.Watch == nil {
		return
	}
	e := observe.Event{Kind: RunsClaimed, Time: at, Count: count, Duration: took, Free: -1}
	e.InFlight, e.Unwritten = s.load()
	e.InFlight += count
	if s.Limit != Unlimited {
		e.Free = max(0, s.Limit-e.InFlight)
	}
	s.Watch.send(e)
}

// noteLeaseLost counts, once, a run whose lease is lost or in doubt.
func (s *Engine) noteLeaseLost(x *Execution) {
	if x.lossTold.Swap(true) {
		return
	}
	s.vitals.leasesLost.Add(1)
	s.Watch.leaseLost(s.now(), x)
}
