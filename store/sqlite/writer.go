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

// ErrClosed is returned by a store that was closed.
var ErrClosed = errors.New("sqlite: the store is closed")

const (
	maxBatch   = 128                    // operations of one transaction
	maxHeld    = 10 * time.Millisecond  // after this a transaction takes no more operations
	maxQueue   = 10_000                 // operations that may wait; more are refused
	lockPoll   = 500 * time.Microsecond // how soon a lock that another process holds is tried again, at first
	othersStay = 2 * time.Second        // how long after a write another process is assumed to write again
)

// writer does all writing of a store in this process. It puts operations that come together into
// one transaction, so that they share one commit. Between processes it is fair: if others write
// too, it leaves them the file after each transaction for as long as it had it.
type writer struct {
	write *sql.Conn

	// mu guards what follows.
	mu     sync.Mutex
	urgent []*operation
	queue  []*operation
	closed bool

	wake chan struct{}
	done chan struct{} // closed when loop has returned

	// Only loop uses what follows.
	direct  direct
	version int64     // of the data, after the last write of this process
	others  time.Time // when a write of another process was last noticed
}

// operation is a piece of work that waits for a transaction.
type operation struct {
	ctx    context.Context
	do     func(sqlstore.Tx) error
	result chan error // has room for the answer, so that sending it never blocks

	mu   sync.Mutex // held while do runs
	left bool       // the caller has stopped waiting: do must not run, as the caller may change what it reads
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

// leave makes sure that the work is not and will not be under way.
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

// submit has loop execute an operation and returns its answer, or the cause of ctx once that ends.
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
		return fmt.Errorf("sqlite: %d operations already wait for the file", maxQueue)
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

// take removes the operations of the next transaction from the queues, urgent ones first.
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

// putBack puts operations that the transaction had no time for back into the queue.
func (w *writer) putBack(batch []*operation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue = slices.Insert(w.queue, 0, batch...)
}

// close makes loop return once the queues are empty, and waits for that.
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

// loop commits what is submitted until the writer is closed.
func (w *writer) loop() {
	defer close(w.done)
	for {
		batch := w.take()
		if len(batch) == 0 {
			w.mu.Lock()
			finished := w.closed && len(w.queue)+len(w.urgent) == 0
			w.mu.Unlock()
			if finished {
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

// commit executes operations on the driver's connection, and answers them. If it returns an error,
// it has answered none.
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

// commitAll executes operations in one transaction, or in several if that fails.
func (w *writer) commitAll(batch []*operation) {
	ctx := context.Background() // not those of the operations, which are checked before each attempt
	for batch = w.living(batch); len(batch) > 0; batch = w.living(batch) {
		if err := w.begin(ctx, batch); err != nil {
			answer(batch, fmt.Errorf("sqlite: begin: %w", err))
			return
		}
		began := time.Now()
		t := &tx{executor: &w.direct, ctx: ctx, state: sqlstore.State{AssumeNew: len(batch) > 1}}
		errs, spoiled, err := w.execute(t, batch, began)
		if err == nil && !spoiled {
			err = w.direct.exec(ctx, "COMMIT", nil)
		}
		switch {
		case err == nil && !spoiled:
			t.state.Committed()
			assumed := len(batch) > 1
			for i, err := range errs {
				if assumed && err != nil { // it may repeat an accepted one, which AssumeNew does not check
					defer w.commitAll(batch[i : i+1])
					continue
				}
				batch[i].result <- err
			}
			w.putBack(batch[len(errs):])
			w.standBack(time.Since(began))
			return
		case spoiled: // the last one failed halfway: undo all, and do the others again
			w.rollback(ctx)
			last := len(errs) - 1
			batch[last].result <- errs[last]
			batch = slices.Delete(batch, last, last+1)
		case len(batch) > 1: // one of them fails, it is not known which
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

// living answers the operations whose contexts have ended, and returns the others.
func (w *writer) living(batch []*operation) []*operation {
	return slices.DeleteFunc(batch, func(op *operation) bool {
		if op.ctx.Err() == nil {
			return false
		}
		op.result <- context.Cause(op.ctx)
		return true
	})
}

// answer sends one error to all operations.
func answer(batch []*operation, err error) {
	for _, op := range batch {
		op.result <- err
	}
}

// execute does as many operations as there is time for, and returns the error of each. spoiled
// reports that the last one failed after it had changed something.
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

// begin begins a transaction. It waits for the file while the context of some operation lasts.
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
			return fmt.Errorf("another process holds the file: %w", err)
		}
		time.Sleep(wait) // SQLite does not notify of a lock that becomes free
	}
}

// isBusy reports whether err is that of a locked file. It goes by the text, as each driver has its
// own type.
func isBusy(err error) bool {
	text := err.Error()
	return strings.Contains(text, "SQLITE_BUSY") || strings.Contains(text, "database is locked") || strings.Contains(text, "database table is locked")
}

// watchOthers notes whether another process has written since this one did.
func (w *writer) watchOthers(ctx context.Context) {
	rows, err := w.direct.query(ctx, "PRAGMA data_version", nil)
	if err != nil {
		return // fairness is not worth an error
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

// standBack leaves the file to other processes, if any write, for as long as this one had it.
func (w *writer) standBack(held time.Duration) {
	if time.Since(w.others) < othersStay {
		time.Sleep(max(held, 2*lockPoll)) // waiting processes cannot be seen
	}
}

func (w *writer) rollback(ctx context.Context) {
	_ = w.direct.exec(ctx, "ROLLBACK", nil) // if it fails, the transaction has ended already
}
