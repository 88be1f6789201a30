package provost

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"github.com/provost-go/provost/internal/engine"
	"github.com/provost-go/provost/internal/param"
	"github.com/provost-go/provost/params"
	"github.com/provost-go/provost/store"
)

const (
	maxNameLength     = 200 // bytes of a name or a tag
	defaultMaxWaiting = 1000
)

// record turns the declaration into the record that stores keep, and reports everything that is
// wrong with it.
func (d *Deployment) record() (*DeploymentRecord, error) {
	if d == nil {
		return nil, errors.New("deployment: is nil; give a *Deployment")
	}
	p := &problems{subject: "deployment " + d.Handle()}
	if nilFlow(d.Flow) {
		p.add("Flow", "is nil; make one with NewFlow, NewAction or NewJob")
		if err := checkName(d.Name); err != nil {
			p.add("Name", "%w", err)
		}
		return nil, p.join()
	}
	f := d.Flow.erase()
	checkFlow(p, f)
	r := &DeploymentRecord{
		Flow: f.Name, Name: d.Name, FlowID: store.FlowID(f.Name), ID: store.DeploymentID(f.Name, d.Name),
		Path: d.Path, SkipParameterValidation: d.SkipParameterValidation, Version: engine.FirstNonEmpty(d.Version, f.Version),
		Tags: slices.Clone(d.Tags), ConcurrencyLimit: d.ConcurrencyLimit, Overlap: d.Overlap, LimitGroup: d.LimitGroup,
		MaxWaiting: d.MaxWaiting, Priority: d.Priority, RunOnStart: d.RunOnStart, AtMostOnce: f.AtMostOnce,
		Isolation: d.Isolation, Env: maps.Clone(d.Env), WorkPool: d.WorkPool, WorkQueue: d.WorkQueue,
		Triggers: param.CloneRaw(d.Triggers), PullSteps: param.CloneRaw(d.PullSteps), Pause: store.Pause{Declared: d.Paused},
	}
	if r.Version == "" {
		r.Version = param.BuildVersion()
	}
	if err := checkName(d.Name); err != nil {
		p.add("Name", "%w", err)
	}
	d.declareEntrypoint(p, f, r)
	d.declareParameters(p, f, r)
	p.checkTags(d.Tags)
	d.declareSchedules(p, r)
	d.declareLimits(p, r)
	d.declareInfrastructure(p, r)
	checkRetention(p, d.Retention)
	if err := p.join(); err != nil {
		return nil, err
	}
	r.Digest = r.ComputeDigest()
	return r, nil
}

func checkFlow(p *problems, f *engine.Flow) {
	if err := checkName(f.Name); err != nil {
		p.add("Flow.Name", "%w", err)
	}
	if f.Function == nil {
		p.add("Flow", "has no function; make the flow with NewFlow, NewAction or NewJob")
	}
	if err := param.CheckResult(f.Result); err != nil {
		p.add("Flow", "result type %s: %w", f.Result, err)
	}
	switch {
	case f.Retries < 0:
		p.add("Flow.Retries", "is %d; give 0 or more", f.Retries)
	case f.Retries > 0 && f.AtMostOnce:
		p.add("Flow.Retries", "is %d with AtMostOnce, which never enters the function twice; remove one of them", f.Retries)
	}
	if f.RetryDelay < 0 {
		p.add("Flow.RetryDelay", "is %v; give 0 or more", f.RetryDelay)
	}
	if f.Timeout < 0 {
		p.add("Flow.Timeout", "is %v; give 0 (none) or more", f.Timeout)
	}
}

func (d *Deployment) declareEntrypoint(p *problems, f *engine.Flow, r *DeploymentRecord) {
	r.Entrypoint = d.Entrypoint
	if f.Function == nil {
		return
	}
	derived, closure := param.Entrypoint(f.Function)
	switch {
	case d.Entrypoint == "":
		r.Entrypoint = derived
	case !closure && d.Entrypoint != derived:
		p.add("Entrypoint", "%q is not the function of flow %q, which is %q; remove it", d.Entrypoint, f.Name, derived)
	}
	r.Description = engine.FirstNonEmpty(d.Description, f.Description)
	if r.Description == "" && f.Source != nil && !closure {
		r.Description = param.DocComment(f.Source, derived)
	}
}

