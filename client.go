package provost

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/clock"
	"github.com/provost-go/provost/internal/engine"
	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/store"
)

// Client is what operators and other services use on a store: it declares deployments, starts,
// stops and inspects runs, and needs neither the flows nor a runner. Secret parameters read as ***:
// see [Client.RevealSecrets].
//
// A Client is safe for concurrent use and holds nothing that must be closed. Each call of the store
// has a deadline of 10 seconds, besides that of ctx, unless the store is in memory. Deployments are
// named by their handle, "flow/deployment".
type Client struct {
	store  Store
	direct bool // no call of the store blocks
	reveal bool // reads show secrets

	// mu guards cache, which has deployments as last read, by handle. A write that rests on a stale
	// one is refused by the store and tried again.
	mu    sync.RWMutex
	cache map[string]*cachedDeployment
}

// NewClient returns a client of a store.
func NewClient(st Store) *Client {
	return &Client{store: st, direct: store.NeverBlocks(st), cache: make(map[string]*cachedDeployment)}
}

// call returns the context of one store call: it ends with ctx, and has a deadline of its own
// unless no call can block.
func (c *Client) call(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.direct {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, engine.StoreTimeout)
}

// clientNow returns the time of the context's wall clock, as stores keep it.
func clientNow(ctx context.Context) time.Time {
	return instant.Of(clock.From(ctx).Now())
}

// Deploy declares a deployment without serving it, and returns it as the store has it then. Its
// runs wait until a runner serves it.
func (c *Client) Deploy(ctx context.Context, d *Deployment) (*DeploymentRecord, error) {
	record, err := d.record()
	if err != nil {
		return nil, err
	}
	callCtx, cancel := c.call(ctx)
	defer cancel()
	_, err = c.store.RegisterDeployments(callCtx, store.RegisterDeploymentsParams{
		Now: clientNow(ctx), Deployments: []*DeploymentRecord{record},
	})
	if err != nil {
		return nil, fmt.Errorf("provost: deploy %s: %w", record.Handle(), err)
	}
	stored, err := c.store.GetDeployment(callCtx, record.ID)
	return c.showDeployment(stored, err)
}

// GetDeployment reads a deployment. It returns [ErrNotFound] if the store does not have it.
func (c *Client) GetDeployment(ctx context.Context, handle string) (*DeploymentRecord, error) {
	record, err := c.readHandle(ctx, handle)
	return c.showDeployment(record, err)
}

// ListDeployments returns one page of the deployments that the filter selects, sorted by handle.
func (c *Client) ListDeployments(ctx context.Context, filter DeploymentFilter) (Page[*DeploymentRecord], error) {
	callCtx, cancel := c.call(ctx)
	defer cancel()
	page, err := c.store.ListDeployments(callCtx, filter)
	if err != nil {
		return Page[*DeploymentRecord]{}, err
	}
	for _, record := range page.Items {
		c.maskDeployment(record)
	}
	return page, nil
}

// AllDeployments iterates over the deployments that the filter selects, sorted by handle, from
// filter.Cursor to the last page. It reads pages of filter.Limit deployments as they are needed.
// The first error ends the iteration.
func (c *Client) AllDeployments(ctx context.Context, filter DeploymentFilter) iter.Seq2[*DeploymentRecord, error] {
	return store.Pages(ctx, func(ctx context.Context, cursor string) (Page[*DeploymentRecord], error) {
		f := filter
		if cursor != "" {
			f.Cursor = cursor
		}
		return c.ListDeployments(ctx, f)
	})
}

// DeleteDeployment deletes a deployment and its unstarted runs. Runs that are running go on, and
// finished ones stay. A process that serves the deployment goes on without work for it; the next
// Serve declares it again. DeleteDeployment returns [ErrNotFound] if the store does not have it.
func (c *Client) DeleteDeployment(ctx context.Context, handle string) error {
	id, err := store.ParseHandle(handle)
	if err != nil {
		return err
	}
	callCtx, cancel := c.call(ctx)
	defer cancel()
	p := store.DeleteDeploymentParams{Now: clientNow(ctx), ID: id}
	if err := c.store.DeleteDeployment(callCtx, p); err != nil {
		return fmt.Errorf("provost: delete deployment %q: %w", handle, err)
	}
	return nil
}

// ListFlows returns one page of the flows that the store knows, sorted by name.
func (c *Client) ListFlows(ctx context.Context, filter FlowFilter) (Page[*FlowRecord], error) {
	callCtx, cancel := c.call(ctx)
	defer cancel()
	return c.store.ListFlows(callCtx, filter)
}

// AllFlows iterates over the flows that the store knows, sorted by name, from filter.Cursor to the
// last page. It reads pages of filter.Limit flows as they are needed. The first error ends the
// iteration.
func (c *Client) AllFlows(ctx context.Context, filter FlowFilter) iter.Seq2[*FlowRecord, error] {
	return store.Pages(ctx, func(ctx context.Context, cursor string) (Page[*FlowRecord], error) {
		f := filter
		if cursor != "" {
			f.Cursor = cursor
		}
		return c.ListFlows(ctx, f)
	})
}

// ListRunners returns the runners that work on the store, the one last seen first. A runner leaves
// the list when its Serve returns. One whose process died stays for a day with an Until that has
// passed; when another runner starts, only the [store.MaxDeadRunners] of them that ended last stay.
func (c *Client) ListRunners(ctx context.Context) ([]RunnerRecord, error) {
	callCtx, cancel := c.call(ctx)
	defer cancel()
	return c.store.ListRunners(callCtx)
}

// readHandle reads a deployment by its handle, secrets included.
func (c *Client) readHandle(ctx context.Context, handle string) (*DeploymentRecord, error) {
	id, err := store.ParseHandle(handle)
	if err != nil {
		return nil, err
	}
	record, err := c.readID(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("deployment %q: %w; serve it, or declare it with Deploy", handle, ErrNotFound)
	}
	return record, err
}

// readID reads a deployment by its ID, secrets included.
func (c *Client) readID(ctx context.Context, id uuid.UUID) (*DeploymentRecord, error) {
	callCtx, cancel := c.call(ctx)
	defer cancel()
	return c.store.GetDeployment(callCtx, id)
}
