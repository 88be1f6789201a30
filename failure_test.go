package provost_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/store"
)

// The store fails for a while, in each way and for various lengths, with 100 runs in flight and a
// schedule. Nothing is lost, nothing spins, little is logged, and everything continues at once.
func TestStoreFailures(t *testing.T) {
	lengths := []time.Duration{100 * time.Millisecond, 3 * time.Second, 12 * time.Second, 40 * time.Second, 10 * time.Minute, 6 * time.Hour}
	for _, how := range []fault{refuses, loses, hangs, slow} {
		for _, length := range lengths {
			for _, local := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s for %v local %v", faultNames[how], length, local), func(t *testing.T) {
					bubble(t, func(t *testing.T) { testStoreFailure(t, how, length, local) })
				})
			}
		}
	}
}

func testStoreFailure(t *testing.T, how fault, length time.Duration, local bool) {
	f := newFaulty()
	f.Store.(*provost.MemoryStore).Keep = -1
	var st provost.Store = f
	if local {
		st = localFaulty{f}
	}
	var logs logBuffer
	var ticks counter
	var entered atomic.Int64
	long := job("long", func(ctx context.Context) error {
		entered.Add(1)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Second):
			return nil
		}
	})
	tick := job("tick", func(ctx context.Context) error {
		info, _ := provost.RunFromContext(ctx)
		ticks.add(info.ScheduledTime.String())
		return nil
	}, provost.Every(10*time.Second))
	stop := start(t, &provost.Runner{Store: st, Limit: 200, Logger: logs.logger()}, long, tick)
	client := provost.NewClient(f.Store)
	began := time.Now()
	var runs []uuid.UUID
	for range 100 {
		runs = append(runs, request(t, client, "long/d", nil).ID)
	}
	time.Sleep(12 * time.Second)
	synctest.Wait()
	before := f.total()
	f.set(how)
	time.Sleep(length)
	during := f.total() - before
	f.set(works)
	back := time.Now()
	for _, id := range runs {
		run := wait(t, client, id)
		wantState(t, run, provost.StateCompleted)
		if run.Crashes != 0 || run.Attempt != 1 {
			t.Fatalf("attempt %d, crashes %d, want 1 and 0: %v", run.Attempt, run.Crashes, run.History)
		}
	}
	if took := time.Since(back); took > 45*time.Second {
		t.Errorf("the last run finished %v after the failure, want at most 45s", took)
	}
	if n := entered.Load(); (length <= 3*time.Second && n != 100) || n > 200 {
		t.Errorf("entered %d times, want 100, or at most 200 if leases were lost", n)
	}
	time.Sleep(30 * time.Second)
	synctest.Wait()
	noHotLoop(t, during, length)
	fewLines(t, &logs, length)
	total, twice := ticks.total()
	decided := total
	for _, s := range skips(t, client, "tick/d") {
		decided += s.Count
	}
	for _, run := range list(t, client, provost.RunFilter{Flow: "tick", States: []provost.StateType{provost.StateCancelled}}) {
		if run.State.Name == store.NameSkipped {
			decided++
		}
	}
	if want := int(time.Since(began) / (10 * time.Second)); twice > 0 || decided < want-1 || decided > want {
		t.Errorf("%d instants ran, %d of them twice, want none; %d decided, want %d", total, twice, decided, want)
	}
	clean(t, stop)
}

// noHotLoop bounds the calls during a failure: seven operations back off to ten seconds, give or
// take jitter, plus the calls that they make until then.
func noHotLoop(t *testing.T, calls int, length time.Duration) {
	t.Helper()
	if most := 7*10 + 7*int(length/(4*time.Second)); calls > most {
		t.Errorf("%d calls in a failure of %v, want at most %d", calls, length, most)
	}
}

// fewLines bounds the log to six lines a minute for each operation.
func fewLines(t *testing.T, logs *logBuffer, length time.Duration) {
	t.Helper()
	for _, operation := range []string{"heartbeat", `"reap leases"`, `"plan runs"`, `"claim runs"`, `"renew leases"`, `"settle runs"`} {
		if n, most := len(logs.lines("operation="+operation)), 6*(2+int(length/time.Minute)); n > most {
			t.Errorf("%d lines about %s, want at most %d", n, operation, most)
		}
	}
	if n := len(logs.lines("level=")) - len(logs.lines("level=INFO msg=\"run ")); n > 100+20*int(length/time.Minute) {
		t.Errorf("%d lines in all, want at most %d", n, 100+20*int(length/time.Minute))
	}
}

