package provost

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/clock"
	"github.com/provost-go/provost/internal/engine"
	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/internal/param"
	"github.com/provost-go/provost/params"
	"github.com/provost-go/provost/store"
)

// Client is what an operator or another service does with a store: declare deployments, start and stop runs, look. It needs
// neither the flows nor a runner. What it reads shows *** in place of secret parameters: see [Client.RevealSecrets]. It is safe for concurrent use and holds nothing that must be closed.
type Client struct {
	store  Store
	direct bool // no call of the store blocks
	reveal bool // secrets

	// mu guards known: deployments as last read, by handle. A write that rests on a stale one is refused by the store and made
	// again.
	mu    sync.RWMutex
	known map[string]*knownDeployment
}

// knownDeployment is what RunDeployment needs of a deployment.
type knownDeployment struct {
	record *DeploymentRecord
	schema *param.Schema // nil: parameters are not validated
	mask   param.Mask
}

const (
	maxKnown     = 1000 // deployments that a client remembers
	minPoll      = 20 * time.Millisecond
	maxPoll      = time.Second
	maxTagged    = 100  // tags of a run, or of a deployment
	maxKeyLength = 1024 // bytes of an idempotency key
)

// NewClient makes a client of a store.
func NewClient(st Store) *Client {
	return &Client{store: st, direct: store.NeverBlocks(st), known: make(map[string]*knownDeployment)}
}

// call is the context of one store call: it ends with ctx, and has a deadline of its own unless no call can block.
func (c *Client) call(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.direct {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, engine.StoreTimeout)
}

// Deploy declares a deployment without serving it, and gives what the store has then. Its runs wait until a runner serves it.
func (c *Client) Deploy(ctx context.Context, d *Deployment) (*DeploymentRecord, error) {
	record, err := d.record()
	if err != nil {
		return nil, err
	}
	callCtx, cancel := c.call(ctx)
	defer cancel()
	_, err = c.store.RegisterDeployments(callCtx, store.RegisterDeploymentsParams{
		Now: instant.Of(clock.From(ctx).Now()), Deployments: []*DeploymentRecord{record},
	})
	if err != nil {
		return nil, fmt.Errorf("provost: deploy %s: %w", record.Handle(), err)
	}
	stored, err := c.store.GetDeployment(callCtx, record.ID)
	return c.shownRecord(stored, err)
}

// RunOptions refine a run made by hand. The zero value, and nil, make a run that is due now.
type RunOptions struct {
	// Parameters lie over those of the deployment, key by key at the top level. Flow.Params makes them from a typed value.
	Parameters Params

	// ScheduledTime is when the run is due. The zero time is now.
	ScheduledTime time.Time

	// Tags are added to the deployment's.
	Tags []string

	// Name is for people; "" chooses one.
	Name string

	// IdempotencyKey makes a second call with the same key return the first run, whatever its parameters, for as long as that run
	// is kept.
	IdempotencyKey string
}

// check refuses what no store should be asked to keep.
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

// RunDeployment makes a run of the deployment "flow/deployment" by hand. It works for paused deployments too. Parameters that do
// not fit the deployment's schema are refused with a *[ParamError]; a full queue of its concurrency limit with [ErrQueueFull].
func (c *Client) RunDeployment(ctx context.Context, handle string, options *RunOptions) (*Run, error) {
	if options == nil {
		options = &RunOptions{}
	}
	if err := options.check(); err != nil {
		return nil, fmt.Errorf("provost: run %s: %w", handle, err)
	}
	known := c.knows(handle)
	run, err := c.tryRun(ctx, handle, options)
	if _, refused := errors.AsType[*ParamError](err); refused && known && c.forget(handle) { // it may fit what is declared by now
		run, err = c.tryRun(ctx, handle, options)
	}
	for attempt := 0; attempt < 5 && err != nil && (errors.Is(err, ErrConflict) || errors.Is(err, ErrNotFound)) && c.forget(handle); attempt++ {
		run, err = c.tryRun(ctx, handle, options)
	}
	if err != nil {
		return nil, fmt.Errorf("provost: run %s: %w", handle, err)
	}
	return run, nil
}

