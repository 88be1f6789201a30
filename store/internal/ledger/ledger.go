// Package ledger is a provost store over SQL, for the stores that have a database below them. It has the rules of the contract once:
// an operation loads the rows that it concerns, decides in Go, and writes what has changed in sets. What differs between databases
// is behind [DB] and [Tx].
package ledger

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost"
)

// DB is a database as the ledger needs it.
type DB interface {
	// Write has do's work done in one transaction, or not at all. Do may be called again, from the start, where the database asks for
	// that: it is a function of what it reads. Calls that come together may share one commit. When ctx ends, Write may return before the
	// outcome is known, but do does not run any more then, unless it is of the kind Create.
	Write(ctx context.Context, work Work, do func(Tx) error) error

	// Read has do read one state of the database.
	Read(ctx context.Context, do func(Tx) error) error
}

// Work is what a transaction is for, so that a database can tell what goes together, and what goes first.
type Work uint8

// The kinds of work.
const (
	Common Work = iota
	Urgent      // who is late with it loses its runs
	Create      // makes a run, and is soon done: many share a transaction well
	Plan        // changes schedules
	Rare        // changes what all others rely on: who serves what, and deployments; one at a time, and alone, will do
)

// Tx is a transaction under way. Queries are in the SQL that the databases share; a question mark stands for an argument, and
// "IN (?*)" for one that is a list, of any length. "FOR UPDATE" and the like at the end of a query are left out where the database locks
// as a whole, and where nothing is written.
type Tx interface {
	Query(query string, args ...any) (Rows, error)

	// Exec, Insert and Update may wait until the next query, or the commit, and then it is that which fails.
	Exec(query string, args ...any) error

	// Insert adds rows that have a value for each column of the table.
	Insert(t *Table, rows [][]any) error

	// Update sets columns of rows that are there: each row has the values of the table's key, then one for each column named.
	Update(t *Table, columns []string, rows [][]any) error

	// Locks reports whether rows are locked one by one, by what a query says at its end. Else the transaction has all of them.
	Locks() bool
}

// Sharer is a Tx whose operations share what they read and write, where several are done in one transaction. The driver calls Flush
// before it commits, and does the transaction again without an operation that failed if State says that it was spoiled by that.
type Sharer interface {
	Tx
	State() *State
}

// Foreseer is a Tx that can be told what comes after the next query, to send it along.
type Foreseer interface {
	// Foresee tells of a query that is likely to come right after the next one and what was foreseen before it. Where another one comes
	// nothing is lost but time.
	Foresee(query string, args ...any)

	// Last says that nothing comes after the next query, and what is foreseen to come after it, but the commit.
	Last()
}

// Supposer is a Tx that can be told what is taken for granted, instead of asked.
type Supposer interface {
	// Suppose has the transaction fail, now or by its commit, unless the query finds something.
	Suppose(query string, args ...any) error
}

// Taker is a Tx that removes rows and says what they were in one statement: of runs that are under way under this token, without a slot.
type Taker interface {
	Take(columns string, ids []uuid.UUID, token int64) (Rows, error)
}

// State is what the operations of one transaction share.
type State struct {
	Flush   func() error // writes what is left to be written; nil if there was no operation
	Spoiled bool         // an operation has failed after it had changed something

	// Hopeful, set by the driver, takes it that runs to be made are new: where one is not, Flush or the commit fails, and the driver does
	// each operation again by itself, without hope, as it does with one that is refused. It spares a question for each.
	Hopeful bool

	// Supposes, set by the driver beside Hopeful, takes it that deployments are as they were when runs were made of them before: a Tx that is
	// a Supposer fails where one is not, and it is done again without.
	Supposes bool

	Told bool // set by the driver: other processes hear of the work with the commit

	book *book
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
	listeners map[provost.Topic][]chan<- struct{}
}

var (
	_ provost.Store    = (*Ledger)(nil)
	_ provost.Notifier = (*Ledger)(nil)
)

// New is the ledger in a database that has its tables.
func New(db DB) *Ledger { return &Ledger{db: db, listeners: make(map[provost.Topic][]chan<- struct{})} }

