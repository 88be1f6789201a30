package engine

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/rpc"
	"github.com/provost-go/provost/store"
)

// A runner and its child process talk over two pipes, beside the calls of the child's store, which is the runner's: see link. The
// runner reads what comes as it would a stranger's: whatever the flow's code writes into the pipe, it costs no more than the run.
const (
	frameHello  rpc.Kind = rpc.FirstFreeKind + iota // child: it is ready for a run
	frameRun                                        // runner: execute this
	frameBegin                                      // child: the function begins, or waits for frameGo
	frameGo                                         // runner: that it begins is stored, as AtMostOnce wants it
	frameStop                                       // runner: end the context of the run, or of a child run in it
	frameLearn                                      // child: secrets of a child run
	frameLog                                        // child: a line for the runner's logger
	frameEnd                                        // child: what became of the attempt
	frameRefuse                                     // child: the run cannot be executed here
	frameBye                                        // runner: there are no more runs for this process
)

// maxChildMessage bounds what a child may send but for calls of its store; the largest is an end with its result.
const maxChildMessage = 4 << 20

var errTooLong = errors.New("a message is too long")

// childHello is what a child says first.
type helloMessage struct {
	Nonce string
	Build string
}

// childRun is all that a child needs to know of a run. It is in clear, secrets too.
type assignment struct {
	Claim      store.Claim
	Flow       string
	Deployment string
	Version    string
	Once       bool // AtMostOnce: wait for frameGo
	Secrets    bool // the parameters have some
	Path       string
	Env        map[string]string
	Level      slog.Level // the lowest that the runner's logger takes
	Build      string     // of the runner: another one refuses
	Last       bool       // the process ends by itself after it
}

type beginMessage struct{ At time.Time }

type stopMessage struct {
	RunID uuid.UUID
	Cause int // index into stopCauses
}

// stopCauses are what a runner ends the context of a flow with.
var stopCauses = []error{errCancelled, errShutdown, store.ErrLeaseLost}

func stopCause(err error) int {
	for i, cause := range stopCauses {
		if errors.Is(err, cause) {
			return i
		}
	}
	return 0
}

type secretsMessage struct{ Values []any }

type endMessage struct {
	At     time.Time
	Update store.RunUpdate
	Spent  bool // the process is not fit for another run
}

type refusalMessage struct{ Reason string }

// pipes is a byte stream of two pipes.
type pipes struct {
	in     *os.File
	out    *os.File
	fading atomic.Bool
}

func (p *pipes) Read(b []byte) (int, error) {
	if p.fading.Load() {
		_ = p.in.SetReadDeadline(time.Now().Add(drainTimeout)) // as fade has done
	}
	return p.in.Read(b)
}

func (p *pipes) Write(b []byte) (int, error) { return p.out.Write(b) }

func (p *pipes) Close() error { return errors.Join(p.in.Close(), p.out.Close()) }

// fade lets reading end once nothing has come for drainTimeout, for when the other end is dead or deaf. What it has written is read,
// however slowly; the end of the pipe may never come, if a process that has left its group holds it.
func (p *pipes) Drain() error {
	p.fading.Store(true)
	return p.in.SetReadDeadline(time.Now().Add(drainTimeout))
}

var _ io.ReadWriteCloser = (*pipes)(nil)

var _ rpc.Drainer = (*pipes)(nil)
