package engine

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/internal/param"
	"github.com/provost-go/provost/params"
	"github.com/provost-go/provost/store"
)

// childInfo is what an execution has of its own when it is a child run: a run inside a run.
type childInfo struct {
	parent *Execution
	flow   string
}

// RunChild runs a flow inside this run, in the caller's goroutine: recorded, with the flow's
// Timeout and Retries. value and p are the parameters as a Go value and encoded. If the store
// refuses the child run, nothing is called.
func (x *Execution) RunChild(ctx context.Context, f *Flow, value reflect.Value, p params.Params, call Invocation) error {
	child, err := x.newChild(ctx, f, value, p, call)
	if err != nil {
		return fmt.Errorf("child run of flow %q: %w", f.Name, err)
	}
	defer child.cancel(nil)
	for {
		err := child.attemptChild()
		if err == nil || child.attempt > f.Retries || isPermanent(err) || ctx.Err() != nil || context.Cause(child) != nil {
			return child.completeChild(err)
		}
		delay := child.retryDelay(err)
		child.executor.events.retried(child, err, delay)
		if !sleep(child, delay) {
			return child.completeChild(err)
		}
		child.attempt++
	}
}

func (x *Execution) newChild(ctx context.Context, f *Flow, value reflect.Value, p params.Params, call Invocation) (*Execution, error) {
	now := x.executor.now()
	child := &Execution{
		executor: x.executor, invocation: call, attempt: 1,
		deployment: &Deployment{Name: f.Name, Version: FirstNonEmpty(f.Version, x.deployment.Version), Flow: f},
		child:      &childInfo{parent: x, flow: f.Name},
	}
	shown, stored := child.maskParams(value, p)
	id := store.NewID(now)
	child.claim = store.Claim{
		Lease: store.Lease{RunID: id, Token: x.claim.Token}, Name: store.RunName(id), Parameters: shown, Tags: x.claim.Tags,
		ScheduledTime: instant.Of(now), DueTime: instant.Of(now),
	}
	child.Hold.lease, child.Hold.run = child.claim.Lease, child
	callCtx, cancel := x.executor.call(ctx)
	defer cancel()
	_, err := x.executor.store.CreateRun(callCtx, store.CreateRunParams{
		Now: instant.Of(now), ID: id, Name: child.claim.Name, Parameters: stored, Tags: x.claim.Tags,
		ScheduledTime: instant.Of(now), DueTime: instant.Of(now),
		Child: &store.ChildRun{Parent: x.claim.Lease, Flow: f.Name, Version: child.deployment.Version},
	})
	if err != nil {
		return nil, err
	}
	child.Context, child.cancel = context.WithCancelCause(ctx)
	x.executor.children.add(id, child.Stop)
	return child, nil
}

// attemptChild calls the function. A panic goes on to the parent once the child run is completed.
func (x *Execution) attemptChild() error {
	returned := false
	defer func() {
		if returned {
			return
		}
		v := recover()
		_ = x.completeChild(abnormalEnd(v)) // the parent sees the panic
		if v != nil {
			panic(v)
		}
	}()
	x.begun = x.executor.now()
	x.started.Store(true)
	x.executor.events.started(x)
	err := x.call()
	returned = true
	return err
}

// completeChild records the end of the child run and returns the error for its caller: the flow's
// own, else the store's.
func (x *Execution) completeChild(err error) error {
	x.executor.children.remove(x.claim.RunID)
	end := x.executor.now()
	state, result := x.verdict(end, err)
	if state.Type == store.StateScheduled { // a child run is not handed back: its parent is, and makes new child runs
		state = store.NewState(store.StateCancelled, instant.Of(end), strings.Replace(state.Message, "handed back", "ended with its parent run", 1))
	}
	x.executor.events.ended(x, end, state, time.Time{}, errors.Is(context.Cause(x), store.ErrLeaseLost))
	x.executor.completer.flushLog(x, x.runLog())
	update := x.progress()
	update.State, update.Result = state, result
	storeErr := x.executor.completer.writeNow(context.WithoutCancel(x.child.parent), end, update)
	if err != nil {
		if storeErr != nil {
			x.executor.log.Warn("end of a child run not stored", "id", x.claim.RunID, "state", state.String(), "error", storeErr)
		}
		return err
	}
	if storeErr != nil {
		return fmt.Errorf("child run %s: %w", x.claim.RunID, storeErr)
	}
	if state.Type != store.StateCompleted {
		return &store.RunError{ID: x.claim.RunID, State: state}
	}
	return nil
}

// maskParams learns the secrets in the parameters of a child run, given as a value and encoded.
// shown is for code, which can reveal them; stored is for the store, which shows them to nobody.
func (x *Execution) maskParams(value reflect.Value, p params.Params) (shown, stored params.Params) {
	if len(p) == 0 || !param.MayHide(value.Type(), true) {
		return p, p
	}
	var secrets []any
	wrap := func(plain any) any {
		secrets = append(secrets, plain)
		return params.NewSecret(plain)
	}
	shown, stored = p.Clone(), p.Clone()
	param.HideSecrets(value, map[string]any(shown), wrap)
	param.HideSecrets(value, map[string]any(stored), param.AsMask)
	x.redactor().Learn(secrets)
	if len(secrets) > 0 {
		x.executor.reporter.learn(secrets)
	}
	return shown, stored
}
