package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/provost-go/provost/store"
)

const (
	hookTimeout  = time.Minute
	maxHooks     = 100             // at once; the others wait
	minHookGrace = 5 * time.Second // for hooks when Serve ends, even if ShutdownTimeout has passed
)

// hooks calls flows' hooks, each in a goroutine of its own. Its wait waits for them.
type hooks struct {
	*Access
	relieved func() // called once no more than maxUnwritten hooks wait, after there were more

	all sync.WaitGroup

	// mu guards what follows; nothing blocks under it.
	mu      sync.Mutex
	running int
	queue   []hookCall
	cut     context.CancelFunc // ends the contexts of all hooks
	context context.Context
}

// hookCall is a hook to be called for a run whose terminal state is stored.
type hookCall struct {
	x     *Execution
	state store.StateType
	hook  func(context.Context, *store.Run) error
}

// hookOf returns the flow's hook for a terminal state, nil if it has none. A cancelled run that had
// not begun has none.
func (x *Execution) hookOf(state store.StateType) func(context.Context, *store.Run) error {
	switch f := x.deployment.Flow; {
	case state == store.StateCompleted:
		return f.OnCompletion
	case state == store.StateFailed, state == store.StateCrashed:
		return f.OnFailure
	case state == store.StateCancelled && x.started.Load():
		return f.OnCancellation
	}
	return nil
}

// add has the flow's hook for a terminal state called, if there is one.
func (h *hooks) add(x *Execution, state store.StateType) {
	hook := x.hookOf(state)
	if hook == nil {
		return
	}
	call := hookCall{x, state, hook}
	h.all.Add(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.context == nil {
		h.context, h.cut = context.WithCancel(x.executor.context)
	}
	if h.running < maxHooks {
		h.running++
		go h.run(call)
	} else {
		h.queue = append(h.queue, call)
	}
}

// waiting returns the number of hooks that have not begun.
func (h *hooks) waiting() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.queue)
}

// run calls one hook, which may end the goroutine, and starts the next.
func (h *hooks) run(call hookCall) {
	defer h.next()
	err := errors.New("runtime.Goexit was called")
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n\n%s", v, debug.Stack())
		}
		if err != nil {
			x := call.x
			h.log.Error("hook", "flow", x.deployment.Flow.Name, "id", x.claim.RunID, "state", string(call.state), "error", x.redactor().Error(err))
		}
	}()
	ctx, cancel := context.WithTimeout(h.context, hookTimeout)
	defer cancel()
	var run *store.Run
	if run, err = h.read(ctx, call.x); err == nil {
		err = errors.New("runtime.Goexit was called")
		err = call.hook(ctx, run)
	}
}

// next starts the hook that has waited longest in place of one that has returned.
func (h *hooks) next() {
	h.mu.Lock()
	full := len(h.queue) > maxUnwritten
	if len(h.queue) > 0 {
		go h.run(h.queue[0])
		h.queue[0] = hookCall{}
		h.queue = h.queue[1:]
	} else {
		h.running--
	}
	h.mu.Unlock()
	if full {
		h.relieved()
	}
	h.all.Done()
}

// read reads the run for its hook, for as long as the hook has time: its state is stored, and the
// store may fail just now.
func (h *hooks) read(ctx context.Context, x *Execution) (*store.Run, error) {
	var retry retry
	for {
		callCtx, cancel := h.call(ctx)
		run, err := h.store.GetRun(callCtx, x.claim.RunID)
		cancel()
		switch {
		case err == nil:
			run.Parameters = x.deployment.Secrets.WrapSecrets(run.Parameters)
			return run, nil
		case errors.Is(err, store.ErrNotFound):
			return nil, err
		}
		retry.failed()
		if !sleep(ctx, time.Until(retry.at)) {
			return nil, err
		}
	}
}

// wait gives the hooks what is left of timeout since Serve's context ended, at least minHookGrace;
// -1 is no bound. Then it ends their contexts and gives up soon after: a hook that ignores the end
// of its context does not keep Serve.
func (h *hooks) wait(timeout time.Duration, since time.Time) error {
	returned := make(chan struct{})
	go func() {
		h.all.Wait()
		close(returned)
	}()
	if timeout < 0 {
		<-returned
		return nil
	}
	if waitFor(returned, max(minHookGrace, timeout-time.Since(since))) {
		return nil
	}
	h.mu.Lock()
	dropped := len(h.queue)
	h.queue = nil
	h.mu.Unlock()
	h.all.Add(-dropped)
	if dropped > 0 {
		h.log.Error("hooks not called: Serve is ending", "count", dropped)
	}
	h.cut()
	if !waitFor(returned, unresponsiveTimeout) {
		return fmt.Errorf("%w: a hook is still running", ErrDrainTimeout)
	}
	return nil
}
