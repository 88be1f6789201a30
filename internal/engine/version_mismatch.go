package engine

import (
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/store"
)

// refuse ends a run whose parameters do not fit. It fails, unless programs of several versions
// serve its deployment, as they do while a new one is rolled out: then the run may be meant for
// another version, and is left to that.
func (x *Execution) refuse() {
	now := x.executor.now()
	message := bounded(x.redactor().Text("parameters do not fit: " + x.refused.Error()))
	if !x.executor.reporter.declines(x) {
		x.executor.reporter.complete(x, now, store.RunUpdate{State: store.NewState(store.StateFailed, instant.Of(now), message)})
		return
	}
	x.executor.log.Warn("run left to runners of another version", "run", x.claim.Name, "id", x.claim.RunID,
		"deployment", x.deployment.Handle(), "reason", message)
	x.executor.declined.add(x.claim.RunID)
	x.executor.reporter.complete(x, now, store.RunUpdate{
		Attempt: x.claim.Attempt, State: store.NewNamedState(store.StateScheduled, store.NameVersionMismatch, instant.Of(now), message),
	})
}

// declineFor is how long a runner does not claim a run again that it has left to others. Then it
// looks again: the others may be gone.
const declineFor = time.Minute

// declinedRuns is the runs that a runner has left to others lately. Executions add to it, the
// claimer reads it. The zero value is ready to use.
type declinedRuns struct {
	mu   sync.Mutex
	runs []declinedRun // oldest first, at most store.MaxExcept
}

type declinedRun struct {
	id    uuid.UUID
	until time.Time // has a monotonic reading
}

func (d *declinedRuns) add(id uuid.UUID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.runs) == store.MaxExcept {
		d.runs = slices.Delete(d.runs, 0, 1)
	}
	d.runs = append(d.runs, declinedRun{id, time.Now().Add(declineFor)})
}

// list returns the runs that are left to others now, and how long it takes until the first of them
// is not any more; 0 if there is none.
func (d *declinedRuns) list() (ids []uuid.UUID, wait time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.runs = slices.DeleteFunc(d.runs, func(r declinedRun) bool { return time.Until(r.until) <= 0 })
	for _, r := range d.runs {
		ids = append(ids, r.id)
	}
	if len(d.runs) > 0 {
		wait = time.Until(d.runs[0].until)
	}
	return ids, wait
}
