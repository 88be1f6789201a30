package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/internal/param"
	"github.com/provost-go/provost/store"
)

// executor is what the executions of one runner, or of one run in a subprocess, share.
type executor struct {
	*Access
	context   context.Context // the context of every flow derives from it; set before the first execution
	reporter  reporter
	completer *Completer
	children  *childRuns
	hooks     *hooks          // nil in a subprocess
	slots     *slots          // nil in a subprocess
	declined  *declinedRuns   // nil in a subprocess
	processes *subprocessPool // nil if no deployment is isolated
}

// Execution is one attempt of a run in this process, and the context that its flow gets.
type Execution struct {
	context.Context // ends when the attempt is stopped; its values are those of Serve's context
	Hold

	executor   *executor
	deployment *Deployment
	claim      store.Claim
	child      *childInfo // nil for a run that was claimed

	invocation Invocation
	refused    error // why the parameters do not fit; the run fails with it
	cancel     context.CancelCauseFunc

	attempt int
	begun   time.Time   // first line of the function
	started atomic.Bool // begun is set

	logOnce sync.Once
	log     *runLog

	secrets param.Redactor // for the texts of this run; a child run uses its parent's
}

var errNotDecoded = errors.New("runtime.Goexit was called while they were decoded")

// executionKey is the key under which a run's context keeps its *Execution.
type executionKey struct{}

// FromContext returns the execution that ctx belongs to, nil outside of runs.
func FromContext(ctx context.Context) *Execution {
	x, _ := ctx.Value(executionKey{}).(*Execution)
	return x
}

// Value returns the execution itself under its key, and the values of Serve's context.
func (x *Execution) Value(key any) any {
	if key == (executionKey{}) {
		return x
	}
	return x.Context.Value(key)
}

// Info returns what a flow can know about the run.
func (x *Execution) Info() RunInfo {
	i := RunInfo{
		ID: x.claim.RunID, Name: x.claim.Name, Flow: x.deployment.Flow.Name, Deployment: x.deployment.Name, Schedule: x.claim.Schedule,
		Version: x.deployment.Version, Tags: append([]string(nil), x.claim.Tags...),
		Parameters:    x.deployment.Secrets.WrapSecrets(x.claim.Parameters.Clone()),
		ScheduledTime: x.claim.ScheduledTime, Attempt: x.attempt,
	}
	if x.child != nil {
		i.Flow, i.Deployment, i.ParentID = x.child.flow, "", x.child.parent.claim.RunID
	}
	return i
}

// Logger returns the logger that writes to the run's log and to the runner's.
func (x *Execution) Logger() *slog.Logger { return x.runLog().logger }

func (x *Execution) runLog() *runLog {
	x.logOnce.Do(func() { x.log = x.executor.reporter.newLog(x) })
	return x.log
}

// redactor returns the redactor of the run that was claimed.
func (x *Execution) redactor() *param.Redactor {
	for x.child != nil {
		x = x.child.parent
	}
	return &x.secrets
}

// newExecution readies a claimed run, so that nothing is left to do at its instant but to call the
// function.
func (e *executor) newExecution(c store.Claim, d *Deployment, claimed time.Time) *Execution {
	x := &Execution{executor: e, deployment: d, claim: c, attempt: c.Attempt + 1}
	x.Hold.lease, x.Hold.run, x.Hold.trusted = c.Lease, x, claimed
	x.Context, x.cancel = context.WithCancelCause(e.context)
	x.secrets.Learn(d.Secrets.SecretValues(c.Parameters))
	return x
}

// prepare decodes the parameters. The user's code in that may end the goroutine.
func (x *Execution) prepare() {
	x.refused = errNotDecoded
	d, c := x.deployment, x.claim
	invocation, err := d.Flow.Prepare(c.Parameters, d.Schema, d.Derived)
	x.invocation, x.refused = invocation, d.Secrets.RedactedError(c.Parameters, err, false)
	if d.Isolated {
		x.invocation = nil // the subprocess has its own
	}
}

