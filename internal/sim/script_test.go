package sim

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/internal/clock"
	"github.com/provost-go/provost/internal/engine"
	"github.com/provost-go/provost/store"
	"github.com/provost-go/provost/store/memory"
)

// maxRealTime is how much real time a seed may take. It takes 30 ms on average; one that takes
// longer than this is in an endless loop.
const maxRealTime = 2 * time.Minute

// simulate simulates the world of a seed and returns what is wrong with its history.
func simulate(t *testing.T, seed uint64, defect func(*memory.Store) store.Store) (found []string, h *history) {
	defer func() {
		if p := recover(); p != nil {
			panic(fmt.Sprintf("simulation of seed %d: %v", seed, p))
		}
	}()
	watched := make(chan *history, 1)
	watchdog := time.AfterFunc(maxRealTime, func() {
		text := "it did not begin"
		select {
		case watched := <-watched:
			if text = watched.text(2000); *historyFlag != "" {
				_ = os.WriteFile(*historyFlag, []byte(watched.text(1<<30)), 0o600)
			}
		default:
		}
		panic(fmt.Sprintf("seed %d takes more than %s:\n%s", seed, maxRealTime, text))
	})
	defer watchdog.Stop()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(seed, defect)
		h = w.history
		watched <- h
		ctx := clock.With(context.Background(), w.now)
		w.trouble(ctx)
		w.recover(ctx)
		found = w.rest(ctx)
		w.close()
		if !w.flooded {
			found = append(found, w.check(ctx)...)
		}
	})
	return found, h
}

// action is something that happens to a world at some time.
type action struct {
	at time.Duration
	do func(context.Context)
}

// trouble plays the time with faults.
func (w *world) trouble(ctx context.Context) {
	w.history.add(entry{who: "world", call: remarkEvent{fmt.Sprintf("%+v", w.config)}})
	for _, s := range w.seats {
		s.start()
		if chance(w.rand, 0.3) {
			time.Sleep(upTo(w.rand, 5*time.Second))
		}
	}
	actions := w.script()
	slices.SortStableFunc(actions, func(a, b action) int { return int(a.at - b.at) })
	for _, a := range actions {
		if wait := a.at - time.Since(w.began); wait > 0 {
			time.Sleep(wait)
		}
		a.do(ctx)
	}
	if wait := w.config.length - time.Since(w.began); wait > 0 {
		time.Sleep(wait)
	}
	w.calm.Store(true)
	for _, s := range w.seats {
		s.start()
	}
	w.history.add(entry{who: "world", call: calmEvent{}})
}

// script draws the actions of the time with faults.
func (w *world) script() []action {
	var actions []action
	add := func(upToTimes int, do func(context.Context)) {
		for range w.rand.IntN(upToTimes + 1) {
			actions = append(actions, action{upTo(w.rand, w.config.length), do})
		}
	}
	if w.config.view != localView {
		add(w.often(3), w.crashSome)
		add(w.often(2), w.stallSome)
		add(w.often(2), w.cutSome)
	}
	add(w.often(2), w.restartSome)
	add(w.often(2), w.redeploySome)
	add(w.often(3), w.pauseSome)
	add(w.often(3), w.resumeSome)
	add(w.often(8), w.runByHand)
	add(w.often(5), w.cancelSome)
	add(w.often(4), w.retrySome)
	add(w.often(3), w.deleteSome)
	add(w.often(2), w.backfillSome)
	if w.config.jumps {
		add(3, w.jump)
	}
	return actions
}

// often returns times, or 0 to leave a kind of action out of this world.
func (w *world) often(times int) int {
	if chance(w.rand, 0.4) {
		return 0
	}
	return times
}

func (w *world) someSeat() *seat { return pick(w.rand, w.seats...) }

func (w *world) crashSome(context.Context) {
	s, away := w.someSeat(), upTo(w.rand, pick(w.rand, time.Second, 20*time.Second, 2*time.Minute))
	s.crash()
	w.startLater(s, away)
}

func (w *world) startLater(s *seat, after time.Duration) {
	w.lives.Go(func() {
		time.Sleep(after)
		s.start()
	})
}

func (w *world) stallSome(context.Context) {
	if g := w.someSeat().gate(); g != nil {
		d := upTo(w.rand, pick(w.rand, time.Second, w.config.leaseTTL, 4*w.config.leaseTTL))
		w.history.add(entry{who: g.who, call: stalledEvent{time.Since(w.began) + d}})
		g.stall(d)
	}
}

