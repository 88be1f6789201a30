package provost_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/provost-go/provost"
)

func TestStart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := provost.NewClient(provost.NewMemoryStore())
		for _, name := range []string{"d", "e"} {
			if _, err := c.Deploy(t.Context(), &provost.Deployment{Flow: order, Name: name, Parameters: provost.Params{"count": 7}}); err != nil {
				t.Fatal(err)
			}
		}
		for given, want := range map[string]string{"d": "order/d", "order/e": "order/e"} {
			run, err := provost.Start(t.Context(), c, order, given, orderParams{Region: "us"})
			if err != nil {
				t.Fatal(err)
			}
			if got := run.Flow + "/" + run.Deployment; got != want || run.State.Type != provost.StateScheduled {
				t.Errorf("Start of %q made a run of %s in state %s, want %s", given, got, run.State, want)
			}
			if p, err := order.Decode(run.Parameters); err != nil || p.Region != "us" || p.Count != 7 {
				t.Errorf("parameters are %v, %v; want the deployment's count under the region that was given", run.Parameters, err)
			}
		}
	})
}

func TestStartIsRefused(t *testing.T) {
	ctx, c := t.Context(), provost.NewClient(provost.NewMemoryStore())
	if _, err := c.Deploy(ctx, &provost.Deployment{Flow: order, Name: "d"}); err != nil {
		t.Fatal(err)
	}
	try := func(deployment string, p orderParams) error {
		_, err := provost.Start(ctx, c, order, deployment, p)
		_, waitErr := provost.RunAndWait(ctx, c, order, deployment, p)
		if err == nil || waitErr == nil || err.Error() != waitErr.Error() {
			t.Errorf("Start of %q returned %v, RunAndWait %v", deployment, err, waitErr)
		}
		return err
	}
	wantError(t, try("", orderParams{}), `provost: start ""`, "name is empty", "give the name")
	wantError(t, try("report/d", orderParams{}), `provost: start "report/d"`, `flow "report"`, `"order"`, "give the name of a deployment")
	wantError(t, try("order/", orderParams{}), `"order/"`, "flow/deployment")
	err := try("x", orderParams{})
	wantError(t, err, "order/x")
	wantIs(t, err, provost.ErrNotFound)
	err = try("d", orderParams{Region: "mars"})
	if refused, ok := errors.AsType[*provost.ParamError](err); !ok || refused.Path != "region" {
		t.Errorf("a region that the schema does not list: %v", err)
	}
	var none *provost.Flow[orderParams, orderResult]
	_, err = provost.Start(ctx, c, none, "d", orderParams{})
	wantError(t, err, "the flow is nil", "NewFlow")
	broken := provost.NewAction("broken", func(context.Context, map[string]any) error { return nil })
	_, err = provost.Start(ctx, c, broken, "d", map[string]any{"f": func() {}})
	wantError(t, err, "broken/d")
}

func TestRunAndWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		double := provost.NewFlow("double", func(_ context.Context, p struct{ N int }) (int, error) {
			time.Sleep(time.Hour)
			if p.N < 0 {
				return 0, errors.New("negative")
			}
			return 2 * p.N, nil
		})
		c, stop := serveFlow(t, double)
		defer stop()
		if n, err := provost.RunAndWait(t.Context(), c, double, "d", struct{ N int }{21}); n != 42 || err != nil {
			t.Errorf("RunAndWait = %d, %v", n, err)
		}
		_, err := provost.RunAndWait(t.Context(), c, double, "double/d", struct{ N int }{-1})
		if failed, ok := errors.AsType[*provost.RunError](err); !ok || failed.State.Type != provost.StateFailed {
			t.Errorf("a run that fails: %v", err)
		}
		wantError(t, err, "negative")
	})
}

func TestRunAndWaitLeavesTheRunWhenItsContextEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		hour := provost.NewJob("hour", func(context.Context) error { time.Sleep(time.Hour); return nil })
		c, stop := serveFlow(t, hour)
		defer stop()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := provost.RunAndWait(ctx, c, hour, "d", provost.None{})
		wantIs(t, err, context.DeadlineExceeded)
		runs := list(t, c, provost.RunFilter{})
		if len(runs) != 1 {
			t.Fatalf("%d runs, want 1", len(runs))
		}
		wantError(t, err, runs[0].ID.String(), "the run goes on", "CancelRun")
		wantState(t, runs[0], provost.StateRunning)
		wantState(t, wait(t, c, runs[0].ID), provost.StateCompleted)
	})
}
