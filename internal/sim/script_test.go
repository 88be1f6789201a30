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

// maxSimReal is how much real time a seed may take, that is some 30 ms on average: more is a loop that does not end.
const maxSimReal = 20 * time.Second

// simulate runs the world of a seed from its first Serve to its last, and gives what is wrong with its history.
func simulate(t *testing.T, seed uint64, defect func(*memory.Store) store.Store) (found []string, history *simHistory) {
	defer func() {
		if p := recover(); p != nil {
			panic(fmt.Sprintf("simulation of seed %d: %v", seed, p))
		}
	}()
	watched := make(chan *simHistory, 1)
	watchdog := time.AfterFunc(maxSimReal, func() {
		text := "it did not even begin"
		select {
		case h := <-watched:
			if text = h.text(2000); *simWhole != "" {
				_ = os.WriteFile(*simWhole, []byte(h.text(1<<30)), 0o600)
			}
		default:
		}
		panic(fmt.Sprintf("seed %d takes more than %s:\n%s", seed, maxSimReal, text))
	})
	defer watchdog.Stop()
	synctest.Test(t, func(t *testing.T) {
		w := newSimWorld(seed, defect)
		history = w.history
		watched <- w.history
		ctx := clock.With(context.Background(), w.now)
		w.trouble(ctx)
		w.recover(ctx)
		found = w.rest(ctx)
		w.close()
		if !w.flooded {
			found = append(found, w.check(ctx)...)
		}
	})
	return found, history
}

// simAct is something that happens to the world from outside.
type simAct struct {
	at time.Duration
	do func(context.Context)
}

