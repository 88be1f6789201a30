package provost_test

import (
	"context"
	"testing"
	"time"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/store"
)

// overlapping returns a deployment whose runs last an hour unless they are cancelled.
func overlapping(overlap provost.Overlap, schedules ...provost.Schedule) *provost.Deployment {
	d := job("f", func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Hour):
			return nil
		}
	}, schedules...)
	d.Overlap = overlap
	return d
}

func TestOverlapCancelNew(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := provost.NewMemoryStore()
		client := provost.NewClient(st)
		stop := start(t, &provost.Runner{Store: st}, overlapping(provost.OverlapCancelNew, provost.Every(25*time.Minute)))
		time.Sleep(30 * time.Minute)
		run := request(t, client, "f/d", nil)
		wantState(t, run, provost.StateCancelled, string(provost.SkipOverlap))
		time.Sleep(25*time.Minute + time.Second)
		for _, r := range list(t, client, provost.RunFilter{States: []provost.StateType{provost.StateCancelled}}) {
			if r.State.Name != store.NameSkipped || r.State.Message != string(provost.SkipOverlap) {
				t.Errorf("run of %s is %s", r.ScheduledTime, r.State)
			}
		}
		clean(t, stop)
	})
}

// TestOverlapCancelRunning checks that each new run cancels the one before it at once, whichever of
// two runners executes it.
func TestOverlapCancelRunning(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := provost.NewMemoryStore()
		client := provost.NewClient(store)
		d := func() *provost.Deployment { return overlapping(provost.OverlapCancelRunning) }
		first, second := start(t, &provost.Runner{Store: store, Limit: 1}, d()), start(t, &provost.Runner{Store: store, Limit: 1}, d())
		var last *provost.Run
		for range 10 {
			run := request(t, client, "f/d", nil)
			asked := time.Now()
			if last != nil {
				ended := wait(t, client, last.ID)
				wantState(t, ended, provost.StateCancelled)
				if took := time.Since(asked); took > 100*time.Millisecond {
					t.Errorf("the running run was cancelled after %v, want at most 100ms", took)
				}
			}
			time.Sleep(time.Minute)
			if run = get(t, client, run.ID); run.State.Type != provost.StateRunning || run.StartTime.Sub(asked) > 100*time.Millisecond {
				t.Errorf("the new run is %s since %s, want RUNNING within 100ms", run.State, run.StartTime)
			}
			last = run
		}
		wantState(t, wait(t, client, last.ID), provost.StateCompleted)
		clean(t, first)
		clean(t, second)
	})
}

// TestOverlapAtOneInstant checks that of the runs that are due together the last one remains, and
// that no other flow runs to its end.
func TestOverlapAtOneInstant(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := provost.NewMemoryStore()
		client := provost.NewClient(store)
		stop := start(t, &provost.Runner{Store: store}, overlapping(provost.OverlapCancelRunning))
		due := &provost.RunOptions{ScheduledTime: time.Now().Add(time.Minute)}
		for range 5 {
			request(t, client, "f/d", due)
		}
		time.Sleep(time.Minute + time.Second)
		states := make(map[provost.StateType]int)
		for _, run := range list(t, client, provost.RunFilter{}) {
			states[run.State.Type]++
		}
		if states[provost.StateRunning] != 1 || states[provost.StateCancelled] != 4 {
			t.Errorf("got states %v, want 1 RUNNING and 4 CANCELLED", states)
		}
		clean(t, stop)
	})
}

// slowClaims is a store whose claims take a second to return: the claimed runs are cancelled
// meanwhile.
type slowClaims struct{ provost.Store }

func (s slowClaims) Unwrap() provost.Store { return s.Store }

func (s slowClaims) ClaimRuns(ctx context.Context, p store.ClaimRunsParams) (store.ClaimRunsResult, error) {
	claims, err := s.Store.ClaimRuns(ctx, p)
	for _, c := range claims.Runs {
		if _, err := s.CancelRun(ctx, store.CancelRunParams{Now: time.Now(), RunID: c.RunID}); err != nil {
			return store.ClaimRunsResult{}, err
		}
		time.Sleep(time.Second)
	}
	return claims, err
}

// TestCancelDuringClaim checks that a run that is cancelled before the runner learns of its claim
// ends as soon as the runner learns of it, even if no other run is in flight.
func TestCancelDuringClaim(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := slowClaims{provost.NewMemoryStore()}
		client := provost.NewClient(store)
		stop := start(t, &provost.Runner{Store: store}, overlapping(provost.OverlapEnqueue))
		asked := time.Now()
		run := wait(t, client, request(t, client, "f/d", nil).ID)
		wantState(t, run, provost.StateCancelled)
		if took := time.Since(asked); took > 1100*time.Millisecond {
			t.Errorf("the run was cancelled after %v, want at most 1.1s", took)
		}
		clean(t, stop)
	})
}
