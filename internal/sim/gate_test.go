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

// simGate is the store as one runner or client sees it. Calls suffer what draw says, fail while the gate is cut, stand still
// while it is stalled, and never come back once it is dead.
type simGate struct {
	inner   store.Store
	history *simHistory
	who     string
	draw    func(call string) simFault
	dead    chan struct{} // closed when the process behind the gate crashes
	late    *sync.WaitGroup

	// mu guards what follows; nothing blocks under it.
	mu      sync.Mutex
	stalled time.Time // until when
	cut     time.Time // until when
	minute  time.Time // of calls
	calls   int       // in that minute
	busiest int       // most calls in a minute
}

// simHiddenGate hides the abilities of the store behind it: runners poll it. simLocalGate shows them all, simHintingGate the
// hints alone.
type (
	simHiddenGate  struct{ *simGate }
	simLocalGate   struct{ *simGate }
	simHintingGate struct{ *simGate }
)

func (g simLocalGate) Unwrap() store.Store { return g.inner }

func (g simHintingGate) Notify(topic store.Topic, ch chan<- struct{}) (stop func()) {
	notifier, ok := store.As[store.Notifier](g.inner)
	if !ok {
		return func() {}
	}
	return notifier.Notify(topic, ch)
}

// simFault is what a call suffers.
type simFault struct {
	kind  simFaultKind
	delay time.Duration
}

type simFaultKind uint8

const (
	noFault       simFaultKind = iota
	errorBefore                // the call fails and does nothing
	errorAfter                 // it does its work, and the caller is told that it failed
	hangBefore                 // no answer until the caller gives up; nothing is done
	hangAfter                  // the work is done, no answer comes
	hangLate                   // the work is done once the caller has given up
	slowBefore                 // the work is done after a while
	slowAfter                  // the answer comes after a while
	twice                      // the call is delivered twice
	twiceLate                  // the second time after a while, when the first is long answered
	simFaultKinds              // how many there are
)

func (k simFaultKind) String() string {
	return [...]string{
		"", "error before", "done but error", "hangs", "done but hangs", "hangs and is done", "slow before", "slow after", "twice",
		"twice, later",
	}[k]
}

func (f simFault) String() string {
	if f.delay > 0 {
		return fmt.Sprintf("%s %s", f.kind, f.delay)
	}
	return f.kind.String()
}

var errSimulated = errors.New("simulated failure")

// maxSimCalls bounds the calls in a minute of virtual time: a loop that does not wait would stop the clock.
const maxSimCalls = 20_000

// gated takes a call through the gate.
func gated[P, A any](ctx context.Context, g *simGate, name string, p P, call func(context.Context, P) (A, error)) (A, error) {
	var none A
	g.count(name)
	if !g.thaw() {
		return none, g.vanish(ctx)
	}
	if err := ctx.Err(); err != nil {
		return none, context.Cause(ctx)
	}
	fault := g.suffer(name)
	apply := func() (A, error) {
		return recorded(g.history, g.who, fault.String(), p, func() (A, error) { return call(context.WithoutCancel(ctx), p) })
	}
	answer, err := suffer(ctx, g, fault, name, apply)
	if !g.thaw() {
		return none, g.vanish(ctx)
	}
	return answer, err
}

func suffer[A any](ctx context.Context, g *simGate, fault simFault, name string, apply func() (A, error)) (answer A, err error) {
	var none A
	lost := func(err error) (A, error) {
		g.history.add(simRecord{who: g.who, call: simLost{name}, fault: fault.String()})
		return none, err
	}
	switch fault.kind {
	case errorBefore:
		return lost(errSimulated)
	case errorAfter:
		_, _ = apply() // the caller does not get to know
		return none, errSimulated
	case hangBefore, hangAfter, hangLate, slowBefore, slowAfter:
		done := fault.kind == hangAfter || fault.kind == slowAfter
		if done {
			answer, err = apply()
		}
		timer := time.NewTimer(fault.delay)
		defer timer.Stop()
		select {
		case <-g.dead:
			return none, errSimulated
		case <-ctx.Done():
			if fault.kind == hangLate {
				_, _ = apply() // the caller does not get to know
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
			time.Sleep(fault.delay)
			_, _ = apply() // nobody waits for this answer
		})
		return answer, err
	}
	return apply()
}

