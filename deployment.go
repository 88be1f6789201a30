package provost

import (
	"encoding/json"

	"github.com/provost-go/provost/store"
)

// Deployment is a flow plus when, with what parameters, where and how it runs. It is declared in Go
// and is never JSON itself: stores and clients see a [DeploymentRecord]. Only Flow and Name are
// required.
type Deployment struct {
	// Flow is what runs: the *Flow that NewFlow, NewAction or NewJob returned.
	Flow AnyFlow

	// Name is unique among the deployments of the flow. People and clients use the handle
	// "flow/deployment". A name has at most 200 bytes and none of / % & < > or control characters.
	Name string

	// Entrypoint is the import path and name of the flow's function. It is derived; a value given
	// here must equal it. For a closure any value is stored and none is checked.
	Entrypoint string

	// Path is the working directory of a run. It needs Isolation Subprocess or a work pool. A
	// relative path begins at the runner's working directory.
	Path string

	// Parameters are the defaults of every run. They take precedence over the defaults of the
	// schema; the parameters of a schedule and of a single run take precedence over them, key by
	// key at the top level. Go values such as a time.Duration or a struct are welcome.
	Parameters Params

	// ParameterSchema is a JSON Schema (draft-07) for the parameters. Nil derives it from the
	// flow's parameter type.
	ParameterSchema json.RawMessage

	// SkipParameterValidation accepts parameters that do not fit the schema. A run whose parameters
	// do not decode still fails.
	SkipParameterValidation bool

	// Schedules say when runs happen by themselves. Two with the same timing need names: see the
	// method Named of [Schedule].
	Schedules []Schedule

	// Paused declares that no schedule fires. An operator can override it; the override lapses when
	// this value changes.
	Paused bool

	// Triggers are rules that start runs on events.
	Triggers []json.RawMessage

	// Version is the version of the deployment. "" means the flow's, else the VCS revision of the
	// build, else a hash of the executable.
	Version string

	// Description is in Markdown. "" means the flow's, else the doc comment of its function, found
	// in [Flow.Source].
	Description string

	// Tags are inherited by every run.
	Tags []string

	// ConcurrencyLimit is how many runs may be under way at once. 0 means no limit.
	ConcurrencyLimit int

	// Overlap decides what happens to a run that finds the limit full. The zero value lets it wait.
	// Another value with ConcurrencyLimit 0 means a limit of 1. Retries, runs of a backfill and
	// runs that catch up on missed instants always wait.
	Overlap Overlap

	// LimitGroup names a limit that several deployments share. All of them declare the same
	// ConcurrencyLimit.
	LimitGroup string

	// MaxWaiting is how many runs may wait for the limit. 0 means 1,000.
	MaxWaiting int

	// Priority decides which due runs start first: those of higher priority. It may be any int; 0
	// is the middle. It does not change the order in which runs wait for a concurrency limit: that
	// is first come, first served.
	Priority int

	// RunOnStart makes a run when the deployment begins to be served: at the start of Serve, unless
	// another live runner serves it already. Each start makes one run, even if the store fails
	// meanwhile.
	RunOnStart bool

	// Isolation is where runs execute. The zero value means the runner's isolation.
	Isolation Isolation

	// Retention is how long this deployment's finished runs are kept. The zero value means the
	// runner's. The store does not keep it: each runner does what its program says.
	Retention Retention

	// Env is set in the environment of a subprocess just before the flow begins. It needs Isolation
	// Subprocess or a work pool.
	Env map[string]string

	// WorkPool, WorkQueue, JobVariables and PullSteps are for workers, which start runs on other
	// infrastructure. Serve refuses a deployment that names a work pool.
	WorkPool     string
	WorkQueue    string
	JobVariables Params
	PullSteps    []json.RawMessage
}

// Handle returns "flow/deployment", as far as both are known.
func (d *Deployment) Handle() string {
	if nilFlow(d.Flow) {
		return store.Handle("", d.Name)
	}
	return store.Handle(d.Flow.flowName(), d.Name)
}

// Validate reports everything that is wrong with the deployment in one joined error: each problem
// with its field, its value and its fix.
func (d *Deployment) Validate() error {
	_, err := d.record()
	return err
}

// Overlap decides what happens to a run that finds its deployment's concurrency limit full; see
// [store.Overlap].
type Overlap = store.Overlap

// The overlap policies.
const (
	OverlapEnqueue       = store.OverlapEnqueue       // the run waits; waiting runs are served first come, first served
	OverlapCancelNew     = store.OverlapCancelNew     // the run becomes Cancelled, as Skipped with the message "overlap"
	OverlapCancelRunning = store.OverlapCancelRunning // waiting runs of the deployment and its oldest running one are cancelled
)

// Isolation is where a run executes; see [store.Isolation].
type Isolation = store.Isolation

// The kinds of isolation.
const (
	IsolationDefault = store.IsolationDefault // of a deployment: the runner's isolation; of a runner: InProcess
	InProcess        = store.InProcess        // in a goroutine
	Subprocess       = store.Subprocess       // in a process of its own
)
