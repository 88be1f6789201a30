//go:build unix

package provost_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/internal/rpc"
	"github.com/provost-go/provost/store"
)

// chaosHost serves the store that runners in processes of their own share, over a socket, and
// starts those processes.
type chaosHost struct {
	t       *testing.T
	config  chaosConfig // of the next runner, except for its name
	store   *auditedStore
	client  *provost.Client
	started int
}

func newChaosHost(t *testing.T, config chaosConfig) *chaosHost {
	t.Helper()
	if !fullChaos {
		t.Parallel() // it mostly waits
	}
	dir, err := os.MkdirTemp("", "provost") // the path of t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	config.Socket, config.Journal = filepath.Join(dir, "store"), filepath.Join(dir, "journal")
	listener, err := net.Listen("unix", config.Socket)
	if err != nil {
		t.Fatal(err)
	}
	h := &chaosHost{t: t, config: config, store: newAuditedStore(provost.NewMemoryStore())}
	h.client = provost.NewClient(h.store)
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { _ = rpc.Serve(ctx, conn, h.store) }) // returns an error if its runner is killed
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		cancel()
		serving.Wait()
		_ = os.RemoveAll(dir)
	})
	return h
}

// chaosProcess is a runner in a process of its own.
type chaosProcess struct {
	t      *testing.T
	name   string
	cmd    *exec.Cmd
	log    bytes.Buffer // to be read when done is closed
	ready  chan struct{}
	done   chan struct{}
	report chaosReport // to be read when done is closed
}

func (h *chaosHost) start() *chaosProcess {
	h.t.Helper()
	h.started++
	config := h.config
	config.Name = fmt.Sprintf("r%d", h.started)
	text, err := json.Marshal(config)
	if err != nil {
		h.t.Fatal(err)
	}
	p := &chaosProcess{t: h.t, name: config.Name, cmd: exec.Command(os.Args[0]), ready: make(chan struct{}), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), helperVariable+"=chaos", chaosVariable+"="+string(text))
	p.cmd.Stderr = &p.log
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		lines := json.NewDecoder(bufio.NewReader(stdout))
		for lines.Decode(&p.report) == nil {
			if p.report.Ready {
				close(p.ready)
				p.report = chaosReport{}
			}
		}
		_ = p.cmd.Wait() // it may have been killed
		_ = stdin.Close()
	}()
	h.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
	})
	return p
}

// startReady starts n runners at once and waits until all of them serve.
func (h *chaosHost) startReady(n int) []*chaosProcess {
	h.t.Helper()
	processes := make([]*chaosProcess, n)
	for i := range processes {
		processes[i] = h.start()
	}
	for _, p := range processes {
		p.awaitReady()
	}
	return processes
}

func (p *chaosProcess) awaitReady() {
	p.t.Helper()
	select {
	case <-p.ready:
	case <-p.done:
		p.t.Fatalf("%s exited before it served: %s\n%s", p.name, p.report.Error, p.log.String())
	case <-time.After(30 * time.Second):
		p.t.Fatalf("%s is not ready after 30s", p.name)
	}
}

func (p *chaosProcess) signal(sig os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
}

// kill sends SIGKILL to the process and returns the time at which it had ended.
func (p *chaosProcess) kill() time.Time {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	<-p.done
	return time.Now()
}

// drain sends SIGTERM to the process, as a deployment does, and checks that it ends cleanly.
func (p *chaosProcess) drain() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		p.t.Fatalf("%s is still running 30s after SIGTERM", p.name)
	}
	if p.report.Error != "" || p.cmd.ProcessState.ExitCode() != 0 {
		p.t.Errorf("%s exited with code %d: %s\n%s", p.name, p.cmd.ProcessState.ExitCode(), p.report.Error, p.log.String())
	}
	if p.report.Goroutines != "" {
		p.t.Errorf("%s left goroutines behind: %s", p.name, p.report.Goroutines)
	}
}

