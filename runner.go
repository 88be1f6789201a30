package provost

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/provost-go/provost/internal/clock"
	"github.com/provost-go/provost/internal/engine"
	"github.com/provost-go/provost/internal/param"
	"github.com/provost-go/provost/observe"
)

// Health says how the runner is doing. It may be called at any time, before Serve and after it too, from anywhere, and calls no
// store. A store that hangs shows within seconds, not when its call is given up.
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

// Runner serves deployments: it plans their schedules, claims their runs and executes them. The zero value is ready to use. Fields
// are read when Serve begins; later changes have no effect.
type Runner struct {
	// Store keeps deployments and runs. Nil is a new [MemoryStore].
	Store Store

	// Name is for people: it stands in runs and logs. "" is host name and process ID.
	Name string

	// Limit is how many runs are under way at once: 0 is 100, -1 no limit.
	Limit int

	// PollInterval is how often a store outside of this process is asked for work. 0 is one second.
	PollInterval time.Duration

	// Isolation is where runs execute, unless their deployment says otherwise. The default is InProcess. With Subprocess each run
	// has a process of its own, this program started again: see [ServeChild]. Limit 0 is then 2 for each processor (GOMAXPROCS).
	Isolation Isolation

	// WarmChildren is how many child processes are kept started and ready, so that a run need not wait for one. 0 is none.
	WarmChildren int

	// RunsPerChild is how many runs a child process executes, one after another, before it is replaced. 0 is 1: nothing that a run
	// leaves behind in its process reaches another one.
	RunsPerChild int

	// ChildMemory is how many bytes a child process may have in use, together with what it starts; one that has more is killed, and
	// its run counts as crashed. 0 is no bound. It is looked at four times a second, on Linux only: elsewhere Serve refuses it.
	ChildMemory int64

	// LeaseTTL is how long this runner may be silent before others take its runs over. Leases are renewed three times in it. 0 is
	// 30 seconds; the least is a second.
	LeaseTTL time.Duration

	// ShutdownTimeout is how long runs may go on after the end of Serve's context before theirs ends too: 0 is 25 seconds, -1 no
	// bound. Runs that end because of that are handed back, without using up an attempt.
	ShutdownTimeout time.Duration

	// PauseOnShutdown pauses each deployment when its last live runner leaves. The next Serve resumes it.
	PauseOnShutdown bool

	// Prune deletes, when Serve begins, the deployments of the served flows that are not among those it is given and that no
	// other live runner serves.
	Prune bool

	// Retention is how long runs are kept that are over, unless their deployment says otherwise.
	Retention Retention

	// Logger gets what happens to runs and what goes wrong. Nil is slog.Default.
	Logger *slog.Logger

	// Observer is told what happens, for metrics and traces. Nil costs nothing.
	Observer observe.Observer

	once sync.Once

	// mu guards what follows.
	mu     sync.Mutex
	ready  chan struct{}  // made by whoever needs it first
	engine *engine.Engine // nil before Serve
	done   bool           // Serve has returned
}

// Serve is (&Runner{}).Serve: it runs the deployments from a new memory store.
func Serve(ctx context.Context, deployments ...*Deployment) error {
	return (&Runner{}).Serve(ctx, deployments...)
}

// Serve registers the deployments and runs them until ctx ends. Then it claims no more, lets what runs finish within
// ShutdownTimeout and returns nil; [ErrDrainTimeout] if a flow ignored the end of its context. It returns an error at once if
// there is no deployment, if one is invalid, or if it can't register them: if the store fails, or does not answer in ten
// seconds. It handles no signals and opens no port. A Runner
// serves once. In a child process it serves the run that the process was started for, and does not return: see [ServeChild].
//
// Once it has begun, Serve lives through a store that fails or hangs, for however long: runs go on until their lease can no
// longer be trusted, LeaseTTL less a margin after it was renewed last, and what became of them is written when the store is
// back. Nothing but the end of ctx ends it. After that it returns within ShutdownTimeout and 5 seconds for flows that are slow
// to notice, 5 more to write what they came to, what hooks get (see [Flow.OnCompletion]) and 2 to leave the store, whatever the
// store does; what could not be written is taken over from the leases when they end.
//
// Runner, deployments and flows are copied on entry.
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

// Ready is closed once the deployments are registered and their first runs are planned, or when Serve returns without having
// got that far.
func (r *Runner) Ready() <-chan struct{} { return r.readyChannel() }

