package provost_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/store"
)

func TestPermanentKeepsTheErrorAsItIs(t *testing.T) {
	if provost.Permanent(nil) != nil {
		t.Error("Permanent(nil) is not nil")
	}
	err := provost.Permanent(fmt.Errorf("order 7: %w", provost.ErrNotFound))
	if !errors.Is(err, provost.ErrNotFound) || err.Error() != "order 7: provost: not found" {
		t.Errorf("Permanent = %v, want the error unchanged", err)
	}
	if refused, ok := errors.AsType[*provost.ParamError](provost.Permanent(&provost.ParamError{Path: "a"})); !ok || refused.Path != "a" {
		t.Errorf("errors.AsType = %v, %v, want a ParamError with path a", refused, ok)
	}
}

// panickingUnwrap is an error whose Unwrap panics.
type panickingUnwrap struct{}

func (panickingUnwrap) Error() string { return "panicking Unwrap" }
func (panickingUnwrap) Unwrap() error { panic("no chain") }

func TestPermanentEndsRetries(t *testing.T) {
	gone := provost.Permanent(errors.New("gone"))
	cases := map[string]struct {
		err   error
		calls int
	}{
		"itself":         {gone, 1},
		"wrapped":        {fmt.Errorf("load: %w", gone), 1},
		"joined":         {errors.Join(errors.New("other"), fmt.Errorf("deep: %w", gone)), 1},
		"twice":          {provost.Permanent(gone), 1},
		"text only":      {fmt.Errorf("load: %v", gone), 3},
		"Unwrap panics":  {panickingUnwrap{}, 3},
		"nil of pointer": {(*panicking)(nil), 3},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				calls := 0
				f := provost.NewJob("f", func(context.Context) error { calls++; return c.err })
				f.Retries, f.RetryDelay = 2, time.Minute
				client, stop := serveFlow(t, f)
				defer stop()
				run := runNow(t, client, "f/d", nil)
				wantState(t, run, provost.StateFailed)
				if calls != c.calls || run.Attempt != c.calls {
					t.Errorf("%d calls, attempt %d, want %d for both", calls, run.Attempt, c.calls)
				}
			})
		})
	}
}

func TestPermanentAfterATimeoutEndsRetries(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := provost.NewJob("f", func(ctx context.Context) error { <-ctx.Done(); return provost.Permanent(ctx.Err()) })
		f.Retries, f.Timeout = 2, time.Minute
		client, stop := serveFlow(t, f)
		defer stop()
		if run := runNow(t, client, "f/d", nil); run.State.Name != store.NameTimedOut || run.Attempt != 1 {
			t.Errorf("state %s in attempt %d, want %s in attempt 1", run.State, run.Attempt, store.NameTimedOut)
		}
	})
}

func TestPermanentOfAChildRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		children, parents := 0, 0
		child := provost.NewJob("child", func(context.Context) error { children++; return provost.Permanent(errors.New("gone")) })
		child.Retries = 5
		parent := provost.NewFlow("parent", func(ctx context.Context, p struct{ Handle bool }) (string, error) {
			parents++
			_, err := child.Run(ctx, provost.None{})
			if p.Handle {
				return "", fmt.Errorf("handled: %v", err)
			}
			return "", fmt.Errorf("child: %w", err)
		})
		parent.Retries = 1
		client, stop := serveFlow(t, parent)
		defer stop()
		run := runNow(t, client, "parent/d", nil)
		wantState(t, run, provost.StateFailed, "child: gone")
		if children != 1 || parents != 1 {
			t.Errorf("%d calls of the child, %d of the parent; want 1 and 1", children, parents)
		}
		wantState(t, runNow(t, client, "parent/d", provost.Params{"Handle": true}), provost.StateFailed, "handled: gone")
		if children != 3 || parents != 3 {
			t.Errorf("%d calls of the child, %d of the parent; want 3 and 3", children, parents)
		}
	})
}

func TestPermanentDuringShutdownIsHandedBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := provost.NewMemoryStore()
		stop := start(t, &provost.Runner{Store: store, ShutdownTimeout: time.Second}, job("f", func(ctx context.Context) error {
			<-ctx.Done()
			return provost.Permanent(ctx.Err())
		}))
		client := provost.NewClient(store)
		run := request(t, client, "f/d", nil)
		time.Sleep(time.Second)
		clean(t, stop)
		wantState(t, get(t, client, run.ID), provost.StateScheduled, "handed back")
	})
}

func TestExponentialBackoffStaysInItsBounds(t *testing.T) {
	bounds := []struct{ first, max, usedFirst, usedMax time.Duration }{
		{time.Second, time.Minute, time.Second, time.Minute},
		{1, math.MaxInt64, 1, math.MaxInt64},
		{math.MaxInt64, math.MaxInt64, math.MaxInt64, math.MaxInt64},
		{3, 3, 3, 3},
		{0, 0, time.Second, time.Hour},
		{-5, -5, time.Second, time.Hour},
		{time.Minute, time.Second, time.Minute, time.Minute},
		{2 * time.Hour, 0, 2 * time.Hour, 2 * time.Hour},
		{math.MinInt64, math.MinInt64, time.Second, time.Hour},
	}
	for range 200 {
		first := time.Duration(rand.Int64N(math.MaxInt64)) >> rand.N(63)
		longest := time.Duration(rand.Int64N(math.MaxInt64)) >> rand.N(63)
		first, longest = max(first, 1), max(longest, 1)
		bounds = append(bounds, struct{ first, max, usedFirst, usedMax time.Duration }{first, longest, first, max(first, longest)})
	}
	attempts := []int{math.MinInt, -1, 0, 1, 2, 3, 10, 31, 32, 33, 62, 63, 64, 65, 310, 1000, math.MaxInt32, math.MaxInt - 1, math.MaxInt}
	for range 50 {
		attempts = append(attempts, rand.N(200))
	}
	for _, b := range bounds {
		backoff := provost.ExponentialBackoff(b.first, b.max)
		for _, attempt := range attempts {
			d := b.usedFirst // doubled step by step, as documented
			for n := 1; n < min(attempt, 100) && d < b.usedMax; n++ {
				if d > b.usedMax/2 {
					d = b.usedMax
				} else {
					d *= 2
				}
			}
			if got := backoff(attempt, nil); got < d/2 || got > d {
				t.Fatalf("ExponentialBackoff(%v, %v)(%d) = %v, want %v to %v", b.first, b.max, attempt, got, d/2, d)
			}
		}
	}
}

func TestExponentialBackoffSpreads(t *testing.T) {
	backoff := provost.ExponentialBackoff(time.Second, time.Hour)
	low, high := time.Duration(math.MaxInt64), time.Duration(0)
	for range 1000 {
		d := backoff(3, nil)
		low, high = min(low, d), max(high, d)
	}
	if low > 2200*time.Millisecond || high < 3800*time.Millisecond {
		t.Errorf("1000 delays between %v and %v, want them spread from 2s to 4s", low, high)
	}
}

func TestBackoffOfCenturiesIsStored(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := provost.NewJob("f", func(context.Context) error { return errors.New("no") })
		f.Retries, f.RetryDelay = 1, math.MaxInt64
		client, stop := serveFlow(t, f)
		defer stop()
		run := request(t, client, "f/d", nil)
		time.Sleep(time.Second)
		if run = get(t, client, run.ID); run.State.Name != store.NameAwaitingRetry || run.DueTime.Before(time.Now().AddDate(292, 0, 0)) {
			t.Errorf("state %s, due %s, want %s, due in 292 years", run.State, run.DueTime, store.NameAwaitingRetry)
		}
	})
}

