package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/provost-go/provost/store/internal/sqlstore"
)

// ErrClosed is what a store gives that was closed.
var ErrClosed = errors.New("sqlite: the store is closed")

const (
	maxBatch   = 128                    // operations in one transaction
	maxHeld    = 10 * time.Millisecond  // after that a transaction takes no more operations
	maxQueue   = 10_000                 // operations that wait; more are refused
	lockPoll   = 500 * time.Microsecond // how often a lock that another process has is tried again, at first
	othersStay = 2 * time.Second        // how long after another process has written it counts as one that may want to again
)

// writer does all writing of a store in this process: it puts operations that come together into one transaction, and so under one
// commit. Between processes it is fair: it leaves the file alone after a transaction for as long as it had it, if others write too.
type writer struct {
	write *sql.Conn

	// mu guards what follows.
	mu     sync.Mutex
	urgent []*operation
	queue  []*operation
	closed bool

	wake chan struct{}
	done chan struct{} // closed when the loop has ended

	// What follows is the loop's.
	direct  direct
	version int64     // of the data, when this process wrote last
	others  time.Time // when another process was seen to have written
}

// operation is a piece of work that waits for its transaction.
type operation struct {
	ctx    context.Context
	do     func(sqlstore.Tx) error
	result chan error // has room for the answer, whether or not anybody waits for it

	mu   sync.Mutex // held while do runs
	left bool       // nobody waits any more, and what do reads is its caller's again
}

// run does the work, unless the caller has left.
func (op *operation) run(t sqlstore.Tx) error {
	op.mu.Lock()
	defer op.mu.Unlock()
	if op.left {
		return context.Cause(op.ctx)
	}
	return op.do(t)
}

// leave returns once the work is not under way, and will not be any more.
func (op *operation) leave() {
	op.mu.Lock()
	defer op.mu.Unlock()
	op.left = true
}

func newWriter(conn *sql.Conn) *writer {
	return &writer{
		write: conn, wake: make(chan struct{}, 1), done: make(chan struct{}), direct: direct{cache: make(map[string]*statement)},
	}
}

// submit waits for the answer to an operation, as long as its context lasts.
func (w *writer) submit(ctx context.Context, work sqlstore.Work, do func(sqlstore.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	op := &operation{ctx: ctx, do: do, result: make(chan error, 1)}
	w.mu.Lock()
	switch {
	case w.closed:
		w.mu.Unlock()
		return ErrClosed
	case len(w.queue)+len(w.urgent) >= maxQueue:
		w.mu.Unlock()
		return fmt.Errorf("sqlite: %d operations wait for the file already", maxQueue)
	case work == sqlstore.Urgent:
		w.urgent = append(w.urgent, op)
	default:
		w.queue = append(w.queue, op)
	}
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
	select {
	case err := <-op.result:
		return err
	case <-ctx.Done():
		op.leave()
		return context.Cause(ctx)
	}
}

// take gives the operations of the next transaction, those that are urgent first.
func (w *writer) take() []*operation {
	w.mu.Lock()
	defer w.mu.Unlock()
	var batch []*operation
	for _, queue := range []*[]*operation{&w.urgent, &w.queue} {
		n := min(len(*queue), maxBatch-len(batch))
		batch = append(batch, (*queue)[:n]...)
		*queue = slices.Delete(*queue, 0, n)
	}
	return batch
}

// putBack returns operations that the transaction had no time for.
func (w *writer) putBack(batch []*operation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue = slices.Insert(w.queue, 0, batch...)
}

// close lets the loop end once the queue is empty, and waits for that.
func (w *writer) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
	<-w.done
}

func (w *writer) loop() {
	defer close(w.done)
	for {
		batch := w.take()
		if len(batch) == 0 {
			w.mu.Lock()
			over := w.closed && len(w.queue)+len(w.urgent) == 0
			w.mu.Unlock()
			if over {
				return
			}
			<-w.wake
			continue
		}
		if err := w.commit(batch); err != nil {
			answer(batch, fmt.Errorf("sqlite: %w", err))
		}
	}
}

// commit executes operations in one transaction, and answers them.
func (w *writer) commit(batch []*operation) error {
	return w.write.Raw(func(conn any) error {
		var ok bool
		if w.direct.conn, ok = conn.(driver.ConnPrepareContext); !ok {
			return errDriver
		}
		w.commitAll(batch)
		return nil
	})
}

