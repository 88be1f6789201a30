// Package postgres keeps provost's deployments and runs in PostgreSQL, for services that run on several machines.
//
//	store, err := postgres.Open(ctx, "postgres://...")
//	if err != nil { ... }
//	defer store.Close()
//	err = (&provost.Runner{Store: store}).Serve(ctx, deployments...)
//
// It needs PostgreSQL 14 or later. Processes that use one database share its deployments, without a leader.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/provost-go/provost/store"
	"github.com/provost-go/provost/store/internal/sqlstore"
)

// Config is how a database is used. The zero value will do.
type Config struct {
	// Schema is the schema of the tables: "" for "provost". It is made if it is not there.
	Schema string
}

// Store is a [provost.Store] in PostgreSQL. It is safe for concurrent use, and by several processes.
type Store struct {
	*sqlstore.Ledger
	pool   *pgxpool.Pool
	owned  bool // pool was opened here
	schema string
	spell  *spelling
	plain  atomic.Bool // prepared statements get lost on the way, as behind PgBouncer: none are used

	together opening // see orders
	alone    [lockWaits]opening

	ahead    atomic.Int64 // see measureClock
	creator  *creator
	notifier *notifier
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	loops    sync.WaitGroup
}

var (
	_ store.Store    = (*Store)(nil)
	_ store.Notifier = (*Store)(nil)
)

// Open connects to a database and brings the tables up to date. The DSN is that of pgx: a URL or key=value pairs, with the settings of
// its pool (pool_max_conns and others).
func Open(ctx context.Context, dsn string) (*Store, error) { return Config{}.Open(ctx, dsn) }

// Open is [Open] in another way than the usual.
func (c Config) Open(ctx context.Context, dsn string) (*Store, error) {
	pool, err := pgxpool.New(ctx, dsn)
	if err != nil {
		return nil, fmt.Errorf("postgres: open: %w", err)
	}
	s, err := c.New(ctx, pool)
	if err != nil {
		pool.Close()
		return nil, err
	}
	s.owned = true
	return s, nil
}

// New is a store in the database of a pool of the caller's. Close leaves the pool open. The pool must give two connections at least,
// beside one that is kept to listen for notifications.
func New(ctx context.Context, pool *pgxpool.Pool) (*Store, error) { return Config{}.New(ctx, pool) }

// New is [New] in another way than the usual.
func (c Config) New(ctx context.Context, pool *pgxpool.Pool) (*Store, error) {
	s := &Store{pool: pool, schema: c.Schema}
	if s.schema == "" {
		s.schema = "provost"
	}
	s.spell = &spelling{schema: pgx.Identifier{s.schema}.Sanitize()}
	s.orders()
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.creator = newCreator(s)
	s.notifier = newNotifier(s)
	s.Ledger = sqlstore.New((*database)(s))
	err := s.Migrate(ctx)
	if err == nil {
		err = s.measureClock(ctx)
	}
	if err != nil {
		s.cancel()
		return nil, fmt.Errorf("postgres: %w", err)
	}
	for range createWorkers {
		s.loops.Go(s.creator.loop)
	}
	s.loops.Go(s.notifier.send)
	s.loops.Go(s.notifier.listen)
	s.loops.Go(s.watchClock)
	return s, nil
}

// Close ends the store. Calls that wait are answered with an error.
func (s *Store) Close() error {
	s.cancel()
	s.loops.Wait()
	if s.owned {
		s.pool.Close()
	}
	return nil
}

// ErrClosed is what a store gives that was closed.
var ErrClosed = errors.New("postgres: the store is closed")

// database is the store as its ledger sees it.
type database Store

var (
	_ sqlstore.DB     = (*database)(nil)
	_ sqlstore.Teller = (*database)(nil)
	_ sqlstore.Clock  = (*database)(nil)
)

// Tell implements [sqlstore.Teller].
func (d *database) Tell(h sqlstore.Hints) { d.notifier.tell(h) }

// Write implements [sqlstore.DB].
func (d *database) Write(ctx context.Context, work sqlstore.Work, do func(sqlstore.Tx) error) error {
	if work == sqlstore.Create {
		return d.creator.submit(ctx, do)
	}
	s := (*Store)(d)
	refusals := 0
	return s.retry(ctx, func() error {
		begin := s.together
		if work == sqlstore.Rare {
			begin = s.alone[min(refusals, len(s.alone)-1)]
		}
		err := s.transact(ctx, begin, func(t *tx) error { return t.do(do) })
		if sqlState(err) == lockNotAvailable {
			refusals++
		}
		return err
	})
}

// opening is the statements with which a transaction begins.
type opening []string

// reads sees one state in all its queries.
var reads = opening{"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"}

// byIndex keeps the planner to the indexes, and to their order: due is empty at one moment and large at the next, the statistics are of
// another one, and plans are kept.
const byIndex = "SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true), set_config('enable_sort', 'off', true), " +
	"set_config('jit', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true), "

