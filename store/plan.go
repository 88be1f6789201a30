package store

import (
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/schedule"
)

// DueSchedulesParams holds the parameters of [PlanStore].DueSchedules.
type DueSchedulesParams struct {
	Now   time.Time
	Limit int // of Items; 0 stands for 1,000
}

// DueSchedulesResult is what to plan, and when to ask again.
type DueSchedulesResult struct {
	Items []PlanItem
	Next  time.Time // earliest PlanTime of a served schedule that is not among Items; zero if there is none
}

// PlanItem is a schedule that needs planning, with everything that its plan depends on.
type PlanItem struct {
	DeploymentID uuid.UUID
	Generation   int64
	Key          string
	Schedule     schedule.Schedule
	Planned      time.Time   // runs are materialised up to this instant
	Taken        []time.Time // instants after it that are decided: their runs were cancelled or deleted ahead of their time

	// ServedUntil is until when the deployment was served. With Gap, it was not served from then
	// until Now, and Unclaimed lists the instants after ServedUntil that have an unstarted,
	// auto-scheduled run. GapFound is the newest time at which the gap was found, for the plan to
	// repeat; it is zero without a gap.
	ServedUntil time.Time
	Gap         bool
	GapFound    time.Time
	Unclaimed   []time.Time

	// Paused reports that the deployment or the schedule is paused. PausedFrom and PausedUntil
	// bound the pause whose instants are not recorded yet; while the pause lasts, PausedUntil is
	// zero.
	Paused      bool
	PausedFrom  time.Time
	PausedUntil time.Time
}

// PlanRunsParams holds the parameters of [PlanStore].PlanRuns.
type PlanRunsParams struct {
	Now   time.Time
	Plans []SchedulePlan
}

// SchedulePlan is the next part of the plan of one schedule. Instants ascend.
type SchedulePlan struct {
	DeploymentID uuid.UUID
	Generation   int64
	Key          string
	From         time.Time // PlanItem.Planned: where the plan continues
	GapFound     time.Time // PlanItem.GapFound: a gap found since, or found again, is not dealt with by this plan

	Runs   []PlannedRun
	Cancel []time.Time // instants whose unstarted runs become CANCELLED/Skipped
	Skips  []Skip      // ranges without runs; one that continues the schedule's newest range, with its Timing, extends it
	Reason SkipReason  // why the runs of Cancel are skipped
	Late   []time.Time // instants whose unstarted runs, made before a gap, are catch-up now, as by PlannedRun.CatchUp

	Planned  time.Time // how far runs are materialised now; not before From
	PlanTime time.Time // when the schedule needs planning again; zero for never

	// Partial reports that the plan has reached its bound. The gap and the pause of the PlanItem
	// are not dealt with yet: the store includes them in the next one.
	Partial bool
}

// PlannedRun is a run to be materialised. The store takes the rest from the deployment.
type PlannedRun struct {
	ID            uuid.UUID
	ScheduledTime time.Time
	DueTime       time.Time
	CatchUp       bool // its instant was missed: it waits for a slot of the limit, whatever the overlap policy
}
