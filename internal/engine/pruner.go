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

// Bounds on the deletion of finished runs.
const (
	pruneInterval    = time.Minute // between two looks, and as much again for each so many deployments:
	pruneDeployments = 10_000
	maxPruneAsked    = 1000 // deployments in one call
	maxPruned        = 200  // runs in one call, so that nothing else waits long
)

// pruner deletes finished runs by the retention policies of their deployments. Several runners may
// do so side by side.
type pruner struct {
	*Access
	policies    map[store.Retention][]uuid.UUID // without the zero policy
	deployments int
}

func newPruner(a *Access, deployments []*Deployment) *pruner {
	p := &pruner{Access: a, policies: make(map[store.Retention][]uuid.UUID), deployments: len(deployments)}
	for _, d := range deployments {
		if d.Retention != (store.Retention{}) {
			p.policies[d.Retention] = append(p.policies[d.Retention], d.ID)
		}
	}
	return p
}

// run prunes until ctx ends. It returns at once if every run is kept.
func (p *pruner) run(ctx context.Context) {
	if len(p.policies) == 0 {
		return
	}
	interval := pruneInterval * time.Duration(1+p.deployments/pruneDeployments)
	wait := rand.N(interval) // runners that start together do not look together
	for sleep(ctx, wait) {
		for policy, ids := range p.policies {
			for some := range slices.Chunk(ids, maxPruneAsked) {
				p.prune(ctx, policy, some)
			}
		}
		wait = interval
	}
}

// prune deletes what a policy does not keep of some deployments, bit by bit. After each bit it
// pauses for as long as that took.
func (p *pruner) prune(ctx context.Context, r store.Retention, ids []uuid.UUID) {
	for {
		params := store.PruneRunsParams{Deployments: ids, Keep: r.Runs, Limit: maxPruned}
		if r.Age > 0 {
			params.Before = instant.Of(p.now().Add(-r.Age))
		}
		began := time.Now()
		callCtx, cancel := p.call(ctx)
		n, err := p.store.PruneRuns(callCtx, params)
		cancel()
		p.report(ctx, "prune runs", err)
		if err != nil || n < params.Limit || !sleep(ctx, time.Since(began)) {
			return
		}
	}
}
