package provost

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/provost-go/provost/store"
)

// Deployment is a flow plus when, with what parameters, where and how it runs. It is declared in Go and never is JSON itself;
// [DeploymentRecord] is what stores and clients see. Only Flow and Name are required.
type Deployment struct {
	// Flow is what runs: the *Flow that NewFlow, NewAction or NewJob made.
	Flow AnyFlow

	// Name is unique among the deployments of the flow. The handle "flow/deployment" is what people and clients use. It has
	// at most 200 bytes and none of / % & < > or control characters.
	Name string

	// Entrypoint is the import path and name of the flow's function. It is derived; a value given here must equal it. For a
	// closure any value is stored and none is checked.
	Entrypoint string

	// Path is the working directory of a run. It needs Isolation Subprocess or a work pool. A relative one begins at the runner's.
	Path string

	// Parameters are the defaults of every run. They lie over the defaults of the schema and under those of a schedule and of
	// a single run, key by key at the top level. Go values are welcome: a time.Duration, a struct.
	Parameters Params

	// ParameterSchema is a JSON Schema (draft-07) for the parameters. Nil derives it from the flow's parameter type.
	ParameterSchema json.RawMessage

	// SkipParameterValidation accepts parameters that do not fit the schema. What does not decode still fails the run.
	SkipParameterValidation bool

	// Schedules say when runs happen by themselves. Two with the same timing need names: see [Schedule.Named].
	Schedules []Schedule

	// Paused declares that no schedule fires. An operator can override it; the override lapses when this value changes.
	Paused bool

	// Triggers are rules that start runs on events.
	Triggers []json.RawMessage

	// Version of the deployment. "" takes the flow's, else the revision of the build, else a hash of the executable.
	Version string

	// Description in Markdown. "" takes the flow's, else the doc comment of its function, found in [Flow.Source].
	Description string

	// Tags are inherited by every run.
	Tags []string

	// ConcurrencyLimit is how many runs may be under way at once. 0 is no limit.
	ConcurrencyLimit int

	// Overlap is what happens to a run that finds the limit full. The zero value lets it wait. Another value with
	// ConcurrencyLimit 0 means a limit of 1. Retries, runs of a backfill and those that catch up on what was missed always wait.
	Overlap Overlap

	// LimitGroup names a limit that several deployments share. All of them declare the same ConcurrencyLimit.
	LimitGroup string

	// MaxWaiting is how many runs may wait for the limit; 0 is 1,000.
	MaxWaiting int

	// Priority lets runs that are due start before due runs of lower priority. Any int; 0 is the middle. A concurrency limit
	// takes no notice of it: what waits for a slot gets it in the order in which it came.
	Priority int

	// RunOnStart makes a run whenever the deployment comes to be served: at the start of Serve, unless another live runner
	// serves it already. Each start makes one, also if the store fails meanwhile.
	RunOnStart bool

	// Isolation overrides the runner's.
	Isolation Isolation

	// Retention is how long this deployment's runs are kept that are over. The zero value takes the runner's. It is no part of what
	// the store knows: each runner does as its program says.
	Retention Retention

	// Env is set in the environment of a subprocess just before the flow begins. It needs Isolation Subprocess or a work pool.
	Env map[string]string

	// WorkPool, WorkQueue, JobVariables and PullSteps are for workers, which start runs on other infrastructure. Serve
	// refuses a deployment that names a work pool.
	WorkPool     string
	WorkQueue    string
	JobVariables Params
	PullSteps    []json.RawMessage
}

const (
	maxNameLength     = 200
	defaultMaxWaiting = 1000
)

// Handle is "flow/deployment", as far as both are known.
func (d *Deployment) Handle() string {
	if nilFlow(d.Flow) {
		return store.Handle("", d.Name)
	}
	return store.Handle(d.Flow.flowName(), d.Name)
}

// Validate reports everything that is wrong with the deployment, joined: each problem with its field, its value and what to
// do.
func (d *Deployment) Validate() error {
	_, err := d.record()
	return err
}

// problems collects what is wrong with one deployment.
type problems struct {
	subject string
	errs    []error
}

func (p *problems) add(field, format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf("%s: %s: "+format, append([]any{p.subject, field}, args...)...))
}

func (p *problems) join() error { return errors.Join(p.errs...) }

// checkName is the rule for names of flows and deployments: Prefect's, with a bound.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("is empty; give it a name")
	case len(name) > maxNameLength:
		return fmt.Errorf("has %d bytes; shorten it to at most %d", len(name), maxNameLength)
	case strings.TrimSpace(name) != name:
		return fmt.Errorf("%q begins or ends with a space; remove it", name)
	}
	for _, r := range name {
		if strings.ContainsRune("/%&<>", r) || unicode.IsControl(r) || r == unicode.ReplacementChar {
			return fmt.Errorf("%q contains %q; use letters, digits, - and _ instead", name, r)
		}
	}
	return nil
}

// checkText is the rule for short texts that stores keep and index: what is left empty is not set.
func checkText(text string, most int) error {
	switch {
	case len(text) > most:
		return fmt.Errorf("has %d bytes; shorten it to at most %d", len(text), most)
	case !utf8.ValidString(text):
		return fmt.Errorf("%q is not valid UTF-8; encode it, as in hexadecimal", text)
	case strings.ContainsFunc(text, unicode.IsControl):
		return fmt.Errorf("%q contains a control character; remove it", text)
	}
	return nil
}

// checkTags refuses tags that are too many or too long.
func (p *problems) checkTags(tags []string) {
	if len(tags) > maxTagged {
		p.add("Tags", "%d tags; give at most %d", len(tags), maxTagged)
	}
	for i, tag := range tags {
		if err := checkText(tag, maxNameLength); err != nil {
			p.add(indexed("Tags", i), "%w", err)
		}
	}
}

// indexed names an element of a field.
func indexed(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }

// checkRetention refuses what means nothing.
func checkRetention(p *problems, r Retention) {
	if r.Age < 0 {
		p.add("Retention.Age", "is %v; give 0 (no bound) or more", r.Age)
	}
	if r.Runs < 0 {
		p.add("Retention.Runs", "is %d; give 0 (no bound) or more", r.Runs)
	}
}

// Overlap decides what happens to a run that finds its deployment's concurrency limit full; see [store.Overlap].
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
