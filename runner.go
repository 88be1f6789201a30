package provost

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

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
	Observer Observer

	clock wallClock
	once  sync.Once

	// mu guards what follows.
	mu     sync.Mutex
	ready  chan struct{} // made by whoever needs it first
	server *server       // for Health; nil before Serve
	over   bool          // Serve has returned
}

const (
	defaultLimit           = 100
	defaultPollInterval    = time.Second
	defaultLeaseTTL        = 30 * time.Second
	leaseMargin            = 5 * time.Second // a lease is distrusted this long before its end, at most a quarter of it
	defaultShutdownTimeout = 25 * time.Second
	deafTimeout            = 5 * time.Second // what a flow gets to return once its context has ended
	storeTimeout           = 10 * time.Second
	lastFlush              = 5 * time.Second // how long Serve goes on writing ends of runs once the last has ended
	lastCall               = 2 * time.Second // for the runner to leave the store
	minLeaseTTL            = time.Second
)

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
		thisChild.serve(ctx, deployments)
	}
	first := false
	r.once.Do(func() { first = true })
	if !first {
		return errors.New("provost: Serve was called before on this Runner; use a new one")
	}
	ready := sync.OnceFunc(func() { close(r.readyChannel()) })
	defer ready()
	defer r.noteOver()
	if errStray != nil {
		return fmt.Errorf("provost: Serve: %w", errStray)
	}
	s, err := newServer(r, deployments)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("provost: Serve: the context has ended before anything was served: %w", context.Cause(ctx))
	}
	r.noteServer(s)
	err = s.serve(ctx, func() {
		s.become(phaseServing, nil)
		ready()
	})
	s.become(phaseStopped, err)
	return err
}

func (r *Runner) noteServer(s *server) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.server = s
}

func (r *Runner) noteOver() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
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

// settings is a runner's configuration with its defaults filled in.
type settings struct {
	name            string
	limit           int
	pollInterval    time.Duration
	leaseTTL        time.Duration
	shutdownTimeout time.Duration
	pauseOnShutdown bool
	prune           bool
	isolation       Isolation
	warmChildren    int
	runsPerChild    int
	childMemory     int64
}

func (r *Runner) settings() (settings, error) {
	p := &problems{subject: "runner"}
	c := settings{
		name: r.Name, limit: r.Limit, pollInterval: r.PollInterval, leaseTTL: r.LeaseTTL,
		shutdownTimeout: r.ShutdownTimeout, pauseOnShutdown: r.PauseOnShutdown, prune: r.Prune,
		isolation: r.Isolation, warmChildren: r.WarmChildren, runsPerChild: max(1, r.RunsPerChild), childMemory: r.ChildMemory,
	}
	if c.name == "" {
		c.name = defaultRunnerName()
	}
	switch {
	case c.limit == 0 && c.isolation == Subprocess:
		c.limit = 2 * runtime.GOMAXPROCS(0)
	case c.limit == 0:
		c.limit = defaultLimit
	case c.limit == -1:
		c.limit = unlimited
	case c.limit < 0:
		p.add("Limit", "is %d; give 0 (100), -1 (no limit) or more", c.limit)
	}
	if c.pollInterval == 0 {
		c.pollInterval = defaultPollInterval
	}
	if c.pollInterval < time.Millisecond {
		p.add("PollInterval", "is %v; give 0 (1s) or at least 1ms", c.pollInterval)
	}
	if c.leaseTTL == 0 {
		c.leaseTTL = defaultLeaseTTL
	}
	if c.leaseTTL < minLeaseTTL {
		p.add("LeaseTTL", "is %v; give 0 (30s) or at least 1s", c.leaseTTL)
	}
	switch {
	case c.shutdownTimeout == 0:
		c.shutdownTimeout = defaultShutdownTimeout
	case c.shutdownTimeout < -1:
		p.add("ShutdownTimeout", "is %v; give 0 (25s), -1 (no bound) or more", c.shutdownTimeout)
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

const unlimited = int(^uint(0) >> 1)

func defaultRunnerName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "runner"
	}
	return fmt.Sprintf("%s-%d", host, os.Getpid())
}

// served is a deployment as a runner executes it.
type served struct {
	record  *DeploymentRecord // dropped after registration
	id      [16]byte
	name    string
	version string
	flow    *flow
	schema  *validator // nil: parameters are not validated
	derived bool       // the schema is that of the flow's parameter type
	secrets *validator // nil: there are none
	onStart bool
	once    bool // AtMostOnce
	limited bool // its runs need a slot of a limit

	isolated bool // its runs have processes of their own
	path     string
	env      map[string]string
}

// prepare copies what is to be served, and refuses what can't be. Deployments are looked at side by side: there may be 100,000.
func prepare(deployments []*Deployment, runners Isolation) ([]*served, error) {
	if len(deployments) == 0 {
		return nil, errors.New("provost: Serve: no deployments; give at least one")
	}
	list := make([]*served, len(deployments))
	errs := make([]error, len(deployments))
	var flows sync.Map // AnyFlow to the *flow that its deployments share
	var group errgroup.Group
	const share = 1000
	for first := 0; first < len(deployments); first += share {
		group.Go(func() error {
			for i := first; i < min(first+share, len(deployments)); i++ {
				if list[i], errs[i] = prepareOne(deployments[i], runners, &flows); errs[i] != nil {
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
		h := sd.record.Handle()
		if handles[h] {
			errs = append(errs, fmt.Errorf("deployments[%d]: deployment %s: Name: is given twice; give each deployment of flow %q a name of its own", i, h, sd.flow.name))
		}
		handles[h] = true
	}
	return list, errors.Join(errs...)
}

func prepareOne(d *Deployment, runners Isolation, flows *sync.Map) (*served, error) {
	record, err := d.record()
	if err != nil {
		return nil, err
	}
	isolated := record.Isolation == Subprocess || record.Isolation == IsolationDefault && runners == Subprocess
	if err := refusal(record, isolated); err != nil {
		return nil, err
	}
	erased, ok := flows.Load(d.Flow)
	if !ok {
		erased, _ = flows.LoadOrStore(d.Flow, d.Flow.erase())
	}
	sd := &served{
		record: record, id: record.ID, name: record.Name, version: record.Version, flow: erased.(*flow),
		onStart: record.RunOnStart, once: record.AtMostOnce, limited: record.LimitKey() != "",
		isolated: isolated, path: record.Path, env: record.Env,
	}
	sd.derived = d.ParameterSchema == nil
	schema, err := compileSchema(record.ParameterSchema)
	if err != nil {
		return nil, err
	}
	if !record.SkipParameterValidation {
		sd.schema = schema
	}
	if schema.schema.Secret() {
		sd.secrets = schema
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

// flowNames are the names of the flows that are served, each once.
func flowNames(list []*served) []string {
	var all []string
	for _, sd := range list {
		all = append(all, sd.flow.name)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
