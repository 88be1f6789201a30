package engine

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/store"
	"github.com/provost-go/provost/store/memory"
)

// stoppable is a HeldRun that records the calls of its methods.
type stoppable struct {
	cause     error
	lost      int
	completed []error
}

func (s *stoppable) Stop(cause error) {
	if s.cause == nil {
		s.cause = cause
	}
}
func (s *stoppable) LeaseLost()                             { s.lost++ }
func (s *stoppable) Completed(_ store.StateType, err error) { s.completed = append(s.completed, err) }
func (s *stoppable) Describe() (name, handle string)        { return "quick-otter", "f/d" }

func testAccess(st store.Store) *Access {
	return NewAccess(Config{Name: "test", Store: st, Logger: slog.New(slog.DiscardHandler)})
}

// TestLostLeaseOfARunThatIsHeldAgain checks a runner that holds old leases and the newest one of
// the same run. If an old one is lost, the newest one need not be. A lease that is lost while the
// end of its run is being written is not renewed over and over without a pause.
func TestLostLeaseOfARunThatIsHeldAgain(t *testing.T) {
	k := NewLeaseKeeper(testAccess(memory.New()), 30*time.Second)
	id, began := store.NewID(time.Now()), time.Now()
	runs, holds := make([]*stoppable, 3), make([]*Hold, 3)
	for token := range runs {
		runs[token] = &stoppable{}
		holds[token] = NewHold(store.Lease{RunID: id, Token: int64(token)}, runs[token], began.Add(-time.Hour))
	}
	holds[0].ended.Store(true)
	k.renewed(holds, store.RenewLeasesResult{Lost: []uuid.UUID{id, id}}, began)
	if !holds[0].gone && !holds[0].trusted.Equal(began) {
		t.Error("the lease of an execution that has ended is renewed again at once")
	}
	if !holds[1].gone || !errors.Is(runs[1].cause, store.ErrLeaseLost) || runs[1].lost != 1 {
		t.Error("the lost lease was not noticed")
	}
	if holds[2].gone || runs[2].cause != nil || runs[2].lost != 0 {
		t.Error("the newest lease was taken for lost")
	}
}
