package provost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"time"

	"github.com/provost-go/provost/internal/engine"
	"github.com/provost-go/provost/internal/param"
)

// Flow is a typed Go function under a name, with the settings of all its runs. P is its parameter
// type, a struct; R is its result type, any type that encodes to JSON. Make a flow with [NewFlow],
// [NewAction] or [NewJob], then set its fields. Serve copies it: later changes have no effect.
type Flow[P, R any] struct {
	// Name identifies the flow in the store, across builds. The rules of [Deployment.Name] hold.
	Name string

	// Version and Description are the defaults of the flow's deployments.
	Version     string
	Description string

	// Source is the Go source of the flow's function, usually an embed.FS. The doc comment of the
	// function is the default description. The doc comments of P's fields describe the parameters
	// that have no description tag.
	Source fs.FS

	// Retries is how many more attempts a failed run gets. A crash of the process does not count
	// against it. An error marked with [Permanent] ends the run without another attempt.
	Retries int

	// RetryDelay is the time between a failure and the next attempt. Backoff, if set, decides
	// instead: attempt is the number of the attempt that failed, from 1. A negative delay counts as
	// none. [ExponentialBackoff] returns a common one.
	RetryDelay time.Duration
	Backoff    func(attempt int, err error) time.Duration

	// Timeout bounds one attempt: the context of the function ends, and once the function returns
	// the run is Failed, as TimedOut. 0 means no bound.
	Timeout time.Duration

	// AtMostOnce never enters the function twice for one run: the start is stored before the
	// function is entered, and a crash after that is final. It excludes Retries.
	AtMostOnce bool

	// OnCompletion, OnFailure and OnCancellation are hooks. The runner that had the run calls them
	// after the terminal state is stored, each with a context of its own that lasts one minute, up
	// to a hundred at once. Their errors and panics are logged and change nothing.
	//
	// OnFailure is also called for a crash that the run's own runner sees. OnCancellation is not
	// called for a run that was cancelled before it began. No hook is called for a run whose runner
	// died. When Serve ends, hooks get the rest of ShutdownTimeout, at least 5 seconds, and then
	// their context ends. A secret in run.Parameters is a Secret[any].
	OnCompletion   func(ctx context.Context, run *Run) error
	OnFailure      func(ctx context.Context, run *Run) error
	OnCancellation func(ctx context.Context, run *Run) error

	call     func(context.Context, P) (R, error)
	function any // as the user gave it; call may be a wrapper
}

// None is the parameter type of a flow without parameters, and the result type of one without a
// result.
type None struct{}

// NewFlow returns a flow for a function that takes parameters and returns a result.
//
// The goroutine that calls the function may call others afterwards. A function that locks the
// goroutine to its thread (runtime.LockOSThread) or labels it for profiles must undo that before it
// returns.
func NewFlow[P, R any](name string, function func(ctx context.Context, params P) (R, error)) *Flow[P, R] {
	return &Flow[P, R]{Name: name, call: function, function: function}
}

// NewAction returns a flow for a function that takes parameters and returns no result.
func NewAction[P any](name string, function func(ctx context.Context, params P) error) *Flow[P, None] {
	f := &Flow[P, None]{Name: name, function: function}
	if function != nil {
		f.call = func(ctx context.Context, p P) (None, error) { return None{}, function(ctx, p) }
	}
	return f
}

// NewJob returns a flow for a function that takes no parameters and returns no result.
func NewJob(name string, function func(ctx context.Context) error) *Flow[None, None] {
	f := &Flow[None, None]{Name: name, function: function}
	if function != nil {
		f.call = func(ctx context.Context, _ None) (None, error) { return None{}, function(ctx) }
	}
	return f
}

// Run calls the flow's function. Inside another run the call is recorded as a child run, with the
// flow's Timeout and Retries, and ends with its parent at the latest. Elsewhere Run is a plain
// call, without defaults, retries or timeout.
func (f *Flow[P, R]) Run(ctx context.Context, params P) (R, error) {
	if f == nil || f.call == nil {
		var none R
		return none, errors.New("provost: Flow.Run: the flow has no function; make it with NewFlow, NewAction or NewJob")
	}
	if parent := engine.FromContext(ctx); parent != nil {
		return runChild(ctx, parent, f, params)
	}
	return f.call(ctx, params)
}

