package provost

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
)

// server is one Serve call at work. Four kinds of goroutines share it, and serve waits for all of them: the feeder plans and
// claims, runs execute, the settler records what became of them, the keeper renews leases.
type server struct {
	settings
	id     uuid.UUID
	clock  wallClock
	store  Store
	local  bool // the store's hints are reliable: it is not polled
	client *Client
	log    *slog.Logger
	events *runEvents

	deployments map[uuid.UUID]*served
	starting    []*served // for registration only
	reapAt      time.Time // the feeder's: when to look for dead leases again; has a monotonic reading

	flowContext context.Context // what every flow's context derives from: Serve's values, not its end

	processes *childPool // nil: no deployment is isolated
	upstream  *childSide // in a child process: what its one run reports to; nil elsewhere

	wake       chan struct{} // for the feeder: work, or a free slot
	wakeKeeper chan struct{} // a cancellation is asked for, or there are leases to renew
	settler    *settler

	crew      crew
	launching atomic.Int64 // launched runs that have not got as far as their first line

	running sync.WaitGroup // executions, those that wait for their instant too, and the crew's goroutines
	hooks   sync.WaitGroup

	// mu guards what follows; nothing blocks under it.
	mu       sync.Mutex
	inFlight []*execution // claimed and not settled
	busy     int          // of these, those whose function has not returned
	starved  bool         // the feeder waits for a free slot
	children map[uuid.UUID]*execution
	waiting  map[*batch]struct{}
	draining bool
	trouble  map[string]bool // store operations that fail at the moment
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
		wake: make(chan struct{}, 1), wakeKeeper: make(chan struct{}, 1),
		children: make(map[uuid.UUID]*execution), waiting: make(map[*batch]struct{}), trouble: make(map[string]bool),
	}
	if s.store == nil {
		s.store = NewMemoryStore()
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	for _, sd := range list {
		s.deployments[sd.id] = sd
	}
	s.local = isLocal(s.store)
	s.client = NewClient(s.store)
	s.client.clock = s.clock
	s.events = newRunEvents(s.log)
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
	defer s.leave()
	stopHints := s.listen()
	defer stopHints()
	s.runOnStart(ctx, unserved)
	if s.processes != nil {
		s.processes.open(ctx)
		defer s.processes.close()
	}

	// Claiming ends with ctx; settling and renewing go on until the last run is settled.
	background, stop := context.WithCancel(s.flowContext)
	var loops sync.WaitGroup
	loops.Go(func() { s.settleLoop(background) })
	loops.Go(func() { s.keepLoop(background) })
	s.feedLoop(ctx, ready)
	drained := s.drain()
	close(s.settler.closed)
	<-s.settler.done
	drained = errors.Join(drained, s.awaitHooks())
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
	now := instant(s.now())
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
		return nil, err
	}
	if s.prune {
		if err := s.pruneDeployments(ctx); err != nil {
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
			next = earlier(next, at)
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
			err := s.store.DeleteDeployment(callCtx, record.ID)
			cancel()
			if err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
			s.log.Info("deployment pruned", "deployment", record.Handle())
		}
	}
	return nil
}

// runOnStart makes the runs of deployments that come to be served.
func (s *server) runOnStart(ctx context.Context, unserved []uuid.UUID) {
	for _, id := range unserved {
		sd := s.deployments[id]
		if !sd.onStart {
			continue
		}
		if _, err := s.client.RunDeployment(ctx, handle(sd.flow.name, sd.name), nil); err != nil {
			s.log.Error("run on start", "deployment", handle(sd.flow.name, sd.name), "error", err)
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

// leave takes the runner out of the store.
func (s *server) leave() {
	ctx, cancel := s.storeCall(s.flowContext)
	defer cancel()
	err := s.store.RemoveRunner(ctx, RemoveRunnerParams{Now: instant(s.now()), Runner: s.id, Pause: s.pauseOnShutdown})
	if err != nil {
		s.log.Error("remove runner", "runner", s.name, "error", err)
	}
}

// storeCall is the context of one store call.
func (s *server) storeCall(ctx context.Context) (context.Context, context.CancelFunc) {
	return s.client.call(ctx)
}

// report logs that a store operation fails, and that it works again: one line per change, however long it lasts.
func (s *server) report(operation string, err error) {
	s.mu.Lock()
	before := s.trouble[operation]
	s.trouble[operation] = err != nil
	s.mu.Unlock()
	switch {
	case err != nil && !before:
		s.log.Error("store trouble", "operation", operation, "error", err)
	case err == nil && before:
		s.log.Info("store works again", "operation", operation)
	}
}

// drain waits for what runs, first without and then with the end of its context. What waits for its instant is handed back.
func (s *server) drain() error {
	s.mu.Lock()
	s.draining = true
	batches := make([]*batch, 0, len(s.waiting))
	for b := range s.waiting {
		batches = append(batches, b)
	}
	s.mu.Unlock()
	for _, b := range batches {
		s.handBackBatch(b)
	}
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

// awaitHooks gives the hooks under way their time, and no more: one that ignores the end of its context does not keep Serve.
func (s *server) awaitHooks() error {
	returned := make(chan struct{})
	go func() {
		s.hooks.Wait()
		close(returned)
	}()
	if !waitFor(returned, hookTimeout+deafTimeout) {
		return fmt.Errorf("%w: a hook is still running", ErrDrainTimeout)
	}
	return nil
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
		if x.started.Load() {
			list = append(list, fmt.Sprintf("%s (run %s)", handle(x.served.flow.name, x.served.name), x.claim.RunID))
		}
	}
	return list
}