func (c *Client) tryRun(ctx context.Context, handle string, options *RunOptions) (*Run, error) {
	d, err := c.deployment(ctx, handle)
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
	now := instant.Of(clock.From(ctx).Now())
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
	c.maskKnown(d.mask, []*Run{run})
	return run, nil
}

// deployment is what is known of a deployment, read if need be.
func (c *Client) deployment(ctx context.Context, handle string) (*knownDeployment, error) {
	c.mu.RLock()
	d := c.known[handle]
	c.mu.RUnlock()
	if d != nil {
		return d, nil
	}
	record, err := c.read(ctx, handle)
	if err != nil {
		return nil, err
	}
	d = &knownDeployment{record: record, mask: maskFor(record)}
	if !record.SkipParameterValidation && record.ParameterSchema != nil {
		if d.schema, err = param.Compile(record.ParameterSchema); err != nil {
			return nil, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) >= maxKnown {
		clear(c.known)
	}
	c.known[handle] = d
	return d, nil
}

func (c *Client) knows(handle string) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.known[handle] != nil
}

// forget drops what is known of a deployment, false if nothing was.
func (c *Client) forget(handle string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, was := c.known[handle]
	delete(c.known, handle)
	return was
}

func (c *Client) read(ctx context.Context, handle string) (*DeploymentRecord, error) {
	id, err := parseHandle(handle)
	if err != nil {
		return nil, err
	}
	callCtx, cancel := c.call(ctx)
	defer cancel()
	record, err := c.store.GetDeployment(callCtx, id)
	if errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("deployment %q: %w; serve it, or declare it with Deploy", handle, ErrNotFound)
	}
	return record, err
}

// parseHandle takes "flow/deployment".
func parseHandle(handle string) (uuid.UUID, error) {
	flow, name, ok := strings.Cut(handle, "/")
	if !ok || flow == "" || name == "" {
		return uuid.Nil, fmt.Errorf("handle %q: write it as flow/deployment", handle)
	}
	return store.DeploymentID(flow, name), nil
}

// Wait waits until a run is over and returns it, with a nil error whatever its state. It ends early with ctx.
func (c *Client) Wait(ctx context.Context, id uuid.UUID) (*Run, error) {
	for _, err := range c.watch(ctx, id) {
		if err != nil {
			return nil, fmt.Errorf("provost: wait for run %s: %w", id, err)
		}
		run, err := c.get(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("provost: wait for run %s: %w", id, err)
		}
		if run.State.Terminal() {
			return c.shownRun(ctx, run, nil)
		}
	}
	return nil, fmt.Errorf("provost: wait for run %s: %w", id, context.Cause(ctx))
}

// watch yields whenever there may be news of a run, at once for the first time, until ctx ends. A store without reliable hints is
// polled, ever more slowly.
func (c *Client) watch(ctx context.Context, id uuid.UUID) iter.Seq2[struct{}, error] {
	return func(yield func(struct{}, error) bool) {
		hint := make(chan struct{}, 1)
		if notifier, ok := store.As[store.Notifier](c.store); ok {
			defer notifier.Notify(store.Topic{Run: id}, hint)()
		}
		polls := !store.IsLocal(c.store)
		poll := minPoll
		timer := time.NewTimer(poll)
		defer timer.Stop()
		for {
			if !yield(struct{}{}, nil) {
				return
			}
			if polls {
				timer.Reset(poll)
				poll = min(maxPoll, poll*2)
			} else {
				timer.Stop()
			}
			select {
			case <-ctx.Done():
				yield(struct{}{}, context.Cause(ctx))
				return
			case <-hint:
			case <-timer.C:
			}
		}
	}
}

// CancelRun cancels a run. One that has not begun is Cancelled when this returns; a running one is Cancelling: its context ends
// with a cause, and it is Cancelled once its function returns an error. One
// that is Cancelled already is returned as it is; [ErrConflict] if it has ended in another way.
func (c *Client) CancelRun(ctx context.Context, id uuid.UUID) (*Run, error) {
	callCtx, cancel := c.call(ctx)
	defer cancel()
	run, err := c.store.CancelRun(callCtx, store.CancelRunParams{Now: instant.Of(clock.From(ctx).Now()), RunID: id, Message: "cancelled by a client"})
	return c.shownRun(ctx, run, err)
}

