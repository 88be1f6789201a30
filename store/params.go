package store

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/params"
	"github.com/provost-go/provost/schedule"
)

// Retention is how long runs are kept that are over, with their logs and the runs inside them. The zero value keeps what the store keeps:
// a [MemoryStore] its Keep, others all. An instant whose run is gone stays decided, and is not run again.
type Retention struct {
	// Age is how long ago a run may have ended. 0 is no bound.
	Age time.Duration

	// Runs is how many of a deployment's runs are kept at most, those that ended last. 0 is no bound.
	Runs int
}

// RegisterDeploymentsParams is what [DeploymentStore].RegisterDeployments takes. Of each record only the declared part counts.
type RegisterDeploymentsParams struct {
	Now         time.Time
	Runner      uuid.UUID // the runner that is about to serve them; Nil for Client.Deploy
	Deployments []*DeploymentRecord
}

// Registration is what became of one declaration.
type Registration struct {
	ID         uuid.UUID
	Generation int64
	Change     Change
	Previous   *DeploymentRecord // the declaration that was replaced, nil unless Change is Updated
	ServedBy   []string          // names of the other live runners that serve it
}

// Change is what a registration did to the stored declaration.
type Change string

// The changes that a registration makes.
const (
	ChangeNone    Change = "unchanged"
	ChangeCreated Change = "created"
	ChangeUpdated Change = "updated"
)

// SetPauseParams is what [DeploymentStore].SetPause takes.
type SetPauseParams struct {
	Now          time.Time
	DeploymentID uuid.UUID
	Schedule     string // key; "" for the whole deployment
	Operator     *bool  // nil clears the mark, so that the declared value counts
}

// DeleteDeploymentParams is what [DeploymentStore].DeleteDeployment takes.
type DeleteDeploymentParams struct {
	Now time.Time
	ID  uuid.UUID
}

// RegisterRunnerParams is what [RunnerStore].RegisterRunner takes. Deployments replaces what the runner served before.
type RegisterRunnerParams struct {
	Now         time.Time
	Runner      RunnerRecord
	Deployments []uuid.UUID
}

// HeartbeatRunnerParams is what [RunnerStore].HeartbeatRunner takes.
type HeartbeatRunnerParams struct {
	Now    time.Time // when the runner was seen alive
	Runner uuid.UUID
	Until  time.Time
}

// RemoveRunnerParams is what [RunnerStore].RemoveRunner takes.
type RemoveRunnerParams struct {
	Now    time.Time
	Runner uuid.UUID
	Pause  bool
}

// RunnerRecord is a runner as the store knows it.
type RunnerRecord struct {
	ID          uuid.UUID `json:"id"`
	Name        string    `json:"name"`
	Version     string    `json:"version,omitempty"`
	Started     time.Time `json:"started"`
	SeenAt      time.Time `json:"seen_at"` // newest heartbeat
	Until       time.Time `json:"until"`   // end of its lease
	Deployments int       `json:"deployments"`
}

// MaxDeadRunners bounds the runners that a store keeps although their lease has ended: a program that crashes and starts again all day
// leaves many.
const MaxDeadRunners = 100

// DueSchedulesParams is what [PlanStore].DueSchedules takes.
type DueSchedulesParams struct {
	Now   time.Time
	Limit int // 0: 1,000
}

// DueSchedules is what to plan, and when to ask again.
type DueSchedulesResult struct {
	Items []PlanItem
	Next  time.Time // earliest PlanTime of a served schedule that is not among Items; zero if there is none
}

// PlanItem is one schedule that wants planning, with all that the plan depends on.
type PlanItem struct {
	DeploymentID uuid.UUID
	Generation   int64
	Key          string
	Schedule     schedule.Schedule
	Planned      time.Time   // runs are materialised up to this instant
	Taken        []time.Time // instants after it that are decided already: their run was cancelled or deleted ahead of its time

	// The deployment was served up to ServedUntil; with Gap, it was not between then and Now, and Unclaimed are the instants
	// after ServedUntil that have an unstarted, auto-scheduled run.
	ServedUntil time.Time
	Gap         bool
	GapFound    time.Time // the newest time at which the gap was found, for the plan to repeat; zero without one
	Unclaimed   []time.Time

	// The deployment or the schedule is paused. PausedFrom and PausedUntil bound the pause whose instants are not recorded
	// yet; while it lasts, PausedUntil is zero.
	Paused      bool
	PausedFrom  time.Time
	PausedUntil time.Time
}

