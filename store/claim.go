package store

import (
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/params"
)

// ClaimRunsParams holds the parameters of [RunStore].ClaimRuns.
type ClaimRunsParams struct {
	Now    time.Time
	Runner uuid.UUID
	ID     uuid.UUID // of the call, so that it can be repeated if its answer is lost; Nil for a call that is not repeated
	Limit  int
	TTL    time.Duration // of the leases
	Except []uuid.UUID   // runs to leave to other runners; at most MaxExcept
}

// ClaimRunsResult is what was claimed, what was skipped, and when to claim again.
type ClaimRunsResult struct {
	Runs []Claim

	// Skipped lists the runs of schedules that this call made CANCELLED: because of the limit, or
	// in favour of other runs. Each is listed once.
	Skipped []SkippedRun

	// Next is when the next run of this runner's deployments becomes claimable, zero if none is
	// known.
	Next time.Time
}

// Claim is a run that the caller holds now, with everything that is needed to execute it.
type Claim struct {
	Lease
	DeploymentID  uuid.UUID
	Generation    int64
	Name          string
	Schedule      string // key; "" for a run made by hand
	Parameters    params.Params
	Tags          []string
	ScheduledTime time.Time
	DueTime       time.Time
	Attempt       int // attempts made before
	Crashes       int // those of them that ended with their process
}
