package provost_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/store"
)

func TestClientErrorsSayWhatIsWrong(t *testing.T) {
	ctx, c := t.Context(), provost.NewClient(provost.NewMemoryStore())
	if _, err := c.Deploy(ctx, &provost.Deployment{Flow: order, Name: "d", Schedules: []provost.Schedule{provost.Every(time.Hour).Named("hourly")}}); err != nil {
		t.Fatal(err)
	}
	byHandle := map[string]func(handle string) error{
		"RunDeployment":    func(h string) error { _, err := c.RunDeployment(ctx, h, nil); return err },
		"GetDeployment":    func(h string) error { _, err := c.GetDeployment(ctx, h); return err },
		"DeleteDeployment": func(h string) error { return c.DeleteDeployment(ctx, h) },
		"Pause":            func(h string) error { return c.PauseDeployment(ctx, h) },
		"Resume":           func(h string) error { return c.ResumeDeployment(ctx, h) },
		"PauseSchedule":    func(h string) error { return c.PauseSchedule(ctx, h, "hourly") },
		"ResumeSchedule":   func(h string) error { return c.ResumeSchedule(ctx, h, "hourly") },
		"Upcoming":         func(h string) error { _, err := c.UpcomingRuns(ctx, h, 3); return err },
		"Backfill":         func(h string) error { _, err := c.Backfill(ctx, h, time.Unix(0, 0), time.Unix(9, 0)); return err },
		"PruneRuns":        func(h string) error { _, err := c.PruneRuns(ctx, h, provost.Retention{Runs: 1}); return err },
	}
	for name, call := range byHandle {
		wantError(t, call("order"), `"order"`, "flow/deployment")
		wantError(t, call("/d"), `"/d"`, "flow/deployment")
		err := call("order/x")
		if !errors.Is(err, provost.ErrNotFound) {
			t.Errorf("%s of an unknown deployment: %v", name, err)
		}
		wantError(t, err, "order/x")
	}
	byID := map[string]func(id uuid.UUID) error{
		"Wait":   func(id uuid.UUID) error { _, err := c.Wait(ctx, id); return err },
		"Get":    func(id uuid.UUID) error { _, err := c.GetRun(ctx, id); return err },
		"Cancel": func(id uuid.UUID) error { _, err := c.CancelRun(ctx, id, nil); return err },
		"Retry":  func(id uuid.UUID) error { _, err := c.RetryRun(ctx, id, nil); return err },
		"Delete": func(id uuid.UUID) error { return c.DeleteRun(ctx, id) },
		"Logs": func(id uuid.UUID) error {
			for _, err := range c.Logs(ctx, id, &provost.LogOptions{Follow: true}) {
				return err
			}
			return nil
		},
	}
	for name, call := range byID {
		id := uuid.New()
		err := call(id)
		if !errors.Is(err, provost.ErrNotFound) {
			t.Errorf("%s of an unknown run: %v", name, err)
		}
		wantError(t, err, id.String())
	}
	wantIs(t, c.PauseSchedule(ctx, "order/d", "daily"), provost.ErrNotFound)
	_, err := c.RunDeployment(ctx, "order/d", &provost.RunOptions{Parameters: provost.Params{"count": "x"}})
	if p, ok := errors.AsType[*provost.ParamError](err); !ok || p.Path != "count" {
		t.Errorf("a wrong parameter: %v", err)
	}
	_, err = c.RunDeployment(ctx, "order/d", &provost.RunOptions{Parameters: provost.Params{"regoin": "eu"}})
	wantError(t, err, "regoin")
	_, err = c.RunDeployment(ctx, "order/d", &provost.RunOptions{Tags: make([]string, 101)})
	wantError(t, err, "101 tags", "at most 100")
	now := time.Now()
	_, err = c.Backfill(ctx, "order/d", now, now.Add(-time.Hour))
	wantError(t, err, "swap")
	_, err = c.Backfill(ctx, "order/d", now, now.Add(time.Hour))
	wantError(t, err, "not past yet")
	_, err = c.Backfill(ctx, "order/d", now.Add(-5000*time.Hour), now)
	wantError(t, err, "more than 1000")
	_, err = c.ListRuns(ctx, provost.RunFilter{Cursor: "x"})
	wantError(t, err, `"x"`, "Page.Next")
	_, err = c.ListRuns(ctx, provost.RunFilter{Sort: "random"})
	wantError(t, err, "random", "NewestFirst")
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = c.RunDeployment(ended, "order/d", nil)
	wantIs(t, err, context.Canceled)
}

