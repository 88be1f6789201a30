package store

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/param"
	"github.com/provost-go/provost/params"
	"github.com/provost-go/provost/schedule"
)

// Overlap decides what happens to a run that finds its deployment's concurrency limit full.
// [RunStore] has the details.
type Overlap string

// The overlap policies.
const (
	OverlapEnqueue       Overlap = ""               // the run waits; waiting runs are served first come, first served
	OverlapCancelNew     Overlap = "cancel_new"     // the run becomes CANCELLED/Skipped, with the message "overlap"
	OverlapCancelRunning Overlap = "cancel_running" // waiting runs of the deployment and its oldest running one are cancelled
)

// Isolation is where a run executes.
type Isolation string

// The kinds of isolation.
const (
	IsolationDefault Isolation = ""           // of a deployment: the runner's isolation; of a runner: InProcess
	InProcess        Isolation = "in_process" // in a goroutine
	Subprocess       Isolation = "subprocess" // in a process of its own
)

// DeploymentRecord is a deployment as stores and clients know it: what was declared, without the Go
// function, and its state in the store. It round-trips JSON.
type DeploymentRecord struct {
	ID     uuid.UUID `json:"id"` // the same in every store: derived from the handle
	FlowID uuid.UUID `json:"flow_id"`
	Flow   string    `json:"flow"`
	Name   string    `json:"name"`

	Entrypoint              string            `json:"entrypoint"`
	Path                    string            `json:"path,omitempty"`
	Parameters              params.Params     `json:"parameters,omitempty"`
	ParameterSchema         json.RawMessage   `json:"parameter_openapi_schema,omitempty"`
	SkipParameterValidation bool              `json:"skip_parameter_validation,omitempty"`
	Schedules               []ScheduleRecord  `json:"schedules,omitempty"`
	Triggers                []json.RawMessage `json:"triggers,omitempty"`
	Version                 string            `json:"version,omitempty"`
	Description             string            `json:"description,omitempty"`
	Tags                    []string          `json:"tags,omitempty"`
	ConcurrencyLimit        int               `json:"concurrency_limit,omitempty"` // 0: none
	Overlap                 Overlap           `json:"overlap,omitempty"`
	LimitGroup              string            `json:"limit_group,omitempty"`
	MaxWaiting              int               `json:"max_waiting,omitempty"` // never 0 where there is a limit
	Priority                int               `json:"priority,omitempty"`
	RunOnStart              bool              `json:"run_on_start,omitempty"`
	AtMostOnce              bool              `json:"at_most_once,omitempty"` // the flow's
	Isolation               Isolation         `json:"isolation,omitempty"`
	Env                     map[string]string `json:"env,omitempty"`
	WorkPool                string            `json:"work_pool_name,omitempty"`
	WorkQueue               string            `json:"work_queue_name,omitempty"`
	JobVariables            params.Params     `json:"job_variables,omitempty"`
	PullSteps               []json.RawMessage `json:"pull_steps,omitempty"`

	Digest     string          `json:"digest"`     // of the declaration without its version
	Generation int64           `json:"generation"` // raised by every effective update, pause or resume
	Pause      Pause           `json:"pause"`
	ServedBy   []ServingRunner `json:"served_by,omitempty"` // runners that list it; see ServedAt
	Created    time.Time       `json:"created"`
	Updated    time.Time       `json:"updated"`
}

// ServingRunner is a runner that serves a deployment.
type ServingRunner struct {
	Name  string    `json:"name"`
	Until time.Time `json:"until"` // end of its lease, after which it no longer counts
}

// ServedAt reports whether a runner serves the deployment at a time: one lists it, and its lease
// has not ended.
func (r *DeploymentRecord) ServedAt(now time.Time) bool {
	return slices.ContainsFunc(r.ServedBy, func(s ServingRunner) bool { return !s.Until.Before(now) })
}

// ScheduleRecord is one schedule of a deployment.
type ScheduleRecord struct {
	Key      string            `json:"key"`
	Schedule schedule.Schedule `json:"schedule"`
	Pause    Pause             `json:"pause"`

	Watermark time.Time `json:"watermark"` // every instant up to here is decided; never moves back
	Planned   time.Time `json:"planned"`   // its runs are materialised up to here
}

// FlowRecord is a flow as stores and clients know it. It round-trips JSON.
type FlowRecord struct {
	ID      uuid.UUID `json:"id"` // the same in every store: derived from the name
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
}

// Handle returns the deployment's handle, "flow/deployment".
func (r *DeploymentRecord) Handle() string { return Handle(r.Flow, r.Name) }

// Schedule returns the schedule with a key, nil if there is none.
func (r *DeploymentRecord) Schedule(key string) *ScheduleRecord {
	for i := range r.Schedules {
		if r.Schedules[i].Key == key {
			return &r.Schedules[i]
		}
	}
	return nil
}

// LimitKey returns the key of the limit that grants slots to the deployment's runs: that of its
// LimitGroup if it has one, else its own. It is "" if the deployment has no limit.
func (r *DeploymentRecord) LimitKey() string {
	switch {
	case r.ConcurrencyLimit == 0:
		return ""
	case r.LimitGroup != "":
		return "group:" + r.LimitGroup
	default:
		return "deployment:" + r.ID.String()
	}
}

// ScheduledParameters returns the parameters of a run of the schedule with a key: the deployment's,
// which include the defaults of the schema, overridden by the schedule's. For an unknown key it
// returns those of a run made by hand.
func (r *DeploymentRecord) ScheduledParameters(key string) params.Params {
	if s := r.Schedule(key); s != nil {
		return params.Merge(r.Parameters, s.Schedule.Parameters())
	}
	return r.Parameters
}

// Clone returns a deep copy.
func (r *DeploymentRecord) Clone() *DeploymentRecord {
	c := *r
	c.Parameters = r.Parameters.Clone()
	c.ParameterSchema = slices.Clone(r.ParameterSchema)
	c.Schedules = slices.Clone(r.Schedules)
	for i := range c.Schedules {
		c.Schedules[i].Pause.Operator = clonePointer(c.Schedules[i].Pause.Operator)
	}
	c.Triggers = param.CloneRaw(r.Triggers)
	c.Tags = slices.Clone(r.Tags)
	c.Env = maps.Clone(r.Env)
	c.JobVariables = r.JobVariables.Clone()
	c.PullSteps = param.CloneRaw(r.PullSteps)
	c.Pause.Operator = clonePointer(r.Pause.Operator)
	c.ServedBy = slices.Clone(r.ServedBy)
	return &c
}

// clonePointer returns a pointer to a copy of what p points to, nil for nil.
func clonePointer[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}
