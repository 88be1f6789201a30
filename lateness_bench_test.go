package provost_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/provost-go/provost"
)

// latenessWindow is the number of seconds for which every-second schedules are measured.
const latenessWindow = 8

// BenchmarkLateness measures, in real time, how long after its due time the first line of a flow
// runs when n deployments are due at every full second. It compares that with robfig/cron with n
// entries, and with a bare burst of n goroutines. Each iteration is one window: run it with
// -benchtime 1x.
func BenchmarkLateness(b *testing.B) {
	for _, n := range []int{1, 1000, 10_000} {
		b.Run(fmt.Sprintf("provost/%d", n), func(b *testing.B) {
			for b.Loop() {
				reportLateness(b, provostLateness(b, n))
			}
		})
		b.Run(fmt.Sprintf("robfig/%d", n), func(b *testing.B) {
			for b.Loop() {
				reportLateness(b, robfigLateness(n))
			}
		})
		b.Run(fmt.Sprintf("goroutines/%d", n), func(b *testing.B) {
			for b.Loop() {
				reportLateness(b, burstLateness(n))
			}
		})
	}
}

// stopwatch collects lateness from many goroutines.
type stopwatch struct {
	mu   sync.Mutex
	late []time.Duration
}

func (s *stopwatch) add(d time.Duration) {
	s.mu.Lock()
	s.late = append(s.late, d)
	s.mu.Unlock()
}

func reportLateness(b *testing.B, late []time.Duration) {
	b.Helper()
	if len(late) == 0 {
		b.Fatal("nothing fired")
	}
	slices.Sort(late)
	if late[0] < 0 {
		b.Errorf("fired %v early", -late[0])
	}
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	b.ReportMetric(ms(late[len(late)/2]), "p50-ms")
	b.ReportMetric(ms(late[len(late)*99/100]), "p99-ms")
	b.ReportMetric(ms(late[len(late)-1]), "max-ms")
	b.ReportMetric(float64(len(late))/latenessWindow, "fires/s")
}

func provostLateness(b *testing.B, n int) []time.Duration {
	watch := &stopwatch{late: make([]time.Duration, 0, n*(latenessWindow+2))}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var from, to time.Time
	tick := provost.NewJob("tick", func(ctx context.Context) error {
		now := time.Now()
		info, _ := provost.RunFromContext(ctx)
		if due := info.ScheduledTime; due.After(from) && !due.After(to) {
			watch.add(now.Sub(due))
		}
		return nil
	})
	deployments := make([]*provost.Deployment, n)
	for i := range deployments {
		deployments[i] = &provost.Deployment{
			Flow: tick, Name: fmt.Sprintf("d%05d", i), Schedules: []provost.Schedule{provost.Every(time.Second)},
		}
	}
	from = time.Now().Add(2 * time.Second) // leave out registration and the first second
	to = from.Add(latenessWindow * time.Second)
	runner := &provost.Runner{Limit: 20_000, Logger: slog.New(slog.DiscardHandler)}
	served := make(chan error, 1)
	go func() { served <- runner.Serve(ctx, deployments...) }()
	time.Sleep(time.Until(to.Add(500 * time.Millisecond)))
	stop()
	if err := <-served; err != nil {
		b.Fatal(err)
	}
	return watch.late
}

func robfigLateness(n int) []time.Duration {
	watch := &stopwatch{late: make([]time.Duration, 0, n*(latenessWindow+2))}
	from := time.Now().Add(2 * time.Second)
	to := from.Add(latenessWindow * time.Second)
	c := cron.New(cron.WithSeconds())
	for range n {
		c.Schedule(cron.Every(time.Second), cron.FuncJob(func() {
			now := time.Now()
			if due := now.Truncate(time.Second); due.After(from) && !due.After(to) {
				watch.add(now.Sub(due))
			}
		}))
	}
	c.Start()
	time.Sleep(time.Until(to.Add(500 * time.Millisecond)))
	<-c.Stop().Done()
	return watch.late
}

// burstLateness measures the lower bound: one timer a second whose goroutine starts n goroutines.
func burstLateness(n int) []time.Duration {
	watch := &stopwatch{late: make([]time.Duration, 0, n*latenessWindow)}
	var all sync.WaitGroup
	for second := range latenessWindow {
		due := time.Now().Truncate(time.Second).Add(time.Duration(second+1) * time.Second)
		all.Add(n)
		time.AfterFunc(time.Until(due), func() {
			for range n {
				go func() {
					defer all.Done()
					watch.add(time.Since(due))
				}()
			}
		})
	}
	all.Wait()
	return watch.late
}