// suffer is what becomes of a call now.
func (g *simGate) suffer(call string) simFault {
	g.mu.Lock()
	defer g.mu.Unlock()
	if time.Now().Before(g.cut) {
		if g.calls%3 == 0 {
			return simFault{hangBefore, time.Hour}
		}
		return simFault{kind: errorBefore}
	}
	return g.draw(call)
}

// count counts calls, and slows a caller down that has lost all measure.
func (g *simGate) count(name string) {
	g.mu.Lock()
	if minute := time.Now().Truncate(time.Minute); minute != g.minute {
		g.minute, g.calls = minute, 0
	}
	g.calls++
	g.busiest = max(g.busiest, g.calls)
	over := g.calls > maxSimCalls
	g.mu.Unlock()
	if over {
		g.history.add(simRecord{who: g.who, call: simRemark{"calls without measure: " + name}})
		time.Sleep(time.Second)
	}
}

// simCallsARun is how many calls a run may cost that is over in no time.
const simCallsARun = 8

// ended lets the calls that runs cost count for nothing, once they are over.
func (g *simGate) ended(runs int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls = max(0, g.calls-simCallsARun*runs)
}

// thaw waits while the process stands still, false if it is dead.
func (g *simGate) thaw() bool {
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

// vanish is a call of a process that is gone.
func (g *simGate) vanish(ctx context.Context) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

func (g *simGate) stall(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stalled = time.Now().Add(d)
}

func (g *simGate) cutOff(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cut = time.Now().Add(d)
}

func (g *simGate) RegisterDeployments(ctx context.Context, p store.RegisterDeploymentsParams) ([]store.Registration, error) {
	return gated(ctx, g, "RegisterDeployments", p, g.inner.RegisterDeployments)
}

func (g *simGate) GetDeployment(ctx context.Context, id uuid.UUID) (*store.DeploymentRecord, error) {
	return gated(ctx, g, "GetDeployment", id, g.inner.GetDeployment)
}

func (g *simGate) ListDeployments(ctx context.Context, f store.DeploymentFilter) (store.Page[*store.DeploymentRecord], error) {
	return gated(ctx, g, "ListDeployments", f, g.inner.ListDeployments)
}

func (g *simGate) DeleteDeployment(ctx context.Context, p store.DeleteDeploymentParams) error {
	_, err := gated(ctx, g, "DeleteDeployment", p, withoutAnswer(g.inner.DeleteDeployment))
	return err
}

func (g *simGate) SetPause(ctx context.Context, p store.SetPauseParams) (*store.DeploymentRecord, error) {
	return gated(ctx, g, "SetPause", p, g.inner.SetPause)
}

func (g *simGate) ListFlows(ctx context.Context, f store.FlowFilter) (store.Page[*store.FlowRecord], error) {
	return gated(ctx, g, "ListFlows", f, g.inner.ListFlows)
}

func (g *simGate) RegisterRunner(ctx context.Context, p store.RegisterRunnerParams) ([]uuid.UUID, error) {
	return gated(ctx, g, "RegisterRunner", p, g.inner.RegisterRunner)
}

func (g *simGate) HeartbeatRunner(ctx context.Context, p store.HeartbeatRunnerParams) error {
	_, err := gated(ctx, g, "HeartbeatRunner", p, withoutAnswer(g.inner.HeartbeatRunner))
	return err
}

func (g *simGate) RemoveRunner(ctx context.Context, p store.RemoveRunnerParams) error {
	_, err := gated(ctx, g, "RemoveRunner", p, withoutAnswer(g.inner.RemoveRunner))
	return err
}

func (g *simGate) ListRunners(ctx context.Context) ([]store.RunnerRecord, error) {
	return gated(ctx, g, "ListRunners", struct{}{}, func(ctx context.Context, _ struct{}) ([]store.RunnerRecord, error) {
		return g.inner.ListRunners(ctx)
	})
}

func (g *simGate) DueSchedules(ctx context.Context, p store.DueSchedulesParams) (store.DueSchedulesResult, error) {
	return gated(ctx, g, "DueSchedules", p, g.inner.DueSchedules)
}

func (g *simGate) PlanRuns(ctx context.Context, p store.PlanRunsParams) ([]error, error) {
	return gated(ctx, g, "PlanRuns", p, g.inner.PlanRuns)
}

func (g *simGate) ListSkips(ctx context.Context, f store.SkipFilter) (store.Page[store.Skip], error) {
	return gated(ctx, g, "ListSkips", f, g.inner.ListSkips)
}

func (g *simGate) CreateRun(ctx context.Context, p store.CreateRunParams) (*store.Run, error) {
	return gated(ctx, g, "CreateRun", p, g.inner.CreateRun)
}

func (g *simGate) BackfillRuns(ctx context.Context, p store.BackfillRunsParams) ([]*store.Run, error) {
	return gated(ctx, g, "BackfillRuns", p, g.inner.BackfillRuns)
}

func (g *simGate) ClaimRuns(ctx context.Context, p store.ClaimRunsParams) (store.ClaimRunsResult, error) {
	return gated(ctx, g, "ClaimRuns", p, g.inner.ClaimRuns)
}

func (g *simGate) RenewLeases(ctx context.Context, p store.RenewLeasesParams) (store.RenewLeasesResult, error) {
	return gated(ctx, g, "RenewLeases", p, g.inner.RenewLeases)
}

func (g *simGate) SettleRuns(ctx context.Context, p store.SettleRunsParams) ([]error, error) {
	p.Updates = slices.Clone(p.Updates) // the settler uses its batch again, maybe before a late delivery
	errs, err := gated(ctx, g, "SettleRuns", p, g.inner.SettleRuns)
	if err == nil && errs == nil {
		g.ended(len(p.Updates))
	}
	return errs, err
}

func (g *simGate) ReapLeases(ctx context.Context, p store.ReapLeasesParams) (store.ReapLeasesResult, error) {
	return gated(ctx, g, "ReapLeases", p, g.inner.ReapLeases)
}

func (g *simGate) CancelRun(ctx context.Context, p store.CancelRunParams) (*store.Run, error) {
	return gated(ctx, g, "CancelRun", p, g.inner.CancelRun)
}

func (g *simGate) RetryRun(ctx context.Context, p store.RetryRunParams) (*store.Run, error) {
	return gated(ctx, g, "RetryRun", p, g.inner.RetryRun)
}

func (g *simGate) GetRun(ctx context.Context, id uuid.UUID) (*store.Run, error) {
	return gated(ctx, g, "GetRun", id, g.inner.GetRun)
}

func (g *simGate) ListRuns(ctx context.Context, f store.RunFilter) (store.Page[*store.Run], error) {
	return gated(ctx, g, "ListRuns", f, g.inner.ListRuns)
}

func (g *simGate) CountRuns(ctx context.Context, f store.RunFilter) (int, error) {
	return gated(ctx, g, "CountRuns", f, g.inner.CountRuns)
}

func (g *simGate) DeleteRun(ctx context.Context, id uuid.UUID) error {
	_, err := gated(ctx, g, "DeleteRun", simDeletion{id}, func(ctx context.Context, p simDeletion) (*store.Run, error) {
		run, err := g.inner.GetRun(ctx, p.id) // what is about to go, for the history
		if err != nil {
			return nil, err
		}
		return run, g.inner.DeleteRun(ctx, p.id)
	})
	return err
}

// simDeletion is a call of DeleteRun as the history has it.
type simDeletion struct{ id uuid.UUID }

func (g *simGate) PruneRuns(ctx context.Context, p store.PruneRunsParams) (int, error) {
	return gated(ctx, g, "PruneRuns", p, g.inner.PruneRuns)
}

func (g *simGate) AppendLogs(ctx context.Context, p store.AppendLogsParams) ([]error, error) {
	return gated(ctx, g, "AppendLogs", p, g.inner.AppendLogs)
}

func (g *simGate) ListLogs(ctx context.Context, f store.LogFilter) (store.LogPage, error) {
	return gated(ctx, g, "ListLogs", f, g.inner.ListLogs)
}
