package provost_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/store"
)

// A claim that is in progress when Serve's context ends is awaited or repeated, and the runs that
// it claimed are handed back at once.
func TestClaimAnsweredDuringShutdownIsHandedBack(t *testing.T) {
	for _, how := range []fault{slow, loses, works} {
		t.Run(fmt.Sprint(faultNames[how]), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newFaulty()
				var claiming atomic.Bool
				response := make(chan struct{})
				begun := 0
				store := &delayedClaims{faulty: f, claiming: &claiming, response: response}
				stop := start(t, &provost.Runner{Store: store}, job("f", func(context.Context) error { begun++; return nil }))
				client := provost.NewClient(f.Store)
				store.late.Store(true)
				run := request(t, client, "f/d", nil)
				for !claiming.Load() {
					time.Sleep(50 * time.Millisecond)
				}
				done := make(chan error)
				go func() { done <- stop() }()
				synctest.Wait()
				if how == loses {
					f.set(loses, "ClaimRuns")
				}
				began := time.Now()
				time.Sleep(500 * time.Millisecond)
				close(response)
				if how == loses {
					synctest.Wait()
					f.set(works)
				}
				if err := <-done; err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("Serve returned after %v, want at most 2s", took)
				}
				got := get(t, client, run.ID)
				wantState(t, got, provost.StateScheduled)
				if begun != 0 || got.Attempt != 0 || got.Crashes != 0 {
					t.Errorf("begun %d times, attempt %d, crashes %d, want 0, 0 and 0", begun, got.Attempt, got.Crashes)
				}
			})
		})
	}
}

// delayedClaims is a store that claims at once and returns the claim when it is told to.
type delayedClaims struct {
	*faulty
	late     atomic.Bool
	claiming *atomic.Bool
	response chan struct{}
}

func (l *delayedClaims) ClaimRuns(ctx context.Context, p store.ClaimRunsParams) (store.ClaimRunsResult, error) {
	claims, err := l.Store.ClaimRuns(ctx, p)
	if l.late.Load() && len(claims.Runs) > 0 && !l.claiming.Swap(true) {
		<-l.response
		if l.begin("ClaimRuns") == loses {
			return store.ClaimRunsResult{}, errFaulty
		}
	}
	return claims, err
}

func TestClaimingStopsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFaulty()
		ctx, cancel := context.WithCancel(t.Context())
		r := &provost.Runner{Store: f, Logger: quiet}
		done := make(chan error)
		go func() {
			done <- r.Serve(ctx, job("f", func(context.Context) error { time.Sleep(20 * time.Second); return nil }, provost.Every(time.Second)))
		}()
		time.Sleep(5 * time.Second)
		cancel()
		synctest.Wait()
		before := f.count("ClaimRuns")
		if err := <-done; err != nil {
			t.Error(err)
		}
		if after := f.count("ClaimRuns"); after != before {
			t.Errorf("%d claims after the end of the context, want none", after-before)
		}
	})
}

// Serve returns in time whatever the store does meanwhile.
func TestShutdownDuringAStoreFailure(t *testing.T) {
	for _, how := range []fault{refuses, hangs, loses, slow} {
		for _, flow := range []string{"none", "obeys", "unresponsive"} {
			t.Run(faultNames[how]+" "+flow, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					f := newFaulty()
					fl := provost.NewJob("f", func(ctx context.Context) error {
						if flow == "unresponsive" {
							time.Sleep(time.Hour)
						}
						<-ctx.Done()
						return ctx.Err()
					})
					stop := start(t, &provost.Runner{Store: f}, &provost.Deployment{Flow: fl, Name: "d"})
					client := provost.NewClient(f.Store)
					if flow != "none" {
						for range 100 {
							request(t, client, "f/d", nil)
						}
					}
					time.Sleep(3 * time.Second)
					f.set(how)
					time.Sleep(time.Second)
					began := time.Now()
					err := stop()
					if flow == "unresponsive" {
						wantIs(t, err, provost.ErrDrainTimeout)
						wantError(t, err, "f/d")
					} else if err != nil {
						t.Error(err)
					}
					if took := time.Since(began); took > (25+5+5+2)*time.Second {
						t.Errorf("Serve returned after %v, want at most 37s", took)
					}
					time.Sleep(2 * time.Hour) // until the unresponsive flows have returned
				})
			})
		}
	}
}

