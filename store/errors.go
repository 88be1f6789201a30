package store

import "errors"

// Sentinels to branch on with errors.Is. Every store returns errors that wrap them.
var (
	// ErrNotFound reports that no deployment, run, schedule or flow with that name or ID is in the store.
	ErrNotFound = errors.New("provost: not found")

	// ErrConflict reports that the write rests on something that has changed since it was read: a stale generation, a step
	// that the state machine does not list, a name that is taken.
	ErrConflict = errors.New("provost: conflict")

	// ErrLeaseLost reports that the run belongs to another claim. Nothing was written, and whoever works on the run must
	// stop: the context of its flow is cancelled with this cause.
	ErrLeaseLost = errors.New("provost: lease lost")

	// ErrQueueFull reports that as many runs as the deployment's MaxWaiting allows are waiting for its concurrency limit.
	ErrQueueFull = errors.New("provost: too many runs are waiting for the concurrency limit")
)
