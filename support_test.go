package provost_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/store"
)

// bubble runs a test in virtual time. It fails if a goroutine is left when the test returns.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

var quiet = slog.New(slog.DiscardHandler)

// start serves until stop is called, which returns the result of Serve. It returns when the runner
// is ready.
func start(t *testing.T, r *provost.Runner, deployments ...*provost.Deployment) (stop func() error) {
	t.Helper()
	return startIn(t.Context(), t, r, deployments...)
}

// startIn is start with a context of the caller's.
func startIn(ctx context.Context, t *testing.T, r *provost.Runner, deployments ...*provost.Deployment) (stop func() error) {
	t.Helper()
	if r.Logger == nil {
		r.Logger = quiet
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- r.Serve(ctx, deployments...) }()
	select {
	case <-r.Ready():
	case err := <-done:
		cancel()
		t.Fatalf("Serve: %v", err)
	}
	return sync.OnceValue(func() error {
		cancel()
		return <-done
	})
}

// clean calls stop and checks that Serve drained cleanly.
func clean(t *testing.T, stop func() error) {
	t.Helper()
	if err := stop(); err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// runNow creates a run by hand and waits until it has finished.
func runNow(t *testing.T, c *provost.Client, handle string, p provost.Params) *provost.Run {
	t.Helper()
	return wait(t, c, request(t, c, handle, &provost.RunOptions{Parameters: p}).ID)
}

func request(t *testing.T, c *provost.Client, handle string, o *provost.RunOptions) *provost.Run {
	t.Helper()
	run, err := c.RunDeployment(t.Context(), handle, o)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func wait(t *testing.T, c *provost.Client, id uuid.UUID) *provost.Run {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 1000*time.Hour)
	defer cancel()
	run, err := c.Wait(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func get(t *testing.T, c *provost.Client, id uuid.UUID) *provost.Run {
	t.Helper()
	run, err := c.GetRun(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func list(t *testing.T, c *provost.Client, f provost.RunFilter) []*provost.Run {
	t.Helper()
	if f.Limit == 0 {
		f.Limit = store.MaxPage
	}
	page, err := c.ListRuns(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	return page.Items
}

func skips(t *testing.T, c *provost.Client, handle string) []provost.Skip {
	t.Helper()
	page, err := c.ListSkips(t.Context(), provost.SkipFilter{Deployment: handle, Limit: store.MaxPage})
	if err != nil {
		t.Fatal(err)
	}
	return page.Items
}

func wantState(t *testing.T, run *provost.Run, want provost.StateType, message ...string) {
	t.Helper()
	if run.State.Type != want {
		t.Errorf("run is %s (%s), want %s", run.State.Type, run.State, want)
	}
	for _, part := range message {
		if !strings.Contains(run.State.Message, part) {
			t.Errorf("message %q does not contain %q", run.State.Message, part)
		}
	}
}

// wantError checks that there is an error and that its text contains each of the parts.
func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("got no error, want one that contains %q", parts)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not contain %q", err, part)
		}
	}
}

func wantIs(t *testing.T, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("got error %v, want %v", err, target)
	}
}

// job returns a deployment of a flow of its own that calls f.
func job(name string, f func(ctx context.Context) error, schedules ...provost.Schedule) *provost.Deployment {
	return &provost.Deployment{Flow: provost.NewJob(name, f), Name: "d", Schedules: schedules}
}

func nothing(context.Context) error { return nil }

// counter counts what flows do.
type counter struct {
	mu   sync.Mutex
	seen map[string]int
}

func (c *counter) add(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil {
		c.seen = make(map[string]int)
	}
	c.seen[key]++
}

func (c *counter) get(key string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen[key]
}

// total returns how often anything was counted, and how many keys were counted more than once.
func (c *counter) total() (total, twice int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.seen {
		total += n
		if n > 1 {
			twice++
		}
	}
	return total, twice
}

// logBuffer records what is logged.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// lines returns the lines that contain the text.
func (l *logBuffer) lines(text string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []string
	for line := range strings.Lines(l.b.String()) {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

// remote hides that a store is local: the runner polls it and sets a deadline for every call.
type remote struct {
	provost.Store

	mu         sync.Mutex
	err        error                // if not nil, every call fails with it
	registered map[store.Change]int // number of registrations by their effect
	generation int64                // highest that a registration returned
}

func (r *remote) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

func (r *remote) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

func (r *remote) RegisterDeployments(ctx context.Context, p store.RegisterDeploymentsParams) ([]store.Registration, error) {
	if err := r.failure(); err != nil {
		return nil, err
	}
	done, err := r.Store.RegisterDeployments(ctx, p)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.registered == nil {
		r.registered = make(map[store.Change]int)
	}
	for _, registration := range done {
		r.registered[registration.Change]++
		r.generation = max(r.generation, registration.Generation)
	}
	return done, err
}

func (r *remote) HeartbeatRunner(ctx context.Context, p store.HeartbeatRunnerParams) error {
	if err := r.failure(); err != nil {
		return err
	}
	return r.Store.HeartbeatRunner(ctx, p)
}

func (r *remote) DueSchedules(ctx context.Context, p store.DueSchedulesParams) (store.DueSchedulesResult, error) {
	if err := r.failure(); err != nil {
		return store.DueSchedulesResult{}, err
	}
	return r.Store.DueSchedules(ctx, p)
}

func (r *remote) PlanRuns(ctx context.Context, p store.PlanRunsParams) ([]error, error) {
	if err := r.failure(); err != nil {
		return nil, err
	}
	return r.Store.PlanRuns(ctx, p)
}

func (r *remote) ClaimRuns(ctx context.Context, p store.ClaimRunsParams) (store.ClaimRunsResult, error) {
	if err := r.failure(); err != nil {
		return store.ClaimRunsResult{}, err
	}
	return r.Store.ClaimRuns(ctx, p)
}

func (r *remote) RenewLeases(ctx context.Context, p store.RenewLeasesParams) (store.RenewLeasesResult, error) {
	if err := r.failure(); err != nil {
		return store.RenewLeasesResult{}, err
	}
	return r.Store.RenewLeases(ctx, p)
}

func (r *remote) SettleRuns(ctx context.Context, p store.SettleRunsParams) ([]error, error) {
	if err := r.failure(); err != nil {
		return nil, err
	}
	return r.Store.SettleRuns(ctx, p)
}

func (r *remote) ReapLeases(ctx context.Context, p store.ReapLeasesParams) (store.ReapLeasesResult, error) {
	if err := r.failure(); err != nil {
		return store.ReapLeasesResult{}, err
	}
	return r.Store.ReapLeases(ctx, p)
}
