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

// chaosHost has the store that runners in processes of their own share, over a socket, and starts these.
type chaosHost struct {
	t       *testing.T
	config  chaosConfig // of the next runner, but for its name
	ledger  *ledger
	client  *provost.Client
	started int
}

func newChaosHost(t *testing.T, config chaosConfig) *chaosHost {
	t.Helper()
	if !fullChaos {
		t.Parallel() // it waits more than it works
	}
	dir, err := os.MkdirTemp("", "provost") // t.TempDir is too long a name for a socket
	if err != nil {
		t.Fatal(err)
	}
	config.Socket, config.Journal = filepath.Join(dir, "store"), filepath.Join(dir, "journal")
	listener, err := net.Listen("unix", config.Socket)
	if err != nil {
		t.Fatal(err)
	}
	h := &chaosHost{t: t, config: config, ledger: newLedger(provost.NewMemoryStore())}
	h.client = provost.NewClient(h.ledger)
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { _ = rpc.Serve(ctx, conn, h.ledger) }) // ends in an error where its runner is killed
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
	log    bytes.Buffer // read it once done is closed
	ready  chan struct{}
	done   chan struct{}
	report chaosReport // once done is closed
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
		_ = p.cmd.Wait() // that it was killed is no news
		_ = stdin.Close()
	}()
	h.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
	})
	return p
}

// startReady starts runners side by side and waits until they serve.
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
		p.t.Fatalf("%s ended before it served: %s\n%s", p.name, p.report.Error, p.log.String())
	case <-time.After(30 * time.Second):
		p.t.Fatalf("%s does not serve after 30s", p.name)
	}
}

func (p *chaosProcess) signal(sig os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
}

// kill ends the process without a word and says when it was gone.
func (p *chaosProcess) kill() time.Time {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	<-p.done
	return time.Now()
}

// drain ends the process as a deployment does, and holds it to a clean end.
func (p *chaosProcess) drain() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		p.t.Fatalf("%s has not ended 30s after SIGTERM", p.name)
	}
	if p.report.Error != "" || p.cmd.ProcessState.ExitCode() != 0 {
		p.t.Errorf("%s ended with code %d: %s\n%s", p.name, p.cmd.ProcessState.ExitCode(), p.report.Error, p.log.String())
	}
	if p.report.Goroutines != "" {
		p.t.Errorf("%s leaves goroutines behind: %s", p.name, p.report.Goroutines)
	}
}

// journal is what the flows did, in order.
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
			break // being written
		}
		if err := json.Unmarshal(line, &n); err != nil {
			h.t.Fatalf("journal: %q: %v", line, err)
		}
		notes = append(notes, n)
	}
	return notes
}

// lastNote is the newest of a run's, of one runner or of any; a zero one if there is none.
func (h *chaosHost) lastNote(run uuid.UUID, runner string) (last chaosNote) {
	h.t.Helper()
	for _, n := range h.journal() {
		if n.Run == run && (runner == "" || n.Runner == runner) {
			last = n
		}
	}
	return last
}

