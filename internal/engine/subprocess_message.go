package engine

import (
	"errors"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/rpc"
	"github.com/provost-go/provost/store"
)

// The messages between a runner and a subprocess, which share the connection with the store calls
// of the subprocess. The runner does not trust what it reads: whatever the code of a flow writes to
// the pipe, it costs at most the run.
const (
	frameHello  rpc.Kind = rpc.FirstFreeKind + iota // from the subprocess: it is ready for a run
	frameRun                                        // from the runner: execute this run
	frameBegin                                      // from the subprocess: the function begins, or waits for frameGo
	frameGo                                         // from the runner: it is stored that the function begins, as AtMostOnce requires
	frameStop                                       // from the runner: end the context of the run, or of a child run in it
	frameLearn                                      // from the subprocess: secrets of a child run
	frameLog                                        // from the subprocess: a line for the runner's logger
	frameEnd                                        // from the subprocess: the end of the attempt
	frameRefuse                                     // from the subprocess: it cannot execute the run
	frameBye                                        // from the runner: there are no more runs for this process
)

// maxSubprocessMessage bounds the messages of a subprocess, except its store calls. The largest is
// an end with its result.
const maxSubprocessMessage = 4 << 20

// helloMessage is the first message of a subprocess.
type helloMessage struct {
	Nonce string
	Build string
}

// assignment is everything that a subprocess needs to know about a run. It is not encrypted, not
// even its secrets.
type assignment struct {
	Claim      store.Claim
	Flow       string
	Deployment string
	Version    string
	Once       bool // AtMostOnce: wait for frameGo
	Secrets    bool // the parameters have secrets
	Path       string
	Env        map[string]string
	Level      slog.Level // the lowest level that the runner's logger takes
	Build      string     // the runner's; a subprocess of another build refuses the run
	Last       bool       // the process exits after this run
}

type beginMessage struct{ At time.Time }

type stopMessage struct {
	RunID uuid.UUID
	Cause int // index into stopCauses
}

// stopCauses are the causes with which a runner ends the context of a flow.
var stopCauses = []error{ErrCancelled, ErrShutdown, store.ErrLeaseLost}

// stopCause returns the index of err in stopCauses, 0 if it is not there.
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
	Spent  bool // the process cannot execute another run
}

type refusalMessage struct{ Reason string }
