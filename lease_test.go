package provost_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/internal/testenv"
)

func TestTrustEndsExactlyWhateverTheStoreDoes(t *testing.T) {
	spans := map[time.Duration]time.Duration{ // how long a lease is trusted, by LeaseTTL: LeaseTTL less the margin
		30 * time.Second: 25 * time.Second, 4 * time.Second: 3 * time.Second, time.Second: 750 * time.Millisecond,
	}
	for ttl, span := range spans {
		for _, how := range []fault{refuses, hangs, loses} {
			for _, after := range []time.Duration{0, 7 * time.Second, 61 * time.Second} {
				for _, local := range []bool{false, true} {
					t.Run(fmt.Sprintf("%v %s after %v local %v", ttl, faultNames[how], after, local), func(t *testing.T) {
						bubble(t, func(t *testing.T) { trustEnds(t, ttl, span, how, after, local) })
					})
				}
			}
		}
	}
}

func trustEnds(t *testing.T, ttl, span time.Duration, how fault, after time.Duration, local bool) {
	f := newFaulty()
	var store provost.Store = f
	if local {
		store = localFaulty{f}
	}
	var began, ended time.Time
	var cause error
	stop := start(t, &provost.Runner{Store: store, LeaseTTL: ttl}, job("f", func(ctx context.Context) error {
		if !began.IsZero() {
			return nil
		}
		began = time.Now()
		<-ctx.Done()
		ended, cause = time.Now(), context.Cause(ctx)
		return cause
	}))
	client := provost.NewClient(f.Store)
	run := request(t, client, "f/d", nil)
	time.Sleep(1500 * time.Millisecond) // a poll
	synctest.Wait()
	if began.IsZero() {
		t.Fatal("the flow has not begun")
	}
	time.Sleep(after)
	f.set(how, "RenewLeases")
	held := began
	if how != loses && f.renew.worked.After(held) {
		held = f.renew.worked
	}
	if how == loses {
		f.mu.Lock()
		if f.renew.worked.After(held) {
			held = f.renew.worked
		}
		f.mu.Unlock()
	}
	time.Sleep(2 * ttl)
	synctest.Wait()
	if want := held.Add(span); !ended.Equal(want) || !errors.Is(cause, provost.ErrLeaseLost) {
		t.Errorf("the flow ended %v later than wanted, with cause %v", ended.Sub(want), cause)
	}
	f.set(works)
	run = wait(t, client, run.ID)
	wantState(t, run, provost.StateCompleted)
	if run.Attempt != 1 || run.Crashes != 0 {
		t.Errorf("attempt %d, crashes %d, want 1 and 0", run.Attempt, run.Crashes)
	}
	clean(t, stop)
}

func TestLostLeaseStopsTheRunAndWritesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFaulty()
		var logs logBuffer
		var mu sync.Mutex
		var entered []uuid.UUID
		ended := map[uuid.UUID]time.Time{}
		stop := start(t, &provost.Runner{Store: f, Limit: 2, Logger: logs.logger()}, job("f", func(ctx context.Context) error {
			info, _ := provost.RunFromContext(ctx)
			mu.Lock()
			entered = append(entered, info.ID)
			mu.Unlock()
			<-ctx.Done()
			mu.Lock()
			defer mu.Unlock()
			ended[info.ID] = time.Now()
			return nil
		}))
		client := provost.NewClient(f.Store)
		for range 3 {
			request(t, client, "f/d", nil)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		lost := entered[0]
		f.mu.Lock()
		f.lost = map[uuid.UUID]bool{lost: true}
		f.mu.Unlock()
		time.Sleep(20 * time.Second)
		synctest.Wait()
		f.mu.Lock()
		worked := f.renew.worked
		f.mu.Unlock()
		if len(ended) != 1 || ended[lost].IsZero() || ended[lost].After(worked) {
			t.Errorf("ended: %v, want only the lost run, before the newest renewal at %v", ended, worked)
		}
		wantState(t, get(t, client, lost), provost.StateRunning) // nothing was written
		if len(entered) != 3 {
			t.Errorf("entered: %v, want 3 with one in place of the lost run", entered)
		}
		if n := len(logs.lines("leases lost")); n != 1 {
			t.Errorf("%d lines about the lost lease, want 1", n)
		}
		for _, id := range entered[1:] {
			if _, err := client.CancelRun(t.Context(), id, nil); err != nil {
				t.Fatal(err)
			}
		}
		clean(t, stop)
	})
}