// PlanRunsParams is what [PlanStore].PlanRuns takes.
type PlanRunsParams struct {
	Now   time.Time
	Plans []SchedulePlan
}

// SchedulePlan is the next stretch of one schedule. Instants ascend.
type SchedulePlan struct {
	DeploymentID uuid.UUID
	Generation   int64
	Key          string
	From         time.Time // the Planned it continues from
	GapFound     time.Time // of the PlanItem: a gap that was found since, or found again, is not dealt with by this plan

	Runs   []PlannedRun
	Cancel []time.Time // instants whose unstarted run becomes CANCELLED/Skipped
	Skips  []Skip      // ranges without a run; one that continues the schedule's newest range, with its Timing, extends it
	Reason SkipReason  // why the runs of Cancel are skipped
	Late   []time.Time // instants whose unstarted run was made before a gap and is catch-up now, as PlannedRun.CatchUp says

	Planned  time.Time // how far the schedule is materialised now; not before From
	PlanTime time.Time // when it wants planning again; zero for never

	// Partial says that the plan reached its bound: what it was told of a gap and of a pause is not dealt with yet, and the
	// store tells the next plan of it again.
	Partial bool
}

// PlannedRun is a run to be materialised. The store fills in the rest from the deployment.
type PlannedRun struct {
	ID            uuid.UUID
	ScheduledTime time.Time
	DueTime       time.Time
	CatchUp       bool // its instant was missed: it waits for a slot of the limit, whatever the overlap policy
}

// SkipReason is why instants became no run.
type SkipReason string

// Reasons for a skip.
const (
	SkipMissed  SkipReason = "missed" // nobody served the deployment, and the catch-up policy did not want them
	SkipPaused  SkipReason = "paused"
	SkipLimit   SkipReason = "limit"   // too many runs were waiting for the concurrency limit
	SkipOverlap SkipReason = "overlap" // the concurrency limit was full, or a newer run took the place: see Overlap
)

// Skip is a range of instants of one schedule that became no run.
type Skip struct {
	ID           uuid.UUID         `json:"id"`
	DeploymentID uuid.UUID         `json:"deployment_id"`
	Schedule     string            `json:"schedule"` // key
	Timing       schedule.Schedule `json:"timing"`   // whose instants they are: the schedule's timing as it was declared then
	First        time.Time         `json:"first"`
	Last         time.Time         `json:"last"`
	Count        int               `json:"count"`
	Reason       SkipReason        `json:"reason"`
}

// CreateRunParams is what [RunStore].CreateRun takes.
type CreateRunParams struct {
	Now            time.Time
	ID             uuid.UUID
	Name           string
	DeploymentID   uuid.UUID // Nil for a child run
	Generation     int64     // of the deployment that Parameters were layered and checked against
	Parameters     params.Params
	Tags           []string
	ScheduledTime  time.Time
	DueTime        time.Time
	IdempotencyKey string
	Child          *ChildRun
}

// ChildRun is what is special to a run inside a run: it is RUNNING from the start, under its parent's lease.
type ChildRun struct {
	Parent  Lease
	Flow    string
	Version string
}

// BackfillRunsParams is what [RunStore].BackfillRuns takes: at most [MaxBackfill] runs.
type BackfillRunsParams struct {
	Now          time.Time
	DeploymentID uuid.UUID
	Generation   int64
	Schedule     string // key
	Runs         []PlannedRun
	Splits       []SkipSplit
}

// SkipSplit replaces a skip range by what is left of it.
type SkipSplit struct {
	ID   uuid.UUID
	Into []Skip
}