// orders sets how transactions begin. Most go together and lock rows; those that change what all rely on go alone. While one of these
// waits nobody else gets in, so it does not wait for long: a transaction that does not end, of the caller's or of a process that is stopped, must
// not make all others wait with it. It tries again a little later, and waits a little longer.
func (s *Store) orders() {
	key := int64(s.key())
	s.together = opening{"BEGIN", fmt.Sprintf(byIndex+"pg_advisory_xact_lock_shared(%d)", key)}
	for i := range s.alone {
		wait := lockWait << i
		s.alone[i] = opening{"BEGIN", fmt.Sprintf(byIndex+"set_config('lock_timeout', '%dms', true), pg_advisory_xact_lock(%d)", wait.Milliseconds(), key)}
	}
}

// key stands for the schema where that is too long, or a number is wanted.
func (s *Store) key() uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte("provost " + s.schema)) // a hash does not fail
	return h.Sum64()
}

// lockWait is how long a transaction waits to be alone the first time; it waits twice as long the next time, up to the last of lockWaits. In
// between it leaves the others four times as long as it has kept them out.
const (
	lockWait  = 40 * time.Millisecond
	lockWaits = 4
)

// Read implements [sqlstore.DB]: several queries see one state.
func (d *database) Read(ctx context.Context, do func(sqlstore.Tx) error) error {
	s := (*Store)(d)
	return s.retry(ctx, func() error {
		return s.transact(ctx, reads, func(t *tx) error {
			t.reads = true
			return do(t)
		})
	})
}

// transact executes do in a transaction.
func (s *Store) transact(ctx context.Context, begin opening, do func(*tx) error) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("postgres: connect: %w", err)
	}
	defer conn.Release()
	t := s.in(ctx, conn)
	t.commits = true
	for _, statement := range begin {
		if err := t.later(statement); err != nil {
			s.rollback(conn)
			return fmt.Errorf("postgres: begin: %w", err)
		}
	}
	if err := do(t); err != nil {
		_ = t.hangUp() // it says the same
		s.rollback(conn)
		return err
	}
	err = t.commit()
	if sqlState(err) == "" { // it is there, or nobody knows
		t.state.Committed()
	}
	if err != nil {
		s.rollback(conn)
		return fmt.Errorf("postgres: commit: %w", err)
	}
	return nil
}

// in is a transaction as the ledger sees it.
func (s *Store) in(ctx context.Context, of session) *tx {
	return &tx{session: of, ctx: ctx, spell: s.spell, plain: s.plain.Load()}
}

// rollback ends a transaction that has failed, also when its context is over. If that fails too the connection is done with.
func (s *Store) rollback(conn *pgxpool.Conn) {
	if conn.Conn().PgConn().TxStatus() == 'I' {
		return // there is none
	}
	ctx, cancel := context.WithTimeout(context.Background(), rollbackTimeout)
	defer cancel()
	_, _ = conn.Exec(ctx, "ROLLBACK")
}

const rollbackTimeout = 2 * time.Second

// WithTx is the store inside a transaction of the caller's: what it creates is there if and only if the caller commits, and what it
// reads is what the transaction sees. An operation that fails leaves the transaction as it was. Keep such transactions short: while
// one is open, nobody can change the deployment that it has made a run of, and where that has a ConcurrencyLimit nobody gets a slot.
// Runners hear of new runs with the commit, by NOTIFY, so the transaction cannot be prepared for a two-phase commit; where more than a
// hundred a second are made, of the others a tenth of a second later, or when they look next.
func (s *Store) WithTx(t pgx.Tx) store.Store { return sqlstore.New(callers{s, t}) }

// callers is a transaction of the caller's as a database.
type callers struct {
	store *Store
	tx    pgx.Tx
}

// Write implements [sqlstore.DB].
func (c callers) Write(ctx context.Context, _ sqlstore.Work, do func(sqlstore.Tx) error) error {
	plain := c.store.plain.Load()
	err := c.write(ctx, do)
	if isLost(sqlState(err)) && !plain { // what else comes between has to be met by the caller, whose locks are in the way
		c.store.plain.Store(true)
		return c.write(ctx, do)
	}
	return err
}

func (c callers) write(ctx context.Context, do func(sqlstore.Tx) error) error {
	inner, err := c.tx.Begin(ctx) // a savepoint
	if err != nil {
		return fmt.Errorf("postgres: savepoint: %w", err)
	}
	t := c.store.in(ctx, inner)
	err = t.do(do)
	if err == nil {
		err = c.store.notifier.tellWith(t)
	}
	if err == nil {
		err = t.send()
	}
	if err != nil {
		_ = t.hangUp() // it says the same
		end, cancel := context.WithTimeout(context.Background(), rollbackTimeout)
		defer cancel()
		return errors.Join(err, inner.Rollback(end))
	}
	if err := inner.Commit(ctx); err != nil {
		return fmt.Errorf("postgres: release savepoint: %w", err)
	}
	return nil
}

// Read implements [sqlstore.DB].
func (c callers) Read(ctx context.Context, do func(sqlstore.Tx) error) error {
	t := c.store.in(ctx, c.tx)
	t.reads = true
	return do(t)
}
