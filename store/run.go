package store

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/params"
)

// Run is one execution of a flow, past, present or to come. A run that the store returns is a copy: changing it changes
// nothing.
type Run struct {
	ID   uuid.UUID `json:"id"`   // UUIDv7 made from the time of creation: sorting by ID sorts by age
	Name string    `json:"name"` // for people; RunOptions.Name, else two words derived from the ID

	Flow         string    `json:"flow"`                 // name of the flow
	Deployment   string    `json:"deployment,omitempty"` // name of the deployment, without the flow's; "" for a child run
	FlowID       uuid.UUID `json:"flow_id"`
	DeploymentID uuid.UUID `json:"deployment_id,omitzero"`
	Schedule     string    `json:"schedule,omitempty"` // key of the schedule that asked for the run; "" for one made by hand

	State   State   `json:"state"`
	History []State `json:"history"` // every state that the run was in, oldest first; the last one is State

	Parameters params.Params `json:"parameters"` // layered and normalised; numbers are json.Number, secrets *** as [Client.RevealSecrets] says
	Tags       []string      `json:"tags,omitempty"`
	Version    string        `json:"version,omitempty"` // of the code that made the newest attempt

	ScheduledTime time.Time `json:"scheduled_time"`      // the nominal instant
	DueTime       time.Time `json:"due_time"`            // the nominal instant plus jitter, or the time of the next attempt
	StartTime     time.Time `json:"start_time,omitzero"` // first line of the newest attempt
	EndTime       time.Time `json:"end_time,omitzero"`   // when the run became terminal

	Attempt int    `json:"attempt"`           // 1 for the first; 0 until the function has begun, or crashed before it did: a crash is always an attempt
	Crashes int    `json:"crashes,omitempty"` // attempts that ended because their process did
	Runner  string `json:"runner,omitempty"`  // name of the runner that holds or last held it

	WaitReason     string    `json:"wait_reason,omitempty"` // why a due run has not started: one of the Wait constants, or "" if it is about to
	AutoScheduled  bool      `json:"auto_scheduled,omitempty"`
	IdempotencyKey string    `json:"idempotency_key,omitempty"`
	ParentID       uuid.UUID `json:"parent_id,omitzero"`

	Result json.RawMessage `json:"result,omitempty"` // what the flow returned, encoded; read it with Flow.Result
}

// State is what a run is doing. Types and names are Prefect's.
type State struct {
	Type      StateType `json:"type"`
	Name      string    `json:"name"` // a finer word than Type: one of the Name constants, or the type's own name
	Message   string    `json:"message,omitempty"`
	Timestamp time.Time `json:"timestamp"`
}

// StateType is the machine-readable part of a state.
type StateType string

// The state types.
const (
	StateScheduled  StateType = "SCHEDULED"
	StatePending    StateType = "PENDING" // claimed by a runner, not begun
	StateRunning    StateType = "RUNNING"
	StateCompleted  StateType = "COMPLETED"
	StateFailed     StateType = "FAILED"
	StateCrashed    StateType = "CRASHED" // its process died under it
	StateCancelling StateType = "CANCELLING"
	StateCancelled  StateType = "CANCELLED"
)

// State names that say more than the type.
const (
	NameAwaitingRetry           = "AwaitingRetry"
	NameAwaitingConcurrencySlot = "AwaitingConcurrencySlot"
	NameTimedOut                = "TimedOut"
	NameSkipped                 = "Skipped"
	NameVersionMismatch         = "Unfit" // SCHEDULED: left to runners of another version, as the parameters do not fit the one that had it
)

// name is the state name of a type that says no more than the type.
func (t StateType) name() string {
	switch t {
	case StateScheduled:
		return "Scheduled"
	case StatePending:
		return "Pending"
	case StateRunning:
		return "Running"
	case StateCompleted:
		return "Completed"
	case StateFailed:
		return "Failed"
	case StateCrashed:
		return "Crashed"
	case StateCancelling:
		return "Cancelling"
	case StateCancelled:
		return "Cancelled"
	}
	return string(t)
}

