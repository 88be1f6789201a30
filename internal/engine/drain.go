package engine

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrDrainTimeout reports that a flow was still running when Serve returned, because it ignored the
// end of its context.
var ErrDrainTimeout = errors.New("provost: drain timeout")

// unresponsiveTimeout is for a flow to return once its context has ended.
const unresponsiveTimeout = 5 * time.Second

// Drain waits for runs at the end of Serve: first without, then with the end of their contexts.
type Drain struct {
	Running  *sync.WaitGroup // counts the runs
	Leases   *LeaseKeeper    // stops them and names those that do not return
	Timeout  time.Duration   // how long they may go on; -1: no bound
	Patience time.Duration   // how long they get to return once they are stopped
}

// Wait returns nil once all runs have returned, and an error that wraps ErrDrainTimeout and names
// the others if some do not.
func (d Drain) Wait() error {
	returned := make(chan struct{})
	go func() { // ends with the last run; an unresponsive flow keeps it, as it keeps itself
		d.Running.Wait()
		close(returned)
	}()
	if d.Timeout < 0 {
		<-returned
		return nil
	}
	if waitFor(returned, d.Timeout) {
		return nil
	}
	d.Leases.StopAll(ErrShutdown)
	if waitFor(returned, d.Patience) {
		return nil
	}
	return fmt.Errorf("%w: still running: %v", ErrDrainTimeout, d.Leases.Unfinished())
}
