package engine

import (
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/store"
	"github.com/provost-go/provost/store/memory"
)

// A runner may hold an old lease and the newest one of the same run: that the old one is lost says nothing of the new one. And
// a lease that is lost while its end is being written is not renewed without a pause.
func TestLostLeaseOfARunThatIsHeldAgain(t *testing.T) {
	d := &Deployment{ID: store.DeploymentID("f", "d"), Flow: &Flow{Name: "f"}, Name: "d"}
	s := New(Config{Logger: slog.New(slog.DiscardHandler), Store: memory.New(), LeaseTTL: 30 * time.Second, Deployments: []*Deployment{d}})
	s.FlowContext = t.Context()
	id, began := store.NewID(time.Now()), time.Now()
	var held []*Execution
	for token := range int64(3) {
		for _, sd := range s.Deployments {
			held = append(held, s.NewExecution(store.Claim{Lease: store.Lease{RunID: id, Token: token}}, sd, began.Add(-time.Hour)))
		}
	}
	held[0].Ended.Store(true)
	s.Trust(held, store.RenewLeasesResult{Lost: []uuid.UUID{id, id}}, began)
	if !held[0].Gone && !held[0].Trusted.Equal(began) {
		t.Error("an execution that has ended is renewed at once again")
	}
	if !held[1].Gone || held[1].Err() == nil {
		t.Error("the lost lease was not noticed")
	}
	if held[2].Gone || held[2].Err() != nil {
		t.Error("the newest lease was called lost")
	}
}
