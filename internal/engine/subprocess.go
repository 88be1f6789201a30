package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/proc"
	"github.com/provost-go/provost/internal/rpc"
	"github.com/provost-go/provost/internal/wire"
	"github.com/provost-go/provost/store"
)

// subprocess is a subprocess as its runner sees it: this program, started again. It executes one
// run at a time.
type subprocess struct {
	pool    *subprocessPool
	process *proc.Process
	nonce   string
	pipes   *pipes
	conn    *rpc.Conn
	server  *rpc.Server // serves the runner's store
	stdout  *outputStream
	stderr  *outputStream

	current   atomic.Pointer[Execution] // the run that it executes; nil between runs
	childRuns sync.Map                  // the func() that removes a child run under way from pool.children, by ID
	runs      int                       // assigned to it so far
	idleSince time.Time                 // guarded by pool.mu

	ready    chan struct{}  // closed when it has said hello
	messages chan rpc.Frame // about the current run
	drained  chan struct{}  // receives once for each stream whose mark ends the run
	done     chan struct{}  // closed when nothing of it is left

	// What follows is set before done is closed.
	exit  proc.Exit
	fault error // why the runner closed the connection; nil if the subprocess did
}

const (
	exitTimeout  = 2 * time.Second // for a subprocess to exit after its pipe is closed, and to take a message
	drainTimeout = time.Second     // for output that a process outside of the group may hold up
)

// maxMessages is how many messages a subprocess sends about a run: that it begins, and its end.
const maxMessages = 2

// run serves the subprocess until its pipe ends, and then makes sure that nothing of it is left.
func (sp *subprocess) run() {
	var readers sync.WaitGroup
	readers.Go(sp.stdout.read)
	readers.Go(sp.stderr.read)
	ctx, cancel := context.WithCancel(context.Background())
	sp.server = rpc.NewServer(&subprocessStore{Store: sp.pool.store, sp: sp}, func(ctx context.Context, a rpc.Answer) error {
		return sp.conn.Send(ctx, rpc.KindAnswer, a)
	})
	exited := make(chan struct{})
	go func() { // run waits for it
		defer close(exited)
		sp.exit = sp.process.Wait()
		_ = sp.pipes.Drain() // if the system has no deadlines for pipes, the end of the pipe must do
	}()
	err := sp.conn.Run(ctx, func(kind rpc.Kind, body []byte) error { return sp.handle(ctx, kind, body) })
	cancel()
	sp.server.Wait()
	if !isPipeEnd(err) {
		sp.fault = err
		sp.kill()
	}
	if !waitFor(exited, exitTimeout) {
		sp.fault = errors.New("it closed its pipe to the runner and kept running")
		sp.kill()
		<-exited
	}
	sp.finishOutput(&readers)
	sp.pool.forget(sp)
	close(sp.done)
}

// isPipeEnd reports whether err, of a connection, means that the other end closed its pipe or died.
// It returns true for nil.
func isPipeEnd(err error) bool {
	return err == nil || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.EPIPE) || errors.Is(err, os.ErrClosed) ||
		errors.Is(err, context.Canceled) || errors.Is(err, os.ErrDeadlineExceeded) // a pipe that is drained has a deadline
}

// finishOutput reads what is left of the output. The group is dead by now: only a process that has
// left it can keep the pipes open.
func (sp *subprocess) finishOutput(readers *sync.WaitGroup) {
	finished := make(chan struct{})
	go func() { // finishOutput waits for it
		readers.Wait()
		close(finished)
	}()
	late := !waitFor(finished, drainTimeout)
	_ = sp.stdout.file.Close() // only read from
	_ = sp.stderr.file.Close()
	if late {
		<-finished
	}
}

// handle handles one message. An error ends the connection and the subprocess.
func (sp *subprocess) handle(ctx context.Context, kind rpc.Kind, body []byte) error {
	if kind != rpc.KindCall && len(body) > maxSubprocessMessage {
		return fmt.Errorf("it sent a message of %d bytes, more than the %d that are allowed", len(body), maxSubprocessMessage)
	}
	switch kind {
	case rpc.KindCall:
		call, err := rpc.ReadMessage[rpc.Call](kind, rpc.KindCall, body)
		if err != nil {
			return err
		}
		sp.server.Handle(ctx, call)
		return nil
	case frameHello:
		return sp.greet(body)
	case frameLog:
		line, err := rpc.ReadMessage[logLine](kind, frameLog, body)
		if err != nil {
			return err
		}
		sp.log(line)
		return nil
	case frameLearn:
		secrets, err := rpc.ReadMessage[secretsMessage](kind, frameLearn, body)
		if x := sp.current.Load(); err == nil && x != nil {
			x.secrets.Learn(secrets.Values)
		}
		return err
	case frameBegin, frameEnd, frameRefuse:
		if sp.current.Load() == nil {
			return errors.New("it sent a message about a run and has none")
		}
		select {
		case sp.messages <- rpc.Frame{Kind: kind, Body: body}:
			return nil
		default: // waiting could block for ever: nobody receives after the end of the run
			return errors.New("it sent more messages about a run than there are to send")
		}
	default:
		return fmt.Errorf("it sent a message of unknown kind %d", kind)
	}
}