// ClaimRunsParams is what [RunStore].ClaimRuns takes.
type ClaimRunsParams struct {
	Now    time.Time
	Runner uuid.UUID
	ID     uuid.UUID // names the call, so that one whose answer was lost can be repeated; Nil for a call that is not
	Limit  int
	TTL    time.Duration // of the leases
	Except []uuid.UUID   // runs that are not for this runner; at most MaxExcept
}

// MaxExcept bounds the runs that a runner leaves to others.
const MaxExcept = 100

// Claims is what was claimed, what was decided against, and when to come again.
type ClaimRunsResult struct {
	Runs    []Claim
	Skipped []SkippedRun // runs of schedules that this call made CANCELLED: of the limit, or in favour of others; to be told of, once
	Next    time.Time    // when the next run of this runner's deployments becomes claimable; zero if none is known
}

// SkippedRun is a scheduled run that came to nothing for want of a slot.
type SkippedRun struct {
	DeploymentID  uuid.UUID
	Schedule      string // key
	ScheduledTime time.Time
	Reason        SkipReason // SkipLimit or SkipOverlap
}

// Claim is a run that the caller now holds, with all that is needed to execute it.
type Claim struct {
	Lease
	DeploymentID  uuid.UUID
	Generation    int64
	Name          string
	Schedule      string
	Parameters    params.Params
	Tags          []string
	ScheduledTime time.Time
	DueTime       time.Time
	Attempt       int // attempts that were made before
	Crashes       int // those of them that ended with their process
}

// Lease is a claim's proof: whoever writes to a run carries the token of its newest claim.
type Lease struct {
	RunID uuid.UUID
	Token int64
}

// RenewLeasesParams is what [RunStore].RenewLeases takes.
type RenewLeasesParams struct {
	Now    time.Time
	TTL    time.Duration
	Leases []Lease
}

// Renewal is what a renewal found out.
type RenewLeasesResult struct {
	Lost   []uuid.UUID // leases that are another's or over: stop working on these runs
	Cancel []uuid.UUID // runs in CANCELLING
}

// SettleRunsParams is what [RunStore].SettleRuns takes.
type SettleRunsParams struct {
	Now     time.Time
	Updates []RunUpdate
}

// RunUpdate is what became of a claimed run, or of a child run (under its parent's token).
type RunUpdate struct {
	Lease
	StartTime time.Time // when the attempt's function began: the run is or was RUNNING from then; zero if it has not begun
	Attempt   int       // number of that attempt; for SCHEDULED: how many attempts the run keeps
	Version   string    // of the code that made it

	State   State           // a terminal state; SCHEDULED to give the run back; the zero State leaves it RUNNING
	DueTime time.Time       // for SCHEDULED: when it is due again; zero keeps its due time
	Result  json.RawMessage // for COMPLETED

	// Crashed says that the attempt ended because its process did, with SCHEDULED/AwaitingRetry or CRASHED: it counts in
	// Run.Crashes. The store leaves it to the caller to stop at MaxCrashes. With the zero State it says nothing.
	Crashed bool
}

// ReapLeasesParams is what [RunStore].ReapLeases takes.
type ReapLeasesParams struct {
	Now   time.Time
	Limit int // 0: 1,000
}

// Reaped is what a reaping found.
type ReapLeasesResult struct {
	Runs []*Run    // as they are after it
	Next time.Time // when the next lease ends; zero if there is none
}

// CancelRunParams is what [RunStore].CancelRun takes.
type CancelRunParams struct {
	Now     time.Time
	RunID   uuid.UUID
	Message string
}

// RetryRunParams is what [RunStore].RetryRun takes.
type RetryRunParams struct {
	Now     time.Time
	RunID   uuid.UUID
	Message string
}

// PruneRunsParams is what [RunStore].PruneRuns takes.
type PruneRunsParams struct {
	Deployments []uuid.UUID // nil: all, also those that were deleted
	Before      time.Time
	Keep        int
	Limit       int // 0: 1,000
}

// AppendLogsParams is what [LogStore].AppendLogs takes.
type AppendLogsParams struct {
	Runs []RunLog
}

