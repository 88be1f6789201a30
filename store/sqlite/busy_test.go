//go:build unix

package sqlite_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/store"
	"github.com/provost-go/provost/store/sqlite"
)

const (
	busyVariable = "PROVOST_TEST_BUSY" // the file that a busy process uses
	busyTTL      = 3 * time.Second
)

// TestRenewalsAmongBusyProcesses has eight processes make and execute as many runs as they can in
// one file. No renewal takes longer than a third of the leases' length, after which the next one is
// due.
func TestRenewalsAmongBusyProcesses(t *testing.T) {
	length, attempts := 5*time.Second, 3 // the machine may have other work to do
	if full {
		length, attempts = time.Minute, 1
	}
	var worst time.Duration
	for range attempts {
		if worst = longestRenewal(t, length); worst <= busyTTL/3 {
			return
		}
	}
	t.Errorf("a renewal took %v, more than a third of %v", worst, busyTTL)
}

// longestRenewal has eight processes do all they can, and returns how long their longest renewal
// took.
func longestRenewal(t *testing.T, length time.Duration) (worst time.Duration) {
	path := filepath.Join(t.TempDir(), "provost.db")
	store, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	var processes []*exec.Cmd
	var said [8]strings.Builder
	for i := range said {
		p := exec.CommandContext(t.Context(), os.Args[0])
		p.Env = append(os.Environ(), busyVariable+"="+path)
		p.Stdout, p.Stderr = &said[i], &said[i]
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		processes = append(processes, p)
	}
	time.Sleep(length) // how long the scenario lasts
	for _, p := range processes {
		if err := p.Process.Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
	}
	total := 0
	for i, p := range processes {
		err := p.Wait()
		var renewals, runs int
		var longest time.Duration
		var words string
		_, scanned := fmt.Sscanf(said[i].String(), "%d renewals, %d runs, %s", &renewals, &runs, &words)
		if err == nil && scanned == nil {
			longest, err = time.ParseDuration(words)
		}
		if err != nil || scanned != nil || renewals == 0 {
			t.Errorf("process %d: %v\n%s", i, err, &said[i])
		}
		total, worst = total+runs, max(worst, longest)
	}
	t.Logf("eight processes executed %d runs in %v; the longest renewal took %v, with leases of %v", total, length, worst, busyTTL)
	if total == 0 {
		t.Error("no process has executed a run")
	}
	return worst
}

// renewals measures how long a store takes to renew leases, and to record a heartbeat, which keeps
// a runner's deployments served.
type renewals struct {
	store.Store
	count, longest atomic.Int64
}

func (r *renewals) RenewLeases(ctx context.Context, p store.RenewLeasesParams) (store.RenewLeasesResult, error) {
	defer r.note(time.Now())
	return r.Store.RenewLeases(ctx, p)
}

func (r *renewals) HeartbeatRunner(ctx context.Context, p store.HeartbeatRunnerParams) error {
	defer r.note(time.Now())
	return r.Store.HeartbeatRunner(ctx, p)
}

func (r *renewals) note(began time.Time) {
	r.count.Add(1)
	took := int64(time.Since(began))
	for longest := r.longest.Load(); took > longest && !r.longest.CompareAndSwap(longest, took); longest = r.longest.Load() {
	}
}

// busyProcess makes and executes runs until it is interrupted. It returns the exit code.
func busyProcess(path string) (code int) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	inner, err := sqlite.Open(ctx, path)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer inner.Close()
	store := &renewals{Store: inner}
	var runs atomic.Int64
	flow := provost.NewJob("busy", func(ctx context.Context) error {
		runs.Add(1)
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
		return nil
	})
	runner := &provost.Runner{Store: store, LeaseTTL: busyTTL, PollInterval: 50 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)}
	var makers sync.WaitGroup
	makers.Go(func() {
		<-runner.Ready()
		client := provost.NewClient(store)
		for range 4 {
			makers.Go(func() {
				for ctx.Err() == nil {
					if _, err := client.RunDeployment(ctx, "busy/d", nil); err != nil && ctx.Err() == nil {
						fmt.Println(err)
					}
				}
			})
		}
	})
	err = runner.Serve(ctx, &provost.Deployment{Flow: flow, Name: "d"})
	makers.Wait()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Printf("%d renewals, %d runs, %v\n", store.count.Load(), runs.Load(), time.Duration(store.longest.Load()))
	return 0
}
