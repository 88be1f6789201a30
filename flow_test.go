package provost_test

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/store"
)

type orderParams struct {
	Region string        `json:"region" default:"eu" enum:"eu,us"`
	Count  int           `json:"count,omitempty"`
	Every  time.Duration `json:"every,omitempty"`
	Since  time.Time     `json:"since,omitzero"`
}

type orderResult struct {
	Region string
	Total  int64
	Took   time.Duration
}

// serveFlow serves one deployment "name/d" of a flow from a new memory store.
func serveFlow(t *testing.T, f provost.AnyFlow) (*provost.Client, func()) {
	t.Helper()
	store := provost.NewMemoryStore()
	stop := start(t, &provost.Runner{Store: store}, &provost.Deployment{Flow: f, Name: "d"})
	return provost.NewClient(store), func() { clean(t, stop) }
}

func TestFlowResultIsTyped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := provost.NewFlow("order", func(_ context.Context, p orderParams) (orderResult, error) {
			return orderResult{p.Region, 1<<62 + int64(p.Count), p.Every}, nil
		})
		c, stop := serveFlow(t, f)
		defer stop()
		run := runNow(t, c, "order/d", f.Params(orderParams{Count: 1, Every: 90 * time.Minute}))
		wantState(t, run, provost.StateCompleted)
		got, err := f.Result(run)
		if want := (orderResult{"eu", 1<<62 + 1, 90 * time.Minute}); err != nil || got != want {
			t.Errorf("Result = %+v, %v, want %+v", got, err, want)
		}
		if run.Attempt != 1 || run.Parameters["every"] != "1h30m0s" || run.Parameters["region"] != "eu" {
			t.Errorf("attempt %d, parameters %v, want 1, every 1h30m0s and region eu", run.Attempt, run.Parameters)
		}
	})
}

// panicking is an error and a result whose methods panic, as those of a nil pointer do.
type panicking struct{ text *string }

func (s *panicking) Error() string                { return *s.text }
func (s *panicking) MarshalJSON() ([]byte, error) { return []byte(*s.text), nil }

func TestFlowThatMisbehavesFailsItsRunAlone(t *testing.T) {
	cases := []struct {
		name string
		flow provost.AnyFlow
		want []string
	}{
		{"error", provost.NewJob("f", func(context.Context) error { return errors.New("no luck") }), []string{"no luck"}},
		{"panic", provost.NewJob("f", func(context.Context) error { panic("boom") }), []string{"panic: boom", "flow_test.go"}},
		{"panic nil", provost.NewJob("f", func(context.Context) error { panic(nil) }), []string{"panic: ", "nil"}},
		{"panic with an error that panics", provost.NewJob("f", func(context.Context) error { panic(&panicking{}) }), []string{"panic: "}},
		{"Goexit", provost.NewJob("f", func(context.Context) error { runtime.Goexit(); return nil }), []string{"Goexit"}},
		{"error that panics", provost.NewJob("f", func(context.Context) error { var e *panicking; return e }), []string{"panicking"}},
		{"result that does not encode", provost.NewFlow("f", func(context.Context, provost.None) (any, error) {
			return map[string]any{"c": make(chan int)}, nil
		}), []string{"result does not encode", "chan"}},
		{"result that panics", provost.NewFlow("f", func(context.Context, provost.None) (*panicking, error) {
			return &panicking{}, nil
		}), []string{"result does not encode"}},
		{"result that is not JSON", provost.NewFlow("f", func(context.Context, provost.None) (json.RawMessage, error) {
			return json.RawMessage("{"), nil
		}), []string{"result does not encode"}},
		{"long error", provost.NewJob("f", func(context.Context) error {
			return errors.New("head " + strings.Repeat("ä", 1<<20))
		}), []string{"head"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				client, stop := serveFlow(t, c.flow)
				defer stop()
				run := runNow(t, client, "f/d", nil)
				wantState(t, run, provost.StateFailed, c.want...)
				if n := len(run.State.Message); n > 17<<10 {
					t.Errorf("message of %d bytes, want at most %d", n, 17<<10)
				}
			})
		})
	}
}

// trap is a parameter whose decoding panics.
type trap struct{}

func (trap) MarshalText() ([]byte, error)  { return []byte("trap"), nil }
func (*trap) UnmarshalText(b []byte) error { panic("sprung") }

func TestFlowWhoseParametersPanicFailsItsRunAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		type params struct {
			T trap `json:"t"`
		}
		f := provost.NewAction("f", func(context.Context, params) error { return nil })
		client, stop := serveFlow(t, f)
		defer stop()
		run := runNow(t, client, "f/d", provost.Params{"t": "x"})
		wantState(t, run, provost.StateFailed, "parameters do not fit", "sprung")
	})
}

