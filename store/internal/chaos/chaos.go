//go:build unix

// Package chaos is the test that kills: processes that serve the same deployments from one store are killed, stopped past their leases
// and started again, and what the store says in the end is held to the promise. It is for tests of stores.
package chaos

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/provost-go/provost"
	"github.com/provost-go/provost/schedule"
	"github.com/provost-go/provost/store"
)

// What a process of the test is told.
const (
	whereVariable    = "PROVOST_TEST_CHAOS_STORE"
	countVariable    = "PROVOST_TEST_CHAOS_DEPLOYMENTS"
	patienceVariable = "PROVOST_TEST_CHAOS_PATIENCE"
	opensVariable    = "PROVOST_TEST_CHAOS_OPENS" // nothing else is done
)

const leaseTTL = 3 * time.Second

// beginsAgain is what a patient process says that could not serve.
const beginsAgain = "again, as there was:"

// Open opens the store that is somewhere.
type Open func(ctx context.Context, where string) (store store.Store, closeStore func() error, err error)

// Child makes this process one of the test's, if it was started for that, and does not return then. Call it first in TestMain.
func Child(open Open) {
	where := os.Getenv(whereVariable)
	if where == "" {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if os.Getenv(opensVariable) != "" {
		os.Exit(opens(ctx, open, where))
	}
	n, err := strconv.Atoi(os.Getenv(countVariable))
	if err == nil {
		err = serve(ctx, open, where, n)
	}
	for os.Getenv(patienceVariable) != "" && err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, beginsAgain, err)
		time.Sleep(300 * time.Millisecond) // the scenario's
		err = serve(ctx, open, where, n)
	}
	if err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "FAILED:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func serve(ctx context.Context, open Open, where string, deployments int) error {
	store, closeStore, err := open(ctx, where)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	runner := &provost.Runner{Store: store, LeaseTTL: leaseTTL, PollInterval: 200 * time.Millisecond, Limit: 100, Logger: log}
	err = runner.Serve(ctx, declare(deployments)...)
	select {
	case <-runner.Ready():
	default:
		if ctx.Err() != nil { // it was asked to leave before it had begun
			err = nil
		}
	}
	return errors.Join(err, closeStore())
}

func declare(n int) []*provost.Deployment {
	flow := provost.NewJob("chaos", func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(rand.N(200 * time.Millisecond)):
			return nil
		}
	})
	var list []*provost.Deployment
	for i := range n {
		list = append(list, &provost.Deployment{
			Flow: flow, Name: fmt.Sprintf("d%03d", i),
			Schedules: []schedule.Schedule{schedule.Every(time.Second).CatchUp(schedule.CatchUpAll).CatchUpWindow(time.Hour)},
		})
	}
	return list
}

// Config is how much is done to the processes.
type Config struct {
	Processes, Deployments int
	Length                 time.Duration
	Kills                  time.Duration // between two; every fifth is a stop past the lease

	// Patient processes begin again where the harm that is done to others keeps them from serving, as when those that are stopped hold a
	// lock for longer than a store call may take.
	Patient bool

	Beside func(context.Context) // does harm of its own until its context ends
}

// Scale is the scenario as far as the variable PROVOST_CHAOS asks for it: "full" takes ten minutes, "long" two; else it is a short one.
func Scale() Config {
	switch os.Getenv("PROVOST_CHAOS") {
	case "full":
		return Config{Processes: 8, Deployments: 200, Length: 10 * time.Minute, Kills: 400 * time.Millisecond, Patient: true}
	case "long":
		return Config{Processes: 6, Deployments: 100, Length: 2 * time.Minute, Kills: 500 * time.Millisecond}
	}
	return Config{Processes: 4, Deployments: 30, Length: 12 * time.Second, Kills: time.Second}
}

// Run has processes serve the store that is somewhere, harms them, and checks the store.
func Run(t *testing.T, open Open, where string, c Config) {
	dir := t.TempDir()
	var processes []*process
	for i := range c.Processes {
		p := &process{T: t, where: where, deployments: c.Deployments, patient: c.Patient, log: filepath.Join(dir, strconv.Itoa(i))}
		p.start()
		processes = append(processes, p)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var beside sync.WaitGroup
	if c.Beside != nil {
		beside.Go(func() { c.Beside(ctx) })
	}
	kills, stops := harm(processes, c)
	cancel()
	beside.Wait()
	for _, p := range processes {
		p.end()
	}
	store, closeStore, err := open(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	client := provost.NewClient(store)
	settle(t, store, client, c.Deployments)
	check(t, client, c, kills, stops)
	if err := closeStore(); err != nil {
		t.Error(err)
	}
	again := 0
	for _, p := range processes {
		again += p.checkLog()
	}
	t.Logf("%d times a process had to begin again", again)
}

// harm kills processes, and meanwhile stops others past their leases, one at a time.
func harm(processes []*process, c Config) (kills, stops int) {
	stopped := -1 // the process that is; no other one is until it goes on
	var goOn <-chan time.Time
	for end := time.After(c.Length); ; {
		select {
		case <-end:
			if stopped >= 0 {
				processes[stopped].signal(syscall.SIGCONT)
			}
			return kills, stops
		case <-goOn:
			processes[stopped].signal(syscall.SIGCONT)
			stopped, goOn = -1, nil
		case <-time.After(rand.N(2 * c.Kills)): // the scenario's
			i := rand.IntN(len(processes))
			switch p := processes[i]; {
			case i == stopped:
			case stopped < 0 && stops < kills/5:
				stops++
				stopped, goOn = i, time.After(leaseTTL+time.Second)
				p.signal(syscall.SIGSTOP)
			default:
				kills++
				p.signal(syscall.SIGKILL)
				_ = p.cmd.Wait() // it was killed
				p.start()
			}
		}
	}
}

// process is one of the processes, over its lives.
type process struct {
	*testing.T
	where       string
	deployments int
	patient     bool
	log         string // path
	cmd         *exec.Cmd
}

func (p *process) start() {
	p.Helper()
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.Fatal(err)
	}
	defer log.Close()
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), whereVariable+"="+p.where, countVariable+"="+strconv.Itoa(p.deployments))
	if p.patient {
		p.cmd.Env = append(p.cmd.Env, patienceVariable+"=1")
	}
	p.cmd.Stderr = log
	if err := p.cmd.Start(); err != nil {
		p.Fatal(err)
	}
	cmd := p.cmd
	p.Cleanup(func() { _ = cmd.Process.Kill() }) // it has ended, unless the test has failed
}

