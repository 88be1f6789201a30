package engine

import (
	"context"
	"encoding/json"
	"io/fs"
	"reflect"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/param"
	"github.com/provost-go/provost/params"
	"github.com/provost-go/provost/store"
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
	Parameters    params.Params // layered and normalised; a copy, in which each secret is a Secret[any]: printed as ***, to be revealed
	ScheduledTime time.Time
	Attempt       int // 1 for the first
	ParentID      uuid.UUID
}

func FirstNonEmpty(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// flow is a Flow without its types: what the runner executes.
type Flow struct {
	Name, Version, Description string

	Source         fs.FS
	Retries        int
	RetryDelay     time.Duration
	Backoff        func(int, error) time.Duration
	Timeout        time.Duration
	AtMostOnce     bool
	OnCompletion   func(context.Context, *store.Run) error
	OnFailure      func(context.Context, *store.Run) error
	OnCancellation func(context.Context, *store.Run) error

	Function       any // nil if the flow has none
	Params, Result reflect.Type
	Prepare        func(p params.Params, schema *param.Schema, derived bool) (Invocation, error) // see readParams
}

// invocation is one call of a flow's function, its parameters decoded.
type Invocation interface {
	Call(ctx context.Context) error
	Result() (json.RawMessage, error)
}

// delay is the time between the failure of attempt and the next one.
func (f *Flow) delay(attempt int, err error) time.Duration {
	if f.Backoff != nil {
		return max(0, f.Backoff(attempt, err))
	}
	return max(0, f.RetryDelay)
}
