package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	ossignal "os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/provost-go/provost/internal/param"
	"github.com/provost-go/provost/internal/proc"
	"github.com/provost-go/provost/internal/rpc"
	"github.com/provost-go/provost/internal/wire"
	"github.com/provost-go/provost/store"
)

// childVariable tells a process that it is a child: the numbers of its pipes, and a nonce that it has to repeat.
const childVariable = "PROVOST_CHILD"

// childSide is a child process as it sees itself.
type SubprocessHost struct {
	nonce string
	link  *rpc.Conn
	calls *rpc.Calls
	store store.Store

	assigned chan *hostedRun
	ended    chan endMessage

	stdout, stderr *os.File        // as they were at the start
	base           context.Context // of all flows: Serve's values, not its end

	// mu guards what follows; nothing blocks under it.
	mu          sync.Mutex
	serving     bool
	deployments []Offer
	offered     chan struct{} // closed when there are more deployments, and made anew
	current     *hostedRun
}

// assignment is the run that a child has at the moment.
type hostedRun struct {
	run      assignment
	ctx      context.Context // of the flow, as far as the runner decides
	cancel   context.CancelCauseFunc
	allowed  chan struct{} // closed by frameGo
	children *childRuns    // of the run
}

// childFromEnvironment finds out whether this process is a child. What it starts in turn, perhaps this program again, is not: the
// variable goes, and the pipes are not passed on. From here on the process ends with the runner, and not by the signals that
// terminals and service managers send to all processes of a service: the runner decides.
func HostFromEnvironment() (*SubprocessHost, error) {
	value, ok := os.LookupEnv(childVariable)
	if !ok {
		return nil, nil
	}
	numbers, nonce, ok := parseChildVariable(value)
	if !ok || !proc.IsChild(numbers[:]...) {
		return nil, errors.New("the environment has " + childVariable + ", but no runner has started this process; unset it: runners " +
			"mark the processes of their runs with it")
	}
	_ = os.Unsetenv(childVariable) // fails for impossible names only
	go proc.WatchParent(numbers[2])
	ossignal.Notify(make(chan os.Signal, 1), os.Interrupt, syscall.SIGTERM)
	c := &SubprocessHost{
		nonce:    nonce,
		link:     rpc.NewConn(&pipes{in: proc.Inherited(numbers[0], "from-runner"), out: proc.Inherited(numbers[1], "to-runner")}),
		assigned: make(chan *hostedRun, 1), ended: make(chan endMessage, 1),
		stdout: os.Stdout, stderr: os.Stderr, offered: make(chan struct{}),
	}
	c.calls = rpc.NewCalls(func(ctx context.Context, call rpc.Call) error { return c.link.Send(ctx, rpc.KindCall, call) })
	c.store = rpc.NewClient(c.calls)
	return c, nil
}

func parseChildVariable(value string) (numbers [3]uintptr, nonce string, ok bool) {
	parts := strings.Split(value, ",")
	if len(parts) != len(numbers)+1 {
		return numbers, "", false
	}
	for i := range numbers {
		n, err := strconv.ParseUint(parts[i], 10, 64)
		if err != nil {
			return numbers, "", false
		}
		numbers[i] = uintptr(n)
	}
	return numbers, parts[len(numbers)], true
}

// serve executes runs until the runner has no more. It never returns.
func (c *SubprocessHost) Serve(ctx context.Context, deployments []Offer) {
	if !c.offer(deployments) {
		select {} // an earlier call serves these too
	}
	c.base = context.WithoutCancel(ctx)
	go c.listen()
	c.tell(frameHello, helloMessage{Nonce: c.nonce, Build: proc.Build()})
	for a := range c.assigned {
		c.execute(a)
	}
}

// offer adds deployments to those that can be run, and says whether this is the first call.
func (c *SubprocessHost) offer(deployments []Offer) (first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deployments = append(c.deployments, deployments...)
	close(c.offered)
	c.offered = make(chan struct{})
	first, c.serving = !c.serving, true
	return first
}

// listen reads what the runner says. When there is no runner any more, this process is about to be killed.
func (c *SubprocessHost) listen() {
	err := c.link.Run(context.Background(), c.handle)
	if err == nil {
		err = io.EOF
	}
	c.calls.Fail(err)
}

// tell sends to the runner. If that fails the runner is gone.
func (c *SubprocessHost) tell(kind rpc.Kind, message any) {
	if err := c.link.Send(context.Background(), kind, message); err != nil {
		fmt.Fprintf(c.stderr, "provost: tell the runner: %v\n", err)
	}
}

