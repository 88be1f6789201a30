package provost

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Observer gets what happens in a runner, as it happens: for metrics, traces and alarms. Set [Runner].Observer.
//
// Observe is called in the runner's own goroutines, by several at once, so it must be safe for that and must not block: count,
// put into a channel with room, and return. It may call [Runner.Health]. A panic in it is logged, the first time, and changes
// nothing.
type Observer interface {
	Observe(e Event)
}

// ObserverFunc is a function as an [Observer].
type ObserverFunc func(e Event)

// Observe calls the function.
func (f ObserverFunc) Observe(e Event) { f(e) }

// EventKind says what happened.
type EventKind string

// What happens in a runner. Beside each kind stand the fields that are set besides Kind, Time and Runner; "the run" is Flow,
// Deployment, DeploymentID, Schedule, RunID, ParentID, Attempt and ScheduledTime.
const (
	EventRunnerStarted  EventKind = "runner started"  // Ready is closed
	EventRunnerDraining EventKind = "runner draining" // Serve's context has ended: nothing more is claimed. InFlight, Backlog
	EventRunnerStopped  EventKind = "runner stopped"  // Serve returns. Err as Serve gives it

	// EventRunStarted: a function is entered. The run; Lateness. Each is followed by one EventRunEnded of the same run and attempt,
	// unless the function never returns.
	EventRunStarted EventKind = "run started"

	// EventRunEnded: it is known what becomes of an attempt. The run; State, DueTime, Duration. State is terminal, or
	// SCHEDULED: named AwaitingRetry with the DueTime of the next attempt, else handed back. It is the zero State if the
	// lease is known to be another's: what becomes of the run is then for its runner to say. Attempt is 0 if the function was not
	// entered. The event comes before the state is written; hooks come after.
	EventRunEnded EventKind = "run ended"

	// EventLeaseLost: the run is another's by now, or may be because its lease could not be renewed in time: the context of its
	// function ends. Once for each attempt. The run.
	EventLeaseLost EventKind = "lease lost"

	// EventRunReaped: the lease of a run had ended without a word from its runner, and this runner dealt with that. The run;
	// State, as it is now; Lost, the runner that had it.
	EventRunReaped EventKind = "run reaped"

	// EventSkipped: instants of a schedule became no run, or one that was skipped. Flow and Deployment (empty if this runner does
	// not serve it), DeploymentID, Schedule; Reason, Count, First, Last.
	EventSkipped EventKind = "skipped"

	// EventClaimed: the store was asked for runs. Count, how many it gave; Duration of the call; InFlight, with them; Free, the
	// slots that are left, -1 without a limit; Backlog. Where Count uses up the free slots there are more runs to come.
	EventClaimed EventKind = "claimed"

	// EventStoreFailing and EventStoreWorking: an operation begins to fail, and works again. One event for each change, however
	// long it lasts; of one that comes and goes, one pair in 20 seconds. Operation; Err; for EventStoreWorking Duration, of the
	// trouble.
	EventStoreFailing EventKind = "store failing"
	EventStoreWorking EventKind = "store working"

	// EventClockJumped: the wall clock was set, or the machine slept. Duration is how far it went beyond the time that passed,
	// negative if it went back.
	EventClockJumped EventKind = "clock jumped"
)

// Event is something that happened in a runner. [EventKind] says which fields are set.
type Event struct {
	Kind   EventKind
	Time   time.Time // for EventRunStarted and EventRunEnded: of the function's first line and of its return
	Runner string    // its name

	Flow, Deployment string // names; Deployment is "" for a child run
	DeploymentID     uuid.UUID
	Schedule         string // key
	RunID            uuid.UUID
	ParentID         uuid.UUID // of a child run
	Attempt          int
	ScheduledTime    time.Time
	DueTime          time.Time // of the next attempt
	Lateness         time.Duration
	Duration         time.Duration
	State            State
	Lost             string

	Reason      SkipReason
	Count       int
	First, Last time.Time

	InFlight int // runs that hold a slot of this runner
	Free     int
	Backlog  int // ends of runs that wait to be written

	Operation string
	Err       error
}

// watch tells an observer. A nil watch has none, and costs a comparison.
type watch struct {
	observer Observer
	runner   string
	log      *slog.Logger
	panicked sync.Once
}

func newWatch(o Observer, runner string, log *slog.Logger) *watch {
	if o == nil {
		return nil
	}
	return &watch{observer: o, runner: runner, log: log}
}

