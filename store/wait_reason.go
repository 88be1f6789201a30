package store

// The values of [Run].WaitReason: why a due run has not started.
//
// A pause is not among them: it removes the future runs of schedules, while runs that are due
// already, and runs made by hand, still run. A run whose next attempt is yet to come has no wait
// reason either; its DueTime tells when.
const (
	// WaitUnserved: no live runner serves the deployment, so nothing else matters. That includes a
	// deployment that Runner.PauseOnShutdown has paused: the run starts with the next Serve, which
	// ends that pause.
	WaitUnserved = "no runner serves the deployment"

	// WaitLimit: as many runs as the deployment's ConcurrencyLimit allows are under way, and this
	// one is in the queue.
	WaitLimit = "concurrency limit is full"

	// WaitVersionMismatch: the parameters do not fit the runner that had claimed the run. It left
	// the run to runners of another version that serve the deployment too. The run's state tells
	// what does not fit.
	WaitVersionMismatch = "parameters do not fit the runner that claimed the run; left to runners of another version"

	// WaitLate: the run has been due for more than five seconds, and the runners that serve the
	// deployment have not claimed it: their slots are taken, or they are in trouble, which
	// Runner.Health shows.
	WaitLate = "late: runners are at capacity"
)