func (c *SubprocessHost) handle(kind rpc.Kind, body []byte) error {
	switch kind {
	case rpc.KindAnswer:
		a, err := rpc.ReadMessage[rpc.Answer](kind, rpc.KindAnswer, body)
		if err != nil {
			return err
		}
		c.calls.Answer(a)
	case frameRun:
		var run assignment
		if err := wire.Read(body, &run); err != nil {
			return err
		}
		c.assign(run)
	case frameGo:
		c.allow()
	case frameStop:
		var stop stopMessage
		if err := wire.Read(body, &stop); err != nil {
			return err
		}
		c.stop(stop)
	case frameBye:
		os.Exit(0)
	default:
		return fmt.Errorf("the runner sent a message of unknown kind %d", kind)
	}
	return nil
}

func (c *SubprocessHost) assign(run assignment) {
	a := &hostedRun{run: run, allowed: make(chan struct{}), children: newChildRuns()}
	a.ctx, a.cancel = context.WithCancelCause(c.base)
	c.mu.Lock()
	c.current = a
	c.mu.Unlock()
	c.assigned <- a
}

// allow lets the function begin. It is said once for each run.
func (c *SubprocessHost) allow() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil {
		close(c.current.allowed)
	}
}

// stop ends the context of the run, or of a child run in it.
func (c *SubprocessHost) stop(m stopMessage) {
	cause := stopCauses[m.Cause%len(stopCauses)]
	c.mu.Lock()
	a := c.current
	c.mu.Unlock()
	switch {
	case a == nil:
	case a.run.Claim.RunID == m.RunID:
		a.cancel(cause)
	default:
		a.children.stopRun(m.RunID, cause)
	}
}

// lookupTimeout is how long a child waits for a later call of Serve to bring a deployment that it was not given yet.
const lookupTimeout = 2 * time.Second

// Offer is a deployment that a subprocess can run.
type Offer struct {
	Flow            *Flow
	Name            string          // of the deployment
	ParameterSchema json.RawMessage // nil: derived from the flow's parameter type
}

// Store returns the runner's store.
func (c *SubprocessHost) Store() store.Store { return c.store }

// find looks for a deployment, nil if no call of Serve or ServeChild brings it.
func (c *SubprocessHost) find(flow, name string) *Offer {
	timeout := time.NewTimer(lookupTimeout)
	defer timeout.Stop()
	for {
		c.mu.Lock()
		deployments, more := c.deployments, c.offered
		c.mu.Unlock()
		for i := range deployments {
			if d := &deployments[i]; d.Name == name && d.Flow.Name == flow {
				return d
			}
		}
		select {
		case <-more:
		case <-timeout.C:
			return nil
		}
	}
}

// execute executes one run, with a server of its own whose store is the runner's and that settles nothing.
func (c *SubprocessHost) execute(a *hostedRun) {
	d, err := c.prepare(&a.run)
	if err != nil {
		c.tell(frameRefuse, refusalMessage{Reason: err.Error()})
		return
	}
	leave, err := enter(&a.run)
	if err != nil {
		c.tell(frameRefuse, refusalMessage{Reason: err.Error()})
		return
	}
	e := c.newExecutor(a)
	c.mark()
	x := e.newExecution(a.run.Claim, d, e.now())
	go e.completer.Run(context.Background())
	go func() {
		rpc.GrowStack()
		defer x.run() // even if the user's code in decoding ends the goroutine
		x.prepare()
	}()
	end := <-c.ended
	e.completer.Close()
	<-e.completer.done
	end.Spent = leave() != nil
	c.mu.Lock()
	c.current = nil
	c.mu.Unlock()
	c.mark()
	c.tell(frameEnd, end)
	if a.run.Last {
		_ = c.link.Flush(context.Background()) // if it fails the runner is gone
		os.Exit(0)
	}
}

