package provost_test

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/store"
)

// fault is how a store call fails.
type fault int

const (
	works   fault = iota
	refuses       // returns an error and does nothing
	loses         // does it, but returns an error
	hangs         // blocks until the call's context ends
	slow          // returns after three seconds
)

var (
	faultNames = map[fault]string{refuses: "refuses", loses: "loses", hangs: "hangs", slow: "slow"}
	errFaulty  = errors.New("the disk is on fire")
)

// faulty is a remote store that fails when it is told to.
type faulty struct {
	provost.Store

	mu     sync.Mutex
	decide func(operation string) fault
	calls  map[string]int
	renew  struct { // what RenewLeases was called with
		worked  time.Time // start of the newest call that succeeded
		largest int
		leases  int
	}
	lost map[uuid.UUID]bool // reported as lost by RenewLeases

	poison func(store.RunUpdate) bool // SettleRuns refuses calls with such an update
}

func newFaulty() *faulty {
	return &faulty{Store: provost.NewMemoryStore(), calls: make(map[string]int)}
}

// localFaulty is a faulty store that is local.
type localFaulty struct{ *faulty }

func (f localFaulty) Unwrap() provost.Store { return f.Store }

// set makes the given operations, or all if there are none, behave so from now on.
func (f *faulty) set(how fault, operations ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.decide = func(operation string) fault {
		if len(operations) == 0 {
			return how
		}
		for _, o := range operations {
			if o == operation {
				return how
			}
		}
		return works
	}
}

func (f *faulty) count(operation string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[operation]
}

// total returns the number of all calls.
func (f *faulty) total() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, c := range f.calls {
		n += c
	}
	return n
}

func (f *faulty) begin(operation string) fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[operation]++
	if f.decide == nil {
		return works
	}
	return f.decide(operation)
}

func call[T any](f *faulty, ctx context.Context, operation string, do func() (T, error)) (T, error) {
	var none T
	switch f.begin(operation) {
	case refuses:
		return none, errFaulty
	case loses:
		if _, err := do(); err != nil {
			return none, err
		}
		return none, errFaulty
	case hangs:
		<-ctx.Done()
		return none, ctx.Err()
	case slow:
		select {
		case <-ctx.Done():
			return none, ctx.Err()
		case <-time.After(3 * time.Second):
		}
	}
	return do()
}

func (f *faulty) RegisterDeployments(ctx context.Context, p store.RegisterDeploymentsParams) ([]store.Registration, error) {
	return call(f, ctx, "RegisterDeployments", func() ([]store.Registration, error) { return f.Store.RegisterDeployments(ctx, p) })
}

func (f *faulty) RegisterRunner(ctx context.Context, p store.RegisterRunnerParams) ([]uuid.UUID, error) {
	return call(f, ctx, "RegisterRunner", func() ([]uuid.UUID, error) { return f.Store.RegisterRunner(ctx, p) })
}

func (f *faulty) HeartbeatRunner(ctx context.Context, p store.HeartbeatRunnerParams) error {
	_, err := call(f, ctx, "HeartbeatRunner", func() (any, error) { return nil, f.Store.HeartbeatRunner(ctx, p) })
	return err
}

func (f *faulty) RemoveRunner(ctx context.Context, p store.RemoveRunnerParams) error {
	_, err := call(f, ctx, "RemoveRunner", func() (any, error) { return nil, f.Store.RemoveRunner(ctx, p) })
	return err
}

func (f *faulty) DueSchedules(ctx context.Context, p store.DueSchedulesParams) (store.DueSchedulesResult, error) {
	return call(f, ctx, "DueSchedules", func() (store.DueSchedulesResult, error) { return f.Store.DueSchedules(ctx, p) })
}

func (f *faulty) PlanRuns(ctx context.Context, p store.PlanRunsParams) ([]error, error) {
	return call(f, ctx, "PlanRuns", func() ([]error, error) { return f.Store.PlanRuns(ctx, p) })
}

func (f *faulty) ClaimRuns(ctx context.Context, p store.ClaimRunsParams) (store.ClaimRunsResult, error) {
	return call(f, ctx, "ClaimRuns", func() (store.ClaimRunsResult, error) { return f.Store.ClaimRuns(ctx, p) })
}

func (f *faulty) RenewLeases(ctx context.Context, p store.RenewLeasesParams) (store.RenewLeasesResult, error) {
	began := time.Now()
	return call(f, ctx, "RenewLeases", func() (store.RenewLeasesResult, error) {
		renewal, err := f.Store.RenewLeases(ctx, p)
		f.mu.Lock()
		defer f.mu.Unlock()
		if err == nil {
			f.renew.worked = began
		}
		f.renew.largest = max(f.renew.largest, len(p.Leases))
		f.renew.leases += len(p.Leases)
		for _, l := range p.Leases {
			if f.lost[l.RunID] {
				renewal.Lost = append(renewal.Lost, l.RunID)
			}
		}
		return renewal, err
	})
}

func (f *faulty) SettleRuns(ctx context.Context, p store.SettleRunsParams) ([]error, error) {
	return call(f, ctx, "SettleRuns", func() ([]error, error) {
		for _, u := range p.Updates {
			if f.poison != nil && f.poison(u) {
				return nil, errFaulty
			}
		}
		return f.Store.SettleRuns(ctx, p)
	})
}

func (f *faulty) ReapLeases(ctx context.Context, p store.ReapLeasesParams) (store.ReapLeasesResult, error) {
	return call(f, ctx, "ReapLeases", func() (store.ReapLeasesResult, error) { return f.Store.ReapLeases(ctx, p) })
}

func (f *faulty) AppendLogs(ctx context.Context, p store.AppendLogsParams) ([]error, error) {
	return call(f, ctx, "AppendLogs", func() ([]error, error) { return f.Store.AppendLogs(ctx, p) })
}

func (f *faulty) GetRun(ctx context.Context, id uuid.UUID) (*provost.Run, error) {
	return call(f, ctx, "GetRun", func() (*provost.Run, error) { return f.Store.GetRun(ctx, id) })
}

func (f *faulty) CreateRun(ctx context.Context, p store.CreateRunParams) (*provost.Run, error) {
	return call(f, ctx, "CreateRun", func() (*provost.Run, error) { return f.Store.CreateRun(ctx, p) })
}