func (w *world) cutSome(context.Context) {
	if g := w.someSeat().gate(); g != nil {
		d := upTo(w.rand, pick(w.rand, 5*time.Second, 3*w.config.leaseTTL))
		w.history.add(entry{who: g.who, call: cutEvent{time.Since(w.began) + d}})
		g.cutOff(d)
	}
}

// restartSome shuts a runner down and starts another one, at once or after a while.
func (w *world) restartSome(context.Context) {
	s := w.someSeat()
	s.shut()
	if chance(w.rand, 0.5) {
		s.start()
	} else {
		w.startLater(s, upTo(w.rand, 30*time.Second))
	}
}

func (w *world) redeploySome(ctx context.Context) {
	w.build.Add(1)
	w.history.add(entry{who: "world", call: remarkEvent{fmt.Sprintf("build %d", w.build.Load())}})
	w.restartSome(ctx)
}

func (w *world) someDeployment() *deployment { return pick(w.rand, w.deployments...) }

// someKey returns the key of a schedule of a deployment, or "" for all of them.
func (w *world) someKey(d *deployment) string {
	schedules := d.builds[0].Schedules
	if len(schedules) == 0 || chance(w.rand, 0.5) {
		return ""
	}
	return pick(w.rand, schedules...).Key()
}

func (w *world) pauseSome(ctx context.Context) {
	d := w.someDeployment()
	if key := w.someKey(d); key == "" {
		w.tried(w.client.PauseDeployment(ctx, d.handle()))
	} else {
		w.tried(w.client.PauseSchedule(ctx, d.handle(), key))
	}
}

func (w *world) resumeSome(ctx context.Context) {
	d := w.someDeployment()
	if key := w.someKey(d); key == "" {
		w.tried(w.client.ResumeDeployment(ctx, d.handle()))
	} else {
		w.tried(w.client.ResumeSchedule(ctx, d.handle(), key))
	}
}

// tried records what the operator was refused, mostly because nothing is registered yet or the run
// has moved on.
func (w *world) tried(err error) {
	if err != nil {
		w.history.add(entry{who: "operator", call: remarkEvent{"refused"}, err: err})
	}
}

func (w *world) runByHand(ctx context.Context) {
	o := &provost.RunOptions{}
	if chance(w.rand, 0.5) {
		o.IdempotencyKey = fmt.Sprint("key", w.rand.IntN(3))
	}
	if chance(w.rand, 0.2) {
		o.ScheduledTime = w.now().Add(upTo(w.rand, 20*time.Second))
	}
	handle := w.someDeployment().handle()
	for range 1 + w.rand.IntN(3) {
		_, err := w.client.RunDeployment(ctx, handle, o)
		w.tried(err)
	}
}

func (w *world) cancelSome(ctx context.Context) {
	if ids := w.ids(ctx, store.StateRunning, store.StatePending, pick(w.rand, store.StateScheduled, store.StateRunning)); len(ids) > 0 {
		_, err := w.client.CancelRun(ctx, pick(w.rand, ids...), nil)
		w.tried(err)
	}
}

func (w *world) retrySome(ctx context.Context) {
	if ids := w.ids(ctx, store.StateFailed, store.StateCrashed, store.StateCancelled); len(ids) > 0 {
		_, err := w.client.RetryRun(ctx, pick(w.rand, ids...), nil)
		w.tried(err)
	}
}

func (w *world) deleteSome(ctx context.Context) {
	if ids := w.ids(ctx, store.StateCompleted, store.StateFailed, store.StateCancelled); len(ids) > 0 {
		w.tried(w.client.DeleteRun(ctx, pick(w.rand, ids...)))
	}
}

func (w *world) backfillSome(ctx context.Context) {
	now := w.now()
	_, err := w.client.Backfill(ctx, w.someDeployment().handle(), now.Add(-upTo(w.rand, 2*time.Minute)-time.Second), now)
	w.tried(err)
}

// jump moves the wall clock of everybody, while timers run on.
func (w *world) jump(context.Context) {
	by := upTo(w.rand, pick(w.rand, 3*time.Second, time.Minute, 3*time.Hour, 400*24*time.Hour))
	if chance(w.rand, 0.5) {
		by = -by
	}
	w.offset.Add(int64(by))
	w.history.add(entry{who: "world", call: jumpedEvent{by}})
}

