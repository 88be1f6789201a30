package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/store"
)

// gate is the store as one runner or client sees it. draw draws the faults of calls. Calls fail
// while the gate is cut, stand still while it is stalled, and never return once it is dead.
type gate struct {
	inner   store.Store
	history *history
	who     string
	draw    func(call string) fault
	dead    chan struct{} // closed when the process behind the gate crashes
	late    *sync.WaitGroup

	// mu guards the fields below; nothing blocks under it.
	mu      sync.Mutex
	stalled time.Time // until then
	cut     time.Time // until then
	minute  time.Time // which calls counts
	calls   int       // in that minute
	busiest int       // most calls in a minute
}

// remoteGate hides the optional abilities of the store behind it, so runners poll. localGate shows
// them all, notifiedGate only notifications.
type (
	remoteGate   struct{ *gate }
	localGate    struct{ *gate }
	notifiedGate struct{ *gate }
)

func (g localGate) Unwrap() store.Store { return g.inner }

func (g notifiedGate) Notify(topic store.Topic, ch chan<- struct{}) (stop func()) {
	notifier, ok := store.As[store.Notifier](g.inner)
	if !ok {
		return func() {}
	}
	return notifier.Notify(topic, ch)
}

// fault is what goes wrong with a call.
type fault struct {
	kind  faultKind
	delay time.Duration
}

type faultKind uint8

const (
	noFault     faultKind = iota
	errorBefore           // the call fails before its work
	errorAfter            // the call fails after its work
	hangBefore            // no answer until the caller gives up; no work
	hangAfter             // no answer until the caller gives up, after the work
	hangLate              // no answer until the caller gives up, and the work is done then
	slowBefore            // a delay before the work
	slowAfter             // a delay after the work
	twice                 // the call is delivered twice
	twiceLate             // the call is delivered again after a delay, long after its answer
	faultKinds            // how many kinds there are
)

func (k faultKind) String() string {
	return [...]string{
		"", "error before", "done but error", "hangs", "done but hangs", "hangs and is done", "slow before", "slow after", "twice",
		"twice, later",
	}[k]
}

func (f fault) String() string {
	if f.delay > 0 {
		return fmt.Sprintf("%s %s", f.kind, f.delay)
	}
	return f.kind.String()
}

var errSimulated = errors.New("simulated failure")

// throttleAfter is how many calls a process may make in a minute of virtual time before they are
// slowed down: a loop that does not wait would stop the clock.
const throttleAfter = 20_000

// gated passes a call through the gate.
func gated[P, A any](ctx context.Context, g *gate, name string, p P, call func(context.Context, P) (A, error)) (A, error) {
	var none A
	g.count(name)
	if !g.thaw() {
		return none, g.vanish(ctx)
	}
	if err := ctx.Err(); err != nil {
		return none, context.Cause(ctx)
	}
	f := g.fault(name)
	apply := func() (A, error) {
		return recorded(g.history, g.who, f.String(), p, func() (A, error) { return call(context.WithoutCancel(ctx), p) })
	}
	answer, err := applyFault(ctx, g, f, name, apply)
	if !g.thaw() {
		return none, g.vanish(ctx)
	}
	return answer, err
}

// applyFault makes a call with a fault. apply does the work of the call.
func applyFault[A any](ctx context.Context, g *gate, f fault, name string, apply func() (A, error)) (answer A, err error) {
	var none A
	lost := func(err error) (A, error) {
		g.history.add(entry{who: g.who, call: lostEvent{name}, fault: f.String()})
		return none, err
	}
	switch f.kind {
	case errorBefore:
		return lost(errSimulated)
	case errorAfter:
		_, _ = apply() // the caller does not learn the outcome
		return none, errSimulated
	case hangBefore, hangAfter, hangLate, slowBefore, slowAfter:
		done := f.kind == hangAfter || f.kind == slowAfter
		if done {
			answer, err = apply()
		}
		timer := time.NewTimer(f.delay)
		defer timer.Stop()
		select {
		case <-g.dead:
			return none, errSimulated
		case <-ctx.Done():
			if f.kind == hangLate {
				_, _ = apply() // the caller does not learn the outcome
				return none, context.Cause(ctx)
			}
			return lost(context.Cause(ctx))
		case <-timer.C:
		}
		if !done {
			return apply()
		}
		return answer, err
	case twice:
		_, _ = apply() // this answer is lost
		return apply()
	case twiceLate:
		answer, err = apply()
		g.late.Go(func() {
			time.Sleep(f.delay)
			_, _ = apply() // nobody waits for this answer
		})
		return answer, err
	}
	return apply()
}

