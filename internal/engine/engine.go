package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/store"
)

// Engine is one Serve call at work. New wires its parts, which doc.go describes.
type Engine struct {
	*Access
	config      Config
	deployments map[uuid.UUID]*Deployment
	progress    progress

	heart     *heart
	leases    *LeaseKeeper
	completer *Completer
	slots     *slots
	hooks     *hooks
	runLogger *runLogger
	executor  *executor
	pool      *pool
	processes *subprocessPool // nil if no deployment is isolated
	starter   *starter
	claimer   *claimer
	poller    *poller
	pruner    *pruner
}

// New returns an engine for one Serve.
func New(c Config) *Engine {
	e := &Engine{Access: NewAccess(c), config: c, deployments: make(map[uuid.UUID]*Deployment, len(c.Deployments))}
	ids := make([]uuid.UUID, len(c.Deployments))
	for i, d := range c.Deployments {
		e.deployments[d.ID], ids[i] = d, d.ID
	}
	e.heart = &heart{Access: e.Access, id: store.NewID(e.now()), name: c.Name, ttl: c.LeaseTTL, deployments: ids}

	// What keeps runs, and writes what became of them.
	e.leases = NewLeaseKeeper(e.Access, c.LeaseTTL)
	e.completer = NewCompleter(e.Access, e.leases)
	e.slots = newSlots(c.Limit)
	e.hooks = &hooks{Access: e.Access, relieved: e.slots.relieved}
	e.completer.relieved = e.slots.relieved
	e.slots.overloaded = func() bool { return e.completer.backlog() > maxUnwritten || e.hooks.waiting() > maxUnwritten }

	// What executes runs.
	e.runLogger = newRunLogger(e.log)
	declined := &declinedRuns{}
	if slices.ContainsFunc(c.Deployments, func(d *Deployment) bool { return d.Isolated }) {
		e.processes = newSubprocessPool(e.Access, c, e.leases.children)
	}
	e.executor = &executor{
		Access: e.Access, completer: e.completer, children: e.leases.children, hooks: e.hooks, slots: e.slots,
		declined: declined, processes: e.processes,
		reporter: &storeReporter{
			Access: e.Access, runner: e.heart.id, leases: e.leases, completer: e.completer, slots: e.slots, runLogger: e.runLogger,
		},
	}
	e.pool = &pool{completer: e.completer}
	e.completer.launching = &e.pool.launching
	e.starter = newStarter(e.Access, c, e.pool, e.processes)

	// What looks for work.
	skips := &skipReporter{Access: e.Access, deployments: e.deployments}
	e.claimer = &claimer{
		Access: e.Access, heart: e.heart, slots: e.slots, leases: e.leases, executor: e.executor, starter: e.starter, skips: skips,
		declined: declined, deployments: e.deployments,
	}
	e.poller = newPoller(e.Access, c, e.heart, newReaper(e.Access, c.LeaseTTL, e.leases), &planner{Access: e.Access, skips: skips}, e.claimer)
	e.pruner = newPruner(e.Access, c.Deployments)
	return e
}

// Serve registers the deployments and runs them until ctx ends. ready is called once their first
// runs are planned.
func (e *Engine) Serve(ctx context.Context, ready func()) error {
	err := e.serve(ctx, func() {
		e.setPhase(phaseServing, nil)
		ready()
	})
	e.setPhase(phaseStopped, err)
	return err
}

// serve is Serve from registration to the last goroutine.
func (e *Engine) serve(ctx context.Context, ready func()) error {
	flows := context.WithoutCancel(ctx)
	e.executor.context = flows
	unserved, err := e.register(ctx)
	if err != nil {
		return fmt.Errorf("provost: Serve: %w", err)
	}
	defer e.heart.leave(flows, e.config.PauseOnShutdown)
	defer e.poller.listen()()
	unmade := e.runOnStart(ctx, unserved)
	if e.processes != nil {
		e.processes.open(ctx)
		defer e.processes.close()
	}

	// Claiming ends with ctx; completing and renewing go on until the end of the last run is
	// stored.
	background, stop := context.WithCancel(flows)
	defer stop()
	claims, endClaims := context.WithCancel(background)
	defer endClaims()
	writes, endWrites := context.WithCancel(background)
	defer endWrites()
	e.claimer.calls = claims
	var loops sync.WaitGroup
	loops.Go(func() { e.completer.Run(writes) })
	loops.Go(func() { e.leases.Run(background) })
	if !e.local { // else the poller has it beat
		loops.Go(func() { e.heart.run(background) })
	}
	loops.Go(func() { e.repeatRunOnStart(ctx, unmade) })
	loops.Go(func() { e.pruner.run(ctx) })
	e.pool.running.Go(func() { e.poller.run(ctx, ready) }) // among the runs: it may be about to take some
	<-ctx.Done()

	ended := time.Now()
	e.setPhase(phaseDraining, nil)
	defer time.AfterFunc(claimGrace, endClaims).Stop()
	if e.local {
		loops.Go(func() { e.heart.run(background) })
	}
	e.starter.close()
	drained := Drain{Running: &e.pool.running, Leases: e.leases, Timeout: e.config.ShutdownTimeout, Patience: e.patience()}.Wait()
	defer time.AfterFunc(lastWrites, endWrites).Stop()
	e.completer.Close()
	<-e.completer.done
	drained = errors.Join(drained, e.hooks.wait(e.config.ShutdownTimeout, ended))
	stop()
	loops.Wait()
	e.runLogger.close()
	return drained
}

// patience returns how long flows get to return once their context has ended. A process that does
// not is killed then, and that takes time.
func (e *Engine) patience() time.Duration {
	if e.processes != nil {
		return unresponsiveTimeout + forceTimeout
	}
	return unresponsiveTimeout
}
