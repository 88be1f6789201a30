package engine

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/provost-go/provost/internal/rpc"
	"github.com/provost-go/provost/store"
	"github.com/provost-go/provost/store/memory"
)

// These are about children that die, or say strange things, at the worst moment.

// runnerEnd gives the runner's end of a child's pipes, and the child's.
func runnerEnd(t *testing.T) (runner, child *pipes) {
	t.Helper()
	fromRunner, toChild, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fromChild, toRunner, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	runner, child = &pipes{in: fromChild, out: toChild}, &pipes{in: fromRunner, out: toRunner}
	t.Cleanup(func() { runner.Close(); child.Close() }) // again, or for the first time
	return runner, child
}

// TestLastWordsOfChild: the runner speaks to a child that is dead by then, before it has read that the run is completed. To lose
// that would be to execute the run again.
func TestLastWordsOfChild(t *testing.T) {
	runner, child := runnerEnd(t)
	const before = 5
	said := rpc.NewConn(child)
	go said.Write(t.Context())
	for range before {
		if err := said.Put(t.Context(), rpc.Frame{Kind: frameLog, Body: make([]byte, 8<<10)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(said.Send(t.Context(), frameEnd, struct{}{}), said.Flush(t.Context()), child.Close()); err != nil {
		t.Fatal(err)
	}
	heard, ended := 0, false
	l := rpc.NewConn(runner)
	err := l.Run(t.Context(), func(kind rpc.Kind, _ []byte) error {
		if heard++; heard == 1 {
			_ = l.Send(t.Context(), frameStop, struct{}{})
			<-l.Closed // the child is found to be dead
		}
		ended = kind == frameEnd
		return nil
	})
	if err != nil || heard != before+1 || !ended {
		t.Errorf("%d messages of %d, the end %v, error %v", heard, before+1, ended, err)
	}
}

// TestDeafChildIsGivenUp: one that has closed its end, and goes on, is not listened to for ever.
func TestDeafChildIsGivenUp(t *testing.T) {
	runner, child := runnerEnd(t)
	if err := child.in.Close(); err != nil {
		t.Fatal(err)
	}
	l := rpc.NewConn(runner)
	if err := l.Send(t.Context(), frameStop, struct{}{}); err != nil {
		t.Fatal(err)
	}
	err := l.Run(t.Context(), func(rpc.Kind, []byte) error { return nil })
	if !errors.Is(err, os.ErrDeadlineExceeded) || !brokenPipe(err) {
		t.Errorf("error is %v", err)
	}
}

// isolatedAttempt returns a run as it is handed to a subprocess.
func isolatedAttempt(t *testing.T) (x *Execution, p *subprocessPool) {
	t.Helper()
	a := testAccess(memory.New())
	leases := NewLeaseKeeper(a, 30*time.Second)
	p = newSubprocessPool(a, Config{Limit: 10, RunsPerChild: 9}, leases.children)
	completer := NewCompleter(a, leases)
	e := &executor{Access: a, context: t.Context(), completer: completer, children: leases.children, processes: p}
	e.reporter = &storeReporter{Access: a, leases: leases, completer: completer, slots: newSlots(10), runLogger: newRunLogger(a.log)}
	d := &Deployment{Name: "d", Flow: &Flow{Name: "f"}, Isolated: true}
	return e.newExecution(store.Claim{Lease: store.Lease{RunID: store.NewID(time.Now()), Token: 7}}, d, time.Now()), p
}

func readyChild(p *subprocessPool) *subprocess {
	c := &subprocess{pool: p, ready: make(chan struct{}), done: make(chan struct{}), messages: make(chan rpc.Frame, maxMessages)}
	close(c.ready)
	return c
}

// TestChildThatSaysTooMuch: whatever it says, its pipe is read on, or nobody would see its end.
func TestChildThatSaysTooMuch(t *testing.T) {
	x, p := isolatedAttempt(t)
	c := readyChild(p)
	c.current.Store(x)
	var err error
	for range maxMessages {
		err = errors.Join(err, c.handle(t.Context(), frameEnd, nil))
	}
	if err != nil {
		t.Error(err)
	}
	if c.handle(t.Context(), frameEnd, nil) == nil {
		t.Error("nobody minds")
	}
}

// TestRunCancelledBeforeItsChildKnows costs neither a child nor the time to end one.
func TestRunCancelledBeforeItsChildKnows(t *testing.T) {
	x, p := isolatedAttempt(t)
	c := readyChild(p)
	p.put(c)
	x.cancel(errCancelled)
	x.runIsolated()
	if ends := x.executor.completer.ends; len(ends) != 1 || ends[0].update.State.Type != store.StateCancelled || ends[0].update.Attempt != 0 {
		t.Errorf("settled as %+v", ends)
	}
	if len(p.idle) != 1 || c.runs != 0 {
		t.Errorf("%d idle children, %d runs given to it", len(p.idle), c.runs)
	}
}

// TestChildAwaitsLeaveToBegin: a run that is to end instead does not begin, and what comes too late is not for the next run.
func TestChildAwaitsLeaveToBegin(t *testing.T) {
	x, _ := isolatedAttempt(t)
	c := &SubprocessHost{assigned: make(chan *hostedRun, 3), base: t.Context()}
	c.assign(assignment{})
	x.cancel(errShutdown)
	if c.await(x) {
		t.Error("it begins all the same")
	}
	c.allow()
	c.assign(assignment{})
	if c.await(x) {
		t.Error("the next run begins with the leave of the one before")
	}
	c.assign(assignment{})
	c.allow()
	x, _ = isolatedAttempt(t)
	if !c.await(x) {
		t.Error("it does not begin")
	}
}

// TestChildRunsAreForgotten: a run that makes child runs for days is no leak.
func TestChildRunsAreForgotten(t *testing.T) {
	x, p := isolatedAttempt(t)
	c := readyChild(p)
	st := &subprocessStore{Store: x.executor.store, child: c}
	for range 3 {
		run := &store.Run{ID: store.NewID(time.Now())}
		c.noteChildRun(x, run)
		if x.executor.children.stop[run.ID] == nil {
			t.Error("nobody can cancel it")
		}
		update := store.RunUpdate{Lease: store.Lease{RunID: run.ID}, State: store.NewState(store.StateCompleted, time.Now(), "")}
		if _, err := st.SettleRuns(t.Context(), store.SettleRunsParams{Now: time.Now(), Updates: []store.RunUpdate{update}}); err != nil {
			t.Error(err)
		}
	}
	if n := len(x.executor.children.stop); n > 0 {
		t.Errorf("%d stand-ins are left", n)
	}
}
