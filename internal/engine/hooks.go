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
	maxHooks     = 100             // at once; the rest waits
	minHookGrace = 5 * time.Second // what hooks get when Serve ends, though ShutdownTimeout be over
)

// hooks are calls of flows' hooks, each in a goroutine of its own, so many at once.
type hooks struct {
	all sync.WaitGroup

	// mu guards what follows; nothing blocks under it.
	mu      sync.Mutex
	running int
	queue   []hookCall
	cut     context.CancelFunc // ends the contexts of all
	context context.Context
}

// hookCall is a hook to be called for a run whose terminal state is stored.
type hookCall struct {
	x     *Execution
	state store.StateType
	hook  func(context.Context, *store.Run) error
}

// hookOf is the flow's hook for a terminal state, nil if it has none. A cancelled run that had not begun has none.
func (x *Execution) hookOf(state store.StateType) func(context.Context, *store.Run) error {
	switch f := x.served.Flow; {
	case state == store.StateCompleted:
		return f.OnCompletion
	case state == store.StateFailed, state == store.StateCrashed:
		return f.OnFailure
	case state == store.StateCancelled && x.started.Load():
		return f.OnCancellation
	}
	return nil
}

// callHook has the flow's hook for a terminal state called.
func (s *Engine) callHook(x *Execution, state store.StateType) {
	hook := x.hookOf(state)
	if hook == nil {
		return
	}
	call := hookCall{x, state, hook}
	h := &s.hooks
	h.all.Add(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.context == nil {
		h.context, h.cut = context.WithCancel(s.FlowContext)
	}
	if h.running < maxHooks {
		h.running++
		go s.runHook(call)
	} else {
		h.queue = append(h.queue, call)
	}
}

// waiting is how many hooks have not begun.
func (h *hooks) waiting() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.queue)
}

// runHook calls one hook, which may end the goroutine, and starts the next.
func (s *Engine) runHook(call hookCall) {
	defer s.hooks.next(s)
	err := errors.New("runtime.Goexit was called")
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n\n%s", v, debug.Stack())
		}
		if err != nil {
			x := call.x
			s.log.Error("hook", "flow", x.served.Flow.Name, "id", x.Claim.RunID, "state", string(call.state), "error", x.redactor().Error(err))
		}
	}()
	ctx, cancel := context.WithTimeout(s.hooks.context, hookTimeout)
	defer cancel()
	var run *store.Run
	if run, err = s.endedRun(ctx, call.x); err == nil {
		err = errors.New("runtime.Goexit was called")
		err = call.hook(ctx, run)
	}
}

// next starts the hook that has waited longest, in the place of one that has returned. The feeder may have waited for fewer to
// be left.
func (h *hooks) next(s *Engine) {
	h.mu.Lock()
	full := len(h.queue) > maxUnsettled
	if len(h.queue) > 0 {
		go s.runHook(h.queue[0])
		h.queue[0] = hookCall{}
		h.queue = h.queue[1:]
	} else {
		h.running--
	}
	h.mu.Unlock()
	if full {
		s.wakeStarved()
	}
	h.all.Done()
}

// endedRun reads the run for its hook, for as long as the hook has time: its state is stored, and the store may fail just now.
func (s *Engine) endedRun(ctx context.Context, x *Execution) (*store.Run, error) {
	var retry retry
	for {
		callCtx, cancel := s.storeCall(ctx)
		run, err := s.store.GetRun(callCtx, x.Claim.RunID)
		cancel()
		switch {
		case err == nil:
			run.Parameters = x.served.Secrets.WrapSecrets(run.Parameters)
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

// awaitHooks gives the hooks what is left of ShutdownTimeout since Serve's context ended, but a little at least, then ends their
// contexts, and gives up soon after: a hook that ignores the end of its context does not keep Serve.
func (s *Engine) awaitHooks(left time.Time) error {
	h := &s.hooks
	returned := make(chan struct{})
	go func() {
		h.all.Wait()
		close(returned)
	}()
	if s.ShutdownTimeout < 0 {
		<-returned
		return nil
	}
	if waitFor(returned, max(minHookGrace, s.ShutdownTimeout-time.Since(left))) {
		return nil
	}
	h.mu.Lock()
	dropped := len(h.queue)
	h.queue = nil
	h.mu.Unlock()
	h.all.Add(-dropped)
	if dropped > 0 {
		s.log.Error("hooks not called: Serve is ending", "count", dropped)
	}
	h.cut()
	if !waitFor(returned, unresponsiveTimeout) {
		return fmt.Errorf("%w: a hook is still running", ErrDrainTimeout)
	}
	return nil
}