// tell hands an event on. No lock is held.
func (w *watch) tell(e Event) {
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
func ofRun(kind EventKind, at time.Time, x *execution) Event {
	e := Event{
		Kind: kind, Time: at, Flow: x.served.flow.name, Deployment: x.served.name, DeploymentID: x.served.id, Schedule: x.claim.Schedule,
		RunID: x.claim.RunID, ScheduledTime: x.claim.ScheduledTime,
	}
	if x.started.Load() {
		e.Attempt = x.attempt
	}
	if x.child != nil {
		e.Deployment, e.DeploymentID, e.ParentID = "", uuid.Nil, x.child.parent.claim.RunID
	}
	return e
}

func (w *watch) started(x *execution) {
	if w == nil {
		return
	}
	e := ofRun(EventRunStarted, x.begun, x)
	if x.child == nil {
		e.Lateness = x.begun.Sub(x.claim.DueTime)
	}
	w.tell(e)
}

// ended tells what becomes of an attempt, if that is not lost. due is when the next one is due, if there is one.
func (w *watch) ended(x *execution, end time.Time, state State, due time.Time, lost bool) {
	if w == nil {
		return
	}
	e := ofRun(EventRunEnded, end, x)
	if e.Attempt > 0 {
		e.Duration = end.Sub(x.begun)
	}
	if !lost {
		e.State, e.DueTime = state, due
	}
	w.tell(e)
}

// retried tells that a child run is tried again in its parent's process.
func (w *watch) retried(x *execution, err error, delay time.Duration) {
	if w == nil {
		return
	}
	now := x.server.now()
	w.ended(x, now, namedState(StateScheduled, NameAwaitingRetry, now, bounded(x.redactor().text(errorText(err)))), now.Add(delay), false)
	x.started.Store(false) // should it not come to another attempt, what ends is not this one again
}

func (w *watch) leaseLost(at time.Time, x *execution) {
	if w == nil {
		return
	}
	w.tell(ofRun(EventLeaseLost, at, x))
}

func (w *watch) reaped(at time.Time, run *Run) {
	if w == nil {
		return
	}
	w.tell(Event{
		Kind: EventRunReaped, Time: at, Flow: run.Flow, Deployment: run.Deployment, DeploymentID: run.DeploymentID, Schedule: run.Schedule,
		RunID: run.ID, Attempt: run.Attempt, ScheduledTime: run.ScheduledTime, State: run.State, Lost: run.Runner,
	})
}

// skipped tells of instants of a deployment, nil if it is not served here, that became no run.
func (w *watch) skipped(at time.Time, sd *served, skip Skip) {
	if w == nil {
		return
	}
	e := Event{
		Kind: EventSkipped, Time: at, DeploymentID: skip.DeploymentID, Schedule: skip.Schedule,
		Reason: skip.Reason, Count: skip.Count, First: skip.First, Last: skip.Last,
	}
	if sd != nil {
		e.Flow, e.Deployment = sd.flow.name, sd.name
	}
	w.tell(e)
}

// trouble tells that an operation begins to fail, or works again after a time.
func (w *watch) trouble(operation string, err error, lasted time.Duration) {
	if w == nil {
		return
	}
	kind := EventStoreFailing
	if err == nil {
		kind = EventStoreWorking
	}
	w.tell(Event{Kind: kind, Time: time.Now(), Operation: operation, Err: err, Duration: lasted})
}

func (w *watch) clockJumped(at time.Time, by time.Duration) {
	if w == nil {
		return
	}
	w.tell(Event{Kind: EventClockJumped, Time: at, Duration: by})
}

// watchClaim tells what a claim that took so long gives, before its runs begin.
func (s *server) watchClaim(at time.Time, took time.Duration, count int) {
	if s.watch == nil {
		return
	}
	e := Event{Kind: EventClaimed, Time: at, Count: count, Duration: took, Free: -1}
	e.InFlight, e.Backlog = s.load()
	e.InFlight += count
	if s.limit != unlimited {
		e.Free = max(0, s.limit-e.InFlight)
	}
	s.watch.tell(e)
}

// noteLeaseLost counts, once, a run whose lease is lost or in doubt.
func (s *server) noteLeaseLost(x *execution) {
	if x.lossTold.Swap(true) {
		return
	}
	s.vitals.leasesLost.Add(1)
	s.watch.leaseLost(s.now(), x)
}