// greet handles the first message of a subprocess.
func (sp *subprocess) greet(body []byte) error {
	var hello helloMessage
	if err := wire.Read(body, &hello); err != nil {
		return err
	}
	switch {
	case hello.Nonce != sp.nonce:
		return errors.New("it sent a nonce that is not the one it was given")
	case hello.Build != sp.pool.build:
		return errors.New("it " + otherBuild)
	}
	select {
	case <-sp.ready:
		return errors.New("it said hello twice")
	default:
		close(sp.ready)
		return nil
	}
}

// log writes a line to the log of the run, or to the runner's logger alone.
func (sp *subprocess) log(line logLine) {
	log := sp.pool.log
	if line.Run {
		x := sp.current.Load()
		if x == nil {
			return // the flow has returned, and something that it left running still logs
		}
		log = x.Logger()
	}
	line.write(log)
}

// isReady reports whether the subprocess has said hello.
func (sp *subprocess) isReady() bool {
	select {
	case <-sp.ready:
		return true
	default:
		return false
	}
}

// exitText describes for people how the process ended, to follow its name in a sentence.
func (sp *subprocess) exitText() string {
	var text string
	switch {
	case sp.exit.Err != nil:
		text = fmt.Sprintf("ended, and the system does not say how: %v", sp.exit.Err)
	case sp.exit.Signal != "":
		text = "was killed by a signal: " + sp.exit.Signal
	default:
		text = fmt.Sprintf("exited with code %d", sp.exit.Code)
	}
	if sp.exit.PeakMemory > 0 {
		text += fmt.Sprintf("; peak memory %d MiB", sp.exit.PeakMemory/mebi)
	}
	return text
}

// kill ends the group at once. If that fails it can only log the error.
func (sp *subprocess) kill() {
	if err := sp.process.Kill(); err != nil {
		sp.pool.log.Error("kill subprocess", "pid", sp.process.Pid(), "error", err)
	}
}

// terminate asks the group to end. Where the system has no such request, it kills the group.
func (sp *subprocess) terminate() {
	if err := sp.process.Terminate(); err != nil {
		sp.kill()
	}
}

// dismiss tells a subprocess without a run to exit, and kills it if it does not.
func (sp *subprocess) dismiss() {
	ctx, cancel := context.WithTimeout(context.Background(), exitTimeout)
	defer cancel()
	if err := sp.conn.Send(ctx, frameBye, struct{}{}); err != nil || !waitFor(sp.done, exitTimeout) {
		sp.kill()
	}
}

// stop ends the context of a run or a child run in the subprocess.
func (sp *subprocess) stop(id uuid.UUID, cause error) {
	sp.send(frameStop, stopMessage{RunID: id, Cause: stopCause(cause)})
}

// send sends a message, even for a run whose context has ended. It ignores errors: a subprocess
// that cannot be reached is gone, or unresponsive and killed soon.
func (sp *subprocess) send(kind rpc.Kind, message any) {
	ctx, cancel := context.WithTimeout(context.Background(), exitTimeout)
	defer cancel()
	_ = sp.conn.Send(ctx, kind, message)
}

// addChildRun makes a child run in the subprocess cancellable until it ends or the execution of
// its parent is completed.
func (sp *subprocess) addChildRun(x *Execution, run *store.Run) {
	all := sp.pool.children
	all.add(run.ID, func(cause error) {
		sp.pool.goroutines.Go(func() { sp.stop(run.ID, cause) }) // the caller must not wait for an unresponsive process
	})
	keep := context.AfterFunc(x, func() { all.remove(run.ID) }) // the context of x ends when x is completed
	sp.childRuns.Store(run.ID, func() {
		if keep() {
			all.remove(run.ID)
		}
	})
}

// removeChildRun removes a child run that has ended.
func (sp *subprocess) removeChildRun(id uuid.UUID) {
	if remove, ok := sp.childRuns.LoadAndDelete(id); ok {
		remove.(func())()
	}
}
