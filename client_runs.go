package provost

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/clock"
	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/store"
)

const (
	minPoll    = 20 * time.Millisecond // between two reads of a run that is waited for, at first
	maxPoll    = time.Second           // and in the end
	maxMessage = 1000                  // bytes of CancelOptions.Message and RetryOptions.Message
	lateAfter  = 5 * time.Second       // after its due time a run is late
	maxPruned  = 200                   // runs in one step, so that no other call waits long
)

// Wait waits until a run is finished and returns it. The error is nil whatever state the run ends
// in; [Flow.Result] judges that. It is [ErrNotFound] if the run does not exist or is deleted
// meanwhile, and wraps the cause of ctx if ctx ends first.
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
			return c.showRun(ctx, run, nil)
		}
	}
	return nil, fmt.Errorf("provost: wait for run %s: %w", id, context.Cause(ctx))
}

// watch yields at once, and then whenever the run or its log may have changed, until ctx ends,
// whose cause it yields last. A store without reliable notifications is polled, at growing
// intervals.
func (c *Client) watch(ctx context.Context, id uuid.UUID) iter.Seq2[struct{}, error] {
	return func(yield func(struct{}, error) bool) {
		changed := make(chan struct{}, 1)
		if notifier, ok := store.As[store.Notifier](c.store); ok {
			defer notifier.Notify(store.Topic{Run: id}, changed)()
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
			case <-changed:
			case <-timer.C:
			}
		}
	}
}

// CancelOptions refines [Client.CancelRun]. Nil is the zero value.
type CancelOptions struct {
	// Message becomes the message of the state that the call sets: one line of UTF-8 text without
	// control characters, at most 1000 bytes, which everyone who reads the run sees. "" is
	// "cancelled by a client".
	Message string
}

// CancelRun cancels a run. One that has not begun is Cancelled when CancelRun returns. A running
// one is Cancelling: its context ends with a cause, and it is Cancelled once its function returns
// an error. One that is Cancelled or Cancelling already is returned as it is, with its first
// message. The error is [ErrConflict] if the run has ended in another way, and [ErrNotFound] if it
// does not exist.
func (c *Client) CancelRun(ctx context.Context, id uuid.UUID, options *CancelOptions) (*Run, error) {
	if options == nil {
		options = &CancelOptions{}
	}
	message, err := clientMessage(options.Message, "cancelled by a client")
	if err != nil {
		return nil, fmt.Errorf("provost: cancel run %s: %w", id, err)
	}
	callCtx, cancel := c.call(ctx)
	defer cancel()
	run, err := c.store.CancelRun(callCtx, store.CancelRunParams{Now: clientNow(ctx), RunID: id, Message: message})
	return c.showRun(ctx, run, err)
}

// RetryOptions refines [Client.RetryRun]. Nil is the zero value.
type RetryOptions struct {
	// Message becomes the message of the state that the call sets: one line of UTF-8 text without
	// control characters, at most 1000 bytes, which everyone who reads the run sees. "" is "retried
	// by a client".
	Message string
}

// RetryRun runs a failed, crashed or cancelled run again: same ID, next attempt, history kept. It
// grants one more attempt, as in Prefect: [Flow].Retries does not start again, and if earlier
// attempts have used it up, a failure is final. The error is [ErrConflict] if the run is in another
// state, is a child run, or its deployment was deleted since, and [ErrNotFound] if it does not
// exist.
func (c *Client) RetryRun(ctx context.Context, id uuid.UUID, options *RetryOptions) (*Run, error) {
	if options == nil {
		options = &RetryOptions{}
	}
	message, err := clientMessage(options.Message, "retried by a client")
	if err != nil {
		return nil, fmt.Errorf("provost: retry run %s: %w", id, err)
	}
	callCtx, cancel := c.call(ctx)
	defer cancel()
	run, err := c.store.RetryRun(callCtx, store.RetryRunParams{Now: clientNow(ctx), RunID: id, Message: message})
	return c.showRun(ctx, run, err)
}

