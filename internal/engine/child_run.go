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

// childInfo is what an execution has of its own when it is a run inside a run.
type childInfo struct {
	parent *Execution
	flow   string
}

// RunChild runs a flow inside this run, in the caller's goroutine: recorded, with the flow's Timeout and Retries. value and
// params are its parameters as a Go value and encoded. If the store refuses the child run, nothing is called.
func (x *Execution) RunChild(ctx context.Context, f *Flow, value reflect.Value, p params.Params, call Invocation) error {
	child, err := x.newChild(ctx, f, value, p, call)
	if err != nil {
		return fmt.Errorf("child run of flow %q: %w", f.Name, err)
	}
	defer child.cancel(nil)
	for {
		err := child.attemptChild()
		if err == nil || child.attempt > f.Retries || isPermanent(err) || ctx.Err() != nil || context.Cause(child) != nil {
			return child.settleChild(err)
		}
		delay := child.retryDelay(err)
		child.server.Watch.retried(child, err, delay)
		if !sleep(child, delay) {
			return child.settleChild(err)
		}
		child.attempt++
	}
}

func (x *Execution) newChild(ctx context.Context, f *Flow, value reflect.Value, params params.Params, call Invocation) (*Execution, error) {
	now := x.server.now()
	child := &Execution{
		server: x.server, invocation: call, attempt: 1,
		served: &Deployment{Name: f.Name, Version: FirstNonEmpty(f.Version, x.served.Version), Flow: f},
		child:  &childInfo{parent: x, flow: f.Name},
	}
	shown, stored := child.shelter(value, params)
	id := store.NewID(now)
	child.Claim = store.Claim{
		Lease: store.Lease{RunID: id, Token: x.Claim.Token}, Name: store.RunName(id), Parameters: shown, Tags: x.Claim.Tags,
		ScheduledTime: instant.Of(now), DueTime: instant.Of(now),
	}
	callCtx, cancel := x.server.storeCall(ctx)
	defer cancel()
	_, err := x.server.store.CreateRun(callCtx, store.CreateRunParams{
		Now: instant.Of(now), ID: id, Name: child.Claim.Name, Parameters: stored, Tags: x.Claim.Tags,
		ScheduledTime: instant.Of(now), DueTime: instant.Of(now),
		Child: &store.ChildRun{Parent: x.Claim.Lease, Flow: f.Name, Version: child.served.Version},
	})
	if err != nil {
		return nil, err
	}
	child.Context, child.cancel = context.WithCancelCause(ctx)
	x.server.addChild(child)
	return child, nil
}

// attemptChild calls the function. A panic goes on to the parent, once the child is settled.
func (x *Execution) attemptChild() error {
	returned := false
	defer func() {
		if returned {
			return
		}
		v := recover()
		x.settleChild(abnormalEnd(v))
		if v != nil {
			panic(v)
		}
	}()
	x.begun = x.server.now()
	x.started.Store(true)
	x.server.Watch.started(x)
	err := x.call()
	returned = true
	return err
}

// settleChild records the child's end and gives the error that its caller gets: the flow's own, else the store's.
func (x *Execution) settleChild(err error) error {
	x.server.removeChild(x)
	end := x.server.now()
	state, result := x.verdict(end, err)
	if state.Type == store.StateScheduled { // a child is not handed back: its parent is, and makes new children
		state = store.NewState(store.StateCancelled, instant.Of(end), strings.Replace(state.Message, "handed back", "ended with its parent run", 1))
	}
	x.server.Watch.ended(x, end, state, time.Time{}, errors.Is(context.Cause(x), store.ErrLeaseLost))
	x.server.flushLogs(x)
	update := x.progress()
	update.State, update.Result = state, result
	storeErr := x.server.settleNow(context.WithoutCancel(x.child.parent), end, update)
	if err != nil {
		if storeErr != nil {
			x.server.log.Warn("end of a child run not stored", "id", x.Claim.RunID, "state", state.String(), "error", storeErr)
		}
		return err
	}
	if storeErr != nil {
		return fmt.Errorf("child run %s: %w", x.Claim.RunID, storeErr)
	}
	if state.Type != store.StateCompleted {
		return &store.RunError{ID: x.Claim.RunID, State: state}
	}
	return nil
}

// shelter takes the parameters of a child run, given as value and encoded as params, and learns their secrets. shown is for
// code, which can reveal them; stored is for the store, which gives them to nobody.
func (x *Execution) shelter(value reflect.Value, p params.Params) (shown, stored params.Params) {
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
	if runner := x.server.upstream; runner != nil && len(secrets) > 0 {
		runner.tell(frameLearn, secretsMessage{secrets}) // it redacts what is printed
	}
	return shown, stored
}
