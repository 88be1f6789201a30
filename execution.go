package provost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/provost-go/provost/internal/instant"
)

// execution is one attempt of a run in this process, and the context that its flow sees.
type execution struct {
	context.Context // ends with the attempt's cancellation; values are those of Serve's context

	server *server
	served *served
	claim  Claim
	child  *childInfo // nil for a run that was claimed

	invocation invocation
	refused    error // why the parameters do not fit; the run fails with it
	cancel     context.CancelCauseFunc

	attempt int
	index   int         // in server.inFlight
	begun   time.Time   // first line of the function
	started atomic.Bool // begun is set
	ended   atomic.Bool // what became of the attempt is known

	// What server.mu guards.
	trusted    time.Time // when the lease was last known to be held; has a monotonic reading
	distrusted bool      // that was too long ago, and the flow knows
	gone       bool      // the store said that the lease is lost: nothing more is written

	lossTold atomic.Bool // the observer knows that the lease is lost or in doubt

	logOnce sync.Once
	log     *runLog

	secrets redactor // for the texts of this run; a child run uses its parent's
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
func (x *execution) Value(key any) any {
	if key == (executionKey{}) {
		return x
	}
	return x.Context.Value(key)
}

func (x *execution) info() RunInfo {
	i := RunInfo{
		ID: x.claim.RunID, Name: x.claim.Name, Flow: x.served.flow.name, Deployment: x.served.name, Schedule: x.claim.Schedule,
		Version: x.served.version, Tags: append([]string(nil), x.claim.Tags...),
		Parameters:    x.served.secrets.wrapSecrets(x.claim.Parameters.clone()),
		ScheduledTime: x.claim.ScheduledTime, Attempt: x.attempt,
	}
	if x.child != nil {
		i.Flow, i.Deployment, i.ParentID = x.child.flow, "", x.child.parent.claim.RunID
	}
	return i
}

// redactor is that of the run that was claimed.
func (x *execution) redactor() *redactor {
	for x.child != nil {
		x = x.child.parent
	}
	return &x.secrets
}

func (x *execution) logger() *slog.Logger { return x.runLog().logger }

func (x *execution) runLog() *runLog {
	x.logOnce.Do(func() { x.log = newRunLog(x) })
	return x.log
}

// newExecution readies a claimed run, so that nothing is left to do at its instant but to call the function.
func (s *server) newExecution(c Claim, sd *served, began time.Time) *execution {
	x := &execution{server: s, served: sd, claim: c, attempt: c.Attempt + 1, trusted: began}
	x.Context, x.cancel = context.WithCancelCause(s.flowContext)
	x.secrets.learn(sd.secrets.secretValues(c.Parameters))
	return x
}

// prepare decodes the parameters. What is the user's of that may end the goroutine.
func (x *execution) prepare() {
	x.refused = errNotDecoded
	sd, c := x.served, x.claim
	invocation, err := sd.flow.prepare(c.Parameters, sd.schema, sd.derived)
	x.invocation, x.refused = invocation, sd.secrets.unshown(c.Parameters, err, false)
	if sd.isolated {
		x.invocation = nil // the child process has its own
	}
}

// run executes the attempt. The function may return, panic or end its goroutine; whatever it does, the run is settled.
func (x *execution) run() {
	defer x.server.running.Done()
	defer x.concludeAnyhow()
	if !x.served.isolated {
		x.server.launching.Add(-1)
	}
	switch {
	case x.refused != nil:
		x.refuse()
		return
	case x.Err() != nil:
		x.handBack()
		return
	case x.served.isolated:
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
func (x *execution) begin(at time.Time) bool {
	x.begun = at
	if runner := x.server.upstream; runner != nil {
		return runner.begin(x)
	}
	if x.served.once && !x.server.storeStart(x) {
		return false
	}
	x.started.Store(true)
	x.server.noteStart(x)
	return true
}

func (x *execution) call() error {
	timeout := x.served.flow.timeout
	if timeout <= 0 {
		return x.invocation.call(x)
	}
	ctx, stop := context.WithTimeoutCause(x, timeout, errTimedOut)
	defer stop()
	err := x.invocation.call(ctx)
	if err != nil && errors.Is(context.Cause(ctx), errTimedOut) {
		return &timeoutError{of: x, timeout: timeout, err: err}
	}
	return err
}

// timeoutError is what a function returned after its time was up.
type timeoutError struct {
	of      *execution // a flow may return the error of a child run that timed out, and has not timed out by that
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
func (x *execution) progress() RunUpdate {
	return RunUpdate{Lease: x.claim.Lease, StartTime: instant.Of(x.begun), Attempt: x.attempt, Version: x.served.version}
}

// conclude turns what the function did into what becomes of the run.
func (x *execution) conclude(err error) {
	end := x.server.now()
	state, result := x.verdict(end, err)
	update := x.progress()
	update.State, update.Result = state, result
	switch {
	case state.Type == StateScheduled: // handed back: the attempt does not count
		update.StartTime, update.Attempt = time.Time{}, x.claim.Attempt
	case state.Type == StateFailed && err != nil && x.mayRetry() && !isPermanent(err):
		update.State = namedState(StateScheduled, NameAwaitingRetry, state.Timestamp, state.Message)
		update.DueTime = instant.Of(end.Add(x.retryDelay(err)))
	}
	x.server.settle(x, end, update)
}

// mayRetry reports whether a failure gets another attempt. Crashes are attempts, but not the flow's fault.
func (x *execution) mayRetry() bool { return x.attempt-x.claim.Crashes <= x.served.flow.retries }

// concludeAnyhow settles a run whose end was not worked out, because something of the user's ended the goroutine meanwhile.
func (x *execution) concludeAnyhow() {
	if x.ended.Load() {
		return
	}
	end := x.server.now()
	update := x.progress()
	update.State = newState(StateFailed, end, "runtime.Goexit was called in Backoff, or while the result or the error was encoded")
	x.server.settle(x, end, update)
}

// retryDelay asks the flow; a Backoff that panics gives its fixed delay.
func (x *execution) retryDelay(err error) (delay time.Duration) {
	defer func() {
		if v := recover(); v != nil {
			x.server.log.Error("Backoff panicked; using RetryDelay", "flow", x.served.flow.name, "panic", x.redactor().text(fmt.Sprint(v)))
			delay = max(0, x.served.flow.retryDelay)
		}
	}()
	return x.served.flow.delay(x.attempt, err)
}

// verdict is the state that a return value means. What returns no error is Completed, even if somebody wanted to stop it.
func (x *execution) verdict(end time.Time, err error) (State, json.RawMessage) {
	at := instant.Of(end)
	if err == nil {
		return x.completed(at)
	}
	message := bounded(x.redactor().text(errorText(err)))
	late, _ := err.(*timeoutError)
	switch cause := context.Cause(x); {
	case late != nil && late.of == x:
		return namedState(StateFailed, NameTimedOut, at, message), nil
	case errors.Is(cause, errCancelled):
		return newState(StateCancelled, at, message), nil
	case errors.Is(cause, errShutdown) && x.served.once:
		return newState(StateCrashed, at, "the runner is shutting down, and the flow runs at most once: "+message), nil
	case errors.Is(cause, errShutdown):
		return newState(StateScheduled, at, "handed back: the runner is shutting down"), nil
	case errors.Is(cause, ErrLeaseLost) && x.served.once:
		return newState(StateCrashed, at, "its lease was not renewed in time, and the flow runs at most once: "+message), nil
	case errors.Is(cause, ErrLeaseLost):
		return newState(StateScheduled, at, "handed back: its lease was not renewed in time"), nil
	default:
		return newState(StateFailed, at, message), nil
	}
}

// errorText is err.Error(), of an error whose method may panic: a nil pointer returned as an error is a common mistake.
func errorText(err error) (text string) {
	defer func() {
		if v := recover(); v != nil {
			text = fmt.Sprintf("the flow returned a %T whose Error method panics: %v", err, v)
		}
	}()
	return err.Error()
}

// maxResult bounds a stored result.
const maxResult = 1 << 20

// completed encodes the result. One that does not encode fails the run, one that is too large is left out.
func (x *execution) completed(at time.Time) (State, json.RawMessage) {
	result, err := x.invocation.result()
	if err == nil {
		result, err = x.redactor().result(result)
	}
	switch {
	case err != nil:
		return newState(StateFailed, at, bounded(x.redactor().text("result does not encode: "+err.Error()))), nil
	case len(result) > maxResult:
		return newState(StateCompleted, at, fmt.Sprintf("result of %d bytes not stored: more than %d", len(result), maxResult)), nil
	default:
		return newState(StateCompleted, at, ""), result
	}
}

// handBack gives a run that has not begun to whoever claims it next.
func (x *execution) handBack() {
	now := x.server.now()
	state := newState(StateScheduled, instant.Of(now), "handed back before it began")
	if errors.Is(context.Cause(x), errCancelled) {
		state = newState(StateCancelled, instant.Of(now), "cancelled before it began")
	}
	x.server.settle(x, now, RunUpdate{Attempt: x.claim.Attempt, State: state})
}

// bounded is a message as a state may hold it, cut at the end of a character.
func bounded(message string) string {
	message = storable(message)
	if len(message) <= maxMessage {
		return message
	}
	cut := maxMessage
	for cut > 0 && message[cut]&0xC0 == 0x80 {
		cut--
	}
	return message[:cut] + "..."
}

// childInfo is what an execution has of its own when it is a run inside a run.
type childInfo struct {
	parent *execution
	flow   string
}

// runChild runs a flow inside another run: recorded, with the flow's Timeout and Retries, in the caller's goroutine. Where the
// store refuses, the flow does not run.
func runChild[P, R any](ctx context.Context, parent *execution, f *Flow[P, R], params P) (R, error) {
	var none R
	erased := f.erase()
	recorded, err := encodeParams(params)
	if err != nil {
		return none, fmt.Errorf("child run of flow %q: %w", f.Name, err)
	}
	i := &typedInvocation[P, R]{function: f.call, params: params}
	x, err := parent.newChild(ctx, erased, reflect.ValueOf(params), recorded, i)
	if err != nil {
		return none, fmt.Errorf("child run of flow %q: %w", f.Name, err)
	}
	defer x.cancel(nil)
	for {
		err := x.attemptChild()
		if err == nil || x.attempt > erased.retries || isPermanent(err) || ctx.Err() != nil || context.Cause(x) != nil {
			return i.returned, x.settleChild(err)
		}
		delay := x.retryDelay(err)
		x.server.watch.retried(x, err, delay)
		if !sleep(x, delay) {
			return i.returned, x.settleChild(err)
		}
		x.attempt++
	}
}

func (x *execution) newChild(ctx context.Context, f *flow, value reflect.Value, params Params, call invocation) (*execution, error) {
	now := x.server.now()
	child := &execution{
		server: x.server, invocation: call, attempt: 1,
		served: &served{name: f.name, version: firstOf(f.version, x.served.version), flow: f},
		child:  &childInfo{parent: x, flow: f.name},
	}
	shown, stored := child.shelter(value, params)
	id := newID(now)
	child.claim = Claim{
		Lease: Lease{RunID: id, Token: x.claim.Token}, Name: RunName(id), Parameters: shown, Tags: x.claim.Tags,
		ScheduledTime: instant.Of(now), DueTime: instant.Of(now),
	}
	callCtx, cancel := x.server.storeCall(ctx)
	defer cancel()
	_, err := x.server.store.CreateRun(callCtx, CreateRunParams{
		Now: instant.Of(now), ID: id, Name: child.claim.Name, Parameters: stored, Tags: x.claim.Tags,
		ScheduledTime: instant.Of(now), DueTime: instant.Of(now),
		Child: &ChildRun{Parent: x.claim.Lease, Flow: f.name, Version: child.served.version},
	})
	if err != nil {
		return nil, err
	}
	child.Context, child.cancel = context.WithCancelCause(ctx)
	x.server.addChild(child)
	return child, nil
}

// attemptChild calls the function. A panic goes on to the parent, once the child is settled.
func (x *execution) attemptChild() error {
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
	x.server.watch.started(x)
	err := x.call()
	returned = true
	return err
}

// settleChild records the child's end and gives the error that its caller gets: the flow's own, else the store's.
func (x *execution) settleChild(err error) error {
	x.server.removeChild(x)
	end := x.server.now()
	state, result := x.verdict(end, err)
	if state.Type == StateScheduled { // a child is not handed back: its parent is, and makes new children
		state = newState(StateCancelled, instant.Of(end), strings.Replace(state.Message, "handed back", "ended with its parent run", 1))
	}
	x.server.watch.ended(x, end, state, time.Time{}, errors.Is(context.Cause(x), ErrLeaseLost))
	x.server.flushLogs(x)
	update := x.progress()
	update.State, update.Result = state, result
	storeErr := x.server.settleNow(context.WithoutCancel(x.child.parent), end, update)
	if err != nil {
		if storeErr != nil {
			x.server.log.Warn("end of a child run not stored", "id", x.claim.RunID, "state", state.String(), "error", storeErr)
		}
		return err
	}
	if storeErr != nil {
		return fmt.Errorf("child run %s: %w", x.claim.RunID, storeErr)
	}
	if state.Type != StateCompleted {
		return &RunError{ID: x.claim.RunID, State: state}
	}
	return nil
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
