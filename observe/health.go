package observe

import "time"

// Health is how a runner is doing at one moment: see Runner.Health. It encodes to JSON as it is.
type Health struct {
	Status      HealthStatus `json:"status"`
	Runner      string       `json:"runner,omitempty"`
	Deployments int          `json:"deployments"` // that it serves

	InFlight         int `json:"in_flight"`         // runs that hold a slot: executing, or claimed for an instant that is near
	Limit            int `json:"limit"`             // slots; -1 without a limit
	UnwrittenResults int `json:"unwritten_results"` // runs that have ended, and the store does not know it yet

	LastPolled  time.Time `json:"last_polled,omitzero"`  // when planning or claiming last worked; a store in this process is asked when there is something to do
	LastRenewed time.Time `json:"last_renewed,omitzero"` // when leases were last renewed; with nothing in flight there are none

	LeasesLost int64 `json:"leases_lost"` // runs that were taken from this runner, or that it gave up because it could not renew their leases

	Problems []Problem `json:"problems,omitempty"` // by operation
}

// Healthy reports whether nothing is wrong: the runner serves, or drains as it should, and no
// operation has a problem. It is for liveness and health checks. Whether the runner takes on work
// is Status == HealthServing.
func (h Health) Healthy() bool {
	return (h.Status == HealthServing || h.Status == HealthDraining) && len(h.Problems) == 0
}

// HealthStatus is how far a Serve has got.
type HealthStatus string

// The statuses, in the order in which a runner takes them.
const (
	HealthStarting HealthStatus = "starting" // Ready is not closed yet; also before Serve
	HealthServing  HealthStatus = "serving"
	HealthDraining HealthStatus = "draining" // Serve's context has ended, runs finish
	HealthStopped  HealthStatus = "stopped"  // Serve has returned
)

// Problem is an operation that fails at the moment, or does not finish.
type Problem struct {
	Operation string    `json:"operation"`
	Since     time.Time `json:"since"`
	Error     string    `json:"error"`
}
