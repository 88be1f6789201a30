package provost

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/provost-go/provost/internal/instant"

	"github.com/google/uuid"
)

// server is one Serve call at work. Four kinds of goroutines share it, and serve waits for all of them: the feeder plans and
// claims, runs execute, the settler records what became of them, the keeper renews leases. Each of them lives through hours in
// which the store fails or does not answer, and none waits for another's call.
type server struct {
	settings
	id     uuid.UUID
	clock  wallClock
	store  Store
	local  bool // the store's hints are reliable: it is not polled
	client *Client
	log    *slog.Logger
	events *runEvents
	watch  *watch // nil: nobody observes
	vitals vitals

	deployments map[uuid.UUID]*served
	retained    map[Retention][]uuid.UUID // deployments whose runs are not kept for ever
	starting    []*served                 // for registration only
	outages     *outages

	// The feeder's. Times have a monotonic reading.
	claimID  uuid.UUID // names a claim until it is answered
	reapAt   time.Time // when to look for dead leases again
	beaten   time.Time // when the newest heartbeat began
	reapFrom atomic.Pointer[time.Time]
	beatNow  atomic.Bool

	flowContext context.Context // what every flow's context derives from: Serve's values, not its end
	claims      context.Context // of calls that claim: they are answered also when Serve's context has just ended

	processes *childPool // nil: no deployment is isolated
	upstream  *childSide // in a child process: what its one run reports to; nil elsewhere

	wake       chan struct{} // for the feeder: work
	freed      chan struct{} // for the feeder: room for more runs, here or under a limit
	wakeKeeper chan struct{} // a cancellation is asked for, or leases are in doubt
	admitted   chan struct{} // for the keeper: there are leases again
	settler    *settler
	hooks      hooks
	left       leftRuns

	crew      crew
	claiming  atomic.Bool  // a claim is under way whose runs the keeper does not know yet
	missed    atomic.Bool  // the keeper looked meanwhile: a cancellation may be one of those runs'
	launching atomic.Int64 // launched runs that have not got as far as their first line; those with a process of their own take long

	running sync.WaitGroup // executions, those that wait for their instant too, the crew's goroutines and the feeder

	// mu guards what follows; nothing blocks under it.
	mu        sync.Mutex
	inFlight  []*execution // claimed and not settled
	busy      int          // of these, those whose function has not returned
	starved   bool         // the feeder waits for a free slot
	heldFrom  time.Time    // see oldestTrust
	trustEnds time.Time    // see endOfTrust
	children  map[uuid.UUID]*execution
	waiting   map[*batch]struct{}
	draining  bool
}