func TestFlowResultTooLargeIsLeftOut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := provost.NewFlow("f", func(context.Context, provost.None) (string, error) { return strings.Repeat("x", 1<<20), nil })
		client, stop := serveFlow(t, f)
		defer stop()
		run := runNow(t, client, "f/d", nil)
		wantState(t, run, provost.StateCompleted, "not stored", "1048576")
		if run.Result != nil {
			t.Errorf("a result of %d bytes is stored, want none", len(run.Result))
		}
		_, err := f.Result(run)
		wantError(t, err, "no stored result")
	})
}

func TestFlowTimeout(t *testing.T) {
	bubble(t, func(t *testing.T) {
		stubborn := provost.NewFlow("f", func(ctx context.Context, p struct{ Nil bool }) (string, error) {
			<-ctx.Done()
			if p.Nil {
				return "after all", nil
			}
			return "", context.Cause(ctx)
		})
		stubborn.Timeout = time.Minute
		client, stop := serveFlow(t, stubborn)
		defer stop()
		before := time.Now()
		run := runNow(t, client, "f/d", nil)
		wantState(t, run, provost.StateFailed, "1m0s")
		if run.State.Name != store.NameTimedOut || time.Since(before) != time.Minute {
			t.Errorf("%s after %v, want %s after 1m0s", run.State.Name, time.Since(before), store.NameTimedOut)
		}
		run = runNow(t, client, "f/d", provost.Params{"Nil": true})
		wantState(t, run, provost.StateCompleted)
		if got, err := stubborn.Result(run); got != "after all" || err != nil {
			t.Errorf("Result = %q, %v, want after all", got, err)
		}
		_, err := stubborn.Result(&provost.Run{State: provost.State{Type: provost.StateFailed}})
		if _, ok := errors.AsType[*provost.RunError](err); !ok {
			t.Errorf("Result of a failed run: %v", err)
		}
	})
}

func TestFlowRetries(t *testing.T) {
	delays := map[string]struct {
		backoff func(int, error) time.Duration
		want    time.Duration // from the first attempt to the end of the third
	}{
		"fixed":    {nil, 2 * time.Minute},
		"backoff":  {func(attempt int, err error) time.Duration { return time.Duration(attempt) * time.Hour }, 3 * time.Hour},
		"negative": {func(int, error) time.Duration { return -time.Hour }, 0},
		"panics":   {func(int, error) time.Duration { panic("no idea") }, 2 * time.Minute},
	}
	for name, d := range delays {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				attempts := 0
				f := provost.NewJob("f", func(ctx context.Context) error {
					attempts++
					if info, _ := provost.RunFromContext(ctx); info.Attempt != attempts {
						t.Errorf("RunFromContext: attempt %d, want %d", info.Attempt, attempts)
					}
					if attempts < 3 {
						return errors.New("not yet")
					}
					return nil
				})
				f.Retries, f.RetryDelay, f.Backoff = 2, time.Minute, d.backoff
				client, stop := serveFlow(t, f)
				defer stop()
				before := time.Now()
				run := runNow(t, client, "f/d", nil)
				wantState(t, run, provost.StateCompleted)
				if run.Attempt != 3 || attempts != 3 {
					t.Errorf("attempt %d, called %d times, want 3 and 3", run.Attempt, attempts)
				}
				if took := time.Since(before); took < d.want || took > d.want+time.Second {
					t.Errorf("took %v, want %v", took, d.want)
				}
				waited := 0
				for _, s := range run.History {
					if s.Name == store.NameAwaitingRetry && s.Message == "not yet" {
						waited++
					}
				}
				if waited != 2 {
					t.Errorf("%d AwaitingRetry states, want 2: %v", waited, run.History)
				}
			})
		})
	}
}

func TestFlowRetriesRunOut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		attempts := 0
		f := provost.NewJob("f", func(context.Context) error { attempts++; panic("always") })
		f.Retries = 2
		client, stop := serveFlow(t, f)
		defer stop()
		run := runNow(t, client, "f/d", nil)
		wantState(t, run, provost.StateFailed, "always")
		if attempts != 3 || run.Attempt != 3 {
			t.Errorf("%d calls, attempt %d, want 3 and 3", attempts, run.Attempt)
		}
		again, err := client.RetryRun(t.Context(), run.ID, nil)
		if err != nil || again.ID != run.ID {
			t.Fatal(again, err)
		}
		run = wait(t, client, run.ID)
		if attempts != 4 || run.Attempt != 4 || run.State.Type != provost.StateFailed {
			t.Errorf("after RetryRun: %d calls, attempt %d, %s; want 4, 4, FAILED", attempts, run.Attempt, run.State)
		}
	})
}

