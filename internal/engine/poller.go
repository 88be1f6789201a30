package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/store"
)

const (
	maxClaimed = 5000
	localWatch = 20 * time.Second // how often the clocks are looked at where nothing is polled
	claimGrace = 2 * time.Second  // what a claim under way gets to be answered once Serve's context has ended
)

// feeder plans and claims. What it does are chores that fail each by itself: one that the store refuses is repeated after a
// backoff, beside the others, which go on meanwhile.
type poller struct {
	*Engine
	tasks   []*task
	urgent  []*task // the same, for when the store has hinted at work: what others plan is there to be claimed
	planner *task
	claimer *task
	answers chan taskResult
	beside  sync.WaitGroup
	clocks  clockWatch
}

// chore is one of the feeder's.
type task struct {
	do func(ctx context.Context, now time.Time) (next time.Time, err error)

	next   time.Time // on the wall clock, when there is more to do; zero: when there is a hint
	hinted bool      // there was one since it began last
	retry  retry
	beside bool // it is being repeated beside the others
	worked bool // at least once
}

type taskResult struct {
	chore *task
	next  time.Time
	err   error
}

func (s *Engine) newPoller() *poller {
	f := &poller{Engine: s, planner: &task{do: s.plan}, claimer: &task{do: s.claim}}
	beat, reap := &task{do: s.beat}, &task{do: s.reap}
	f.tasks = []*task{beat, reap, f.planner, f.claimer}
	f.urgent = []*task{f.claimer, beat, reap, f.planner}
	f.answers = make(chan taskResult, len(f.tasks))
	return f
}

// feedLoop plans and claims until ctx ends. It looks again when the store hints at work, when a slot frees after there was none,
// when the next run or plan is due, at every poll unless the store is local, and often enough to see that a clock has jumped or
// the process was stopped: timers stand still meanwhile, or run out in vain.
func (s *Engine) pollLoop(ctx context.Context, ready func()) {
	f := s.newPoller()
	again := make(chan struct{}, 1)
	s.outages.listen(again)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	chores := f.tasks
	for all := true; ctx.Err() == nil; {
		f.round(ctx, all, chores)
		chores = f.tasks
		if f.planner.worked {
			ready()
		}
		wait := f.wait()
		timer.Reset(wait)
		f.clocks.sleeps(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
			all = !s.local
		case <-s.wake:
			all = true
			if !s.local {
				chores = f.urgent
			}
			runtime.Gosched() // let what is under way finish, so that the next claim is a larger one
		case <-s.freed:
			all, f.claimer.hinted = false, true
			runtime.Gosched()
		case <-again:
			all = false
			for _, c := range f.tasks {
				c.retry.now()
			}
		case a := <-f.answers:
			all = false
			a.chore.beside = false
			f.note(ctx, a)
		}
		f.clocks.wakes()
	}
	f.beside.Wait()
	s.claimLast()
}

// round does the chores that are due, or all but those that have to wait after a failure.
func (f *poller) round(ctx context.Context, all bool, chores []*task) {
	now := f.now()
	if f.looksUpset(now) {
		all, chores = true, f.tasks
	}
	for _, c := range chores {
		c.hinted = c.hinted || all
		switch due := c.hinted || (!c.next.IsZero() && !now.Before(c.next)); {
		case c.beside || time.Now().Before(c.retry.at):
		case c.retry.failures > 0: // it may hang: the others do not wait for it
			c.beside, c.hinted = true, false
			f.beside.Go(func() {
				next, err := c.do(ctx, now)
				f.answers <- taskResult{c, next, err} // has room for each chore
			})
		case due:
			c.hinted = false
			next, err := c.do(ctx, now)
			f.note(ctx, taskResult{c, next, err})
		}
	}
}

// note takes what a chore gave.
func (f *poller) note(ctx context.Context, a taskResult) {
	c := a.chore
	if ctx.Err() != nil {
		return // that is why it failed, perhaps
	}
	if a.err != nil {
		c.retry.failed()
		return
	}
	c.retry.worked()
	c.next, c.worked = a.next, true
}

