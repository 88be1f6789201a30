package provost_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/store"
)

func TestConcurrencyLimitSerialises(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var c gauge
		st := provost.NewMemoryStore()
		client := provost.NewClient(st)
		var order []string
		d := func() *provost.Deployment {
			d := job("f", func(ctx context.Context) error {
				c.enter()
				defer c.leave()
				info, _ := provost.RunFromContext(ctx)
				order = append(order, info.Name)
				time.Sleep(time.Minute)
				return nil
			})
			d.ConcurrencyLimit, d.MaxWaiting = 1, 5
			return d
		}
		first, second := start(t, &provost.Runner{Store: st}, d()), start(t, &provost.Runner{Store: st}, d())
		var ids []uuid.UUID
		for i := range 6 {
			ids = append(ids, request(t, client, "f/d", &provost.RunOptions{Name: fmt.Sprint(i)}).ID)
		}
		_, err := client.RunDeployment(t.Context(), "f/d", nil)
		wantIs(t, err, provost.ErrQueueFull)
		time.Sleep(time.Second)
		if got := get(t, client, ids[3]); got.WaitReason != store.WaitLimit || got.State.Name != store.NameAwaitingConcurrencySlot {
			t.Errorf("state %s, wait reason %q, want %s and %q", got.State, got.WaitReason, store.NameAwaitingConcurrencySlot, store.WaitLimit)
		}
		began := time.Now()
		for _, id := range ids {
			wantState(t, wait(t, client, id), provost.StateCompleted)
		}
		if took := time.Since(began); took != 6*time.Minute-time.Second || c.max.Load() != 1 || strings.Join(order, "") != "012345" {
			t.Errorf("took %v, %d runs at once, in order %v, want %v, 1 and 012345", took, c.max.Load(), order, 6*time.Minute-time.Second)
		}
		clean(t, first)
		clean(t, second)
	})
}

// A runner claims at once the runs that become ready when its own runs end, even if the store sends
// no notifications.
func TestLimitIsPassedOnBetweenPolls(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := &remote{Store: provost.NewMemoryStore()}
		client := provost.NewClient(store)
		d := job("f", func(context.Context) error { time.Sleep(time.Second); return nil })
		d.ConcurrencyLimit = 1
		stop := start(t, &provost.Runner{Store: store, PollInterval: time.Hour}, d)
		var last *provost.Run
		for range 10 {
			last = request(t, client, "f/d", nil)
		}
		began := time.Now()
		wantState(t, wait(t, client, last.ID), provost.StateCompleted)
		if took := time.Since(began); took > 70*time.Minute {
			t.Errorf("ten runs of a second took %v, want one poll and ten seconds", took)
		}
		clean(t, stop)
	})
}

func TestLimitGroupIsShared(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var c gauge
		var runs atomic.Int64
		f := provost.NewJob("f", func(context.Context) error {
			c.enter()
			defer c.leave()
			runs.Add(1)
			time.Sleep(time.Minute)
			return nil
		})
		var list []*provost.Deployment
		for i := range 5 {
			list = append(list, &provost.Deployment{
				Flow: f, Name: fmt.Sprint(i), LimitGroup: "g", ConcurrencyLimit: 2,
				Schedules: []provost.Schedule{provost.Every(10 * time.Minute)},
			})
		}
		stop := start(t, &provost.Runner{}, list...)
		time.Sleep(time.Hour + 9*time.Minute)
		clean(t, stop)
		if c.max.Load() != 2 || runs.Load() != 30 {
			t.Errorf("%d runs at once, %d in all, want 2 and 30", c.max.Load(), runs.Load())
		}
		list[0].ConcurrencyLimit = 3
		wantError(t, provost.Serve(t.Context(), list...), "LimitGroup", `"g"`, "same ConcurrencyLimit")
	})
}

func TestQueueOfALimitIsBoundedForSchedulesToo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := provost.NewMemoryStore()
		client := provost.NewClient(st)
		d := job("f", func(context.Context) error { time.Sleep(time.Hour); return nil }, provost.Every(time.Minute))
		d.ConcurrencyLimit, d.MaxWaiting = 1, 3
		stop := start(t, &provost.Runner{Store: st, ShutdownTimeout: -1}, d)
		time.Sleep(30*time.Minute + time.Second)
		cancelled := list(t, client, provost.RunFilter{States: []provost.StateType{provost.StateCancelled}})
		if len(cancelled) != 26 || cancelled[0].State.Name != store.NameSkipped {
			t.Errorf("%d of 30 runs skipped, want 26", len(cancelled))
		}
		clean(t, stop)
	})
}

func TestPriority(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := provost.NewMemoryStore()
		client := provost.NewClient(store)
		var order []string
		f := provost.NewJob("f", func(ctx context.Context) error {
			info, _ := provost.RunFromContext(ctx)
			order = append(order, info.Deployment)
			time.Sleep(time.Second)
			return nil
		})
		stop := start(t, &provost.Runner{Store: store, Limit: 1},
			&provost.Deployment{Flow: f, Name: "low", Priority: -5}, &provost.Deployment{Flow: f, Name: "mid"}, &provost.Deployment{Flow: f, Name: "high", Priority: 5})
		due := &provost.RunOptions{ScheduledTime: time.Now().Add(time.Minute)}
		for _, name := range []string{"low", "mid", "high", "low", "mid", "high"} {
			request(t, client, "f/"+name, due)
		}
		time.Sleep(2 * time.Minute)
		clean(t, stop)
		if got := strings.Join(order, " "); got != "high high mid mid low low" {
			t.Errorf("ran in order %q, want by priority", got)
		}
	})
}