func TestFlowHooksFollowTheStoredState(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var called counter
		store := provost.NewMemoryStore()
		client := provost.NewClient(store)
		hook := func(name string) func(context.Context, *provost.Run) error {
			return func(ctx context.Context, run *provost.Run) error {
				stored, err := client.GetRun(ctx, run.ID)
				if err != nil || !stored.State.Terminal() || stored.State.Type != run.State.Type {
					t.Errorf("the %s hook was called while the store had %v, %v", name, stored, err)
				}
				called.add(name)
				switch name {
				case "failure":
					panic("the hook too")
				case "cancellation":
					return errors.New("the hook too")
				}
				return nil
			}
		}
		f := provost.NewFlow("f", func(ctx context.Context, p struct{ Do string }) (provost.None, error) {
			switch p.Do {
			case "fail":
				return provost.None{}, errors.New("as asked")
			case "wait":
				<-ctx.Done()
				return provost.None{}, ctx.Err()
			}
			return provost.None{}, nil
		})
		f.Retries = 1
		f.OnCompletion, f.OnFailure, f.OnCancellation = hook("completion"), hook("failure"), hook("cancellation")
		stop := start(t, &provost.Runner{Store: store}, &provost.Deployment{Flow: f, Name: "d"})
		runNow(t, client, "f/d", nil)
		runNow(t, client, "f/d", provost.Params{"Do": "fail"})
		run := request(t, client, "f/d", &provost.RunOptions{Parameters: provost.Params{"Do": "wait"}})
		time.Sleep(time.Second)
		if _, err := client.CancelRun(t.Context(), run.ID, nil); err != nil {
			t.Fatal(err)
		}
		wantState(t, wait(t, client, run.ID), provost.StateCancelled)
		clean(t, stop)
		for _, name := range []string{"completion", "failure", "cancellation"} {
			if n := called.get(name); n != 1 {
				t.Errorf("the %s hook was called %d times, want once", name, n)
			}
		}
	})
}

func TestFlowRunOutsideOfRunsIsAPlainCall(t *testing.T) {
	calls := 0
	f := provost.NewFlow("f", func(ctx context.Context, p orderParams) (string, error) {
		calls++
		if _, limited := ctx.Deadline(); limited {
			t.Error("the context has a deadline")
		}
		return p.Region, errors.New("once")
	})
	f.Retries, f.Timeout = 5, time.Second
	if got, err := f.Run(t.Context(), orderParams{}); got != "" || err == nil || calls != 1 {
		t.Errorf("Run = %q, %v after %d calls, want an error after 1", got, err, calls)
	}
	var none *provost.Flow[orderParams, string]
	_, err := none.Run(t.Context(), orderParams{})
	wantError(t, err, "NewFlow")
	_, err = (&provost.Flow[orderParams, string]{Name: "f"}).Run(t.Context(), orderParams{})
	wantError(t, err, "NewFlow")
}

func TestFlowParamsAndDecodeRoundTrip(t *testing.T) {
	type nested struct{ A, B int }
	type params struct {
		Name   string `default:"x"`
		On     *bool
		Wait   time.Duration
		At     time.Time
		Big    int64
		Nested nested
		List   []nested
		Map    map[string]time.Duration
	}
	f := provost.NewFlow("f", func(context.Context, params) (provost.None, error) { return provost.None{}, nil })
	no := false
	want := params{
		Name: "n", On: &no, Wait: time.Hour, At: time.Date(2026, 3, 29, 2, 30, 0, 0, time.FixedZone("", 7200)), Big: 1<<63 - 1,
		Nested: nested{A: 1}, List: []nested{{1, 2}, {}}, Map: map[string]time.Duration{"a": time.Second},
	}
	got, err := f.Decode(f.Params(want))
	if err != nil || !got.At.Equal(want.At) {
		t.Fatal(got, err)
	}
	got.At = want.At
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if p := f.Params(params{}); len(p) != 0 {
		t.Errorf("Params of the zero value = %v, want none", p)
	}
	if got, err := f.Decode(nil); err != nil || got.Name != "x" {
		t.Errorf("defaults: %+v, %v", got, err)
	}
	_, err = f.Decode(provost.Params{"Big": "much"})
	if p, ok := errors.AsType[*provost.ParamError](err); !ok || p.Path != "Big" {
		t.Errorf("Decode: %v", err)
	}
}
