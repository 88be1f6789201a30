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
	stallAfter = 3 * time.Second // a store call that takes longer is a problem before it has failed
	loopSlack  = 5 * time.Second // how far a loop may fall behind its interval, beside the interval itself
)

// phase is how far Serve has got. It only rises.
type phase int32

const (
	phaseStarting phase = iota
	phaseServing
	phaseDraining
	phaseStopped
)

var statuses = []observe.HealthStatus{observe.HealthStarting, observe.HealthServing, observe.HealthDraining, observe.HealthStopped}

// progress is the phase of an engine. The zero value is phaseStarting.
type progress struct{ reached atomic.Int32 }

func (p *progress) phase() phase { return phase(p.reached.Load()) }

// reach notes a phase and reports whether it is new.
func (p *progress) reach(next phase) bool {
	for {
		was := p.reached.Load()
		if phase(was) >= next {
			return false
		}
		if p.reached.CompareAndSwap(was, int32(next)) {
			return true
		}
	}
}

// setPhase notes how far Serve has got, and tells the observer.
func (e *Engine) setPhase(p phase, err error) {
	if e.progress.reach(p) {
		e.events.phase(e.now(), p, loadOf(e.slots, e.leases), err)
	}
}

// Health returns how the runner is doing. It calls no store.
func (e *Engine) Health(now time.Time) observe.Health {
	current, l := e.progress.phase(), loadOf(e.slots, e.leases)
	h := observe.Health{
		Status: statuses[current], Runner: e.config.Name, Deployments: len(e.deployments),
		InFlight: l.inFlight, Limit: l.limit, UnwrittenResults: l.unwritten, LeasesLost: e.leases.lost.Load(),
	}
	if l.limit == Unlimited {
		h.Limit = -1
	}
	problems := e.failures.problems()
	planned := e.failures.lastSuccess("plan runs")
	h.LastPolled, h.LastRenewed = instant.Latest(planned, e.failures.lastSuccess("claim runs")), e.failures.lastSuccess("renew leases")
	switch current {
	case phaseDraining:
		for _, operation := range []string{"plan runs", "reap leases", "claim runs"} {
			delete(problems, operation) // it is not tried any more
		}
	case phaseStopped:
		return h
	}
	add := func(p observe.Problem) {
		if _, known := problems[p.Operation]; !known {
			problems[p.Operation] = p
		}
	}
	e.calls.stalled(now, add)
	e.overdue(now, current, planned, add)
	for _, p := range problems {
		h.Problems = append(h.Problems, p)
	}
	slices.SortFunc(h.Problems, func(a, b observe.Problem) int { return cmp.Compare(a.Operation, b.Operation) })
	return h
}

// overdue adds planning if it has not come round: a store outside of this process is asked at every
// poll. Failures of the store itself show sooner; this is about what remains, such as an observer
// or a log handler that blocks.
func (e *Engine) overdue(now time.Time, current phase, planned time.Time, add func(observe.Problem)) {
	if e.local || current != phaseServing || planned.IsZero() {
		return
	}
	if behind := now.Sub(planned); behind > 2*e.config.PollInterval+loopSlack {
		add(observe.Problem{Operation: "plan runs", Since: planned, Error: fmt.Sprintf("planning has not come round for %v", behind.Round(time.Second))})
	}
}
