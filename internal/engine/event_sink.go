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

// eventSink passes events to an observer. A nil eventSink has no observer and costs a comparison.
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

// send passes an event on. The caller holds no lock.
func (s *eventSink) send(e observe.Event) {
	defer func() {
		if v := recover(); v != nil {
			s.panicked.Do(func() {
				s.log.Error("the observer panicked; this is logged once", "event", string(e.Kind), "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			})
		}
	}()
	e.Runner = s.runner
	s.observer.Observe(e)
}

// ofRun returns an event of an attempt in this process.
func ofRun(kind observe.EventKind, at time.Time, x *Execution) observe.Event {
	e := observe.Event{
		Kind: kind, Time: at, Flow: x.deployment.Flow.Name, Deployment: x.deployment.Name, DeploymentID: x.deployment.ID,
		Schedule: x.claim.Schedule, RunID: x.claim.RunID, ScheduledTime: x.claim.ScheduledTime,
	}
	if x.started.Load() {
		e.Attempt = x.attempt
	}
	if x.child != nil {
		e.Deployment, e.DeploymentID, e.ParentID = "", uuid.Nil, x.child.parent.claim.RunID
	}
	return e
}

func (s *eventSink) started(x *Execution) {
	if s == nil {
		return
	}
	e := ofRun(observe.RunStarted, x.begun, x)
	if x.child == nil {
		e.Lateness = x.begun.Sub(x.claim.DueTime)
	}
	s.send(e)
}

// ended reports what becomes of an attempt, unless its lease is lost. due is when the next attempt
// is due, if there is one.
func (s *eventSink) ended(x *Execution, end time.Time, state store.State, due time.Time, lost bool) {
	if s == nil {
		return
	}
	e := ofRun(observe.RunEnded, end, x)
	if e.Attempt > 0 {
		e.Duration = end.Sub(x.begun)
	}
	if !lost {
		e.State, e.DueTime = state, due
	}
	s.send(e)
}

// retried reports that a child run is tried again in its parent's process.
func (s *eventSink) retried(x *Execution, err error, delay time.Duration) {
	if s == nil {
		return
	}
	now := x.executor.now()
	message := bounded(x.redactor().Text(param.ErrorText(err)))
	s.ended(x, now, store.NewNamedState(store.StateScheduled, store.NameAwaitingRetry, now, message), now.Add(delay), false)
	x.started.Store(false) // if there is no other attempt, what ends then is not this one again
}

func (s *eventSink) leaseLost(at time.Time, x *Execution) {
	if s == nil {
		return
	}
	s.send(ofRun(observe.LeaseLost, at, x))
}

func (s *eventSink) reaped(at time.Time, run *store.Run) {
	if s == nil {
		return
	}
	s.send(observe.Event{
		Kind: observe.RunReaped, Time: at, Flow: run.Flow, Deployment: run.Deployment, DeploymentID: run.DeploymentID, Schedule: run.Schedule,
		RunID: run.ID, Attempt: run.Attempt, ScheduledTime: run.ScheduledTime, State: run.State, Lost: run.Runner,
	})
}

// skipped reports instants of a deployment, nil if it is not served here, that became no run.
func (s *eventSink) skipped(at time.Time, d *Deployment, skip store.Skip) {
	if s == nil {
		return
	}
	e := observe.Event{
		Kind: observe.InstantsSkipped, Time: at, DeploymentID: skip.DeploymentID, Schedule: skip.Schedule,
		Reason: skip.Reason, Count: skip.Count, First: skip.First, Last: skip.Last,
	}
	if d != nil {
		e.Flow, e.Deployment = d.Flow.Name, d.Name
	}
	s.send(e)
}

// claimed reports what a claim that took so long returned, before its runs begin. l is how full the
// runner was before.
func (s *eventSink) claimed(at time.Time, took time.Duration, count int, l load) {
	if s == nil {
		return
	}
	e := observe.Event{
		Kind: observe.RunsClaimed, Time: at, Count: count, Duration: took,
		InFlight: l.inFlight + count, Free: -1, Unwritten: l.unwritten,
	}
	if l.limit != Unlimited {
		e.Free = max(0, l.limit-e.InFlight)
	}
	s.send(e)
}

// storeFailing reports that an operation begins to fail.
func (s *eventSink) storeFailing(operation string, err error) {
	if s == nil {
		return
	}
	s.send(observe.Event{Kind: observe.StoreFailing, Time: time.Now(), Operation: operation, Err: err})
}

// storeWorking reports that an operation works again, after it has failed for so long.
func (s *eventSink) storeWorking(operation string, lasted time.Duration) {
	if s == nil {
		return
	}
	s.send(observe.Event{Kind: observe.StoreWorking, Time: time.Now(), Operation: operation, Duration: lasted})
}

func (s *eventSink) clockJumped(at time.Time, by time.Duration) {
	if s == nil {
		return
	}
	s.send(observe.Event{Kind: observe.ClockJumped, Time: at, Duration: by})
}

// phase reports how far Serve has got.
func (s *eventSink) phase(at time.Time, p phase, l load, err error) {
	if s == nil {
		return
	}
	e := observe.Event{Time: at, Err: err}
	switch p {
	case phaseServing:
		e.Kind = observe.RunnerStarted
	case phaseDraining:
		e.Kind = observe.RunnerDraining
		e.InFlight, e.Unwritten = l.inFlight, l.unwritten
	case phaseStopped:
		e.Kind = observe.RunnerStopped
	}
	s.send(e)
}
