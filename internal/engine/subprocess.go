package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
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

// childProcess is a child process as its runner sees it: this program, started again.
type subprocess struct {
	pool    *subprocessPool
	process *proc.Process
	nonce   string
	pipes   *pipes
	link    *rpc.Conn
	store   *rpc.Server
	stdout  *outputStream
	stderr  *outputStream

	current   atomic.Pointer[Execution] // the run that it has
	childRuns sync.Map                  // by ID, of child runs that have not ended: what takes their stand-in away
	runs      int                       // that it was given
	idle      time.Time                 // since when; guarded by childPool.mu

	ready    chan struct{}  // closed when it has said hello
	messages chan rpc.Frame // about the run
	drained  chan struct{}  // one stream has the mark that ends a run
	done     chan struct{}  // closed when nothing is left of it

	// What follows is set when done is closed.
	exit  proc.Exit
	fault error // why the runner gave its pipe up
}

const (
	startTimeout = 10 * time.Second // to get as far as Serve or ServeChild
	exitTimeout  = 2 * time.Second  // to end once its pipe is closed
	drainTimeout = time.Second      // for output that a process outside of the group may hold up
)

// maxMessages is how much a child says of a run: that it begins, and its end.
const maxMessages = 2

// programArgs is the command line, also where main changes os.Args.
var programArgs = slices.Clone(os.Args)

// startChild starts this program as a child.
func (p *subprocessPool) startChild() (*subprocess, error) {
	path, err := proc.Executable()
	if err != nil {
		return nil, fmt.Errorf("start a child process: %w", err)
	}
	death, err := proc.ParentDeath()
	if err != nil {
		return nil, fmt.Errorf("start a child process: %w", err)
	}
	var ends [4][2]*os.File // to the child, from it, its output, its errors
	for i := range ends {
		if ends[i][0], ends[i][1], err = os.Pipe(); err != nil {
			closeAll(ends[:i])
			return nil, fmt.Errorf("start a child process: %w", err)
		}
	}
	c := &subprocess{
		pool: p, nonce: rand.Text(),
		ready: make(chan struct{}), messages: make(chan rpc.Frame, maxMessages), drained: make(chan struct{}, 2), done: make(chan struct{}),
	}
	command := proc.Command{
		Path: path, Args: programArgs, Stdout: ends[2][1], Stderr: ends[3][1],
		Files: []*os.File{ends[0][0], ends[1][1], death}, Registry: p.registry,
	}
	command.Env = append(os.Environ(), childVariable+"="+c.variable(command.Numbers()))
	c.process, err = proc.Start(command)
	if err != nil {
		closeAll(ends[:])
		return nil, fmt.Errorf("start a child process: %w", err)
	}
	replaced := !proc.StillExecutable(path) // between the question and the start
	for _, theirs := range []*os.File{ends[0][0], ends[1][1], ends[2][1], ends[3][1]} {
		_ = theirs.Close() // they are the child's now
	}
	c.pipes = &pipes{in: ends[1][0], out: ends[0][1]}
	c.link = rpc.NewConn(c.pipes)
	mark := []byte(strings.TrimSuffix(outputMark(c.nonce), "\n"))
	c.stdout = &outputStream{child: c, file: ends[2][0], mark: mark}
	c.stderr = &outputStream{child: c, file: ends[3][0], mark: mark}
	p.mu.Lock()
	p.all[c] = struct{}{}
	closed := p.closed
	p.mu.Unlock()
	p.living.Go(c.live)
	if closed || replaced {
		c.kill()
	}
	if replaced {
		<-c.done
		return nil, errors.New(otherBuild)
	}
	return c, nil
}

func closeAll(ends [][2]*os.File) {
	for _, pair := range ends {
		_ = pair[0].Close() // nothing was written yet
		_ = pair[1].Close()
	}
}

func (c *subprocess) variable(numbers []uintptr) string {
	parts := make([]string, 0, len(numbers)+1)
	for _, n := range numbers {
		parts = append(parts, fmt.Sprint(n))
	}
	return strings.Join(append(parts, c.nonce), ",")
}

