package store

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/params"
)

// Run is one execution of a flow: past, present or future. It round-trips JSON. A run that a store
// returns is a copy; changing it does not change the store.
type Run struct {
	ID   uuid.UUID `json:"id"`   // UUIDv7 made from the time of creation: sorting by ID sorts by age
	Name string    `json:"name"` // for people; RunOptions.Name, else two words derived from the ID

	Flow         string    `json:"flow"`                 // name of the flow
	Deployment   string    `json:"deployment,omitempty"` // name of the deployment, without the flow's; "" for a child run
	FlowID       uuid.UUID `json:"flow_id"`
	DeploymentID uuid.UUID `json:"deployment_id,omitzero"`
	Schedule     string    `json:"schedule,omitempty"` // key of the schedule that made the run; "" for a run made by hand

	State   State   `json:"state"`
	History []State `json:"history"` // the states of the run, at most 100 of them, oldest first; the last one is State

	Parameters params.Params `json:"parameters"` // layered and normalised; numbers are json.Number; a client shows secrets as *** unless it is of Client.RevealSecrets
	Tags       []string      `json:"tags,omitempty"`
	Version    string        `json:"version,omitempty"` // of the code that made the newest attempt

	ScheduledTime time.Time `json:"scheduled_time"`      // the nominal instant
	DueTime       time.Time `json:"due_time"`            // the nominal instant plus jitter, or the time of the next attempt
	StartTime     time.Time `json:"start_time,omitzero"` // when the function of the newest attempt began
	EndTime       time.Time `json:"end_time,omitzero"`   // when the run became terminal

	// Attempt is the number of the newest attempt: 1 for the first, 0 before any has begun. A crash
	// is always an attempt, even one before the function had begun.
	Attempt int `json:"attempt"`

	Crashes int    `json:"crashes,omitempty"` // attempts that ended because their process did
	Runner  string `json:"runner,omitempty"`  // name of the runner that holds the run or held it last

	WaitReason     string    `json:"wait_reason,omitempty"` // why a due run has not started: one of the Wait constants, or "" if it is about to
	AutoScheduled  bool      `json:"auto_scheduled,omitempty"`
	IdempotencyKey string    `json:"idempotency_key,omitempty"`
	ParentID       uuid.UUID `json:"parent_id,omitzero"` // of a child run

	Result json.RawMessage `json:"result,omitempty"` // what the flow returned, encoded; read it with Flow.Result
}

// RunError reports that a run has no result to read because it is not COMPLETED.
type RunError struct {
	ID    uuid.UUID
	State State
}

// Error returns the run's ID and its state.
func (e *RunError) Error() string {
	return fmt.Sprintf("run %s is not completed: %s", e.ID, e.State)
}

// CreateRunParams holds the parameters of [RunStore].CreateRun.
type CreateRunParams struct {
	Now            time.Time
	ID             uuid.UUID
	Name           string    // "" stands for RunName(ID)
	DeploymentID   uuid.UUID // Nil for a child run
	Generation     int64     // of the deployment that Parameters were layered on and checked against
	Parameters     params.Params
	Tags           []string
	ScheduledTime  time.Time
	DueTime        time.Time
	IdempotencyKey string
	Child          *ChildRun // nil for a run made by hand
}

// ChildRun is what a run inside a run has in addition. It is RUNNING from the start, under its
// parent's lease.
type ChildRun struct {
	Parent  Lease
	Flow    string
	Version string
}

// BackfillRunsParams holds the parameters of [RunStore].BackfillRuns: at most [MaxBackfill] runs.
type BackfillRunsParams struct {
	Now          time.Time
	DeploymentID uuid.UUID
	Generation   int64
	Schedule     string // key
	Runs         []PlannedRun
	Splits       []SkipSplit
}

// CancelRunParams holds the parameters of [RunStore].CancelRun.
type CancelRunParams struct {
	Now     time.Time
	RunID   uuid.UUID
	Message string // of the new state
}

// RetryRunParams holds the parameters of [RunStore].RetryRun.
type RetryRunParams struct {
	Now     time.Time
	RunID   uuid.UUID
	Message string // of the new state
}
