package engine

import (
	"cmp"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/observe"
)

// Bounds on the patience of Health.
const (
	stallAfter = 3 * time.Second // a store call that takes longer is trouble before it has failed
	loopSlack  = 5 * time.Second // how far a loop may fall behind its interval, beside the interval itself
)

// phase is a HealthStatus. It only rises.
type phase int32

var statuses = []observe.HealthStatus{observe.HealthStarting, observe.HealthServing, observe.HealthDraining, observe.HealthStopped}

const (
	phaseStarting phase = iota
	phaseServing
	phaseDraining
	phaseStopped
)

// vitals is what a server notes for Health, besides its outages.
type healthState struct {
	phase      atomic.Int32
	leasesLost atomic.Int64
	calls      callsUnderWay
}

// become notes how far Serve has got, and tells the observer.
func (s *Engine) setPhase(p phase, err error) {
	for {
		was := s.vitals.phase.Load()
		if phase(was) >= p {
			return
		}
		if s.vitals.phase.CompareAndSwap(was, int32(p)) {
			break
		}
	}
	if s.Watch == nil {
		return
	}
	e := observe.Event{Time: s.now(), Err: err}
	switch p {
	case phaseServing:
		e.Kind = observe.RunnerStarted
	case phaseDraining:
		e.Kind = RunnerDraining
		e.InFlight, e.Unwritten = s.load()
	case phaseStopped:
		e.Kind = RunnerStopped
	}
	s.Watch.send(e)
}

// load is how many runs hold a slot, and how many have ended without the store having it yet.
func (s *Engine) load() (inFlight, unsettled int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.busy, len(s.inFlight) - s.busy
}

func (s *Engine) Health(now time.Time) observe.Health {
	v := &s.vitals
	current := phase(v.phase.Load())
	h := observe.Health{
		Status: statuses[current], Runner: s.Name, Deployments: len(s.Deployments), Limit: s.Limit,
		LeasesLost: v.leasesLost.Load(),
	}
	if s.Limit == Unlimited {
		h.Limit = -1
	}
	h.InFlight, h.UnwrittenResults = s.load()
	troubles := s.outages.troubles()
	planned := s.outages.lastSuccess("plan runs")
	h.LastPolled, h.LastRenewed = instant.Latest(planned, s.outages.lastSuccess("claim runs")), s.outages.lastSuccess("renew leases")
	switch current {
	case phaseDraining:
		for _, operation := range []string{"plan runs", "reap leases", "claim runs"} {
			delete(troubles, operation) // it is not tried any more
		}
	case phaseStopped:
		return h
	}
	add := func(t observe.Problem) {
		if _, known := troubles[t.Operation]; !known {
			troubles[t.Operation] = t
		}
	}
	v.calls.stalled(now, add)
	s.overdue(now, current, planned, add)
	for _, t := range troubles {
		h.Problems = append(h.Problems, t)
	}
	slices.SortFunc(h.Problems, func(a, b observe.Problem) int { return cmp.Compare(a.Operation, b.Operation) })
	return h
}

// overdue adds planning if that has not come round: a store outside of this process is asked at every poll. The store's own
// trouble shows sooner; this is what is left, such as an observer or a log handler that blocks.
func (s *Engine) overdue(now time.Time, current phase, planned time.Time, add func(observe.Problem)) {
	if s.local || current != phaseServing || planned.IsZero() {
		return
	}
	if behind := now.Sub(planned); behind > 2*s.PollInterval+loopSlack {
		add(observe.Problem{Operation: "plan runs", Since: planned, Error: fmt.Sprintf("planning has not come round for %v", behind.Round(time.Second))})
	}
}

// troubles lists the operations that fail, by name.
func (o *failures) troubles() map[string]observe.Problem {
	o.mu.Lock()
	defer o.mu.Unlock()
	found := make(map[string]observe.Problem)
	for operation, out := range o.operations {
		if !out.since.IsZero() {
			found[operation] = observe.Problem{Operation: operation, Since: out.since, Error: out.err.Error()}
		}
	}
	return found
}

// lastSuccess is when an operation last worked, zero if it never did.
func (o *failures) lastSuccess(operation string) time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.succeeded[operation]
}