// Rolling restarts of two runners under constant load lose nothing and use up no attempt.
func TestRollingRestarts(t *testing.T) {
	restarts := 60
	bubble(t, func(t *testing.T) {
		store := provost.NewMemoryStore()
		store.Keep = -1
		client := provost.NewClient(store)
		d := job("f", func(ctx context.Context) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(4 * time.Second):
				return nil
			}
		}, provost.Every(time.Second))
		serve := func() func() error {
			return start(t, &provost.Runner{Store: &remote{Store: store}, ShutdownTimeout: time.Second}, d)
		}
		stops := []func() error{serve(), serve()}
		for i := range restarts {
			time.Sleep(3 * time.Second)
			clean(t, stops[i%2])
			stops[i%2] = serve()
		}
		time.Sleep(20 * time.Second)
		for _, run := range list(t, client, provost.RunFilter{}) {
			if run.Crashes > 0 || run.Attempt > 1 {
				t.Errorf("run of %v: attempt %d, crashes %d, want at most 1 and 0", run.ScheduledTime, run.Attempt, run.Crashes)
			}
			if time.Since(run.ScheduledTime) > 15*time.Second && run.State.Type != provost.StateCompleted {
				t.Errorf("run of %v is %s, want COMPLETED", run.ScheduledTime, run.State)
			}
		}
		clean(t, stops[0])
		clean(t, stops[1])
	})
}

func TestHooksAreCalledOnceStoredAndBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFaulty()
		client := provost.NewClient(f.Store)
		var c gauge
		var called atomic.Int64
		fl := provost.NewJob("f", nothing)
		fl.OnCompletion = func(ctx context.Context, run *provost.Run) error {
			c.enter()
			defer c.leave()
			if stored := get(t, client, run.ID); stored.State.Type != provost.StateCompleted || run.State.Type != provost.StateCompleted {
				t.Errorf("the hook was called for a run in state %s", stored.State)
			}
			time.Sleep(3 * time.Second)
			switch called.Add(1) % 4 {
			case 0:
				runtime.Goexit()
			case 1:
				panic("hook")
			case 2:
				return errors.New("hook")
			}
			return nil
		}
		stop := start(t, &provost.Runner{Store: f, Limit: 1000}, &provost.Deployment{Flow: fl, Name: "d"})
		var runs []uuid.UUID
		for range 350 {
			runs = append(runs, request(t, client, "f/d", nil).ID)
		}
		for _, id := range runs {
			wait(t, client, id)
		}
		clean(t, stop)
		if called.Load() != 350 || c.max.Load() != 100 {
			t.Errorf("%d hooks called, %d at once, want 350 and 100", called.Load(), c.max.Load())
		}
	})
}

// A hook is called even if the store fails just when its run ends.
func TestHookWaitsForTheStore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFaulty()
		called := 0
		fl := provost.NewJob("f", nothing)
		fl.OnCompletion = func(context.Context, *provost.Run) error { called++; return nil }
		stop := start(t, &provost.Runner{Store: f}, &provost.Deployment{Flow: fl, Name: "d"})
		f.set(refuses, "GetRun")
		runNow(t, provost.NewClient(f.Store), "f/d", nil)
		time.Sleep(20 * time.Second)
		f.set(works)
		time.Sleep(20 * time.Second)
		clean(t, stop)
		if called != 1 {
			t.Errorf("called %d times, want once", called)
		}
	})
}

func TestNoHookForARunThatWasCancelledBeforeItBegan(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := provost.NewJob("f", nothing)
		called := 0
		f.OnCancellation = func(context.Context, *provost.Run) error { called++; return nil }
		store := provost.NewMemoryStore()
		client := provost.NewClient(store)
		stop := start(t, &provost.Runner{Store: store}, &provost.Deployment{Flow: f, Name: "d"})
		for _, ahead := range []time.Duration{time.Hour, 300 * time.Millisecond} {
			run := request(t, client, "f/d", &provost.RunOptions{ScheduledTime: time.Now().Add(ahead)})
			synctest.Wait()
			if _, err := client.CancelRun(t.Context(), run.ID, nil); err != nil {
				t.Fatal(err)
			}
			wantState(t, wait(t, client, run.ID), provost.StateCancelled)
		}
		clean(t, stop)
		if called != 0 {
			t.Errorf("called %d times, want 0", called)
		}
	})
}

