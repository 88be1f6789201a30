package store

// Why a due run has not started, in [Run.WaitReason]. A pause is not among the reasons: it takes the future runs of schedules
// away, while what is due already, and runs made by hand, still run. Nor does a run whose next attempt is yet to come need one:
// its DueTime says when.
const (
	// WaitUnserved: no live runner serves the deployment, so nothing else matters. That includes a deployment that
	// Runner.PauseOnShutdown has paused: the run goes on with the next Serve, which ends that pause.
	WaitUnserved = "no runner serves the deployment"

	// WaitLimit: as many runs as the deployment's ConcurrencyLimit allows are under way, and this one is in the queue.
	WaitLimit = "concurrency limit is full"

	// WaitUnfit: its parameters do not fit the runner that had claimed it, which left it to those of another version that serve the
	// deployment too. The run's state says what does not fit.
	WaitVersionMismatch = "parameters do not fit the runner that had it; left to those of another version"

	// WaitLate: it has been due for more than five seconds, and the runners that serve it have not claimed it: their slots are taken,
	// or they are in trouble, which [Runner.Health] shows.
	WaitLate = "late: runners are at capacity"
)