func newServer(r *Runner, deployments []*Deployment) (*server, error) {
	c, err := r.settings()
	list, err2 := prepare(deployments, c.isolation)
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	s := &server{
		settings: c, id: newID(r.clock.now()), clock: r.clock, store: r.Store, log: r.Logger,
		deployments: make(map[uuid.UUID]*served, len(list)), starting: list,
		wake: make(chan struct{}, 1), freed: make(chan struct{}, 1), wakeKeeper: make(chan struct{}, 1),
		admitted: make(chan struct{}, 1), children: make(map[uuid.UUID]*execution), waiting: make(map[*batch]struct{}),
		retained: make(map[Retention][]uuid.UUID),
	}
	s.reapFrom.Store(&time.Time{})
	if s.store == nil {
		s.store = NewMemoryStore()
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	for i, sd := range list {
		s.deployments[sd.id] = sd
		if retention := cmp.Or(deployments[i].Retention, r.Retention); retention != (Retention{}) {
			s.retained[retention] = append(s.retained[retention], sd.id)
		}
	}
	s.local = isLocal(s.store)
	s.client = NewClient(s.store)
	s.client.clock = s.clock
	if !s.client.direct {
		s.store = &timedStore{Store: s.store, calls: &s.vitals.calls}
	}
	s.events = newRunEvents(s.log)
	s.watch = newWatch(r.Observer, s.name, s.log)
	s.outages = newOutages(s.log, s.watch)
	s.settler = newSettler()
	if slices.ContainsFunc(list, func(sd *served) bool { return sd.isolated }) {
		s.processes = newChildPool(s)
	}
	return s, nil
}

// serve is Serve from registration to the last goroutine.
func (s *server) serve(ctx context.Context, ready func()) error {
	s.flowContext = context.WithoutCancel(ctx)
	unserved, err := s.register(ctx)
	if err != nil {
		return fmt.Errorf("provost: Serve: %w", err)
	}
	defer s.leave(s.pauseOnShutdown)
	stopHints := s.listen()
	defer stopHints()
	unmade := s.runOnStart(ctx, unserved)
	if s.processes != nil {
		s.processes.open(ctx)
		defer s.processes.close()
	}

	// Claiming ends with ctx; settling and renewing go on until the last run is settled.
	background, stop := context.WithCancel(s.flowContext)
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
	s.running.Go(func() { s.feedLoop(ctx, ready) }) // among the runs: it may be about to take some
	<-ctx.Done()
	s.become(phaseDraining, nil)
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
func (s *server) register(ctx context.Context) (unserved []uuid.UUID, err error) {
	records := make([]*DeploymentRecord, len(s.starting))
	ids := make([]uuid.UUID, len(s.starting))
	for i, sd := range s.starting {
		records[i], ids[i] = sd.record, sd.id
	}
	now := instant.Of(s.now())
	callCtx, cancel := s.storeCall(ctx)
	defer cancel()
	registrations, err := s.store.RegisterDeployments(callCtx, RegisterDeploymentsParams{Now: now, Runner: s.id, Deployments: records})
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
	if s.prune {
		if err := s.pruneDeployments(ctx); err != nil {
			s.leave(false)
			return nil, fmt.Errorf("prune deployments: %w", err)
		}
	}
	for _, sd := range s.starting {
		sd.record = nil // the store has it; 100,000 of them are worth forgetting
	}
	s.starting = nil
	return unserved, nil
}

func (s *server) registerRunner(ctx context.Context, now time.Time, ids []uuid.UUID) ([]uuid.UUID, error) {
	unserved, err := s.store.RegisterRunner(ctx, RegisterRunnerParams{
		Now: now,
		Runner: RunnerRecord{
			ID: s.id, Name: s.name, Version: buildVersion(), Started: now, SeenAt: now, Until: now.Add(s.leaseTTL),
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
func (s *server) announce(record *DeploymentRecord, r Registration) {
	if r.Change == Updated && len(r.ServedBy) > 0 {
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

func servingAttrs(record *DeploymentRecord, now time.Time) []any {
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
func (s *server) pruneDeployments(ctx context.Context) error {
	for _, name := range flowNames(s.starting) {
		for record, err := range pages(ctx, func(ctx context.Context, cursor string) (Page[*DeploymentRecord], error) {
			callCtx, cancel := s.storeCall(ctx)
			defer cancel()
			return s.store.ListDeployments(callCtx, DeploymentFilter{Flow: name, Cursor: cursor})
		}) {
			if err != nil {
				return err
			}
			if s.deployments[record.ID] != nil || record.ServedAt(s.now()) || record.WorkPool != "" {
				continue
			}
			callCtx, cancel := s.storeCall(ctx)
			err := s.store.DeleteDeployment(callCtx, DeleteDeploymentParams{Now: instant.Of(s.now()), ID: record.ID})
			cancel()
			if err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
			s.log.Info("deployment pruned", "deployment", record.Handle())
		}
	}
	return nil
}

// runOnStart makes the runs of deployments that come to be served. When the store fails it leaves the rest for later.
func (s *server) runOnStart(ctx context.Context, unserved []uuid.UUID) (unmade []uuid.UUID) {
	for i, id := range unserved {
		if sd := s.deployments[id]; sd.onStart && s.makeStartRun(ctx, sd) != nil {
			return unserved[i:]
		}
	}
	return nil
}

// makeStartRun makes one run for this start, however often it is called. What is refused is not tried again.
func (s *server) makeStartRun(ctx context.Context, sd *served) error {
	h := handle(sd.flow.name, sd.name)
	_, err := s.client.RunDeployment(ctx, h, &RunOptions{IdempotencyKey: "start of runner " + s.id.String()})
	_, unfit := errors.AsType[*ParamError](err)
	if unfit || errors.Is(err, ErrQueueFull) || errors.Is(err, ErrNotFound) || errors.Is(err, ErrConflict) {
		s.log.Error("run on start", "deployment", h, "error", err)
		return nil
	}
	s.report(ctx, "run on start", err)
	return err
}

// repeatRunOnStart makes what is left until the store has it all.
func (s *server) repeatRunOnStart(ctx context.Context, unmade []uuid.UUID) {
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
func (s *server) listen() (stop func()) {
	notifier, ok := storeAs[Notifier](s.store)
	if !ok {
		return func() {}
	}
	stopWork := notifier.Notify(Topic{Kind: TopicWork}, s.wake)
	stopCancel := notifier.Notify(Topic{Kind: TopicCancel}, s.wakeKeeper)
	return func() {
		stopWork()
		stopCancel()
	}
}

// leave takes the runner out of the store. If that fails, its lease ends by itself.
func (s *server) leave(pause bool) {
	ctx, cancel := s.storeCallUntil(s.flowContext, time.Now().Add(lastCall))
	defer cancel()
	err := s.store.RemoveRunner(ctx, RemoveRunnerParams{Now: instant.Of(s.now()), Runner: s.id, Pause: pause})
	if err != nil {
		s.log.Error("remove runner", "runner", s.name, "error", err)
	}
}

// storeCall is the context of one store call.
func (s *server) storeCall(ctx context.Context) (context.Context, context.CancelFunc) {
	return s.client.call(ctx)
}

// storeCallUntil is storeCall with another deadline besides, if until is not zero.
func (s *server) storeCallUntil(ctx context.Context, until time.Time) (context.Context, context.CancelFunc) {
	if s.client.direct || until.IsZero() {
		return s.storeCall(ctx)
	}
	return context.WithDeadline(ctx, instant.Earlier(until, time.Now().Add(storeTimeout)))
}

// drain waits for what runs, first without and then with the end of its context. What waits for its instant is handed back.
func (s *server) drain() error {
	s.handBackWaiting()
	returned := make(chan struct{})
	go func() { // ends with the last run; a deaf flow keeps it, as it keeps itself
		s.running.Wait()
		close(returned)
	}()
	if s.shutdownTimeout < 0 {
		<-returned
	} else if !waitFor(returned, s.shutdownTimeout) {
		s.cancelAll(errShutdown)
		if !waitFor(returned, s.deafLimit()) {
			return fmt.Errorf("%w: still running: %v", ErrDrainTimeout, s.deaf())
		}
	}
	return nil
}

// deafLimit is what flows get to return once their context has ended: a process that does not is ended then, and that takes time.
func (s *server) deafLimit() time.Duration {
	if s.processes != nil {
		return deafTimeout + forceTimeout
	}
	return deafTimeout
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

func (s *server) cancelAll(cause error) {
	s.mu.Lock()
	all := slices.Clone(s.inFlight)
	s.mu.Unlock()
	for _, x := range all {
		x.cancel(cause)
	}
}

// deaf names the runs whose function has not returned.
func (s *server) deaf() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for _, x := range s.inFlight {
		if x.started.Load() && !x.ended.Load() {
			list = append(list, fmt.Sprintf("%s (run %s)", handle(x.served.flow.name, x.served.name), x.claim.RunID))
		}
	}
	return list
}
