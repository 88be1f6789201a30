package provost

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/engine"
)

// RunInfo is what a flow can know about the run that it is in.
type RunInfo struct {
	ID            uuid.UUID
	Name          string
	Flow          string
	Deployment    string // "" in a child run
	Schedule      string // key; "" for a run made by hand
	Version       string
	Tags          []string
	Parameters    Params // layered and normalized; a copy, in which each secret is a Secret[any]
	ScheduledTime time.Time
	Attempt       int       // 1 for the first
	ParentID      uuid.UUID // of a child run
}

// infoKey is the key under which ContextWithRun keeps a RunInfo.
type infoKey struct{}

// RunFromContext returns the run that ctx belongs to. It returns false outside of runs.
func RunFromContext(ctx context.Context) (RunInfo, bool) {
	if x := engine.FromContext(ctx); x != nil {
		return RunInfo(x.Info()), true
	}
	info, ok := ctx.Value(infoKey{}).(RunInfo)
	return info, ok
}

// ContextWithRun returns a context as a flow's function gets it in a run, for a unit test that
// calls the function itself. Nothing is recorded: in it, Run of another flow is a plain call, and
// Logger returns slog.Default.
func ContextWithRun(ctx context.Context, info RunInfo) context.Context {
	return context.WithValue(ctx, infoKey{}, info)
}

// Logger returns a logger that writes to the runner's logger and to the stored log of the run that
// ctx belongs to. Outside of runs it returns slog.Default. The stored log has at most 1 MiB; lines
// that do not fit are counted in its last line. Secrets of the run's parameters are *** in both,
// wherever in a line they occur.
func Logger(ctx context.Context) *slog.Logger {
	if x := engine.FromContext(ctx); x != nil {
		return x.Logger()
	}
	return slog.Default()
}

// ClientFromContext returns a client of the store that keeps the run that ctx belongs to. It
// returns false outside of runs. The client shows no secrets: see [Client.RevealSecrets].
func ClientFromContext(ctx context.Context) (*Client, bool) {
	if engine.FromContext(ctx) == nil {
		return nil, false
	}
	c, ok := ctx.Value(clientKey{}).(*Client)
	return c, ok
}

// clientKey is the key under which the context of every run keeps a *Client of its store.
type clientKey struct{}

func contextWithClient(ctx context.Context, c *Client) context.Context {
	return context.WithValue(ctx, clientKey{}, c)
}
