package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/internal/clock"
	"github.com/provost-go/provost/internal/testenv"
	"github.com/provost-go/provost/schedule"
)

// callFaults are the faults that each call of the scenario gets in turn.
var callFaults = []fault{
	{kind: errorBefore},
	{kind: errorAfter},
	{hangBefore, time.Hour},
	{hangAfter, time.Hour},
	{hangLate, time.Hour},
	{slowBefore, 3 * time.Second},
	{slowAfter, 3 * time.Second},
	{kind: twice},
}

// TestEachCallFails repeats one scenario. Each time another one of the runner's store calls fails,
// in each of the ways of callFaults, and nothing may be lost. It tries a sample of these unless
// -sim.calls (or PROVOST_SIM_CALLS) asks for all.
func TestEachCallFails(t *testing.T) {
	found, calls, h := simulateCall(t, 0, fault{})
	if len(found) > 0 {
		t.Fatalf("without a fault:\n%s\n%s", strings.Join(found, "\n"), excerpt(h, found))
	}
	if calls < 150 {
		t.Errorf("the scenario makes only %d calls, want at least 150", calls)
	}
	step := 17 // so that each way of failing meets every part of the scenario
	switch {
	case *allCallsFlag || os.Getenv("PROVOST_SIM_CALLS") != "":
		step = 1
	case testenv.Race || testing.Short():
		step = 97
	}
	var next, failed atomic.Int64
	for worker := range runtime.GOMAXPROCS(0) {
		t.Run(fmt.Sprint("worker", worker), func(t *testing.T) {
			t.Parallel()
			for i := int(next.Add(1) - 1); i*step < calls*len(callFaults) && failed.Load() < 5; i = int(next.Add(1) - 1) {
				k, f := 1+i*step/len(callFaults), callFaults[i*step%len(callFaults)]
				if found, _, h := simulateCall(t, k, f); len(found) > 0 {
					failed.Add(1)
					t.Errorf("call %d, %s:\n%s\n%s", k, f, strings.Join(found[:min(len(found), 20)], "\n"), excerpt(h, found))
				}
			}
		})
	}
}

// simulateCall runs the scenario with a fault in call k. calls is how many calls the runner made
// before the faults end.
func simulateCall(t *testing.T, k int, f fault) (found []string, calls int, h *history) {
	defer func() {
		if p := recover(); p != nil {
			panic(fmt.Sprintf("call %d, %s: %v", k, f, p))
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		var made atomic.Int64
		w := newCallWorld()
		h = w.history
		w.draw = func(int, int) func(string) fault {
			return func(string) fault {
				if w.calm.Load() {
					return fault{}
				}
				if made.Add(1) == int64(k) {
					return f
				}
				return fault{}
			}
		}
		ctx := clock.With(context.Background(), w.now)
		w.playCalls(ctx)
		w.recover(ctx)
		found = w.rest(ctx)
		w.close()
		found = append(found, w.check(ctx)...)
		calls = int(made.Load())
	})
	return found, calls, h
}

// newCallWorld returns a world with a bit of everything: a limit, retries, logs, child runs, and a
// flow that runs at most once.
func newCallWorld() *world {
	w := newEmptyWorld(7, rand.New(rand.NewPCG(7, 7)), config{
		view: remoteView, runners: 1, leaseTTL: 2 * time.Second, poll: time.Second, shutdown: time.Second, length: 40 * time.Second,
	}, nil)
	limited := &flow{name: "limited", retries: 2, retryDelay: time.Second, length: 400 * time.Millisecond, failing: 0.4, chatty: true}
	family := &flow{name: "family", length: time.Second, children: true, failing: 0.2}
	once := &flow{name: "once", length: time.Second, once: true, failing: 0.2}
	w.deployments = []*deployment{
		{flow: limited, builds: []*provost.Deployment{{Name: "d", ConcurrencyLimit: 1, Schedules: []schedule.Schedule{schedule.Every(4 * time.Second).Named("s")}}}},
		{flow: family, builds: []*provost.Deployment{{Name: "d", Schedules: []schedule.Schedule{schedule.Every(6 * time.Second).Jitter(time.Second).Named("s")}}}},
		{flow: once, builds: []*provost.Deployment{{Name: "d", Schedules: []schedule.Schedule{schedule.Every(7 * time.Second).CatchUp(schedule.CatchUpAll).Named("s")}}}},
	}
	return w
}

// playCalls plays the scenario up to the end of the faults.
func (w *world) playCalls(ctx context.Context) {
	s := w.seats[0]
	s.start()
	for _, step := range []func(){
		func() { w.byKey(ctx, "limited/d", "a") },
		func() { w.byKey(ctx, "family/d", "b"); w.byKey(ctx, "limited/d", "c") },
		func() { w.cancelSome(ctx) },
		func() { w.retrySome(ctx) },
		func() { s.shut(); s.start() },
		func() { w.byKey(ctx, "once/d", "d") },
	} {
		time.Sleep(w.config.length / 8)
		step()
	}
	time.Sleep(w.config.length / 4)
	w.calm.Store(true)
	w.history.add(entry{who: "world", call: calmEvent{}})
}

// byKey requests a run with an idempotency key.
func (w *world) byKey(ctx context.Context, handle, key string) {
	_, err := w.client.RunDeployment(ctx, handle, &provost.RunOptions{IdempotencyKey: key})
	w.tried(err)
}