// runChild runs the flow inside another run: recorded, with the flow's Timeout and Retries, in the
// caller's goroutine. If the store refuses the child run, the function is not called.
func runChild[P, R any](ctx context.Context, parent *engine.Execution, f *Flow[P, R], params P) (R, error) {
	i := &typedInvocation[P, R]{function: f.call, params: params}
	encoded, err := param.Encode(params)
	if err != nil {
		return i.returned, fmt.Errorf("child run of flow %q: %w", f.Name, err)
	}
	err = parent.RunChild(ctx, f.erase(), reflect.ValueOf(params), encoded, i)
	return i.returned, err
}

// Params turns a typed value into parameters. Top-level fields with zero values are left out, so
// that lower layers show through; use a pointer field to send an explicit zero. A value that does
// not encode is reported by whatever takes the parameters, for example [Deployment.Validate].
// Secrets are in the result in clear.
func (f *Flow[P, R]) Params(params P) Params {
	encoded, err := param.Encode(params)
	if err != nil {
		return Params{"": err} // refused by name wherever parameters are taken
	}
	return encoded
}

// Decode turns parameters into the flow's parameter type, with the defaults of its fields. The
// error is a *[ParamError].
func (f *Flow[P, R]) Decode(params Params) (P, error) {
	var p P
	err := param.Decode(params, &p)
	return p, err
}

// DecodeJSON is Decode for JSON text, such as the body of a request. The text must fit the schema
// of P: unknown keys, a key that comes twice and everything that the tags of P exclude are refused.
// The error is a *[ParamError], or several joined.
func (f *Flow[P, R]) DecodeJSON(text []byte) (P, error) {
	var p P
	err := param.DecodeJSON(text, &p)
	return p, err
}

// Result returns what a run of this flow returned. For a run that is not COMPLETED the error is a
// *[RunError].
func (f *Flow[P, R]) Result(run *Run) (R, error) {
	var r R
	switch {
	case run == nil:
		return r, errors.New("provost: Flow.Result: the run is nil")
	case run.State.Type != StateCompleted:
		return r, &RunError{ID: run.ID, State: run.State}
	case len(run.Result) == 0:
		if reflect.TypeFor[R]() == reflect.TypeFor[None]() {
			return r, nil
		}
		return r, fmt.Errorf("provost: run %s has no stored result: %s", run.ID, run.State)
	}
	err := param.DecodeResult(run.Result, &r)
	return r, err
}

// AnyFlow is a *[Flow] of any types. No other type implements it.
type AnyFlow interface {
	flowName() string
	erase() *engine.Flow
}

func (f *Flow[P, R]) flowName() string {
	if f == nil {
		return ""
	}
	return f.Name
}

func (f *Flow[P, R]) erase() *engine.Flow {
	c := *f
	erased := &engine.Flow{
		Name: c.Name, Version: c.Version, Description: c.Description, Source: c.Source,
		Retries: c.Retries, RetryDelay: c.RetryDelay, Backoff: c.Backoff, Timeout: c.Timeout, AtMostOnce: c.AtMostOnce,
		OnCompletion: c.OnCompletion, OnFailure: c.OnFailure, OnCancellation: c.OnCancellation,
		Params: reflect.TypeFor[P](), Result: reflect.TypeFor[R](),
	}
	if c.call != nil {
		erased.Function = c.function
		erased.Prepare = func(params Params, schema *param.Schema, derived bool) (_ engine.Invocation, err error) {
			defer param.Recover(&err)
			i := &typedInvocation[P, R]{function: c.call}
			if err := param.DecodeChecked(params, schema, derived, &i.params); err != nil {
				return nil, err
			}
			return i, nil
		}
	}
	return erased
}

type typedInvocation[P, R any] struct {
	function func(context.Context, P) (R, error)
	params   P
	returned R
}

func (i *typedInvocation[P, R]) Call(ctx context.Context) (err error) {
	i.returned, err = i.function(ctx, i.params)
	return err
}

func (i *typedInvocation[P, R]) Result() (_ json.RawMessage, err error) {
	defer param.Recover(&err)
	if _, none := any(i.returned).(None); none {
		return nil, nil
	}
	return param.EncodeResult(i.returned)
}

// nilFlow reports whether there is no flow, or a nil *Flow.
func nilFlow(f AnyFlow) bool {
	return f == nil || reflect.ValueOf(f).IsNil()
}
