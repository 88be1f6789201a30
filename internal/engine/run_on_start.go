package engine

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/params"
	"github.com/provost-go/provost/store"
)

// runOnStart makes the runs of deployments that begin to be served. If the store fails, it returns
// the rest for later.
func (e *Engine) runOnStart(ctx context.Context, unserved []uuid.UUID) (unmade []uuid.UUID) {
	for i, id := range unserved {
		if d := e.deployments[id]; d.OnStart && e.makeStartRun(ctx, d) != nil {
			return unserved[i:]
		}
	}
	return nil
}

// makeStartRun makes one run for this start, however often it is called. What is refused is not
// tried again.
func (e *Engine) makeStartRun(ctx context.Context, d *Deployment) error {
	err := e.config.StartRun(ctx, d.Handle(), "start of runner "+e.heart.id.String())
	_, misfit := errors.AsType[*params.Error](err)
	if misfit || errors.Is(err, store.ErrQueueFull) || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrConflict) {
		e.log.Error("run on start", "deployment", d.Handle(), "error", err)
		return nil
	}
	e.report(ctx, "run on start", err)
	return err
}

// repeatRunOnStart makes the runs that are left, until the store has them all.
func (e *Engine) repeatRunOnStart(ctx context.Context, unmade []uuid.UUID) {
	var retry retry
	for len(unmade) > 0 {
		retry.failed()
		if !sleep(ctx, time.Until(retry.at)) {
			e.log.Error("runs on start not made: the store failed until Serve's context ended")
			return
		}
		before := len(unmade)
		if unmade = e.runOnStart(ctx, unmade); len(unmade) < before {
			retry.worked()
		}
	}
}