// write does an operation that decides on time, and sends its hints once it is committed.
func (l *Ledger) write(ctx context.Context, work Work, now time.Time, do func(*book) error) error {
	var b *book
	var shared *State
	err := l.db.Write(ctx, work, func(tx Tx) error {
		b, shared = bookOf(tx, toMicros(now))
		b.ahead = l.ahead()
		b.memory = &l.memory
		b.lock = deploymentLocks[work]
		changes := b.changes
		err := l.noticeTime(b)
		if err == nil {
			err = do(b)
		}
		switch {
		case shared == nil && err == nil:
			err = b.flush()
		case shared != nil && err != nil && b.changes != changes:
			shared.Spoiled = true
		}
		return err
	})
	if err == nil {
		l.committed(b, shared != nil && shared.Told)
	}
	return err
}

// change is write for an operation with an answer. It is given once the operation is over, and not shared with one that its caller has
// left: that may go on, and its answer is nobody's.
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

// bookOf is the book of a transaction, and where it is shared; nil if it is not.
func bookOf(tx Tx, now micros) (*book, *State) {
	s, ok := tx.(Sharer)
	if !ok {
		return newBook(tx, now), nil
	}
	shared := s.State()
	if shared.book == nil {
		shared.book = newBook(tx, now)
		shared.Flush = shared.book.flush
	}
	shared.book.enter(now)
	shared.book.hopeful, shared.book.supposes = shared.Hopeful, shared.Supposes
	return shared.book, shared
}

// deploymentLocks are how deployments are locked when they are read. Who makes or queues a run sees to it that they stay, and stay in
// their lane; who changes schedules, or the row, keeps those out that do so too.
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

// committed does what is left once a transaction is there, for the first of its operations that comes here. Told says that other
// processes know of the work.
func (l *Ledger) committed(b *book, told bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b.suspect != nil {
		l.suspect.Store(int64(*b.suspect))
	}
	switch {
	case b.hints.early:
		l.floors.forget()
	case b.hints.work:
		l.floors.lower(b.hints.lowest)
	}
	l.send(&b.hints)
	work := b.hints.work && !told
	if teller, ok := l.db.(Teller); ok && (work || b.hints.early || b.hints.cancel) {
		teller.Tell(work, b.hints.early, b.hints.cancel)
	}
	b.suspect, b.hints = nil, hints{}
}

// Teller is a DB that tells other processes of work, of such that is claimable before what they may look for, and of cancellations. It
// does not block.
type Teller interface {
	Tell(work, early, cancel bool)
}

// Hint passes on what another process has told.
func Hint(l *Ledger, work, early, cancel bool) {
	if early {
		l.floors.forget()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.send(&hints{work: work || early, cancel: cancel})
}

// hints are what has changed, for those who wait for it.
type hints struct {
	runs   []uuid.UUID
	work   bool
	lowest micros // when the first of the work is claimable, unless it is early
	early  bool   // some of the work may be claimable before where claims begin to look
	cancel bool
}

// Notify implements [provost.Notifier], for changes that come through this ledger. Those of other processes are found by polling.
func (l *Ledger) Notify(topic provost.Topic, ch chan<- struct{}) (stop func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.listeners[topic] = append(l.listeners[topic], ch)
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		var rest []chan<- struct{}
		for _, other := range l.listeners[topic] {
			if other != ch {
				rest = append(rest, other)
			}
		}
		if l.listeners[topic] = rest; rest == nil {
			delete(l.listeners, topic)
		}
	})
}

// send is called under mu.
func (l *Ledger) send(h *hints) {
	if len(l.listeners) == 0 {
		return
	}
	if h.work {
		l.hint(provost.Topic{Kind: provost.TopicWork})
	}
	if h.cancel {
		l.hint(provost.Topic{Kind: provost.TopicCancel})
	}
	for _, id := range h.runs {
		l.hint(provost.Topic{Run: id})
	}
}

// hint is called under mu.
func (l *Ledger) hint(topic provost.Topic) {
	for _, ch := range l.listeners[topic] {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}