// RetryRun runs a failed, crashed or cancelled run again: same ID, next attempt, history kept. [ErrConflict] in any other state. It is
// one more attempt, as in Prefect: [Flow].Retries is no allowance anew, and where earlier attempts have used it up, a failure is final.
func (c *Client) RetryRun(ctx context.Context, id uuid.UUID) (*Run, error) {
	callCtx, cancel := c.call(ctx)
	defer cancel()
	run, err := c.store.RetryRun(callCtx, store.RetryRunParams{Now: instant.Of(clock.From(ctx).Now()), RunID: id, Message: "retried by a client"})
	return c.shownRun(ctx, run, err)
}

// GetRun reads a run. A due run that has not started says why in WaitReason.
func (c *Client) GetRun(ctx context.Context, id uuid.UUID) (*Run, error) {
	run, err := c.get(ctx, id)
	if err != nil {
		return nil, err
	}
	return c.shownRun(ctx, run, nil)
}

func (c *Client) get(ctx context.Context, id uuid.UUID) (*Run, error) {
	callCtx, cancel := c.call(ctx)
	defer cancel()
	return c.store.GetRun(callCtx, id)
}

// ListRuns lists runs, newest first unless the filter sorts otherwise. Those that are due and have not started say why in
// WaitReason; each of their deployments is read once for that.
func (c *Client) ListRuns(ctx context.Context, filter RunFilter) (Page[*Run], error) {
	callCtx, cancel := c.call(ctx)
	defer cancel()
	page, err := c.store.ListRuns(callCtx, filter)
	if err != nil {
		return Page[*Run]{}, err
	}
	if err := c.showRuns(ctx, page.Items); err != nil {
		return Page[*Run]{}, err
	}
	return page, nil
}

// CountRuns counts the runs that ListRuns would list on all its pages.
func (c *Client) CountRuns(ctx context.Context, filter RunFilter) (int, error) {
	callCtx, cancel := c.call(ctx)
	defer cancel()
	return c.store.CountRuns(callCtx, filter)
}

// DeleteRun removes a run that is over, and its log. Its instant is not run again.
func (c *Client) DeleteRun(ctx context.Context, id uuid.UUID) error {
	callCtx, cancel := c.call(ctx)
	defer cancel()
	return c.store.DeleteRun(callCtx, id)
}

// GetDeployment reads the deployment "flow/deployment".
func (c *Client) GetDeployment(ctx context.Context, handle string) (*DeploymentRecord, error) {
	record, err := c.read(ctx, handle)
	return c.shownRecord(record, err)
}

// ListDeployments lists deployments by handle.
func (c *Client) ListDeployments(ctx context.Context, filter DeploymentFilter) (Page[*DeploymentRecord], error) {
	callCtx, cancel := c.call(ctx)
	defer cancel()
	page, err := c.store.ListDeployments(callCtx, filter)
	if err != nil {
		return Page[*DeploymentRecord]{}, err
	}
	for _, record := range page.Items {
		c.maskRecord(record)
	}
	return page, nil
}

// DeleteDeployment removes a deployment and its unstarted runs. A process that serves it goes on without work for it; the next
// Serve declares it anew.
func (c *Client) DeleteDeployment(ctx context.Context, handle string) error {
	id, err := parseHandle(handle)
	if err != nil {
		return err
	}
	callCtx, cancel := c.call(ctx)
	defer cancel()
	if err := c.store.DeleteDeployment(callCtx, store.DeleteDeploymentParams{Now: instant.Of(clock.From(ctx).Now()), ID: id}); err != nil {
		return fmt.Errorf("provost: delete deployment %q: %w", handle, err)
	}
	return nil
}