func TestManyLeasesAreRenewedInParts(t *testing.T) {
	runs := 25_000
	if testenv.Race {
		runs = 12_000
	}
	bubble(t, func(t *testing.T) {
		f := newFaulty()
		var begun atomic.Int64
		stop := start(t, &provost.Runner{Store: f, Limit: -1, ShutdownTimeout: time.Nanosecond}, job("f", func(ctx context.Context) error {
			begun.Add(1)
			<-ctx.Done()
			return ctx.Err()
		}))
		client := provost.NewClient(f.Store)
		for range runs {
			request(t, client, "f/d", nil)
		}
		time.Sleep(12 * time.Second)
		synctest.Wait()
		f.mu.Lock()
		if begun.Load() != int64(runs) || f.renew.leases != runs || f.renew.largest > 10_000 {
			t.Errorf("%d runs, %d leases renewed, at most %d at once; want all and at most 10000", begun.Load(), f.renew.leases, f.renew.largest)
		}
		f.mu.Unlock()
		clean(t, stop)
	})
}

// A run that ended while the store failed is not executed again, unless another runner took it
// over.
func TestCompletionIsStoredAfterTrustEnded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFaulty()
		calls := 0
		stop := start(t, &provost.Runner{Store: f}, job("f", func(context.Context) error {
			calls++
			time.Sleep(time.Minute) // ignores its context
			return nil
		}))
		client := provost.NewClient(f.Store)
		run := request(t, client, "f/d", nil)
		time.Sleep(2 * time.Second)
		f.set(hangs)
		time.Sleep(time.Hour)
		f.set(works)
		run = wait(t, client, run.ID)
		wantState(t, run, provost.StateCompleted)
		if calls != 1 || run.Crashes != 0 {
			t.Errorf("called %d times, %d crashes, want 1 and 0", calls, run.Crashes)
		}
		clean(t, stop)
	})
}

// slowLog blocks the caller that logs a certain message, as if the machine stood still.
type slowLog struct {
	slog.Handler
	message string
	length  time.Duration
}

func (h slowLog) Enabled(context.Context, slog.Level) bool { return true }

func (h slowLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message == h.message {
		time.Sleep(h.length)
	}
	return nil
}

// A lease that was no longer trusted because the lease keeper stood still is renewed if the store
// is local, even one that observes deadlines, and the renewal happens once, not over and over.
func TestTrustIsExcusedInALocalStoreWithDeadlines(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFaulty()
		logger := slog.New(slowLog{slog.DiscardHandler, "store works again", 26 * time.Second})
		d := job("f", func(ctx context.Context) error {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(time.Minute):
				return nil
			}
		})
		stop := start(t, &provost.Runner{Store: localFaulty{f}, Logger: logger}, d)
		client := provost.NewClient(f.Store)
		run := request(t, client, "f/d", nil)
		f.set(refuses, "RenewLeases")
		time.Sleep(10*time.Second + time.Millisecond)
		f.set(works)
		time.Sleep(55 * time.Second)
		got := get(t, client, run.ID)
		wantState(t, got, provost.StateCompleted)
		if n := f.count("RenewLeases"); got.Attempt != 1 || n < 3 || n > 20 {
			t.Errorf("attempt %d, %d renewals, want 1 and 3 to 20", got.Attempt, n)
		}
		clean(t, stop)
	})
}
