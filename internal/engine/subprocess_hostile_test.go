package engine

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/provost-go/provost/internal/rpc"
	"github.com/provost-go/provost/store"
)

// These tests are about subprocesses that die, or send something unexpected, at the worst moment.

// pipePair returns both ends of the pipes between a runner and a subprocess.
func pipePair(t *testing.T) (runner, subprocess *pipes) {
	t.Helper()
	fromRunner, toSubprocess, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fromSubprocess, toRunner, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	runner, subprocess = &pipes{in: fromSubprocess, out: toSubprocess}, &pipes{in: fromRunner, out: toRunner}
	t.Cleanup(func() { runner.Close(); subprocess.Close() }) // some are closed already
	return runner, subprocess
}

// TestMessagesOfDeadSubprocessAreRead checks that the runner reads the end of the run even if a
// write finds the subprocess dead first. If the end were lost, the run would be executed again.
func TestMessagesOfDeadSubprocessAreRead(t *testing.T) {
	runner, subprocess := pipePair(t)
	const before = 5
	sender := rpc.NewConn(subprocess)
	go sender.Write(t.Context()) // it ends with the test's context or the pipe
	for range before {
		if err := sender.Put(t.Context(), rpc.Frame{Kind: frameLog, Body: make([]byte, 8<<10)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(sender.Send(t.Context(), frameEnd, struct{}{}), sender.Flush(t.Context()), subprocess.Close()); err != nil {
		t.Fatal(err)
	}
	received, ended := 0, false
	receiver := rpc.NewConn(runner)
	err := receiver.Run(t.Context(), func(kind rpc.Kind, _ []byte) error {
		if received++; received == 1 {
			_ = receiver.Send(t.Context(), frameStop, struct{}{})
			<-receiver.Closed // the write has failed
		}
		ended = kind == frameEnd
		return nil
	})
	if err != nil || received != before+1 || !ended {
		t.Errorf("%d messages of %d, the end %v, error %v", received, before+1, ended, err)
	}
}

// TestUnresponsiveSubprocessIsGivenUp checks that the runner does not wait for ever for the end of
// a pipe that a subprocess keeps open after it has stopped reading.
func TestUnresponsiveSubprocessIsGivenUp(t *testing.T) {
	runner, subprocess := pipePair(t)
	if err := subprocess.in.Close(); err != nil {
		t.Fatal(err)
	}
	conn := rpc.NewConn(runner)
	if err := conn.Send(t.Context(), frameStop, struct{}{}); err != nil {
		t.Fatal(err)
	}
	err := conn.Run(t.Context(), func(rpc.Kind, []byte) error { return nil })
	if !errors.Is(err, os.ErrDeadlineExceeded) || !isPipeEnd(err) {
		t.Errorf("error is %v", err)
	}
}

// TestTooManyMessagesDoNotBlock checks that the runner keeps reading whatever a subprocess sends.
// Otherwise it would not notice the end of the subprocess.
func TestTooManyMessagesDoNotBlock(t *testing.T) {
	x, p := isolatedExecution(t)
	sp := readySubprocess(p)
	sp.current.Store(x)
	var err error
	for range maxMessages {
		err = errors.Join(err, sp.handle(t.Context(), frameEnd, nil))
	}
	if err != nil {
		t.Error(err)
	}
	if sp.handle(t.Context(), frameEnd, nil) == nil {
		t.Error("one message too many is accepted")
	}
}

// TestRunCancelledBeforeItIsAssigned checks that a run that is cancelled before its subprocess gets
// it costs neither the subprocess nor the time to end it.
func TestRunCancelledBeforeItIsAssigned(t *testing.T) {
	x, p := isolatedExecution(t)
	sp := readySubprocess(p)
	p.put(sp)
	x.cancel(ErrCancelled)
	x.runIsolated()
	if ends := x.executor.completer.ends; len(ends) != 1 || ends[0].update.State.Type != store.StateCancelled || ends[0].update.Attempt != 0 {
		t.Errorf("completed as %+v", ends)
	}
	if len(p.idle) != 1 || sp.runs != 0 {
		t.Errorf("%d idle subprocesses, %d runs assigned to it", len(p.idle), sp.runs)
	}
}

// TestHostedRunWaitsForGo checks that a run that is to end instead does not begin, and that
// permission that comes too late is not for the next run.
func TestHostedRunWaitsForGo(t *testing.T) {
	x, _ := isolatedExecution(t)
	h := &SubprocessHost{assigned: make(chan *hostedRun, 3), base: t.Context()}
	h.assign(assignment{})
	x.cancel(ErrShutdown)
	if (<-h.assigned).awaitGo(x) {
		t.Error("a run that is to end begins")
	}
	h.allow()
	h.assign(assignment{})
	if (<-h.assigned).awaitGo(x) {
		t.Error("the next run begins with the permission of the one before")
	}
	h.assign(assignment{})
	h.allow()
	x, _ = isolatedExecution(t)
	if !(<-h.assigned).awaitGo(x) {
		t.Error("a run with permission does not begin")
	}
}

// TestEndedChildRunsAreForgotten checks that a run that makes child runs for days leaks no memory.
func TestEndedChildRunsAreForgotten(t *testing.T) {
	x, p := isolatedExecution(t)
	st := &subprocessStore{Store: x.executor.store, sp: readySubprocess(p)}
	for range 3 {
		run := &store.Run{ID: store.NewID(time.Now())}
		st.sp.addChildRun(x, run)
		if x.executor.children.stop[run.ID] == nil {
			t.Error("the child run cannot be cancelled")
		}
		update := store.RunUpdate{Lease: store.Lease{RunID: run.ID}, State: store.NewState(store.StateCompleted, time.Now(), "")}
		if _, err := st.SettleRuns(t.Context(), store.SettleRunsParams{Now: time.Now(), Updates: []store.RunUpdate{update}}); err != nil {
			t.Error(err)
		}
	}
	if n := len(x.executor.children.stop); n > 0 {
		t.Errorf("%d child runs are left", n)
	}
}