// commitAll executes operations in one transaction; where that fails, in several.
func (w *writer) commitAll(batch []*operation) {
	ctx := context.Background() // the operations' own have been asked for by now, and may be asked again
	for batch = w.living(batch); len(batch) > 0; batch = w.living(batch) {
		if err := w.begin(ctx, batch); err != nil {
			answer(batch, fmt.Errorf("sqlite: begin: %w", err))
			return
		}
		began := time.Now()
		t := &tx{executor: &w.direct, ctx: ctx, state: sqlstore.State{Hopeful: len(batch) > 1}}
		errs, spoiled, err := w.execute(t, batch, began)
		if err == nil && !spoiled {
			err = w.direct.exec(ctx, "COMMIT", nil)
		}
		switch {
		case err == nil && !spoiled:
			t.state.Committed()
			hoped := len(batch) > 1
			for i, err := range errs {
				if hoped && err != nil { // it may repeat one that was accepted, and hope does not look
					defer w.commitAll(batch[i : i+1])
					continue
				}
				batch[i].result <- err
			}
			w.putBack(batch[len(errs):])
			w.standBack(time.Since(began))
			return
		case spoiled: // the last has failed, and what it has done has to go: so do the others', once more
			w.rollback(ctx)
			last := len(errs) - 1
			batch[last].result <- errs[last]
			batch = slices.Delete(batch, last, last+1)
		case len(batch) > 1: // one of them does not agree with the database, nobody knows which
			w.rollback(ctx)
			for _, op := range batch {
				w.commitAll([]*operation{op})
			}
			return
		default:
			w.rollback(ctx)
			answer(batch, fmt.Errorf("sqlite: %w", err))
			return
		}
	}
}

// living answers the operations that nobody waits for any more, and gives the rest.
func (w *writer) living(batch []*operation) []*operation {
	return slices.DeleteFunc(batch, func(op *operation) bool {
		if op.ctx.Err() == nil {
			return false
		}
		op.result <- context.Cause(op.ctx)
		return true
	})
}

func answer(batch []*operation, err error) {
	for _, op := range batch {
		op.result <- err
	}
}

// execute does what there is time for, and gives the outcome of each. Spoiled says that the last has failed with half of it done.
func (w *writer) execute(t *tx, batch []*operation, began time.Time) (errs []error, spoiled bool, err error) {
	for i, op := range batch {
		if i > 0 && time.Since(began) > maxHeld {
			break
		}
		errs = append(errs, op.run(t))
		if t.state.Spoiled {
			return errs, true, nil
		}
	}
	return errs, false, t.state.Flush()
}

// begin waits for the file, as long as any of the operations may.
func (w *writer) begin(ctx context.Context, batch []*operation) error {
	for wait := lockPoll; ; wait = min(2*wait, 4*lockPoll) {
		err := w.direct.exec(ctx, "BEGIN IMMEDIATE", nil)
		if err == nil {
			w.watchOthers(ctx)
			return nil
		}
		if !isBusy(err) {
			return err
		}
		w.others = time.Now()
		if !slices.ContainsFunc(batch, func(op *operation) bool { return op.ctx.Err() == nil }) {
			return fmt.Errorf("another process keeps the file: %w", err)
		}
		time.Sleep(wait) // the file has no way to tell that it is free
	}
}

// isBusy knows the error by its text: which type it has is the driver's affair.
func isBusy(err error) bool {
	text := err.Error()
	return strings.Contains(text, "SQLITE_BUSY") || strings.Contains(text, "database is locked") || strings.Contains(text, "database table is locked")
}

// watchOthers notices that another process has written since this one did.
func (w *writer) watchOthers(ctx context.Context) {
	rows, err := w.direct.query(ctx, "PRAGMA data_version", nil)
	if err != nil {
		return // it is a question of manners only
	}
	defer rows.Close()
	var version int64
	if rows.Next() && rows.Scan(&version) == nil && version != w.version {
		if w.version != 0 {
			w.others = time.Now()
		}
		w.version = version
	}
}

// standBack leaves the file to other processes for as long as this one had it, if there are any.
func (w *writer) standBack(held time.Duration) {
	if time.Since(w.others) < othersStay {
		time.Sleep(max(held, 2*lockPoll)) // they cannot tell that they wait
	}
}

func (w *writer) rollback(ctx context.Context) {
	_ = w.direct.exec(ctx, "ROLLBACK", nil) // if it fails, there is no transaction any more
}
