package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/param"
	"github.com/provost-go/provost/internal/proc"
	"github.com/provost-go/provost/internal/rpc"
	"github.com/provost-go/provost/store"
)

// hostedRun is a run that a subprocess executes. It is the reporter of its execution: it reports to
// the runner.
type hostedRun struct {
	assignment
	host *SubprocessHost

	ctx      context.Context // the context of the flow derives from it
	cancel   context.CancelCauseFunc
	allowed  chan struct{}   // closed by frameGo
	children *childRuns      // the child runs in it
	ended    chan endMessage // has room for one
}

func newHostedRun(h *SubprocessHost, a assignment) *hostedRun {
	r := &hostedRun{
		assignment: a, host: h, allowed: make(chan struct{}), children: newChildRuns(), ended: make(chan endMessage, 1),
	}
	r.ctx, r.cancel = context.WithCancelCause(h.base)
	return r
}

// stop ends the context of the run, or of the child run with that ID.
func (r *hostedRun) stop(id uuid.UUID, cause error) {
	if id == r.Claim.RunID {
		r.cancel(cause)
	} else {
		r.children.stopRun(id, cause)
	}
}

// execute executes the run. If the run is the last one of the process, execute ends the process.
func (r *hostedRun) execute() {
	h := r.host
	d, err := r.deployment()
	if err != nil {
		h.send(frameRefuse, refusalMessage{Reason: err.Error()})
		return
	}
	leave, err := r.enter()
	if err != nil {
		h.send(frameRefuse, refusalMessage{Reason: err.Error()})
		return
	}
	e := r.newExecutor()
	h.mark()
	x := e.newExecution(r.Claim, d, e.now())
	go e.completer.Run(context.Background()) // execute waits for it below
	go func() {                              // execute waits for its last act, which is to complete the run
		rpc.GrowStack()
		defer x.run() // even if the user's code in decoding ends the goroutine
		x.prepare()
	}()
	end := <-r.ended
	e.completer.Close()
	<-e.completer.done
	end.Spent = leave() != nil
	h.mu.Lock()
	h.current = nil
	h.mu.Unlock()
	h.mark()
	h.send(frameEnd, end)
	if r.Last {
		h.flush()
		os.Exit(0)
	}
}

// deployment returns the deployment of the run, with no more of it than the run needs: the runner
// has checked the rest.
func (r *hostedRun) deployment() (*Deployment, error) {
	if r.Build != proc.Build() {
		return nil, errors.New("the subprocess " + otherBuild)
	}
	handle := store.Handle(r.Flow, r.Deployment)
	offer := r.host.find(r.Flow, r.Deployment)
	if offer == nil {
		return nil, fmt.Errorf("the subprocess does not have deployment %s; call ServeChild with all deployments that Serve gets", handle)
	}
	f := offer.Flow
	if f.Prepare == nil {
		return nil, fmt.Errorf("flow %q has no function; make it with NewFlow, NewAction or NewJob", f.Name)
	}
	d := &Deployment{ID: r.Claim.DeploymentID, Name: offer.Name, Version: r.Version, Flow: f, Derived: true, Once: r.Once}
	if !r.Secrets {
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
		return nil, fmt.Errorf("schema of deployment %s: %w", handle, err)
	}
	return d, nil
}

// enter applies the directory and the environment of the deployment to this process. leave undoes
// that.
func (r *hostedRun) enter() (leave func() error, err error) {
	var undo []func() error
	leave = func() error {
		for _, step := range undo {
			if err := step(); err != nil {
				return err
			}
		}
		return nil
	}
	if r.Path != "" {
		before, err := os.Getwd()
		if err != nil {
			return nil, fmt.Errorf("find the working directory: %w", err)
		}
		if err := os.Chdir(r.Path); err != nil {
			return nil, fmt.Errorf("the deployment's Path: %w; create that directory or fix Path", err)
		}
		undo = append(undo, func() error { return os.Chdir(before) })
	}
	for key, value := range r.Env {
		before, had := os.LookupEnv(key)
		if err := os.Setenv(key, value); err != nil {
			return nil, errors.Join(fmt.Errorf("the deployment's Env: set %q: %w; fix the key or the value", key, err), leave())
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

// newExecutor returns an executor for the run. Only child runs and their logs go to the store,
// which is the runner's.
func (r *hostedRun) newExecutor() *executor {
	access := NewAccess(Config{
		Store:  r.host.store,
		Logger: newPipeLogger(r.Level, func(line logLine) { r.host.send(frameLog, line) }),
	})
	return &executor{
		Access: access, context: r.ctx, reporter: r, children: r.children,
		completer: NewCompleter(access, NewLeaseKeeper(access, 0)),
	}
}

// begin reports that the function is about to be entered. If that must be stored before, begin
// waits for it.
func (r *hostedRun) begin(x *Execution) bool {
	r.host.send(frameBegin, beginMessage{At: x.begun.UTC()})
	r.host.flush() // the run has begun even if it ends this process at once
	if x.deployment.Once && !r.awaitGo(x) {
		return false
	}
	x.started.Store(true)
	return true
}

// awaitGo waits until it is stored that the function begins. It returns false if the run is to end
// instead.
func (r *hostedRun) awaitGo(x *Execution) bool {
	select {
	case <-r.allowed:
		return true
	case <-x.Done():
		return false
	}
}

// complete passes the end of the attempt to execute, which sends it after the rest of the log.
func (r *hostedRun) complete(x *Execution, end time.Time, update store.RunUpdate) {
	update.Lease = x.claim.Lease
	x.ended.Store(true)
	x.cancel(nil)
	r.ended <- endMessage{At: end.UTC(), Update: update}
}

// declines returns false: the runner decides that before it assigns a run.
func (r *hostedRun) declines(*Execution) bool { return false }

// learn sends the runner the secrets of a child run, which the runner redacts in the output.
func (r *hostedRun) learn(secrets []any) { r.host.send(frameLearn, secretsMessage{secrets}) }

// newLog returns the log of an attempt. The run itself logs to the runner, which keeps its log.
// Child runs log to the store.
func (r *hostedRun) newLog(x *Execution) *runLog {
	if x.child != nil {
		return newRunLog(x)
	}
	return &runLog{logger: newPipeLogger(allLevels, r.log)}
}

// log sends a line of the run. The line arrives even if this process ends right after.
func (r *hostedRun) log(line logLine) {
	line.Run = true
	r.host.send(frameLog, line)
	r.host.flush()
}
