package engine

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/internal/param"
	"github.com/provost-go/provost/store"
)

// refuse deals with a run whose parameters do not fit. It fails, unless programs of several versions serve its deployment, as they do
// while a new one is rolled out: then it may be meant for another one, and is left to that.
func (x *Execution) refuse() {
	s := x.server
	now := s.now()
	message := x.redactor().Text("parameters do not fit: " + x.refused.Error())
	if !s.servedByOthers(x) {
		s.settle(x, now, store.RunUpdate{State: store.NewState(store.StateFailed, instant.Of(now), bounded(message))})
		return
	}
	s.log.Warn("run left to runners of another version", "run", x.Claim.Name, "id", x.Claim.RunID,
		"deployment", store.Handle(x.served.Flow.Name, x.served.Name), "reason", bounded(message))
	s.left.add(x.Claim.RunID)
	s.settle(x, now, store.RunUpdate{Attempt: x.Claim.Attempt, State: store.NewNamedState(store.StateScheduled, store.NameVersionMismatch, instant.Of(now), bounded(message))})
}

// servedByOthers reports whether a live runner of another version serves the run's deployment. If the store can't tell, one may: that
// loses nothing.
func (s *Engine) servedByOthers(x *Execution) bool {
	if s.upstream != nil {
		return false // its runner has asked already
	}
	ctx, cancel := s.storeCall(s.FlowContext)
	defer cancel()
	runners, err := s.store.ListRunners(ctx)
	if err != nil {
		return true
	}
	record, err := s.store.GetDeployment(ctx, x.Claim.DeploymentID)
	if err != nil {
		return !errors.Is(err, store.ErrNotFound)
	}
	version := param.BuildVersion()
	if own := slices.IndexFunc(runners, func(r store.RunnerRecord) bool { return r.ID == s.id }); own >= 0 {
		version = runners[own].Version
	}
	now := s.now()
	return slices.ContainsFunc(runners, func(r store.RunnerRecord) bool {
		return r.Version != version && !r.Until.Before(now) &&
			slices.ContainsFunc(record.ServedBy, func(server store.ServingRunner) bool { return server.Name == r.Name })
	})
}

// leftFor is how long a runner claims no run again that it has left to others. Then it looks again: they may all have gone.
const declineFor = time.Minute

// leftRuns are the runs that a runner has left to others lately. Executions add to them, the feeder reads them.
type declinedRuns struct {
	mu   sync.Mutex
	runs []declinedRun // oldest first, at most MaxExcept
}

type declinedRun struct {
	id    uuid.UUID
	until time.Time // has a monotonic reading
}

func (l *declinedRuns) add(id uuid.UUID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.runs) == store.MaxExcept {
		l.runs = slices.Delete(l.runs, 0, 1)
	}
	l.runs = append(l.runs, declinedRun{id, time.Now().Add(declineFor)})
}

// now are the runs that are left to others at this moment, and how long it takes until the first of them is not any more.
func (l *declinedRuns) now() (ids []uuid.UUID, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.runs = slices.DeleteFunc(l.runs, func(r declinedRun) bool { return time.Until(r.until) <= 0 })
	for _, r := range l.runs {
		ids = append(ids, r.id)
	}
	if len(l.runs) > 0 {
		wait = time.Until(l.runs[0].until)
	}
	return ids, wait
}
