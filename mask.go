package provost

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/clock"
	"github.com/provost-go/provost/internal/param"
)

// RevealSecrets is a client of the same store whose reads show the secrets in parameters. Any other client shows *** in their
// place: in runs, in deployments and in their schedules, whatever call returns them. What is secret, the parameter schema that the
// deployment has now says (writeOnly, or the format password), so that it holds also in a process that has no flow. What cannot be judged is masked
// too: a parameter that does not fit that schema, because it was made for an earlier one, and every parameter of a run whose
// deployment is deleted or has no schema that can be read.
//
// The parameters of a child run show *** to every client: they are not kept for another attempt, so its secrets are not stored.
func (c *Client) RevealSecrets() *Client {
	return &Client{store: c.store, direct: c.direct, reveal: true, known: make(map[string]*knownDeployment)}
}

func maskFor(record *DeploymentRecord) param.Mask {
	if record == nil || record.ParameterSchema == nil {
		return param.Mask{}
	}
	schema, err := param.Compile(record.ParameterSchema)
	if err != nil {
		return param.Mask{}
	}
	return param.Mask{Schema: schema}
}

// maskRecord hides the secrets of a deployment that a store returned, in place.
func (c *Client) maskRecord(record *DeploymentRecord) {
	if c.reveal || record == nil {
		return
	}
	m := maskFor(record)
	record.Parameters = m.Hide(record.Parameters)
	for i := range record.Schedules {
		s := &record.Schedules[i]
		if own := s.Schedule.Parameters(); len(own) > 0 {
			s.Schedule = s.Schedule.WithParameters(m.Hide(own))
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
func (c *Client) maskKnown(m param.Mask, runs []*Run) {
	if c.reveal {
		return
	}
	for _, run := range runs {
		run.Parameters = m.Hide(run.Parameters)
	}
}

// showRuns makes runs that a store returned ready for the caller, in place: it says what they wait for, and hides their secrets.
// Each deployment is read once, and anew: one that is declared anew may have other secrets.
func (c *Client) showRuns(ctx context.Context, runs []*Run) error {
	type known struct {
		record *DeploymentRecord // nil if it is deleted
		mask   *param.Mask       // made by the first run that needs it
	}
	deployments := map[uuid.UUID]*known{}
	now := clock.From(ctx).Now()
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
		run.Parameters = d.mask.Hide(run.Parameters)
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
