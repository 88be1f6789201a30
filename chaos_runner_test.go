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

// chaosConfig configures a runner in a process of its own. It is passed as JSON in chaosVariable.
type chaosConfig struct {
	Name      string
	Socket    string // of the store
	Journal   string // file in which the flows record what they do
	LeaseTTL  time.Duration
	Shutdown  time.Duration
	Isolation provost.Isolation
	Ticks     int  // number of deployments that run every second
	Stubborn  bool // flows start a process that ignores SIGTERM
}

const chaosVariable = "PROVOST_TEST_CHAOS"

// chaosReport is a line that such a process writes: one when it is ready, and one with what Serve
// returned.
type chaosReport struct {
	Ready      bool   `json:",omitempty"`
	Error      string `json:",omitempty"`
	Goroutines string `json:",omitempty"` // stacks of those that are left, "" if none are
}

// serveChaos is the main function of the process: it serves until SIGTERM.
func serveChaos() (code int) {
	var config chaosConfig
	if err := json.Unmarshal([]byte(os.Getenv(chaosVariable)), &config); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	provost.ServeChild(config.deployments()...)
	go func() { // exits if the test has ended, and its store with it
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	out := json.NewEncoder(os.Stdout)
	before := runtime.NumGoroutine()
	err := config.serve(ctx, func() { _ = out.Encode(chaosReport{Ready: true}) })
	report := chaosReport{Goroutines: leftGoroutines(before)}
	if err != nil {
		report.Error = err.Error()
	}
	_ = out.Encode(report)
	return 0
}

func (c chaosConfig) serve(ctx context.Context, ready func()) error {
	conn, err := net.Dial("unix", c.Socket)
	if err != nil {
		return err
	}
	store, run := rpc.Connect(conn)
	connected, disconnect := context.WithCancel(context.Background())
	disconnected := make(chan error, 1)
	go func() { disconnected <- run(connected) }()
	runner := &provost.Runner{
		Store: store, Name: c.Name, LeaseTTL: c.LeaseTTL, PollInterval: 50 * time.Millisecond, ShutdownTimeout: c.Shutdown,
		Isolation: c.Isolation, Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	served := make(chan error, 1)
	go func() { served <- runner.Serve(ctx, c.deployments()...) }()
	<-runner.Ready()
	ready()
	err = <-served
	disconnect()
	if lost := <-disconnected; !errors.Is(lost, context.Canceled) {
		err = errors.Join(err, fmt.Errorf("connection: %w", lost))
	}
	return err
}

// leftGoroutines waits up to two seconds for goroutines to end and returns the stacks if more are
// left than before.
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

// chaosParams are the parameters of every flow of the chaos tests.
type chaosParams struct {
	Millis int `json:"millis"` // how long it works; 0: up to 400 ms, drawn from the run's ID
}

// deployments returns one deployment that runs by hand and Ticks deployments that run every second.
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

// chaosNote is a line of the journal: what the code of a flow did, whatever the state of its run
// became.
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

// note appends a line to the journal. All processes append, each line in one write.
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
