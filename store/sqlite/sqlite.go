// Package sqlite keeps provost's deployments and runs in an SQLite file, for programs on one
// machine whose runs must survive the process.
//
//	store, err := sqlite.Open(ctx, "provost.db")
//	if err != nil { ... }
//	defer store.Close()
//	err = (&provost.Runner{Store: store}).Serve(ctx, deployments...)
//
// Several processes may use one file, on one machine and a local disk. The driver is
// modernc.org/sqlite, which needs no C compiler; [New] takes a database of any other.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver

	"github.com/provost-go/provost/store"
	"github.com/provost-go/provost/store/internal/sqlstore"
)

// Config holds the settings of [Config.Open]. With the zero value, every acknowledged change
// survives whatever happens to the machine.
type Config struct {
	// Relaxed does not wait for the disk at each commit (synchronous=NORMAL). A loss of power may
	// then lose the newest changes; the end of the process loses none. The file stays intact either
	// way.
	Relaxed bool

	// Readers is the number of connections that read beside the writer. 0 stands for 4.
	Readers int
}

// Store is a [store.Store] in an SQLite file. It is safe for concurrent use, and several processes
// may use one file.
type Store struct {
	*sqlstore.Store
	db     *sql.DB
	owned  bool // Open opened db, so Close closes it
	writer *writer
	memory bool // the one connection serves reads too
}

var (
	_ store.Store    = (*Store)(nil)
	_ store.Notifier = (*Store)(nil)
)

// Open opens the file at path and brings its tables up to date. It creates a file that does not
// exist, readable by its owner alone, because parameters are kept in clear. The path ":memory:"
// opens a store in memory, which is lost with Close.
func Open(ctx context.Context, path string) (*Store, error) { return Config{}.Open(ctx, path) }

// Open opens a file with these settings; see [Open].
func (c Config) Open(ctx context.Context, path string) (*Store, error) {
	memory := path == ":memory:"
	if !memory {
		if err := private(path); err != nil {
			return nil, fmt.Errorf("sqlite: open %s: %w", path, err)
		}
	}
	db, err := sql.Open("sqlite", c.source(path, memory))
	if err != nil {
		return nil, fmt.Errorf("sqlite: open %s: %w", path, err)
	}
	if memory {
		db.SetMaxOpenConns(1)
	} else {
		readers := c.Readers
		if readers <= 0 {
			readers = 4
		}
		db.SetMaxOpenConns(readers + 1)
		db.SetMaxIdleConns(readers + 1)
	}
	s, err := open(ctx, db, memory)
	if err != nil {
		_ = db.Close() // nothing was written
		return nil, fmt.Errorf("sqlite: open %s: %w", path, err)
	}
	s.owned = true
	return s, nil
}

// private creates the file, readable by its owner alone, if it does not exist: parameters are kept
// in clear.
func private(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// source returns the driver's name of the file, with the settings of each connection.
func (c Config) source(path string, memory bool) string {
	pragmas := []string{"journal_mode(WAL)", "busy_timeout(0)", "foreign_keys(0)", "temp_store(MEMORY)", "cache_size(-16000)"}
	if c.Relaxed {
		pragmas = append(pragmas, "synchronous(NORMAL)")
	} else {
		pragmas = append(pragmas, "synchronous(FULL)")
	}
	query := url.Values{"_pragma": pragmas}.Encode()
	if memory {
		return ":memory:?" + query
	}
	return "file:" + strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path) + "?" + query
}

// New returns a store in a database that the caller has opened, with any driver for SQLite. It
// brings the tables up to date; their names begin with provost_. The database must allow at least
// two connections. It should be in WAL mode, and its connections should have no busy timeout. Close
// leaves it open.
func New(ctx context.Context, db *sql.DB) (*Store, error) {
	s, err := open(ctx, db, false)
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	return s, nil
}

func open(ctx context.Context, db *sql.DB, memory bool) (*Store, error) {
	conn, err := connect(ctx, db)
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, memory: memory, writer: newWriter(conn)}
	s.Store = sqlstore.New(s.database())
	go s.writer.loop()
	if err := s.Migrate(ctx); err != nil {
		s.writer.close()
		return nil, errors.Join(err, conn.Close())
	}
	return s, nil
}

