package provost_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/store"
)

// childOf returns the only child run of a run.
func childOf(t *testing.T, c *provost.Client, parent *provost.Run) *provost.Run {
	t.Helper()
	children := list(t, c, provost.RunFilter{ParentID: parent.ID})
	if len(children) != 1 {
		t.Fatalf("%d child runs, want 1", len(children))
	}
	return children[0]
}

func TestChildRunIsRecorded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		child := provost.NewFlow("child", func(ctx context.Context, p orderParams) (string, error) {
			info, _ := provost.RunFromContext(ctx)
			if info.Flow != "child" || info.Deployment != "" || info.ParentID == info.ID {
				t.Errorf("RunFromContext = %+v", info)
			}
			provost.Logger(ctx).Info("from the child")
			return "result of " + p.Region, nil
		})
		parent := provost.NewFlow("parent", func(ctx context.Context, _ provost.None) (string, error) {
			return child.Run(ctx, orderParams{Region: "us", Count: 3})
		})
		c, stop := serveFlow(t, parent)
		defer stop()
		run := runNow(t, c, "parent/d", nil)
		wantState(t, run, provost.StateCompleted)
		recorded := childOf(t, c, run)
		wantState(t, recorded, provost.StateCompleted)
		if got, err := child.Result(recorded); got != "result of us" || err != nil {
			t.Errorf("Result = %q, %v, want result of us", got, err)
		}
		if recorded.Flow != "child" || recorded.ParentID != run.ID || recorded.Parameters["region"] != "us" || recorded.Attempt != 1 {
			t.Errorf("wrong child run %+v", recorded)
		}
		if lines := logText(t, c, recorded); lines != "from the child" {
			t.Errorf("got child run log %q", lines)
		}
	})
}

func logText(t *testing.T, c *provost.Client, run *provost.Run) string {
	t.Helper()
	var lines []string
	for line, err := range c.Logs(t.Context(), run.ID, nil) {
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line.Message)
	}
	return strings.Join(lines, "\n")
}

func TestChildRunFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		calls := 0
		child := provost.NewFlow("child", func(ctx context.Context, p struct{ Panic bool }) (string, error) {
			if calls++; p.Panic {
				panic("child's panic")
			}
			return "", errors.New("child's error")
		})
		child.Retries, child.RetryDelay = 1, time.Minute
		parent := provost.NewFlow("parent", func(ctx context.Context, p struct{ Panic bool }) (string, error) {
			_, err := child.Run(ctx, p)
			if err == nil || err.Error() != "child's error" {
				t.Errorf("Run: error %v, want child's error", err)
			}
			return "handled", nil
		})
		c, stop := serveFlow(t, parent)
		defer stop()
		run := runNow(t, c, "parent/d", nil)
		wantState(t, run, provost.StateCompleted)
		recorded := childOf(t, c, run)
		wantState(t, recorded, provost.StateFailed, "child's error")
		if calls != 2 || recorded.Attempt != 2 {
			t.Errorf("%d calls, attempt %d, want 2", calls, recorded.Attempt)
		}
		run = runNow(t, c, "parent/d", provost.Params{"Panic": true})
		wantState(t, run, provost.StateFailed, "child's panic")
		wantState(t, childOf(t, c, run), provost.StateFailed, "child's panic")
	})
}

func TestChildRunTimesOutAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		child := provost.NewJob("child", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		child.Timeout = time.Minute
		parent := provost.NewJob("parent", func(ctx context.Context) error {
			_, err := child.Run(ctx, provost.None{})
			return err
		})
		c, stop := serveFlow(t, parent)
		defer stop()
		run := runNow(t, c, "parent/d", nil)
		wantState(t, run, provost.StateFailed)
		if recorded := childOf(t, c, run); recorded.State.Name != store.NameTimedOut || run.State.Name == store.NameTimedOut {
			t.Errorf("child run is %s, parent is %s, want only the child run to time out", recorded.State, run.State)
		}
	})
}

func TestChildRunEndsWithItsParent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		child := provost.NewJob("child", func(ctx context.Context) error {
			<-ctx.Done()
			return context.Cause(ctx)
		})
		parent := provost.NewFlow("parent", func(ctx context.Context, p struct{ Leave bool }) (provost.None, error) {
			if p.Leave {
				go child.Run(ctx, provost.None{})
				time.Sleep(time.Second)
				return provost.None{}, nil
			}
			return child.Run(ctx, provost.None{})
		})
		c, stop := serveFlow(t, parent)
		defer stop()
		run := request(t, c, "parent/d", nil)
		time.Sleep(time.Hour)
		wantState(t, childOf(t, c, run), provost.StateRunning)
		before := time.Now()
		if _, err := c.CancelRun(t.Context(), run.ID, nil); err != nil {
			t.Fatal(err)
		}
		run = wait(t, c, run.ID)
		wantState(t, run, provost.StateCancelled, "cancelled")
		wantState(t, childOf(t, c, run), provost.StateCancelled, "cancelled")
		if took := time.Since(before); took != 0 {
			t.Errorf("cancelling took %v, want 0s", took)
		}
		run = runNow(t, c, "parent/d", provost.Params{"Leave": true})
		wantState(t, run, provost.StateCompleted)
		if left := childOf(t, c, run); !left.State.Terminal() {
			t.Errorf("child run outlives its parent: %s", left.State)
		}
	})
}

func TestChildRunIsCancelledByItself(t *testing.T) {
	bubble(t, func(t *testing.T) {
		child := provost.NewJob("child", func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) })
		parent := provost.NewJob("parent", func(ctx context.Context) error {
			if _, err := child.Run(ctx, provost.None{}); err == nil || ctx.Err() != nil {
				t.Errorf("Run: error %v, want one; context of the parent: %v, want nil", err, ctx.Err())
			}
			return nil
		})
		c, stop := serveFlow(t, parent)
		defer stop()
		run := request(t, c, "parent/d", nil)
		time.Sleep(time.Second)
		if _, err := c.CancelRun(t.Context(), childOf(t, c, run).ID, nil); err != nil {
			t.Fatal(err)
		}
		run = wait(t, c, run.ID)
		wantState(t, run, provost.StateCompleted)
		wantState(t, childOf(t, c, run), provost.StateCancelled)
		_, err := c.RetryRun(t.Context(), childOf(t, c, run).ID, nil)
		wantIs(t, err, provost.ErrConflict)
	})
}

func TestRetryOfAParentMakesNewChildRuns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		calls := 0
		child := provost.NewJob("child", nothing)
		parent := provost.NewJob("parent", func(ctx context.Context) error {
			if _, err := child.Run(ctx, provost.None{}); err != nil {
				return err
			}
			if calls++; calls == 1 {
				return errors.New("once more")
			}
			return nil
		})
		parent.Retries = 1
		c, stop := serveFlow(t, parent)
		defer stop()
		run := runNow(t, c, "parent/d", nil)
		wantState(t, run, provost.StateCompleted)
		if n := len(list(t, c, provost.RunFilter{ParentID: run.ID})); n != 2 {
			t.Errorf("%d child runs, want 2", n)
		}
	})
}
