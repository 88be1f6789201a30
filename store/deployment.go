package store

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/param"
	"github.com/provost-go/provost/params"
	"github.com/provost-go/provost/schedule"
)

// Overlap decides what happens to a run that finds its deployment's concurrency limit full.
type Overlap string

// The overlap policies.
const (
	OverlapEnqueue       Overlap = ""               // the run waits; waiting runs are served first come, first served
	OverlapCancelNew     Overlap = "cancel_new"     // the run becomes Cancelled, as Skipped with the message "overlap"
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

// DeploymentRecord is a deployment as stores and clients know it: what was declared, without the Go function, and what became
// of it since. It round-trips JSON.
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

// Server is a runner that serves a deployment.
type ServingRunner struct {
	Name  string    `json:"name"`
	Until time.Time `json:"until"` // end of its lease: after that it counts no more
}

// ServedAt reports whether some runner's lease lists the deployment at a time.
func (r *DeploymentRecord) ServedAt(now time.Time) bool {
	return slices.ContainsFunc(r.ServedBy, func(s ServingRunner) bool { return !s.Until.Before(now) })
}

// ScheduleRecord is one schedule of a deployment.
type ScheduleRecord struct {
	Key      string            `json:"key"`
	Schedule schedule.Schedule `json:"schedule"`
	Pause    Pause             `json:"pause"`

	Watermark time.Time `json:"watermark"` // every instant up to here is decided; never moves back
	Planned   time.Time `json:"planned"`   // runs are materialised up to here
}

// Pause is the marks that can keep schedules from firing. Runs made by hand are never paused.
type Pause struct {
	Declared bool  `json:"declared,omitempty"` // Deployment.Paused or Schedule.Paused
	Operator *bool `json:"operator,omitempty"` // overrides Declared until that changes or the operator clears it
	Shutdown bool  `json:"shutdown,omitempty"` // set by Runner.PauseOnShutdown, cleared by the next Serve
}

// Effective reports whether the marks together pause.
func (p Pause) Effective() bool {
	if p.Shutdown {
		return true
	}
	if p.Operator != nil {
		return *p.Operator
	}
	return p.Declared
}

// redeclare applies a new declared value. The operator's mark lapses where it differs from the old one.
func (p Pause) Redeclare(declared bool) Pause {
	if p.Declared != declared {
		p.Operator = nil
	}
	p.Declared = declared
	return p
}

// FlowRecord is a flow as stores and clients know it.
type FlowRecord struct {
	ID      uuid.UUID `json:"id"` // the same in every store: derived from the name
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
}

// Handle is "flow/deployment".
func (r *DeploymentRecord) Handle() string { return Handle(r.Flow, r.Name) }

// Schedule finds a schedule by its key, nil if there is none.
func (r *DeploymentRecord) Schedule(key string) *ScheduleRecord {
	for i := range r.Schedules {
		if r.Schedules[i].Key == key {
			return &r.Schedules[i]
		}
	}
	return nil
}

// LimitKey names the row that grants slots to the deployment's runs: its LimitGroup, else its own. It is "" without a limit.
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

// ScheduledParameters are what a scheduled run gets: the schema's defaults, then the deployment's parameters, then the
// schedule's. An unknown key stands for a run made by hand.
func (r *DeploymentRecord) ScheduledParameters(key string) params.Params {
	if s := r.Schedule(key); s != nil {
		return params.Merge(r.Parameters, s.Schedule.Parameters())
	}
	return r.Parameters
}

// Clone is a deep copy.
func (r *DeploymentRecord) Clone() *DeploymentRecord {
	c := *r
	c.Parameters = r.Parameters.Clone()
	c.ParameterSchema = slices.Clone(r.ParameterSchema)
	c.Schedules = slices.Clone(r.Schedules)
	for i := range c.Schedules {
		c.Schedules[i].Pause.Operator = ClonePointer(c.Schedules[i].Pause.Operator)
	}
	c.Triggers = param.CloneRaw(r.Triggers)
	c.Tags = slices.Clone(r.Tags)
	c.Env = maps.Clone(r.Env)
	c.JobVariables = r.JobVariables.Clone()
	c.PullSteps = param.CloneRaw(r.PullSteps)
	c.Pause.Operator = ClonePointer(r.Pause.Operator)
	c.ServedBy = slices.Clone(r.ServedBy)
	return &c
}

func ClonePointer[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}

// Diff names the declared fields in which two records differ.
func (r *DeploymentRecord) Diff(other *DeploymentRecord) []string {
	theirs := other.declared()
	var fields []string
	for i, mine := range r.declared() {
		if mine.text != theirs[i].text {
			fields = append(fields, mine.name)
		}
	}
	return fields
}

// digest stands for the declaration: two with one digest are the same to the store. Version is left out, so that a new build
// of an unchanged declaration resets nothing.
func (r *DeploymentRecord) ComputeDigest() string {
	h := sha256.New()
	for _, f := range r.declared() {
		if f.text != "" {
			writeSized(h, f.name)
			writeSized(h, f.text)
		}
	}
	var sum [sha256.Size]byte
	return hex.EncodeToString(h.Sum(sum[:0])[:16])
}

func writeSized(h hash.Hash, s string) {
	var size [8]byte
	binary.BigEndian.PutUint64(size[:], uint64(len(s)))
	h.Write(size[:])
	h.Write([]byte(s))
}

type declaredField struct{ name, text string }

// declared is the declaration as text, field by field; "" where a field is zero.
func (r *DeploymentRecord) declared() []declaredField {
	return []declaredField{
		{"Entrypoint", r.Entrypoint},
		{"Path", r.Path},
		{"Parameters", declaredJSON(len(r.Parameters), r.Parameters)},
		{"ParameterSchema", string(r.ParameterSchema)},
		{"SkipParameterValidation", declaredFlag(r.SkipParameterValidation)},
		{"Schedules", declaredSchedules(r.Schedules)},
		{"Paused", declaredFlag(r.Pause.Declared)},
		{"Triggers", declaredJSON(len(r.Triggers), r.Triggers)},
		{"Description", r.Description},
		{"Tags", declaredJSON(len(r.Tags), r.Tags)},
		{"ConcurrencyLimit", declaredNumber(r.ConcurrencyLimit)},
		{"Overlap", string(r.Overlap)},
		{"LimitGroup", r.LimitGroup},
		{"MaxWaiting", declaredNumber(r.MaxWaiting)},
		{"Priority", declaredNumber(r.Priority)},
		{"RunOnStart", declaredFlag(r.RunOnStart)},
		{"AtMostOnce", declaredFlag(r.AtMostOnce)},
		{"Isolation", string(r.Isolation)},
		{"Env", declaredJSON(len(r.Env), r.Env)},
		{"WorkPool", r.WorkPool},
		{"WorkQueue", r.WorkQueue},
		{"JobVariables", declaredJSON(len(r.JobVariables), r.JobVariables)},
		{"PullSteps", declaredJSON(len(r.PullSteps), r.PullSteps)},
	}
}

func declaredFlag(set bool) string {
	if set {
		return "true"
	}
	return ""
}

func declaredNumber(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

// declaredJSON encodes what Validate has already seen encode.
func declaredJSON(size int, v any) string {
	if size == 0 {
		return ""
	}
	text, err := json.Marshal(v)
	if err != nil {
		return "unencodable: " + err.Error()
	}
	return string(text)
}

// declaredSchedules leaves out what the store adds to a schedule.
func declaredSchedules(schedules []ScheduleRecord) string {
	if len(schedules) == 0 {
		return ""
	}
	var b strings.Builder
	for _, s := range schedules {
		text, err := s.Schedule.MarshalJSON()
		if err != nil {
			text = []byte("unencodable: " + err.Error())
		}
		b.WriteString(s.Key)
		b.WriteByte(' ')
		b.Write(text)
		b.WriteByte('\n')
	}
	return b.String()
}
