package provost

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/internal/param"
	"github.com/provost-go/provost/params"
	"github.com/provost-go/provost/store"
)

const (
	maxCached    = 1000 // deployments that a client remembers
	maxRefused   = 5    // how often a write is tried again that rested on a stale deployment
	maxTagged    = 100  // tags of a run, or of a deployment
	maxKeyLength = 1024 // bytes of an idempotency key
)

// RunOptions refines a run made by hand. The zero value, and nil, make a run that is due now.
type RunOptions struct {
	// Parameters overrides the deployment's parameters, key by key at the top level. Flow.Params
	// makes them from a typed value.
	Parameters Params

	// ScheduledTime is when the run is due. The zero time is now.
	ScheduledTime time.Time

	// Tags are added to the deployment's: at most 100, of at most 200 bytes each.
	Tags []string

	// Name is for people, at most 200 bytes. If it is empty, the store makes one from the run's ID.
	Name string

	// IdempotencyKey makes a second call with the same key return the first run, whatever its
	// parameters, for as long as that run is kept. It has at most 1024 bytes.
	IdempotencyKey string
}

// check reports what no store should be asked to keep.
func (o *RunOptions) check() error {
	p := &problems{subject: "options"}
	if err := checkText(o.Name, maxNameLength); err != nil {
		p.add("Name", "%w", err)
	}
	if err := checkText(o.IdempotencyKey, maxKeyLength); err != nil {
		p.add("IdempotencyKey", "%w", err)
	}
	p.checkTags(o.Tags)
	return p.join()
}

// RunDeployment makes a run of a deployment by hand and returns it without waiting for it. It works
// for paused deployments too. The error is a *[ParamError] if the parameters do not fit the
// deployment's schema, [ErrQueueFull] if the queue of its concurrency limit is full, and
// [ErrNotFound] if the store does not have the deployment.
//
// [Start] is its typed form.
func (c *Client) RunDeployment(ctx context.Context, handle string, options *RunOptions) (*Run, error) {
	if options == nil {
		options = &RunOptions{}
	}
	if err := options.check(); err != nil {
		return nil, fmt.Errorf("provost: run %s: %w", handle, err)
	}
	wasCached := c.cached(handle) != nil
	run, err := c.createRun(ctx, handle, options)
	if _, refused := errors.AsType[*ParamError](err); refused && wasCached && c.forget(handle) {
		run, err = c.createRun(ctx, handle, options) // the deployment may be declared anew by now, and these fit
	}
	stale := func() bool { return errors.Is(err, ErrConflict) || errors.Is(err, ErrNotFound) }
	for attempt := 0; attempt < maxRefused && stale() && c.forget(handle); attempt++ {
		run, err = c.createRun(ctx, handle, options)
	}
	if err != nil {
		return nil, fmt.Errorf("provost: run %s: %w", handle, err)
	}
	return run, nil
}

// createRun makes a run of a deployment as it was last read.
func (c *Client) createRun(ctx context.Context, handle string, options *RunOptions) (*Run, error) {
	d, err := c.readCached(ctx, handle)
	if err != nil {
		return nil, err
	}
	own, err := param.Normalize(options.Parameters)
	if err != nil {
		return nil, d.mask.Schema.RedactedError(options.Parameters, err, true)
	}
	if d.mask.Schema != nil {
		if err := d.mask.Schema.CheckSecrets(options.Parameters, own); err != nil {
			return nil, err
		}
	}
	parameters := params.Merge(d.record.Parameters, own)
	if d.schema != nil {
		if err := d.schema.Validate(parameters); err != nil {
			return nil, err
		}
	}
	now := clientNow(ctx)
	due := now
	if !options.ScheduledTime.IsZero() {
		due = instant.Of(options.ScheduledTime)
	}
	callCtx, cancel := c.call(ctx)
	defer cancel()
	run, err := c.store.CreateRun(callCtx, store.CreateRunParams{
		Now: now, ID: store.NewID(now), Name: options.Name, DeploymentID: d.record.ID, Generation: d.record.Generation,
		Parameters: parameters, Tags: options.Tags, ScheduledTime: due, DueTime: due, IdempotencyKey: options.IdempotencyKey,
	})
	if err != nil {
		return nil, err
	}
	c.maskRuns(d.mask, []*Run{run})
	return run, nil
}

