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

// Flow is a provost.Flow without its types.
type Flow struct {
	Name, Version, Description string

	Source         fs.FS
	Retries        int
	RetryDelay     time.Duration
	Backoff        func(attempt int, err error) time.Duration
	Timeout        time.Duration
	AtMostOnce     bool
	OnCompletion   func(context.Context, *store.Run) error
	OnFailure      func(context.Context, *store.Run) error
	OnCancellation func(context.Context, *store.Run) error

	Function       any // nil if the flow has none
	Params, Result reflect.Type

	// Prepare decodes the parameters of a run. If schema is not nil they must fit it; derived means
	// that it is the schema of the flow's own parameter type.
	Prepare func(p params.Params, schema *param.Schema, derived bool) (Invocation, error)
}

// Invocation is one call of a flow's function with decoded parameters.
type Invocation interface {
	// Call calls the function. It may be called again for another attempt.
	Call(ctx context.Context) error

	// Result encodes what the last call returned, nil for a flow without a result.
	Result() (json.RawMessage, error)
}

// delay returns the time between the failure of an attempt and the next attempt.
func (f *Flow) delay(attempt int, err error) time.Duration {
	if f.Backoff != nil {
		return max(0, f.Backoff(attempt, err))
	}
	return max(0, f.RetryDelay)
}

// RunInfo is what a flow can know about the run that it is in. It has the fields of
// provost.RunInfo, which documents them.
type RunInfo struct {
	ID            uuid.UUID
	Name          string
	Flow          string
	Deployment    string
	Schedule      string
	Version       string
	Tags          []string
	Parameters    params.Params
	ScheduledTime time.Time
	Attempt       int
	ParentID      uuid.UUID
}
