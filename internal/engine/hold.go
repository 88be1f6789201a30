package engine

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/store"
)

// What ends the context of a run before its function returns. The cause is one of these or
// store.ErrLeaseLost.
var (
	ErrCancelled = errors.New("provost: the run was cancelled")
	ErrShutdown  = errors.New("provost: the runner is shutting down")

	errTimedOut = errors.New("provost: the run timed out")
)

// HeldRun is a run that this process answers for. A [LeaseKeeper] and a [Completer] call its
// methods from goroutines of their own, without holding a lock; the methods must not block.
type HeldRun interface {
	// Stop asks the run to end. The cause is ErrCancelled, ErrShutdown or store.ErrLeaseLost.
	Stop(cause error)

	// LeaseLost is called once when the lease is lost, or may be because it could not be renewed in
	// time.
	LeaseLost()

	// Completed is called when the store has the end of the run, or has refused it with err.
	Completed(end store.StateType, err error)

	// Describe returns the name of the run and the handle of its deployment, for the log.
	Describe() (name, handle string)
}

// Hold is a claimed run in the hands of this process: from its claim until its end is stored.
type Hold struct {
	lease store.Lease
	run   HeldRun
	ended atomic.Bool // it is known what became of the run

	lossReported atomic.Bool

	// What LeaseKeeper.mu guards.
	index      int       // in LeaseKeeper.held
	trusted    time.Time // when the lease was last known to be held; has a monotonic reading
	distrusted bool      // that was too long ago, and the run was told to stop
	gone       bool      // the store said that the lease is lost: nothing more is written
}

// NewHold returns a hold on a run. claimed is when the claim that returned the lease began, with a
// monotonic reading.
func NewHold(lease store.Lease, run HeldRun, claimed time.Time) *Hold {
	return &Hold{lease: lease, run: run, trusted: claimed}
}

// Lease returns the lease that proves the claim.
func (h *Hold) Lease() store.Lease { return h.lease }

// childRuns is the child runs under way, so that one can be cancelled by its ID.
type childRuns struct {
	// mu guards what follows; nothing blocks under it.
	mu   sync.Mutex
	stop map[uuid.UUID]func(cause error)
}

func newChildRuns() *childRuns { return &childRuns{stop: make(map[uuid.UUID]func(error))} }

func (c *childRuns) add(id uuid.UUID, stop func(cause error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stop[id] = stop
}

func (c *childRuns) remove(id uuid.UUID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.stop, id)
}

// stopRun asks a child run to end, if it is under way.
func (c *childRuns) stopRun(id uuid.UUID, cause error) {
	c.mu.Lock()
	stop := c.stop[id]
	c.mu.Unlock()
	if stop != nil {
		stop(cause)
	}
}