// cachedDeployment is what RunDeployment needs of a deployment.
type cachedDeployment struct {
	record *DeploymentRecord
	schema *param.Schema // nil: parameters are not validated
	mask   param.Mask
}

// cached returns what the client remembers of a deployment, nil if nothing.
func (c *Client) cached(handle string) *cachedDeployment {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.cache[handle]
}

// readCached returns a deployment from the cache, and reads it if it is not there.
func (c *Client) readCached(ctx context.Context, handle string) (*cachedDeployment, error) {
	if d := c.cached(handle); d != nil {
		return d, nil
	}
	record, err := c.readHandle(ctx, handle)
	if err != nil {
		return nil, err
	}
	d := &cachedDeployment{record: record, mask: maskFor(record)}
	if !record.SkipParameterValidation && record.ParameterSchema != nil {
		if d.schema, err = param.Compile(record.ParameterSchema); err != nil {
			return nil, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.cache) >= maxCached {
		clear(c.cache)
	}
	c.cache[handle] = d
	return d, nil
}

// forget removes a deployment from the cache and reports whether it was there.
func (c *Client) forget(handle string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, was := c.cache[handle]
	delete(c.cache, handle)
	return was
}

// Start makes a run of one of the flow's deployments with typed parameters and returns it without
// waiting for it; [Flow.Result] reads what the run returned once [Client.Wait] has returned it.
//
// The deployment is given by its name, such as "nightly", or by its handle, such as
// "report/nightly"; a handle that names another flow is refused. The deployment's runner may be
// another process: of the flow, Start uses the name and the types alone.
//
// The parameters are those of [Flow.Params]: zero-valued top-level fields are left out, so that the
// deployment's parameters show through; a pointer field sends an explicit zero. Errors are those of
// [Client.RunDeployment], which also takes a time, tags, a name and an idempotency key.
func Start[P, R any](ctx context.Context, c *Client, flow *Flow[P, R], deployment string, params P) (*Run, error) {
	handle, err := deploymentOf(flow, deployment)
	if err != nil {
		return nil, fmt.Errorf("provost: start %q: %w", deployment, err)
	}
	return c.RunDeployment(ctx, handle, &RunOptions{Parameters: flow.Params(params)})
}

// RunAndWait starts a run as [Start] does, waits until it is finished and returns its result. The
// error is a *[RunError] if the run does not complete.
//
// If ctx ends first, the error wraps its cause and names the run, which goes on: call
// [Client.CancelRun] to stop it.
func RunAndWait[P, R any](ctx context.Context, c *Client, flow *Flow[P, R], deployment string, params P) (R, error) {
	var none R
	run, err := Start(ctx, c, flow, deployment, params)
	if err != nil {
		return none, err
	}
	finished, err := c.Wait(ctx, run.ID)
	switch {
	case err != nil && ctx.Err() != nil:
		return none, fmt.Errorf("%w; the run goes on, cancel it with CancelRun", err)
	case err != nil:
		return none, err
	}
	return flow.Result(finished)
}

// deploymentOf returns the handle of a flow's deployment, given by its name or by its handle.
func deploymentOf(flow AnyFlow, deployment string) (handle string, err error) {
	if nilFlow(flow) {
		return "", errors.New("the flow is nil; make it with NewFlow, NewAction or NewJob")
	}
	name, _, whole := strings.Cut(deployment, "/")
	switch {
	case deployment == "":
		return "", errors.New("the name is empty; give the name of a deployment of the flow")
	case !whole:
		return store.Handle(flow.flowName(), deployment), nil
	case name != flow.flowName():
		return "", fmt.Errorf("it is a deployment of flow %q, not of %q; give the name of a deployment of %[2]q, or the other flow", name, flow.flowName())
	}
	return deployment, nil
}
