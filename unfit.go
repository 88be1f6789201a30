package provost

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/provost-go/provost/internal/instant"

	"github.com/google/uuid"
)

// refuse deals with a run whose parameters do not fit. It fails, unless programs of several versions serve its deployment, as they do
// while a new one is rolled out: then it may be meant for another one, and is left to that.
func (x *execution) refuse() {
	s := x.server
	now := s.now()
	message := x.redactor().text("parameters do not fit: " + x.refused.Error())
	if !s.servedByOthers(x) {
		s.settle(x, now, RunUpdate{State: newState(StateFailed, instant.Of(now), bounded(message))})
		return
	}
	s.log.Warn("run left to runners of another version", "run", x.claim.Name, "id", x.claim.RunID,
		"deployment", handle(x.served.flow.name, x.served.name), "reason", bounded(message))
	s.left.add(x.claim.RunID)
	s.settle(x, now, RunUpdate{Attempt: x.claim.Attempt, State: namedState(StateScheduled, NameUnfit, instant.Of(now), bounded(message))})
}

// servedByOthers reports whether a live runner of another version serves the run's deployment. If the store can't tell, one may: that
// loses nothing.
func (s *server) servedByOthers(x *execution) bool {
	if s.upstream != nil {
		return false // its runner has asked already
	}
	ctx, cancel := s.storeCall(s.flowContext)
	defer cancel()
	runners, err := s.store.ListRunners(ctx)
	if err != nil {
		return true
	}
	record, err := s.store.GetDeployment(ctx, x.claim.DeploymentID)
	if err != nil {
		return !errors.Is(err, ErrNotFound)
	}
	version := buildVersion()
	if own := slices.IndexFunc(runners, func(r RunnerRecord) bool { return r.ID == s.id }); own >= 0 {
		version = runners[own].Version
	}
	now := s.now()
	return slices.ContainsFunc(runners, func(r RunnerRecord) bool {
		return r.Version != version && !r.Until.Before(now) &&
			slices.ContainsFunc(record.ServedBy, func(server Server) bool { return server.Name == r.Name })
	})
}

// leftFor is how long a runner claims no run again that it has left to others. Then it looks again: they may all have gone.
const leftFor = time.Minute

// leftRuns are the runs that a runner has left to others lately. Executions add to them, the feeder reads them.
type leftRuns struct {
	mu   sync.Mutex
	runs []leftRun // oldest first, at most MaxExcept
}

type leftRun struct {
	id    uuid.UUID
	until time.Time // has a monotonic reading
}

func (l *leftRuns) add(id uuid.UUID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.runs) == MaxExcept {
		l.runs = slices.Delete(l.runs, 0, 1)
	}
	l.runs = append(l.runs, leftRun{id, time.Now().Add(leftFor)})
}

// now are the runs that are left to others at this moment, and how long it takes until the first of them is not any more.
func (l *leftRuns) now() (ids []uuid.UUID, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.runs = slices.DeleteFunc(l.runs, func(r leftRun) bool { return time.Until(r.until) <= 0 })
	for _, r := range l.runs {
		ids = append(ids, r.id)
	}
	if len(l.runs) > 0 {
		wait = time.Until(l.runs[0].until)
	}
	return ids, wait
}
