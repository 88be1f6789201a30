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

// executionKey is the key under which a run's context keeps its *execution.
type executionKey struct{}

func FromContext(ctx context.Context) *Execution {
	x, _ := ctx.Value(executionKey{}).(*Execution)
	return x
}

// execution is one attempt of a run in this process, and the context that its flow sees.
type Execution struct {
	context.Context // ends with the attempt's cancellation; values are those of Serve's context

	server *Engine
	served *Deployment
	Claim  store.Claim
	child  *childInfo // nil for a run that was claimed

	invocation Invocation
	refused    error // why the parameters do not fit; the run fails with it
	cancel     context.CancelCauseFunc

	attempt int
	index   int         // in server.inFlight
	begun   time.Time   // first line of the function
	started atomic.Bool // begun is set
	Ended   atomic.Bool // what became of the attempt is known

	// What server.mu guards.
	Trusted    time.Time // when the lease was last known to be held; has a monotonic reading
	distrusted bool      // that was too long ago, and the flow knows
	Gone       bool      // the store said that the lease is lost: nothing more is written

	lossTold atomic.Bool // the observer knows that the lease is lost or in doubt

	logOnce sync.Once
	log     *runLog

	secrets param.Redactor // for the texts of this run; a child run uses its parent's
}

// What ends the context of a flow before the flow does. The cause of its context is one of these or ErrLeaseLost.
var (
	errCancelled = errors.New("provost: the run was cancelled")
	errShutdown  = errors.New("provost: the runner is shutting down")
	errTimedOut  = errors.New("provost: the run timed out")
)

var errNotDecoded = errors.New("runtime.Goexit was called while they were decoded")

// maxMessage bounds the message of a state.
const maxMessage = 16 << 10

// Value finds the execution itself, beside what Serve's context has.
func (x *Execution) Value(key any) any {
	if key == (executionKey{}) {
		return x
	}
	return x.Context.Value(key)
}

// Lease returns the lease that the attempt runs under.
func (x *Execution) Lease() store.Lease { return x.Claim.Lease }

func (x *Execution) Info() RunInfo {
	i := RunInfo{
		ID: x.Claim.RunID, Name: x.Claim.Name, Flow: x.served.Flow.Name, Deployment: x.served.Name, Schedule: x.Claim.Schedule,
		Version: x.served.Version, Tags: append([]string(nil), x.Claim.Tags...),
		Parameters:    x.served.Secrets.WrapSecrets(x.Claim.Parameters.Clone()),
		ScheduledTime: x.Claim.ScheduledTime, Attempt: x.attempt,
	}
	if x.child != nil {
		i.Flow, i.Deployment, i.ParentID = x.child.flow, "", x.child.parent.Claim.RunID
	}
	return i
}

// redactor is that of the run that was claimed.
func (x *Execution) redactor() *param.Redactor {
	for x.child != nil {
		x = x.child.parent
	}
	return &x.secrets
}

func (x *Execution) Logger() *slog.Logger { return x.runLog().logger }

func (x *Execution) runLog() *runLog {
	x.logOnce.Do(func() { x.log = newRunLog(x) })
	return x.log
}

// newExecution readies a claimed run, so that nothing is left to do at its instant but to call the function.
func (s *Engine) NewExecution(c store.Claim, sd *Deployment, began time.Time) *Execution {
	x := &Execution{server: s, served: sd, Claim: c, attempt: c.Attempt + 1, Trusted: began}
	x.Context, x.cancel = context.WithCancelCause(s.FlowContext)
	x.secrets.Learn(sd.Secrets.SecretValues(c.Parameters))
	return x
}

// prepare decodes the parameters. What is the user's of that may end the goroutine.
func (x *Execution) prepare() {
	x.refused = errNotDecoded
	sd, c := x.served, x.Claim
	invocation, err := sd.Flow.Prepare(c.Parameters, sd.Schema, sd.Derived)
	x.invocation, x.refused = invocation, sd.Secrets.RedactedError(c.Parameters, err, false)
	if sd.Isolated {
		x.invocation = nil // the child process has its own
	}
}

