package provosttest_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/provosttest"
)

// TestServe runs a flow once.
func TestServe(t *testing.T) {
	greet := provost.NewFlow("greet", func(_ context.Context, p struct{ Name string }) (string, error) {
		return "hello, " + p.Name, nil
	})
	client := provosttest.Serve(t, nil, &provost.Deployment{Flow: greet, Name: "d"})
	run, err := client.RunDeployment(t.Context(), "greet/d", &provost.RunOptions{Parameters: provost.Params{"Name": "you"}})
	if err != nil {
		t.Fatal(err)
	}
	if run, err = client.Wait(t.Context(), run.ID); err != nil {
		t.Fatal(err)
	}
	if got, err := greet.Result(run); got != "hello, you" || err != nil {
		t.Errorf("Result = %q, %v", got, err)
	}
}

// TestServeInABubble runs a daily schedule for 30 days.
func TestServeInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var days atomic.Int64
		count := provost.NewJob("count", func(context.Context) error { days.Add(1); return nil })
		provosttest.Serve(t, nil, &provost.Deployment{Flow: count, Name: "d", Schedules: []provost.Schedule{provost.Cron("0 2 * * *")}})
		time.Sleep(30 * 24 * time.Hour)
		if n := days.Load(); n != 30 {
			t.Errorf("%d runs in 30 days, want 30", n)
		}
	})
}

// fakeTest is a test that is allowed to fail.
type fakeTest struct {
	testing.TB
	output  bytes.Buffer
	failed  []string
	cleanup []func()
}

func (f *fakeTest) Helper()           {}
func (f *fakeTest) Output() io.Writer { return &f.output }
func (f *fakeTest) Cleanup(c func())  { f.cleanup = append(f.cleanup, c) }
func (f *fakeTest) Errorf(format string, args ...any) {
	f.failed = append(f.failed, fmt.Sprintf(format, args...))
}

func (f *fakeTest) Fatalf(format string, args ...any) {
	f.Errorf(format, args...)
	runtime.Goexit()
}

// run runs a test and then its cleanups.
func (f *fakeTest) run(test func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		test()
	}()
	<-done
	for _, c := range f.cleanup {
		c()
	}
}

// TestServeFailsTheTest checks that a test fails when its deployments cannot be served or its runs
// do not end.
func TestServeFailsTheTest(t *testing.T) {
	release := make(chan struct{})
	cases := []struct {
		name   string
		runner *provost.Runner
		flow   func(context.Context) error
		want   string
	}{
		{"invalid runner", &provost.Runner{Limit: -7}, func(context.Context) error { return nil }, "Limit: is -7"},
		{"runs that do not end", nil, func(context.Context) error { <-release; return nil }, "still running: [f/d"},
		{"success", nil, func(context.Context) error { return nil }, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release = make(chan struct{})
				fake := &fakeTest{TB: t}
				fake.run(func() {
					d := &provost.Deployment{Flow: provost.NewJob("f", c.flow), Name: "d", RunOnStart: true}
					provosttest.Serve(fake, c.runner, d)
					time.Sleep(time.Second)
				})
				close(release)
				if got := strings.Join(fake.failed, "\n"); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
					t.Errorf("the test failed with %q, want %q", got, c.want)
				}
				if c.runner == nil && !strings.Contains(fake.output.String(), "run started") {
					t.Errorf("the test's log is %q, want it to contain the start of a run", fake.output.String())
				}
			})
		})
	}
}
