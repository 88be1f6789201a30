package provost_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/observe"
	"github.com/provost-go/provost/store"
)

func TestHealthFollowsServe(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := provost.NewMemoryStore()
		runner := &provost.Runner{Store: store, Name: "r", Limit: 7}
		if h := runner.Health(); h.Status != observe.HealthStarting || h.Healthy() {
			t.Errorf("before Serve: %+v", h)
		}
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		runner.Logger = quiet
		go func() {
			served <- runner.Serve(ctx, job("f", func(context.Context) error { time.Sleep(20 * time.Second); return nil }))
		}()
		<-runner.Ready()
		run := request(t, provost.NewClient(store), "f/d", nil)
		time.Sleep(15 * time.Second)
		h := runner.Health()
		if h.Status != observe.HealthServing || !h.Healthy() || h.InFlight != 1 || h.Limit != 7 || h.Deployments != 1 || h.Runner != "r" ||
			time.Since(h.LastRenewed) > 10*time.Second || h.LastPolled.IsZero() {
			t.Errorf("while serving: %+v", h)
		}
		cancel()
		time.Sleep(time.Second)
		if h := runner.Health(); h.Status != observe.HealthDraining || !h.Healthy() || h.InFlight != 1 {
			t.Errorf("while draining: %+v", h)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
		if h := runner.Health(); h.Status != observe.HealthStopped || h.Healthy() || h.InFlight != 0 || h.UnwrittenResults != 0 {
			t.Errorf("after Serve: %+v", h)
		}
		wantState(t, get(t, provost.NewClient(store), run.ID), provost.StateCompleted)
	})
}

func TestHealthOfARunnerThatCannotServe(t *testing.T) {
	runner := &provost.Runner{Limit: -5}
	if err := runner.Serve(t.Context(), job("f", nothing)); err == nil {
		t.Fatal("Serve accepted a negative limit")
	}
	if h := runner.Health(); h.Status != observe.HealthStopped || h.Healthy() {
		t.Errorf("Health = %+v", h)
	}
}

// stalling is a store whose calls of one operation hang until their contexts end.
type stalling struct {
	remote
	claim, renew, settle atomic.Bool
}

func hang(ctx context.Context, stalled *atomic.Bool) error {
	if !stalled.Load() {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

func (s *stalling) ClaimRuns(ctx context.Context, p store.ClaimRunsParams) (store.ClaimRunsResult, error) {
	if err := hang(ctx, &s.claim); err != nil {
		return store.ClaimRunsResult{}, err
	}
	return s.remote.ClaimRuns(ctx, p)
}

func (s *stalling) RenewLeases(ctx context.Context, p store.RenewLeasesParams) (store.RenewLeasesResult, error) {
	if err := hang(ctx, &s.renew); err != nil {
		return store.RenewLeasesResult{}, err
	}
	return s.remote.RenewLeases(ctx, p)
}

func (s *stalling) SettleRuns(ctx context.Context, p store.SettleRunsParams) ([]error, error) {
	if err := hang(ctx, &s.settle); err != nil {
		return nil, err
	}
	return s.remote.SettleRuns(ctx, p)
}

func TestHealthShowsAHangingStoreBeforeItsCallsTimeOut(t *testing.T) {
	cases := []struct {
		operation string
		within    time.Duration // until such a call begins, and 3 s more
		stall     func(*stalling) *atomic.Bool
	}{
		{"claim runs", 5 * time.Second, func(s *stalling) *atomic.Bool { return &s.claim }},
		{"renew leases", 14 * time.Second, func(s *stalling) *atomic.Bool { return &s.renew }},
		{"settle runs", 5 * time.Second, func(s *stalling) *atomic.Bool { return &s.settle }},
	}
	for _, c := range cases {
		t.Run(c.operation, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				store := &stalling{remote: remote{Store: provost.NewMemoryStore()}}
				client := provost.NewClient(store.Store)
				runner := &provost.Runner{Store: store}
				stop := start(t, runner, job("f", func(context.Context) error { time.Sleep(40 * time.Second); return nil }))
				request(t, client, "f/d", nil)
				time.Sleep(2 * time.Second)
				stalled := c.stall(store)
				stalled.Store(true)
				if c.operation == "settle runs" {
					time.Sleep(39 * time.Second)
				}
				began := time.Now()
				for time.Since(began) < c.within && runner.Health().Healthy() {
					time.Sleep(100 * time.Millisecond)
				}
				h := runner.Health()
				if len(h.Problems) != 1 || h.Problems[0].Operation != c.operation || !strings.Contains(h.Problems[0].Error, "not answered") ||
					time.Since(h.Problems[0].Since) < 3*time.Second || h.Healthy() {
					t.Errorf("after %v: %+v", time.Since(began), h)
				}
				stalled.Store(false)
				time.Sleep(30 * time.Second)
				if h := runner.Health(); !h.Healthy() {
					t.Errorf("after the store recovered: %+v", h)
				}
				clean(t, stop)
			})
		})
	}
}

func TestHealthNamesWhatFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := &remote{Store: provost.NewMemoryStore()}
		runner := &provost.Runner{Store: store}
		stop := start(t, runner, job("f", nothing))
		store.fail(errors.New("disk on fire"))
		time.Sleep(30 * time.Second)
		h := runner.Health()
		var operations []string
		for _, problem := range h.Problems {
			operations = append(operations, problem.Operation)
		}
		if h.Healthy() || strings.Join(operations, ", ") != "claim runs, heartbeat, plan runs, reap leases" ||
			!strings.Contains(h.Problems[0].Error, "disk on fire") || time.Since(h.Problems[0].Since) < 28*time.Second {
			t.Errorf("Health = %+v", h)
		}
		if text, err := json.Marshal(h); err != nil || !strings.Contains(string(text), `"operation":"claim runs","since":"2`) {
			t.Errorf("Marshal = %s, %v", text, err)
		}
		store.fail(nil)
		time.Sleep(20 * time.Second)
		if h := runner.Health(); !h.Healthy() || time.Since(h.LastPolled) > 2*time.Second {
			t.Errorf("after the store recovered: %+v", h)
		}
		clean(t, stop)
	})
}

// A loop of the runner is blocked by something other than the store, here by an observer that
// breaks its promise not to block.
func TestHealthShowsALoopThatHasStopped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var block atomic.Bool
		release := make(chan struct{})
		store := &remote{Store: provost.NewMemoryStore()}
		runner := &provost.Runner{Store: store, Observer: observe.ObserverFunc(func(e observe.Event) {
			if e.Kind == observe.RunsClaimed && block.Load() {
				<-release
			}
		})}
		stop := start(t, runner, job("f", nothing))
		block.Store(true)
		time.Sleep(15 * time.Second)
		if h := runner.Health(); h.Healthy() || h.Problems[0].Operation != "plan runs" {
			t.Errorf("Health = %+v", h)
		}
		block.Store(false)
		close(release)
		synctest.Wait()
		time.Sleep(2 * time.Second)
		if h := runner.Health(); !h.Healthy() {
			t.Errorf("after the store recovered: %+v", h)
		}
		clean(t, stop)
	})
}