// run executes the attempt. The function may return, panic or end its goroutine; whatever it does,
// the run is completed.
func (x *Execution) run() {
	defer x.completeAnyhow()
	switch {
	case x.refused != nil:
		x.refuse()
		return
	case x.Err() != nil:
		x.handBack()
		return
	case x.deployment.Isolated:
		x.runIsolated()
		return
	case !x.begin(x.executor.now()):
		x.handBack()
		return
	}
	returned := false
	var err error
	defer func() {
		if !returned {
			err = abnormalEnd(recover())
		}
		x.conclude(err)
	}()
	err = x.call()
	returned = true
}

// begin notes that the function is about to be entered. It returns false if the function must not
// be entered.
func (x *Execution) begin(at time.Time) bool {
	x.begun = at
	return x.executor.reporter.begin(x)
}

func (x *Execution) call() error {
	timeout := x.deployment.Flow.Timeout
	if timeout <= 0 {
		return x.invocation.Call(x)
	}
	ctx, stop := context.WithTimeoutCause(x, timeout, errTimedOut)
	defer stop()
	err := x.invocation.Call(ctx)
	if err != nil && errors.Is(context.Cause(ctx), errTimedOut) {
		return &timeoutError{of: x, timeout: timeout, err: err}
	}
	return err
}

// timeoutError is what a function returned after its time was up.
type timeoutError struct {
	of      *Execution // a flow may return the error of a child run that timed out, and has not timed out itself
	timeout time.Duration
	err     error
}

func (e *timeoutError) Error() string {
	return fmt.Sprintf("ran longer than %v and returned: %v", e.timeout, e.err)
}
func (e *timeoutError) Unwrap() error { return e.err }

// abnormalEnd returns the error of a function that did not return: it panicked with v, or called
// runtime.Goexit.
func abnormalEnd(v any) error {
	if v == nil {
		return fmt.Errorf("runtime.Goexit was called\n\n%s", debug.Stack())
	}
	return fmt.Errorf("panic: %v\n\n%s", v, debug.Stack())
}

// progress returns the update that says no more than that the attempt has begun.
func (x *Execution) progress() store.RunUpdate {
	return store.RunUpdate{Lease: x.claim.Lease, StartTime: instant.Of(x.begun), Attempt: x.attempt, Version: x.deployment.Version}
}

// conclude completes the run with what the function did.
func (x *Execution) conclude(err error) {
	end := x.executor.now()
	state, result := x.verdict(end, err)
	update := x.progress()
	update.State, update.Result = state, result
	switch {
	case state.Type == store.StateScheduled: // handed back: the attempt does not count
		update.StartTime, update.Attempt = time.Time{}, x.claim.Attempt
	case state.Type == store.StateFailed && err != nil && x.mayRetry() && !isPermanent(err):
		update.State = store.NewNamedState(store.StateScheduled, store.NameAwaitingRetry, state.Timestamp, state.Message)
		update.DueTime = instant.Of(end.Add(x.retryDelay(err)))
	}
	x.executor.reporter.complete(x, end, update)
}

// mayRetry reports whether a failure gets another attempt. Crashes are attempts, but not the flow's
// fault.
func (x *Execution) mayRetry() bool { return x.attempt-x.claim.Crashes <= x.deployment.Flow.Retries }

// completeAnyhow completes a run whose end was not worked out, because the user's code ended the
// goroutine meanwhile.
func (x *Execution) completeAnyhow() {
	if x.ended.Load() {
		return
	}
	end := x.executor.now()
	update := x.progress()
	update.State = store.NewState(store.StateFailed, end, "runtime.Goexit was called in Backoff, or while the result or the error was encoded")
	x.executor.reporter.complete(x, end, update)
}

