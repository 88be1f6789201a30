//go:build unix

package sqlite_test

import (
	"context"
	"errors"
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
	var renewal, control time.Duration
	for range attempts {
		renewal, control = longestRenewal(t, length)
		if renewal <= max(busyTTL/3, busyTurns*control) {
			return
		}
	}
	t.Errorf("a renewal took %v, more than a third of %v and more than %d times the longest control, %v", renewal, busyTTL, busyTurns, control)
}

// busyProcesses is how many processes share the file.
const busyProcesses = 8

// busyTurns is how many turns at a file that nobody else has a renewal may take on a machine so
// busy that each takes long: one turn of each process, some of which are for a batch of runs.
const busyTurns = 2 * busyProcesses

// longestRenewal has processes do all they can, and returns how long their longest renewal took,
// and the longest heartbeat at a file that nobody else has: see control.
func longestRenewal(t *testing.T, length time.Duration) (renewal, control time.Duration) {
	path := filepath.Join(t.TempDir(), "provost.db")
	store, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	var processes []*exec.Cmd
	var said [busyProcesses]strings.Builder
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
		var longest, write int64
		_, scanned := fmt.Sscanf(said[i].String(), "%d renewals, %d runs, %d, %d", &renewals, &runs, &longest, &write)
		if err != nil || scanned != nil || renewals == 0 {
			t.Errorf("process %d: %v\n%s", i, err, &said[i])
		}
		total, renewal, control = total+runs, max(renewal, time.Duration(longest)), max(control, time.Duration(write))
	}
	t.Logf("eight processes executed %d runs in %v; the longest renewal took %v, with leases of %v; the longest control took %v",
		total, length, renewal, busyTTL, control)
	if total == 0 {
		t.Error("no process has executed a run")
	}
	return renewal, control
}

// controlInterval is the time between two controls.
const controlInterval = 20 * time.Millisecond

// control records heartbeats in a file of its own at an interval until ctx ends, and returns the
// longest time from an instant to the end of its heartbeat: what this machine takes for one turn,
// with as much else to do.
func control(ctx context.Context, path string) (longest time.Duration, err error) {
	alone, err := sqlite.Open(ctx, path)
	if err != nil {
		return 0, err
	}
	defer alone.Close()
	now := time.Now()
	id := store.NewID(now)
	until := now.Add(time.Hour)
	runner := store.RunnerRecord{ID: id, Name: "control", Started: now, SeenAt: now, Until: until}
	if _, err := alone.RegisterRunner(ctx, store.RegisterRunnerParams{Now: now, Runner: runner}); err != nil {
		return 0, err
	}
	for due := time.Now().Add(controlInterval); ; due = time.Now().Add(controlInterval) {
		select {
		case <-ctx.Done():
			return longest, nil
		case <-time.After(time.Until(due)):
		}
		err := alone.HeartbeatRunner(ctx, store.HeartbeatRunnerParams{Now: time.Now(), Runner: id, Until: until})
		if err != nil && ctx.Err() == nil {
			return 0, err
		}
		longest = max(longest, time.Since(due))
	}
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
	var longest time.Duration
	var failed error
	makers.Go(func() { longest, failed = control(ctx, fmt.Sprintf("%s.control.%d", path, os.Getpid())) })
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
	if err := errors.Join(err, failed); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Printf("%d renewals, %d runs, %d, %d\n", store.count.Load(), runs.Load(), store.longest.Load(), longest)
	return 0
}
