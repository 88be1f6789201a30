package provost

import (
	"context"
	"sync/atomic"

	"github.com/provost-go/provost/internal/engine"
)

// ServeChild is for programs that run deployments with [Subprocess] and whose main does anything
// before [Serve], such as opening ports, reading flags or taking locks. A run in a subprocess is
// this program started again, so main runs again too.
//
// Call ServeChild first thing in main, and in TestMain, with the deployments that Serve gets later.
// In a normal process it returns at once and does nothing. In a subprocess it executes the runs
// that the runner assigns to it and ends the process.
//
// In a subprocess of a program that does not call it, Serve does the same. If main fails before
// that, the run ends Crashed, with a message that says so.
func ServeChild(deployments ...*Deployment) {
	childServed.Store(true)
	if thisChild != nil {
		serveInChild(context.Background(), deployments)
	}
}

// InChild reports whether this process is a subprocess that a runner started for its runs, so that
// main can skip its set-up.
func InChild() bool { return thisChild != nil }

// childServed is set once ServeChild was called.
var childServed atomic.Bool

// thisChild executes runs if this process is a subprocess; it is nil in any other process. errStray
// is why this process is none although its environment says so.
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
