package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/clock"
	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/internal/param"
	"github.com/provost-go/provost/params"
	"github.com/provost-go/provost/store"
)

// flowNames are the names of the flows that are served, each once.
func flowNames(list []*Deployment) []string {
	var all []string
	for _, sd := range list {
		all = append(all, sd.Flow.Name)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// server is one Serve call at work. Four kinds of goroutines share it, and serve waits for all of them: the feeder plans and
// claims, runs execute, the settler records what became of them, the keeper renews leases. Each of them lives through hours in
// which the store fails or does not answer, and none waits for another's call.
type Engine struct {
	Config
	id     uuid.UUID
	clock  clock.Clock
	store  store.Store
	local  bool // the store's hints are reliable: it is not polled
	direct bool // no call can block
	log    *slog.Logger
	events *runLogger
	Watch  *eventSink // nil: nobody observes
	vitals healthState

	Deployments map[uuid.UUID]*Deployment
	retained    map[store.Retention][]uuid.UUID // deployments whose runs are not kept for ever
	starting    []*Deployment                   // for registration only
	outages     *failures

	// The feeder's. Times have a monotonic reading.
	claimID  uuid.UUID // names a claim until it is answered
	reapAt   time.Time // when to look for dead leases again
	beaten   time.Time // when the newest heartbeat began
	reapFrom atomic.Pointer[time.Time]
	beatNow  atomic.Bool

	FlowContext context.Context // what every flow's context derives from: Serve's values, not its end
	claims      context.Context // of calls that claim: they are answered also when Serve's context has just ended

	processes *subprocessPool // nil: no deployment is isolated
	upstream  *SubprocessHost // in a child process: what its one run reports to; nil elsewhere

	wake       chan struct{} // for the feeder: work
	freed      chan struct{} // for the feeder: room for more runs, here or under a limit
	wakeKeeper chan struct{} // a cancellation is asked for, or leases are in doubt
	admitted   chan struct{} // for the keeper: there are leases again
	settler    *completer
	hooks      hooks
	left       declinedRuns

	crew      pool
	claiming  atomic.Bool  // a claim is under way whose runs the keeper does not know yet
	missed    atomic.Bool  // the keeper looked meanwhile: a cancellation may be one of those runs'
	launching atomic.Int64 // launched runs that have not got as far as their first line; those with a process of their own take long

	running sync.WaitGroup // executions, those that wait for their instant too, the crew's goroutines and the feeder

	// mu guards what follows; nothing blocks under it.
	mu        sync.Mutex
	inFlight  []*Execution // claimed and not settled
	busy      int          // of these, those whose function has not returned
	starved   bool         // the feeder waits for a free slot
	heldFrom  time.Time    // see oldestTrust
	trustEnds time.Time    // see endOfTrust
	children  map[uuid.UUID]*Execution
	waiting   map[*batch]struct{}
	draining  bool
}

// New makes an engine for one Serve.
func New(c Config) *Engine {
	s := &Engine{
		Config: c, id: store.NewID(c.Clock.Now()), clock: c.Clock, store: c.Store, log: c.Logger,
		Deployments: make(map[uuid.UUID]*Deployment, len(c.Deployments)), starting: c.Deployments,
		wake: make(chan struct{}, 1), freed: make(chan struct{}, 1), wakeKeeper: make(chan struct{}, 1),
		admitted: make(chan struct{}, 1), children: make(map[uuid.UUID]*Execution), waiting: make(map[*batch]struct{}),
		retained: make(map[store.Retention][]uuid.UUID),
	}
	s.Config.Deployments = nil
	s.reapFrom.Store(&time.Time{})
	for _, sd := range c.Deployments {
		s.Deployments[sd.ID] = sd
		if sd.Retention != (store.Retention{}) {
			s.retained[sd.Retention] = append(s.retained[sd.Retention], sd.ID)
		}
	}
	s.local = store.IsLocal(s.store)
	s.direct = store.NeverBlocks(s.store)
	if !s.direct {
		s.store = &timedStore{Store: s.store, calls: &s.vitals.calls}
	}
	s.events = newRunLogger(s.log)
	s.Watch = newEventSink(c.Observer, s.Name, s.log)
	s.outages = newFailures(s.log, s.Watch)
	s.settler = newCompleter()
	if slices.ContainsFunc(c.Deployments, func(sd *Deployment) bool { return sd.Isolated }) {
		s.processes = newSubprocessPool(s)
	}
	return s
}

// ErrDrainTimeout reports that a flow was still running when Serve returned.
var ErrDrainTimeout = errors.New("provost: drain timeout")

// Serve registers the deployments and runs them until ctx ends. ready is called once their first runs are planned.
func (s *Engine) Serve(ctx context.Context, ready func()) error {
	err := s.serve(ctx, func() {
		s.setPhase(phaseServing, nil)
		ready()
	})
	s.setPhase(phaseStopped, err)
	return err
}

// serve is Serve from registration to the last goroutine.
func (s *Engine) serve(ctx context.Context, ready func()) error {
	s.FlowContext = context.WithoutCancel(ctx)
	unserved, err := s.register(ctx)
	if err != nil {
		return fmt.Errorf("provost: Serve: %w", err)
	}
	defer s.leave(s.PauseOnShutdown)
	stopHints := s.listen()
	defer stopHints()
	unmade := s.runOnStart(ctx, unserved)
	if s.processes != nil {
		s.processes.open(ctx)
		defer s.processes.close()
	}

	// Claiming ends with ctx; settling and renewing go on until the last run is settled.
	background, stop := context.WithCancel(s.FlowContext)
	defer stop()
	claims, endClaims := context.WithCancel(background)
	defer endClaims()
	s.claims = claims
	var loops sync.WaitGroup
	settles, endSettles := context.WithCancel(background)
	defer endSettles()
	loops.Go(func() { s.settleLoop(settles) })
	loops.Go(func() { s.keepLoop(background) })
	if !s.local { // else the feeder does it
		loops.Go(func() { s.heartLoop(background) })
	}
	if len(unmade) > 0 {
		loops.Go(func() { s.repeatRunOnStart(ctx, unmade) })
	}
	if len(s.retained) > 0 {
		loops.Go(func() { s.pruneLoop(ctx) })
	}
	s.running.Go(func() { s.pollLoop(ctx, ready) }) // among the runs: it may be about to take some
	<-ctx.Done()
	s.setPhase(phaseDraining, nil)
	left := time.Now()
	defer time.AfterFunc(claimGrace, endClaims).Stop()
	if s.local {
		loops.Go(func() { s.heartLoop(background) })
	}
	drained := s.drain()
	defer time.AfterFunc(lastFlush, endSettles).Stop()
	close(s.settler.closed)
	<-s.settler.done
	drained = errors.Join(drained, s.awaitHooks(left))
	stop()
	loops.Wait()
	s.events.close()
	return drained
}

// register makes deployments and runner known, and says what nobody served before.
func (s *Engine) register(ctx context.Context) (unserved []uuid.UUID, err error) {
	records := make([]*store.DeploymentRecord, len(s.starting))
	ids := make([]uuid.UUID, len(s.starting))
	for i, sd := range s.starting {
		records[i], ids[i] = sd.Record, sd.ID
	}
	now := instant.Of(s.now())
	callCtx, cancel := s.storeCall(ctx)
	defer cancel()
	registrations, err := s.store.RegisterDeployments(callCtx, store.RegisterDeploymentsParams{Now: now, Runner: s.id, Deployments: records})
	if err != nil {
		return nil, fmt.Errorf("register deployments: %w", err)
	}
	for i, registration := range registrations {
		s.announce(records[i], registration)
	}
	if unserved, err = s.registerRunner(callCtx, now, ids); err != nil {
		s.leave(false) // it may have come about
		return nil, err
	}
	if s.Prune {
		if err := s.pruneDeployments(ctx); err != nil {
			s.leave(false)
			return nil, fmt.Errorf("prune deployments: %w", err)
		}
	}
	for _, sd := range s.starting {
		sd.Record = nil // the store has it; 100,000 of them are worth forgetting
	}
	s.starting = nil
	return unserved, nil
}

func (s *Engine) registerRunner(ctx context.Context, now time.Time, ids []uuid.UUID) ([]uuid.UUID, error) {
	unserved, err := s.store.RegisterRunner(ctx, store.RegisterRunnerParams{
		Now: now,
		Runner: store.RunnerRecord{
			ID: s.id, Name: s.Name, Version: param.BuildVersion(), Started: now, SeenAt: now, Until: now.Add(s.LeaseTTL),
		},
		Deployments: ids,
	})
	if err != nil {
		return nil, fmt.Errorf("register runner: %w", err)
	}
	return unserved, nil
}

// maxAnnounced bounds the lines that say at the start what is served.
const maxAnnounced = 20

// announce says what is served, and warns where it takes the place of what another live runner declares.
func (s *Engine) announce(record *store.DeploymentRecord, r store.Registration) {
	if r.Change == store.ChangeUpdated && len(r.ServedBy) > 0 {
		s.log.Warn("deployment replaced while another runner serves it with another declaration; the last to start wins",
			"deployment", record.Handle(), "fields", r.Previous.Diff(record), "served_by", r.ServedBy)
	}
	switch s.events.announced++; {
	case s.events.announced <= maxAnnounced:
		s.log.Info("serving", servingAttrs(record, s.now())...)
	case s.events.announced == maxAnnounced+1:
		s.log.Info("serving more deployments", "total", len(s.starting))
	}
}

func servingAttrs(record *store.DeploymentRecord, now time.Time) []any {
	attrs := []any{"deployment", record.Handle()}
	var next time.Time
	var words []string
	for _, schedule := range record.Schedules {
		words = append(words, schedule.Schedule.String())
		if at, ok := schedule.Schedule.Next(now); ok {
			next = instant.Earlier(next, at)
		}
	}
	switch {
	case len(words) == 0:
		attrs = append(attrs, "schedule", "none: runs are made by hand")
	case len(words) == 1:
		attrs = append(attrs, "schedule", words[0])
	default:
		attrs = append(attrs, "schedules", words)
	}
	if record.Pause.Declared {
		attrs = append(attrs, "paused", true)
	}
	if !next.IsZero() {
		attrs = append(attrs, "next", next.Local().Format(time.RFC3339))
	}
	return attrs
}

// pruneDeployments deletes what the served flows had before and nobody serves.
func (s *Engine) pruneDeployments(ctx context.Context) error {
	for _, name := range flowNames(s.starting) {
		for record, err := range store.Pages(ctx, func(ctx context.Context, cursor string) (store.Page[*store.DeploymentRecord], error) {
			callCtx, cancel := s.storeCall(ctx)
			defer cancel()
			return s.store.ListDeployments(callCtx, store.DeploymentFilter{Flow: name, Cursor: cursor})
		}) {
			if err != nil {
				return err
			}
			if s.Deployments[record.ID] != nil || record.ServedAt(s.now()) || record.WorkPool != "" {
				continue
			}
			callCtx, cancel := s.storeCall(ctx)
			err := s.store.DeleteDeployment(callCtx, store.DeleteDeploymentParams{Now: instant.Of(s.now()), ID: record.ID})
			cancel()
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			s.log.Info("deployment pruned", "deployment", record.Handle())
		}
	}
	return nil
}

// runOnStart makes the runs of deployments that come to be served. When the store fails it leaves the rest for later.
func (s *Engine) runOnStart(ctx context.Context, unserved []uuid.UUID) (unmade []uuid.UUID) {
	for i, id := range unserved {
		if sd := s.Deployments[id]; sd.OnStart && s.makeStartRun(ctx, sd) != nil {
			return unserved[i:]
		}
	}
	return nil
}

// makeStartRun makes one run for this start, however often it is called. What is refused is not tried again.
func (s *Engine) makeStartRun(ctx context.Context, sd *Deployment) error {
	h := store.Handle(sd.Flow.Name, sd.Name)
	err := s.StartRun(ctx, h, "start of runner "+s.id.String())
	_, unfit := errors.AsType[*params.Error](err)
	if unfit || errors.Is(err, store.ErrQueueFull) || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrConflict) {
		s.log.Error("run on start", "deployment", h, "error", err)
		return nil
	}
	s.report(ctx, "run on start", err)
	return err
}

// repeatRunOnStart makes what is left until the store has it all.
func (s *Engine) repeatRunOnStart(ctx context.Context, unmade []uuid.UUID) {
	var retry retry
	for len(unmade) > 0 {
		retry.failed()
		if !sleep(ctx, time.Until(retry.at)) {
			s.log.Error("runs on start not made: the store failed until Serve's context ended")
			return
		}
		before := len(unmade)
		if unmade = s.runOnStart(ctx, unmade); len(unmade) < before {
			retry.worked()
		}
	}
}

// listen turns the store's hints into wake-ups.
func (s *Engine) listen() (stop func()) {
	notifier, ok := store.As[store.Notifier](s.store)
	if !ok {
		return func() {}
	}
	stopWork := notifier.Notify(store.Topic{Kind: store.TopicWork}, s.wake)
	stopCancel := notifier.Notify(store.Topic{Kind: store.TopicCancel}, s.wakeKeeper)
	return func() {
		stopWork()
		stopCancel()
	}
}

// leave takes the runner out of the store. If that fails, its lease ends by itself.
func (s *Engine) leave(pause bool) {
	ctx, cancel := s.storeCallUntil(s.FlowContext, time.Now().Add(lastCall))
	defer cancel()
	err := s.store.RemoveRunner(ctx, store.RemoveRunnerParams{Now: instant.Of(s.now()), Runner: s.id, Pause: pause})
	if err != nil {
		s.log.Error("remove runner", "runner", s.Name, "error", err)
	}
}

// storeCall is the context of one store call.
func (s *Engine) storeCall(ctx context.Context) (context.Context, context.CancelFunc) {
	if s.direct {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, StoreTimeout)
}

// storeCallUntil is storeCall with another deadline besides, if until is not zero.
func (s *Engine) storeCallUntil(ctx context.Context, until time.Time) (context.Context, context.CancelFunc) {
	if s.direct || until.IsZero() {
		return s.storeCall(ctx)
	}
	return context.WithDeadline(ctx, instant.Earlier(until, time.Now().Add(StoreTimeout)))
}

// drain waits for what runs, first without and then with the end of its context. What waits for its instant is handed back.
func (s *Engine) drain() error {
	s.handBackWaiting()
	returned := make(chan struct{})
	go func() { // ends with the last run; a deaf flow keeps it, as it keeps itself
		s.running.Wait()
		close(returned)
	}()
	if s.ShutdownTimeout < 0 {
		<-returned
	} else if !waitFor(returned, s.ShutdownTimeout) {
		s.cancelAll(errShutdown)
		if !waitFor(returned, s.unresponsiveLimit()) {
			return fmt.Errorf("%w: still running: %v", ErrDrainTimeout, s.unresponsive())
		}
	}
	return nil
}

// deafLimit is what flows get to return once their context has ended: a process that does not is ended then, and that takes time.
func (s *Engine) unresponsiveLimit() time.Duration {
	if s.processes != nil {
		return unresponsiveTimeout + forceTimeout
	}
	return unresponsiveTimeout
}

// waitFor waits for done, false if it takes longer than d.
func waitFor(done <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

func (s *Engine) cancelAll(cause error) {
	s.mu.Lock()
	all := slices.Clone(s.inFlight)
	s.mu.Unlock()
	for _, x := range all {
		x.cancel(cause)
	}
}

// deaf names the runs whose function has not returned.
func (s *Engine) unresponsive() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for _, x := range s.inFlight {
		if x.started.Load() && !x.Ended.Load() {
			list = append(list, fmt.Sprintf("%s (run %s)", store.Handle(x.served.Flow.Name, x.served.Name), x.Claim.RunID))
		}
	}
	return list
}
