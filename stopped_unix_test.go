//go:build unix

package provost_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/provost-go/provost"
)

// A process that is stopped for longer than its lease continues where it was: nobody else could
// take over runs from a store in its own memory.
func TestStoppedProcessContinues(t *testing.T) {
	if os.Getenv("PROVOST_STOPPED") != "" {
		runStopped()
		return
	}
	if testing.Short() {
		t.Skip("takes five seconds")
	}
	t.Parallel()
	cmd := exec.Command(os.Args[0], "-test.run=^TestStoppedProcessContinues$")
	cmd.Env = append(os.Environ(), "PROVOST_STOPPED=1")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(1200 * time.Millisecond) // what is tested takes real time
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2500 * time.Millisecond)
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(out.String(), "continued: COMPLETED, entered 1 times, crashes 0") {
		t.Errorf("the process ended with %v:\n%s", err, out.String())
	}
}

// runStopped executes a flow of four seconds under leases of one second.
func runStopped() {
	store := provost.NewMemoryStore()
	ctx, stop := context.WithCancel(context.Background())
	entered := 0
	runner := &provost.Runner{Store: store, LeaseTTL: time.Second}
	done := make(chan error)
	go func() {
		done <- runner.Serve(ctx, job("f", func(ctx context.Context) error {
			entered++
			for range 40 {
				time.Sleep(100 * time.Millisecond)
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
			}
			return nil
		}))
	}()
	<-runner.Ready()
	client := provost.NewClient(store)
	run, err := client.RunDeployment(ctx, "f/d", nil)
	if err == nil {
		run, err = client.Wait(ctx, run.ID)
	}
	stop()
	if served := <-done; err != nil || served != nil {
		println("error")
		return
	}
	println("continued:", string(run.State.Type)+", entered", entered, "times, crashes", run.Crashes)
}
