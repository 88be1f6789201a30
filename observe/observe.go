package observe

import (
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/store"
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

const RunnerStarted EventKind = "runner started" // Ready is closed

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
	State            store.State
	Lost             string

	Reason      store.SkipReason
	Count       int
	First, Last time.Time

	InFlight  int // runs that hold a slot of this runner
	Free      int
	Unwritten int // ends of runs that wait to be written

	Operation string
	Err       error
}
