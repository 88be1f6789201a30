package sim

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/internal/engine"
	"github.com/provost-go/provost/schedule"
	"github.com/provost-go/provost/store"
)

// flow is how the function of a flow behaves. What a call does depends on the seed, the flow, the
// instant and the attempt.
type flow struct {
	name       string
	retries    int
	retryDelay time.Duration
	timeout    time.Duration
	once       bool

	length   time.Duration // of a typical call
	failing  float64       // how likely a call returns an error, panics or ends its goroutine
	stubborn bool          // calls go on for a while after their context has ended
	children bool          // calls make child runs
	chatty   bool          // calls log
}

// deployment is a deployment as one build after another declares it.
type deployment struct {
	flow   *flow
	builds []*provost.Deployment // without their Flow
}

func (d *deployment) handle() string { return store.Handle(d.flow.name, d.builds[0].Name) }

// declare returns the deployment of a build, as a runner with the given gate serves it.
func (d *deployment) declare(build int, w *world, g *gate) *provost.Deployment {
	c := *d.builds[min(build, len(d.builds)-1)]
	f := provost.NewJob(d.flow.name, func(ctx context.Context) error { return w.enter(ctx, g, d) })
	f.Retries, f.RetryDelay, f.Timeout, f.AtMostOnce = d.flow.retries, d.flow.retryDelay, d.flow.timeout, d.flow.once
	c.Flow = f
	return &c
}

// pick returns one of the values.
func pick[T any](r *rand.Rand, values ...T) T { return values[r.IntN(len(values))] }

// chance returns true with probability p.
func chance(r *rand.Rand, p float64) bool { return r.Float64() < p }

// upTo returns a duration between 0 and d, in whole microseconds.
func upTo(r *rand.Rand, d time.Duration) time.Duration {
	return time.Duration(r.Int64N(int64(d) + 1)).Truncate(time.Microsecond)
}

func newSchedule(r *rand.Rand, now time.Time) schedule.Schedule {
	var s schedule.Schedule
	switch r.IntN(12) {
	case 0:
		s = schedule.Cron("* * * * *")
	case 1:
		s = schedule.Cron("*/2 * * * *").In("Europe/Berlin")
	case 2:
		s = schedule.Every(pick(r, 300*time.Millisecond, 700*time.Millisecond))
	case 3:
		s = schedule.Every(pick(r, time.Hour, 24*time.Hour))
	case 4:
		s = schedule.At(now.Add(upTo(r, 5*time.Minute)))
	case 5:
		s = schedule.RRule("FREQ=MINUTELY;BYSECOND=5,35")
	default:
		s = schedule.Every(pick(r, 2*time.Second, 5*time.Second, 7*time.Second, 10*time.Second, 20*time.Second, time.Minute))
	}
	if chance(r, 0.3) {
		s = s.Jitter(upTo(r, 5*time.Second) + time.Microsecond)
	}
	s = s.CatchUp(pick(r, schedule.CatchUpLatest, schedule.CatchUpLatest, schedule.CatchUpAll, schedule.CatchUpNone))
	if chance(r, 0.2) {
		s = s.CatchUpWindow(pick(r, 5*time.Second, time.Minute, time.Hour))
	}
	return s
}

func newFlow(r *rand.Rand, i int) *flow {
	f := &flow{
		name:     fmt.Sprintf("flow%d", i),
		length:   pick(r, 0, 0, 10*time.Millisecond, time.Second, 3*time.Second, 12*time.Second),
		failing:  pick(r, 0, 0, 0.2, 0.5),
		stubborn: chance(r, 0.15), children: chance(r, 0.2), chatty: chance(r, 0.3),
	}
	if f.once = chance(r, 0.2); !f.once {
		f.retries = r.IntN(3)
		f.retryDelay = pick(r, 0, time.Second, 5*time.Second)
	}
	if chance(r, 0.2) {
		f.timeout = pick(r, time.Second, 10*time.Second)
	}
	return f
}

func newDeployments(r *rand.Rand, now time.Time) []*deployment {
	grouped, group := chance(r, 0.3), 1+r.IntN(2)
	var list []*deployment
	for i := range 1 + r.IntN(4) {
		d := &deployment{flow: newFlow(r, i)}
		base := &provost.Deployment{Name: "d"}
		for n := range r.IntN(3) {
			base.Schedules = append(base.Schedules, newSchedule(r, now).Named(fmt.Sprint("s", n)))
		}
		switch {
		case grouped && chance(r, 0.6):
			base.LimitGroup, base.ConcurrencyLimit = "group", group
		case chance(r, 0.3):
			base.ConcurrencyLimit = 1 + r.IntN(3)
		}
		if base.ConcurrencyLimit > 0 {
			base.MaxWaiting = pick(r, 0, 0, 3)
			base.Overlap = pick(r, store.OverlapEnqueue, store.OverlapEnqueue, store.OverlapCancelNew, store.OverlapCancelRunning)
		}
		base.Priority = r.IntN(2)
		base.RunOnStart = chance(r, 0.1)
		d.builds = append(d.builds, base)
		for range 2 {
			d.builds = append(d.builds, nextBuild(r, d.builds[len(d.builds)-1], now))
		}
		list = append(list, d)
	}
	if len(list[0].builds[0].Schedules) == 0 { // so that something happens in every simulation
		for _, build := range list[0].builds {
			build.Schedules = append(build.Schedules, schedule.Every(5*time.Second).Named("s9"))
		}
	}
	return list
}

