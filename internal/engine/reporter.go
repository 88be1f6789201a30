package engine

import (
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/param"
	"github.com/provost-go/provost/store"
)

// reporter is whom an execution reports to: the store, or in a subprocess the runner that started
// it.
type reporter interface {
	// begin notes that the function is about to be entered. It returns false if the function must
	// not be entered.
	begin(x *Execution) bool

	// complete takes what became of the attempt. It marks the execution as ended and ends its
	// context.
	complete(x *Execution, end time.Time, update store.RunUpdate)

	// declines reports whether a run whose parameters do not fit is left to runners of another
	// version.
	declines(x *Execution) bool

	// learn is told secrets of a child run.
	learn(secrets []any)

	// newLog returns the log of an attempt.
	newLog(x *Execution) *runLog
}

// storeReporter reports to the store, and to the log and the observer of the runner.
type storeReporter struct {
	*Access
	runner    uuid.UUID
	leases    *LeaseKeeper
	completer *Completer
	slots     *slots
	runLogger *runLogger
}

func (r *storeReporter) begin(x *Execution) bool {
	if x.deployment.Once && !r.completer.Begin(x, &x.Hold, x.progress()) {
		return false
	}
	x.started.Store(true)
	r.runLogger.started(x)
	r.events.started(x)
	signal(r.completer.wake)
	return true
}

// complete frees the slot of the run, and has its end written unless the lease is lost.
func (r *storeReporter) complete(x *Execution, end time.Time, update store.RunUpdate) {
	r.runLogger.ended(x, end, update.State)
	lost := r.leases.Finish(&x.Hold)
	x.cancel(nil)
	r.events.ended(x, end, update.State, update.DueTime, lost)
	if !lost {
		r.completer.add(&x.Hold, update)
	}
	r.slots.release()
}

// declines reports whether a live runner of another version serves the run's deployment. If the
// store cannot tell, one may: that loses nothing.
func (r *storeReporter) declines(x *Execution) bool {
	ctx, cancel := r.call(x.executor.context)
	defer cancel()
	runners, err := r.store.ListRunners(ctx)
	if err != nil {
		return true
	}
	record, err := r.store.GetDeployment(ctx, x.claim.DeploymentID)
	if err != nil {
		return !errors.Is(err, store.ErrNotFound)
	}
	version := param.BuildVersion()
	if own := slices.IndexFunc(runners, func(other store.RunnerRecord) bool { return other.ID == r.runner }); own >= 0 {
		version = runners[own].Version
	}
	now := r.now()
	other := slices.ContainsFunc(runners, func(other store.RunnerRecord) bool {
		return other.Version != version && !other.Until.Before(now) &&
			slices.ContainsFunc(record.ServedBy, func(server store.ServingRunner) bool { return server.Name == other.Name })
	})
	return other
}

func (r *storeReporter) learn([]any) {}

func (r *storeReporter) newLog(x *Execution) *runLog { return newRunLog(x) }
