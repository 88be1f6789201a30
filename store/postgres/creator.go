package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/provost-go/provost/store/internal/sqlstore"
)

const (
	createWorkers = 2   // transactions that make runs, at once
	maxCreates    = 200 // runs made in one

	createTimeout = 10 * time.Second // of one that is shared; what it has not done is then done one by one
)

// creator makes runs. Those that are asked for at the same time share a transaction, and its commit.
type creator struct {
	store *Store
	queue chan *creation
}

type creation struct {
	ctx    context.Context
	do     func(sqlstore.Tx) error
	result chan error // has room for the answer, whether or not anybody waits for it
}

func newCreator(s *Store) *creator {
	return &creator{store: s, queue: make(chan *creation, maxCreates)}
}

// submit waits for the answer to an operation, as long as its context lasts.
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

// more adds what waits by now.
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

var errSpoiled = errors.New("an operation has failed with half of it done")

// make does operations in one transaction. If that fails, or one of them is refused, it has one of its own: it may repeat one that was
// accepted, and hope does not look.
func (c *creator) make(batch []*creation) {
	errs := make([]error, len(batch))
	err := c.makeHopefully(batch, errs, true)
	if sqlState(err) == divisionByZero {
		err = c.makeHopefully(batch, errs, false)
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

// makeHopefully takes it that none of the runs is there yet, and looks at none. Where it supposes, it looks at no deployment either that it
// knows: all is done in one turn then.
func (c *creator) makeHopefully(batch []*creation, errs []error, supposes bool) error {
	ctx, cancel := context.WithTimeout(c.store.ctx, createTimeout)
	defer cancel()
	return c.store.transact(ctx, c.store.together, func(t *tx) error {
		t.state.Hopeful, t.state.Supposes = true, supposes
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
			t.state.Told = true
		}
		return t.state.Flush()
	})
}
