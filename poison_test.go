package provost_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/internal/testenv"
	"github.com/provost-go/provost/store"
)

// The tests of this file execute runs that misbehave and must not harm others.
// TestFlowThatMisbehavesFailsItsRunAlone covers what a function returns and how it ends.

func TestUnresponsiveFlowKeepsItsLeaseAndItsSlot(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := provost.NewMemoryStore()
		client := provost.NewClient(store)
		wake := make(chan struct{})
		serve := func(name string, unresponsive bool) (*provost.Runner, func() error) {
			d := job("f", func(context.Context) error {
				if unresponsive {
					<-wake
				}
				return nil
			})
			d.ConcurrencyLimit = 1
			r := &provost.Runner{Store: store, Name: name, Limit: 1}
			return r, start(t, r, d)
		}
		a, stopA := serve("a", true)
		first := request(t, client, "f/d", nil)
		time.Sleep(time.Second)
		_, stopB := serve("b", false)
		second := request(t, client, "f/d", nil)
		if _, err := client.CancelRun(t.Context(), first.ID, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute) // many times LeaseTTL
		wantState(t, get(t, client, first.ID), provost.StateCancelling)
		wantState(t, get(t, client, second.ID), provost.StateScheduled)
		if h := a.Health(); h.InFlight != 1 || h.LeasesLost != 0 || time.Since(h.LastRenewed) > 10*time.Second {
			t.Errorf("Health of its runner = %+v", h)
		}
		err := stopA()
		wantIs(t, err, provost.ErrDrainTimeout)
		wantError(t, err, "f/d", first.ID.String())
		began := time.Now()
		wantState(t, wait(t, client, second.ID), provost.StateCompleted)
		if took := time.Since(began); took > 31*time.Second {
			t.Errorf("the slot became free after %v, want at most 31s", took)
		}
		wantState(t, get(t, client, first.ID), provost.StateCancelled)
		close(wake)
		synctest.Wait()
		wantState(t, get(t, client, first.ID), provost.StateCancelled)
		clean(t, stopB)
	})
}

func TestParametersThatNoLongerDecodeFailTheirRunAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := provost.NewMemoryStore()
		client := provost.NewClient(store)
		serve := func(f provost.AnyFlow, lax bool) func() error {
			return start(t, &provost.Runner{Store: store}, &provost.Deployment{Flow: f, Name: "d", SkipParameterValidation: lax})
		}
		for _, lax := range []bool{false, true} {
			entered := 0
			before := provost.NewAction("f", func(context.Context, struct{ N int }) error { return nil })
			after := provost.NewAction("f", func(context.Context, struct{ N time.Time }) error { entered++; return nil })
			after.Retries = 3
			clean(t, serve(before, lax))
			soon := time.Now().Add(time.Minute)
			var old []uuid.UUID
			for range 5 {
				old = append(old, request(t, client, "f/d", &provost.RunOptions{Parameters: provost.Params{"N": 7}, ScheduledTime: soon}).ID)
			}
			stop := serve(after, lax)
			fits := request(t, client, "f/d", &provost.RunOptions{Parameters: provost.Params{"N": soon}, ScheduledTime: soon})
			for _, id := range old {
				run := wait(t, client, id)
				wantState(t, run, provost.StateFailed, "parameters do not fit", "N")
				if !run.EndTime.Equal(soon) {
					t.Errorf("the run finished %v after it was due, want 0s", run.EndTime.Sub(soon))
				}
			}
			wantState(t, wait(t, client, fits.ID), provost.StateCompleted)
			if entered != 1 {
				t.Errorf("entered %d times, want once", entered)
			}
			clean(t, stop)
		}
	})
}

func TestHugeResultIsLeftOutWhileOthersGoOn(t *testing.T) {
	size := 10 << 20
	if testenv.Race {
		size = 2 << 20
	}
	bubble(t, func(t *testing.T) {
		f := provost.NewFlow("f", func(_ context.Context, p struct{ Size int }) (string, error) {
			return strings.Repeat("x", p.Size), nil
		})
		client, stop := serveFlow(t, f)
		defer stop()
		huge := request(t, client, "f/d", &provost.RunOptions{Parameters: provost.Params{"Size": size}})
		small := request(t, client, "f/d", &provost.RunOptions{Parameters: provost.Params{"Size": 10}})
		run := wait(t, client, huge.ID)
		wantState(t, run, provost.StateCompleted, "not stored")
		if len(run.Result) > 0 {
			t.Errorf("a result of %d bytes is stored, want none", len(run.Result))
		}
		if got, err := f.Result(wait(t, client, small.ID)); got != "xxxxxxxxxx" || err != nil {
			t.Errorf("Result = %q, %v, want xxxxxxxxxx", got, err)
		}
	})
}

