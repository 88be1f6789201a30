package provost

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Bounds on the feeder's store calls, and on its patience with a store that fails.
const (
	maxClaimed = 5000
	minBackoff = 100 * time.Millisecond
	maxBackoff = 10 * time.Second
	idleVouch  = 365 * 24 * time.Hour // how long a runner with nothing to come vouches for itself in a local store
)

// feedLoop plans and claims until ctx ends. It looks again when the store hints at work, when a slot frees after there was none,
// when the next run or plan is due, and, unless the store is local, at every poll.
func (s *server) feedLoop(ctx context.Context, ready func()) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	failures := 0
	for ctx.Err() == nil {
		next, err := s.feed(ctx)
		if ctx.Err() != nil {
			return
		}
		s.report("feed", err)
		if err == nil {
			failures = 0
			ready()
		} else {
			failures++
		}
		if wait, bounded := s.feedWait(next, failures); bounded {
			timer.Reset(wait)
		} else {
			timer.Stop()
		}
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-s.wake:
			if failures > 0 { // a hint does not make a store work again
				select {
				case <-ctx.Done():
				case <-timer.C:
				}
			}
			runtime.Gosched() // let what is under way finish, so that the next claim is a larger one
		}
	}
}

// feedWait is how long to wait at most, false for as long as there is no hint.
func (s *server) feedWait(next time.Time, failures int) (wait time.Duration, bounded bool) {
	if failures > 0 {
		wait := backoff(failures)
		return wait/2 + rand.N(wait/2+1), true
	}
	if !next.IsZero() {
		wait, bounded = max(0, next.Sub(s.now())), true
	}
	if s.local {
		return wait, bounded
	}
	poll := s.pollInterval - s.pollInterval/10 + rand.N(s.pollInterval/5+1) // many runners do not poll in step
	if !bounded || poll < wait {
		return poll, true
	}
	return wait, true
}

// backoff is how long to leave a store alone that has failed so often in a row.
func backoff(failures int) time.Duration {
	return min(maxBackoff, minBackoff<<min(failures-1, 10))
}

// feed does all that is to do now, and says when there will be more.
func (s *server) feed(ctx context.Context) (next time.Time, err error) {
	if s.local {
		if err := s.vouch(ctx, s.now()); err != nil {
			return time.Time{}, err
		}
	}
	nextReap, err := s.reap(ctx)
	if err != nil {
		return time.Time{}, err
	}
	nextPlan, err := s.plan(ctx)
	if err != nil {
		return time.Time{}, err
	}
	nextClaim, err := s.claim(ctx)
	if err != nil {
		return time.Time{}, err
	}
	next = earlier(earlier(nextReap, nextPlan), nextClaim)
	if s.local {
		alive := next
		if alive.IsZero() {
			alive = s.now().Add(idleVouch)
		}
		err = s.vouch(ctx, latestOf(alive, s.now()))
	}
	return next, err
}

// vouch says that this runner is alive, and in a local store that it will be until it wakes.
func (s *server) vouch(ctx context.Context, alive time.Time) error {
	callCtx, cancel := s.storeCall(ctx)
	defer cancel()
	now := instant(s.now())
	err := s.store.HeartbeatRunner(callCtx, HeartbeatParams{
		Now: now, Runner: s.id, SeenAt: instant(alive), Until: instant(alive).Add(s.leaseTTL),
	})
	if err == nil {
		return nil
	}
	if !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("heartbeat: %w", err)
	}
	ids := make([]uuid.UUID, 0, len(s.deployments))
	for id := range s.deployments {
		ids = append(ids, id)
	}
	_, err = s.registerRunner(callCtx, now, ids)
	return err
}

// reap deals with the leases of runners that died. A store that others share is asked three times in a lease.
func (s *server) reap(ctx context.Context) (next time.Time, err error) {
	now := s.now()
	if wait := time.Until(s.reapAt); !s.local && wait > 0 {
		return now.Add(wait), nil
	}
	s.reapAt = time.Now().Add(s.leaseTTL / 3)
	callCtx, cancel := s.storeCall(ctx)
	defer cancel()
	reaped, err := s.store.ReapLeases(callCtx, ReapLeasesParams{Now: instant(now)})
	if err != nil {
		return time.Time{}, fmt.Errorf("reap leases: %w", err)
	}
	for _, run := range reaped.Runs {
		s.log.Warn("run lost its runner", "run", run.Name, "id", run.ID, "deployment", handle(run.Flow, run.Deployment),
			"runner", run.Runner, "state", run.State.String())
	}
	if !reaped.Next.IsZero() && s.local {
		return reaped.Next.Add(time.Microsecond), nil
	}
	return time.Time{}, nil
}

// plan materialises the runs of every schedule that wants it.
func (s *server) plan(ctx context.Context) (next time.Time, err error) {
	for {
		now := instant(s.now())
		due, more, err := s.planOnce(ctx, now)
		if err != nil || !more {
			return due, err
		}
	}
}

func (s *server) planOnce(ctx context.Context, now time.Time) (next time.Time, more bool, err error) {
	callCtx, cancel := s.storeCall(ctx)
	defer cancel()
	due, err := s.store.DueSchedules(callCtx, DueSchedulesParams{Now: now, Limit: MaxPage})
	if err != nil {
		return time.Time{}, false, fmt.Errorf("find due schedules: %w", err)
	}
	if len(due.Items) == 0 {
		return due.Next, false, nil
	}
	plans := make([]SchedulePlan, len(due.Items))
	for i, item := range due.Items {
		plans[i] = makePlan(item, now)
	}
	errs, err := s.store.PlanRuns(callCtx, PlanRunsParams{Now: now, Plans: plans})
	if err != nil {
		return time.Time{}, false, fmt.Errorf("plan runs: %w", err)
	}
	for i, err := range errs {
		s.reportPlan(&plans[i], err)
	}
	return time.Time{}, true, nil
}