// clientMessage returns the message that options give, or the default if it is empty.
func clientMessage(given, byDefault string) (string, error) {
	if given == "" {
		return byDefault, nil
	}
	p := &problems{subject: "options"}
	if err := checkText(given, maxMessage); err != nil {
		p.add("Message", "%w", err)
	}
	return given, p.join()
}

// GetRun reads a run. A due run that has not started has the reason in WaitReason. The error is
// [ErrNotFound] if the run does not exist.
func (c *Client) GetRun(ctx context.Context, id uuid.UUID) (*Run, error) {
	run, err := c.get(ctx, id)
	return c.showRun(ctx, run, err)
}

func (c *Client) get(ctx context.Context, id uuid.UUID) (*Run, error) {
	callCtx, cancel := c.call(ctx)
	defer cancel()
	return c.store.GetRun(callCtx, id)
}

// ListRuns returns one page of the runs that the filter selects, newest first unless the filter
// sorts otherwise. Due runs that have not started have the reason in WaitReason; each of their
// deployments is read once for that.
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

// AllRuns iterates over the runs that the filter selects, in its order, from filter.Cursor to the
// last page. It reads pages of filter.Limit runs as they are needed, as [Client.ListRuns] does. The
// first error ends the iteration.
//
// The pages are read one after the other while runs change. In the orders [NewestFirst] and
// [OldestFirst] no run comes twice, and none is missed that is selected all the while; in the
// others that holds for runs whose DueTime or EndTime does not change meanwhile.
func (c *Client) AllRuns(ctx context.Context, filter RunFilter) iter.Seq2[*Run, error] {
	return store.Pages(ctx, func(ctx context.Context, cursor string) (Page[*Run], error) {
		f := filter
		if cursor != "" {
			f.Cursor = cursor
		}
		return c.ListRuns(ctx, f)
	})
}

// CountRuns counts the runs that ListRuns would list on all its pages.
func (c *Client) CountRuns(ctx context.Context, filter RunFilter) (int, error) {
	callCtx, cancel := c.call(ctx)
	defer cancel()
	return c.store.CountRuns(callCtx, filter)
}

// DeleteRun deletes a finished run and its log. Its instant is not run again. The error is
// [ErrConflict] if the run is not finished, and [ErrNotFound] if it does not exist.
func (c *Client) DeleteRun(ctx context.Context, id uuid.UUID) error {
	callCtx, cancel := c.call(ctx)
	defer cancel()
	return c.store.DeleteRun(callCtx, id)
}

// PruneRuns deletes the finished runs of a deployment, or with "" of all deployments, that are
// beyond a retention, the oldest first, and returns how many it deleted:
//
//   - With Age, runs that ended longer ago. An Age of a microsecond deletes all finished runs.
//   - With Runs, the runs of each deployment beyond that number, which keeps those that ended last.
//
// A child run is deleted with its parent and not counted. Instants of deleted runs do not run
// again. With Age, older skips are deleted too, some of them perhaps by a later call. PruneRuns
// also deletes runs that a deleted deployment left, which no runner does.
//
// The zero Retention is refused. PruneRuns deletes at most 200 runs in one step and lets others use
// the store in between. If a step fails, it returns the error and how many runs it deleted before.
func (c *Client) PruneRuns(ctx context.Context, handle string, retention Retention) (int, error) {
	p, err := c.pruning(ctx, handle, retention)
	if err != nil {
		return 0, fmt.Errorf("provost: prune runs: %w", err)
	}
	// A step may come short because another process prunes the same runs, and runs that end
	// meanwhile may keep steps from ever being empty. So two short steps in a row end the loop.
	for total, short := 0, 0; ; {
		began := time.Now()
		callCtx, cancel := c.call(ctx)
		n, err := c.store.PruneRuns(callCtx, p)
		cancel()
		total += n
		if short++; n == p.Limit {
			short = 0
		}
		switch {
		case err != nil:
			return total, fmt.Errorf("provost: prune runs: %w", err)
		case n == 0 || short == 2:
			return total, nil
		}
		select {
		case <-ctx.Done():
			return total, fmt.Errorf("provost: prune runs: %w", context.Cause(ctx))
		case <-time.After(time.Since(began)):
		}
	}
}

