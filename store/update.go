package store

import (
	"encoding/json"
	"time"
)

// SettleRunsParams holds the parameters of [RunStore].SettleRuns.
type SettleRunsParams struct {
	Now     time.Time
	Updates []RunUpdate
}

// RunUpdate is what became of a claimed run, or of a child run, under its parent's token.
type RunUpdate struct {
	Lease
	StartTime time.Time // when the function of the attempt began: the run is or was RUNNING from then; zero if it has not begun
	Attempt   int       // number of that attempt; for SCHEDULED: how many attempts the run keeps
	Version   string    // of the code that made the attempt

	State   State           // a terminal state, SCHEDULED to give the run back, or the zero State to leave it RUNNING
	DueTime time.Time       // for SCHEDULED: when the run is due again; zero keeps its due time
	Result  json.RawMessage // for COMPLETED

	// Crashed reports that the attempt ended because its process did, with SCHEDULED/AwaitingRetry
	// or CRASHED: it counts in Run.Crashes. The store leaves it to the caller to stop at
	// MaxCrashes. With the zero State it has no meaning.
	Crashed bool
}
