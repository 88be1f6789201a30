package store

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
)

// DeploymentFilter selects deployments. Zero fields do not restrict.
type DeploymentFilter struct {
	Flow   string   // name of the flow
	Tags   []string // all of them
	Paused *bool
	Limit  int // 0 stands for DefaultPage; at most MaxPage
	Cursor string
}

// FlowFilter selects flows.
type FlowFilter struct {
	Limit  int // 0 stands for DefaultPage; at most MaxPage
	Cursor string
}

// RunFilter selects runs. Zero fields do not restrict; a run must satisfy all others.
type RunFilter struct {
	DeploymentID uuid.UUID
	Deployment   string // handle "flow/deployment": another way to set DeploymentID, see Resolve
	Flow         string // name of the flow
	Schedule     string // key
	ParentID     uuid.UUID
	States       []StateType // one of them
	StateName    string
	Tags         []string  // all of them
	After        time.Time // ScheduledTime at or after
	Before       time.Time // ScheduledTime before
	Sort         RunSort
	Limit        int // 0 stands for DefaultPage; at most MaxPage
	Cursor       string
}

// Resolve returns the filter with its handle turned into an ID: DeploymentID is set and Deployment
// is "". Every store calls it first. It returns an error if the handle is malformed, or if
// DeploymentID is set too and is the ID of another deployment. A handle that no deployment has is
// no error; the filter then selects nothing.
func (f RunFilter) Resolve() (RunFilter, error) {
	id, err := resolveDeployment(f.DeploymentID, f.Deployment)
	if err != nil {
		return RunFilter{}, err
	}
	f.DeploymentID, f.Deployment = id, ""
	return f, nil
}

// RunSort is an order of runs. Runs with equal keys are ordered by ID, in the same direction.
type RunSort string

// The orders of runs.
const (
	NewestFirst RunSort = ""       // by ID, that is, by creation
	OldestFirst RunSort = "oldest" // likewise
	SoonestDue  RunSort = "due"    // by DueTime, earliest first
	LatestEnded RunSort = "ended"  // by EndTime, latest first; unfinished runs come first
)

// SkipFilter selects skips. Zero fields do not restrict.
type SkipFilter struct {
	DeploymentID uuid.UUID
	Deployment   string // handle "flow/deployment": another way to set DeploymentID, see Resolve
	Schedule     string // key
	Limit        int    // 0 stands for DefaultPage; at most MaxPage
	Cursor       string
}

// Resolve returns the filter with its handle turned into an ID, as [RunFilter.Resolve] does.
func (f SkipFilter) Resolve() (SkipFilter, error) {
	id, err := resolveDeployment(f.DeploymentID, f.Deployment)
	if err != nil {
		return SkipFilter{}, err
	}
	f.DeploymentID, f.Deployment = id, ""
	return f, nil
}

// resolveDeployment returns the ID of the deployment that an ID or a handle names. Either may be
// zero.
func resolveDeployment(id uuid.UUID, handle string) (uuid.UUID, error) {
	if handle == "" {
		return id, nil
	}
	named, err := ParseHandle(handle)
	if err != nil {
		return uuid.Nil, err
	}
	if id != uuid.Nil && id != named {
		return uuid.Nil, fmt.Errorf("filter by Deployment %q, whose ID is %s, and by DeploymentID %s: set one of them", handle, named, id)
	}
	return named, nil
}

// LogFilter selects lines of a run's log.
type LogFilter struct {
	RunID    uuid.UUID
	After    int64        // Seq of the line before the first; 0 reads from the start
	MinLevel slog.Leveler // nil selects every level
	Limit    int          // 0 stands for DefaultPage; at most MaxPage
}
