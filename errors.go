package provost

import (
	"github.com/provost-go/provost/internal/engine"
	"github.com/provost-go/provost/store"
)

// Sentinels to branch on with errors.Is. Errors that carry data have types of their own:
// [*ParamError], [*RunError].
var (
	// ErrNotFound reports that no deployment, run, schedule or flow with that name or ID is in the
	// store.
	ErrNotFound = store.ErrNotFound

	// ErrConflict reports that the write rests on something that has changed since it was read: a
	// stale generation, a step that the state machine does not list, a name that is taken.
	ErrConflict = store.ErrConflict

	// ErrLeaseLost reports that the run belongs to another claim. Nothing was written, and whoever
	// works on the run must stop: the context of its flow is cancelled with this cause.
	ErrLeaseLost = store.ErrLeaseLost

	// ErrQueueFull reports that as many runs as the deployment's MaxWaiting allows are waiting for
	// its concurrency limit.
	ErrQueueFull = store.ErrQueueFull

	// ErrDrainTimeout reports that Serve returned while a flow was still running, because the flow
	// ignored the end of its context. Its lease expires and another runner takes the run over.
	ErrDrainTimeout = engine.ErrDrainTimeout
)

// RunError is returned when the result of a run that did not complete is read; see
// [store.RunError].
type RunError = store.RunError

// Permanent marks an error that another attempt would not fix, such as an order that does not
// exist. A run whose function returns it is Failed at once, whatever Retries says. The mark is
// found through errors that wrap it with %w or errors.Join, and changes neither the text of err nor
// what errors.Is and errors.As find in it. Permanent(nil) is nil.
//
// A child run whose function returns it is not tried again either. [Flow.Run] returns the same
// error to its caller, so a parent that returns it is Failed for good too. A run that returns it
// because the runner shuts down is handed back all the same.
func Permanent(err error) error {
	return engine.Permanent(err)
}
