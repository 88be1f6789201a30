package provost

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/google/uuid"
)

// RevealSecrets is a client of the same store whose reads show the secrets in parameters. Any other client shows *** in their
// place: in runs, in deployments and in their schedules, whatever call returns them. What is secret, the parameter schema that the
// deployment has now says (writeOnly, or the format password), so that it holds also in a process that has no flow. What cannot be judged is masked
// too: a parameter that does not fit that schema, because it was made for an earlier one, and every parameter of a run whose
// deployment is deleted or has no schema that can be read.
//
// The parameters of a child run show *** to every client: they are not kept for another attempt, so its secrets are not stored.
func (c *Client) RevealSecrets() *Client {
	return &Client{store: c.store, clock: c.clock, direct: c.direct, reveal: true, known: make(map[string]*knownDeployment)}
}

// paramMask hides what is secret in the parameters of one deployment's runs.
type paramMask struct {
	schema *validator // nil: nothing is known, and everything is hidden
}

func maskFor(record *DeploymentRecord) paramMask {
	if record == nil || record.ParameterSchema == nil {
		return paramMask{}
	}
	schema, err := compileSchema(record.ParameterSchema)
	if err != nil {
		return paramMask{}
	}
	return paramMask{schema}
}

// hide is p with the mask where it must not be read; p itself stays as it is.
func (m paramMask) hide(p Params) Params {
	if len(p) == 0 {
		return p
	}
	if plain, err := normalizeParams(p); err == nil && m.schema != nil {
		shown, _ := m.schema.schema.Conceal(map[string]any(plain), func(string, any) any { return mask }).(map[string]any)
		return shown
	}
	hidden := make(Params, len(p))
	for key := range p {
		hidden[key] = mask
	}
	return hidden
}

// secretValues are the secrets in parameters.
func (v *validator) secretValues(p Params) []any {
	if v == nil {
		return nil
	}
	var values []any
	v.schema.Secrets(map[string]any(p), func(_ string, item any) any {
		values = append(values, item)
		return nil
	})
	return values
}

// wrapSecrets is p with each secret in a Secret[any]: code can reveal it, and whatever prints it cannot.
func (v *validator) wrapSecrets(p Params) Params {
	if v == nil || len(p) == 0 {
		return p
	}
	wrapped, _ := v.schema.Secrets(map[string]any(p), func(_ string, item any) any { return NewSecret(item) }).(map[string]any)
	return wrapped
}

// maskRecord hides the secrets of a deployment that a store returned, in place.
func (c *Client) maskRecord(record *DeploymentRecord) {
	if c.reveal || record == nil {
		return
	}
	m := maskFor(record)
	record.Parameters = m.hide(record.Parameters)
	for i := range record.Schedules {
		s := &record.Schedules[i]
		if own := s.Schedule.parameters(); len(own) > 0 {
			s.Schedule = s.Schedule.WithParameters(m.hide(own))
		}
	}
}

// shownRecord ends a call that reads a deployment.
func (c *Client) shownRecord(record *DeploymentRecord, err error) (*DeploymentRecord, error) {
	if err != nil {
		return nil, err
	}
	c.maskRecord(record)
	return record, nil
}

// shownRun ends a call that gives a run.
func (c *Client) shownRun(ctx context.Context, run *Run, err error) (*Run, error) {
	if err != nil || run == nil {
		return nil, err
	}
	if err := c.showRuns(ctx, []*Run{run}); err != nil {
		return nil, err
	}
	return run, nil
}

// maskKnown hides the secrets of runs of one deployment that was just read.
func (c *Client) maskKnown(m paramMask, runs []*Run) {
	if c.reveal {
		return
	}
	for _, run := range runs {
		run.Parameters = m.hide(run.Parameters)
	}
}

// showRuns makes runs that a store returned ready for the caller, in place: it says what they wait for, and hides their secrets.
// Each deployment is read once, and anew: one that is declared anew may have other secrets.
func (c *Client) showRuns(ctx context.Context, runs []*Run) error {
	type known struct {
		record *DeploymentRecord // nil if it is deleted
		mask   *paramMask        // made by the first run that needs it
	}
	deployments := map[uuid.UUID]*known{}
	now := c.now()
	for _, run := range runs {
		hides := !c.reveal && len(run.Parameters) > 0 && run.ParentID == uuid.Nil // those of a child run are stored without secrets
		if !hides && !overdue(run, now) {
			continue
		}
		d := deployments[run.DeploymentID]
		if d == nil {
			record, err := c.record(ctx, run.DeploymentID)
			if err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
			d = &known{record: record}
			deployments[run.DeploymentID] = d
		}
		run.WaitReason = waitReason(run, d.record, now)
		if !hides {
			continue
		}
		if d.mask == nil {
			d.mask = new(maskFor(d.record))
		}
		run.Parameters = d.mask.hide(run.Parameters)
	}
	return nil
}

func (c *Client) record(ctx context.Context, id uuid.UUID) (*DeploymentRecord, error) {
	callCtx, cancel := c.call(ctx)
	defer cancel()
	record, err := c.store.GetDeployment(callCtx, id)
	if err != nil {
		return nil, err
	}
	return record, nil
}

// checkSecrets refuses parameters that would lay a secret open or put the mask in its place. given is what the user wrote, plain
// the same normalised.
func (v *validator) checkSecrets(given, plain Params) error {
	if err := v.refuseBare(given, plain); err != nil {
		return err
	}
	return v.refuseMask(plain)
}

// covers refuses a schema given by the user that shows what is secret in the flow's own type.
func (v *validator) covers(derived json.RawMessage) error {
	own, err := compileSchema(derived)
	if err != nil {
		return err
	}
	if path := v.schema.Uncovered(own.schema); path != "" {
		return &ParamError{Path: path, Reason: `is secret in the flow's type and not in this schema, so it would be shown; add "writeOnly": true`}
	}
	return nil
}