// wait is how long to wait at most.
func (f *poller) wait() time.Duration {
	wait := localWatch
	if !f.local {
		wait = f.PollInterval - f.PollInterval/10 + rand.N(f.PollInterval/5+1) // many runners do not poll in step
	}
	now := f.now()
	for _, c := range f.tasks {
		switch {
		case c.beside:
		case c.retry.failures > 0:
			wait = min(wait, time.Until(c.retry.at))
		case !c.next.IsZero():
			wait = min(wait, c.next.Sub(now))
		}
	}
	return max(0, wait)
}

// looksUpset reports whether the clock has jumped or the process was stopped since the last round. What rests on clocks is put
// right then: our leases are renewed before anybody's are judged, and so are those of the other runners, which see it too and
// get a LeaseTTL for it. The heartbeat comes first, so that a jump past the runner's own lease opens a gap, for the catch-up
// policies to deal with.
func (f *poller) looksUpset(now time.Time) bool {
	jump := f.clocks.jump(now)
	stopped := f.clocks.overslept
	if stopped < f.LeaseTTL/4 {
		stopped = 0
	}
	if jump == 0 && stopped == 0 {
		return false
	}
	if jump != 0 {
		f.log.Warn("wall clock jumped", "by", jump.Round(time.Millisecond))
		f.Watch.clockJumped(now, jump)
	} else {
		f.log.Warn("process did not run for some time", "for", stopped.Round(time.Millisecond))
	}
	until := time.Now().Add(f.LeaseTTL)
	f.reapFrom.Store(&until)
	f.beatNow.Store(true)
	signal(f.wakeKeeper)
	f.reconsider()
	return true
}

// beat is the heartbeat of a runner with a local store, and of any after a jump of the clock; else heartLoop does it. It comes
// often enough that the runner's lease never ends while the process runs, and that a jump by more than LeaseTTL goes past its end.
func (s *Engine) beat(ctx context.Context, now time.Time) (next time.Time, err error) {
	if !s.local && !s.beatNow.Load() {
		return time.Time{}, nil
	}
	if since := time.Since(s.beaten); since < s.LeaseTTL/3 && !s.beatNow.Load() {
		return now.Add(s.LeaseTTL/3*2 - since), nil
	}
	began := time.Now()
	err = s.heartbeat(ctx)
	s.report(ctx, "heartbeat", err)
	if err != nil {
		return time.Time{}, err
	}
	s.beatNow.Store(false)
	s.beaten = began
	return now.Add(s.LeaseTTL / 3 * 2), nil
}

// reap deals with the leases of runners that died. A store that others share is asked three times in a lease. While our own
// leases are in doubt nobody's are judged: what healthy runners hold is renewed first.
func (s *Engine) reap(ctx context.Context, now time.Time) (next time.Time, err error) {
	if wait := time.Until(instant.Latest(s.reapAt, *s.reapFrom.Load())); wait > 0 {
		return now.Add(wait), nil
	}
	if held := s.oldestTrust(); !held.IsZero() && time.Since(held) >= s.trustSpan() {
		return now.Add(time.Second), nil // the keeper is at it
	}
	if !s.local {
		s.reapAt = time.Now().Add(s.LeaseTTL / 3)
	}
	callCtx, cancel := s.storeCall(ctx)
	defer cancel()
	reaped, err := s.store.ReapLeases(callCtx, store.ReapLeasesParams{Now: instant.Of(now)})
	s.report(ctx, "reap leases", err)
	if err != nil {
		s.reapAt = time.Time{}
		return time.Time{}, err
	}
	for _, run := range reaped.Runs {
		s.log.Warn("run lost its runner", "run", run.Name, "id", run.ID, "deployment", store.Handle(run.Flow, run.Deployment),
			"runner", run.Runner, "state", run.State.String())
		s.Watch.reaped(now, run)
	}
	if !reaped.Next.IsZero() && s.local {
		return reaped.Next.Add(time.Microsecond), nil
	}
	return time.Time{}, nil
}

// plan materialises the runs of every schedule that wants it.
func (s *Engine) plan(ctx context.Context, _ time.Time) (next time.Time, err error) {
	for {
		due, more, err := s.planOnce(ctx)
		s.report(ctx, "plan runs", err)
		if err != nil || !more {
			return due, err
		}
	}
}

