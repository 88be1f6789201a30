package provost

import "errors"

// Sentinels that callers branch on with errors.Is. Errors that carry data have types of their own: [*ParamError],
// [*RunError].
var (
	// ErrNotFound says that a deployment, run, schedule or flow of that name or ID is not in the store.
	ErrNotFound = errors.New("provost: not found")

	// ErrConflict says that the write rests on something that has changed since it was read: a stale generation, a
	// transition that the state machine does not list, a name that is taken.
	ErrConflict = errors.New("provost: conflict")

	// ErrLeaseLost says that a run's lease belongs to another claim by now. Nothing was written, and the holder must stop
	// working on the run: the flow's context is cancelled with this cause.
	ErrLeaseLost = errors.New("provost: lease lost")

	// ErrQueueFull says that a deployment already has as many runs waiting for its concurrency limit as its MaxWaiting
	// allows.
	ErrQueueFull = errors.New("provost: too many runs are waiting for the concurrency limit")

	// ErrDrainTimeout says that Serve returned while a flow was still running, because the flow ignored the end of its
	// context. Its lease runs out and another runner takes the run over.
	ErrDrainTimeout = errors.New("provost: drain timeout")
)

// ParamError says which parameter was refused and why.
type ParamError struct {
	Path   string // dotted path from the top of the parameters, "" for the whole: "customer.address[2].zip"
	Reason string // what was expected, what came, and how to fix it
}

func (e *ParamError) Error() string {
	if e.Path == "" {
		return "parameters: " + e.Reason
	}
	return "parameter " + e.Path + ": " + e.Reason
}