// await looks every few milliseconds whether something has come about.
func (h *chaosHost) await(what string, done func() bool) {
	h.t.Helper()
	for deadline := time.After(30 * time.Second); !done(); {
		select {
		case <-deadline:
			h.t.Fatalf("waited 30s for %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// runs are all that the store has.
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

// settle waits until every run that was to begin before a time is over.
func (h *chaosHost) settle(before time.Time) {
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
			h.t.Fatalf("%d runs are not over after 60s, such as %s: %v", len(open), open[0].ID, open[0].History)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// load makes runs by hand until stop is called, which waits for the last and says how many it made.
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

// ledger is a store that keeps count of who holds what, and of every write that should not have been accepted. It carries out one
// operation that writes to leases at a time, so that its order is the store's.
type ledger struct {
	provost.Store

	mu       sync.Mutex
	names    map[uuid.UUID]string // of runners
	held     map[uuid.UUID]hold   // by run
	reaped   []reaping
	faults   []string // what a store or a runner did that they must not do
	refused  int      // writes under a token that is not the newest
	over     map[uuid.UUID]provost.StateType
	announce map[store.Change]int
}

// hold is a claim: the newest of its run.
type hold struct {
	token   int64
	runner  string
	settled bool
}

// reaping is a lease that ended and was dealt with.
type reaping struct {
	run    uuid.UUID
	runner string
	at     time.Time
}

func newLedger(st provost.Store) *ledger {
	return &ledger{
		Store: st, names: make(map[uuid.UUID]string), held: make(map[uuid.UUID]hold), over: make(map[uuid.UUID]provost.StateType),
		announce: make(map[store.Change]int),
	}
}

func (l *ledger) RegisterDeployments(ctx context.Context, p store.RegisterDeploymentsParams) ([]store.Registration, error) {
	done, err := l.Store.RegisterDeployments(ctx, p)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, registration := range done {
		l.announce[registration.Change]++
	}
	return done, err
}

func (l *ledger) RegisterRunner(ctx context.Context, p store.RegisterRunnerParams) ([]uuid.UUID, error) {
	l.mu.Lock()
	l.names[p.Runner.ID] = p.Runner.Name
	l.mu.Unlock()
	return l.Store.RegisterRunner(ctx, p)
}

func (l *ledger) ClaimRuns(ctx context.Context, p store.ClaimRunsParams) (store.ClaimRunsResult, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	claims, err := l.Store.ClaimRuns(ctx, p)
	for _, c := range claims.Runs {
		before, known := l.held[c.RunID]
		switch {
		case known && !before.settled:
			l.fault("run %s is claimed by %s while %s holds it", c.RunID, l.names[p.Runner], before.runner)
		case c.Token <= before.token:
			l.fault("run %s is claimed with token %d after %d", c.RunID, c.Token, before.token)
		case l.over[c.RunID] != "":
			l.fault("run %s is claimed after it was over", c.RunID)
		}
		l.held[c.RunID] = hold{token: c.Token, runner: l.names[p.Runner]}
	}
	return claims, err
}

func (l *ledger) SettleRuns(ctx context.Context, p store.SettleRunsParams) ([]error, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	errs, err := l.Store.SettleRuns(ctx, p)
	if err != nil {
		return errs, err
	}
	for i, u := range p.Updates {
		refused := errs != nil && errs[i] != nil
		l.check(u.Lease, refused)
		if refused || u.State.Type == "" {
			continue
		}
		if before := l.over[u.RunID]; before != "" && before != u.State.Type {
			l.fault("run %s became %s after it was %s", u.RunID, u.State.Type, before)
		}
		if u.State.Terminal() {
			l.over[u.RunID] = u.State.Type
		}
		h := l.held[u.RunID]
		h.settled = true
		l.held[u.RunID] = h
	}
	return errs, err
}

func (l *ledger) AppendLogs(ctx context.Context, p store.AppendLogsParams) ([]error, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	errs, err := l.Store.AppendLogs(ctx, p)
	if err == nil {
		for i, log := range p.Runs {
			l.check(log.Lease, errs != nil && errs[i] != nil)
		}
	}
	return errs, err
}

// check holds an accepted write to the newest token. The caller holds mu.
func (l *ledger) check(lease store.Lease, refused bool) {
	newest := l.held[lease.RunID].token
	switch {
	case refused && lease.Token != newest:
		l.refused++
	case !refused && lease.Token != newest:
		l.fault("run %s: a write under token %d was accepted, the newest is %d", lease.RunID, lease.Token, newest)
	}
}

func (l *ledger) ReapLeases(ctx context.Context, p store.ReapLeasesParams) (store.ReapLeasesResult, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	reaped, err := l.Store.ReapLeases(ctx, p)
	for _, run := range reaped.Runs {
		h := l.held[run.ID]
		l.reaped = append(l.reaped, reaping{run.ID, h.runner, time.Now()})
		h.settled = true
		l.held[run.ID] = h
		if run.State.Terminal() {
			l.over[run.ID] = run.State.Type
		}
	}
	return reaped, err
}

func (l *ledger) fault(format string, args ...any) {
	l.faults = append(l.faults, fmt.Sprintf(format, args...))
}

// heldBy are the runs that a runner has claimed and not settled.
func (l *ledger) heldBy(runner string) []uuid.UUID {
	l.mu.Lock()
	defer l.mu.Unlock()
	var runs []uuid.UUID
	for id, h := range l.held {
		if h.runner == runner && !h.settled {
			runs = append(runs, id)
		}
	}
	return runs
}

// reapings are those of a runner's leases, of any runner's if the name is "".
func (l *ledger) reapings(runner string) []reaping {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []reaping
	for _, r := range l.reaped {
		if runner == "" || r.runner == runner {
			found = append(found, r)
		}
	}
	return found
}