// planOnce asks what wants planning, and plans it for the time at which that was answered: the question may have been under way
// while the clock leapt, and a plan for the time before would deal with none of the gap that this is.
func (s *Engine) planOnce(ctx context.Context) (next time.Time, more bool, err error) {
	callCtx, cancel := s.storeCall(ctx)
	defer cancel()
	due, err := s.store.DueSchedules(callCtx, store.DueSchedulesParams{Now: instant.Of(s.now()), Limit: store.MaxPage})
	if err != nil {
		return time.Time{}, false, fmt.Errorf("find due schedules: %w", err)
	}
	if len(due.Items) == 0 {
		return due.Next, false, nil
	}
	now := instant.Of(s.now())
	plans := make([]store.SchedulePlan, len(due.Items))
	for i, item := range due.Items {
		plans[i] = makePlan(item, now)
	}
	errs, err := s.store.PlanRuns(callCtx, store.PlanRunsParams{Now: now, Plans: plans})
	if err != nil {
		return time.Time{}, false, fmt.Errorf("write plans: %w", err)
	}
	for i, err := range errs {
		s.reportPlan(&plans[i], err)
	}
	return time.Time{}, true, nil
}

// reportPlan tells what a plan skipped. A conflict is another runner's plan, or an update: the schedule comes up again.
func (s *Engine) reportPlan(p *store.SchedulePlan, err error) {
	if err != nil {
		if !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrNotFound) {
			s.log.Error("plan", "deployment", p.DeploymentID, "schedule", p.Key, "error", err)
		}
		return
	}
	for _, skip := range p.Skips {
		s.reportSkip("instants skipped", skip)
	}
	if n := len(p.Cancel); n > 0 {
		s.reportSkip("runs skipped", store.Skip{
			DeploymentID: p.DeploymentID, Schedule: p.Key, Reason: p.Reason, Count: n, First: p.Cancel[0], Last: p.Cancel[n-1],
		})
	}
}

// reportSkip tells of skipped instants. A pause was somebody's wish, and is not worth a line.
func (s *Engine) reportSkip(message string, skip store.Skip) {
	s.Watch.skipped(s.now(), s.Deployments[skip.DeploymentID], skip)
	if skip.Reason != store.SkipPaused {
		s.log.Warn(message, "deployment", skip.DeploymentID, "schedule", skip.Schedule, "reason", skip.Reason,
			"count", skip.Count, "first", skip.First, "last", skip.Last)
	}
}

// reportSkipped tells what a claim decided against: schedule by schedule, as there may be many.
func (s *Engine) reportSkipped(runs []store.SkippedRun) {
	var skips []store.Skip
	for _, run := range runs {
		at := slices.IndexFunc(skips, func(skip store.Skip) bool {
			return skip.DeploymentID == run.DeploymentID && skip.Schedule == run.Schedule && skip.Reason == run.Reason
		})
		if at < 0 {
			at = len(skips)
			skips = append(skips, store.Skip{
				DeploymentID: run.DeploymentID, Schedule: run.Schedule, Reason: run.Reason, First: run.ScheduledTime, Last: run.ScheduledTime,
			})
		}
		skip := &skips[at]
		skip.Count++
		skip.First, skip.Last = instant.Earliest(skip.First, run.ScheduledTime), instant.Latest(skip.Last, run.ScheduledTime)
	}
	for _, skip := range skips {
		s.reportSkip("runs skipped", skip)
	}
}

// claim fills the free slots. A call that fails may have claimed nevertheless: it is repeated under its ID until it is answered,
// so that what it took does not lie until its lease ends. No new call begins once ctx has ended, but one under way is answered.
func (s *Engine) claim(ctx context.Context, _ time.Time) (next time.Time, err error) {
	for ctx.Err() == nil {
		free := s.freeSlots()
		if free == 0 {
			return time.Time{}, nil
		}
		limit := min(free, maxClaimed)
		repeats := s.claimID != uuid.Nil
		claims, err := s.claimOnce(ctx, limit)
		if errors.Is(err, store.ErrNotFound) { // the store has forgotten this runner, or its lease has ended
			if err = s.heartbeat(ctx); err == nil {
				claims, err = s.claimOnce(ctx, limit)
			}
		}
		s.report(ctx, "claim runs", err)
		if err != nil {
			return time.Time{}, err
		}
		if len(claims.Runs) < limit && !repeats {
			return claims.Next, nil
		}
	}
	return time.Time{}, nil
}

