package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/testenv"
	"github.com/provost-go/provost/params"
	"github.com/provost-go/provost/store"
	"github.com/provost-go/provost/store/sqlite"
)

// full reports whether the long forms of the tests run.
var full = os.Getenv("PROVOST_CHAOS") == "full"

// moment is the content of the disk when a call was acknowledged, and what had been acknowledged by
// then.
type moment struct {
	db, wal []byte
	known   map[uuid.UUID]int // length of each run's history
}

// TestPowerLoss cuts the power at many moments. For each it takes the file as the disk had it when
// a call had just been acknowledged, followed by what a write under way may have left. The file
// opens, is intact, has everything that was acknowledged, and can be written to. Some moments are
// within a checkpoint, which writes the pages of the file in any order.
func TestPowerLoss(t *testing.T) {
	images := 40
	switch {
	case full:
		images = 500
	case testenv.Race:
		images = 10
	}
	r := rand.New(rand.NewPCG(1, 2))
	moments, checkpoints := record(t, r)
	for i := range images {
		var m moment
		if i%4 == 3 {
			m = checkpoints[r.IntN(len(checkpoints))](r)
		} else {
			at := r.IntN(len(moments) - 1)
			m = moments[at]
			m.wal = append(m.wal[:len(m.wal):len(m.wal)], torn(r, m.wal, moments[at+1].wal)...)
		}
		t.Run(fmt.Sprint(i), func(t *testing.T) { checkImage(t, m) })
	}
}

const pageSize, frameHeader = 4096, 24

// torn returns what may follow the end of a log: nothing, noise, or a part of what was written
// next.
func torn(r *rand.Rand, wal, next []byte) []byte {
	switch r.IntN(3) {
	case 0:
		return nil
	case 1:
		noise := make([]byte, (1+r.IntN(2))*(pageSize+frameHeader))
		for i := range noise {
			noise[i] = byte(r.Uint32())
		}
		return noise
	}
	if len(next) <= len(wal) {
		return nil
	}
	rest := next[len(wal):]
	return rest[:r.IntN(min(len(rest), 2*(pageSize+frameHeader)))] // less than what was acknowledged next
}

// record does a mix of operations, one at a time, and returns the file after each. For each
// checkpoint it returns a function that makes a moment within it.
func record(t *testing.T, r *rand.Rand) (moments []moment, checkpoints []func(*rand.Rand) moment) {
	path := filepath.Join(t.TempDir(), "provost.db")
	store := open(t, path)
	raw, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	w := newWorld(t, store)
	for i := range 300 {
		w.act(r)
		moments = append(moments, moment{read(t, path), read(t, path+"-wal"), w.histories()})
		if i%25 != 24 {
			continue
		}
		before := moments[len(moments)-1]
		if _, err := raw.ExecContext(t.Context(), "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
			t.Fatal(err)
		}
		after := read(t, path)
		checkpoints = append(checkpoints, func(r *rand.Rand) moment { return within(r, before, after) })
		moments = append(moments, moment{after, read(t, path+"-wal"), before.known})
	}
	return moments, checkpoints
}

// within returns a moment within a checkpoint: some pages are new, some are half written, and the
// log is still there.
func within(r *rand.Rand, before moment, after []byte) moment {
	size := len(before.db)
	if r.IntN(2) == 0 {
		size = len(after)
	}
	db := make([]byte, size)
	copy(db, before.db)
	for at := 0; at < min(size, len(after)); at += pageSize {
		switch end := min(at+pageSize, size, len(after)); r.IntN(3) {
		case 0:
			copy(db[at:end], after[at:end])
		case 1:
			copy(db[at:(at+end)/2], after[at:(at+end)/2])
		}
	}
	return moment{db, before.wal, before.known}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return text
}

func checkImage(t *testing.T, m moment) {
	path := filepath.Join(t.TempDir(), "provost.db")
	for name, text := range map[string][]byte{path: m.db, path + "-wal": m.wal} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	store := open(t, path)
	raw, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	var verdict string
	if err := raw.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		t.Fatalf("integrity check: got %q and error %v, want ok", verdict, err)
	}
	for id, states := range m.known {
		run, err := store.GetRun(t.Context(), id)
		if err != nil {
			t.Errorf("an acknowledged run is lost: %v", err)
		} else if len(run.History) < states {
			t.Errorf("run %s: got history %v, want the %d states that were acknowledged", id, run.History, states)
		}
	}
	w := newWorld(t, store) // the store can be written to
	w.create()
	w.claimAndSettle(rand.New(rand.NewPCG(3, 4)))
}

