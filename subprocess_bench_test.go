package provost_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost"
)

// The benchmarks of this file compare runs in subprocesses with the least that a process of this
// program costs: the same binary, started again, that exits at the first line of TestMain. Both are
// measured alternately, so that other load on the machine affects both. To run them:
//
//	go test -run '^$' -bench Subprocess -benchtime 200x .
//
// docs/isolation.md has the figures.

// bareVariable makes a process of this binary exit at the first line of TestMain.
const bareVariable = "PROVOST_TEST_BARE"

func bare(b *testing.B) time.Duration {
	path, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(path, os.Args[1:]...)
	cmd.Env = append(os.Environ(), bareVariable+"=1")
	began := time.Now()
	if err := cmd.Run(); err != nil {
		b.Fatal(err)
	}
	return time.Since(began)
}

func serveBench(b *testing.B, r *provost.Runner) *provost.Client {
	r.Store, r.Logger = provost.NewMemoryStore(), quiet
	stop := startBench(b, r)
	b.Cleanup(stop)
	return provost.NewClient(r.Store)
}

func startBench(b *testing.B, r *provost.Runner) (stop func()) {
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- r.Serve(ctx, subprocessDeployments()...) }()
	<-r.Ready()
	return func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
}

func benchRun(b *testing.B, c *provost.Client, o *provost.RunOptions) *provost.Run {
	run, err := c.RunDeployment(b.Context(), "nothing/d", o)
	if err == nil {
		run, err = c.Wait(b.Context(), run.ID)
	}
	if err != nil || run.State.Type != provost.StateCompleted {
		b.Fatal(err, run)
	}
	return run
}

func median(list []time.Duration) time.Duration {
	slices.Sort(list)
	return list[len(list)/2]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// BenchmarkSubprocessCold measures one run at a time, each in a process started for it, from the
// request to the end.
func BenchmarkSubprocessCold(b *testing.B) {
	c := serveBench(b, &provost.Runner{})
	var cold, plain []time.Duration
	for b.Loop() {
		plain = append(plain, bare(b))
		began := time.Now()
		benchRun(b, c, nil)
		cold = append(cold, time.Since(began))
	}
	b.ReportMetric(milliseconds(median(plain)), "bare-ms")
	b.ReportMetric(milliseconds(median(cold)), "run-ms")
	b.ReportMetric(float64(median(cold))/float64(median(plain)), "run/bare")
}

// BenchmarkSubprocessWarm measures how late the function starts if a spare process is ready.
func BenchmarkSubprocessWarm(b *testing.B) {
	c := serveBench(b, &provost.Runner{WarmChildren: 2})
	time.Sleep(300 * time.Millisecond)
	var late []time.Duration
	for b.Loop() {
		run := benchRun(b, c, nil)
		late = append(late, run.StartTime.Sub(run.DueTime))
		time.Sleep(50 * time.Millisecond) // until the spare process is replaced
	}
	b.ReportMetric(milliseconds(median(late)), "p50-ms")
	b.ReportMetric(milliseconds(late[len(late)*99/100]), "p99-ms")
}

// BenchmarkSubprocessThroughput runs as many processes at once as a runner does, with 1 and with
// 100 runs in each.
func BenchmarkSubprocessThroughput(b *testing.B) {
	const batch = 100
	for _, k := range []int{1, 100} {
		b.Run(fmt.Sprintf("K=%d", k), func(b *testing.B) {
			c := serveBench(b, &provost.Runner{RunsPerChild: k, Isolation: provost.Subprocess})
			var runs, plain []time.Duration
			for b.Loop() {
				plain = append(plain, parallelBare(b, batch))
				began := time.Now()
				ids := make([]uuid.UUID, batch)
				for i := range ids {
					run, err := c.RunDeployment(b.Context(), "nothing/d", nil)
					if err != nil {
						b.Fatal(err)
					}
					ids[i] = run.ID
				}
				for _, id := range ids {
					if _, err := c.Wait(b.Context(), id); err != nil {
						b.Fatal(err)
					}
				}
				runs = append(runs, time.Since(began))
			}
			b.ReportMetric(batch/median(plain).Seconds(), "bare/s")
			b.ReportMetric(batch/median(runs).Seconds(), "runs/s")
			b.ReportMetric(float64(median(plain))/float64(median(runs)), "runs/bare")
		})
	}
}

func parallelBare(b *testing.B, n int) time.Duration {
	began := time.Now()
	work := make(chan struct{}, n)
	for range n {
		work <- struct{}{}
	}
	close(work)
	var group sync.WaitGroup
	for range 2 * runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for range work {
				bare(b)
			}
		})
	}
	group.Wait()
	return time.Since(began)
}