// ListFlows lists flows by name.
func (c *Client) ListFlows(ctx context.Context, filter FlowFilter) (Page[*FlowRecord], error) {
	callCtx, cancel := c.call(ctx)
	defer cancel()
	return c.store.ListFlows(callCtx, filter)
}

// PauseDeployment stops every schedule of a deployment, whatever it declares. Its future scheduled runs are removed; what is due
// already, and runs made by hand, still run. The instants of the pause are skipped, not caught up.
func (c *Client) PauseDeployment(ctx context.Context, handle string) error {
	return c.SetPause(ctx, handle, "", true)
}

// ResumeDeployment ends a pause, be it an operator's, declared or from a shutdown.
func (c *Client) ResumeDeployment(ctx context.Context, handle string) error {
	return c.SetPause(ctx, handle, "", false)
}

// PauseSchedule stops one schedule, named by its key.
func (c *Client) PauseSchedule(ctx context.Context, handle, key string) error {
	return c.SetPause(ctx, handle, key, true)
}

// ResumeSchedule ends the pause of one schedule.
func (c *Client) ResumeSchedule(ctx context.Context, handle, key string) error {
	return c.SetPause(ctx, handle, key, false)
}

func (c *Client) SetPause(ctx context.Context, handle, key string, paused bool) error {
	id, err := parseHandle(handle)
	if err != nil {
		return err
	}
	callCtx, cancel := c.call(ctx)
	defer cancel()
	_, err = c.store.SetPause(callCtx, store.SetPauseParams{
		Now: instant.Of(clock.From(ctx).Now()), DeploymentID: id, Schedule: key, Operator: &paused,
	})
	if err != nil {
		return fmt.Errorf("provost: pause or resume %s: %w", handle, err)
	}
	return nil
}

// ListSkips lists the ranges of instants that became no run, newest first, of one deployment or, with "", of all.
func (c *Client) ListSkips(ctx context.Context, handle string, filter SkipFilter) (Page[Skip], error) {
	if handle != "" {
		id, err := parseHandle(handle)
		if err != nil {
			return Page[Skip]{}, err
		}
		filter.DeploymentID = id
	}
	callCtx, cancel := c.call(ctx)
	defer cancel()
	return c.store.ListSkips(callCtx, filter)
}

// Logs reads the stored log of a run, line by line. With follow it goes on until the run is over. If lines of the run are not
// kept, a last line counts them.
func (c *Client) Logs(ctx context.Context, id uuid.UUID, follow bool) iter.Seq2[LogRecord, error] {
	return func(yield func(LogRecord, error) bool) {
		var last int64
		var dropped int
		for _, err := range c.watch(ctx, id) {
			if err != nil {
				yield(LogRecord{}, err)
				return
			}
			run, err := c.get(ctx, id)
			if err != nil {
				yield(LogRecord{}, err)
				return
			}
			over := run.State.Terminal()
			for line, err := range c.logsAfter(ctx, id, last, &dropped) {
				if !yield(line, err) || err != nil {
					return
				}
				last = line.Seq
			}
			if over || !follow {
				if dropped > 0 {
					yield(LogRecord{
						RunID: id, Seq: last + 1, Time: instant.Of(clock.From(ctx).Now()), Level: slog.LevelWarn,
						Message: fmt.Sprintf("%d lines are not kept: the run logged more than is stored", dropped),
					}, nil)
				}
				return
			}
		}
	}
}

// logsAfter reads what a run has logged so far, after a line, and notes how many of its lines are not kept.
func (c *Client) logsAfter(ctx context.Context, id uuid.UUID, last int64, dropped *int) iter.Seq2[LogRecord, error] {
	return func(yield func(LogRecord, error) bool) {
		for {
			callCtx, cancel := c.call(ctx)
			page, err := c.store.ListLogs(callCtx, store.LogFilter{RunID: id, After: last, Limit: store.MaxPage})
			cancel()
			if err != nil {
				yield(LogRecord{}, err)
				return
			}
			*dropped = page.Dropped
			for _, line := range page.Lines {
				if !yield(line, nil) {
					return
				}
				last = line.Seq
			}
			if !page.More {
				return
			}
		}
	}
}