// nextBuild returns a declaration with a small change.
func nextBuild(r *rand.Rand, before *provost.Deployment, now time.Time) *provost.Deployment {
	next := *before
	next.Schedules = append([]schedule.Schedule(nil), before.Schedules...)
	switch r.IntN(5) {
	case 0:
		next.Tags = []string{fmt.Sprint("build", r.IntN(100))}
	case 1:
		if len(next.Schedules) > 0 {
			next.Schedules = next.Schedules[1:]
		}
	case 2:
		added := newSchedule(r, now).Named(fmt.Sprint("n", r.IntN(100)))
		if !slices.ContainsFunc(next.Schedules, func(s schedule.Schedule) bool { return s.Key() == added.Key() }) {
			next.Schedules = append(next.Schedules, added)
		}
	case 3:
		for i, s := range next.Schedules {
			next.Schedules[i] = newSchedule(r, now).Named(s.Key())
		}
	}
	return &next
}

// behaviour returns the random numbers for one call of a flow's function.
func (w *world) behaviour(flowName string, at time.Time, attempt int) *rand.Rand {
	h := fnv.New64a()
	fmt.Fprint(h, flowName, at.UnixMicro(), attempt)
	return rand.New(rand.NewPCG(w.seed, h.Sum64()))
}

// enter is the function of every flow.
func (w *world) enter(ctx context.Context, g *gate, d *deployment) (err error) {
	info, lease := engine.FromContext(ctx).Info(), engine.FromContext(ctx).Lease()
	r := w.behaviour(d.flow.name, info.ScheduledTime, info.Attempt)
	if !g.thaw() {
		return errSimulated
	}
	w.history.add(entry{who: g.who, call: enteredEvent{
		Lease: lease, deployment: store.DeploymentID(info.Flow, info.Deployment), attempt: info.Attempt, obeys: !d.flow.stubborn && !d.flow.children,
	}})
	outcome := "ended abnormally"
	defer func() {
		w.history.add(entry{who: g.who, call: leftEvent{Lease: lease, outcome: outcome}})
	}()
	err = w.act(ctx, g, d, r)
	if outcome = "ok"; err != nil {
		outcome = err.Error()
	}
	return err
}

// hurriedLength is how long functions take while the world comes to rest. If they took no time, all
// of a backlog would be called in one minute.
const hurriedLength = 50 * time.Millisecond

// act is the body of a function.
func (w *world) act(ctx context.Context, g *gate, d *deployment, r *rand.Rand) error {
	if d.flow.chatty {
		for line := range 1 + r.IntN(3) {
			w.say(ctx, g, line)
		}
	}
	length := d.flow.length
	if length > 0 && chance(r, 0.5) {
		length = upTo(r, length)
	}
	if w.hurry.Load() {
		length = min(length, hurriedLength)
	}
	overtime := time.Duration(0)
	if d.flow.stubborn && chance(r, 0.5) {
		overtime = upTo(r, 8*time.Second)
	}
	if d.flow.children && chance(r, 0.5) {
		if err := w.runChild(ctx, g, length/4, chance(r, d.flow.failing)); err != nil {
			return err
		}
		length /= 2
	}
	if err := g.sleep(ctx, length, overtime); err != nil {
		return err
	}
	if chance(r, d.flow.failing) {
		switch r.IntN(4) {
		case 0:
			panic("simulated panic")
		case 1:
			runtime.Goexit()
		}
		return errors.New("simulated mistake")
	}
	return nil
}

// say logs the line of a number, which counts within the attempt.
func (w *world) say(ctx context.Context, g *gate, line int) {
	lease := engine.FromContext(ctx).Lease()
	w.history.add(entry{who: g.who, call: loggedEvent{lease, line}})
	provost.Logger(ctx).Info(lineText(lease, line))
}

// lineText returns the text of a line that a flow logs.
func lineText(lease store.Lease, line int) string {
	return fmt.Sprintf("token %d line %d", lease.Token, line)
}

func (w *world) runChild(ctx context.Context, g *gate, length time.Duration, fails bool) error {
	child := provost.NewJob("child", func(ctx context.Context) error {
		if err := g.sleep(ctx, length, 0); err != nil {
			return err
		}
		if fails {
			return errors.New("simulated mistake of a child run")
		}
		return nil
	})
	_, err := child.Run(ctx, provost.None{})
	return err
}

// sleep is the time that a function takes. It ends after d, or overtime after the end of ctx, or at
// once in a crash. It does not end while the process is stalled.
func (g *gate) sleep(ctx context.Context, d, overtime time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	var err error
	select {
	case <-g.dead:
		return errSimulated
	case <-timer.C:
	case <-ctx.Done():
		err = context.Cause(ctx)
		if overtime > 0 {
			timer.Reset(overtime)
			select {
			case <-g.dead:
			case <-timer.C:
			}
		}
	}
	if !g.thaw() {
		return errSimulated
	}
	return err
}