// prepare readies one deployment, and no more of it than a run needs: the runner has judged the rest.
func (c *SubprocessHost) prepare(run *assignment) (*Deployment, error) {
	if run.Build != proc.Build() {
		return nil, errors.New(otherBuild)
	}
	offer := c.find(run.Flow, run.Deployment)
	if offer == nil {
		return nil, fmt.Errorf("the child process was not given deployment %s; call ServeChild with all deployments that Serve gets",
			store.Handle(run.Flow, run.Deployment))
	}
	f := offer.Flow
	if f.Prepare == nil {
		return nil, fmt.Errorf("flow %q has no function; make it with NewFlow, NewAction or NewJob", f.Name)
	}
	d := &Deployment{ID: run.Claim.DeploymentID, Name: offer.Name, Version: run.Version, Flow: f, Derived: true, Once: run.Once}
	if !run.Secrets {
		return d, nil
	}
	schema, err := offer.ParameterSchema, error(nil)
	if schema == nil {
		schema, err = param.SchemaWithDocs(f.Params, nil)
	}
	if err == nil {
		d.Secrets, err = param.Compile(schema)
	}
	if err != nil {
		return nil, fmt.Errorf("schema of deployment %s: %w", store.Handle(run.Flow, run.Deployment), err)
	}
	return d, nil
}

// newExecutor returns an executor for one run. It reports to the runner: only logs of child runs, and the child runs
// themselves, go to the store, which is the runner's.
func (c *SubprocessHost) newExecutor(a *hostedRun) *executor {
	access := NewAccess(Config{
		Store:  c.store,
		Logger: newPipeLogger(a.run.Level, func(line logLine) { c.tell(frameLog, line) }),
	})
	return &executor{
		Access: access, context: a.ctx, reporter: c, children: a.children,
		completer: NewCompleter(access, NewLeaseKeeper(access, 0)),
	}
}

// begin tells the runner that the function is about to be entered, and waits where it has to be stored before.
func (c *SubprocessHost) begin(x *Execution) bool {
	c.tell(frameBegin, beginMessage{At: x.begun.UTC()})
	_ = c.link.Flush(context.Background()) // that it has begun counts also if it ends this process at once
	if x.deployment.Once && !c.await(x) {
		return false
	}
	x.started.Store(true)
	return true
}

// await waits until it is stored that the function begins, false if the run is to end instead.
func (c *SubprocessHost) await(x *Execution) bool {
	c.mu.Lock()
	allowed := c.current.allowed
	c.mu.Unlock()
	select {
	case <-allowed:
		return true
	case <-x.Done():
		return false
	}
}

// log sends a line of the run, so that it arrives whatever becomes of this process the next moment.
func (c *SubprocessHost) log(line logLine) {
	line.Run = true
	c.tell(frameLog, line)
	_ = c.link.Flush(context.Background()) // if it fails the runner is gone
}

// complete keeps what became of the run until its log is with the runner.
func (c *SubprocessHost) complete(x *Execution, end time.Time, update store.RunUpdate) {
	update.Lease = x.claim.Lease
	x.ended.Store(true)
	x.cancel(nil)
	c.ended <- endMessage{At: end.UTC(), Update: update}
}

// declines returns false: the runner has asked already.
func (c *SubprocessHost) declines(*Execution) bool { return false }

// learn tells the runner secrets of a child run, which it redacts in what is printed.
func (c *SubprocessHost) learn(secrets []any) { c.tell(frameLearn, secretsMessage{secrets}) }

// newLogger returns a logger to the runner for the run itself, which keeps its log. Child runs log to the store.
func (c *SubprocessHost) newLogger(x *Execution) *slog.Logger {
	if x.child != nil {
		return x.runLog().logger
	}
	return newPipeLogger(allLevels, c.log)
}

// mark separates what is printed in a run from what is printed before and after it.
func (c *SubprocessHost) mark() {
	for _, f := range []*os.File{c.stdout, c.stderr} {
		_, _ = f.WriteString(outputMark(c.nonce)) // where the flow has closed it, the runner reads its end
	}
}

// enter applies the deployment's directory and environment; leave undoes it.
func enter(run *assignment) (leave func() error, err error) {
	var undo []func() error
	leave = func() error {
		for _, step := range undo {
			if err := step(); err != nil {
				return err
			}
		}
		return nil
	}
	if run.Path != "" {
		before, err := os.Getwd()
		if err != nil {
			return nil, fmt.Errorf("working directory: %w", err)
		}
		if err := os.Chdir(run.Path); err != nil {
			return nil, fmt.Errorf("the deployment's Path: %w; make that directory, or mend Path", err)
		}
		undo = append(undo, func() error { return os.Chdir(before) })
	}
	for key, value := range run.Env {
		before, had := os.LookupEnv(key)
		if err := os.Setenv(key, value); err != nil {
			return nil, errors.Join(fmt.Errorf("the deployment's Env: %q: %w", key, err), leave())
		}
		undo = append(undo, func() error {
			if had {
				return os.Setenv(key, before)
			}
			return os.Unsetenv(key)
		})
	}
	return leave, nil
}