// world is a store with one user, who makes one call after another.
type world struct {
	*testing.T
	store  *sqlite.Store
	runner uuid.UUID
	runs   []uuid.UUID
}

var worldDeployment = uuid.MustParse("11111111-1111-4111-8111-111111111111")

func newWorld(t *testing.T, st *sqlite.Store) *world {
	t.Helper()
	w := &world{T: t, store: st, runner: uuid.New()}
	now := time.Now()
	_, err := st.RegisterDeployments(t.Context(), store.RegisterDeploymentsParams{Now: now, Deployments: []*store.DeploymentRecord{{
		ID: worldDeployment, FlowID: store.FlowID("f"), Flow: "f", Name: "d", Digest: "1", ConcurrencyLimit: 20, MaxWaiting: 1000,
	}}})
	w.must(err)
	_, err = st.RegisterRunner(t.Context(), store.RegisterRunnerParams{
		Now: now, Deployments: []uuid.UUID{worldDeployment},
		Runner: store.RunnerRecord{ID: w.runner, Name: "r", Started: now, SeenAt: now, Until: now.Add(time.Hour)},
	})
	w.must(err)
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// histories returns the length of each run's history. All runs of a world fit on one page.
func (w *world) histories() map[uuid.UUID]int {
	page, err := w.store.ListRuns(context.Background(), store.RunFilter{Limit: store.MaxPage})
	w.must(err)
	if page.Next != "" {
		w.Fatal("got more runs than fit on one page")
	}
	if len(page.Items) != len(w.runs) {
		w.Fatalf("got %d runs listed, want the %d that were made", len(page.Items), len(w.runs))
	}
	known := make(map[uuid.UUID]int)
	for _, run := range page.Items {
		known[run.ID] = len(run.History)
	}
	return known
}

func (w *world) act(r *rand.Rand) {
	switch r.IntN(4) {
	case 0, 1:
		w.create()
	case 2:
		w.claimAndSettle(r)
	case 3:
		if len(w.runs) > 0 { // a finished run refuses, which is fine
			id := w.runs[r.IntN(len(w.runs))]
			if _, err := w.store.CancelRun(w.Context(), store.CancelRunParams{Now: time.Now(), RunID: id}); err != nil {
				_, err = w.store.RetryRun(w.Context(), store.RetryRunParams{Now: time.Now(), RunID: id})
				if err != nil && r.IntN(2) == 0 {
					w.claimAndSettle(r)
				}
			}
		}
	}
}

func (w *world) create() {
	w.Helper()
	id, err := uuid.NewV7()
	w.must(err)
	now := time.Now()
	_, err = w.store.CreateRun(w.Context(), store.CreateRunParams{
		Now: now, ID: id, DeploymentID: worldDeployment, ScheduledTime: now, DueTime: now, Parameters: params.Params{"text": "some text"},
	})
	w.must(err)
	w.runs = append(w.runs, id)
}

func (w *world) claimAndSettle(r *rand.Rand) {
	w.Helper()
	claims, err := w.store.ClaimRuns(w.Context(), store.ClaimRunsParams{Now: time.Now(), Runner: w.runner, ID: uuid.New(), Limit: 5, TTL: time.Hour})
	w.must(err)
	var updates []store.RunUpdate
	var logs []store.RunLog
	for _, c := range claims.Runs {
		state := store.State{Type: store.StateCompleted, Timestamp: time.Now()}
		if r.IntN(3) == 0 {
			state.Type = store.StateFailed
		}
		updates = append(updates, store.RunUpdate{Lease: c.Lease, StartTime: time.Now(), Attempt: c.Attempt + 1, State: state})
		logs = append(logs, store.RunLog{Lease: c.Lease, Lines: []store.LogRecord{{Time: time.Now(), Message: "a line"}}})
	}
	errs, err := w.store.AppendLogs(w.Context(), store.AppendLogsParams{Runs: logs})
	if errs != nil {
		w.Fatal(errs)
	}
	w.must(err)
	errs, err = w.store.SettleRuns(w.Context(), store.SettleRunsParams{Now: time.Now(), Updates: updates})
	if errs != nil {
		w.Fatal(errs)
	}
	w.must(err)
}
