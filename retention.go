package provost

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/provost-go/provost/internal/instant"

	"github.com/google/uuid"
)

// Retention is how long runs are kept that are over, with their logs and the runs inside them. The zero value keeps what the store keeps:
// a [MemoryStore] its Keep, others all. An instant whose run is gone stays decided, and is not run again.
type Retention struct {
	// Age is how long ago a run may have ended. 0 is no bound.
	Age time.Duration

	// Runs is how many of a deployment's runs are kept at most, those that ended last. 0 is no bound.
	Runs int
}

// checkRetention refuses what means nothing.
func checkRetention(p *problems, r Retention) {
	if r.Age < 0 {
		p.add("Retention.Age", "is %v; give 0 (no bound) or more", r.Age)
	}
	if r.Runs < 0 {
		p.add("Retention.Runs", "is %d; give 0 (no bound) or more", r.Runs)
	}
}

const (
	pruneInterval    = time.Minute // between two looks, and as much again for each so many deployments:
	pruneDeployments = 10_000
	maxPruneAsked    = 1000 // deployments in one call
	maxPruned        = 200  // runs in one call, so that nothing else waits long
)

// pruneLoop removes what there is too much of, until ctx ends. Several runners may do so side by side.
func (s *server) pruneLoop(ctx context.Context) {
	interval := pruneInterval * time.Duration(1+len(s.deployments)/pruneDeployments)
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
func (s *server) pruneRuns(ctx context.Context, r Retention, ids []uuid.UUID) {
	for {
		p := PruneRunsParams{Deployments: ids, Keep: r.Runs, Limit: maxPruned}
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
