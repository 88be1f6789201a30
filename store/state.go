package store

import (
	"fmt"
	"time"

	"github.com/provost-go/provost/internal/instant"
)

// State is what a run is doing. Types and names are Prefect's.
type State struct {
	Type      StateType `json:"type"`
	Name      string    `json:"name"` // more precise than Type: one of the Name constants, or the name of the type
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
	StateCrashed    StateType = "CRASHED" // its process died
	StateCancelling StateType = "CANCELLING"
	StateCancelled  StateType = "CANCELLED"
)

// State names that are more precise than the type.
const (
	NameAwaitingRetry           = "AwaitingRetry"
	NameAwaitingConcurrencySlot = "AwaitingConcurrencySlot"
	NameTimedOut                = "TimedOut"
	NameSkipped                 = "Skipped"
	NameVersionMismatch         = "VersionMismatch" // SCHEDULED: left to runners of another version, because the parameters do not fit the one that had it
)

// name returns the state name that is no more precise than the type.
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

// transitions lists what each state may become. A terminal state leads back to SCHEDULED alone, and
// only through RetryRun or BackfillRuns. SCHEDULED to SCHEDULED changes the name. PENDING or
// RUNNING to SCHEDULED is a run that was given back, or that waits for its next attempt.
var transitions = map[StateType][]StateType{
	"":              {StateScheduled, StateRunning}, // RUNNING: a child run, made inside its parent
	StateScheduled:  {StateScheduled, StatePending, StateCancelled},
	StatePending:    {StateScheduled, StateRunning, StateCancelling, StateCancelled, StateFailed, StateCrashed},
	StateRunning:    {StateScheduled, StateCompleted, StateFailed, StateCrashed, StateCancelling, StateCancelled},
	StateCancelling: {StateCancelled, StateCompleted, StateFailed},
	StateFailed:     {StateScheduled},
	StateCrashed:    {StateScheduled},
	StateCancelled:  {StateScheduled},
}

// CanBecome reports whether the state machine lists the step from t to next. The empty type stands
// for a run that does not exist yet.
func (t StateType) CanBecome(next StateType) bool {
	for _, listed := range transitions[t] {
		if listed == next {
			return true
		}
	}
	return false
}

// Terminal reports whether a run in this state has finished.
func (t StateType) Terminal() bool {
	switch t {
	case StateCompleted, StateFailed, StateCrashed, StateCancelled:
		return true
	}
	return false
}

// Terminal reports whether a run in this state has finished.
func (s State) Terminal() bool { return s.Type.Terminal() }

// String returns the state's name, followed by its message if it has one.
func (s State) String() string {
	if s.Message == "" {
		return s.Name
	}
	return s.Name + ": " + s.Message
}

// NewState returns a state with the name of its type. The time is kept in UTC, in whole
// microseconds.
func NewState(t StateType, at time.Time, message string) State {
	return State{Type: t, Name: t.name(), Message: message, Timestamp: instant.Of(at)}
}

// NewNamedState returns a state with one of the Name constants. The time is kept as by [NewState].
func NewNamedState(t StateType, name string, at time.Time, message string) State {
	return State{Type: t, Name: name, Message: message, Timestamp: instant.Of(at)}
}

// maxHistory bounds a run's history. When it is full, the oldest state but the first is dropped.
const maxHistory = 100

// AppendState returns a run's history with next at its end. Every store extends histories with it,
// and it applies these rules:
//
//   - If the state machine does not list the step, it returns the history as it was, and an error
//     that wraps [ErrConflict].
//   - A state without a name gets the name of its type.
//   - A timestamp is truncated to whole microseconds, in UTC. One that is not after its
//     predecessor's is moved one microsecond past it, so that histories ascend strictly whatever
//     the clocks of two runners say.
//   - A history has at most 100 states: the oldest but the first make room.
//
// The result may share memory with history, as by append.
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

// describe returns the type for an error message.
func (s State) describe() string {
	if s.Type == "" {
		return "(none)"
	}
	return string(s.Type)
}
