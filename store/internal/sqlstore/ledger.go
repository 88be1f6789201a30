// Package ledger is a provost store over SQL, for the stores that have a database below them. It
// has the rules of the contract once: an operation loads the rows that it concerns, decides in Go,
// and writes what has changed in sets. What differs between databases is behind [DB] and [Tx].
package sqlstore

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/provost-go/provost/store"
)

// DB is a database as the ledger needs it.
type DB interface {
	// Write has do's work done in one transaction, or not at all. Do may be called again, from the
	// start, where the database asks for that: it is a function of what it reads. Calls that come
	// together may share one commit. When ctx ends, Write may return before the outcome is known,
	// but do does not run any more then, unless it is of the kind Create.
	Write(ctx context.Context, work Work, do func(Tx) error) error

	// Read has do read one state of the database.
	Read(ctx context.Context, do func(Tx) error) error
}

// Work is what a transaction is for, so that a database can tell what goes together, and what goes
// first.
type Work uint8

// The kinds of work.
const (
	Common Work = iota
	Urgent      // who is late with it loses its runs
	Create      // makes a run, and is soon done: many share a transaction well
	Plan        // changes schedules
	Rare        // changes what all others rely on: who serves what, and deployments; one at a time, and alone, will do
)

// Tx is a transaction under way. Queries are in the SQL that the databases share; a question mark
// stands for an argument, and "IN (?*)" for one that is a list, of any length. "FOR UPDATE" and the
// like at the end of a query are left out where the database locks as a whole, and where nothing is
// written.
type Tx interface {
	Query(query string, args ...any) (Rows, error)

	// Exec, Insert and Update may wait until the next query, or the commit, and then it is that
	// which fails.
	Exec(query string, args ...any) error

	// Insert adds rows that have a value for each column of the table.
	Insert(t *Table, rows [][]any) error

	// Update sets columns of rows that are there: each row has the values of the table's key, then
	// one for each column named.
	Update(t *Table, columns []string, rows [][]any) error

	// Locks reports whether rows are locked one by one, by what a query says at its end. Else the
	// transaction has all of them.
	Locks() bool

	// State is what the operations of the transaction share. Its zero value is that of one that has
	// just begun.
	State() *State
}

// Foreseer is a Tx that can be told what comes after the next query, to send it along.
type Foreseer interface {
	// Foresee tells of a query that is likely to come right after the next one and what was
	// foreseen before it. Where another one comes nothing is lost but time.
	Foresee(query string, args ...any)

	// Last says that nothing comes after the next query, and what is foreseen to come after it, but
	// the commit.
	Last()
}

// Supposer is a Tx that can be told what is taken for granted, instead of asked.
type Supposer interface {
	// Suppose has the transaction fail, now or by its commit, unless the query finds something.
	Suppose(query string, args ...any) error
}

// Taker is a Tx that removes rows and says what they were in one statement: of runs that are under
// way under this token, without a slot.
type Taker interface {
	Take(columns string, ids []uuid.UUID, token int64) (Rows, error)
}

// State is what the operations of one transaction share. The driver flushes it before the commit,
// and says when that is there, unless the commit is the caller's. Where an operation has spoiled
// it, the driver does the transaction again without that one.
type State struct {
	Spoiled bool // an operation has failed after it had changed something

	// Hopeful, set by the driver, takes it that runs to be made are new: where one is not, Flush or
	// the commit fails, and the driver does each operation again by itself, without hope, as it
	// does with one that is refused. It spares a question for each.
	Hopeful bool

	// Supposes, set by the driver beside Hopeful, takes it that deployments are as they were when
	// runs were made of them before: a Tx that is a Supposer fails where one is not, and it is done
	// again without.
	Supposes bool

	Told bool // set by the driver: other processes hear of the work with the commit

	ledger *Ledger
	book   *book // nil before the first operation
}

// Flush writes what is left to be written.
func (s *State) Flush() error {
	if s.book == nil {
		return nil
	}
	return s.book.flush()
}

// Hints are what others are to be told if the transaction is committed. They are complete after
// Flush, and nobody changes them before Committed.
func (s *State) Hints() Hints {
	if s.book == nil {
		return Hints{}
	}
	return s.book.hints
}