// pruning returns what a step of PruneRuns asks of the store.
func (c *Client) pruning(ctx context.Context, handle string, retention Retention) (p store.PruneRunsParams, err error) {
	refused := &problems{subject: cmp.Or(handle, "all deployments")}
	if checkRetention(refused, retention); retention == (Retention{}) {
		refused.add("Retention", "is zero and bounds nothing; set Age, Runs or both")
	}
	if err := refused.join(); err != nil {
		return p, err
	}
	p = store.PruneRunsParams{Keep: retention.Runs, Limit: maxPruned}
	if retention.Age > 0 {
		p.Before = instant.Of(clientNow(ctx).Add(-retention.Age))
	}
	if handle == "" {
		return p, nil
	}
	id, err := store.ParseHandle(handle)
	if err != nil {
		return p, err
	}
	p.Deployments = []uuid.UUID{id}
	return p, c.checkHasRuns(ctx, handle, id)
}

// checkHasRuns returns an error that wraps ErrNotFound if the store has neither the deployment nor
// a run that it left.
func (c *Client) checkHasRuns(ctx context.Context, handle string, id uuid.UUID) error {
	_, err := c.readHandle(ctx, handle)
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	callCtx, cancel := c.call(ctx)
	defer cancel()
	page, listErr := c.store.ListRuns(callCtx, RunFilter{DeploymentID: id, Limit: 1})
	switch {
	case listErr != nil:
		return listErr
	case len(page.Items) == 0:
		return err
	}
	return nil
}

// showRun finishes a call that returns a run.
func (c *Client) showRun(ctx context.Context, run *Run, err error) (*Run, error) {
	if err != nil || run == nil {
		return nil, err
	}
	if err := c.showRuns(ctx, []*Run{run}); err != nil {
		return nil, err
	}
	return run, nil
}

// showRuns prepares runs that a store returned for the caller, in place: it fills in WaitReason and
// masks secrets. It reads each deployment once in every call: one that is declared again may have
// other secrets.
func (c *Client) showRuns(ctx context.Context, runs []*Run) error {
	deployments := map[uuid.UUID]*shownDeployment{}
	now := clock.From(ctx).Now()
	for _, run := range runs {
		masks := !c.reveal && len(run.Parameters) > 0 && run.ParentID == uuid.Nil // a child run is stored without secrets
		if !masks && !overdue(run, now) {
			continue
		}
		d := deployments[run.DeploymentID]
		if d == nil {
			record, err := c.readID(ctx, run.DeploymentID)
			if err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
			d = &shownDeployment{record: record}
			deployments[run.DeploymentID] = d
		}
		run.WaitReason = waitReason(run, d.record, now)
		if masks {
			run.Parameters = d.masked(run.Parameters)
		}
	}
	return nil
}

// overdue reports whether a run is due and not claimed.
func overdue(r *Run, now time.Time) bool {
	return r.State.Type == StateScheduled && !r.DueTime.After(now)
}

// waitReason returns what a run of a deployment waits for. The record is nil if the deployment is
// deleted. What the store knows of limits is in run.WaitReason already.
func waitReason(run *Run, record *DeploymentRecord, now time.Time) string {
	switch {
	case record == nil || !overdue(run, now):
		return run.WaitReason
	case !record.ServedAt(now):
		return store.WaitUnserved
	case run.WaitReason == "" && run.State.Name == store.NameVersionMismatch:
		return store.WaitVersionMismatch
	case run.WaitReason == "" && now.Sub(run.DueTime) > lateAfter:
		return store.WaitLate
	}
	return run.WaitReason
}