func (r *Runner) readyChannel() chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ready == nil {
		r.ready = make(chan struct{})
	}
	return r.ready
}

// config copies the runner's fields and the deployments, fills in the defaults and reports everything that is wrong.
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
		p.add("ChildMemory", "is %d, but only Linux tells what a group of processes uses; remove it", r.ChildMemory)
	}
}

func defaultRunnerName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "runner"
	}
	return fmt.Sprintf("%s-%d", host, os.Getpid())
}

// prepare copies what is to be served, and refuses what can't be. Deployments are looked at side by side: there may be 100,000.
func bind(deployments []*Deployment, r *Runner) ([]*engine.Deployment, error) {
	if len(deployments) == 0 {
		return nil, errors.New("provost: Serve: no deployments; give at least one")
	}
	list := make([]*engine.Deployment, len(deployments))
	errs := make([]error, len(deployments))
	var flows sync.Map // AnyFlow to the *flow that its deployments share
	var group errgroup.Group
	const share = 1000
	for first := 0; first < len(deployments); first += share {
		group.Go(func() error {
			for i := first; i < min(first+share, len(deployments)); i++ {
				if list[i], errs[i] = bindOne(deployments[i], r, &flows); errs[i] != nil {
					errs[i] = fmt.Errorf("deployments[%d]: %w", i, errs[i])
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	handles := make(map[string]bool, len(list))
	for i, sd := range list {
		if sd == nil {
			continue
		}
		h := sd.Record.Handle()
		if handles[h] {
			errs = append(errs, fmt.Errorf("deployments[%d]: deployment %s: Name: is given twice; give each deployment of flow %q a name of its own", i, h, sd.Flow.Name))
		}
		handles[h] = true
	}
	return list, errors.Join(errs...)
}

func bindOne(d *Deployment, r *Runner, flows *sync.Map) (*engine.Deployment, error) {
	record, err := d.record()
	if err != nil {
		return nil, err
	}
	isolated := record.Isolation == Subprocess || record.Isolation == IsolationDefault && r.Isolation == Subprocess
	if err := refusal(record, isolated); err != nil {
		return nil, err
	}
	erased, ok := flows.Load(d.Flow)
	if !ok {
		erased, _ = flows.LoadOrStore(d.Flow, d.Flow.erase())
	}
	sd := &engine.Deployment{
		Record: record, ID: record.ID, Name: record.Name, Version: record.Version, Flow: erased.(*engine.Flow),
		OnStart: record.RunOnStart, Once: record.AtMostOnce, Limited: record.LimitKey() != "",
		Isolated: isolated, Path: record.Path, Env: record.Env, Retention: cmp.Or(d.Retention, r.Retention),
	}
	sd.Derived = d.ParameterSchema == nil
	schema, err := param.Compile(record.ParameterSchema)
	if err != nil {
		return nil, err
	}
	if !record.SkipParameterValidation {
		sd.Schema = schema
	}
	if schema.Schema.Secret() {
		sd.Secrets = schema
	}
	return sd, nil
}

// refusal says why Serve does not execute a deployment that is valid in itself.
func refusal(r *DeploymentRecord, isolated bool) error {
	p := &problems{subject: "deployment " + r.Handle()}
	if r.WorkPool != "" {
		p.add("WorkPool", "is %q: its runs are for the workers of that pool; declare it with Client.Deploy, or remove WorkPool to serve it here", r.WorkPool)
	}
	if isolated && inTest() && !childServed.Load() {
		p.add("Isolation", "is Subprocess, but a run is this test binary started again, and it would run the tests: call "+
			"provost.ServeChild with the deployments first thing in TestMain, or use InProcess")
	}
	if r.Path != "" && r.WorkPool == "" && !isolated {
		p.add("Path", "is %q, but a goroutine has no working directory of its own; set Isolation to Subprocess, or remove Path", r.Path)
	}
	if len(r.Env) > 0 && r.WorkPool == "" && !isolated {
		p.add("Env", "is set, but a goroutine has no environment of its own; set Isolation to Subprocess, or remove Env")
	}
	if len(r.Triggers) > 0 {
		p.add("Triggers", "are set, but this version does not act on them yet; remove them")
	}
	return p.join()
}

// inTest says that this is a test binary, without importing testing.
func inTest() bool { return flag.Lookup("test.v") != nil }
