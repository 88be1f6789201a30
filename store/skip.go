package store

import (
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/schedule"
)

// SkipReason is why instants became no run.
type SkipReason string

// The reasons for a skip.
const (
	SkipMissed  SkipReason = "missed"  // nobody served the deployment, and its catch-up policy dropped the instants
	SkipPaused  SkipReason = "paused"  // the deployment or the schedule was paused
	SkipLimit   SkipReason = "limit"   // too many runs were waiting for the concurrency limit
	SkipOverlap SkipReason = "overlap" // the concurrency limit was full, or a newer run took the place: see Overlap
)

// Skip is a range of instants of one schedule that became no run. It round-trips JSON.
type Skip struct {
	ID           uuid.UUID         `json:"id"`
	DeploymentID uuid.UUID         `json:"deployment_id"`
	Schedule     string            `json:"schedule"` // key
	Timing       schedule.Schedule `json:"timing"`   // the schedule's timing as it was declared then, which has the instants
	First        time.Time         `json:"first"`
	Last         time.Time         `json:"last"`
	Count        int               `json:"count"`
	Reason       SkipReason        `json:"reason"`
}

// SkipSplit replaces a skip range by what remains of it.
type SkipSplit struct {
	ID   uuid.UUID
	Into []Skip
}

// SkippedRun is a run of a schedule that was cancelled for want of a slot.
type SkippedRun struct {
	DeploymentID  uuid.UUID
	Schedule      string // key
	ScheduledTime time.Time
	Reason        SkipReason // SkipLimit or SkipOverlap
}