// run executes the attempt. The function may return, panic or end its goroutine; whatever it does, the run is settled.
func (x *Execution) run() {
	defer x.server.running.Done()
	defer x.concludeAnyhow()
	if !x.served.Isolated {
		x.server.launching.Add(-1)
	}
	switch {
	case x.refused != nil:
		x.refuse()
		return
	case x.Err() != nil:
		x.handBack()
		return
	case x.served.Isolated:
		x.runIsolated()
		return
	case !x.begin(x.server.now()):
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

// begin notes that the function is about to be entered, false if it must not be.
func (x *Execution) begin(at time.Time) bool {
	x.begun = at
	if runner := x.server.upstream; runner != nil {
		return runner.begin(x)
	}
	if x.served.Once && !x.server.storeStart(x) {
		return false
	}
	x.started.Store(true)
	x.server.noteStart(x)
	return true
}

func (x *Execution) call() error {
	timeout := x.served.Flow.Timeout
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
	of      *Execution // a flow may return the error of a child run that timed out, and has not timed out by that
	timeout time.Duration
	err     error
}

func (e *timeoutError) Error() string {
	return fmt.Sprintf("ran longer than %v and returned: %v", e.timeout, e.err)
}

func (e *timeoutError) Unwrap() error { return e.err }

// abnormalEnd is the error of a function that did not return: it panicked with v, or called runtime.Goexit.
func abnormalEnd(v any) error {
	if v == nil {
		return fmt.Errorf("runtime.Goexit was called\n\n%s", debug.Stack())
	}
	return fmt.Errorf("panic: %v\n\n%s", v, debug.Stack())
}

// progress is the update that says no more than that the attempt has begun.
func (x *Execution) progress() store.RunUpdate {
	return store.RunUpdate{Lease: x.Claim.Lease, StartTime: instant.Of(x.begun), Attempt: x.attempt, Version: x.served.Version}
}

// conclude turns what the function did into what becomes of the run.
func (x *Execution) conclude(err error) {
	end := x.server.now()
	state, result := x.verdict(end, err)
	update := x.progress()
	update.State, update.Result = state, result
	switch {
	case state.Type == store.StateScheduled: // handed back: the attempt does not count
		update.StartTime, update.Attempt = time.Time{}, x.Claim.Attempt
	case state.Type == store.StateFailed && err != nil && x.mayRetry() && !isPermanent(err):
		update.State = store.NewNamedState(store.StateScheduled, store.NameAwaitingRetry, state.Timestamp, state.Message)
		update.DueTime = instant.Of(end.Add(x.retryDelay(err)))
	}
	x.server.settle(x, end, update)
}

// mayRetry reports whether a failure gets another attempt. Crashes are attempts, but not the flow's fault.
func (x *Execution) mayRetry() bool { return x.attempt-x.Claim.Crashes <= x.served.Flow.Retries }

// concludeAnyhow settles a run whose end was not worked out, because something of the user's ended the goroutine meanwhile.
func (x *Execution) concludeAnyhow() {
	if x.Ended.Load() {
		return
	}
	end := x.server.now()
	update := x.progress()
	update.State = store.NewState(store.StateFailed, end, "runtime.Goexit was called in Backoff, or while the result or the error was encoded")
	x.server.settle(x, end, update)
}

// retryDelay asks the flow; a Backoff that panics gives its fixed delay.
func (x *Execution) retryDelay(err error) (delay time.Duration) {
	defer func() {
		if v := recover(); v != nil {
			x.server.log.Error("Backoff panicked; using RetryDelay", "flow", x.served.Flow.Name, "panic", x.redactor().Text(fmt.Sprint(v)))
			delay = max(0, x.served.Flow.RetryDelay)
		}
	}()
	return x.served.Flow.delay(x.attempt, err)
}

// verdict is the state that a return value means. What returns no error is Completed, even if somebody wanted to stop it.
func (x *Execution) verdict(end time.Time, err error) (store.State, json.RawMessage) {
	at := instant.Of(end)
	if err == nil {
		return x.completed(at)
	}
	message := bounded(x.redactor().Text(param.ErrorText(err)))
	late, _ := err.(*timeoutError)
	switch cause := context.Cause(x); {
	case late != nil && late.of == x:
		return store.NewNamedState(store.StateFailed, store.NameTimedOut, at, message), nil
	case errors.Is(cause, errCancelled):
		return store.NewState(store.StateCancelled, at, message), nil
	case errors.Is(cause, errShutdown) && x.served.Once:
		return store.NewState(store.StateCrashed, at, "the runner is shutting down, and the flow runs at most once: "+message), nil
	case errors.Is(cause, errShutdown):
		return store.NewState(store.StateScheduled, at, "handed back: the runner is shutting down"), nil
	case errors.Is(cause, store.ErrLeaseLost) && x.served.Once:
		return store.NewState(store.StateCrashed, at, "its lease was not renewed in time, and the flow runs at most once: "+message), nil
	case errors.Is(cause, store.ErrLeaseLost):
		return store.NewState(store.StateScheduled, at, "handed back: its lease was not renewed in time"), nil
	default:
		return store.NewState(store.StateFailed, at, message), nil
	}
}

// maxResult bounds a stored result.
const maxResult = 1 << 20

// completed encodes the result. One that does not encode fails the run, one that is too large is left out.
func (x *Execution) completed(at time.Time) (store.State, json.RawMessage) {
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

// handBack gives a run that has not begun to whoever claims it next.
func (x *Execution) handBack() {
	now := x.server.now()
	state := store.NewState(store.StateScheduled, instant.Of(now), "handed back before it began")
	if errors.Is(context.Cause(x), errCancelled) {
		state = store.NewState(store.StateCancelled, instant.Of(now), "cancelled before it began")
	}
	x.server.settle(x, now, store.RunUpdate{Attempt: x.Claim.Attempt, State: state})
}

// sleep waits, false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
