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

// Permanent marks an error that another attempt would not mend, such as an order that does not exist: a run whose function
// returns it is Failed at once, whatever Retries says. It is found through whatever wraps it with %w or errors.Join, and leaves
// the text of err and what errors.Is and errors.As find as they are. Permanent(nil) is nil.
//
// A child run whose function returns it is not tried again either; Run gives its caller the same error, so a parent that
// returns that is Failed for good too. A run that returns it because the runner shuts down is handed back all the same.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// isPermanent reports whether another attempt is pointless. The methods of a user's error may panic, and say nothing then.
func isPermanent(err error) (permanent bool) {
	defer func() {
		if recover() != nil {
			permanent = false
		}
	}()
	_, permanent = errors.AsType[*permanentError](err)
	return permanent
}

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