// Attributes of log lines whose methods misbehave.
type (
	panickingText   struct{}
	panickingString struct{}
	panickingValue  struct{}
	loggingText     struct{ log *slog.Logger } // logs to the logger that is writing it
	blockingString  struct{ until chan struct{} }
)

func (panickingText) MarshalText() ([]byte, error) { panic("no text") }
func (panickingString) String() string             { panic("no words") }
func (panickingValue) LogValue() slog.Value        { panic("no value") }
func (a loggingText) MarshalText() ([]byte, error) {
	a.log.Info("from inside")
	return []byte("said"), nil
}
func (a blockingString) String() string { <-a.until; return "at last" }

func TestLogAttributesThatMisbehave(t *testing.T) {
	handlers := map[string]func(*logBuffer) slog.Handler{
		"text": func(b *logBuffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"json": func(b *logBuffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	}
	for name, handler := range handlers {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var logs logBuffer
				store := provost.NewMemoryStore()
				client := provost.NewClient(store)
				f := provost.NewJob("f", func(ctx context.Context) error {
					log := provost.Logger(ctx)
					log.Info("one", "a", panickingText{}, "b", 1)
					log.Info("two", "a", panickingString{}, "b", 2)
					log.Info("three", "a", panickingValue{}, "b", 3)
					log.Info("four", slog.Group("g", "a", panickingText{}, "b", 4))
					log.Info("five", "a", loggingText{log})
					log.With("a", panickingText{}).Info("six")
					log.Info("seven", "a", (*panicking)(nil))
					log.Info("eight " + strings.Repeat("ä", 1<<19))
					log.Info("nine", "a", strings.Repeat("\x00", 1<<16))
					log.Info("ten", "a", []byte("bytes"), "b", error(&provost.ParamError{Path: "p"}))
					return nil
				})
				stop := start(t, &provost.Runner{Store: store, Logger: slog.New(handler(&logs))}, &provost.Deployment{Flow: f, Name: "d"})
				run := runNow(t, client, "f/d", nil)
				clean(t, stop)
				wantState(t, run, provost.StateCompleted)
				var lines []string
				for line, err := range client.Logs(t.Context(), run.ID, nil) {
					if err != nil {
						t.Fatal(err)
					}
					if len(line.Message) > 100<<10 {
						t.Errorf("a line of %d bytes is stored, want at most %d", len(line.Message), 100<<10)
					}
					lines = append(lines, line.Message[:min(len(line.Message), 2000)])
				}
				text := strings.Join(lines, "\n")
				for _, want := range []string{
					`one a="!PANIC: no text" b=1`, "two a=", " b=2", "three a=", " b=3", `four g.a="!PANIC: no text" g.b=4`,
					"from inside", "five a=said", "six", "seven", "eight ää", "nine", `ten a="bytes" b="parameter p: "`,
				} {
					if !strings.Contains(text, want) {
						t.Errorf("the stored log does not contain %q:\n%s", want, text)
					}
				}
			})
		})
	}
}

// A method that hangs blocks its own flow, but not the writing of other log lines or results.
func TestLogAttributeThatHangsHoldsUpItsFlowAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		until := make(chan struct{})
		f := provost.NewFlow("f", func(ctx context.Context, p struct{ Hang bool }) (string, error) {
			log := provost.Logger(ctx)
			log.Info("first")
			if p.Hang {
				log.Info("second", "a", blockingString{until})
			}
			return "", nil
		})
		store := provost.NewMemoryStore()
		client := provost.NewClient(store)
		stop := start(t, &provost.Runner{Store: store}, &provost.Deployment{Flow: f, Name: "d"})
		hangs := request(t, client, "f/d", &provost.RunOptions{Parameters: provost.Params{"Hang": true}})
		time.Sleep(time.Second)
		wantState(t, runNow(t, client, "f/d", nil), provost.StateCompleted)
		if got := logText(t, client, hangs); got != "first" {
			t.Errorf("got stored log %q", got)
		}
		close(until)
		wantState(t, wait(t, client, hangs.ID), provost.StateCompleted)
		if got := logText(t, client, hangs); got != "first\nsecond a=\"at last\"" {
			t.Errorf("got stored log %q", got)
		}
		clean(t, stop)
	})
}

