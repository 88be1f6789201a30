package provost_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/provost-go/provost"
	"github.com/provost-go/provost/internal/rpc"
)

// chaosConfig is what a runner in a process of its own is told, as JSON in chaosVariable.
type chaosConfig struct {
	Name      string
	Socket    string // of the store
	Journal   string // file for what the flows do
	LeaseTTL  time.Duration
	Shutdown  time.Duration
	Isolation provost.Isolation
	Ticks     int  // deployments that run every second
	Stubborn  bool // flows have a process of their own that ignores SIGTERM
}

const chaosVariable = "PROVOST_TEST_CHAOS"

// chaosReport is a line that such a process writes: that it is ready, and what Serve returned.
type chaosReport struct {
	Ready      bool   `json:",omitempty"`
	Error      string `json:",omitempty"`
	Goroutines string `json:",omitempty"` // those that are left, "" if there are none
}

// serveChaos is the process: it serves until SIGTERM.
func serveChaos() (code int) {
	var config chaosConfig
	if err := json.Unmarshal([]byte(os.Getenv(chaosVariable)), &config); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	provost.ServeChild(config.deployments()...)
	go func() { // the test is gone: so is its store
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	tell := json.NewEncoder(os.Stdout)
	before := runtime.NumGoroutine()
	err := config.serve(ctx, func() { _ = tell.Encode(chaosReport{Ready: true}) })
	report := chaosReport{Goroutines: leftGoroutines(before)}
	if err != nil {
		report.Error = err.Error()
	}
	_ = tell.Encode(report)
	return 0
}

func (c chaosConfig) serve(ctx context.Context, ready func()) error {
	conn, err := net.Dial("unix", c.Socket)
	if err != nil {
		return err
	}
	store, run := rpc.Connect(conn)
	linked, unlink := context.WithCancel(context.Background())
	unlinked := make(chan error, 1)
	go func() { unlinked <- run(linked) }()
	runner := &provost.Runner{
		Store: store, Name: c.Name, LeaseTTL: c.LeaseTTL, PollInterval: 50 * time.Millisecond, ShutdownTimeout: c.Shutdown,
		Isolation: c.Isolation, Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	served := make(chan error, 1)
	go func() { served <- runner.Serve(ctx, c.deployments()...) }()
	<-runner.Ready()
	ready()
	err = <-served
	unlink()
	if lost := <-unlinked; !errors.Is(lost, context.Canceled) {
		err = errors.Join(err, fmt.Errorf("connection: %w", lost))
	}
	return err
}

// leftGoroutines waits a little for goroutines to end, and gives the stacks if there are more than there were.
func leftGoroutines(before int) string {
	for range 200 {
		if runtime.NumGoroutine() <= before {
			return ""
		}
		<-time.After(10 * time.Millisecond)
	}
	var stacks strings.Builder
	fmt.Fprintf(&stacks, "%d goroutines, %d before\n", runtime.NumGoroutine(), before)
	_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1)
	return stacks.String()
}

// chaosParams are those of every flow here.
type chaosParams struct {
	Millis int `json:"millis"` // how long it works; 0: up to 400 ms, as its run's ID has it
}

// deployments are Ticks that run every second, and one that runs by hand.
func (c chaosConfig) deployments() []*provost.Deployment {
	work := func(ctx context.Context, p chaosParams) error { return c.work(ctx, p) }
	deployments := []*provost.Deployment{{Flow: provost.NewAction("manual", work), Name: "d"}}
	tick := provost.NewAction("tick", work)
	for i := range c.Ticks {
		deployments = append(deployments, &provost.Deployment{
			Flow: tick, Name: fmt.Sprintf("d%d", i), Schedules: []provost.Schedule{provost.Every(time.Second).CatchUp(provost.CatchUpAll)},
		})
	}
	return deployments
}

func (c chaosConfig) work(ctx context.Context, p chaosParams) error {
	info, _ := provost.RunFromContext(ctx)
	if p.Millis == 0 {
		p.Millis = (int(info.ID[15])<<8 | int(info.ID[14])) % 400
	}
	note := func(did string) error {
		return c.note(chaosNote{At: time.Now().UTC(), Did: did, Run: info.ID, Attempt: info.Attempt, Runner: c.Name, PID: os.Getpid()})
	}
	if err := note(began); err != nil {
		return err
	}
	if c.Stubborn {
		stubborn := exec.Command("sh", "-c", `trap "" TERM; exec sleep 60`)
		if err := stubborn.Start(); err != nil {
			return err
		}
		defer func() {
			_ = stubborn.Process.Kill()
			_ = stubborn.Wait()
		}()
	}
	provost.Logger(ctx).Info("working", "millis", p.Millis)
	timer := time.NewTimer(time.Duration(p.Millis) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return errors.Join(context.Cause(ctx), note("stopped: "+context.Cause(ctx).Error()))
	case <-timer.C:
		return note(ended)
	}
}

// chaosNote is a line of the journal: what the code of a flow did, whatever became of its run.
type chaosNote struct {
	At      time.Time
	Did     string
	Run     uuid.UUID
	Attempt int
	Runner  string
	PID     int
}

const (
	began = "began"
	ended = "ended"
)

// note appends a line to the journal in one write, as all these processes do.
func (c chaosConfig) note(n chaosNote) error {
	line, err := json.Marshal(n)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(c.Journal, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(append(line, '\n'))
	return errors.Join(err, file.Close())
}
