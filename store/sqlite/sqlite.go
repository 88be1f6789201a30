// Package sqlite keeps provost's deployments and runs in an SQLite file, for programs on one machine whose runs must survive.
//
//	store, err := sqlite.Open(ctx, "provost.db")
//	if err != nil { ... }
//	defer store.Close()
//	err = (&provost.Runner{Store: store}).Serve(ctx, deployments...)
//
// Several processes may use one file. The driver is modernc.org/sqlite, which needs no C compiler; [New] takes any other.
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

	"github.com/provost-go/provost/store"

	"github.com/provost-go/provost/store/internal/sqlstore"
	_ "modernc.org/sqlite"
)

// the driver

// Config is how a file is opened. The zero value keeps every acknowledged change whatever happens to the machine.
type Config struct {
	// Relaxed does not wait for the disk at each commit (synchronous=NORMAL): the newest changes may be lost with the machine's
	// power, never with the process, and the file stays whole.
	Relaxed bool

	// Readers is how many connections read beside the writer: 0 for 4.
	Readers int
}

// Store is a [provost.Store] in an SQLite file. It is safe for concurrent use, and by several processes.
type Store struct {
	*sqlstore.Ledger
	db     *sql.DB
	owned  bool // db was opened here
	writer *writer
	memory bool // there is one connection, for reading too
}

var (
	_ store.Store    = (*Store)(nil)
	_ store.Notifier = (*Store)(nil)
)

// Open opens a file, or makes it, and brings its tables up to date. ":memory:" is a store that is gone with Close.
func Open(ctx context.Context, path string) (*Store, error) { return Config{}.Open(ctx, path) }

// Open is [Open] in another way than the usual.
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

// private makes the file readable for its owner alone, if it is not there yet: parameters are kept in clear.
func private(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// source is the driver's name for the file with the settings of each connection.
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

// New is a store in a database that the caller has opened, with any driver for SQLite. Its tables begin with provost_, and are brought
// up to date. The database should be in WAL mode, its connections without a busy timeout of their own, and must allow two of them at
// least. Close leaves it open.
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
	s.Ledger = sqlstore.New(s.database())
	go s.writer.loop()
	if err := s.Migrate(ctx); err != nil {
		s.writer.close()
		return nil, errors.Join(err, conn.Close())
	}
	return s, nil
}

// connect waits for a connection as long as another process keeps the file to itself: while it brings it up to date after a crash, say.
func connect(ctx context.Context, db *sql.DB) (*sql.Conn, error) {
	for {
		conn, err := db.Conn(ctx)
		if err == nil || !isBusy(err) || !pause(ctx) {
			return conn, err
		}
	}
}

// pause waits until a file that was locked may not be any more, false if ctx ends before.
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

// Close ends the store. Calls that wait are answered first.
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

// database is the store as its ledger sees it.
type database Store

// Write implements [sqlstore.DB].
func (d *database) Write(ctx context.Context, work sqlstore.Work, do func(sqlstore.Tx) error) error {
	return d.writer.submit(ctx, work, do)
}

// Read implements [sqlstore.DB]. It sees one state of the file, without keeping anybody from writing.
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

// WithTx is the store inside a transaction of the caller's: what it creates is there if and only if the caller commits, and what it
// reads is what the transaction sees. The transaction must be of the store's file. It has the file's only write lock from its first
// write on, and keeps all others waiting until it ends. Runners of this store hear of new runs at once, and then wait for the file, so
// for the commit; those of other processes when they look next.
func (s *Store) WithTx(t *sql.Tx) store.Store { return sqlstore.New(callers{s, t}) }

// callers is a transaction of the caller's as a database.
type callers struct {
	store *Store
	tx    *sql.Tx
}

// Write implements [sqlstore.DB]. What fails leaves nothing behind.
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
		sqlstore.Hint(c.store.Ledger, hints)
	}
	return err
}

// Read implements [sqlstore.DB].
func (c callers) Read(ctx context.Context, do func(sqlstore.Tx) error) error {
	return do(&tx{executor: through{c.tx}, ctx: ctx})
}

// Backup writes a copy of the whole database, as it is at one moment, into a new file.
func (s *Store) Backup(ctx context.Context, path string) error {
	if _, err := s.db.ExecContext(ctx, "VACUUM INTO ?", path); err != nil {
		return fmt.Errorf("sqlite: back up into %s: %w", path, err)
	}
	return nil
}
