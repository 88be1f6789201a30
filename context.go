package provost

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"
)

// RunInfo is what a flow can know of the run it is in.
type RunInfo struct {
	ID            uuid.UUID
	Name          string
	Flow          string
	Deployment    string // "" in a child run
	Schedule      string // key; "" for a run made by hand
	Version       string
	Tags          []string
	Parameters    Params // layered and normalised; a copy, in which each secret is a Secret[any]: printed as ***, to be revealed
	ScheduledTime time.Time
	Attempt       int // 1 for the first
	ParentID      uuid.UUID
}

// infoKey is the key under which ContextWithRun keeps a RunInfo.
type infoKey struct{}

// executionKey is the key under which a run's context keeps its *execution.
type executionKey struct{}

// RunFromContext is the run that ctx belongs to, false outside of runs.
func RunFromContext(ctx context.Context) (RunInfo, bool) {
	if x := executionFromContext(ctx); x != nil {
		return x.info(), true
	}
	info, ok := ctx.Value(infoKey{}).(RunInfo)
	return info, ok
}

// ContextWithRun is a context as the flow's function sees it in a run, for a unit test that calls the function itself. Nothing
// is recorded: Run of another flow is a plain call in it, and Logger is slog.Default.
func ContextWithRun(ctx context.Context, info RunInfo) context.Context {
	return context.WithValue(ctx, infoKey{}, info)
}

// Logger logs to the runner's logger and to the stored log of the run that ctx belongs to; outside of runs it is slog.Default.
// The stored log is bounded (see [MaxRunLog]); what does not fit is counted in its last line. Secrets of the run's parameters
// are *** in both, wherever in a line they turn up.
func Logger(ctx context.Context) *slog.Logger {
	if x := executionFromContext(ctx); x != nil {
		return x.logger()
	}
	return slog.Default()
}

// ClientFromContext is a client for the store that keeps the run that ctx belongs to, false outside of runs. It shows no secrets
// either, see [Client.RevealSecrets].
func ClientFromContext(ctx context.Context) (*Client, bool) {
	if x := executionFromContext(ctx); x != nil {
		return x.server.client, true
	}
	return nil, false
}

func executionFromContext(ctx context.Context) *execution {
	x, _ := ctx.Value(executionKey{}).(*execution)
	return x
}