// fault returns the fault of the next call.
func (g *gate) fault(call string) fault {
	g.mu.Lock()
	defer g.mu.Unlock()
	if time.Now().Before(g.cut) {
		if g.calls%3 == 0 {
			return fault{hangBefore, time.Hour}
		}
		return fault{kind: errorBefore}
	}
	return g.draw(call)
}

// count counts a call. It slows down a caller that calls without bound.
func (g *gate) count(name string) {
	g.mu.Lock()
	if minute := time.Now().Truncate(time.Minute); minute != g.minute {
		g.minute, g.calls = minute, 0
	}
	g.calls++
	g.busiest = max(g.busiest, g.calls)
	over := g.calls > throttleAfter
	g.mu.Unlock()
	if over {
		g.history.add(entry{who: g.who, call: remarkEvent{"calls without bound: " + name}})
		time.Sleep(time.Second)
	}
}

// callsPerRun is how many calls a run may cost that takes no time.
const callsPerRun = 8

// ended takes the calls that finished runs may cost out of the count.
func (g *gate) ended(runs int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls = max(0, g.calls-callsPerRun*runs)
}

// thaw waits while the process stands still. It reports whether the process is alive.
func (g *gate) thaw() bool {
	for {
		g.mu.Lock()
		wait := time.Until(g.stalled)
		g.mu.Unlock()
		select {
		case <-g.dead:
			return false
		default:
		}
		if wait <= 0 {
			return true
		}
		timer := time.NewTimer(wait)
		select {
		case <-g.dead:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// vanish is the call of a dead process: it waits for its context.
func (g *gate) vanish(ctx context.Context) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

func (g *gate) stall(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stalled = time.Now().Add(d)
}

func (g *gate) cutOff(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cut = time.Now().Add(d)
}

func (g *gate) RegisterDeployments(ctx context.Context, p store.RegisterDeploymentsParams) ([]store.Registration, error) {
	return gated(ctx, g, "RegisterDeployments", p, g.inner.RegisterDeployments)
}

func (g *gate) GetDeployment(ctx context.Context, id uuid.UUID) (*store.DeploymentRecord, error) {
	return gated(ctx, g, "GetDeployment", id, g.inner.GetDeployment)
}

func (g *gate) ListDeployments(ctx context.Context, f store.DeploymentFilter) (store.Page[*store.DeploymentRecord], error) {
	return gated(ctx, g, "ListDeployments", f, g.inner.ListDeployments)
}

func (g *gate) DeleteDeployment(ctx context.Context, p store.DeleteDeploymentParams) error {
	_, err := gated(ctx, g, "DeleteDeployment", p, withoutAnswer(g.inner.DeleteDeployment))
	return err
}

func (g *gate) SetPause(ctx context.Context, p store.SetPauseParams) (*store.DeploymentRecord, error) {
	return gated(ctx, g, "SetPause", p, g.inner.SetPause)
}

func (g *gate) ListFlows(ctx context.Context, f store.FlowFilter) (store.Page[*store.FlowRecord], error) {
	return gated(ctx, g, "ListFlows", f, g.inner.ListFlows)
}

func (g *gate) RegisterRunner(ctx context.Context, p store.RegisterRunnerParams) ([]uuid.UUID, error) {
	return gated(ctx, g, "RegisterRunner", p, g.inner.RegisterRunner)
}

func (g *gate) HeartbeatRunner(ctx context.Context, p store.HeartbeatRunnerParams) error {
	_, err := gated(ctx, g, "HeartbeatRunner", p, withoutAnswer(g.inner.HeartbeatRunner))
	return err
}

func (g *gate) RemoveRunner(ctx context.Context, p store.RemoveRunnerParams) error {
	_, err := gated(ctx, g, "RemoveRunner", p, withoutAnswer(g.inner.RemoveRunner))
	return err
}

func (g *gate) ListRunners(ctx context.Context) ([]store.RunnerRecord, error) {
	return gated(ctx, g, "ListRunners", struct{}{}, func(ctx context.Context, _ struct{}) ([]store.RunnerRecord, error) {
		return g.inner.ListRunners(ctx)
	})
}

func (g *gate) DueSchedules(ctx context.Context, p store.DueSchedulesParams) (store.DueSchedulesResult, error) {
	return gated(ctx, g, "DueSchedules", p, g.inner.DueSchedules)
}

func (g *gate) PlanRuns(ctx context.Context, p store.PlanRunsParams) ([]error, error) {
	return gated(ctx, g, "PlanRuns", p, g.inner.PlanRuns)
}

func (g *gate) ListSkips(ctx context.Context, f store.SkipFilter) (store.Page[store.Skip], error) {
	return gated(ctx, g, "ListSkips", f, g.inner.ListSkips)
}

func (g *gate) CreateRun(ctx context.Context, p store.CreateRunParams) (*store.Run, error) {
	return gated(ctx, g, "CreateRun", p, g.inner.CreateRun)
}

func (g *gate) BackfillRuns(ctx context.Context, p store.BackfillRunsParams) ([]*store.Run, error) {
	return gated(ctx, g, "BackfillRuns", p, g.inner.BackfillRuns)
}

func (g *gate) ClaimRuns(ctx context.Context, p store.ClaimRunsParams) (store.ClaimRunsResult, error) {
	return gated(ctx, g, "ClaimRuns", p, g.inner.ClaimRuns)
}

func (g *gate) RenewLeases(ctx context.Context, p store.RenewLeasesParams) (store.RenewLeasesResult, error) {
	return gated(ctx, g, "RenewLeases", p, g.inner.RenewLeases)
}

func (g *gate) SettleRuns(ctx context.Context, p store.SettleRunsParams) ([]error, error) {
	p.Updates = slices.Clone(p.Updates) // the completer reuses its batch, maybe before a late delivery
	errs, err := gated(ctx, g, "SettleRuns", p, g.inner.SettleRuns)
	if err == nil && errs == nil {
		g.ended(len(p.Updates))
	}
	return errs, err
}

func (g *gate) ReapLeases(ctx context.Context, p store.ReapLeasesParams) (store.ReapLeasesResult, error) {
	return gated(ctx, g, "ReapLeases", p, g.inner.ReapLeases)
}

func (g *gate) CancelRun(ctx context.Context, p store.CancelRunParams) (*store.Run, error) {
	return gated(ctx, g, "CancelRun", p, g.inner.CancelRun)
}

func (g *gate) RetryRun(ctx context.Context, p store.RetryRunParams) (*store.Run, error) {
	return gated(ctx, g, "RetryRun", p, g.inner.RetryRun)
}

func (g *gate) GetRun(ctx context.Context, id uuid.UUID) (*store.Run, error) {
	return gated(ctx, g, "GetRun", id, g.inner.GetRun)
}

func (g *gate) ListRuns(ctx context.Context, f store.RunFilter) (store.Page[*store.Run], error) {
	return gated(ctx, g, "ListRuns", f, g.inner.ListRuns)
}

func (g *gate) CountRuns(ctx context.Context, f store.RunFilter) (int, error) {
	return gated(ctx, g, "CountRuns", f, g.inner.CountRuns)
}

func (g *gate) DeleteRun(ctx context.Context, id uuid.UUID) error {
	_, err := gated(ctx, g, "DeleteRun", deletion{id}, func(ctx context.Context, p deletion) (*store.Run, error) {
		run, err := g.inner.GetRun(ctx, p.id) // the history keeps what is deleted
		if err != nil {
			return nil, err
		}
		return run, g.inner.DeleteRun(ctx, p.id)
	})
	return err
}

// deletion is a call of DeleteRun in the history.
type deletion struct{ id uuid.UUID }

func (g *gate) PruneRuns(ctx context.Context, p store.PruneRunsParams) (int, error) {
	return gated(ctx, g, "PruneRuns", p, g.inner.PruneRuns)
}

func (g *gate) AppendLogs(ctx context.Context, p store.AppendLogsParams) ([]error, error) {
	return gated(ctx, g, "AppendLogs", p, g.inner.AppendLogs)
}

func (g *gate) ListLogs(ctx context.Context, f store.LogFilter) (store.LogPage, error) {
	return gated(ctx, g, "ListLogs", f, g.inner.ListLogs)
}
