package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/provost-go/provost/store/internal/sqlstore"
)

const (
	createWorkers = 2   // concurrent transactions that make runs
	maxCreates    = 200 // runs made in one transaction

	createTimeout = 10 * time.Second // of a shared transaction; after it, its operations are done one by one
)

// creator makes runs. Calls that come at the same time share a transaction and its commit.
type creator struct {
	store *Store
	queue chan *creation
}

// creation is an operation that waits for its transaction.
type creation struct {
	ctx    context.Context
	do     func(sqlstore.Tx) error
	result chan error // has room for the answer, so that sending it never blocks
}

func newCreator(s *Store) *creator {
	return &creator{store: s, queue: make(chan *creation, maxCreates)}
}

// submit has a loop do an operation and returns its answer, or an error once ctx ends or the store
// is closed.
func (c *creator) submit(ctx context.Context, do func(sqlstore.Tx) error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	op := &creation{ctx: ctx, do: do, result: make(chan error, 1)}
	select {
	case c.queue <- op:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-c.store.ctx.Done():
		return ErrClosed
	}
	select {
	case err := <-op.result:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-c.store.ctx.Done():
		return ErrClosed
	}
}

// loop makes what is submitted until the store is closed.
func (c *creator) loop() {
	for {
		select {
		case <-c.store.ctx.Done():
			return
		case op := <-c.queue:
			c.make(c.more([]*creation{op}))
		}
	}
}

// more adds the operations that wait by now.
func (c *creator) more(batch []*creation) []*creation {
	for len(batch) < maxCreates {
		select {
		case op := <-c.queue:
			batch = append(batch, op)
		default:
			return batch
		}
	}
	return batch
}

var errSpoiled = errors.New("an operation of the transaction failed after it had changed something")

// make does operations in one transaction, and answers them. If that fails, it does each in a
// transaction of its own; if one is refused, that one: it may repeat an accepted one, which
// AssumeNew does not check.
func (c *creator) make(batch []*creation) {
	errs := make([]error, len(batch))
	err := c.makeTogether(batch, errs, true)
	if sqlState(err) == divisionByZero {
		err = c.makeTogether(batch, errs, false)
	}
	for i, op := range batch {
		if err != nil || errs[i] != nil {
			errs[i] = c.store.retry(op.ctx, func() error {
				return c.store.transact(op.ctx, c.store.together, func(t *tx) error { return t.do(op.do) })
			})
		}
		op.result <- errs[i]
	}
}

// makeTogether does operations in one transaction, on the assumption that none of the runs exists
// yet. With assumeUnchanged it also assumes that the deployments it knows have not changed, so that
// everything takes one round trip.
func (c *creator) makeTogether(batch []*creation, errs []error, assumeUnchanged bool) error {
	ctx, cancel := context.WithTimeout(c.store.ctx, createTimeout)
	defer cancel()
	return c.store.transact(ctx, c.store.together, func(t *tx) error {
		t.state.AssumeNew, t.state.AssumeUnchanged = true, assumeUnchanged
		for i, op := range batch {
			if errs[i] = op.do(t); sqlState(errs[i]) == divisionByZero {
				return errs[i]
			}
			if t.state.Spoiled || sqlState(errs[i]) != "" {
				return errSpoiled
			}
		}
		if c.store.notifier.turn() {
			if err := t.later(tell, c.store.notifier.channel, c.store.notifier.message(sqlstore.Hints{Work: true})); err != nil {
				return err
			}
			t.state.Announced = true
		}
		return t.state.Flush()
	})
}
