package provost

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

	"github.com/provost-go/provost/internal/instant"

	"github.com/google/uuid"
)

const (
	maxClaimed = 5000
	localWatch = 20 * time.Second // how often the clocks are looked at where nothing is polled
	claimGrace = 2 * time.Second  // what a claim under way gets to be answered once Serve's context has ended
)

// feeder plans and claims. What it does are chores that fail each by itself: one that the store refuses is repeated after a
// backoff, beside the others, which go on meanwhile.
type feeder struct {
	*server
	chores  []*chore
	hasty   []*chore // the same, for when the store has hinted at work: what others plan is there to be claimed
	planner *chore
	claimer *chore
	answers chan choreAnswer
	beside  sync.WaitGroup
	clocks  clockWatch
}

// chore is one of the feeder's.
type chore struct {
	do func(ctx context.Context, now time.Time) (next time.Time, err error)

	next   time.Time // on the wall clock, when there is more to do; zero: when there is a hint
	hinted bool      // there was one since it began last
	retry  retry
	beside bool // it is being repeated beside the others
	worked bool // at least once
}

type choreAnswer struct {
	chore *chore
	next  time.Time
	err   error
}

func (s *server) newFeeder() *feeder {
	f := &feeder{server: s, planner: &chore{do: s.plan}, claimer: &chore{do: s.claim}}
	beat, reap := &chore{do: s.beat}, &chore{do: s.reap}
	f.chores = []*chore{beat, reap, f.planner, f.claimer}
	f.hasty = []*chore{f.claimer, beat, reap, f.planner}
	f.answers = make(chan choreAnswer, len(f.chores))
	return f
}

