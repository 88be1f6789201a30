// Package postgres keeps provost's deployments and runs in PostgreSQL, for services that run on
// several machines.
//
//	store, err := postgres.Open(ctx, "postgres://...")
//	if err != nil { ... }
//	defer store.Close()
//	err = (&provost.Runner{Store: store}).Serve(ctx, deployments...)
//
// It needs PostgreSQL 14 or later. Processes that use one database share its deployments, without a
// leader.
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

// Config holds the settings of [Config.Open] and [Config.New]. The zero value is ready to use.
type Config struct {
	// Schema is the schema of the tables. "" stands for "provost". It is created if it does not
	// exist.
	Schema string
}

// Store is a [store.Store] in PostgreSQL. It is safe for concurrent use, and several processes may
// use one database.
type Store struct {
	*sqlstore.Store
	pool   *pgxpool.Pool
	owned  bool // Open opened pool, so Close closes it
	schema string
	spell  *spelling
	plain  atomic.Bool // use no prepared statements, which get lost between here and the server, as behind PgBouncer

	together opening // see setOpenings
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

// Open connects to a database and brings its tables up to date. The DSN is one of pgx: a URL or
// key=value pairs, including the settings of its pool, such as pool_max_conns.
func Open(ctx context.Context, dsn string) (*Store, error) { return Config{}.Open(ctx, dsn) }

// Open connects to a database with these settings; see [Open].
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

// New returns a store in the database of a pool that the caller has opened, and brings its tables
// up to date. The pool must allow at least three connections: the store keeps one to listen for
// notifications. Close leaves the pool open.
func New(ctx context.Context, pool *pgxpool.Pool) (*Store, error) { return Config{}.New(ctx, pool) }

// New returns a store with these settings; see [New].
func (c Config) New(ctx context.Context, pool *pgxpool.Pool) (*Store, error) {
	s := &Store{pool: pool, schema: c.Schema}
	if s.schema == "" {
		s.schema = "provost"
	}
	s.spell = &spelling{schema: pgx.Identifier{s.schema}.Sanitize()}
	s.setOpenings()
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.creator = newCreator(s)
	s.notifier = newNotifier(s)
	s.Store = sqlstore.New((*database)(s))
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

// Close closes the store. Calls that wait, and later ones, return an error, such as [ErrClosed].
func (s *Store) Close() error {
	s.cancel()
	s.loops.Wait()
	if s.owned {
		s.pool.Close()
	}
	return nil
}

// ErrClosed is returned by a store that was closed.
var ErrClosed = errors.New("postgres: the store is closed")

// database is the store as package sqlstore sees it.
type database Store

var (
	_ sqlstore.DB          = (*database)(nil)
	_ sqlstore.Broadcaster = (*database)(nil)
	_ sqlstore.Clock       = (*database)(nil)
)

// Broadcast implements [sqlstore.Broadcaster].
func (d *database) Broadcast(h sqlstore.Hints) { d.notifier.tell(h) }

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

// opening is the statements that begin a transaction.
type opening []string

// reads begins a transaction all of whose queries see one state.
var reads = opening{"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"}

// byIndex keeps the planner to the indexes and to their order. provost_due is empty at one moment
// and large at the next, statistics are of yet another moment, and plans are kept.
const byIndex = "SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true), set_config('enable_sort', 'off', true), " +
	"set_config('jit', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true), "

// setOpenings sets how transactions begin. Most go together and lock rows. Those that change what
// all others rely on go alone. While one of these waits, no other transaction gets in, so it does
// not wait long: a transaction that does not end, of a caller or of a stopped process, must not
// hold up all others. It tries again a little later, and then waits a little longer.
func (s *Store) setOpenings() {
	key := int64(s.key())
	s.together = opening{"BEGIN", fmt.Sprintf(byIndex+"pg_advisory_xact_lock_shared(%d)", key)}
	for i := range s.alone {
		wait := lockWait << i
		s.alone[i] = opening{"BEGIN", fmt.Sprintf(byIndex+"set_config('lock_timeout', '%dms', true), pg_advisory_xact_lock(%d)", wait.Milliseconds(), key)}
	}
}

// key returns a hash of the schema's name, for where that is too long or a number is needed.
func (s *Store) key() uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte("provost " + s.schema)) // a hash does not fail
	return h.Sum64()
}

// lockWait is how long a transaction waits to be alone the first time. It waits twice as long each
// time, for lockWaits times. In between it lets the others pass for four times as long as it has
// kept them out.
const (
	lockWait  = 40 * time.Millisecond
	lockWaits = 4
)

// Read implements [sqlstore.DB]. All queries of do see one state.
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
		_ = t.hangUp() // reports the same error
		s.rollback(conn)
		return err
	}
	err = t.commit()
	if sqlState(err) == "" { // committed, or the outcome is unknown
		t.state.Committed()
	}
	if err != nil {
		s.rollback(conn)
		return fmt.Errorf("postgres: commit: %w", err)
	}
	return nil
}

// in returns a transaction as package sqlstore sees it.
func (s *Store) in(ctx context.Context, of session) *tx {
	return &tx{session: of, ctx: ctx, spell: s.spell, plain: s.plain.Load()}
}

// rollback ends a transaction that has failed, even if its context has ended. If it fails too, the
// pool drops the connection.
func (s *Store) rollback(conn *pgxpool.Conn) {
	if conn.Conn().PgConn().TxStatus() == 'I' {
		return // there is none
	}
	ctx, cancel := context.WithTimeout(context.Background(), rollbackTimeout)
	defer cancel()
	_, _ = conn.Exec(ctx, "ROLLBACK")
}

const rollbackTimeout = 2 * time.Second

// WithTx returns the store inside a transaction of the caller. What it writes exists if and only if
// the caller commits; what it reads is what the transaction sees. An operation that fails leaves
// the transaction as it was.
//
// Keep such transactions short. While one is open, no other transaction can change a deployment
// that it has made a run of, and if that has a ConcurrencyLimit, no other run gets a slot of it.
//
// The commit notifies runners of new runs, by NOTIFY, so the transaction cannot be prepared for a
// two-phase commit. Above 100 notifications/s the rest are delayed by 0.1 s, or the runners find
// the runs with their next poll.
func (s *Store) WithTx(t pgx.Tx) store.Store { return sqlstore.New(callers{s, t}) }

// callers is a transaction of the caller as a database.
type callers struct {
	store *Store
	tx    pgx.Tx
}

// Write implements [sqlstore.DB].
func (c callers) Write(ctx context.Context, _ sqlstore.Work, do func(sqlstore.Tx) error) error {
	plain := c.store.plain.Load()
	err := c.write(ctx, do)
	if isLost(sqlState(err)) && !plain { // other conflicts are the caller's to handle: its transaction holds locks
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
		_ = t.hangUp() // reports the same error
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
