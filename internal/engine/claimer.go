package engine

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/store"
)

const (
	maxClaimed = 5000
	claimGrace = 2 * time.Second // for a claim under way to be answered once Serve's context has ended
)

// claimer fills the runner's free slots with due runs and passes them to the starter. Only the
// poller calls it.
type claimer struct {
	*Access
	heart       *heart
	slots       *slots
	leases      *LeaseKeeper
	executor    *executor
	starter     *starter
	skips       *skipReporter
	declined    *declinedRuns
	deployments map[uuid.UUID]*Deployment

	// calls is the context of claims. It ends a little after Serve's: a claim under way is
	// answered.
	calls context.Context

	id uuid.UUID // of a claim that was not answered; Nil if there is none
}

// poll is the poller's task. A call that fails may have claimed nevertheless: it is repeated under
// its ID until it is answered, so that what it took does not wait for its lease to expire. No new
// call begins once ctx has ended.
func (c *claimer) poll(ctx context.Context, _ time.Time) (next time.Time, err error) {
	for ctx.Err() == nil {
		free := c.slots.free()
		if free == 0 {
			return time.Time{}, nil
		}
		limit := min(free, maxClaimed)
		repeats := c.id != uuid.Nil
		claims, err := c.claim(ctx, limit)
		if errors.Is(err, store.ErrNotFound) { // the store has forgotten this runner, or its lease has expired
			if err = c.heart.beat(ctx); err == nil {
				claims, err = c.claim(ctx, limit)
			}
		}
		c.report(ctx, "claim runs", err)
		if err != nil {
			return time.Time{}, err
		}
		if len(claims.Runs) < limit && !repeats {
			return claims.Next, nil
		}
	}
	return time.Time{}, nil
}

// finish repeats a claim that was not answered when Serve's context ended, for as long as there is
// time, to hand back what it took.
func (c *claimer) finish() {
	ended, end := context.WithCancel(c.calls)
	end()
	var retry retry
	for c.id != uuid.Nil && c.calls.Err() == nil {
		if _, err := c.claim(ended, 1); err != nil {
			retry.failed()
			sleep(c.calls, time.Until(retry.at))
		}
	}
}

// claim makes one call and passes on what it claimed.
func (c *claimer) claim(ctx context.Context, limit int) (store.ClaimRunsResult, error) {
	now, began := c.now(), time.Now()
	if c.id == uuid.Nil {
		c.id = store.NewID(now)
	}
	c.leases.claimBegins()
	defer c.leases.claimEnds()
	declined, until := c.declined.list()
	callCtx, cancel := c.call(c.calls)
	defer cancel()
	claims, err := c.store.ClaimRuns(callCtx, store.ClaimRunsParams{
		Now: instant.Of(now), Runner: c.heart.id, ID: c.id, Limit: limit, TTL: c.leases.ttl, Except: declined,
	})
	if err != nil {
		return store.ClaimRunsResult{}, err
	}
	if until > 0 {
		claims.Next = instant.Earlier(claims.Next, now.Add(until))
	}
	c.id = uuid.Nil
	c.events.claimed(now, time.Since(began), len(claims.Runs), loadOf(c.slots, c.leases))
	c.skips.reportRuns(claims.Skipped)
	c.take(ctx, claims.Runs, now, began)
	return claims, nil
}

// take readies claimed runs, has their leases kept, and starts each at its instant. began is when
// the claim began.
func (c *claimer) take(ctx context.Context, claims []store.Claim, now, began time.Time) {
	if len(claims) == 0 {
		return
	}
	executions := c.ready(claims, began)
	holds := make([]*Hold, len(executions))
	for i, x := range executions {
		holds[i] = &x.Hold
	}
	c.starter.pool.running.Add(len(executions))
	c.slots.take(len(executions))
	c.leases.Add(holds, began)
	if ctx.Err() != nil { // too late: these do not begin any more
		c.starter.handBack(executions)
		return
	}
	c.starter.start(executions, now)
}

// ready makes executions of claimed runs, in a goroutine of its own: a parameter's UnmarshalJSON
// may end the goroutine (runtime.Goexit), and then the next one goes on.
func (c *claimer) ready(claims []store.Claim, began time.Time) []*Execution {
	executions := make([]*Execution, 0, len(claims))
	for next := 0; next < len(claims); {
		done := make(chan struct{})
		go func() {
			defer close(done)
			for next < len(claims) {
				claim := &claims[next]
				next++
				d := c.deployments[claim.DeploymentID]
				if d == nil { // a store that keeps its contract does not do this
					c.log.Error("claimed a run of a deployment that is not served; its lease will expire", "run", claim.RunID)
					continue
				}
				x := c.executor.newExecution(*claim, d, began)
				if time.Since(began) >= c.leases.trustSpan() { // the answer took so long that another runner may have the run
					c.leases.distrust(&x.Hold)
				}
				executions = append(executions, x)
				x.prepare()
			}
		}()
		<-done
	}
	return executions
}