// trouble is the time with faults.
func (w *simWorld) trouble(ctx context.Context) {
	w.history.add(simRecord{who: "world", call: simRemark{fmt.Sprintf("%+v", w.config)}})
	for _, s := range w.seats {
		s.start()
		if chance(w.rand, 0.3) {
			time.Sleep(upTo(w.rand, 5*time.Second))
		}
	}
	acts := w.script()
	slices.SortStableFunc(acts, func(a, b simAct) int { return int(a.at - b.at) })
	for _, a := range acts {
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
	w.history.add(simRecord{who: "world", call: simCalm{}})
}

// script draws what happens in the time with faults.
func (w *simWorld) script() []simAct {
	var acts []simAct
	add := func(upToTimes int, do func(context.Context)) {
		for range w.rand.IntN(upToTimes + 1) {
			acts = append(acts, simAct{upTo(w.rand, w.config.length), do})
		}
	}
	if w.config.view != simLocal {
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
	return acts
}

// often leaves some kinds of acts out of a world altogether.
func (w *simWorld) often(times int) int {
	if chance(w.rand, 0.4) {
		return 0
	}
	return times
}

func (w *simWorld) someSeat() *simSeat { return pick(w.rand, w.seats...) }

func (w *simWorld) crashSome(context.Context) {
	s, away := w.someSeat(), upTo(w.rand, pick(w.rand, time.Second, 20*time.Second, 2*time.Minute))
	s.crash()
	w.startLater(s, away)
}

func (w *simWorld) startLater(s *simSeat, after time.Duration) {
	w.lives.Go(func() {
		time.Sleep(after)
		s.start()
	})
}

func (w *simWorld) stallSome(context.Context) {
	if g := w.someSeat().gate(); g != nil {
		d := upTo(w.rand, pick(w.rand, time.Second, w.config.leaseTTL, 4*w.config.leaseTTL))
		w.history.add(simRecord{who: g.who, call: simStalled{time.Since(w.began) + d}})
		g.stall(d)
	}
}

func (w *simWorld) cutSome(context.Context) {
	if g := w.someSeat().gate(); g != nil {
		d := upTo(w.rand, pick(w.rand, 5*time.Second, 3*w.config.leaseTTL))
		w.history.add(simRecord{who: g.who, call: simCut{time.Since(w.began) + d}})
		g.cutOff(d)
	}
}

// restartSome replaces a runner in good order; the new one comes at once or after a while.
func (w *simWorld) restartSome(context.Context) {
	s := w.someSeat()
	s.shut()
	if chance(w.rand, 0.5) {
		s.start()
	} else {
		w.startLater(s, upTo(w.rand, 30*time.Second))
	}
}

func (w *simWorld) redeploySome(ctx context.Context) {
	w.build.Add(1)
	w.history.add(simRecord{who: "world", call: simRemark{fmt.Sprintf("build %d", w.build.Load())}})
	w.restartSome(ctx)
}

func (w *simWorld) someDeployment() *simDeployment { return pick(w.rand, w.deployments...) }

// someKey is a schedule of a deployment, or "" for the whole of it.
func (w *simWorld) someKey(d *simDeployment) string {
	schedules := d.builds[0].Schedules
	if len(schedules) == 0 || chance(w.rand, 0.5) {
		return ""
	}
	return pick(w.rand, schedules...).Key()
}

func (w *simWorld) pauseSome(ctx context.Context) {
	d := w.someDeployment()
	w.tried(w.client.SetPause(ctx, d.handle(), w.someKey(d), true))
}

func (w *simWorld) resumeSome(ctx context.Context) {
	d := w.someDeployment()
	w.tried(w.client.SetPause(ctx, d.handle(), w.someKey(d), false))
}

// tried notes what an operator was refused: mostly because nothing is registered yet, or the run has moved on.
func (w *simWorld) tried(err error) {
	if err != nil {
		w.history.add(simRecord{who: "operator", call: simRemark{"refused"}, err: err})
	}
}

func (w *simWorld) runByHand(ctx context.Context) {
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

func (w *simWorld) cancelSome(ctx context.Context) {
	if ids := w.ids(ctx, store.StateRunning, store.StatePending, pick(w.rand, store.StateScheduled, store.StateRunning)); len(ids) > 0 {
		_, err := w.client.CancelRun(ctx, pick(w.rand, ids...))
		w.tried(err)
	}
}

func (w *simWorld) retrySome(ctx context.Context) {
	if ids := w.ids(ctx, store.StateFailed, store.StateCrashed, store.StateCancelled); len(ids) > 0 {
		_, err := w.client.RetryRun(ctx, pick(w.rand, ids...))
		w.tried(err)
	}
}

func (w *simWorld) deleteSome(ctx context.Context) {
	if ids := w.ids(ctx, store.StateCompleted, store.StateFailed, store.StateCancelled); len(ids) > 0 {
		w.tried(w.client.DeleteRun(ctx, pick(w.rand, ids...)))
	}
}

func (w *simWorld) backfillSome(ctx context.Context) {
	now := w.now()
	_, err := w.client.Backfill(ctx, w.someDeployment().handle(), now.Add(-upTo(w.rand, 2*time.Minute)-time.Second), now)
	w.tried(err)
}

// jump moves the wall clock of all, while timers run on.
func (w *simWorld) jump(context.Context) {
	by := upTo(w.rand, pick(w.rand, 3*time.Second, time.Minute, 3*time.Hour, 400*24*time.Hour))
	if chance(w.rand, 0.5) {
		by = -by
	}
	w.offset.Add(int64(by))
	w.history.add(simRecord{who: "world", call: simJumped{by}})
}

// recover is how long runners get to make up for what happened: leases end, backoffs pass, and work goes on for a while.
func (w *simWorld) recover(context.Context) {
	time.Sleep(w.recoveryTime() + 20*time.Second)
}

// recoveryTime is after how long without faults nothing may be left of them: a lease has to end, be looked for three times in
// it, with the store's patience for a call and the runner's for a store that failed in between, and the longest stall.
func (w *simWorld) recoveryTime() time.Duration {
	return 5*w.config.leaseTTL + w.config.leaseTTL + w.config.leaseTTL/3 + engine.StoreTimeout + engine.MaxBackoff + 2*w.config.poll
}

// maxRest bounds how long what is due may take to end once nothing new comes and functions take hardly any time.
const maxRest = 10 * time.Minute

// maxSimOpen bounds what may be due at once: more is a gap whose instants all became runs.
const maxSimOpen = 50_000

// rest pauses all schedules and waits until every due run is over.
func (w *simWorld) rest(ctx context.Context) (found []string) {
	page, err := w.client.ListDeployments(ctx, store.DeploymentFilter{})
	if err != nil || len(page.Items) != len(w.deployments) {
		return []string{fmt.Sprintf("%d of %d deployments are registered (%v)", len(page.Items), len(w.deployments), err)}
	}
	for _, d := range page.Items {
		if err := w.client.PauseDeployment(ctx, d.Handle()); err != nil {
			found = append(found, err.Error())
		}
	}
	w.history.add(simRecord{who: "world", call: simRested{w.now()}})
	w.hurry.Store(true)
	for began := time.Now(); ; time.Sleep(5 * time.Second) {
		open := w.open(ctx)
		if len(open) == 0 {
			break
		}
		if len(open) > maxSimOpen {
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
	time.Sleep(2 * engine.PausedPlanEvery) // the skips of the pause are recorded
	return found
}

// open is the runs that are due and not over.
func (w *simWorld) open(ctx context.Context) (open []*store.Run) {
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

// heldAhead counts runs that a clock which was set back moved into the future. One that had a slot keeps it until it is due again,
// and others of its limit wait that long.
func (w *simWorld) heldAhead(ctx context.Context) (held int) {
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

// close ends every life.
func (w *simWorld) close() {
	w.closing.Store(true)
	for _, s := range w.seats {
		s.shut()
	}
	w.lives.Wait()
	w.late.Wait()
}
