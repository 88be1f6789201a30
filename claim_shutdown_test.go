package provost_test

import (
	"context"
	"testing"
	"time"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/store"
)

// cutOff is a store at the end of a connection: a call whose context ends gets no answer, but is carried out.
type cutOff struct {
	*remote
	stop context.CancelFunc // ends Serve's context while the first claim is under way
}

func (c *cutOff) ClaimRuns(ctx context.Context, p store.ClaimRunsParams) (store.ClaimRunsResult, error) {
	claims, err := c.remote.ClaimRuns(ctx, p)
	if len(claims.Runs) > 0 {
		c.stop()
	}
	if ctx.Err() != nil {
		return store.ClaimRunsResult{}, ctx.Err()
	}
	return claims, err
}

// TestShutdownDuringClaim: what was claimed while the runner was told to stop is handed back or run; it does not wait for the end of
// a lease, and no crash is counted.
func TestShutdownDuringClaim(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		store := &cutOff{&remote{Store: provost.NewMemoryStore()}, stop}
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
			t.Errorf("the run that was claimed at the end is left %v", got.History)
		}
		next := start(t, &provost.Runner{Store: store.Store}, job("job", nothing))
		began := time.Now()
		if got := wait(t, client, run.ID); got.Crashes != 0 || time.Since(began) > time.Second {
			t.Errorf("it is over after %v with %d crashes: %v", time.Since(began), got.Crashes, got.History)
		}
		clean(t, next)
	})
}
