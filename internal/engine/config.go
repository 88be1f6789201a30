package engine

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/clock"
	"github.com/provost-go/provost/internal/param"
	"github.com/provost-go/provost/observe"
	"github.com/provost-go/provost/store"
)

// Defaults and bounds of a Config.
const (
	DefaultLimit           = 100
	DefaultPollInterval    = time.Second
	DefaultLeaseTTL        = 30 * time.Second
	DefaultShutdownTimeout = 25 * time.Second
	MinLeaseTTL            = time.Second

	// StoreTimeout is the deadline of every call of a store that can block.
	StoreTimeout = 10 * time.Second

	// Unlimited is the Limit of a runner that takes any number of runs.
	Unlimited = int(^uint(0) >> 1)
)

// Config is what an Engine runs with. Everything is resolved: no field has a default here.
type Config struct {
	Name            string // of the runner, for people
	Limit           int    // runs at once; Unlimited for no limit
	PollInterval    time.Duration
	LeaseTTL        time.Duration
	ShutdownTimeout time.Duration // -1: no bound
	PauseOnShutdown bool
	Prune           bool
	WarmChildren    int   // spare subprocesses
	RunsPerChild    int   // at least 1
	ChildMemory     int64 // bytes; 0: no bound

	Store    store.Store
	Logger   *slog.Logger
	Observer observe.Observer // nil: nobody observes
	Clock    clock.Clock

	Deployments []*Deployment

	// StartRun makes a run of the deployment "flow/deployment". Calls with the same idempotency key
	// make one run.
	StartRun func(ctx context.Context, handle, idempotencyKey string) error
}

// Deployment is a deployment as an engine executes it.
type Deployment struct {
	Record  *store.DeploymentRecord // dropped after registration
	ID      uuid.UUID
	Name    string
	Version string
	Flow    *Flow
	Schema  *param.Schema // nil: parameters are not validated
	Derived bool          // the schema is that of the flow's parameter type
	Secrets *param.Schema // nil: the parameters have none
	OnStart bool          // make a run when the deployment begins to be served
	Once    bool          // the function is entered at most once for each run
	Limited bool          // runs need a slot of a concurrency limit

	Isolated bool // runs have processes of their own
	Path     string
	Env      map[string]string

	Retention store.Retention // the zero value keeps what the store keeps
}

// Handle returns "flow/deployment".
func (d *Deployment) Handle() string { return store.Handle(d.Flow.Name, d.Name) }