func (p *process) signal(s os.Signal) {
	if err := p.cmd.Process.Signal(s); err != nil {
		p.Errorf("signal %v: %v", s, err)
	}
}

// end lets the process leave in good order.
func (p *process) end() {
	p.signal(os.Interrupt)
	if err := p.cmd.Wait(); err != nil {
		p.Errorf("a process ended with %v", err)
	}
}

// checkLog finds what nobody should have to read, and says how often the process began again.
func (p *process) checkLog() (again int) {
	text, err := os.ReadFile(p.log)
	if err != nil {
		p.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	for i, line := range lines {
		for _, word := range []string{"FAILED", "panic", "locked", "SQLITE_BUSY", "deadlock"} {
			if strings.Contains(line, word) {
				p.Errorf("a process says: %s", strings.Join(lines[i:min(i+40, len(lines))], "")) // with the stack
				break
			}
		}
	}
	return strings.Count(string(text), beginsAgain)
}

// settle serves until nothing that was due is left.
func settle(t *testing.T, st store.Store, client *provost.Client, deployments int) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	runner := &provost.Runner{Store: st, LeaseTTL: leaseTTL, PollInterval: 100 * time.Millisecond, Limit: 1000, Logger: logger}
	served := make(chan error, 1)
	go func() { served <- runner.Serve(ctx, declare(deployments)...) }()
	<-runner.Ready()
	ended := time.Now()
	var last *store.Run
	for due := -1; due != 0; {
		if time.Since(ended) > time.Minute {
			stop()
			t.Fatalf("%d runs are left a minute after the last kill, with %v; the last of them: %+v\n%s", due, <-served, last, &log)
		}
		time.Sleep(100 * time.Millisecond)
		due = 0
		for run, err := range runs(ctx, client, store.RunFilter{
			States: []store.StateType{store.StateScheduled, store.StatePending, store.StateRunning},
		}) {
			if err != nil {
				t.Fatal(err)
			}
			if run.ScheduledTime.Before(ended) {
				due++
				last = run
			}
		}
	}
	stop()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
}

func runs(ctx context.Context, client *provost.Client, f store.RunFilter) func(func(*store.Run, error) bool) {
	f.Limit = store.MaxPage
	return func(yield func(*store.Run, error) bool) {
		for {
			page, err := client.ListRuns(ctx, f)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, run := range page.Items {
				if !yield(run, nil) {
					return
				}
			}
			if f.Cursor = page.Next; page.Next == "" {
				return
			}
		}
	}
}

// check holds the store to the promise: each instant is exactly one of a run, a skipped run and an instant of a skip range, and no run has
// ended twice.
func check(t *testing.T, client *provost.Client, c Config, kills, stops int) {
	taken := make(map[uuid.UUID]map[time.Time]int)
	crashes, ends := 0, 0
	for run, err := range runs(t.Context(), client, store.RunFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if taken[run.DeploymentID] == nil {
			taken[run.DeploymentID] = make(map[time.Time]int)
		}
		taken[run.DeploymentID][run.ScheduledTime]++
		crashes += run.Crashes
		over := 0
		for _, s := range run.History {
			if s.Terminal() {
				over++
			}
		}
		if ends += over; over > 1 {
			t.Errorf("run %s has ended %d times: %v", run.ID, over, run.History)
		}
	}
	deployments, err := client.ListDeployments(t.Context(), store.DeploymentFilter{Limit: store.MaxPage})
	if err != nil || len(deployments.Items) != c.Deployments {
		t.Fatalf("%d deployments, %v", len(deployments.Items), err)
	}
	instants := 0
	for _, d := range deployments.Items {
		skips, err := client.ListSkips(t.Context(), store.SkipFilter{Deployment: d.Handle(), Limit: store.MaxPage})
		if err != nil {
			t.Fatal(err)
		}
		s := d.Schedules[0]
		for at, ok := s.Schedule.Next(d.Created); ok && !at.After(s.Watermark); at, ok = s.Schedule.Next(at) {
			instants++
			n := taken[d.ID][at.UTC()]
			for _, skip := range skips.Items {
				if !at.Before(skip.First) && !at.After(skip.Last) {
					n++
				}
			}
			if n != 1 {
				t.Errorf("%s: the instant %s is decided %d times", d.Handle(), at, n)
			}
		}
	}
	t.Logf("%d instants of %d deployments served by %d processes in %v: %d kills, %d stops past the lease, %d attempts lost and made up for, %d runs over",
		instants, c.Deployments, c.Processes, c.Length, kills, stops, crashes, ends)
}
