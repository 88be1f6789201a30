package provost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/provost-go/provost/internal/clock"
	"github.com/provost-go/provost/internal/engine"
	"github.com/provost-go/provost/observe"
)

// Runner serves deployments: it plans their schedules, claims their runs and executes them. The
// zero value is ready to use. Serve reads the fields when it begins; later changes have no effect.
type Runner struct {
	// Store keeps deployments and runs. Nil means a new [MemoryStore].
	Store Store

	// Name is for people: runs and logs show it. "" means host name and process ID.
	Name string

	// Limit is how many runs are under way at once: 0 means 100, -1 no limit.
	Limit int

	// PollInterval is how often a store outside of this process is asked for work. 0 means one
	// second.
	PollInterval time.Duration

	// Isolation is where runs execute, unless their deployment says otherwise. The default is
	// InProcess. With Subprocess each run has a process of its own, which is this program started
	// again: see [ServeChild]. Limit 0 then means 2 for each processor (GOMAXPROCS).
	Isolation Isolation

	// WarmChildren is how many subprocesses are kept started and ready, so that a run need not wait
	// for one. 0 means none.
	WarmChildren int

	// RunsPerChild is how many runs a subprocess executes, one after another, before it is
	// replaced. 0 means 1: nothing that a run leaves behind in its process reaches another run.
	RunsPerChild int

	// ChildMemory is how many bytes a subprocess may use, together with the processes that it
	// starts. One that uses more is killed, and its run counts as crashed. 0 means no bound. Memory
	// is measured four times a second, on Linux only; elsewhere Serve refuses a bound.
	ChildMemory int64

	// LeaseTTL is how long this runner may be silent before other runners take over its runs.
	// Leases are renewed three times per TTL. 0 means 30 seconds; the minimum is one second.
	LeaseTTL time.Duration

	// ShutdownTimeout is how long runs may go on after Serve's context has ended, before their own
	// contexts end: 0 means 25 seconds, -1 no bound. Runs that return an error because of that are
	// handed back without using up an attempt.
	ShutdownTimeout time.Duration

	// PauseOnShutdown pauses each deployment when its last live runner leaves. The next Serve
	// resumes it.
	PauseOnShutdown bool

	// Prune deletes deployments when Serve begins: those of the served flows that Serve is not
	// given and that no other live runner serves.
	Prune bool

	// Retention is how long finished runs are kept, unless their deployment says otherwise.
	Retention Retention

	// Logger logs what happens to runs and what goes wrong. Nil means slog.Default.
	Logger *slog.Logger

	// Observer gets what happens, for metrics and traces. Nil costs nothing.
	Observer observe.Observer

	once sync.Once

	// mu guards what follows.
	mu     sync.Mutex
	ready  chan struct{}  // made by the first caller that needs it
	engine *engine.Engine // nil before Serve
	done   bool           // Serve has returned
}

// Serve runs the deployments with a zero [Runner], from a new store in memory.
func Serve(ctx context.Context, deployments ...*Deployment) error {
	return (&Runner{}).Serve(ctx, deployments...)
}

// Serve registers the deployments and runs them until ctx ends. Then it claims nothing more, lets
// runs finish within ShutdownTimeout and returns nil, or [ErrDrainTimeout] if a flow ignored the
// end of its context.
//
// Serve returns an error at once if there is no deployment, if one is invalid, or if it cannot
// register them because the store fails or does not answer within ten seconds. It handles no
// signals and opens no port. It copies runner, deployments and flows on entry. A Runner serves
// once. In a subprocess it executes the run that the process was started for, and does not return:
// see [ServeChild].
//
// Once it has begun, Serve survives a store that fails or hangs, for however long. Runs go on until
// their lease cannot be trusted any more, which is LeaseTTL less a margin after its last renewal,
// and their results are written when the store is back. Only the end of ctx ends Serve. Whatever
// the store does then, Serve returns within the sum of:
//
//   - ShutdownTimeout;
//   - 5 seconds for flows that are slow to notice the end of their context;
//   - 5 seconds to write results;
//   - the time that hooks get (see [Flow.OnCompletion]);
//   - 2 seconds to leave the store.
//
// The leases of runs whose results could not be written expire, and other runners take the runs
// over.
func (r *Runner) Serve(ctx context.Context, deployments ...*Deployment) error {
	if thisChild != nil {
		serveInChild(ctx, deployments)
	}
	first := false
	r.once.Do(func() { first = true })
	if !first {
		return errors.New("provost: Serve was called before on this Runner; use a new one")
	}
	ready := sync.OnceFunc(func() { close(r.readyChannel()) })
	defer ready()
	defer r.setDone()
	if errStray != nil {
		return fmt.Errorf("provost: Serve: %w", errStray)
	}
	c, err := r.config(ctx, deployments)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("provost: Serve: the context has ended before anything was served: %w", context.Cause(ctx))
	}
	client := NewClient(c.Store)
	c.StartRun = func(ctx context.Context, handle, key string) error {
		_, err := client.RunDeployment(ctx, handle, &RunOptions{IdempotencyKey: key})
		return err
	}
	e := engine.New(c)
	r.setEngine(e)
	return e.Serve(contextWithClient(ctx, client), ready)
}

