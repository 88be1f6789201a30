package provost_test

import (
	"context"
	"testing"
	"time"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/store"
)

// lostResponses is a store behind a connection: a call whose context ends returns an error, but the
// store carries it out.
type lostResponses struct {
	*remote
	stop context.CancelFunc // ends Serve's context during the first claim
}

func (c *lostResponses) ClaimRuns(ctx context.Context, p store.ClaimRunsParams) (store.ClaimRunsResult, error) {
	claims, err := c.remote.ClaimRuns(ctx, p)
	if len(claims.Runs) > 0 {
		c.stop()
	}
	if ctx.Err() != nil {
		return store.ClaimRunsResult{}, ctx.Err()
	}
	return claims, err
}

// TestShutdownDuringClaim checks that runs that are claimed while the runner is told to stop are
// handed back or executed. They do not wait until a lease expires, and no crash is counted.
func TestShutdownDuringClaim(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		store := &lostResponses{&remote{Store: provost.NewMemoryStore()}, stop}
		client := provost.NewClient(store.Store)
		served := make(chan error, 1)
		runner := &provost.Runner{Store: store, Logger: quiet}
		go func() { served <- runner.Serve(ctx, job("job", nothing)) }()
		<-runner.Ready()
		run := request(t, client, "job/d", nil)
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if got := get(t, client, run.ID); got.State.Type != provost.StateScheduled && got.State.Type != provost.StateCompleted {
			t.Errorf("the run that was claimed during shutdown is left with history %v", got.History)
		}
		next := start(t, &provost.Runner{Store: store.Store}, job("job", nothing))
		began := time.Now()
		if got := wait(t, client, run.ID); got.Crashes != 0 || time.Since(began) > time.Second {
			t.Errorf("the run finished after %v with %d crashes, want within 1s and 0: %v", time.Since(began), got.Crashes, got.History)
		}
		clean(t, next)
	})
}
