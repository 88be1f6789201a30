package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/store"
	"github.com/provost-go/provost/store/sqlite"
)

// deployed returns a client of a store, after it has declared the deployment f/d.
func deployed(t *testing.T, store store.Store) *provost.Client {
	t.Helper()
	client := provost.NewClient(store)
	flow := provost.NewJob("f", func(context.Context) error { return nil })
	if _, err := client.Deploy(t.Context(), &provost.Deployment{Flow: flow, Name: "d"}); err != nil {
		t.Fatal(err)
	}
	return client
}

func rawOpen(t *testing.T, path string) *sql.DB {
	t.Helper()
	return rawOpenWith(t, path, "_pragma=busy_timeout(0)")
}

func rawOpenWith(t *testing.T, path, settings string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?"+settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// TestWithTx makes runs in a transaction of the caller. They exist if and only if it commits.
func TestWithTx(t *testing.T) {
	path := filepath.Join(t.TempDir(), "provost.db")
	st := open(t, path)
	deployed(t, st)
	db := rawOpen(t, path)
	for _, commits := range []bool{false, true} {
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		inside := st.WithTx(tx)
		now := time.Now()
		_, err = inside.CreateRun(t.Context(), store.CreateRunParams{Now: now, ID: uuid.New(), DeploymentID: uuid.New(), ScheduledTime: now, DueTime: now})
		if !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("a run of an unknown deployment: got error %v, want %v", err, store.ErrNotFound)
		}
		run, err := provost.NewClient(inside).RunDeployment(t.Context(), "f/d", nil) // the failed call left nothing behind
		if err != nil {
			t.Fatal(err)
		}
		if seen, err := inside.GetRun(t.Context(), run.ID); err != nil || seen.State.Type != store.StateScheduled {
			t.Errorf("inside the transaction: got run %v and error %v, want it scheduled", seen, err)
		}
		if _, err := st.GetRun(t.Context(), run.ID); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("outside the transaction: got error %v, want the run not found", err)
		}
		if commits {
			err = tx.Commit()
		} else {
			err = tx.Rollback()
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := st.GetRun(t.Context(), run.ID); commits != (err == nil) {
			t.Errorf("after the transaction, committed: %t: reading the run: got error %v", commits, err)
		}
	}
}

// TestWithTxNotifies makes runs in a transaction of the caller. They begin once it commits, not at
// the runner's next poll.
func TestWithTxNotifies(t *testing.T) {
	path := filepath.Join(t.TempDir(), "provost.db")
	store := open(t, path)
	began := make(chan struct{})
	d := &provost.Deployment{Flow: provost.NewJob("f", func(context.Context) error { began <- struct{}{}; return nil }), Name: "d"}
	ctx, stop := context.WithCancel(t.Context())
	runner := &provost.Runner{Store: store, PollInterval: time.Hour}
	served := make(chan error, 1)
	go func() { served <- runner.Serve(ctx, d) }()
	<-runner.Ready()
	db := rawOpenWith(t, path, "_txlock=immediate&_pragma=busy_timeout(30000)") // the runner writes too
	for range 3 {
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := provost.NewClient(store.WithTx(tx)).RunDeployment(t.Context(), "f/d", nil); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-began:
		case <-time.After(5 * time.Second): // without a notification it looks after ten seconds
			t.Fatal("the run did not begin within 5 s of the commit")
		}
	}
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// TestNew opens a store in a database that the caller has opened, and leaves that open.
func TestNew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "provost.db")
	db := rawOpen(t, path)
	if _, err := db.ExecContext(t.Context(), "PRAGMA journal_mode = WAL; CREATE TABLE run (mine TEXT)"); err != nil {
		t.Fatal(err)
	}
	st, err := sqlite.New(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	run, err := deployed(t, st).RunDeployment(t.Context(), "f/d", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := st.CreateRun(t.Context(), store.CreateRunParams{}); !errors.Is(err, sqlite.ErrClosed) {
		t.Errorf("a closed store: got error %v, want ErrClosed", err)
	}
	var n int
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM provost_run").Scan(&n); err != nil || n != 1 {
		t.Errorf("got %d runs and error %v, want 1 run", n, err)
	}
	if _, err := open(t, path).GetRun(t.Context(), run.ID); err != nil {
		t.Error(err)
	}
}

// TestBackup copies a store while another goroutine writes to it.
func TestBackup(t *testing.T) {
	dir := t.TempDir()
	store := open(t, filepath.Join(dir, "provost.db"))
	client := deployed(t, store)
	first, err := client.RunDeployment(t.Context(), "f/d", nil)
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := client.RunDeployment(t.Context(), "f/d", nil); err != nil {
				t.Error(err)
				return
			}
		}
	})
	copied := filepath.Join(dir, "copy's.db")
	err = store.Backup(t.Context(), copied)
	close(stop)
	writing.Wait()
	if err != nil {
		t.Fatal(err)
	}
	backup := open(t, copied)
	if _, err := backup.GetRun(t.Context(), first.ID); err != nil {
		t.Error(err)
	}
	if _, err := provost.NewClient(backup).RunDeployment(t.Context(), "f/d", nil); err != nil {
		t.Error(err)
	}
}

// TestOpenRefuses opens what is not a store. The errors name the path and what is wrong with it.
func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("this is no database\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	newer := filepath.Join(dir, "newer.db")
	open(t, newer)
	if _, err := rawOpen(t, newer).ExecContext(t.Context(), "UPDATE provost_meta SET value = 99 WHERE name = 'version'"); err != nil {
		t.Fatal(err)
	}
	for path, word := range map[string]string{
		text: "not a database", dir: "directory", filepath.Join(dir, "none", "provost.db"): "no such file", newer: "version 99",
	} {
		store, err := sqlite.Open(t.Context(), path)
		if err == nil {
			t.Errorf("%s was opened", path)
			_ = store.Close()
			continue
		}
		if !strings.Contains(err.Error(), word) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got error %q, want it to contain %q and the path", path, err, word)
		}
	}
}

// TestPrivate checks that only the owner can read the file, as parameters are kept in clear.
func TestPrivate(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such file modes")
	}
	path := filepath.Join(t.TempDir(), "provost.db")
	open(t, path)
	for _, name := range []string{path, path + "-wal"} {
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: got mode %v and error %v, want mode 0600", name, info.Mode(), err)
		}
	}
}

// TestLockedFile calls a store whose file another connection has locked. A call ends with its
// context, goes on when the file is free, and never fails because the file is locked.
func TestLockedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "provost.db")
	st := open(t, path)
	client := deployed(t, st)
	conn, err := rawOpen(t, path).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	if _, err := client.CountRuns(t.Context(), store.RunFilter{}); err != nil {
		t.Errorf("reading beside a writer: got error %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	now := time.Now()
	_, err = st.CreateRun(ctx, store.CreateRunParams{Now: now, ID: uuid.New(), DeploymentID: uuid.New(), ScheduledTime: now, DueTime: now})
	if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took > 5*time.Second {
		t.Errorf("got error %v after %v, want context.DeadlineExceeded within 5 s", err, took)
	}
	waits := make(chan error, 1)
	go func() {
		_, err := client.RunDeployment(t.Context(), "f/d", nil)
		waits <- err
	}()
	if _, err := conn.ExecContext(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	if err := <-waits; err != nil {
		t.Error(err)
	}
}
