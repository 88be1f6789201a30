package provost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	ossignal "os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/proc"
	"github.com/provost-go/provost/internal/wire"
)

// ServeChild is for programs whose deployments run with [Subprocess] and whose main does things before [Serve]: opens ports, reads
// flags, takes locks. A run is this program started again, so main runs again too. Call ServeChild first thing in main, and in
// TestMain, with the deployments that Serve gets later: in a normal process it returns at once and does nothing; in a child process
// it serves the runs that the runner gives it and ends the process.
//
// Without it a child gets as far as Serve, which does the same, or fails before: then the runs end Crashed, with a message that
// says so.
func ServeChild(deployments ...*Deployment) {
	childServed.Store(true)
	if thisChild != nil {
		thisChild.serve(context.Background(), deployments)
	}
}

// InChild reports whether this process is a child process that a runner started for its runs, so that main can skip its set-up.
func InChild() bool { return thisChild != nil }

// childServed is set once ServeChild was called.
var childServed atomic.Bool

// childVariable tells a process that it is a child: the numbers of its pipes, and a nonce that it has to repeat.
const childVariable = "PROVOST_CHILD"

// thisChild is what makes this process a child; nil in any other. errStray is why it is none although the variable is there.
var thisChild, errStray = childFromEnvironment()

// childSide is a child process as it sees itself.
type childSide struct {
	nonce string
	link  *link
	calls *storeCalls
	store Store

	assigned chan *assignment
	ended    chan childResult

	stdout, stderr *os.File        // as they were at the start
	base           context.Context // of all flows: Serve's values, not its end

	// mu guards what follows; nothing blocks under it.
	mu          sync.Mutex
	serving     bool
	deployments []*Deployment
	offered     chan struct{} // closed when there are more deployments, and made anew
	current     *assignment
}

// assignment is the run that a child has at the moment.
type assignment struct {
	run     childRun
	ctx     context.Context // of the flow, as far as the runner decides
	cancel  context.CancelCauseFunc
	allowed chan struct{} // closed by frameGo
	server  *server       // set under childSide.mu
}

