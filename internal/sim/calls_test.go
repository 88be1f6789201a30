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

	"github.com/provost-go/provost/internal/clock"
	"github.com/provost-go/provost/internal/race"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/schedule"
)

// simCallFaults are what each call of the scenario suffers in its turn.
var simCallFaults = []simFault{
	{kind: errorBefore},
	{kind: errorAfter},
	{hangBefore, time.Hour},
	{hangAfter, time.Hour},
	{hangLate, time.Hour},
	{slowBefore, 3 * time.Second},
	{slowAfter, 3 * time.Second},
	{kind: twice},
}

// TestEachCallFails serves one scenario again and again. Each time another one of the runner's store calls fails, in each of
// the ways in which a call can: nothing is lost by any of them. A sample of these is tried unless -sim.calls (or
// PROVOST_SIM_CALLS) asks for all.
func TestEachCallFails(t *testing.T) {
	found, calls, history := simulateCall(t, 0, simFault{})
	if len(found) > 0 {
		t.Fatalf("without a fault:\n%s\n%s", strings.Join(found, "\n"), excerpt(history, found))
	}
	if calls < 150 {
		t.Errorf("the scenario makes %d calls, too few to tell much", calls)
	}
	step := 17 // so that each way of failing meets every part of the scenario
	switch {
	case *simCalls || os.Getenv("PROVOST_SIM_CALLS") != "":
		step = 1
	case race.Enabled || testing.Short():
		step = 97
	}
	var next, failed atomic.Int64
	for worker := range runtime.GOMAXPROCS(0) {
		t.Run(fmt.Sprint("worker", worker), func(t *testing.T) {
			t.Parallel()
			for i := int(next.Add(1) - 1); i*step < calls*len(simCallFaults) && failed.Load() < 5; i = int(next.Add(1) - 1) {
				k, fault := 1+i*step/len(simCallFaults), simCallFaults[i*step%len(simCallFaults)]
				if found, _, history := simulateCall(t, k, fault); len(found) > 0 {
					failed.Add(1)
					t.Errorf("call %d, %s:\n%s\n%s", k, fault, strings.Join(found[:min(len(found), 20)], "\n"), excerpt(history, found))
				}
			}
		})
	}
}

// simulateCall runs the scenario with a fault in call k, and says how many calls there were until the faults were over.
func simulateCall(t *testing.T, k int, fault simFault) (found []string, calls int, history *simHistory) {
	defer func() {
		if p := recover(); p != nil {
			panic(fmt.Sprintf("call %d, %s: %v", k, fault, p))
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		var made atomic.Int64
		w := newCallWorld()
		history = w.history
		w.draw = func(int, int) func(string) simFault {
			return func(string) simFault {
				if w.calm.Load() {
					return simFault{}
				}
				if made.Add(1) == int64(k) {
					return fault
				}
				return simFault{}
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
	return found, calls, history
}

// newCallWorld has a bit of everything: a limit, retries, logs, child runs, a flow that runs at most once.
func newCallWorld() *simWorld {
	w := emptySimWorld(7, rand.New(rand.NewPCG(7, 7)), simConfig{
		view: simRemote, runners: 1, leaseTTL: 2 * time.Second, poll: time.Second, shutdown: time.Second, length: 40 * time.Second,
	}, nil)
	limited := &simFlow{name: "limited", retries: 2, retryDelay: time.Second, length: 400 * time.Millisecond, failing: 0.4, chatty: true}
	family := &simFlow{name: "family", length: time.Second, children: true, failing: 0.2}
	once := &simFlow{name: "once", length: time.Second, once: true, failing: 0.2}
	w.deployments = []*simDeployment{
		{flow: limited, builds: []*provost.Deployment{{Name: "d", ConcurrencyLimit: 1, Schedules: []schedule.Schedule{schedule.Every(4 * time.Second).Named("s")}}}},
		{flow: family, builds: []*provost.Deployment{{Name: "d", Schedules: []schedule.Schedule{schedule.Every(6 * time.Second).Jitter(time.Second).Named("s")}}}},
		{flow: once, builds: []*provost.Deployment{{Name: "d", Schedules: []schedule.Schedule{schedule.Every(7 * time.Second).CatchUp(schedule.CatchUpAll).Named("s")}}}},
	}
	return w
}

// playCalls is the scenario up to the end of faults.
func (w *simWorld) playCalls(ctx context.Context) {
	seat := w.seats[0]
	seat.start()
	for _, step := range []func(){
		func() { w.byKey(ctx, "limited/d", "a") },
		func() { w.byKey(ctx, "family/d", "b"); w.byKey(ctx, "limited/d", "c") },
		func() { w.cancelSome(ctx) },
		func() { w.retrySome(ctx) },
		func() { seat.shut(); seat.start() },
		func() { w.byKey(ctx, "once/d", "d") },
	} {
		time.Sleep(w.config.length / 8)
		step()
	}
	time.Sleep(w.config.length / 4)
	w.calm.Store(true)
	w.history.add(simRecord{who: "world", call: simCalm{}})
}

func (w *simWorld) byKey(ctx context.Context, handle, key string) {
	_, err := w.client.RunDeployment(ctx, handle, &provost.RunOptions{IdempotencyKey: key})
	w.tried(err)
}
