package provost_test

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/store"
)

func TestRunFromContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		type key struct{}
		var seen provost.RunInfo
		f := provost.NewFlow("f", func(ctx context.Context, p orderParams) (string, error) {
			seen, _ = provost.RunFromContext(ctx)
			if ctx.Value(key{}) != "from main" {
				t.Error("the values of Serve's context are missing")
			}
			seen.Parameters["region"] = "changed"
			again, _ := provost.RunFromContext(ctx)
			if again.Parameters["region"] != "us" {
				t.Error("the parameters are not a copy")
			}
			return "", nil
		})
		store := provost.NewMemoryStore()
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "from main"))
		r := &provost.Runner{Store: store, Logger: quiet}
		done := make(chan error)
		go func() {
			done <- r.Serve(ctx, &provost.Deployment{
				Flow: f, Name: "d", Version: "v7", Tags: []string{"a"}, Parameters: provost.Params{"region": "us"},
				Schedules: []provost.Schedule{provost.Every(time.Hour).Named("hourly").WithParameters(provost.Params{"count": 3})},
			})
		}()
		<-r.Ready()
		instant := time.Now().Truncate(time.Hour).Add(time.Hour)
		time.Sleep(time.Hour + time.Second)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if seen.ID == uuid.Nil || seen.Name == "" || seen.Flow != "f" || seen.Deployment != "d" || seen.Schedule != "hourly" ||
			seen.Version != "v7" || !reflect.DeepEqual(seen.Tags, []string{"a"}) || !seen.ScheduledTime.Equal(instant) ||
			seen.Attempt != 1 || seen.ParentID != uuid.Nil || fmt.Sprint(seen.Parameters["count"]) != "3" {
			t.Errorf("RunFromContext = %+v", seen)
		}
	})
}

func TestContextOutsideOfRuns(t *testing.T) {
	if _, ok := provost.RunFromContext(t.Context()); ok {
		t.Error("RunFromContext returned a run")
	}
	if _, ok := provost.ClientFromContext(t.Context()); ok {
		t.Error("ClientFromContext returned a client")
	}
	if provost.Logger(t.Context()) != slog.Default() {
		t.Error("Logger did not return slog.Default()")
	}
	want := provost.RunInfo{ID: uuid.New(), Flow: "f", Attempt: 2}
	ctx := provost.ContextWithRun(t.Context(), want)
	if got, ok := provost.RunFromContext(ctx); !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("RunFromContext = %+v, %v, want %+v", got, ok, want)
	}
	if _, err := order.Run(ctx, orderParams{}); err != nil || provost.Logger(ctx) != slog.Default() {
		t.Errorf("Run is not a plain call: %v", err)
	}
}

func TestLoggerReachesBothLogs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var logs logBuffer
		store := provost.NewMemoryStore()
		c := provost.NewClient(store)
		stop := start(t, &provost.Runner{Store: store, Logger: logs.logger()}, job("f", func(ctx context.Context) error {
			log := provost.Logger(ctx).With("a", 1).WithGroup("g")
			log.Info("hello", "b", 2)
			log.Debug("only stored")
			return nil
		}))
		run := runNow(t, c, "f/d", nil)
		clean(t, stop)
		if got := logText(t, c, run); got != "hello a=1 g.b=2\nonly stored a=1" {
			t.Errorf("got stored log %q", got)
		}
		lines := logs.lines("msg=hello")
		if len(lines) != 1 || !strings.Contains(lines[0], "a=1 g.b=2") || !strings.Contains(lines[0], run.ID.String()) || len(logs.lines("only stored")) > 0 {
			t.Errorf("got lines %q in the runner's log", lines)
		}
	})
}

func TestLogOfARunIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const lines = 100_000
		st := provost.NewMemoryStore()
		c := provost.NewClient(st)
		stop := start(t, &provost.Runner{Store: st}, job("f", func(ctx context.Context) error {
			log := provost.Logger(ctx)
			for i := range lines {
				log.Info("a line of the flow that is rather long and says very little", "i", i)
			}
			return nil
		}))
		run := runNow(t, c, "f/d", nil)
		clean(t, stop)
		wantState(t, run, provost.StateCompleted)
		kept, size, last := 0, 0, ""
		for line, err := range c.Logs(t.Context(), run.ID, nil) {
			if err != nil {
				t.Fatal(err)
			}
			kept++
			size += len(line.Message)
			last = line.Message
		}
		page, err := st.ListLogs(t.Context(), store.LogFilter{RunID: run.ID})
		if err != nil || size > store.MaxRunLog+100 || kept-1+page.Dropped != lines {
			t.Errorf("%d lines of %d bytes kept, %d dropped, error %v; want %d in all", kept, size, page.Dropped, err, lines)
		}
		if !strings.HasPrefix(last, fmt.Sprint(page.Dropped)) {
			t.Errorf("last line %q does not state that %d lines were dropped", last, page.Dropped)
		}
	})
}

func TestClientFromContextStartsAnotherRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := provost.NewMemoryStore()
		c := provost.NewClient(store)
		first := provost.NewFlow("first", func(ctx context.Context, _ provost.None) (string, error) {
			inside, ok := provost.ClientFromContext(ctx)
			if !ok {
				return "", fmt.Errorf("no client")
			}
			run, err := inside.RunDeployment(ctx, "order/d", nil)
			if err != nil {
				return "", err
			}
			if run, err = inside.Wait(ctx, run.ID); err != nil {
				return "", err
			}
			return run.State.Name, nil
		})
		stop := start(t, &provost.Runner{Store: store}, &provost.Deployment{Flow: first, Name: "d"}, &provost.Deployment{Flow: order, Name: "d"})
		run := runNow(t, c, "first/d", nil)
		if got, err := first.Result(run); got != "Completed" || err != nil {
			t.Errorf("Result = %q, %v, want Completed", got, err)
		}
		clean(t, stop)
	})
}

func TestEventsAreFewLines(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var logs logBuffer
		store := provost.NewMemoryStore()
		var list []*provost.Deployment
		for i := range 100 {
			list = append(list, &provost.Deployment{Flow: order, Name: fmt.Sprint(i), Schedules: []provost.Schedule{provost.Every(time.Second)}})
		}
		stop := start(t, &provost.Runner{Store: store, Logger: logs.logger(), Limit: -1}, list...)
		const seconds = 60
		time.Sleep(seconds*time.Second + 500*time.Millisecond)
		clean(t, stop)
		own, summaries := len(logs.lines("msg=\"run ")), len(logs.lines("more runs in the last second"))
		if own > 10*(seconds+1) || own < 10*seconds/2 || summaries > seconds+1 || summaries < seconds/2 {
			t.Errorf("got %d lines about runs and %d summaries in %d seconds", own, summaries, seconds)
		}
	})
}

// chatty logs to the run's log while its own value is being logged.
type chatty struct{ ctx context.Context }

func (c chatty) LogValue() slog.Value {
	provost.Logger(c.ctx).Info("inner")
	return slog.StringValue("x")
}

func TestLogValueMayLog(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, stop := serveFlow(t, provost.NewJob("f", func(ctx context.Context) error {
			provost.Logger(ctx).Info("outer", "v", chatty{ctx})
			return nil
		}))
		defer stop()
		run := runNow(t, c, "f/d", nil)
		if got := logText(t, c, run); !strings.HasSuffix(got, "outer v=x") {
			t.Errorf("got stored log %q", got)
		}
	})
}
