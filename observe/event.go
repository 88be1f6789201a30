package observe

import (
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/store"
)

// Observer gets what happens in a runner, as it happens. Set it as Runner.Observer.
//
// Observe is called in the runner's own goroutines, by several at once. It must be safe for that
// and must not block: count, put into a channel that has room, and return. It may call
// Runner.Health. A panic in it is logged, the first time, and changes nothing.
type Observer interface {
	Observe(e Event)
}

// ObserverFunc is a function as an [Observer].
type ObserverFunc func(e Event)

// Observe calls the function.
func (f ObserverFunc) Observe(e Event) { f(e) }

// EventKind is what happened. Its text has lower-case letters and underscores only, fit for the
// label of a metric.
type EventKind string

// What happens in a runner. Each kind lists the fields that it sets beside Kind, Time and Runner.
// "The run" is Flow, Deployment, DeploymentID, Schedule, RunID, ParentID, Attempt and
// ScheduledTime.
const (
	// RunnerStarted: Runner.Ready is closed.
	RunnerStarted EventKind = "runner_started"

	// RunnerDraining: Serve's context has ended, and nothing more is claimed. InFlight, Unwritten.
	RunnerDraining EventKind = "runner_draining"

	// RunnerStopped: Serve returns. Err is what it returns.
	RunnerStopped EventKind = "runner_stopped"

	// RunStarted: a function is entered. The run; Lateness. One RunEnded of the same run and
	// attempt follows, unless the function never returns.
	RunStarted EventKind = "run_started"

	// RunEnded: it is known what becomes of an attempt. The run; State, DueTime, Duration. State is
	// terminal, or SCHEDULED: named AwaitingRetry with the DueTime of the next attempt, else the
	// run is handed back. State is the zero State if the lease is known to be another's: what
	// becomes of the run is then for its runner to say. Attempt is 0 if the function was not
	// entered. The event comes before the state is written; hooks come after.
	RunEnded EventKind = "run_ended"

	// LeaseLost: the run belongs to another runner, or may because its lease could not be renewed
	// in time. The context of its function ends. Once for each attempt. The run.
	LeaseLost EventKind = "lease_lost"

	// RunReaped: the lease of a run expired without a word from its runner, and this runner dealt
	// with that. The run; State after it; Lost, the runner that had the run.
	RunReaped EventKind = "run_reaped"

	// InstantsSkipped: instants of a schedule became no run, or a run that was skipped. Flow and
	// Deployment, which are "" if this runner does not serve the deployment; DeploymentID,
	// Schedule; Reason, Count, First, Last.
	InstantsSkipped EventKind = "instants_skipped"

	// RunsClaimed: the store was asked for runs. Count, how many it returned; Duration of the call;
	// InFlight, with them; Free, the slots that are left, -1 without a limit; Unwritten. If Count
	// uses up the free slots there are more runs to come.
	RunsClaimed EventKind = "runs_claimed"

	// StoreFailing: a store operation begins to fail. Operation; Err. One event for each change,
	// however long it lasts; for an operation that comes and goes, one pair of StoreFailing and
	// StoreWorking in 20 seconds.
	StoreFailing EventKind = "store_failing"

	// StoreWorking: the operation works again. Operation; Duration of the failure.
	StoreWorking EventKind = "store_working"

	// ClockJumped: the wall clock was set, or the machine slept. Duration is how far the clock went
	// beyond the time that passed, negative if it went back.
	ClockJumped EventKind = "clock_jumped"
)

// Event is something that happened in a runner. [EventKind] says which fields are set.
type Event struct {
	Kind   EventKind
	Time   time.Time // for RunStarted and RunEnded: of the function's first line and of its return
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
	State            store.State
	Lost             string // name of the runner that lost the run

	Reason      store.SkipReason
	Count       int
	First, Last time.Time

	InFlight  int // runs that hold a slot of this runner
	Free      int
	Unwritten int // ends of runs that wait to be written

	Operation string
	Err       error
}