// RunLog is a stretch of one run's log, written under its lease (a child run's under its parent's token). A writer sends one
// stretch at a time, and the same one again if it does not know whether it has arrived.
type RunLog struct {
	Lease
	After   int64       // lines given under this lease before these; any that the store never got count as dropped
	Lines   []LogRecord // RunID and Seq are the store's to fill in
	Dropped int64       // lines lost under this lease so far that were never given
}

// LogRecord is one line of a run's log.
type LogRecord struct {
	RunID   uuid.UUID  `json:"run_id"`
	Seq     int64      `json:"seq"` // 1 for the first line of the run
	Time    time.Time  `json:"time"`
	Level   slog.Level `json:"level"`
	Message string     `json:"message"` // with the attributes, as slog's text form writes them
}

// LogPage is a stretch of a run's log.
type LogPage struct {
	Lines   []LogRecord
	More    bool // there are lines after the last one
	Dropped int  // lines of the run that are not kept
}

// DeploymentFilter says which deployments to list. Zero fields do not restrict.
type DeploymentFilter struct {
	Flow   string // name of the flow
	Tags   []string
	Paused *bool
	Limit  int // 0: 200; at most MaxPage
	Cursor string
}

// FlowFilter says which flows to list.
type FlowFilter struct {
	Limit  int
	Cursor string
}

// RunFilter says which runs to list. Zero fields do not restrict; a run must satisfy all the others.
type RunFilter struct {
	DeploymentID uuid.UUID
	Deployment   string // handle "flow/deployment"; another way to give DeploymentID, see [RunFilter.Resolve]
	Flow         string
	Schedule     string // key
	ParentID     uuid.UUID
	States       []StateType
	StateName    string
	Tags         []string  // all of them
	After        time.Time // ScheduledTime at or after
	Before       time.Time // ScheduledTime before
	Sort         RunSort
	Limit        int // 0: 200; at most MaxPage
	Cursor       string
}

// RunSort is an order of runs.
type RunSort string

// The orders of runs. Runs with equal keys are ordered by ID, in the same direction.
const (
	NewestFirst RunSort = "" // by ID, that is by creation
	OldestFirst RunSort = "oldest"
	SoonestDue  RunSort = "due"   // by DueTime, earliest first
	LatestEnded RunSort = "ended" // by EndTime, latest first; runs that are not over come first
)

// Resolve returns the filter with DeploymentID filled in from Deployment, and Deployment cleared. A
// malformed handle is an error, and so are a handle and an ID of two deployments. A handle that no
// deployment has is not: the list is empty. Every store resolves its filters first.
func (f RunFilter) Resolve() (RunFilter, error) {
	id, err := resolveDeployment(f.DeploymentID, f.Deployment)
	if err != nil {
		return RunFilter{}, err
	}
	f.DeploymentID, f.Deployment = id, ""
	return f, nil
}

// SkipFilter says which skips to list.
type SkipFilter struct {
	DeploymentID uuid.UUID
	Deployment   string // handle "flow/deployment"; another way to give DeploymentID, see [SkipFilter.Resolve]
	Schedule     string
	Limit        int
	Cursor       string
}

// Resolve returns the filter with DeploymentID filled in from Deployment, as [RunFilter.Resolve]
// does.
func (f SkipFilter) Resolve() (SkipFilter, error) {
	id, err := resolveDeployment(f.DeploymentID, f.Deployment)
	if err != nil {
		return SkipFilter{}, err
	}
	f.DeploymentID, f.Deployment = id, ""
	return f, nil
}

// resolveDeployment returns the ID that an ID, a handle or both name. Zero values name none.
func resolveDeployment(id uuid.UUID, handle string) (uuid.UUID, error) {
	if handle == "" {
		return id, nil
	}
	named, err := ParseHandle(handle)
	if err != nil {
		return uuid.Nil, err
	}
	if id != uuid.Nil && id != named {
		return uuid.Nil, fmt.Errorf("filter has Deployment %q, whose ID is %s, and DeploymentID %s; set one of them", handle, named, id)
	}
	return named, nil
}

// LogFilter says which lines to read.
type LogFilter struct {
	RunID    uuid.UUID
	After    int64        // Seq; 0 reads from the start
	MinLevel slog.Leveler // nil: every level
	Limit    int          // 0: 200; at most MaxPage
}