// A store that fails and recovers again and again does not cost a line each time.
func TestFlappingStoreIsLoggedRarely(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFaulty()
		var logs logBuffer
		stop := start(t, &provost.Runner{Store: f, Logger: logs.logger()}, job("f", nothing))
		for range 600 {
			f.set(refuses)
			time.Sleep(500 * time.Millisecond)
			f.set(works)
			time.Sleep(1500 * time.Millisecond)
		}
		fewLines(t, &logs, 20*time.Minute)
		clean(t, stop)
	})
}

func TestClaimsGoOnWhileAnotherStepFails(t *testing.T) {
	for _, operation := range []string{"DueSchedules", "PlanRuns", "ReapLeases"} {
		for _, how := range []fault{refuses, hangs} {
			t.Run(operation+" "+faultNames[how], func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					f := newFaulty()
					stop := start(t, &provost.Runner{Store: f}, job("f", nothing, provost.Every(time.Second)))
					client := provost.NewClient(f.Store)
					f.set(how, operation)
					time.Sleep(25 * time.Second) // the first call that hangs has to time out
					for range 25 {
						began := time.Now()
						wantState(t, runNow(t, client, "f/d", nil), provost.StateCompleted)
						if took := time.Since(began); took > 2*time.Second {
							t.Errorf("a run took %v, want at most 2s", took)
						}
						time.Sleep(500 * time.Millisecond)
					}
					clean(t, stop)
				})
			})
		}
	}
}

func TestRegistrationDuringAStoreFailure(t *testing.T) {
	for _, operation := range []string{"RegisterDeployments", "RegisterRunner"} {
		for _, how := range []fault{refuses, loses, hangs} {
			bubble(t, func(t *testing.T) {
				f := newFaulty()
				f.set(how, operation)
				began := time.Now()
				err := (&provost.Runner{Store: f, Logger: quiet}).Serve(t.Context(), job("f", nothing))
				wantError(t, err, "register")
				if took := time.Since(began); took > 10*time.Second {
					t.Errorf("%s %s: Serve returned after %v, want at most 10s", operation, faultNames[how], took)
				}
				runners, _ := f.Store.ListRunners(t.Context())
				if len(runners) != 0 {
					t.Errorf("%s %s: runners %v are still registered", operation, faultNames[how], runners)
				}
			})
		}
	}
}

// A result that the store refuses does not keep others from being stored.
func TestPoisonedCompletionFailsAlone(t *testing.T) {
	for name, c := range map[string]struct {
		poison func(store.RunUpdate) bool
		want   provost.StateType
	}{
		"its result": {func(u store.RunUpdate) bool { return string(u.Result) == `"bad"` }, provost.StateCompleted},
		"all of it":  {func(u store.RunUpdate) bool { return u.State.Type == provost.StateFailed }, provost.StateCrashed},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newFaulty()
				f.poison = c.poison
				fl := provost.NewFlow("f", func(_ context.Context, p struct {
					N int `json:"n"`
				},
				) (string, error) {
					time.Sleep(5 * time.Second)
					if p.N != 33 {
						return "good", nil
					}
					if c.want == provost.StateCrashed {
						return "", errFaulty
					}
					return "bad", nil
				})
				stop := start(t, &provost.Runner{Store: f}, &provost.Deployment{Flow: fl, Name: "d"})
				client := provost.NewClient(f.Store)
				var runs []uuid.UUID
				for n := range 100 {
					runs = append(runs, request(t, client, "f/d", &provost.RunOptions{Parameters: provost.Params{"n": n}}).ID)
				}
				time.Sleep(20 * time.Second)
				bad := runs[33]
				for _, id := range append(runs[:33:33], runs[34:]...) {
					wantState(t, get(t, client, id), provost.StateCompleted)
				}
				wantState(t, wait(t, client, bad), c.want)
				clean(t, stop)
			})
		})
	}
}