func TestDeployWithoutServing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := provost.NewMemoryStore()
		c := provost.NewClient(st)
		d, err := c.Deploy(t.Context(), &provost.Deployment{Flow: order, Name: "d", Schedules: []provost.Schedule{provost.Every(time.Hour)}})
		if err != nil || d.Generation != 1 || len(d.ServedBy) != 0 {
			t.Fatal(d, err)
		}
		run := request(t, c, "order/d", nil)
		time.Sleep(time.Hour)
		if got := get(t, c, run.ID); got.WaitReason != store.WaitUnserved {
			t.Errorf("WaitReason = %q", got.WaitReason)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_, err = c.Wait(ctx, run.ID)
		wantIs(t, err, context.DeadlineExceeded)
		stop := start(t, &provost.Runner{Store: st}, &provost.Deployment{Flow: order, Name: "d", Schedules: []provost.Schedule{provost.Every(time.Hour)}})
		wantState(t, wait(t, c, run.ID), provost.StateCompleted)
		clean(t, stop)
	})
}

func TestWaitEndsWhenTheRunIsDeleted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := provost.NewClient(provost.NewMemoryStore())
		if _, err := c.Deploy(t.Context(), &provost.Deployment{Flow: order, Name: "d"}); err != nil {
			t.Fatal(err)
		}
		run := request(t, c, "order/d", nil)
		done := make(chan error)
		go func() {
			_, err := c.Wait(t.Context(), run.ID)
			done <- err
		}()
		synctest.Wait()
		if err := c.DeleteDeployment(t.Context(), "order/d"); err != nil {
			t.Fatal(err)
		}
		wantIs(t, <-done, provost.ErrNotFound)
	})
}

func TestIdempotencyKey(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, stop := serveFlow(t, order)
		defer stop()
		options := &provost.RunOptions{IdempotencyKey: "k", Parameters: provost.Params{"region": "us"}, Name: "mine", Tags: []string{"x"}}
		first := request(t, c, "order/d", options)
		second := request(t, c, "order/d", &provost.RunOptions{IdempotencyKey: "k", Parameters: provost.Params{"region": "eu"}})
		if first.ID != second.ID || second.Parameters["region"] != "us" || second.Name != "mine" || second.IdempotencyKey != "k" {
			t.Errorf("second call made %+v", second)
		}
		wait(t, c, first.ID)
		if third := request(t, c, "order/d", options); third.ID != first.ID {
			t.Error("the key ended with the run")
		}
		if err := c.DeleteRun(t.Context(), first.ID); err != nil {
			t.Fatal(err)
		}
		if fourth := request(t, c, "order/d", options); fourth.ID == first.ID {
			t.Error("the key outlived the run")
		}
	})
}

func TestListRunsPages(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, stop := serveFlow(t, order)
		for range 25 {
			runNow(t, c, "order/d", nil)
			time.Sleep(time.Second)
		}
		stop()
		for _, sort := range []provost.RunSort{provost.NewestFirst, provost.OldestFirst, provost.SoonestDue, provost.LatestEnded} {
			seen, pages, f := make(map[uuid.UUID]bool), 0, provost.RunFilter{Sort: sort, Limit: 10, States: []provost.StateType{provost.StateCompleted}}
			for {
				page, err := c.ListRuns(t.Context(), f)
				if err != nil {
					t.Fatal(err)
				}
				pages++
				for _, run := range page.Items {
					seen[run.ID] = true
				}
				if f.Cursor = page.Next; f.Cursor == "" {
					break
				}
			}
			if len(seen) != 25 || pages != 3 {
				t.Errorf("sort %q: %d runs on %d pages", sort, len(seen), pages)
			}
		}
		if n, err := c.CountRuns(t.Context(), provost.RunFilter{Flow: "order"}); n != 25 || err != nil {
			t.Errorf("CountRuns = %d, %v", n, err)
		}
		flows, err := c.ListFlows(t.Context(), provost.FlowFilter{})
		if err != nil || len(flows.Items) != 1 || flows.Items[0].Name != "order" {
			t.Errorf("ListFlows = %v, %v", flows, err)
		}
	})
}

func TestLogsFollow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := provost.NewJob("f", func(ctx context.Context) error {
			for i := range 10 {
				provost.Logger(ctx).Info("line", "i", i)
				time.Sleep(time.Minute)
			}
			return nil
		})
		c, stop := serveFlow(t, f)
		defer stop()
		run := request(t, c, "f/d", nil)
		began, n := time.Now(), 0
		for line, err := range c.Logs(t.Context(), run.ID, &provost.LogOptions{Follow: true}) {
			if err != nil {
				t.Fatal(err)
			}
			if line.Message != fmt.Sprint("line i=", n) || time.Since(began) != time.Duration(n)*time.Minute || line.Seq != int64(n+1) {
				t.Errorf("line %d is %+v after %v", n, line, time.Since(began))
			}
			n++
		}
		if n != 10 || time.Since(began) != 10*time.Minute {
			t.Errorf("%d lines in %v", n, time.Since(began))
		}
	})
}