// feedLoop plans and claims until ctx ends. It looks again when the store hints at work, when a slot frees after there was none,
// when the next run or plan is due, at every poll unless the store is local, and often enough to see that a clock has jumped or
// the process was stopped: timers stand still meanwhile, or run out in vain.
func (s *server) feedLoop(ctx context.Context, ready func()) {
	f := s.newFeeder()
	again := make(chan struct{}, 1)
	s.outages.listen(again)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	chores := f.chores
	for all := true; ctx.Err() == nil; {
		f.round(ctx, all, chores)
		chores = f.chores
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
				chores = f.hasty
			}
			runtime.Gosched() // let what is under way finish, so that the next claim is a larger one
		case <-s.freed:
			all, f.claimer.hinted = false, true
			runtime.Gosched()
		case <-again:
			all = false
			for _, c := range f.chores {
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
func (f *feeder) round(ctx context.Context, all bool, chores []*chore) {
	now := f.now()
	if f.looksUpset(now) {
		all, chores = true, f.chores
	}
	for _, c := range chores {
		c.hinted = c.hinted || all
		switch due := c.hinted || (!c.next.IsZero() && !now.Before(c.next)); {
		case c.beside || time.Now().Before(c.retry.at):
		case c.retry.failures > 0: // it may hang: the others do not wait for it
			c.beside, c.hinted = true, false
			f.beside.Go(func() {
				next, err := c.do(ctx, now)
				f.answers <- choreAnswer{c, next, err} // has room for each chore
			})
		case due:
			c.hinted = false
			next, err := c.do(ctx, now)
			f.note(ctx, choreAnswer{c, next, err})
		}
	}
}

// note takes what a chore gave.
func (f *feeder) note(ctx context.Context, a choreAnswer) {
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
func (f *feeder) wait() time.Duration {
	wait := localWatch
	if !f.local {
		wait = f.pollInterval - f.pollInterval/10 + rand.N(f.pollInterval/5+1) // many runners do not poll in step
	}
	now := f.now()
	for _, c := range f.chores {
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
func (f *feeder) looksUpset(now time.Time) bool {
	jump := f.clocks.jump(now)
	stopped := f.clocks.overslept
	if stopped < f.leaseTTL/4 {
		stopped = 0
	}
	if jump == 0 && stopped == 0 {
		return false
	}
	if jump != 0 {
		f.log.Warn("wall clock jumped", "by", jump.Round(time.Millisecond))
		f.watch.clockJumped(now, jump)
	} else {
		f.log.Warn("process did not run for some time", "for", stopped.Round(time.Millisecond))
	}
	until := time.Now().Add(f.leaseTTL)
	f.reapFrom.Store(&until)
	f.beatNow.Store(true)
	signal(f.wakeKeeper)
	f.reconsider()
	return true
}

// beat is the heartbeat of a runner with a local store, and of any after a jump of the clock; else heartLoop does it. It comes
// often enough that the runner's lease never ends while the process runs, and that a jump by more than LeaseTTL goes past its end.
func (s *server) beat(ctx context.Context, now time.Time) (next time.Time, err error) {
	if !s.local && !s.beatNow.Load() {
		return time.Time{}, nil
	}
	if since := time.Since(s.beaten); since < s.leaseTTL/3 && !s.beatNow.Load() {
		return now.Add(s.leaseTTL/3*2 - since), nil
	}
	began := time.Now()
	err = s.vouch(ctx)
	s.report(ctx, "heartbeat", err)
	if err != nil {
		return time.Time{}, err
	}
	s.beatNow.Store(false)
	s.beaten = began
	return now.Add(s.leaseTTL / 3 * 2), nil
}

// reap deals with the leases of runners that died. A store that others share is asked three times in a lease. While our own
// leases are in doubt nobody's are judged: what healthy runners hold is renewed first.
func (s *server) reap(ctx context.Context, now time.Time) (next time.Time, err error) {
	if wait := time.Until(instant.Latest(s.reapAt, *s.reapFrom.Load())); wait > 0 {
		return now.Add(wait), nil
	}
	if held := s.oldestTrust(); !held.IsZero() && time.Since(held) >= s.trustSpan() {
		return now.Add(time.Second), nil // the keeper is at it
	}
	if !s.local {
		s.reapAt = time.Now().Add(s.leaseTTL / 3)
	}
	callCtx, cancel := s.storeCall(ctx)
	defer cancel()
	reaped, err := s.store.ReapLeases(callCtx, ReapLeasesParams{Now: instant.Of(now)})
	s.report(ctx, "reap leases", err)
	if err != nil {
		s.reapAt = time.Time{}
		return time.Time{}, err
	}
	for _, run := range reaped.Runs {
		s.log.Warn("run lost its runner", "run", run.Name, "id", run.ID, "deployment", handle(run.Flow, run.Deployment),
			"runner", run.Runner, "state", run.State.String())
		s.watch.reaped(now, run)
	}
	if !reaped.Next.IsZero() && s.local {
		return reaped.Next.Add(time.Microsecond), nil
	}
	return time.Time{}, nil
}

// plan materialises the runs of every schedule that wants it.
func (s *server) plan(ctx context.Context, _ time.Time) (next time.Time, err error) {
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
func (s *server) planOnce(ctx context.Context) (next time.Time, more bool, err error) {
	callCtx, cancel := s.storeCall(ctx)
	defer cancel()
	due, err := s.store.DueSchedules(callCtx, DueSchedulesParams{Now: instant.Of(s.now()), Limit: MaxPage})
	if err != nil {
		return time.Time{}, false, fmt.Errorf("find due schedules: %w", err)
	}
	if len(due.Items) == 0 {
		return due.Next, false, nil
	}
	now := instant.Of(s.now())
	plans := make([]SchedulePlan, len(due.Items))
	for i, item := range due.Items {
		plans[i] = makePlan(item, now)
	}
	errs, err := s.store.PlanRuns(callCtx, PlanRunsParams{Now: now, Plans: plans})
	if err != nil {
		return time.Time{}, false, fmt.Errorf("write plans: %w", err)
	}
	for i, err := range errs {
		s.reportPlan(&plans[i], err)
	}
	return time.Time{}, true, nil
}

// reportPlan tells what a plan skipped. A conflict is another runner's plan, or an update: the schedule comes up again.
func (s *server) reportPlan(p *SchedulePlan, err error) {
	if err != nil {
		if !errors.Is(err, ErrConflict) && !errors.Is(err, ErrNotFound) {
			s.log.Error("plan", "deployment", p.DeploymentID, "schedule", p.Key, "error", err)
		}
		return
	}
	for _, skip := range p.Skips {
		s.reportSkip("instants skipped", skip)
	}
	if n := len(p.Cancel); n > 0 {
		s.reportSkip("runs skipped", Skip{
			DeploymentID: p.DeploymentID, Schedule: p.Key, Reason: p.Reason, Count: n, First: p.Cancel[0], Last: p.Cancel[n-1],
		})
	}
}

// reportSkip tells of skipped instants. A pause was somebody's wish, and is not worth a line.
func (s *server) reportSkip(message string, skip Skip) {
	s.watch.skipped(s.now(), s.deployments[skip.DeploymentID], skip)
	if skip.Reason != SkipPaused {
		s.log.Warn(message, "deployment", skip.DeploymentID, "schedule", skip.Schedule, "reason", skip.Reason,
			"count", skip.Count, "first", skip.First, "last", skip.Last)
	}
}

// reportSkipped tells what a claim decided against: schedule by schedule, as there may be many.
func (s *server) reportSkipped(runs []SkippedRun) {
	var skips []Skip
	for _, run := range runs {
		at := slices.IndexFunc(skips, func(skip Skip) bool {
			return skip.DeploymentID == run.DeploymentID && skip.Schedule == run.Schedule && skip.Reason == run.Reason
		})
		if at < 0 {
			at = len(skips)
			skips = append(skips, Skip{
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
func (s *server) claim(ctx context.Context, _ time.Time) (next time.Time, err error) {
	for ctx.Err() == nil {
		free := s.freeSlots()
		if free == 0 {
			return time.Time{}, nil
		}
		limit := min(free, maxClaimed)
		repeats := s.claimID != uuid.Nil
		claims, err := s.claimOnce(ctx, limit)
		if errors.Is(err, ErrNotFound) { // the store has forgotten this runner, or its lease has ended
			if err = s.vouch(ctx); err == nil {
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

func (s *server) claimOnce(ctx context.Context, limit int) (Claims, error) {
	now, began := s.now(), time.Now()
	if s.claimID == uuid.Nil {
		s.claimID = newID(now)
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
	claims, err := s.store.ClaimRuns(callCtx, ClaimRunsParams{
		Now: instant.Of(now), Runner: s.id, ID: s.claimID, Limit: limit, TTL: s.leaseTTL, Except: left,
	})
	if err != nil {
		return Claims{}, err
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
func (s *server) claimLast() {
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
func (s *server) freeSlots() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	free := max(0, s.limit-s.busy)
	if s.settler.backlog() > maxUnsettled || s.hooks.waiting() > maxUnsettled {
		free = 0
	}
	s.starved = free == 0
	return free
}

// wakeStarved wakes the feeder if it found no free slot, once what it counted has become less: it either counts that, or has said
// by now that it waits.
func (s *server) wakeStarved() {
	s.mu.Lock()
	starved := s.starved
	s.mu.Unlock()
	if starved {
		signal(s.freed)
	}
}

// take readies the runs of a claim that was begun at a time, and starts each at its instant. Runs that are due together start
// together.
func (s *server) take(ctx context.Context, claims []Claim, now, began time.Time) {
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

// newExecutions readies claimed runs in a goroutine of their own: a parameter's own UnmarshalJSON may end it (runtime.Goexit), and
// then the next one goes on.
func (s *server) newExecutions(claims []Claim, began time.Time) []*execution {
	executions := make([]*execution, 0, len(claims))
	for next := 0; next < len(claims); {
		done := make(chan struct{})
		go func() {
			defer close(done)
			for next < len(claims) {
				c := &claims[next]
				next++
				sd := s.deployments[c.DeploymentID]
				if sd == nil { // a store that keeps its contract does not do this
					s.log.Error("claimed a run of a deployment that is not served; its lease will end", "run", c.RunID)
					continue
				}
				x := s.newExecution(*c, sd, began)
				if time.Since(began) >= s.trustSpan() { // the answer was so long on its way that another may have the run
					x.distrusted = true
					x.cancel(ErrLeaseLost)
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
func (s *server) admit(executions []*execution, began time.Time) {
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
	executions []*execution
	timer      *time.Timer
}

// startAt launches runs at their instant, or hands them back if the runner leaves before.
func (s *server) startAt(executions []*execution, due time.Time) {
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
func (s *server) atMost(wait time.Duration) time.Duration {
	if s.local {
		return min(wait, localWatch)
	}
	return min(wait, s.pollInterval)
}

// farAhead reports whether claimed runs would have to wait so long for their instant that they had better be handed back, with the
// slots that they hold: the clock was set back since they were claimed.
func (s *server) farAhead(wait time.Duration) bool { return wait > s.leaseTTL }

// fire starts a batch whose timer has run out, unless the wall clock says that it is early.
func (s *server) fire(b *batch) {
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

// reconsider has the batches that wait for their instant look at the clock.
func (s *server) reconsider() {
	s.mu.Lock()
	batches := slices.Collect(maps.Keys(s.waiting))
	s.mu.Unlock()
	for _, b := range batches {
		s.fire(b)
	}
}

// handBackWaiting gives up the runs that wait for their instant, and all that would from now on.
func (s *server) handBackWaiting() {
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
func (s *server) handBack(executions []*execution) {
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
