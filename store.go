package provost

import (
	"github.com/provost-go/provost/store"
	"github.com/provost-go/provost/store/memory"
)

// Store keeps deployments, runs and runners; see [store.Store] for its contract.
type Store = store.Store

// MemoryStore is a store that lives and dies with the process; see [memory.Store].
type MemoryStore = memory.Store

// NewMemoryStore makes an empty store in memory.
func NewMemoryStore() *MemoryStore { return memory.New() }

// Run is one execution of a flow, past, present or to come; see [store.Run].
type Run = store.Run

// State is what a run is doing; see [store.State].
type State = store.State

// StateType is the kind of a [State]; see [store.StateType].
type StateType = store.StateType

// The types of states. Those that Terminal reports are final.
const (
	StateScheduled  = store.StateScheduled
	StatePending    = store.StatePending
	StateRunning    = store.StateRunning
	StateCompleted  = store.StateCompleted
	StateFailed     = store.StateFailed
	StateCrashed    = store.StateCrashed
	StateCancelling = store.StateCancelling
	StateCancelled  = store.StateCancelled
)

// DeploymentRecord is a deployment as stores and clients know it; see [store.DeploymentRecord].
type DeploymentRecord = store.DeploymentRecord

// FlowRecord is a flow as stores and clients know it; see [store.FlowRecord].
type FlowRecord = store.FlowRecord

// RunnerRecord is a runner as stores and clients know it; see [store.RunnerRecord].
type RunnerRecord = store.RunnerRecord

// LogRecord is one line of a run's log; see [store.LogRecord].
type LogRecord = store.LogRecord

// Retention is how long finished runs are kept; see [store.Retention].
type Retention = store.Retention

// Skip is a range of instants of one schedule that became no run; see [store.Skip].
type Skip = store.Skip

// SkipReason is why instants became no run; see [store.SkipReason].
type SkipReason = store.SkipReason

// The reasons for a skip.
const (
	SkipMissed  = store.SkipMissed  // nobody served the deployment, and its catch-up policy dropped the instants
	SkipPaused  = store.SkipPaused  // the deployment or the schedule was paused
	SkipLimit   = store.SkipLimit   // too many runs were waiting for the concurrency limit
	SkipOverlap = store.SkipOverlap // the concurrency limit was full, or a newer run took the place
)

// Page is a part of a list; see [store.Page].
type Page[T any] = store.Page[T]

// RunFilter selects runs; see [store.RunFilter].
type RunFilter = store.RunFilter

// RunSort is an order of runs; see [store.RunSort].
type RunSort = store.RunSort

// The orders of runs.
const (
	NewestFirst = store.NewestFirst // by creation
	OldestFirst = store.OldestFirst // by creation
	SoonestDue  = store.SoonestDue  // by DueTime
	LatestEnded = store.LatestEnded // by EndTime; unfinished runs come first
)

// SkipFilter selects skips; see [store.SkipFilter].
type SkipFilter = store.SkipFilter

// DeploymentFilter selects deployments; see [store.DeploymentFilter].
type DeploymentFilter = store.DeploymentFilter

// FlowFilter selects flows; see [store.FlowFilter].
type FlowFilter = store.FlowFilter
