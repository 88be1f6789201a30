//go:build unix

package provost_test

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/store"
)

// BenchmarkIdle registers 100,000 nightly deployments and then leaves them alone. It measures the
// time until they are registered and until Ready, the bytes per deployment in runner and store
// together, and the CPU time while nothing is due. Run it with -benchtime 1x.
func BenchmarkIdle(b *testing.B) {
	const n = 100_000
	for b.Loop() {
		noop := provost.NewJob("noop", func(context.Context) error { return nil })
		deployments := make([]*provost.Deployment, n)
		for i := range deployments {
			deployments[i] = &provost.Deployment{
				Flow: noop, Name: fmt.Sprintf("d%06d", i),
				Schedules: []provost.Schedule{provost.Cron(fmt.Sprintf("%d %d * * *", i%60, i/60%24)).In("Europe/Berlin")},
			}
		}
		before := heapInUse()
		ctx, stop := context.WithCancel(context.Background())
		store := &registrationTimer{Store: provost.NewMemoryStore()}
		runner := &provost.Runner{Store: store, Logger: slog.New(slog.DiscardHandler)}
		served := make(chan error, 1)
		began := time.Now()
		go func() { served <- runner.Serve(ctx, deployments...) }()
		<-runner.Ready()
		b.ReportMetric(store.registered.Sub(began).Seconds(), "s-to-registered")
		b.ReportMetric(time.Since(began).Seconds(), "s-to-ready")
		b.ReportMetric(float64(heapInUse()-before)/n, "B/deployment")

		const window = 10 * time.Second
		used := cpuTime(b)
		time.Sleep(window) // this is measured, it is not synchronisation
		b.ReportMetric(100*(cpuTime(b)-used).Seconds()/window.Seconds(), "%core-idle")
		stop()
		if err := <-served; err != nil {
			b.Fatal(err)
		}
		runtime.KeepAlive(deployments)
	}
}

// registrationTimer records when the runner and all its deployments are registered. Ready comes
// later, after the first runs of every schedule are planned too.
type registrationTimer struct {
	provost.Store
	registered time.Time
}

func (r *registrationTimer) Unwrap() provost.Store { return r.Store }

func (r *registrationTimer) RegisterRunner(ctx context.Context, p store.RegisterRunnerParams) ([]uuid.UUID, error) {
	defer func() { r.registered = time.Now() }()
	return r.Store.RegisterRunner(ctx, p)
}

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