func (d *Deployment) declareParameters(p *problems, f *engine.Flow, r *DeploymentRecord) {
	derived, err := param.SchemaWithDocs(f.Params, f.Source)
	if err != nil {
		p.add("Flow", "parameter type %s: %w", f.Params, err)
	}
	r.ParameterSchema = derived
	if d.ParameterSchema != nil {
		r.ParameterSchema = slices.Clone(d.ParameterSchema)
	}
	parameters, err := param.Normalize(d.Parameters)
	if err != nil {
		p.add("Parameters", "%w", maskFor(r).Schema.RedactedError(d.Parameters, err, true))
		return
	}
	r.Parameters = parameters
	if r.ParameterSchema == nil {
		return
	}
	schema, err := param.Compile(r.ParameterSchema)
	if err != nil {
		p.add("ParameterSchema", "%w", err)
		return
	}
	if d.ParameterSchema != nil && derived != nil {
		if err := schema.HidesAllOf(derived); err != nil {
			p.add("ParameterSchema", "%w", err)
		}
	}
	if err := schema.CheckSecrets(d.Parameters, parameters); err != nil {
		p.add("Parameters", "%w", err)
		return
	}
	if !d.SkipParameterValidation {
		if err := schema.ValidatePartial(parameters); err != nil {
			p.add("Parameters", "%w", err)
		}
	}
	r.Parameters = params.Merge(schema.Defaults(), parameters)
	for i, s := range d.Schedules {
		d.checkScheduleParameters(p, i, s, schema, r.Parameters)
	}
}

func (d *Deployment) checkScheduleParameters(p *problems, i int, s Schedule, schema *param.Schema, base Params) {
	own := s.Parameters()
	if len(own) == 0 {
		return
	}
	if err := schema.CheckSecrets(s.GivenParameters(), own); err != nil {
		p.add(indexed("Schedules", i), "parameters: %w", err)
		return
	}
	if d.SkipParameterValidation {
		return
	}
	if err := schema.ValidatePartial(params.Merge(base, own)); err != nil {
		p.add(indexed("Schedules", i), "parameters: %w", err)
	}
}

func (d *Deployment) declareSchedules(p *problems, r *DeploymentRecord) {
	keys := make(map[string]int, len(d.Schedules))
	for i, s := range d.Schedules {
		if err := s.Err(); err != nil {
			p.add(indexed("Schedules", i), "%w", err)
			continue
		}
		key := s.Key()
		if first, twice := keys[key]; twice {
			p.add(indexed("Schedules", i), "has the same key %q as Schedules[%d] (%s); give one of them a name of its own with Named", key, first, s)
			continue
		}
		keys[key] = i
		r.Schedules = append(r.Schedules, store.ScheduleRecord{Key: key, Schedule: s, Pause: store.Pause{Declared: s.IsPaused()}})
	}
}

func (d *Deployment) declareLimits(p *problems, r *DeploymentRecord) {
	if d.ConcurrencyLimit < 0 {
		p.add("ConcurrencyLimit", "is %d; give 0 (none) or more", d.ConcurrencyLimit)
	}
	if d.MaxWaiting < 0 {
		p.add("MaxWaiting", "is %d; give 0 (1,000) or more", d.MaxWaiting)
	}
	switch d.Overlap {
	case OverlapEnqueue:
	case OverlapCancelNew, OverlapCancelRunning:
		if r.ConcurrencyLimit == 0 {
			r.ConcurrencyLimit = 1
		}
	default:
		p.add("Overlap", "is %q; use OverlapEnqueue, OverlapCancelNew or OverlapCancelRunning", d.Overlap)
	}
	if d.LimitGroup != "" {
		if err := checkName(d.LimitGroup); err != nil {
			p.add("LimitGroup", "%w", err)
		}
		if r.ConcurrencyLimit == 0 {
			p.add("LimitGroup", "is %q without a size; set ConcurrencyLimit", d.LimitGroup)
		}
	}
	if r.ConcurrencyLimit > 0 && r.MaxWaiting == 0 {
		r.MaxWaiting = defaultMaxWaiting
	}
}

func (d *Deployment) declareInfrastructure(p *problems, r *DeploymentRecord) {
	switch d.Isolation {
	case IsolationDefault, InProcess, Subprocess:
	default:
		p.add("Isolation", "is %q; use IsolationDefault, InProcess or Subprocess", d.Isolation)
	}
	for i, trigger := range d.Triggers {
		if !json.Valid(trigger) {
			p.add(indexed("Triggers", i), "is not JSON; fix it")
		}
	}
	for i, step := range d.PullSteps {
		if !json.Valid(step) {
			p.add(indexed("PullSteps", i), "is not JSON; fix it")
		}
	}
	if d.WorkQueue != "" && d.WorkPool == "" {
		p.add("WorkQueue", "is %q without a work pool; set WorkPool", d.WorkQueue)
	}
	if d.Path != "" && d.WorkPool == "" && d.Isolation == InProcess {
		p.add("Path", "is %q, but a goroutine has no working directory of its own; use Subprocess or a work pool, or remove it", d.Path)
	}
	variables, err := param.Normalize(d.JobVariables)
	if err != nil {
		p.add("JobVariables", "%w", err)
	}
	r.JobVariables = variables
}