// exits calls runtime.Goexit where the library calls user code outside of the flow's function.
type exits struct{}

func (exits) MarshalJSON() ([]byte, error) { runtime.Goexit(); return nil, nil }
func (*exits) UnmarshalJSON([]byte) error  { runtime.Goexit(); return nil }

func TestGoexitOutsideOfTheFunction(t *testing.T) {
	bubble(t, func(t *testing.T) {
		result := provost.NewFlow("result", func(context.Context, provost.None) (exits, error) { return exits{}, nil })
		failing := provost.NewJob("backoff", func(context.Context) error { return errFaulty })
		failing.Retries = 3
		failing.Backoff = func(int, error) time.Duration { runtime.Goexit(); return 0 }
		params := provost.NewAction("params", func(context.Context, struct {
			E exits `json:"e"`
		},
		) error {
			return nil
		})
		store := provost.NewMemoryStore()
		stop := start(t, &provost.Runner{Store: store},
			&provost.Deployment{Flow: result, Name: "d"}, &provost.Deployment{Flow: failing, Name: "d"},
			&provost.Deployment{Flow: params, Name: "d", SkipParameterValidation: true})
		client := provost.NewClient(store)
		for range 3 {
			for _, name := range []string{"result/d", "backoff/d"} {
				wantState(t, runNow(t, client, name, nil), provost.StateFailed, "Goexit")
			}
		}
		bad := request(t, client, "params/d", &provost.RunOptions{Parameters: provost.Params{"e": 1}})
		good := request(t, client, "params/d", nil)
		wantState(t, wait(t, client, bad.ID), provost.StateFailed, "Goexit")
		wantState(t, wait(t, client, good.ID), provost.StateCompleted)
		clean(t, stop)
	})
}

// Flows that end their goroutines while others start keep the count of goroutines correct.
// Otherwise a drain would panic or hang.
func TestGoexitOfManyBesideStarts(t *testing.T) {
	store := provost.NewMemoryStore()
	exit := job("exit", func(context.Context) error { runtime.Goexit(); return nil })
	stop := start(t, &provost.Runner{Store: store, Limit: 1000, Logger: slog.New(slog.DiscardHandler)}, exit)
	client := provost.NewClient(store)
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for range 500 {
				if _, err := client.RunDeployment(t.Context(), "exit/d", nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	callers.Wait()
	clean(t, stop)
}

// A flow that runs at most once is entered only when its start is known to be stored. Otherwise the
// run waits for another claim, and no attempt is counted.
func TestAtMostOnceUnderFaults(t *testing.T) {
	for _, how := range []fault{refuses, loses, hangs, slow} {
		for _, length := range []time.Duration{300 * time.Millisecond, 5 * time.Second, time.Minute} {
			t.Run(fmt.Sprint(faultNames[how], " for ", length), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					f := newFaulty()
					var mu sync.Mutex
					entered := 0
					fl := provost.NewJob("f", func(ctx context.Context) error {
						mu.Lock()
						defer mu.Unlock()
						entered++
						info, _ := provost.RunFromContext(ctx)
						run, err := f.Store.GetRun(context.WithoutCancel(ctx), info.ID)
						if err != nil || run.State.Type != provost.StateRunning {
							t.Errorf("the flow was entered while the store had %v, error %v", run.State, err)
						}
						return nil
					})
					fl.AtMostOnce = true
					stop := start(t, &provost.Runner{Store: f}, &provost.Deployment{Flow: fl, Name: "d"})
					client := provost.NewClient(f.Store)
					f.set(how, "SettleRuns")
					run := request(t, client, "f/d", nil)
					time.Sleep(length)
					f.set(works)
					run = wait(t, client, run.ID)
					wantState(t, run, provost.StateCompleted)
					if entered != 1 || run.Attempt != 1 || run.Crashes != 0 {
						t.Errorf("entered %d times, attempt %d, crashes %d, want 1, 1 and 0: %v", entered, run.Attempt, run.Crashes, run.History)
					}
					clean(t, stop)
				})
			})
		}
	}
}