// Goroutines that a flow leaves behind continue to use the context and the logger of a run that has
// finished and of a runner that has stopped.
func TestContextAndLoggerAfterTheRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var left sync.WaitGroup
		var inside context.Context
		var log *slog.Logger
		part := provost.NewJob("part", func(context.Context) error { t.Error("a child run began after its parent's end"); return nil })
		f := provost.NewJob("f", func(ctx context.Context) error {
			inside, log = ctx, provost.Logger(ctx)
			for i := range 10 {
				left.Go(func() {
					for n := range 1000 {
						log.Info("still here", "i", i, "n", n)
						time.Sleep(time.Second)
					}
				})
			}
			log.Info("done")
			return nil
		})
		store := provost.NewMemoryStore()
		client := provost.NewClient(store)
		stop := start(t, &provost.Runner{Store: store}, &provost.Deployment{Flow: f, Name: "d"})
		run := runNow(t, client, "f/d", nil)
		wantState(t, run, provost.StateCompleted)
		time.Sleep(time.Minute)
		if inside.Err() == nil {
			t.Error("the context has not ended")
		}
		if info, ok := provost.RunFromContext(inside); !ok || info.ID != run.ID {
			t.Errorf("RunFromContext = %+v, %v", info, ok)
		}
		if _, err := part.Run(inside, provost.None{}); err == nil {
			t.Error("Run of another flow succeeded, want an error")
		}
		if _, err := part.Run(context.WithoutCancel(inside), provost.None{}); !errors.Is(err, provost.ErrLeaseLost) {
			t.Errorf("Run of another flow: error %v, want %v", err, provost.ErrLeaseLost)
		}
		if c, ok := provost.ClientFromContext(inside); !ok {
			t.Error("ClientFromContext returned no client")
		} else if _, err := c.GetRun(t.Context(), run.ID); err != nil {
			t.Error(err)
		}
		clean(t, stop)
		log.Info("after the runner")
		left.Wait()
		if got := logText(t, client, run); !strings.Contains(got, "done") || strings.Contains(got, "n=5") || strings.Contains(got, "after") {
			t.Errorf("got stored log %q", got)
		}
	})
}

// A flow that logs as fast as it can loses lines, uses bounded memory and makes others only a
// little late. The test runs in real time.
func TestLogStorm(t *testing.T) {
	lines := 1_000_000
	if testenv.Race {
		lines = 50_000
	}
	st := provost.NewMemoryStore()
	client := provost.NewClient(st)
	var mu sync.Mutex
	var late []time.Duration
	storm := job("storm", func(ctx context.Context) error {
		log := provost.Logger(ctx)
		for i := range lines {
			log.Info("a line of the flow that is rather long and says very little", "i", i)
		}
		return nil
	})
	calm := job("calm", func(ctx context.Context) error {
		info, _ := provost.RunFromContext(ctx)
		mu.Lock()
		defer mu.Unlock()
		late = append(late, time.Since(info.ScheduledTime))
		return nil
	}, provost.Every(20*time.Millisecond))
	stop := start(t, &provost.Runner{Store: st}, storm, calm)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	run := runNow(t, client, "storm/d", nil)
	runtime.ReadMemStats(&after)
	clean(t, stop)
	wantState(t, run, provost.StateCompleted)
	if grown := int64(after.Sys) - int64(before.Sys); grown > 64<<20 { // Sys never shrinks, so it is the peak
		t.Errorf("memory grew by %d MiB, want at most 64", grown>>20)
	}
	page, err := st.ListLogs(t.Context(), store.LogFilter{RunID: run.ID})
	if err != nil || page.Dropped == 0 {
		t.Errorf("%d lines were dropped, error %v, want some", page.Dropped, err)
	}
	slices.Sort(late)
	if len(late) < 5 {
		t.Fatalf("%d other runs, want at least 5", len(late))
	}
	p90 := late[len(late)*9/10]
	t.Logf("%d lines in %v, memory +%d KiB; %d other runs late by %v, at most %v, 90 %% below %v", lines,
		run.EndTime.Sub(run.StartTime), int64(after.Sys-before.Sys)>>10, len(late), late[len(late)/2], late[len(late)-1], p90)
	if p90 > 250*time.Millisecond {
		t.Errorf("90 %% of the other runs are late by up to %v, want at most 250ms", p90)
	}
}
