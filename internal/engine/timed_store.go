package engine

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/observe"
	"github.com/provost-go/provost/store"
)

// callsUnderWay is the store calls that have not returned. The zero value is ready to use. Its
// methods may be called by any goroutine.
type callsUnderWay struct {
	// mu guards what follows; nothing blocks under it.
	mu    sync.Mutex
	began map[*string]time.Time // when each call began, by a pointer of its own to the name of its operation
}

// begin notes that a call begins. The caller calls done once the call has returned.
func (c *callsUnderWay) begin(operation string) (done func()) {
	key := &operation
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.began == nil {
		c.began = make(map[*string]time.Time)
	}
	c.began[key] = time.Now()
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.began, key)
	}
}

// stalled calls add for each call that has taken longer than stallAfter.
func (c *callsUnderWay) stalled(now time.Time, add func(observe.Problem)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for operation, began := range c.began {
		if took := now.Sub(began); took > stallAfter {
			add(observe.Problem{Operation: *operation, Since: began, Error: fmt.Sprintf("the store has not answered for %v", took.Round(time.Second))})
		}
	}
}

// timedStore notes when the calls of an engine begin and return, for a store that may hang.
type timedStore struct {
	store.Store
	calls *callsUnderWay
}

// Unwrap returns the store itself, for its optional abilities.
func (t *timedStore) Unwrap() store.Store { return t.Store }

func (t *timedStore) HeartbeatRunner(ctx context.Context, p store.HeartbeatRunnerParams) error {
	defer t.calls.begin("heartbeat")()
	return t.Store.HeartbeatRunner(ctx, p)
}

func (t *timedStore) RegisterDeployments(ctx context.Context, p store.RegisterDeploymentsParams) ([]store.Registration, error) {
	defer t.calls.begin("register deployments")()
	return t.Store.RegisterDeployments(ctx, p)
}

func (t *timedStore) RegisterRunner(ctx context.Context, p store.RegisterRunnerParams) ([]uuid.UUID, error) {
	defer t.calls.begin("register runner")()
	return t.Store.RegisterRunner(ctx, p)
}

func (t *timedStore) ReapLeases(ctx context.Context, p store.ReapLeasesParams) (store.ReapLeasesResult, error) {
	defer t.calls.begin("reap leases")()
	return t.Store.ReapLeases(ctx, p)
}

func (t *timedStore) DueSchedules(ctx context.Context, p store.DueSchedulesParams) (store.DueSchedulesResult, error) {
	defer t.calls.begin("find due schedules")()
	return t.Store.DueSchedules(ctx, p)
}

func (t *timedStore) PlanRuns(ctx context.Context, p store.PlanRunsParams) ([]error, error) {
	defer t.calls.begin("plan runs")()
	return t.Store.PlanRuns(ctx, p)
}

func (t *timedStore) ClaimRuns(ctx context.Context, p store.ClaimRunsParams) (store.ClaimRunsResult, error) {
	defer t.calls.begin("claim runs")()
	return t.Store.ClaimRuns(ctx, p)
}

func (t *timedStore) RenewLeases(ctx context.Context, p store.RenewLeasesParams) (store.RenewLeasesResult, error) {
	defer t.calls.begin("renew leases")()
	return t.Store.RenewLeases(ctx, p)
}

func (t *timedStore) SettleRuns(ctx context.Context, p store.SettleRunsParams) ([]error, error) {
	defer t.calls.begin("settle runs")()
	return t.Store.SettleRuns(ctx, p)
}

func (t *timedStore) AppendLogs(ctx context.Context, p store.AppendLogsParams) ([]error, error) {
	defer t.calls.begin("append logs")()
	return t.Store.AppendLogs(ctx, p)
}
