package engine

import (
	"context"
	"log/slog"
	"time"

	"github.com/provost-go/provost/internal/clock"
	"github.com/provost-go/provost/observe"

	"github.com/provost-go/provost/store"
)

const (
	DefaultLimit           = 100
	DefaultPollInterval    = time.Second
	DefaultLeaseTTL        = 30 * time.Second
	leaseMargin            = 5 * time.Second // a lease is distrusted this long before its end, at most a quarter of it
	DefaultShutdownTimeout = 25 * time.Second
	unresponsiveTimeout    = 5 * time.Second // what a flow gets to return once its context has ended
	StoreTimeout           = 10 * time.Second
	lastFlush              = 5 * time.Second // how long Serve goes on writing ends of runs once the last has ended
	lastCall               = 2 * time.Second // for the runner to leave the store
	MinLeaseTTL            = time.Second
)

// Config is what an Engine runs with. All of it is resolved: no field has a default here.
type Config struct {
	Name            string
	Limit           int // Unlimited for no limit
	PollInterval    time.Duration
	LeaseTTL        time.Duration
	ShutdownTimeout time.Duration // -1: no bound
	PauseOnShutdown bool
	Prune           bool
	WarmChildren    int
	RunsPerChild    int
	ChildMemory     int64

	Store    store.Store
	Logger   *slog.Logger
	Observer observe.Observer // nil: nobody observes
	Clock    clock.Clock

	Deployments []*Deployment

	// StartRun makes a run of the deployment "flow/deployment", once for each idempotency key.
	StartRun func(ctx context.Context, handle, idempotencyKey string) error
}

// Unlimited is the Limit of a runner that takes any number of runs.
const Unlimited = int(^uint(0) >> 1)
