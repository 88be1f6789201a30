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

// stoppable is a HeldRun that notes what it is told.
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

// A runner may hold an old lease and the newest one of the same run: that the old one is lost says nothing about the new one. And
// a lease that is lost while its end is being written is not renewed without a pause.
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
		t.Error("an execution that has ended is renewed at once again")
	}
	if !holds[1].gone || !errors.Is(runs[1].cause, store.ErrLeaseLost) || runs[1].lost != 1 {
		t.Error("the lost lease was not noticed")
	}
	if holds[2].gone || runs[2].cause != nil || runs[2].lost != 0 {
		t.Error("the newest lease was called lost")
	}
}
