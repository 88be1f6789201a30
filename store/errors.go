package store

import "errors"

// Sentinels to test for with errors.Is. The errors of every store wrap them.
var (
	// ErrNotFound reports that the store has no deployment, run, runner, schedule or flow with that
	// name or ID.
	ErrNotFound = errors.New("provost: not found")

	// ErrConflict reports that a write rests on something that has changed since it was read: the
	// generation is stale, the state machine does not list the step, or a name is taken.
	ErrConflict = errors.New("provost: conflict")

	// ErrLeaseLost reports that another claim holds the run, or that its lease was reaped. Nothing
	// was written. Whoever works on the run must stop: the context of its flow is cancelled with
	// this cause.
	ErrLeaseLost = errors.New("provost: lease lost")

	// ErrQueueFull reports that MaxWaiting runs of the deployment are already waiting for its
	// concurrency limit.
	ErrQueueFull = errors.New("provost: too many runs are waiting for the concurrency limit")
)