// Committed does what is left once the transaction is there, or may be.
func (s *State) Committed() {
	if s.book != nil {
		s.ledger.committed(s.book, s.Told)
	}
}

// Rows is what a query finds.
type Rows interface {
	Next() bool
	Scan(into ...any) error
	Err() error
	Close() error
}

// Ledger is a [provost.Store] in a database.
type Ledger struct {
	db      DB
	suspect atomic.Int64 // the newest time known when ReapLeases came with one far behind; 0: it did not
	guess   atomic.Pointer[guess]
	memory  memory
	floors  floors

	// mu guards what follows.
	mu        sync.Mutex
	listeners map[store.Topic][]chan<- struct{}
}

var (
	_ store.Store    = (*Ledger)(nil)
	_ store.Notifier = (*Ledger)(nil)
)

// New is the ledger in a database that has its tables.
func New(db DB) *Ledger { return &Ledger{db: db, listeners: make(map[store.Topic][]chan<- struct{})} }

// write does an operation that decides on time.
func (l *Ledger) write(ctx context.Context, work Work, now time.Time, do func(*book) error) error {
	called := time.Now()
	return l.db.Write(ctx, work, func(tx Tx) error {
		b := l.bookOf(tx, toMicros(now), called)
		b.lock = deploymentLocks[work]
		changes := b.changes
		err := l.noticeTime(b)
		if err == nil {
			err = do(b)
		}
		if err != nil && b.changes != changes {
			tx.State().Spoiled = true
		}
		return err
	})
}

// change is write for an operation with an answer. It is given once the operation is over, and not
// shared with one that its caller has left: that may go on, and its answer is nobody's.
func change[T any](ctx context.Context, l *Ledger, what string, work Work, now time.Time, do func(*book) (T, error)) (answer T, _ error) {
	var given T
	err := l.write(ctx, work, now, func(b *book) (err error) {
		given, err = do(b)
		return err
	})
	if err != nil {
		return answer, fmt.Errorf("%s: %w", what, err)
	}
	return given, nil
}

// look is change for an operation that changes nothing.
func look[T any](ctx context.Context, l *Ledger, do func(*book) (T, error)) (answer T, _ error) {
	var given T
	err := l.db.Read(ctx, func(tx Tx) (err error) {
		b := newBook(tx, never)
		b.ahead = l.ahead()
		given, err = do(b)
		return err
	})
	if err != nil {
		return answer, err
	}
	return given, nil
}

// Clock is a DB with a clock of its own, which several machines share. Leases are by that.
type Clock interface {
	Ahead() time.Duration // how far it is ahead of this machine's, by which Now is
}

func (l *Ledger) ahead() micros {
	if c, ok := l.db.(Clock); ok {
		return toSpan(c.Ahead())
	}
	return 0
}

// bookOf is the book of a transaction, for its next operation.
func (l *Ledger) bookOf(tx Tx, now micros, called time.Time) *book {
	shared := tx.State()
	if shared.book == nil {
		shared.ledger, shared.book = l, newBook(tx, now)
		shared.book.memory = &l.memory
	}
	b := shared.book
	b.enter(now, called)
	b.ahead = l.ahead()
	b.hopeful, b.supposes = shared.Hopeful, shared.Supposes
	return b
}

// deploymentLocks are how deployments are locked when they are read. Who makes or queues a run sees
// to it that they stay, and stay in their lane; who changes schedules, or the row, keeps those out
// that do so too.
var deploymentLocks = [...]string{
	Common: keyShare, Urgent: keyShare, Create: keyShare, Plan: " FOR NO KEY UPDATE", Rare: " FOR UPDATE",
}

const keyShare = " FOR KEY SHARE"

// noticeTime clears the suspicion that a clock was set back, when a call is on time.
func (l *Ledger) noticeTime(b *book) error {
	suspect := micros(l.suspect.Load())
	if suspect == 0 || b.now == never || suspect-b.clock() > maxClockBehind {
		return nil
	}
	return b.setBehind(never)
}