// connect opens a connection. It waits while another process has the file to itself, for example to
// recover it after a crash.
func connect(ctx context.Context, db *sql.DB) (*sql.Conn, error) {
	for {
		conn, err := db.Conn(ctx)
		if err == nil || !isBusy(err) || !pause(ctx) {
			return conn, err
		}
	}
}

// pause waits until it is time to try a locked file again. It returns false if ctx ends first.
func pause(ctx context.Context) bool {
	timer := time.NewTimer(lockPoll)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Close closes the store, after it has answered the calls that wait. Later calls return
// [ErrClosed].
func (s *Store) Close() error {
	s.writer.close()
	s.writer.direct.forget()
	err := s.writer.write.Close()
	if s.owned {
		err = errors.Join(err, s.db.Close())
	}
	return err
}

func (s *Store) database() sqlstore.DB { return (*database)(s) }

// database is the store as package sqlstore sees it.
type database Store

// Write implements [sqlstore.DB].
func (d *database) Write(ctx context.Context, work sqlstore.Work, do func(sqlstore.Tx) error) error {
	return d.writer.submit(ctx, work, do)
}

// Read implements [sqlstore.DB]. It sees one state of the file and does not block writers.
func (d *database) Read(ctx context.Context, do func(sqlstore.Tx) error) error {
	if d.memory {
		return d.writer.submit(ctx, sqlstore.Common, do)
	}
	for {
		err := d.readOnce(ctx, do)
		if err == nil || !isBusy(err) || !pause(ctx) {
			return err
		}
	}
}

func (d *database) readOnce(ctx context.Context, do func(sqlstore.Tx) error) error {
	t, err := d.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("sqlite: begin: %w", err)
	}
	defer t.Rollback() //nolint:errcheck // nothing was written
	return do(&tx{executor: through{t}, ctx: ctx})
}

// WithTx returns the store inside a transaction of the caller. What it writes exists if and only if
// the caller commits; what it reads is what the transaction sees. An operation that fails leaves
// the transaction as it was.
//
// The transaction must be one of the store's file. From its first write on it holds the file's only
// write lock, so that all other writers wait until it ends: keep it short.
//
// Runners of this store are notified of new runs at once, and then wait for the file and with it
// for the commit. Runners of other processes find them with their next poll.
func (s *Store) WithTx(t *sql.Tx) store.Store { return sqlstore.New(callers{s, t}) }

// callers is a transaction of the caller as a database.
type callers struct {
	store *Store
	tx    *sql.Tx
}

// Write implements [sqlstore.DB]. A savepoint undoes an operation that fails.
func (c callers) Write(ctx context.Context, _ sqlstore.Work, do func(sqlstore.Tx) error) error {
	if _, err := c.tx.ExecContext(ctx, "SAVEPOINT provost"); err != nil {
		return fmt.Errorf("sqlite: savepoint: %w", err)
	}
	t := &tx{executor: through{c.tx}, ctx: ctx}
	err := t.do(do)
	if err != nil {
		if _, undone := c.tx.ExecContext(ctx, "ROLLBACK TO provost"); undone != nil {
			return errors.Join(err, fmt.Errorf("sqlite: roll back to savepoint: %w", undone))
		}
	}
	if _, released := c.tx.ExecContext(ctx, "RELEASE provost"); released != nil {
		return errors.Join(err, fmt.Errorf("sqlite: release savepoint: %w", released))
	}
	if hints := t.state.Hints(); err == nil && hints.Any() {
		sqlstore.Hint(c.store.Store, hints)
	}
	return err
}

// Read implements [sqlstore.DB].
func (c callers) Read(ctx context.Context, do func(sqlstore.Tx) error) error {
	return do(&tx{executor: through{c.tx}, ctx: ctx})
}

// Backup writes a copy of the whole database to a new file at path. The copy is of one moment;
// other calls go on meanwhile.
func (s *Store) Backup(ctx context.Context, path string) error {
	if _, err := s.db.ExecContext(ctx, "VACUUM INTO ?", path); err != nil {
		return fmt.Errorf("sqlite: back up into %s: %w", path, err)
	}
	return nil
}
