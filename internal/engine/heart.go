package engine

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/internal/param"
	"github.com/provost-go/provost/store"
)

// heart tells the store that this runner is alive and what it serves. With a local store the poller
// has it beat; otherwise it beats by itself in run, so that no other call delays a heartbeat.
type heart struct {
	*Access
	id          uuid.UUID
	name        string
	ttl         time.Duration
	deployments []uuid.UUID

	due    atomic.Bool // beat now: the clock has jumped, or the process was stopped
	beatAt time.Time   // when the newest beat of the poller began; has a monotonic reading
}

// register makes the runner known and returns the deployments that no other live runner serves.
func (h *heart) register(ctx context.Context, now time.Time) (unserved []uuid.UUID, err error) {
	unserved, err = h.store.RegisterRunner(ctx, store.RegisterRunnerParams{
		Now: now,
		Runner: store.RunnerRecord{
			ID: h.id, Name: h.name, Version: param.BuildVersion(), Started: now, SeenAt: now, Until: now.Add(h.ttl),
		},
		Deployments: h.deployments,
	})
	if err != nil {
		return nil, fmt.Errorf("register runner: %w", err)
	}
	return unserved, nil
}

// beat says that the runner is alive. A runner that the store has forgotten registers again.
func (h *heart) beat(ctx context.Context) error {
	callCtx, cancel := h.call(ctx)
	defer cancel()
	now := instant.Of(h.now())
	err := h.store.HeartbeatRunner(callCtx, store.HeartbeatRunnerParams{Now: now, Runner: h.id, Until: now.Add(h.ttl)})
	if err == nil || !errors.Is(err, store.ErrNotFound) {
		return err
	}
	_, err = h.register(callCtx, now)
	return err
}

// run beats now and three times per TTL, until ctx ends.
func (h *heart) run(ctx context.Context) {
	again := make(chan struct{}, 1)
	h.failures.listen(again)
	var retry retry
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-again:
			if retry.failures == 0 {
				continue
			}
		}
		err := h.beat(ctx)
		h.report(ctx, "heartbeat", err)
		if err != nil {
			retry.failed()
			timer.Reset(min(time.Until(retry.at), h.ttl/3))
		} else {
			retry.worked()
			timer.Reset(h.ttl / 3)
		}
	}
}

// poll is the poller's task: the heartbeats of a runner with a local store, and of any runner after
// its clock has jumped. It beats often enough that the lease of a running process never expires,
// and that a jump by more than the TTL goes past its end.
func (h *heart) poll(ctx context.Context, now time.Time) (next time.Time, err error) {
	if !h.local && !h.due.Load() {
		return time.Time{}, nil
	}
	if since := time.Since(h.beatAt); since < h.ttl/3 && !h.due.Load() {
		return now.Add(h.ttl/3*2 - since), nil
	}
	began := time.Now()
	err = h.beat(ctx)
	h.report(ctx, "heartbeat", err)
	if err != nil {
		return time.Time{}, err
	}
	h.due.Store(false)
	h.beatAt = began
	return now.Add(h.ttl / 3 * 2), nil
}

// lastCall bounds the call with which a runner leaves the store.
const lastCall = 2 * time.Second

// leave removes the runner from the store. If that fails, its lease expires by itself.
func (h *heart) leave(ctx context.Context, pause bool) {
	ctx, cancel := h.callUntil(context.WithoutCancel(ctx), time.Now().Add(lastCall))
	defer cancel()
	err := h.store.RemoveRunner(ctx, store.RemoveRunnerParams{Now: instant.Of(h.now()), Runner: h.id, Pause: pause})
	if err != nil {
		h.log.Error("remove runner", "runner", h.name, "error", err)
	}
}
