package store

import (
	"time"

	"github.com/google/uuid"
)

// Lease proves a claim: every write to a claimed run carries the token of the run's newest claim.
type Lease struct {
	RunID uuid.UUID
	Token int64
}

// RenewLeasesParams holds the parameters of [RunStore].RenewLeases.
type RenewLeasesParams struct {
	Now    time.Time
	TTL    time.Duration
	Leases []Lease
}

// RenewLeasesResult is what a renewal found out.
type RenewLeasesResult struct {
	Lost   []uuid.UUID // runs whose leases are lost or have ended: stop working on them
	Cancel []uuid.UUID // runs in CANCELLING
}

// ReapLeasesParams holds the parameters of [RunStore].ReapLeases.
type ReapLeasesParams struct {
	Now   time.Time
	Limit int // 0 stands for 1,000
}

// ReapLeasesResult is what a reaping changed, and when to reap again.
type ReapLeasesResult struct {
	Runs []*Run    // the runs whose leases were reaped, as they are now
	Next time.Time // when the next lease ends; zero if there is none
}