func TestBackfill(t *testing.T) {
	bubble(t, func(t *testing.T) {
		time.Sleep(48 * time.Hour)
		store := provost.NewMemoryStore()
		c := provost.NewClient(store)
		var ran counter
		d := job("f", func(ctx context.Context) error {
			info, _ := provost.RunFromContext(ctx)
			ran.add(info.ScheduledTime.Format(time.DateTime))
			return nil
		}, provost.Every(time.Hour).CatchUp(provost.CatchUpNone))
		clean(t, start(t, &provost.Runner{Store: store}, d))
		time.Sleep(10*time.Hour + 30*time.Minute)
		stop := start(t, &provost.Runner{Store: store}, d)
		if n, _ := ran.total(); n != 0 {
			t.Fatalf("%d runs before the backfill", n)
		}
		now := time.Now()
		runs, err := c.Backfill(t.Context(), "f/d", now.Add(-20*time.Hour), now.Add(-3*time.Hour))
		if err != nil || len(runs) != 17 {
			t.Fatalf("%d runs, %v; want 17", len(runs), err)
		}
		again, err := c.Backfill(t.Context(), "f/d", now.Add(-20*time.Hour), now.Add(-3*time.Hour))
		if err != nil || len(again) != 0 {
			t.Errorf("a second backfill: %d runs, %v", len(again), err)
		}
		for _, run := range runs {
			if run = wait(t, c, run.ID); run.AutoScheduled || run.State.Type != provost.StateCompleted {
				t.Errorf("backfilled %+v", run)
			}
		}
		if total, twice := ran.total(); total != 17 || twice != 0 {
			t.Errorf("%d runs, %d twice", total, twice)
		}
		left := 0
		for _, s := range skips(t, c, "f/d") {
			left += s.Count
		}
		if left != 3 {
			t.Errorf("%d instants still skipped, want 3: %+v", left, skips(t, c, "f/d"))
		}
		clean(t, stop)
	})
}

// A client caches the schema of a deployment. It must check runs against the one declared last.
func TestRunDeploymentFollowsANewSchema(t *testing.T) {
	client := provost.NewClient(provost.NewMemoryStore())
	deploy := func(f provost.AnyFlow) {
		if _, err := client.Deploy(t.Context(), &provost.Deployment{Flow: f, Name: "d"}); err != nil {
			t.Fatal(err)
		}
	}
	deploy(provost.NewAction("f", func(context.Context, struct{ N int }) error { return nil }))
	request(t, client, "f/d", &provost.RunOptions{Parameters: provost.Params{"N": 7}})
	deploy(provost.NewAction("f", func(context.Context, struct{ N string }) error { return nil }))
	request(t, client, "f/d", &provost.RunOptions{Parameters: provost.Params{"N": "seven"}})
	_, err := client.RunDeployment(t.Context(), "f/d", &provost.RunOptions{Parameters: provost.Params{"N": 7}})
	wantError(t, err, "parameter N", "text")
}

// Instants that an earlier declaration of a schedule skipped stay skipped, except those that the
// present one has too.
func TestBackfillOfAScheduleThatWasChanged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := provost.NewMemoryStore()
		c := provost.NewClient(store)
		declare := func(every time.Duration) *provost.Deployment {
			return job("f", func(context.Context) error { return nil }, provost.Every(every).CatchUp(provost.CatchUpNone).Named("n"))
		}
		clean(t, start(t, &provost.Runner{Store: store}, declare(time.Hour)))
		began := time.Now()
		time.Sleep(10*time.Hour + 30*time.Minute)
		clean(t, start(t, &provost.Runner{Store: store}, declare(time.Hour)))
		if _, err := c.Deploy(t.Context(), declare(90*time.Minute)); err != nil {
			t.Fatal(err)
		}
		runs, err := c.Backfill(t.Context(), "f/d", began, began.Add(10*time.Hour))
		if err != nil || len(runs) != 6 { // 01:30, 03:00, 04:30, 06:00, 07:30, 09:00
			t.Fatalf("%d runs, %v; want 6", len(runs), err)
		}
		var left []string
		for _, s := range skips(t, c, "f/d") {
			left = append(left, fmt.Sprintf("%s-%s:%d", s.First.Format("15"), s.Last.Format("15"), s.Count))
		}
		slices.Sort(left)
		if want := []string{"04-05:2", "07-08:2", "10-10:1"}; !slices.Equal(left, want) {
			t.Errorf("skipped are %v, want %v", left, want)
		}
	})
}
