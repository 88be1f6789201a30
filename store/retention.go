package store

import (
	"time"

	"github.com/google/uuid"
)

// Retention is how long finished runs are kept, with their logs and the runs inside them. The zero
// value sets no bound: a memory store then keeps its Keep, every other store all runs. An instant
// whose run is deleted stays decided, and is not run again.
type Retention struct {
	// Age is how long a finished run is kept after its end. 0 is no bound.
	Age time.Duration

	// Runs is how many finished runs of a deployment are kept, those that ended last. 0 is no
	// bound.
	Runs int
}

// PruneRunsParams holds the parameters of [RunStore].PruneRuns.
type PruneRunsParams struct {
	Deployments []uuid.UUID // nil: all, including deleted ones
	Before      time.Time   // zero: no bound
	Keep        int         // finished runs of each deployment; 0: no bound
	Limit       int         // 0 stands for 1,000
}