// A run that awaits its retry waits in the store: it is executed by whichever runner serves its
// deployment at that time or later.
func TestAwaitingRetryMovesToAnotherRunner(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := provost.NewMemoryStore()
		client := provost.NewClient(st)
		var by []string
		serve := func(name string) func() error {
			f := provost.NewJob("f", func(ctx context.Context) error {
				info, _ := provost.RunFromContext(ctx)
				by = append(by, fmt.Sprint(name, info.Attempt))
				if info.Attempt < 3 {
					return errors.New("not yet")
				}
				return nil
			})
			f.Retries, f.RetryDelay = 2, time.Hour
			return start(t, &provost.Runner{Store: st, Name: name}, &provost.Deployment{Flow: f, Name: "d"})
		}
		a := serve("a")
		began := time.Now()
		run := request(t, client, "f/d", nil)
		time.Sleep(time.Minute)
		b := serve("b")
		clean(t, a)
		waits := get(t, client, run.ID)
		if waits.State.Name != store.NameAwaitingRetry || !waits.DueTime.Equal(began.Add(time.Hour)) || waits.Attempt != 1 || waits.WaitReason != "" {
			t.Errorf("state %s, due %s, attempt %d, wait reason %q", waits.State, waits.DueTime, waits.Attempt, waits.WaitReason)
		}
		time.Sleep(90 * time.Minute)
		clean(t, b)
		time.Sleep(2 * time.Hour) // nobody serves it when its next attempt is due
		if waits = get(t, client, run.ID); waits.Attempt != 2 || !waits.DueTime.Equal(began.Add(2*time.Hour)) || waits.WaitReason != store.WaitUnserved {
			t.Errorf("state %s, due %s, attempt %d, wait reason %q", waits.State, waits.DueTime, waits.Attempt, waits.WaitReason)
		}
		c := serve("c")
		run = wait(t, client, run.ID)
		clean(t, c)
		wantState(t, run, provost.StateCompleted)
		if got := strings.Join(by, " "); got != "a1 b2 c3" || run.Attempt != 3 || run.Crashes != 0 || run.Runner != "c" {
			t.Errorf("attempts %q, want %q; run %+v", got, "a1 b2 c3", run)
		}
	})
}

// TestAttemptNumbers checks everything that raises the number of an attempt or keeps it: handing
// back keeps it; failures, crashes and RetryRun raise it; only failures count against Retries.
func TestAttemptNumbers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := provost.NewMemoryStore()
		client := provost.NewClient(store)
		var told, backoffs []int
		f := provost.NewJob("f", func(ctx context.Context) error {
			info, _ := provost.RunFromContext(ctx)
			told = append(told, info.Attempt)
			if len(told) == 1 {
				<-ctx.Done() // until the runner shuts down
			}
			return errors.New("no")
		})
		f.Retries = 2
		f.Backoff = func(attempt int, _ error) time.Duration {
			backoffs = append(backoffs, attempt)
			return time.Minute
		}
		d := &provost.Deployment{Flow: f, Name: "d"}
		clean(t, start(t, &provost.Runner{Store: store}, d))
		_, lease := deadRunner(t, store, client, "f/d") // attempt 1 crashes
		stop := start(t, &provost.Runner{Store: store, ShutdownTimeout: time.Second}, d)
		time.Sleep(40 * time.Second) // attempt 2 is running
		clean(t, stop)
		if run := get(t, client, lease.RunID); run.Attempt != 1 || run.Crashes != 1 {
			t.Errorf("handed back with attempt %d, crashes %d; want 1 and 1", run.Attempt, run.Crashes)
		}
		stop = start(t, &provost.Runner{Store: store}, d)
		run := wait(t, client, lease.RunID)
		wantState(t, run, provost.StateFailed)
		if want := []int{2, 2, 3, 4}; !slices.Equal(told, want) || !slices.Equal(backoffs, []int{2, 3}) || run.Attempt != 4 {
			t.Errorf("attempts %v, want %v; backoffs %v, want [2 3]; attempt %d, want 4", told, want, backoffs, run.Attempt)
		}
		if _, err := client.RetryRun(t.Context(), run.ID, nil); err != nil {
			t.Fatal(err)
		}
		if run = wait(t, client, run.ID); run.Attempt != 5 || told[len(told)-1] != 5 {
			t.Errorf("after RetryRun: attempt %d, attempts %v, want 5", run.Attempt, told)
		}
		clean(t, stop)
	})
}