// reportPlan logs what a plan skipped. A conflict is another runner's plan, or an update: the schedule comes up again.
func (s *server) reportPlan(p *SchedulePlan, err error) {
	if err != nil {
		if !errors.Is(err, ErrConflict) && !errors.Is(err, ErrNotFound) {
			s.log.Error("plan", "deployment", p.DeploymentID, "schedule", p.Key, "error", err)
		}
		return
	}
	for _, skip := range p.Skips {
		if skip.Reason != SkipPaused {
			s.log.Warn("instants skipped", "deployment", p.DeploymentID, "schedule", p.Key, "reason", skip.Reason,
				"count", skip.Count, "first", skip.First, "last", skip.Last)
		}
	}
	if len(p.Cancel) > 0 {
		s.log.Warn("runs skipped", "deployment", p.DeploymentID, "schedule", p.Key, "reason", p.Reason, "count", len(p.Cancel))
	}
}

// claim fills the free slots.
func (s *server) claim(ctx context.Context) (next time.Time, err error) {
	for {
		free := s.freeSlots()
		if free == 0 {
			return time.Time{}, nil
		}
		limit := min(free, maxClaimed)
		now, began := s.now(), time.Now()
		callCtx, cancel := s.storeCall(ctx)
		claims, err := s.store.ClaimRuns(callCtx, ClaimRunsParams{Now: instant(now), Runner: s.id, Limit: limit, TTL: s.leaseTTL})
		cancel()
		if err != nil {
			if errors.Is(err, ErrNotFound) { // the store has forgotten this runner, or its lease has ended
				return instant(now), s.vouch(ctx, now)
			}
			return time.Time{}, fmt.Errorf("claim runs: %w", err)
		}
		s.take(claims.Runs, now, began)
		if len(claims.Runs) < limit {
			return claims.Next, nil
		}
	}
}

// freeSlots is how many more runs may be under way. While there is none, the next run that ends wakes the feeder.
func (s *server) freeSlots() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	free := max(0, s.limit-s.busy)
	if backlog := s.settler.backlog(); backlog > maxUnsettled {
		free = 0
	}
	s.starved = free == 0
	return free
}

// take readies the runs of a claim that was begun at a time, and starts each at its instant. Runs that are due together start
// together.
func (s *server) take(claims []Claim, now, began time.Time) {
	if len(claims) == 0 {
		return
	}
	executions := make([]*execution, 0, len(claims))
	for i := range claims {
		c := &claims[i]
		sd := s.deployments[c.DeploymentID]
		if sd == nil { // a store that keeps its contract does not do this
			s.log.Error("claimed a run of a deployment that is not served; its lease will end", "run", c.RunID)
			continue
		}
		executions = append(executions, s.newExecution(*c, sd, began))
	}
	s.running.Add(len(executions))
	s.admit(executions)
	slices.SortStableFunc(executions, func(a, b *execution) int { return a.claim.DueTime.Compare(b.claim.DueTime) })
	for len(executions) > 0 {
		due := executions[0].claim.DueTime
		n := 1
		for n < len(executions) && (executions[n].claim.DueTime.Equal(due) || !executions[n].claim.DueTime.After(now)) {
			n++
		}
		s.startAt(executions[:n:n], due)
		executions = executions[n:]
	}
}

// admit counts claimed runs as under way, and has their leases renewed.
func (s *server) admit(executions []*execution) {
	s.mu.Lock()
	idle := len(s.inFlight) == 0
	for _, x := range executions {
		x.index = len(s.inFlight)
		s.inFlight = append(s.inFlight, x)
	}
	s.busy += len(executions)
	s.mu.Unlock()
	if idle {
		signal(s.wakeKeeper)
	}
}

// batch is runs that wait for their instant.
type batch struct {
	due        time.Time
	executions []*execution
	timer      *time.Timer
}

func (s *server) startAt(executions []*execution, due time.Time) {
	wait := due.Sub(s.now())
	if wait <= 0 {
		s.launch(executions)
		return
	}
	b := &batch{due: due, executions: executions}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting[b] = struct{}{}
	s.expectChildren(b, 1)
	b.timer = time.AfterFunc(wait, func() { s.fire(b) })
}

// fire starts a batch whose timer has run out, unless the wall clock says that it is early.
func (s *server) fire(b *batch) {
	s.mu.Lock()
	_, waits := s.waiting[b]
	if early := b.due.Sub(s.now()); waits && early > 0 {
		b.timer.Reset(early)
		s.mu.Unlock()
		return
	}
	delete(s.waiting, b)
	s.mu.Unlock()
	if waits {
		s.launch(b.executions)
		s.expectChildren(b, -1)
	}
}

// expectChildren has processes started ahead of the instant of runs that want one.
func (s *server) expectChildren(b *batch, sign int) {
	if s.processes == nil {
		return
	}
	runs := 0
	for _, x := range b.executions {
		if x.served.isolated {
			runs++
		}
	}
	s.processes.expect(sign * runs)
}

// handBackBatch gives up runs that wait for their instant.
func (s *server) handBackBatch(b *batch) {
	s.mu.Lock()
	_, waits := s.waiting[b]
	delete(s.waiting, b)
	s.mu.Unlock()
	if !waits {
		return
	}
	b.timer.Stop()
	s.expectChildren(b, -1)
	for _, x := range b.executions {
		x.handBack()
		s.running.Done()
	}
}

// signal wakes whoever reads ch, if it is not awake already.
func signal(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