// retryDelay asks the flow. If its Backoff panics, its fixed delay counts.
func (x *Execution) retryDelay(err error) (delay time.Duration) {
	defer func() {
		if v := recover(); v != nil {
			x.executor.log.Error("Backoff panicked; using RetryDelay", "flow", x.deployment.Flow.Name, "panic", x.redactor().Text(fmt.Sprint(v)))
			delay = max(0, x.deployment.Flow.RetryDelay)
		}
	}()
	return x.deployment.Flow.delay(x.attempt, err)
}

// verdict returns the state that a return value means. A function that returns no error is
// Completed, even if somebody wanted to stop it.
func (x *Execution) verdict(end time.Time, err error) (store.State, json.RawMessage) {
	at := instant.Of(end)
	if err == nil {
		return x.completedState(at)
	}
	message := bounded(x.redactor().Text(param.ErrorText(err)))
	late, _ := err.(*timeoutError)
	switch cause := context.Cause(x); {
	case late != nil && late.of == x:
		return store.NewNamedState(store.StateFailed, store.NameTimedOut, at, message), nil
	case errors.Is(cause, ErrCancelled):
		return store.NewState(store.StateCancelled, at, message), nil
	case errors.Is(cause, ErrShutdown) && x.deployment.Once:
		return store.NewState(store.StateCrashed, at, "the runner is shutting down, and the flow runs at most once: "+message), nil
	case errors.Is(cause, ErrShutdown):
		return store.NewState(store.StateScheduled, at, "handed back: the runner is shutting down"), nil
	case errors.Is(cause, store.ErrLeaseLost) && x.deployment.Once:
		return store.NewState(store.StateCrashed, at, "its lease was not renewed in time, and the flow runs at most once: "+message), nil
	case errors.Is(cause, store.ErrLeaseLost):
		return store.NewState(store.StateScheduled, at, "handed back: its lease was not renewed in time"), nil
	default:
		return store.NewState(store.StateFailed, at, message), nil
	}
}

// maxResult bounds a stored result.
const maxResult = 1 << 20

// completedState encodes the result. A result that does not encode fails the run, one that is too
// large is left out.
func (x *Execution) completedState(at time.Time) (store.State, json.RawMessage) {
	result, err := x.invocation.Result()
	if err == nil {
		result, err = x.redactor().Result(result)
	}
	switch {
	case err != nil:
		return store.NewState(store.StateFailed, at, bounded(x.redactor().Text("result does not encode: "+err.Error()))), nil
	case len(result) > maxResult:
		return store.NewState(store.StateCompleted, at, fmt.Sprintf("result of %d bytes not stored: more than %d", len(result), maxResult)), nil
	default:
		return store.NewState(store.StateCompleted, at, ""), result
	}
}

// handBack gives up a run that has not begun, for whoever claims it next.
func (x *Execution) handBack() {
	now := x.executor.now()
	state := store.NewState(store.StateScheduled, instant.Of(now), "handed back before it began")
	if errors.Is(context.Cause(x), ErrCancelled) {
		state = store.NewState(store.StateCancelled, instant.Of(now), "cancelled before it began")
	}
	x.executor.reporter.complete(x, now, store.RunUpdate{Attempt: x.claim.Attempt, State: state})
}

// Stop ends the context of the flow. It implements HeldRun.
func (x *Execution) Stop(cause error) { x.cancel(cause) }

// LeaseLost tells the observer. It implements HeldRun.
func (x *Execution) LeaseLost() { x.executor.events.leaseLost(x.executor.now(), x) }

// Describe returns the run's name and the deployment's handle. It implements HeldRun.
func (x *Execution) Describe() (name, handle string) { return x.claim.Name, x.deployment.Handle() }

// Completed calls the hook of an end that is stored. It implements HeldRun. A slot of a concurrency
// limit that is freed promotes a run: the claimer looks for it at once, not at the next poll.
func (x *Execution) Completed(end store.StateType, err error) {
	if x.deployment.Limited && !x.executor.local {
		signal(x.executor.slots.freed)
	}
	if err == nil {
		x.executor.hooks.add(x, end)
	}
}
