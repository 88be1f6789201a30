// Package sqlstore implements the contract of package store over SQL, for the stores that have a
// database below them. An operation loads the rows that it concerns, decides in Go, and writes what
// has changed in sets. What differs between databases is behind [DB] and [Tx].
//
// Package store/memory implements the same rules a second time. Tests compare the two.
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

// DB is a database.
type DB interface {
	// Write does the work of do in one transaction, or not at all. It may call do again, from the
	// start, if the database requires that, so do must depend on nothing but what it reads. Calls
	// that come at the same time may share one commit. When ctx ends, Write may return before the
	// outcome is known, but do does not run any more then, except for work of the kind Create.
	Write(ctx context.Context, work Work, do func(Tx) error) error

	// Read calls do with a transaction that sees one state of the database.
	Read(ctx context.Context, do func(Tx) error) error
}

// Work is the kind of work of a transaction. A database decides by it which transactions go
// together, and which go first.
type Work uint8

// The kinds of work.
const (
	Common Work = iota
	Urgent      // keeps runs: a runner that is late with it loses them
	Create      // makes a run; short, so many may share a transaction
	Plan        // changes schedules
	Rare        // changes what all others rely on: deployments, and who serves them; may go one at a time, and alone
)

// Tx is a transaction. Queries are in the SQL that the databases share:
//
//   - A question mark stands for an argument, and "IN (?*)" for an argument that is a list of any
//     length.
//   - A Tx leaves out "FOR UPDATE" and the like at the end of a query if its database locks as a
//     whole, or if it only reads.
type Tx interface {
	Query(query string, args ...any) (Rows, error)

	// Exec, Insert and Update may be sent with the next query, or the commit, which then returns
	// their error.
	Exec(query string, args ...any) error

	// Insert adds rows, each with a value for each column of the table.
	Insert(t *Table, rows [][]any) error

	// Update sets columns of existing rows. Each row has the values of the table's key, then one
	// for each named column.
	Update(t *Table, columns []string, rows [][]any) error

	// Locks reports whether queries lock rows one by one. If not, the transaction has locked them
	// all.
	Locks() bool

	// State returns what the operations of the transaction share, which is the zero State at first.
	State() *State
}

// Prefetcher is a Tx that can send the queries that come after the next one along with it.
type Prefetcher interface {
	// Prefetch announces a query that is likely to come right after the next one, and after those
	// announced before. If another query comes instead, nothing is lost but time.
	Prefetch(query string, args ...any)

	// CommitNext announces that only the commit comes after the next query and those announced to
	// follow it.
	CommitNext()
}

// Asserter is a Tx that can check an assumption without a round trip of its own.
type Asserter interface {
	// Assert makes the transaction fail, now or with its commit, unless the query finds something.
	Assert(query string, args ...any) error
}

// DeleteReturner is a Tx that can delete rows and return them in one statement: those of runs that
// are under way under a token and hold no slot.
type DeleteReturner interface {
	DeleteReturning(columns string, ids []uuid.UUID, token int64) (Rows, error)
}

// State is what the operations of one transaction share. The Tx calls Flush before the commit and
// Committed after it, unless the caller commits. If an operation has spoiled the transaction, it
// does it again without that operation.
type State struct {
	Spoiled bool // an operation failed after it had changed something

	// AssumeNew is set by the DB to assume that runs to be made are new, which saves a query for
	// each. If one is not, Flush or the commit fails. The DB then does each operation again by
	// itself, without AssumeNew, and so it does with one that is refused.
	AssumeNew bool

	// AssumeUnchanged is set by the DB beside AssumeNew to assume that deployments have not changed
	// since runs were last made of them. If one has, a Tx that is an Asserter fails, and the
	// transaction is done again without AssumeUnchanged.
	AssumeUnchanged bool

	Announced bool // set by the DB: the commit notifies other processes of the work

	store *Store
	book  *book // nil before the first operation
}

// Flush writes what has changed and is not written yet.
func (s *State) Flush() error {
	if s.book == nil {
		return nil
	}
	return s.book.flush()
}

// Hints returns what to notify others of if the transaction is committed. They are complete after
// Flush, and do not change before Committed.
func (s *State) Hints() Hints {
	if s.book == nil {
		return Hints{}
	}
	return s.book.hints
}

// Committed must be called once the transaction is committed, or may be. It notifies those who
// wait.
func (s *State) Committed() {
	if s.book != nil {
		s.store.committed(s.book, s.Announced)
	}
}

// Rows is the result of a query.
type Rows interface {
	Next() bool
	Scan(into ...any) error
	Err() error
	Close() error
}

// Store is a [store.Store] in a database. It is safe for concurrent use.
type Store struct {
	db      DB
	suspect atomic.Int64 // the newest known time when ReapLeases came with one far behind; 0 if it did not
	guess   atomic.Pointer[guess]
	memory  memory
	floors  floors

	// mu guards what follows.
	mu        sync.Mutex
	listeners map[store.Topic][]chan<- struct{}
}

var (
	_ store.Store    = (*Store)(nil)
	_ store.Notifier = (*Store)(nil)
)

// New returns a store in a database that has the tables.
func New(db DB) *Store { return &Store{db: db, listeners: make(map[store.Topic][]chan<- struct{})} }

// write does an operation that decides by time.
func (l *Store) write(ctx context.Context, work Work, now time.Time, do func(*book) error) error {
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

// change is write for an operation with an answer, which it returns once the operation has
// finished. If the caller has left, the operation may go on; its answer is dropped.
func change[T any](ctx context.Context, l *Store, what string, work Work, now time.Time, do func(*book) (T, error)) (answer T, _ error) {
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

// look is change for an operation that only reads.
func look[T any](ctx context.Context, l *Store, do func(*book) (T, error)) (answer T, _ error) {
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

// Clock is a DB with a clock of its own, which several machines share. Leases are judged by it.
type Clock interface {
	Ahead() time.Duration // how far it is ahead of this machine's clock, which makes Now
}

func (l *Store) ahead() micros {
	if c, ok := l.db.(Clock); ok {
		return toSpan(c.Ahead())
	}
	return 0
}

// bookOf returns the book of a transaction, ready for its next operation.
func (l *Store) bookOf(tx Tx, now micros, called time.Time) *book {
	shared := tx.State()
	if shared.book == nil {
		shared.store, shared.book = l, newBook(tx, now)
		shared.book.memory = &l.memory
	}
	b := shared.book
	b.enter(now, called)
	b.ahead = l.ahead()
	b.hopeful, b.supposes = shared.AssumeNew, shared.AssumeUnchanged
	return b
}

// deploymentLocks are the locks on deployments that are read. Work that makes or queues a run keeps
// them from being deleted and from changing their lane. Work that changes schedules, or the row,
// keeps out other work that does.
var deploymentLocks = [...]string{
	Common: keyShare, Urgent: keyShare, Create: keyShare, Plan: " FOR NO KEY UPDATE", Rare: " FOR UPDATE",
}

const keyShare = " FOR KEY SHARE"

// noticeTime clears the suspicion that a clock was set back when a call is on time.
func (l *Store) noticeTime(b *book) error {
	suspect := micros(l.suspect.Load())
	if suspect == 0 || b.now == never || suspect-b.clock() > maxClockBehind {
		return nil
	}
	return b.setBehind(never)
}
