package provost

import (
	"context"
	"sync/atomic"

	"github.com/provost-go/provost/internal/engine"
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
		serveInChild(context.Background(), deployments)
	}
}

// InChild reports whether this process is a child process that a runner started for its runs, so that main can skip its set-up.
func InChild() bool { return thisChild != nil }

// childServed is set once ServeChild was called.
var childServed atomic.Bool

// thisChild is what makes this process a child; nil in any other. errStray is why it is none although the variable is there.
var thisChild, errStray = engine.HostFromEnvironment()

// serveInChild executes the runs that the runner assigns to this process. It never returns.
func serveInChild(ctx context.Context, deployments []*Deployment) {
	var offers []engine.Offer
	for _, d := range deployments {
		if d != nil && !nilFlow(d.Flow) {
			offers = append(offers, engine.Offer{Flow: d.Flow.erase(), Name: d.Name, ParameterSchema: d.ParameterSchema})
		}
	}
	thisChild.Serve(contextWithClient(ctx, NewClient(thisChild.Store())), offers)
}