// transitions lists what each state may become. A terminal state leads only back to SCHEDULED, and only through RetryRun
// or Backfill. SCHEDULED to SCHEDULED changes the name, PENDING and RUNNING to SCHEDULED is a run that was handed back or
// that waits for its next attempt.
var transitions = map[StateType][]StateType{
	"":              {StateScheduled, StateRunning}, // RUNNING: a child run, born inside its parent
	StateScheduled:  {StateScheduled, StatePending, StateCancelled},
	StatePending:    {StateScheduled, StateRunning, StateCancelling, StateCancelled, StateFailed, StateCrashed},
	StateRunning:    {StateScheduled, StateCompleted, StateFailed, StateCrashed, StateCancelling, StateCancelled},
	StateCancelling: {StateCancelled, StateCompleted, StateFailed},
	StateFailed:     {StateScheduled},
	StateCrashed:    {StateScheduled},
	StateCancelled:  {StateScheduled},
}

// CanBecome reports whether the state machine lists the step from t to next. The empty type stands for a run that does not
// exist yet.
func (t StateType) CanBecome(next StateType) bool {
	for _, listed := range transitions[t] {
		if listed == next {
			return true
		}
	}
	return false
}

// Terminal reports whether a run in this state is over.
func (t StateType) Terminal() bool {
	switch t {
	case StateCompleted, StateFailed, StateCrashed, StateCancelled:
		return true
	}
	return false
}

// Terminal reports whether a run in this state is over.
func (s State) Terminal() bool { return s.Type.Terminal() }

// String is the state's name, followed by its message if it has one.
func (s State) String() string {
	if s.Message == "" {
		return s.Name
	}
	return s.Name + ": " + s.Message
}

// newState is a state under its type's own name.
func NewState(t StateType, at time.Time, message string) State {
	return State{Type: t, Name: t.name(), Message: message, Timestamp: instant.Of(at)}
}

// namedState is a state under a name of the Name constants.
func NewNamedState(t StateType, name string, at time.Time, message string) State {
	return State{Type: t, Name: name, Message: message, Timestamp: instant.Of(at)}
}

// maxHistory bounds a run's history. Past it the oldest states but the first make way.
const maxHistory = 100

// AppendState is how every store extends a run's history: it returns the history with next at its end, or an error that
// wraps [ErrConflict] if the state machine does not list that step. Timestamps are cut to whole microseconds. One that is not after its predecessor's is moved
// one microsecond past it, so that histories are strictly ordered whatever the clocks of two runners say.
func AppendState(history []State, next State) ([]State, error) {
	var last State
	if len(history) > 0 {
		last = history[len(history)-1]
	}
	if !last.Type.CanBecome(next.Type) {
		return history, fmt.Errorf("%w: a run in state %s cannot become %s", ErrConflict, last.describe(), next.describe())
	}
	if next.Name == "" {
		next.Name = next.Type.name()
	}
	if next.Timestamp = instant.Of(next.Timestamp); !next.Timestamp.After(last.Timestamp) {
		next.Timestamp = last.Timestamp.Add(time.Microsecond)
	}
	if len(history) >= maxHistory {
		trimmed := make([]State, 0, maxHistory)
		trimmed = append(trimmed, history[0])
		history = append(trimmed, history[2:]...)
	}
	return append(history, next), nil
}

func (s State) describe() string {
	if s.Type == "" {
		return "(none)"
	}
	return string(s.Type)
}

// RunError is what reading the result of a run that did not complete gives.
type RunError struct {
	ID    uuid.UUID
	State State
}

func (e *RunError) Error() string {
	return fmt.Sprintf("run %s is not completed: %s", e.ID, e.State)
}

// handle is the name people use for a deployment: "flow/deployment".
func Handle(flow, deployment string) string { return flow + "/" + deployment }