func (s *Engine) claimOnce(ctx context.Context, limit int) (store.ClaimRunsResult, error) {
	now, began := s.now(), time.Now()
	if s.claimID == uuid.Nil {
		s.claimID = store.NewID(now)
	}
	s.claiming.Store(true)
	defer func() {
		if s.claiming.Store(false); s.missed.Swap(false) {
			signal(s.wakeKeeper)
		}
	}()
	left, again := s.left.now()
	callCtx, cancel := s.storeCall(s.claims)
	defer cancel()
	claims, err := s.store.ClaimRuns(callCtx, store.ClaimRunsParams{
		Now: instant.Of(now), Runner: s.id, ID: s.claimID, Limit: limit, TTL: s.LeaseTTL, Except: left,
	})
	if err != nil {
		return store.ClaimRunsResult{}, err
	}
	if again > 0 {
		claims.Next = instant.Earlier(claims.Next, now.Add(again))
	}
	s.claimID = uuid.Nil
	s.watchClaim(now, time.Since(began), len(claims.Runs))
	s.reportSkipped(claims.Skipped)
	s.take(ctx, claims.Runs, now, began)
	return claims, nil
}

// claimLast gets the answer of a claim that has none when Serve's context ends, for as long as it has time, to hand back what
// it took.
func (s *Engine) claimLast() {
	ended, end := context.WithCancel(s.claims)
	end()
	var retry retry
	for s.claimID != uuid.Nil && s.claims.Err() == nil {
		if _, err := s.claimOnce(ended, 1); err != nil {
			retry.failed()
			sleep(s.claims, time.Until(retry.at))
		}
	}
}

// freeSlots is how many more runs may be under way. While there is none, the feeder is woken by the next run that ends, or when
// what is left to be written, or the hooks to be called, are few enough again.
func (s *Engine) freeSlots() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	free := max(0, s.Limit-s.busy)
	if s.settler.backlog() > maxUnsettled || s.hooks.waiting() > maxUnsettled {
		free = 0
	}
	s.starved = free == 0
	return free
}

// wakeStarved wakes the feeder if it found no free slot, once what it counted has become less: it either counts that, or has said
// by now that it waits.
func (s *Engine) wakeStarved() {
	s.mu.Lock()
	starved := s.starved
	s.mu.Unlock()
	if starved {
		signal(s.freed)
	}
}

// take readies the runs of a claim that was begun at a time, and starts each at its instant. Runs that are due together start
// together.
func (s *Engine) take(ctx context.Context, claims []store.Claim, now, began time.Time) {
	if len(claims) == 0 {
		return
	}
	executions := s.newExecutions(claims, began)
	s.running.Add(len(executions))
	s.admit(executions, began)
	if ctx.Err() != nil { // too late: these do not begin any more
		s.handBack(executions)
		return
	}
	slices.SortStableFunc(executions, func(a, b *Execution) int { return a.Claim.DueTime.Compare(b.Claim.DueTime) })
	for len(executions) > 0 {
		due := executions[0].Claim.DueTime
		n := 1
		for n < len(executions) && (executions[n].Claim.DueTime.Equal(due) || !executions[n].Claim.DueTime.After(now)) {
			n++
		}
		s.startAt(executions[:n:n], due)
		executions = executions[n:]
	}
}

// newExecutions readies claimed runs in a goroutine of their own: a parameter's own UnmarshalJSON may end it (runtime.Goexit), and
// then the next one goes on.
func (s *Engine) newExecutions(claims []store.Claim, began time.Time) []*Execution {
	executions := make([]*Execution, 0, len(claims))
	for next := 0; next < len(claims); {
		done := make(chan struct{})
		go func() {
			defer close(done)
			for next < len(claims) {
				c := &claims[next]
				next++
				sd := s.Deployments[c.DeploymentID]
				if sd == nil { // a store that keeps its contract does not do this
					s.log.Error("claimed a run of a deployment that is not served; its lease will end", "run", c.RunID)
					continue
				}
				x := s.NewExecution(*c, sd, began)
				if time.Since(began) >= s.trustSpan() { // the answer was so long on its way that another may have the run
					x.distrusted = true
					x.cancel(store.ErrLeaseLost)
				}
				executions = append(executions, x)
				x.prepare()
			}
		}()
		<-done
	}
	return executions
}

