package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	ossignal "os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/provost-go/provost/internal/proc"
	"github.com/provost-go/provost/internal/rpc"
	"github.com/provost-go/provost/internal/wire"
	"github.com/provost-go/provost/store"
)

// subprocessVariable marks a process as a subprocess of a runner. Its value is the numbers of the
// pipes, and a nonce that the subprocess sends back.
const subprocessVariable = "PROVOST_CHILD"

// SubprocessHost is a subprocess as it sees itself: it executes the runs that its runner assigns,
// one at a time.
type SubprocessHost struct {
	nonce string
	conn  *rpc.Conn
	calls *rpc.Calls
	store store.Store

	assigned chan *hostedRun

	stdout, stderr *os.File        // as they were at the start
	base           context.Context // the context of every flow derives from it; set before listen starts

	// mu guards what follows; nothing blocks under it.
	mu      sync.Mutex
	serving bool
	offers  []Offer
	offered chan struct{} // closed and replaced when there are more offers
	current *hostedRun    // nil between runs
}

// Offer is a deployment that a subprocess can run.
type Offer struct {
	Flow            *Flow
	Name            string          // of the deployment
	ParameterSchema json.RawMessage // nil: derived from the flow's parameter type
}

// HostFromEnvironment returns the host of this process, nil if no runner has started it. It returns
// an error if the environment has the variable of subprocesses by mistake.
//
// HostFromEnvironment removes the variable, and the pipes are not inherited: what this process
// starts, perhaps this program again, is not a subprocess. From then on this process ends with its
// runner. It ignores the signals that terminals and service managers send to all processes of a
// service: the runner decides.
func HostFromEnvironment() (*SubprocessHost, error) {
	value, ok := os.LookupEnv(subprocessVariable)
	if !ok {
		return nil, nil
	}
	numbers, nonce, ok := parseVariable(value)
	if !ok || !proc.IsChild(numbers[:]...) {
		return nil, errors.New("the environment has " + subprocessVariable + ", but no runner has started this process; unset it: " +
			"runners mark their subprocesses with it")
	}
	_ = os.Unsetenv(subprocessVariable) // fails for impossible names only
	go proc.WatchParent(numbers[2])     // until the process ends
	ossignal.Notify(make(chan os.Signal, 1), os.Interrupt, syscall.SIGTERM)
	h := &SubprocessHost{
		nonce:    nonce,
		conn:     rpc.NewConn(&pipes{in: proc.Inherited(numbers[0], "from-runner"), out: proc.Inherited(numbers[1], "to-runner")}),
		assigned: make(chan *hostedRun, 1),
		stdout:   os.Stdout, stderr: os.Stderr, offered: make(chan struct{}),
	}
	h.calls = rpc.NewCalls(func(ctx context.Context, call rpc.Call) error { return h.conn.Send(ctx, rpc.KindCall, call) })
	h.store = rpc.NewClient(h.calls)
	return h, nil
}

// formatVariable returns the value of subprocessVariable.
func formatVariable(numbers []uintptr, nonce string) string {
	parts := make([]string, 0, len(numbers)+1)
	for _, n := range numbers {
		parts = append(parts, fmt.Sprint(n))
	}
	return strings.Join(append(parts, nonce), ",")
}

// parseVariable is the inverse of formatVariable.
func parseVariable(value string) (numbers [3]uintptr, nonce string, ok bool) {
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

// Store returns the runner's store.
func (h *SubprocessHost) Store() store.Store { return h.store }

// Serve executes the runs that the runner assigns, with the values of ctx but not its end. It never
// returns: the process ends when the runner has no more runs for it, or dies. Serve may be called
// again with more deployments.
func (h *SubprocessHost) Serve(ctx context.Context, deployments []Offer) {
	if !h.offer(deployments) {
		select {} // the first call serves these too
	}
	h.base = context.WithoutCancel(ctx)
	go h.listen() // nobody waits for it: it reads until the process ends
	h.send(frameHello, helloMessage{Nonce: h.nonce, Build: proc.Build()})
	for r := range h.assigned {
		r.execute()
	}
}

// offer adds deployments to those that can be run, and reports whether this is the first call.
func (h *SubprocessHost) offer(deployments []Offer) (first bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.offers = append(h.offers, deployments...)
	close(h.offered)
	h.offered = make(chan struct{})
	first, h.serving = !h.serving, true
	return first
}

// lookupTimeout is how long a run waits for a later call of Serve to offer its deployment.
const lookupTimeout = 2 * time.Second

// find returns the offer of a deployment, nil if no call of Serve makes it in time.
func (h *SubprocessHost) find(flow, name string) *Offer {
	timeout := time.NewTimer(lookupTimeout)
	defer timeout.Stop()
	for {
		h.mu.Lock()
		offers, more := h.offers, h.offered
		h.mu.Unlock()
		for i := range offers {
			if o := &offers[i]; o.Name == name && o.Flow.Name == flow {
				return o
			}
		}
		select {
		case <-more:
		case <-timeout.C:
			return nil
		}
	}
}

// listen reads the messages of the runner. When there are no more, the runner is gone and this
// process is about to be killed.
func (h *SubprocessHost) listen() {
	err := h.conn.Run(context.Background(), h.handle)
	if err == nil {
		err = io.EOF
	}
	h.calls.Fail(err)
}

// handle handles one message of the runner.
func (h *SubprocessHost) handle(kind rpc.Kind, body []byte) error {
	switch kind {
	case rpc.KindAnswer:
		a, err := rpc.ReadMessage[rpc.Answer](kind, rpc.KindAnswer, body)
		if err != nil {
			return err
		}
		h.calls.Answer(a)
	case frameRun:
		var run assignment
		if err := wire.Read(body, &run); err != nil {
			return err
		}
		h.assign(run)
	case frameGo:
		h.allow()
	case frameStop:
		var stop stopMessage
		if err := wire.Read(body, &stop); err != nil {
			return err
		}
		h.stop(stop)
	case frameBye:
		os.Exit(0)
	default:
		return fmt.Errorf("the runner sent a message of unknown kind %d", kind)
	}
	return nil
}

// assign makes a run the current one and has Serve execute it.
func (h *SubprocessHost) assign(run assignment) {
	r := newHostedRun(h, run)
	h.mu.Lock()
	h.current = r
	h.mu.Unlock()
	h.assigned <- r
}

// allow lets the function of the current run begin. The runner sends this once for each run that
// waits for it.
func (h *SubprocessHost) allow() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.current != nil {
		close(h.current.allowed)
	}
}

// stop ends the context of the current run, or of a child run in it.
func (h *SubprocessHost) stop(m stopMessage) {
	h.mu.Lock()
	r := h.current
	h.mu.Unlock()
	if r != nil {
		r.stop(m.RunID, stopCauses[m.Cause%len(stopCauses)])
	}
}

// send sends a message to the runner. If that fails, the runner is gone.
func (h *SubprocessHost) send(kind rpc.Kind, message any) {
	if err := h.conn.Send(context.Background(), kind, message); err != nil {
		fmt.Fprintf(h.stderr, "provost: send to the runner: %v\n", err)
	}
}

// flush waits until everything sent before is written, so that it arrives even if this process
// ends right after. If that fails, the runner is gone.
func (h *SubprocessHost) flush() { _ = h.conn.Flush(context.Background()) }

// mark separates what is printed during a run from what is printed before and after it.
func (h *SubprocessHost) mark() {
	for _, f := range []*os.File{h.stdout, h.stderr} {
		_, _ = f.WriteString(outputMark(h.nonce)) // if the flow has closed it, the runner sees its end
	}
}
