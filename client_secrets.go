package provost

import "github.com/provost-go/provost/internal/param"

// RevealSecrets returns a client of the same store whose reads show the secrets in parameters. Any
// other client shows *** in their place: in runs, in deployments and in their schedules, whichever
// call returns them.
//
// The parameter schema that the deployment has now decides what is secret (writeOnly, or the format
// password), so that a process without the flow masks it too. What cannot be judged is masked as
// well:
//
//   - a parameter that does not fit that schema, because it was made for an earlier one;
//   - every parameter of a run whose deployment is deleted or has no schema that can be read.
//
// The parameters of a child run show *** to every client: no other attempt needs them, so its
// secrets are not stored.
func (c *Client) RevealSecrets() *Client {
	return &Client{store: c.store, direct: c.direct, reveal: true, cache: make(map[string]*cachedDeployment)}
}

// maskFor returns what masks the parameters of a deployment's runs: all of them if it is nil, or if
// its schema is missing or cannot be read.
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

// shownDeployment is a deployment whose runs are shown.
type shownDeployment struct {
	record *DeploymentRecord // nil if it is deleted
	mask   *param.Mask       // made for the first run that needs it
}

// masked returns the parameters of a run without their secrets.
func (d *shownDeployment) masked(parameters Params) Params {
	if d.mask == nil {
		d.mask = new(maskFor(d.record))
	}
	return d.mask.Hide(parameters)
}

// showDeployment finishes a call that returns a deployment.
func (c *Client) showDeployment(record *DeploymentRecord, err error) (*DeploymentRecord, error) {
	if err != nil {
		return nil, err
	}
	c.maskDeployment(record)
	return record, nil
}

// maskDeployment masks the secrets of a deployment that a store returned, in place.
func (c *Client) maskDeployment(record *DeploymentRecord) {
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

// maskRuns masks the secrets of runs of one deployment, in place.
func (c *Client) maskRuns(m param.Mask, runs []*Run) {
	if c.reveal {
		return
	}
	for _, run := range runs {
		run.Parameters = m.Hide(run.Parameters)
	}
}