// live talks to the child until its pipe ends, and then sees to it that nothing is left of it.
func (c *subprocess) live() {
	var readers sync.WaitGroup
	readers.Go(c.stdout.read)
	readers.Go(c.stderr.read)
	ctx, cancel := context.WithCancel(context.Background())
	c.store = rpc.NewServer(&subprocessStore{Store: c.pool.store, child: c}, func(ctx context.Context, a rpc.Answer) error {
		return c.link.Send(ctx, rpc.KindAnswer, a)
	})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.exit = c.process.Wait()
		_ = c.pipes.Drain() // where there is no such thing the end of the pipe has to do
	}()
	err := c.link.Run(ctx, func(kind rpc.Kind, body []byte) error { return c.handle(ctx, kind, body) })
	cancel()
	c.store.Wait()
	if !brokenPipe(err) {
		c.fault = err
		c.kill()
	}
	if !waitFor(ended, exitTimeout) {
		c.fault = errors.New("it closed its pipe to the runner and went on")
		c.kill()
		<-ended
	}
	c.finishOutput(&readers)
	c.pool.forget(c)
	close(c.done)
}

// brokenPipe says that err, of a link, is the end of the other end, nil included.
func brokenPipe(err error) bool {
	return err == nil || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.EPIPE) || errors.Is(err, os.ErrClosed) ||
		errors.Is(err, context.Canceled) || errors.Is(err, os.ErrDeadlineExceeded) // it fades
}

// finishOutput reads what is left. The group is dead; only a process that has left it can keep the pipes open.
func (c *subprocess) finishOutput(readers *sync.WaitGroup) {
	read := make(chan struct{})
	go func() {
		readers.Wait()
		close(read)
	}()
	late := !waitFor(read, drainTimeout)
	_ = c.stdout.file.Close() // only read from
	_ = c.stderr.file.Close()
	if late {
		<-read
	}
}

func (c *subprocess) handle(ctx context.Context, kind rpc.Kind, body []byte) error {
	if kind != rpc.KindCall && len(body) > maxChildMessage {
		return fmt.Errorf("%w: %d bytes", errTooLong, len(body))
	}
	switch kind {
	case rpc.KindCall:
		call, err := rpc.ReadMessage[rpc.Call](kind, rpc.KindCall, body)
		if err != nil {
			return err
		}
		c.store.Handle(ctx, call)
		return nil
	case frameHello:
		return c.greet(body)
	case frameLog:
		line, err := rpc.ReadMessage[logLine](kind, frameLog, body)
		if err != nil {
			return err
		}
		c.log(line)
		return nil
	case frameLearn:
		secrets, err := rpc.ReadMessage[secretsMessage](kind, frameLearn, body)
		if x := c.current.Load(); err == nil && x != nil {
			x.secrets.Learn(secrets.Values)
		}
		return err
	case frameBegin, frameEnd, frameRefuse:
		if c.current.Load() == nil {
			return errors.New("it speaks of a run, and has none")
		}
		select {
		case c.messages <- rpc.Frame{Kind: kind, Body: body}:
			return nil
		default: // to wait would be to wait for ever: nobody reads after the end of the run
			return errors.New("it says more of a run than there is to say")
		}
	default:
		return fmt.Errorf("a message of unknown kind %d", kind)
	}
}

// log writes a line of the run, or one that is for the runner's logger alone.
func (c *subprocess) log(line logLine) {
	log := c.pool.log
	if line.Run {
		x := c.current.Load()
		if x == nil {
			return // the flow has returned, and what it left running still logs
		}
		log = x.Logger()
	}
	line.write(log)
}

func (c *subprocess) greet(body []byte) error {
	var hello helloMessage
	if err := wire.Read(body, &hello); err != nil {
		return err
	}
	switch {
	case hello.Nonce != c.nonce:
		return errors.New("it does not know the nonce it was given")
	case hello.Build != c.pool.build:
		return errors.New(otherBuild)
	}
	select {
	case <-c.ready:
		return errors.New("it says hello twice")
	default:
		close(c.ready)
		return nil
	}
}

const otherBuild = "it is another build of this program: the executable was replaced; start the runner again"

// await waits until the child is ready for a run, and says why it will never be.
func (c *subprocess) await(ctx context.Context) error {
	timeout := time.NewTimer(startTimeout)
	defer timeout.Stop()
	select {
	case <-c.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.done:
		return c.startFailure(false)
	case <-timeout.C:
		c.kill()
		<-c.done
		return c.startFailure(true)
	}
}

// startFailure says why a child that has ended was never ready for a run.
func (c *subprocess) startFailure(late bool) error {
	switch {
	case late:
		return fmt.Errorf("the child process had %v and did not reach %s%s", startTimeout, reach, c.lastWords())
	case c.fault != nil:
		return fmt.Errorf("the child process was refused: %w", c.fault)
	default:
		return fmt.Errorf("the child process %s before it reached %s%s", c.ending(), reach, c.lastWords())
	}
}

