package provost

import (
	"cmp"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/provost-go/provost/internal/instant"
)

// Health is how a runner is doing at one moment: see [Runner.Health]. It encodes to JSON as it is.
type Health struct {
	Status      HealthStatus `json:"status"`
	Runner      string       `json:"runner,omitempty"`
	Deployments int          `json:"deployments"` // that it serves

	InFlight  int `json:"in_flight"` // runs that hold a slot: executing, or claimed for an instant that is near
	Limit     int `json:"limit"`     // slots; -1 without a limit
	Unsettled int `json:"unsettled"` // runs that have ended, and the store does not know it yet

	LastFed     time.Time `json:"last_fed,omitzero"`     // when planning or claiming last worked; a store in this process is asked when there is something to do
	LastRenewed time.Time `json:"last_renewed,omitzero"` // when leases last were renewed; with nothing in flight there are none

	LeasesLost int64 `json:"leases_lost"` // runs that were taken from this runner, or that it gave up because it could not renew their leases

	Trouble []Trouble `json:"trouble,omitempty"` // by operation
}

// HealthStatus is how far a Serve has got.
type HealthStatus string

// The statuses, in the order in which a runner takes them.
const (
	HealthStarting HealthStatus = "starting" // Ready is not closed yet; also before Serve
	HealthServing  HealthStatus = "serving"
	HealthDraining HealthStatus = "draining" // Serve's context has ended, runs finish
	HealthStopped  HealthStatus = "stopped"  // Serve has returned
)

// Trouble is an operation that fails at the moment, or does not come to an end.
type Trouble struct {
	Operation string    `json:"operation"`
	Since     time.Time `json:"since"`
	Error     string    `json:"error"`
}

// Healthy reports whether nothing is wrong: the runner serves, or drains as it should, and no operation is in trouble. It is what
// a liveness or health check wants to know. Whether work is taken on is Status == HealthServing.
func (h Health) Healthy() bool {
	return (h.Status == HealthServing || h.Status == HealthDraining) && len(h.Trouble) == 0
}

// Bounds on the patience of Health.
const (
	stallAfter = 3 * time.Second // a store call that takes longer is trouble before it has failed
	loopSlack  = 5 * time.Second // how far a loop may fall behind its interval, beside the interval itself
)

// Health says how the runner is doing. It may be called at any time, before Serve and after it too, from anywhere, and calls no
// store. A store that hangs shows within seconds, not when its call is given up.
func (r *Runner) Health() Health {
	r.mu.Lock()
	s, over := r.server, r.over
	r.mu.Unlock()
	switch {
	case s != nil:
		return s.health(time.Now())
	case over: // Serve refused what it was given
		return Health{Status: HealthStopped}
	default:
		return Health{Status: HealthStarting}
	}
}

// phase is a HealthStatus. It only rises.
type phase int32

var statuses = []HealthStatus{HealthStarting, HealthServing, HealthDraining, HealthStopped}

const (
	phaseStarting phase = iota
	phaseServing
	phaseDraining
	phaseStopped
)

// vitals is what a server notes for Health, besides its outages.
type vitals struct {
	phase      atomic.Int32
	leasesLost atomic.Int64
	calls      callsUnderWay
}

// become notes how far Serve has got, and tells the observer.
func (s *server) become(p phase, err error) {
	for {
		was := s.vitals.phase.Load()
		if phase(was) >= p {
			return
		}
		if s.vitals.phase.CompareAndSwap(was, int32(p)) {
			break
		}
	}
	if s.watch == nil {
		return
	}
	e := Event{Time: s.now(), Err: err}
	switch p {
	case phaseServing:
		e.Kind = EventRunnerStarted
	case phaseDraining:
		e.Kind = EventRunnerDraining
		e.InFlight, e.Backlog = s.load()
	case phaseStopped:
		e.Kind = EventRunnerStopped
	}
	s.watch.tell(e)
}

// load is how many runs hold a slot, and how many have ended without the store having it yet.
func (s *server) load() (inFlight, unsettled int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.busy, len(s.inFlight) - s.busy
}

func (s *server) health(now time.Time) Health {
	v := &s.vitals
	current := phase(v.phase.Load())
	h := Health{
		Status: statuses[current], Runner: s.name, Deployments: len(s.deployments), Limit: s.limit,
		LeasesLost: v.leasesLost.Load(),
	}
	if s.limit == unlimited {
		h.Limit = -1
	}
	h.InFlight, h.Unsettled = s.load()
	troubles := s.outages.troubles()
	planned := s.outages.lastSuccess("plan runs")
	h.LastFed, h.LastRenewed = instant.Latest(planned, s.outages.lastSuccess("claim runs")), s.outages.lastSuccess("renew leases")
	switch current {
	case phaseDraining:
		for _, operation := range []string{"plan runs", "reap leases", "claim runs"} {
			delete(troubles, operation) // it is not tried any more
		}
	case phaseStopped:
		return h
	}
	add := func(t Trouble) {
		if _, known := troubles[t.Operation]; !known {
			troubles[t.Operation] = t
		}
	}
	v.calls.stalled(now, add)
	s.overdue(now, current, planned, add)
	for _, t := range troubles {
		h.Trouble = append(h.Trouble, t)
	}
	slices.SortFunc(h.Trouble, func(a, b Trouble) int { return cmp.Compare(a.Operation, b.Operation) })
	return h
}

// overdue adds planning if that has not come round: a store outside of this process is asked at every poll. The store's own
// trouble shows sooner; this is what is left, such as an observer or a log handler that blocks.
func (s *server) overdue(now time.Time, current phase, planned time.Time, add func(Trouble)) {
	if s.local || current != phaseServing || planned.IsZero() {
		return
	}
	if behind := now.Sub(planned); behind > 2*s.pollInterval+loopSlack {
		add(Trouble{Operation: "plan runs", Since: planned, Error: fmt.Sprintf("planning has not come round for %v", behind.Round(time.Second))})
	}
}

// troubles lists the operations that fail, by name.
func (o *outages) troubles() map[string]Trouble {
	o.mu.Lock()
	defer o.mu.Unlock()
	found := make(map[string]Trouble)
	for operation, out := range o.operations {
		if !out.since.IsZero() {
			found[operation] = Trouble{Operation: operation, Since: out.since, Error: out.err.Error()}
		}
	}
	return found
}

// lastSuccess is when an operation last worked, zero if it never did.
func (o *outages) lastSuccess(operation string) time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.succeeded[operation]
}