func (r *Runner) setEngine(e *engine.Engine) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.engine = e
}

func (r *Runner) setDone() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done = true
}

// Ready returns a channel that is closed once the deployments are registered and their first runs
// are planned, or when Serve returns before that.
func (r *Runner) Ready() <-chan struct{} { return r.readyChannel() }

func (r *Runner) readyChannel() chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ready == nil {
		r.ready = make(chan struct{})
	}
	return r.ready
}

// Health returns how the runner is doing. It calls no store and may be called at any time, also
// before and after Serve, by any goroutine. A store that hangs shows within seconds, not only when
// its call times out.
func (r *Runner) Health() observe.Health {
	r.mu.Lock()
	e, done := r.engine, r.done
	r.mu.Unlock()
	switch {
	case e != nil:
		return e.Health(time.Now())
	case done: // Serve refused what it was given
		return observe.Health{Status: observe.HealthStopped}
	default:
		return observe.Health{Status: observe.HealthStarting}
	}
}

// config copies the runner's fields and the deployments, fills in the defaults and reports
// everything that is wrong.
func (r *Runner) config(ctx context.Context, deployments []*Deployment) (engine.Config, error) {
	c, err := r.settings()
	list, err2 := bind(deployments, r)
	if err := errors.Join(err, err2); err != nil {
		return engine.Config{}, err
	}
	c.Deployments, c.Clock = list, clock.From(ctx)
	c.Store, c.Logger, c.Observer = r.Store, r.Logger, r.Observer
	if c.Store == nil {
		c.Store = NewMemoryStore()
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c, nil
}

// settings fills in the defaults of the fields that are numbers or names.
func (r *Runner) settings() (engine.Config, error) {
	p := &problems{subject: "runner"}
	c := engine.Config{
		Name: r.Name, Limit: r.Limit, PollInterval: r.PollInterval, LeaseTTL: r.LeaseTTL,
		ShutdownTimeout: r.ShutdownTimeout, PauseOnShutdown: r.PauseOnShutdown, Prune: r.Prune,
		WarmChildren: r.WarmChildren, RunsPerChild: max(1, r.RunsPerChild), ChildMemory: r.ChildMemory,
	}
	if c.Name == "" {
		c.Name = defaultRunnerName()
	}
	switch {
	case c.Limit == 0 && r.Isolation == Subprocess:
		c.Limit = 2 * runtime.GOMAXPROCS(0)
	case c.Limit == 0:
		c.Limit = engine.DefaultLimit
	case c.Limit == -1:
		c.Limit = engine.Unlimited
	case c.Limit < 0:
		p.add("Limit", "is %d; give 0 (100), -1 (no limit) or more", c.Limit)
	}
	if c.PollInterval == 0 {
		c.PollInterval = engine.DefaultPollInterval
	}
	if c.PollInterval < time.Millisecond {
		p.add("PollInterval", "is %v; give 0 (1s) or at least 1ms", c.PollInterval)
	}
	if c.LeaseTTL == 0 {
		c.LeaseTTL = engine.DefaultLeaseTTL
	}
	if c.LeaseTTL < engine.MinLeaseTTL {
		p.add("LeaseTTL", "is %v; give 0 (30s) or at least 1s", c.LeaseTTL)
	}
	switch {
	case c.ShutdownTimeout == 0:
		c.ShutdownTimeout = engine.DefaultShutdownTimeout
	case c.ShutdownTimeout < -1:
		p.add("ShutdownTimeout", "is %v; give 0 (25s), -1 (no bound) or more", c.ShutdownTimeout)
	}
	switch r.Isolation {
	case IsolationDefault, InProcess, Subprocess:
	default:
		p.add("Isolation", "is %q; use InProcess or Subprocess", r.Isolation)
	}
	checkRetention(p, r.Retention)
	r.checkChildren(p)
	return c, p.join()
}

func (r *Runner) checkChildren(p *problems) {
	if r.WarmChildren < 0 {
		p.add("WarmChildren", "is %d; give 0 (none) or more", r.WarmChildren)
	}
	if r.RunsPerChild < 0 {
		p.add("RunsPerChild", "is %d; give 0 (1) or more", r.RunsPerChild)
	}
	switch {
	case r.ChildMemory < 0:
		p.add("ChildMemory", "is %d; give 0 (no bound) or more", r.ChildMemory)
	case r.ChildMemory > 0 && runtime.GOOS != "linux":
		p.add("ChildMemory", "is %d, but only Linux can tell how much memory a group of processes uses; remove it", r.ChildMemory)
	}
}

func defaultRunnerName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "runner"
	}
	return fmt.Sprintf("%s-%d", host, os.Getpid())
}