// admit counts claimed runs as under way, and has their leases renewed.
func (s *Engine) admit(executions []*Execution, began time.Time) {
	s.mu.Lock()
	ends := began.Add(s.trustSpan())
	news := s.heldFrom.IsZero() || began.Before(s.heldFrom) || s.trustEnds.IsZero()
	s.heldFrom, s.trustEnds = instant.Earlier(s.heldFrom, began), instant.Earlier(s.trustEnds, ends)
	for _, x := range executions {
		x.index = len(s.inFlight)
		s.inFlight = append(s.inFlight, x)
	}
	s.busy += len(executions)
	s.mu.Unlock()
	if news {
		signal(s.admitted)
	}
}

// batch is runs that wait for their instant.
type batch struct {
	due        time.Time
	executions []*Execution
	timer      *time.Timer
}

// startAt launches runs at their instant, or hands them back if the runner leaves before.
func (s *Engine) startAt(executions []*Execution, due time.Time) {
	wait := due.Sub(s.now())
	switch {
	case wait <= 0:
		s.launch(executions)
		return
	case s.farAhead(wait):
		s.handBack(executions)
		return
	}
	b := &batch{due: due, executions: executions}
	s.mu.Lock()
	leaving := s.draining
	if !leaving {
		s.waiting[b] = struct{}{}
		s.expectChildren(b, 1)
		b.timer = time.AfterFunc(s.atMost(wait), func() { s.fire(b) })
	}
	s.mu.Unlock()
	if leaving {
		s.handBack(executions)
	}
}

// atMost bounds how long a timer may run before the wall clock is asked again: it may jump meanwhile.
func (s *Engine) atMost(wait time.Duration) time.Duration {
	if s.local {
		return min(wait, localWatch)
	}
	return min(wait, s.PollInterval)
}

// farAhead reports whether claimed runs would have to wait so long for their instant that they had better be handed back, with the
// slots that they hold: the clock was set back since they were claimed.
func (s *Engine) farAhead(wait time.Duration) bool { return wait > s.LeaseTTL }

// fire starts a batch whose timer has run out, unless the wall clock says that it is early.
func (s *Engine) fire(b *batch) {
	s.mu.Lock()
	_, waits := s.waiting[b]
	early := b.due.Sub(s.now())
	if waits && early > 0 && !s.farAhead(early) {
		b.timer.Reset(s.atMost(early))
		s.mu.Unlock()
		return
	}
	delete(s.waiting, b)
	s.mu.Unlock()
	switch {
	case !waits:
		return
	case early > 0:
		s.handBack(b.executions)
	default:
		s.launch(b.executions)
	}
	s.expectChildren(b, -1)
}

// expectChildren has processes started ahead of the instant of runs that want one.
func (s *Engine) expectChildren(b *batch, sign int) {
	if s.processes == nil {
		return
	}
	runs := 0
	for _, x := range b.executions {
		if x.served.Isolated {
			runs++
		}
	}
	s.processes.expect(sign * runs)
}

// reconsider has the batches that wait for their instant look at the clock.
func (s *Engine) reconsider() {
	s.mu.Lock()
	batches := slices.Collect(maps.Keys(s.waiting))
	s.mu.Unlock()
	for _, b := range batches {
		s.fire(b)
	}
}

// handBackWaiting gives up the runs that wait for their instant, and all that would from now on.
func (s *Engine) handBackWaiting() {
	s.mu.Lock()
	s.draining = true
	batches := slices.Collect(maps.Keys(s.waiting))
	clear(s.waiting)
	s.mu.Unlock()
	for _, b := range batches {
		b.timer.Stop()
		s.expectChildren(b, -1)
		s.handBack(b.executions)
	}
}

// handBack gives up runs that were claimed and not launched.
func (s *Engine) handBack(executions []*Execution) {
	for _, x := range executions {
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
