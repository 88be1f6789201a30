package provost_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/provost-go/provost"
)

// A run in a child process is this test binary started again, which gets as far as TestMain.
func TestMain(m *testing.M) {
	os.Setenv("GORACE", "atexit_sleep_ms=0") // a child of a test with the race detector ends at once
	runHelper()
	provost.ServeChild(childDeployments()...)
	os.Exit(m.Run())
}

type isolatedParams struct {
	Text  string                 `json:"text"`
	Count int64                  `json:"count"`
	At    time.Time              `json:"at,omitzero"`
	Token provost.Secret[string] `json:"token,omitzero"`
}

type isolatedResult struct {
	PID   int             `json:"pid"`
	Text  string          `json:"text"`
	Count int64           `json:"count"`
	At    time.Time       `json:"at,omitzero"`
	Info  provost.RunInfo `json:"info"`
}

var (
	isolatedEcho = provost.NewFlow("echo", func(ctx context.Context, p isolatedParams) (isolatedResult, error) {
		info, _ := provost.RunFromContext(ctx)
		return isolatedResult{os.Getpid(), p.Text, p.Count, p.At, info}, nil
	})
	isolatedExit = provost.NewAction("exit", func(_ context.Context, p isolatedParams) error {
		os.Exit(int(p.Count))
		return nil
	})
	isolatedError = provost.NewJob("error", func(context.Context) error { return errors.New("no luck") })
)

func childDeployments() []*provost.Deployment {
	var list []*provost.Deployment
	for _, f := range []provost.AnyFlow{isolatedEcho, isolatedExit, isolatedError} {
		list = append(list, &provost.Deployment{Flow: f, Name: "d", Isolation: provost.Subprocess})
	}
	return list
}

func serveIsolated(t *testing.T, r *provost.Runner) *provost.Client {
	t.Helper()
	if r.Store == nil {
		r.Store = provost.NewMemoryStore()
	}
	stop := start(t, r, childDeployments()...)
	t.Cleanup(func() { clean(t, stop) })
	return provost.NewClient(r.Store)
}

func TestChildRuns(t *testing.T) {
	c := serveIsolated(t, &provost.Runner{})
	at := time.Date(2026, 3, 4, 5, 6, 7, 891234567, time.FixedZone("", 3600))
	run := runNow(t, c, "echo/d", isolatedEcho.Params(isolatedParams{Text: "hällo", Count: 1<<62 + 1, At: at}))
	wantState(t, run, provost.StateCompleted)
	got, err := isolatedEcho.Result(run)
	if err != nil {
		t.Fatal(err)
	}
	if got.PID == os.Getpid() || got.Text != "hällo" || got.Count != 1<<62+1 || !got.At.Equal(at) {
		t.Errorf("the child returned %+v", got)
	}
	fmt.Printf("%+v\n", run)
}

func TestChildExits(t *testing.T) {
	c := serveIsolated(t, &provost.Runner{})
	run := runNow(t, c, "exit/d", provost.Params{"count": 3})
	wantState(t, run, provost.StateCrashed, "crash 3: the child process exited with code 3")
	if run.Crashes != provost.MaxCrashes {
		t.Errorf("%d crashes", run.Crashes)
	}
}