// recover gives runners time to recover from the faults: leases end, backoffs pass, and work goes
// on for a while.
func (w *world) recover(context.Context) {
	time.Sleep(w.recoveryTime() + 20*time.Second)
}

// recoveryTime returns how long after the last fault its effects must be gone: the longest stall,
// the end of a lease, the interval at which runners look for expired leases (three times in a
// lease), and in between the timeout of a store call, the longest backoff of a failing store, and
// two polls.
func (w *world) recoveryTime() time.Duration {
	return 5*w.config.leaseTTL + w.config.leaseTTL + w.config.leaseTTL/3 + engine.StoreTimeout + engine.MaxBackoff + 2*w.config.poll
}

// maxRest is how long due runs may take to finish once no new ones come and functions take hardly
// any time.
const maxRest = 10 * time.Minute

// maxOpen is how many runs may be due at once: more means that all instants of a gap became runs.
const maxOpen = 50_000

// rest pauses all schedules and waits until every due run is finished.
func (w *world) rest(ctx context.Context) (found []string) {
	page, err := w.client.ListDeployments(ctx, store.DeploymentFilter{})
	if err != nil || len(page.Items) != len(w.deployments) {
		return []string{fmt.Sprintf("%d of %d deployments are registered (%v)", len(page.Items), len(w.deployments), err)}
	}
	for _, d := range page.Items {
		if err := w.client.PauseDeployment(ctx, d.Handle()); err != nil {
			found = append(found, err.Error())
		}
	}
	w.history.add(entry{who: "world", call: restedEvent{w.now()}})
	w.hurry.Store(true)
	for began := time.Now(); ; time.Sleep(5 * time.Second) {
		open := w.open(ctx)
		if len(open) == 0 {
			break
		}
		if len(open) > maxOpen {
			w.flooded = true
			found = append(found, fmt.Sprintf("%d runs are due, first %s, last %s", len(open), wallText(open[len(open)-1].ScheduledTime), wallText(open[0].ScheduledTime)))
			break
		}
		if time.Since(began) > maxRest {
			if held := w.heldAhead(ctx); held > 0 {
				open = slices.DeleteFunc(open, func(run *store.Run) bool { return run.WaitReason == store.WaitLimit })
			}
			for _, run := range open[:min(5, len(open))] {
				found = append(found, fmt.Sprintf("run %s is still %s/%s (%s), due %s, attempt %d, crashes %d, %s after the last fault",
					idText(run.ID), run.State.Type, run.State.Name, run.WaitReason, wallText(run.DueTime), run.Attempt, run.Crashes, maxRest))
			}
			break
		}
	}
	time.Sleep(2 * engine.PausedPlanEvery) // until the skips of the pause are recorded
	return found
}

// open returns the runs that are due and not finished.
func (w *world) open(ctx context.Context) (open []*store.Run) {
	for run, err := range store.Pages(ctx, func(ctx context.Context, cursor string) (store.Page[*store.Run], error) {
		return w.memory.ListRuns(ctx, store.RunFilter{
			States: []store.StateType{store.StateScheduled, store.StatePending, store.StateRunning, store.StateCancelling}, Cursor: cursor, Limit: store.MaxPage,
		})
	}) {
		if err == nil && !run.DueTime.After(w.now()) {
			open = append(open, run)
		}
	}
	return open
}

// heldAhead counts the runs that are in the future because the clock was set back. A run that had a
// slot keeps it until it is due again, and others under its limit wait as long.
func (w *world) heldAhead(ctx context.Context) (held int) {
	for run, err := range store.Pages(ctx, func(ctx context.Context, cursor string) (store.Page[*store.Run], error) {
		return w.memory.ListRuns(ctx, store.RunFilter{States: []store.StateType{store.StateScheduled}, Cursor: cursor, Limit: store.MaxPage})
	}) {
		if err != nil || !run.DueTime.After(w.now()) || run.WaitReason == store.WaitLimit {
			continue
		}
		if slices.ContainsFunc(run.History, func(s store.State) bool { return s.Timestamp.After(w.now()) }) {
			held++
		}
	}
	return held
}

// close ends every life and waits for late calls.
func (w *world) close() {
	w.closing.Store(true)
	for _, s := range w.seats {
		s.shut()
	}
	w.lives.Wait()
	w.late.Wait()
}
