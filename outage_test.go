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

// An outage of any length and kind, with 100 runs in flight and a schedule: nothing is lost, nothing spins, little is logged, and
// all goes on at once.
func TestOutages(t *testing.T) {
	lengths := []time.Duration{100 * time.Millisecond, 3 * time.Second, 12 * time.Second, 40 * time.Second, 10 * time.Minute, 6 * time.Hour}
	for _, how := range []fault{refuses, loses, hangs, slow} {
		for _, length := range lengths {
			for _, local := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s for %v local %v", faultNames[how], length, local), func(t *testing.T) {
					bubble(t, func(t *testing.T) { outage(t, how, length, local) })
				})
			}
		}
	}
}

func outage(t *testing.T, how fault, length time.Duration, local bool) {
	f := newFaulty()
	f.Store.(*provost.MemoryStore).Keep = -1
	var st provost.Store = f
	if local {
		st = localFaulty{f}
	}
	var book logBook
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
	stop := start(t, &provost.Runner{Store: st, Limit: 200, Logger: book.logger()}, long, tick)
	client := provost.NewClient(f.Store)
	began := time.Now()
	var runs []uuid.UUID
	for range 100 {
		runs = append(runs, request(t, client, "long/d", nil).ID)
	}
	time.Sleep(12 * time.Second)
	synctest.Wait()
	before := calls(f)
	f.set(how)
	time.Sleep(length)
	during := calls(f) - before
	f.set(works)
	back := time.Now()
	for _, id := range runs {
		run := wait(t, client, id)
		wantState(t, run, provost.StateCompleted)
		if run.Crashes != 0 || run.Attempt != 1 {
			t.Fatalf("run: attempt %d, crashes %d, %v", run.Attempt, run.Crashes, run.History)
		}
	}
	if took := time.Since(back); took > 45*time.Second {
		t.Errorf("the last run ended %v after the outage", took)
	}
	if n := entered.Load(); (length <= 3*time.Second && n != 100) || n > 200 {
		t.Errorf("entered %d times, want 100, or 200 where trust ended", n)
	}
	time.Sleep(30 * time.Second)
	synctest.Wait()
	noHotLoop(t, during, length)
	fewLines(t, &book, length)
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
		t.Errorf("%d instants ran, %d of them twice, %d decided, want %d", total, twice, decided, want)
	}
	clean(t, stop)
}

func calls(f *faulty) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, c := range f.calls {
		n += c
	}
	return n
}

// noHotLoop holds the calls during an outage to seven operations that back off to ten seconds, give or take their jitter, with
// what they do until then.
func noHotLoop(t *testing.T, calls int, length time.Duration) {
	t.Helper()
	if most := 7*10 + 7*int(length/(4*time.Second)); calls > most {
		t.Errorf("%d calls in an outage of %v, want at most %d", calls, length, most)
	}
}

// fewLines holds the log to six lines a minute on an operation.
func fewLines(t *testing.T, book *logBook, length time.Duration) {
	t.Helper()
	for _, operation := range []string{"heartbeat", `"reap leases"`, `"plan runs"`, `"claim runs"`, `"renew leases"`, `"settle runs"`} {
		if n, most := len(book.lines("operation="+operation)), 6*(2+int(length/time.Minute)); n > most {
			t.Errorf("%d lines on %s, want at most %d", n, operation, most)
		}
	}
	if n := len(book.lines("level=")) - len(book.lines("level=INFO msg=\"run ")); n > 100+20*int(length/time.Minute) {
		t.Errorf("%d lines in all", n)
	}
}

// A store that comes and goes is not worth a line each time.
func TestFlappingStoreIsLoggedRarely(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFaulty()
		var book logBook
		stop := start(t, &provost.Runner{Store: f, Logger: book.logger()}, job("f", nothing))
		for range 600 {
			f.set(refuses)
			time.Sleep(500 * time.Millisecond)
			f.set(works)
			time.Sleep(1500 * time.Millisecond)
		}
		fewLines(t, &book, 20*time.Minute)
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
					time.Sleep(25 * time.Second) // the first call that hangs is waited for
					for range 25 {
						began := time.Now()
						wantState(t, runNow(t, client, "f/d", nil), provost.StateCompleted)
						if took := time.Since(began); took > 2*time.Second {
							t.Errorf("a run took %v", took)
						}
						time.Sleep(500 * time.Millisecond)
					}
					clean(t, stop)
				})
			})
		}
	}
}

func TestRegistrationDuringAnOutage(t *testing.T) {
	for _, operation := range []string{"RegisterDeployments", "RegisterRunner"} {
		for _, how := range []fault{refuses, loses, hangs} {
			bubble(t, func(t *testing.T) {
				f := newFaulty()
				f.set(how, operation)
				began := time.Now()
				err := (&provost.Runner{Store: f, Logger: quiet}).Serve(t.Context(), job("f", nothing))
				wantError(t, err, "register")
				if took := time.Since(began); took > 10*time.Second {
					t.Errorf("%s %s: returned after %v", operation, faultNames[how], took)
				}
				runners, _ := f.Store.ListRunners(t.Context())
				if len(runners) != 0 {
					t.Errorf("%s %s: left %v registered", operation, faultNames[how], runners)
				}
			})
		}
	}
}

// One end that the store refuses keeps nobody else's.
func TestPoisonedEndFailsAlone(t *testing.T) {
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