// journal returns what the flows did, in order.
func (h *chaosHost) journal() []chaosNote {
	h.t.Helper()
	text, err := os.ReadFile(h.config.Journal)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		h.t.Fatal(err)
	}
	var notes []chaosNote
	for line := range bytes.Lines(text) {
		var n chaosNote
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // the line is being written
		}
		if err := json.Unmarshal(line, &n); err != nil {
			h.t.Fatalf("journal: %q: %v", line, err)
		}
		notes = append(notes, n)
	}
	return notes
}

// lastNote returns the newest note of a run, by one runner or, if runner is "", by any. It returns
// the zero note if there is none.
func (h *chaosHost) lastNote(run uuid.UUID, runner string) (last chaosNote) {
	h.t.Helper()
	for _, n := range h.journal() {
		if n.Run == run && (runner == "" || n.Runner == runner) {
			last = n
		}
	}
	return last
}

// await polls every 5 ms until done returns true. It fails the test after 30 seconds.
func (h *chaosHost) await(what string, done func() bool) {
	h.t.Helper()
	for deadline := time.After(30 * time.Second); !done(); {
		select {
		case <-deadline:
			h.t.Fatalf("timed out after 30s waiting for %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// runs returns all runs in the store that match a filter.
func (h *chaosHost) runs(f provost.RunFilter) []*provost.Run {
	h.t.Helper()
	f.Limit = store.MaxPage
	var runs []*provost.Run
	for {
		page, err := h.client.ListRuns(context.Background(), f)
		if err != nil {
			h.t.Fatal(err)
		}
		runs = append(runs, page.Items...)
		if f.Cursor = page.Next; f.Cursor == "" {
			return runs
		}
	}
}

var openStates = []provost.StateType{provost.StateScheduled, provost.StatePending, provost.StateRunning, provost.StateCancelling}

// awaitFinished waits until every run that is scheduled before a time has finished.
func (h *chaosHost) awaitFinished(before time.Time) {
	h.t.Helper()
	deadline := time.After(60 * time.Second)
	for {
		var open []*provost.Run
		for _, run := range h.runs(provost.RunFilter{States: openStates}) {
			if run.ScheduledTime.Before(before) {
				open = append(open, run)
			}
		}
		if len(open) == 0 {
			return
		}
		select {
		case <-deadline:
			h.t.Fatalf("%d runs have not finished after 60s, such as %s: %v", len(open), open[0].ID, open[0].History)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// load creates runs by hand until stop is called. stop waits for the last one and returns their
// number.
func (h *chaosHost) load(every time.Duration) (stop func() int) {
	ctx, cancel := context.WithCancel(context.Background())
	made := make(chan int, 1)
	go func() {
		n := 0
		defer func() { made <- n }()
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			if _, err := h.client.RunDeployment(context.Background(), "manual/d", nil); err != nil {
				h.t.Errorf("RunDeployment: %v", err)
				return
			}
			n++
		}
	}()
	return sync.OnceValue(func() int {
		cancel()
		return <-made
	})
}

// auditedStore is a store that records which runner holds which run, and every write that it should
// not have accepted. It carries out one operation that writes to leases at a time, so that it sees
// them in the order of the store.
type auditedStore struct {
	provost.Store

	mu         sync.Mutex
	names      map[uuid.UUID]string // of runners
	held       map[uuid.UUID]hold   // by run
	reaped     []reaping
	violations []string // what the store or a runner did and must not do
	refused    int      // refused writes with a token that is not the newest
	finished   map[uuid.UUID]provost.StateType
	changes    map[store.Change]int
}

// hold is the newest claim of a run.
type hold struct {
	token   int64
	runner  string
	settled bool
}

// reaping is an expired lease that was reaped.
type reaping struct {
	run    uuid.UUID
	runner string
	at     time.Time
}

func newAuditedStore(st provost.Store) *auditedStore {
	return &auditedStore{
		Store: st, names: make(map[uuid.UUID]string), held: make(map[uuid.UUID]hold), finished: make(map[uuid.UUID]provost.StateType),
		changes: make(map[store.Change]int),
	}
}

func (a *auditedStore) RegisterDeployments(ctx context.Context, p store.RegisterDeploymentsParams) ([]store.Registration, error) {
	done, err := a.Store.RegisterDeployments(ctx, p)
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, registration := range done {
		a.changes[registration.Change]++
	}
	return done, err
}

func (a *auditedStore) RegisterRunner(ctx context.Context, p store.RegisterRunnerParams) ([]uuid.UUID, error) {
	a.mu.Lock()
	a.names[p.Runner.ID] = p.Runner.Name
	a.mu.Unlock()
	return a.Store.RegisterRunner(ctx, p)
}

func (a *auditedStore) ClaimRuns(ctx context.Context, p store.ClaimRunsParams) (store.ClaimRunsResult, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	claims, err := a.Store.ClaimRuns(ctx, p)
	for _, c := range claims.Runs {
		before, known := a.held[c.RunID]
		switch {
		case known && !before.settled:
			a.violation("run %s was claimed by %s while %s held it", c.RunID, a.names[p.Runner], before.runner)
		case c.Token <= before.token:
			a.violation("run %s was claimed with token %d after token %d", c.RunID, c.Token, before.token)
		case a.finished[c.RunID] != "":
			a.violation("run %s was claimed after it had finished", c.RunID)
		}
		a.held[c.RunID] = hold{token: c.Token, runner: a.names[p.Runner]}
	}
	return claims, err
}

func (a *auditedStore) SettleRuns(ctx context.Context, p store.SettleRunsParams) ([]error, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	errs, err := a.Store.SettleRuns(ctx, p)
	if err != nil {
		return errs, err
	}
	for i, u := range p.Updates {
		refused := errs != nil && errs[i] != nil
		a.check(u.Lease, refused)
		if refused || u.State.Type == "" {
			continue
		}
		if before := a.finished[u.RunID]; before != "" && before != u.State.Type {
			a.violation("run %s became %s after it was %s", u.RunID, u.State.Type, before)
		}
		if u.State.Terminal() {
			a.finished[u.RunID] = u.State.Type
		}
		h := a.held[u.RunID]
		h.settled = true
		a.held[u.RunID] = h
	}
	return errs, err
}

func (a *auditedStore) AppendLogs(ctx context.Context, p store.AppendLogsParams) ([]error, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	errs, err := a.Store.AppendLogs(ctx, p)
	if err == nil {
		for i, log := range p.Runs {
			a.check(log.Lease, errs != nil && errs[i] != nil)
		}
	}
	return errs, err
}

// check records a violation if a write was accepted under a token that is not the newest. The
// caller holds mu.
func (a *auditedStore) check(lease store.Lease, refused bool) {
	newest := a.held[lease.RunID].token
	switch {
	case refused && lease.Token != newest:
		a.refused++
	case !refused && lease.Token != newest:
		a.violation("run %s: a write with token %d was accepted, the newest token is %d", lease.RunID, lease.Token, newest)
	}
}

func (a *auditedStore) ReapLeases(ctx context.Context, p store.ReapLeasesParams) (store.ReapLeasesResult, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	reaped, err := a.Store.ReapLeases(ctx, p)
	for _, run := range reaped.Runs {
		h := a.held[run.ID]
		a.reaped = append(a.reaped, reaping{run.ID, h.runner, time.Now()})
		h.settled = true
		a.held[run.ID] = h
		if run.State.Terminal() {
			a.finished[run.ID] = run.State.Type
		}
	}
	return reaped, err
}

func (a *auditedStore) violation(format string, args ...any) {
	a.violations = append(a.violations, fmt.Sprintf(format, args...))
}

// heldBy returns the runs that a runner has claimed and not settled.
func (a *auditedStore) heldBy(runner string) []uuid.UUID {
	a.mu.Lock()
	defer a.mu.Unlock()
	var runs []uuid.UUID
	for id, h := range a.held {
		if h.runner == runner && !h.settled {
			runs = append(runs, id)
		}
	}
	return runs
}

// reapings returns the reapings of one runner's leases or, if runner is "", of all.
func (a *auditedStore) reapings(runner string) []reaping {
	a.mu.Lock()
	defer a.mu.Unlock()
	var found []reaping
	for _, r := range a.reaped {
		if runner == "" || r.runner == runner {
			found = append(found, r)
		}
	}
	return found
}