// childFromEnvironment finds out whether this process is a child. What it starts in turn, perhaps this program again, is not: the
// variable goes, and the pipes are not passed on. From here on the process ends with the runner, and not by the signals that
// terminals and service managers send to all processes of a service: the runner decides.
func childFromEnvironment() (*childSide, error) {
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
	c := &childSide{
		nonce:    nonce,
		link:     newLink(&pipes{in: proc.Inherited(numbers[0], "from-runner"), out: proc.Inherited(numbers[1], "to-runner")}),
		assigned: make(chan *assignment, 1), ended: make(chan childResult, 1),
		stdout: os.Stdout, stderr: os.Stderr, offered: make(chan struct{}),
	}
	c.calls = newStoreCalls(func(ctx context.Context, call wireCall) error { return c.link.send(ctx, frameCall, call) })
	c.store = newWireStore(c.calls)
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
func (c *childSide) serve(ctx context.Context, deployments []*Deployment) {
	if !c.offer(deployments) {
		select {} // an earlier call serves these too
	}
	c.base = context.WithoutCancel(ctx)
	go c.listen()
	c.tell(frameHello, childHello{Nonce: c.nonce, Build: proc.Build()})
	for a := range c.assigned {
		c.execute(a)
	}
}

// offer adds deployments to those that can be run, and says whether this is the first call.
func (c *childSide) offer(deployments []*Deployment) (first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deployments = append(c.deployments, deployments...)
	close(c.offered)
	c.offered = make(chan struct{})
	first, c.serving = !c.serving, true
	return first
}

// listen reads what the runner says. When there is no runner any more, this process is about to be killed.
func (c *childSide) listen() {
	err := c.link.run(context.Background(), c.handle)
	if err == nil {
		err = io.EOF
	}
	c.calls.fail(err)
}

// tell sends to the runner. If that fails the runner is gone.
func (c *childSide) tell(kind frameKind, message any) {
	if err := c.link.send(context.Background(), kind, message); err != nil {
		fmt.Fprintf(c.stderr, "provost: tell the runner: %v\n", err)
	}
}

func (c *childSide) handle(kind frameKind, body []byte) error {
	switch kind {
	case frameAnswer:
		a, err := readMessage[wireAnswer](kind, frameAnswer, body)
		if err != nil {
			return err
		}
		c.calls.answer(a)
	case frameRun:
		var run childRun
		if err := wire.Read(body, &run); err != nil {
			return err
		}
		c.assign(run)
	case frameGo:
		c.allow()
	case frameStop:
		var stop childStop
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

func (c *childSide) assign(run childRun) {
	a := &assignment{run: run, allowed: make(chan struct{})}
	a.ctx, a.cancel = context.WithCancelCause(c.base)
	c.mu.Lock()
	c.current = a
	c.mu.Unlock()
	c.assigned <- a
}

// allow lets the function begin. It is said once for each run.
func (c *childSide) allow() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil {
		close(c.current.allowed)
	}
}

// stop ends the context of the run, or of a child run in it.
func (c *childSide) stop(m childStop) {
	cause := stopCauses[m.Cause%len(stopCauses)]
	c.mu.Lock()
	a := c.current
	var s *server
	if a != nil {
		s = a.server
	}
	c.mu.Unlock()
	switch {
	case a == nil:
	case a.run.Claim.RunID == m.RunID:
		a.cancel(cause)
	case s != nil:
		s.mu.Lock()
		inside := s.children[m.RunID]
		s.mu.Unlock()
		if inside != nil {
			inside.cancel(cause)
		}
	}
}

// lookupTimeout is how long a child waits for a later call of Serve to bring a deployment that it was not given yet.
const lookupTimeout = 2 * time.Second

// find looks for a deployment by its handle, nil if no call of Serve or ServeChild brings it.
func (c *childSide) find(flow, name string) *Deployment {
	timeout := time.NewTimer(lookupTimeout)
	defer timeout.Stop()
	for {
		c.mu.Lock()
		deployments, more := c.deployments, c.offered
		c.mu.Unlock()
		for _, d := range deployments {
			if d != nil && d.Name == name && !nilFlow(d.Flow) && d.Flow.flowName() == flow {
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
func (c *childSide) execute(a *assignment) {
	sd, err := c.prepare(&a.run)
	if err != nil {
		c.tell(frameRefuse, childRefusal{Reason: err.Error()})
		return
	}
	leave, err := enter(&a.run)
	if err != nil {
		c.tell(frameRefuse, childRefusal{Reason: err.Error()})
		return
	}
	s := c.newServer(a)
	c.mu.Lock()
	a.server = s
	c.mu.Unlock()
	c.mark()
	x := s.newExecution(a.run.Claim, sd, s.now())
	s.running.Add(1)
	s.launching.Add(1)
	go s.settleLoop(context.Background())
	go func() {
		growStack()
		defer x.run() // also where what is the user's of decoding ends the goroutine
		x.prepare()
	}()
	end := <-c.ended
	close(s.settler.closed)
	<-s.settler.done
	end.Spent = leave() != nil
	c.mu.Lock()
	c.current = nil
	c.mu.Unlock()
	c.mark()
	c.tell(frameEnd, end)
	if a.run.Last {
		_ = c.link.flush(context.Background()) // if it fails the runner is gone
		os.Exit(0)
	}
}

// prepare readies one deployment, and no more of it than a run needs: the runner has judged the rest.
func (c *childSide) prepare(run *childRun) (*served, error) {
	if run.Build != proc.Build() {
		return nil, errors.New(otherBuild)
	}
	d := c.find(run.Flow, run.Deployment)
	if d == nil {
		return nil, fmt.Errorf("the child process was not given deployment %s; call ServeChild with all deployments that Serve gets",
			handle(run.Flow, run.Deployment))
	}
	f := d.Flow.erase()
	if f.prepare == nil {
		return nil, fmt.Errorf("flow %q has no function; make it with NewFlow, NewAction or NewJob", f.name)
	}
	sd := &served{id: run.Claim.DeploymentID, name: d.Name, version: run.Version, flow: f, derived: true, once: run.Once}
	if !run.Secrets {
		return sd, nil
	}
	schema, err := d.ParameterSchema, error(nil)
	if schema == nil {
		schema, err = schemaWithDocs(f.params, nil)
	}
	if err == nil {
		sd.secrets, err = compileSchema(schema)
	}
	if err != nil {
		return nil, fmt.Errorf("schema of deployment %s: %w", handle(run.Flow, run.Deployment), err)
	}
	return sd, nil
}

// newServer makes a server for one run. Its loops are those of the runner: here only logs are written.
func (c *childSide) newServer(a *assignment) *server {
	s := &server{
		store: c.store, upstream: c, flowContext: a.ctx, client: NewClient(c.store), settler: newSettler(),
		children: make(map[uuid.UUID]*execution),
		log:      newChildLogger(a.run.Level, func(line childLine) { c.tell(frameLog, line) }),
	}
	s.outages = newOutages(s.log, nil)
	return s
}

// begin tells the runner that the function is about to be entered, and waits where it has to be stored before.
func (c *childSide) begin(x *execution) bool {
	c.tell(frameBegin, childBegin{At: x.begun.UTC()})
	_ = c.link.flush(context.Background()) // that it has begun counts also if it ends this process at once
	if x.served.once && !c.await(x) {
		return false
	}
	x.started.Store(true)
	return true
}

// await waits until it is stored that the function begins, false if the run is to end instead.
func (c *childSide) await(x *execution) bool {
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
func (c *childSide) log(line childLine) {
	line.Run = true
	c.tell(frameLog, line)
	_ = c.link.flush(context.Background()) // if it fails the runner is gone
}

// settle keeps what became of the run until its log is with the runner.
func (c *childSide) settle(x *execution, end time.Time, update RunUpdate) {
	x.ended.Store(true)
	x.cancel(nil)
	c.ended <- childResult{At: end.UTC(), Update: update}
}

// mark separates what is printed in a run from what is printed before and after it.
func (c *childSide) mark() {
	for _, f := range []*os.File{c.stdout, c.stderr} {
		_, _ = f.WriteString(outputMark(c.nonce)) // where the flow has closed it, the runner reads its end
	}
}

// enter applies the deployment's directory and environment; leave undoes it.
func enter(run *childRun) (leave func() error, err error) {
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