func (c *subprocess) isReady() bool {
	select {
	case <-c.ready:
		return true
	default:
		return false
	}
}

const reach = "provost.ServeChild or provost.Serve; a run is this program started again, so call provost.ServeChild with all deployments " +
	"first thing in main, before it binds ports, takes locks or waits"

// ending is how the process ended, for people.
func (c *subprocess) ending() string {
	var text string
	switch {
	case c.exit.Err != nil:
		text = fmt.Sprintf("ended, nobody knows how: %v", c.exit.Err)
	case c.exit.Signal != "":
		text = "was killed by a signal: " + c.exit.Signal
	default:
		text = fmt.Sprintf("exited with code %d", c.exit.Code)
	}
	if c.exit.PeakMemory > 0 {
		text += fmt.Sprintf("; peak memory %d MiB", c.exit.PeakMemory>>20)
	}
	return text
}

// lastWords is what it said on its standard error while it had no run.
func (c *subprocess) lastWords() string {
	words := c.stderr.lastWords()
	if words == "" {
		return ""
	}
	return ". Its last words: " + words
}

// kill ends the group at once. What it can't kill is beyond help: it says so.
func (c *subprocess) kill() {
	if err := c.process.Kill(); err != nil {
		c.pool.log.Error("kill child process", "pid", c.process.Pid(), "error", err)
	}
}

// terminate asks the group to end; where there is no such request, it is killed.
func (c *subprocess) terminate() {
	if err := c.process.Terminate(); err != nil {
		c.kill()
	}
}

// dismiss lets a child without a run end by itself.
func (c *subprocess) dismiss() {
	ctx, cancel := context.WithTimeout(context.Background(), exitTimeout)
	defer cancel()
	if err := c.link.Send(ctx, frameBye, struct{}{}); err != nil || !waitFor(c.done, exitTimeout) {
		c.kill()
	}
}

// childStore is the runner's store as its child sees it.
type subprocessStore struct {
	store.Store
	child *subprocess
}

// Unwrap gives the store's own abilities.
func (s *subprocessStore) Unwrap() store.Store { return s.Store }

// CreateRun lets the runner know of child runs, so that it can pass on that somebody cancels one.
func (s *subprocessStore) CreateRun(ctx context.Context, p store.CreateRunParams) (*store.Run, error) {
	run, err := s.Store.CreateRun(ctx, p)
	x := s.child.current.Load()
	if err == nil && x != nil && p.Child != nil && p.Child.Parent == x.claim.Lease {
		s.child.noteChildRun(x, run)
	}
	return run, err
}

// SettleRuns lets go of child runs that have ended.
func (s *subprocessStore) SettleRuns(ctx context.Context, p store.SettleRunsParams) ([]error, error) {
	errs, err := s.Store.SettleRuns(ctx, p)
	for i := range p.Updates {
		if p.Updates[i].State.Terminal() {
			s.child.forgetChildRun(p.Updates[i].RunID)
		}
	}
	return errs, err
}

// noteChildRun lets a child run in the subprocess be cancelled: the subprocess is told.
func (c *subprocess) noteChildRun(x *Execution, run *store.Run) {
	children := c.pool.children
	children.add(run.ID, func(cause error) {
		c.pool.living.Go(func() { c.stop(run.ID, cause) }) // the caller must not wait for a process that does not listen
	})
	stay := context.AfterFunc(x, func() { children.remove(run.ID) }) // the context of x ends when x is completed
	c.childRuns.Store(run.ID, func() {
		if stay() {
			children.remove(run.ID)
		}
	})
}

func (c *subprocess) forgetChildRun(id uuid.UUID) {
	if forget, ok := c.childRuns.LoadAndDelete(id); ok {
		forget.(func())()
	}
}

// stop ends the context of a run in the child.
func (c *subprocess) stop(id uuid.UUID, cause error) {
	c.tell(frameStop, stopMessage{RunID: id, Cause: stopCause(cause)})
}

// tell sends to the child, also what a run that is cancelled by now waits for. If it can't be told it is gone, or deaf and killed
// before long.
func (c *subprocess) tell(kind rpc.Kind, message any) {
	ctx, cancel := context.WithTimeout(context.Background(), exitTimeout)
	defer cancel()
	_ = c.link.Send(ctx, kind, message)
}
