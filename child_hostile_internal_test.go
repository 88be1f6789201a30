package provost

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
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
	said := newLink(child)
	go said.write(t.Context())
	for range before {
		if err := said.put(t.Context(), frame{kind: frameLog, body: make([]byte, 8<<10)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(said.send(t.Context(), frameEnd, struct{}{}), said.flush(t.Context()), child.Close()); err != nil {
		t.Fatal(err)
	}
	heard, ended := 0, false
	l := newLink(runner)
	err := l.run(t.Context(), func(kind frameKind, _ []byte) error {
		if heard++; heard == 1 {
			_ = l.send(t.Context(), frameStop, struct{}{})
			<-l.closed // the child is found to be dead
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
	l := newLink(runner)
	if err := l.send(t.Context(), frameStop, struct{}{}); err != nil {
		t.Fatal(err)
	}
	err := l.run(t.Context(), func(frameKind, []byte) error { return nil })
	if !errors.Is(err, os.ErrDeadlineExceeded) || !brokenPipe(err) {
		t.Errorf("error is %v", err)
	}
}

// isolatedAttempt is a run as it is handed to a child.
func isolatedAttempt(t *testing.T) (x *execution, p *childPool) {
	t.Helper()
	s := &server{
		log: slog.New(slog.DiscardHandler), settler: newSettler(), events: newRunEvents(slog.New(slog.DiscardHandler)),
		children: make(map[uuid.UUID]*execution), store: NewMemoryStore(),
	}
	s.outages = newOutages(s.log, nil)
	p = &childPool{server: s, runsPerChild: 9, wake: make(chan struct{}, 1), all: make(map[*childProcess]struct{})}
	s.processes = p
	x = &execution{server: s, served: &served{name: "d", flow: &flow{name: "f"}, isolated: true}, attempt: 1}
	x.claim.Lease = Lease{RunID: newID(time.Now()), Token: 7}
	x.Context, x.cancel = context.WithCancelCause(t.Context())
	return x, p
}

func readyChild(p *childPool) *childProcess {
	c := &childProcess{pool: p, ready: make(chan struct{}), done: make(chan struct{}), messages: make(chan frame, maxMessages)}
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
	if ends := x.server.settler.ends; len(ends) != 1 || ends[0].update.State.Type != StateCancelled || ends[0].update.Attempt != 0 {
		t.Errorf("settled as %+v", ends)
	}
	if len(p.idle) != 1 || c.runs != 0 {
		t.Errorf("%d idle children, %d runs given to it", len(p.idle), c.runs)
	}
}

// TestChildAwaitsLeaveToBegin: a run that is to end instead does not begin, and what comes too late is not for the next run.
func TestChildAwaitsLeaveToBegin(t *testing.T) {
	x, _ := isolatedAttempt(t)
	c := &childSide{assigned: make(chan *assignment, 3), base: t.Context()}
	c.assign(childRun{})
	x.cancel(errShutdown)
	if c.await(x) {
		t.Error("it begins all the same")
	}
	c.allow()
	c.assign(childRun{})
	if c.await(x) {
		t.Error("the next run begins with the leave of the one before")
	}
	c.assign(childRun{})
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
	store := &childStore{Store: x.server.store, child: c}
	for range 3 {
		run := &Run{ID: newID(time.Now())}
		c.noteChildRun(x, run)
		if x.server.children[run.ID] == nil {
			t.Error("nobody can cancel it")
		}
		update := RunUpdate{Lease: Lease{RunID: run.ID}, State: newState(StateCompleted, time.Now(), "")}
		if _, err := store.SettleRuns(t.Context(), SettleRunsParams{Now: time.Now(), Updates: []RunUpdate{update}}); err != nil {
			t.Error(err)
		}
	}
	if n := len(x.server.children); n > 0 {
		t.Errorf("%d stand-ins are left", n)
	}
}
