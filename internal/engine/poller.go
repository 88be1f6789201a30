package engine

import (
	"context"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	"github.com/provost-go/provost/store"
)

// localLook is how often the clocks are looked at where nothing is polled.
const localLook = 20 * time.Second

// poller looks for work. It does so in tasks that fail each by itself: a task that fails is
// repeated after a backoff, beside the others, which go on meanwhile.
type poller struct {
	*Access
	interval time.Duration
	ttl      time.Duration
	heart    *heart
	reaper   *reaper
	leases   *LeaseKeeper
	starter  *starter
	claimer  *claimer
	slots    *slots

	wake chan struct{} // the store has notified of work

	planning *task
	claiming *task
	tasks    []*task
	urgent   []*task // the same, for when the store has notified of work: what others have planned is there to be claimed
	results  chan taskResult
	beside   sync.WaitGroup
	clocks   clockWatch
}

// task is something that the poller does.
type task struct {
	do func(ctx context.Context, now time.Time) (next time.Time, err error)

	next   time.Time // on the wall clock, when there is more to do; zero: when there is a notification
	wanted bool      // there was a notification since it began last
	retry  retry
	beside bool // it is being repeated beside the others
	worked bool // at least once
}

type taskResult struct {
	task *task
	next time.Time
	err  error
}

func newPoller(a *Access, c Config, h *heart, r *reaper, p *planner, cl *claimer) *poller {
	beat, reap := &task{do: h.poll}, &task{do: r.poll}
	plan, claim := &task{do: p.poll}, &task{do: cl.poll}
	return &poller{
		Access: a, interval: c.PollInterval, ttl: c.LeaseTTL,
		heart: h, reaper: r, leases: cl.leases, starter: cl.starter, claimer: cl, slots: cl.slots,
		wake: make(chan struct{}, 1), planning: plan, claiming: claim,
		tasks: []*task{beat, reap, plan, claim}, urgent: []*task{claim, beat, reap, plan},
		results: make(chan taskResult, 4),
	}
}

// listen turns the store's notifications into wake-ups.
func (p *poller) listen() (stop func()) {
	notifier, ok := store.As[store.Notifier](p.store)
	if !ok {
		return func() {}
	}
	stopWork := notifier.Notify(store.Topic{Kind: store.TopicWork}, p.wake)
	stopCancel := notifier.Notify(store.Topic{Kind: store.TopicCancel}, p.leases.wake)
	return func() {
		stopWork()
		stopCancel()
	}
}

// run polls until ctx ends, and calls ready whenever schedules have been planned. It looks again
// when the store notifies of work, when a slot is freed after there was none, when the next run or
// plan is due, at every interval unless the store is local, and often enough to see that a clock
// has jumped or the process was stopped: timers stand still meanwhile, or run out in vain.
func (p *poller) run(ctx context.Context, ready func()) {
	again := make(chan struct{}, 1)
	p.failures.listen(again)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	tasks := p.tasks
	for all := true; ctx.Err() == nil; {
		p.round(ctx, all, tasks)
		tasks = p.tasks
		if p.planning.worked {
			ready()
		}
		wait := p.wait()
		timer.Reset(wait)
		p.clocks.sleeps(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
			all = !p.local
		case <-p.wake:
			all = true
			if !p.local {
				tasks = p.urgent
			}
			runtime.Gosched() // let what is under way finish, so that the next claim is a larger one
		case <-p.slots.freed:
			all, p.claiming.wanted = false, true
			runtime.Gosched()
		case <-again:
			all = false
			for _, t := range p.tasks {
				t.retry.now()
			}
		case r := <-p.results:
			all = false
			r.task.beside = false
			p.note(ctx, r)
		}
		p.clocks.wakes()
	}
	p.beside.Wait()
	p.claimer.finish()
}

// round does the tasks that are due, or all but those that have to wait after a failure.
func (p *poller) round(ctx context.Context, all bool, tasks []*task) {
	now := p.now()
	if p.upset(now) {
		all, tasks = true, p.tasks
	}
	for _, t := range tasks {
		t.wanted = t.wanted || all
		switch due := t.wanted || (!t.next.IsZero() && !now.Before(t.next)); {
		case t.beside || time.Now().Before(t.retry.at):
		case t.retry.failures > 0: // it may hang: the others do not wait for it
			t.beside, t.wanted = true, false
			p.beside.Go(func() {
				next, err := t.do(ctx, now)
				p.results <- taskResult{t, next, err} // has room for each task
			})
		case due:
			t.wanted = false
			next, err := t.do(ctx, now)
			p.note(ctx, taskResult{t, next, err})
		}
	}
}

// note takes the result of a task.
func (p *poller) note(ctx context.Context, r taskResult) {
	t := r.task
	if ctx.Err() != nil {
		return // that may be why it failed
	}
	if r.err != nil {
		t.retry.failed()
		return
	}
	t.retry.worked()
	t.next, t.worked = r.next, true
}

// wait returns how long to wait at most.
func (p *poller) wait() time.Duration {
	wait := localLook
	if !p.local {
		wait = p.interval - p.interval/10 + rand.N(p.interval/5+1) // many runners do not poll in step
	}
	now := p.now()
	for _, t := range p.tasks {
		switch {
		case t.beside:
		case t.retry.failures > 0:
			wait = min(wait, time.Until(t.retry.at))
		case !t.next.IsZero():
			wait = min(wait, t.next.Sub(now))
		}
	}
	return max(0, wait)
}

// upset reports whether the clock has jumped or the process was stopped since the last round. What
// rests on clocks is put right then: the leases of this process are renewed before anybody's are
// judged, and so are those of the other runners, which see the jump too and get a TTL for it. The
// heartbeat comes first, so that a jump past the runner's own lease opens a gap, for the catch-up
// policies to deal with.
func (p *poller) upset(now time.Time) bool {
	jump := p.clocks.jump(now)
	stopped := p.clocks.overslept
	if stopped < p.ttl/4 {
		stopped = 0
	}
	if jump == 0 && stopped == 0 {
		return false
	}
	if jump != 0 {
		p.log.Warn("wall clock jumped", "by", jump.Round(time.Millisecond))
		p.events.clockJumped(now, jump)
	} else {
		p.log.Warn("process did not run for some time", "for", stopped.Round(time.Millisecond))
	}
	p.reaper.holdOff()
	p.heart.due.Store(true)
	p.leases.Wake()
	p.starter.recheck()
	return true
}
