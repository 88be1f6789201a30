package engine

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/store"
)

const (
	pruneInterval    = time.Minute // between two looks, and as much again for each so many deployments:
	pruneDeployments = 10_000
	maxPruneAsked    = 1000 // deployments in one call
	maxPruned        = 200  // runs in one call, so that nothing else waits long
)

// pruneLoop removes what there is too much of, until ctx ends. Several runners may do so side by side.
func (s *Engine) pruneLoop(ctx context.Context) {
	interval := pruneInterval * time.Duration(1+len(s.Deployments)/pruneDeployments)
	wait := rand.N(interval) // runners that start together do not look together
	for sleep(ctx, wait) {
		for retention, ids := range s.retained {
			for some := range slices.Chunk(ids, maxPruneAsked) {
				s.pruneRuns(ctx, retention, some)
			}
		}
		wait = interval
	}
}

// pruneRuns removes what is too much of some deployments, bit by bit. Each is followed by a pause as long as it took.
func (s *Engine) pruneRuns(ctx context.Context, r store.Retention, ids []uuid.UUID) {
	for {
		p := store.PruneRunsParams{Deployments: ids, Keep: r.Runs, Limit: maxPruned}
		if r.Age > 0 {
			p.Before = instant.Of(s.now().Add(-r.Age))
		}
		began := time.Now()
		callCtx, cancel := s.storeCall(ctx)
		n, err := s.store.PruneRuns(callCtx, p)
		cancel()
		s.report(ctx, "prune runs", err)
		if err != nil || n < p.Limit || !sleep(ctx, time.Since(began)) {
			return
		}
	}
}
