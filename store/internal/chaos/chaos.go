//go:build unix

// Package chaos tests a store under processes that die. Processes that serve the same deployments
// from one store are killed, stopped past the end of their leases, and restarted. In the end the
// store must have decided every instant once, and no run may have ended twice. It is for tests of
// stores.
package chaos

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
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
	"github.com/provost-go/provost/internal/testenv"
	"github.com/provost-go/provost/schedule"
	"github.com/provost-go/provost/store"
)

// The environment variables that configure a process of the test.
const (
	whereVariable    = "PROVOST_TEST_CHAOS_STORE"
	countVariable    = "PROVOST_TEST_CHAOS_DEPLOYMENTS"
	patienceVariable = "PROVOST_TEST_CHAOS_PATIENCE"
	opensVariable    = "PROVOST_TEST_CHAOS_OPENS" // set: only open and close the store
)

const leaseTTL = 3 * time.Second

// restarts is what a patient process logs when it could not serve and tries again.
const restarts = "serving again after an error:"

// Open opens the store at a place, such as a path or a DSN.
type Open func(ctx context.Context, where string) (store store.Store, closeStore func() error, err error)

// Main turns this process into one of the test's if it was started as such, and then does not
// return. Call it first in TestMain.
func Main(open Open) {
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
		fmt.Fprintln(os.Stderr, restarts, err)
		time.Sleep(300 * time.Millisecond) // part of the scenario
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
		if ctx.Err() != nil { // interrupted before it was ready
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

// Config sets what happens to the processes.
type Config struct {
	Processes, Deployments int
	Length                 time.Duration
	Kills                  time.Duration // average time between two; every fifth is a stop past the end of the lease

	// Patient makes processes serve again after an error, for scenarios in which the harm to others
	// keeps them from serving: a stopped process may hold a lock for longer than a store call may
	// take.
	Patient bool

	// Beside does harm of its own until its context ends. It may be nil.
	Beside func(context.Context)
}

// Scale returns the configuration that the environment variable PROVOST_CHAOS selects: "full" takes
// ten minutes, "long" two minutes, any other value 12 seconds, and less with the race detector.
func Scale() Config {
	switch os.Getenv("PROVOST_CHAOS") {
	case "full":
		return Config{Processes: 8, Deployments: 200, Length: 10 * time.Minute, Kills: 400 * time.Millisecond, Patient: true}
	case "long":
		return Config{Processes: 6, Deployments: 100, Length: 2 * time.Minute, Kills: 500 * time.Millisecond}
	}
	if testenv.Race {
		return Config{Processes: 3, Deployments: 10, Length: 8 * time.Second, Kills: time.Second}
	}
	return Config{Processes: 4, Deployments: 30, Length: 12 * time.Second, Kills: time.Second}
}

// Run has processes serve the store at a place, kills and stops them, and checks the store.
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
	restarted := 0
	for _, p := range processes {
		restarted += p.checkLog()
	}
	t.Logf("processes served again after an error %d times", restarted)
}

// harm kills processes, and stops others past the end of their leases, one at a time. It returns
// how often it did.
func harm(processes []*process, c Config) (kills, stops int) {
	stopped := -1 // the index of the stopped process, -1 for none
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
		case <-time.After(rand.N(2 * c.Kills)): // the pace of the scenario
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

// process is one of the processes, across its restarts.
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
	p.Cleanup(func() { _ = cmd.Process.Kill() }) // it has ended already unless the test has failed
}

func (p *process) signal(s os.Signal) {
	if err := p.cmd.Process.Signal(s); err != nil {
		p.Errorf("signal %v: %v", s, err)
	}
}

// end lets the process shut down.
func (p *process) end() {
	p.signal(os.Interrupt)
	if err := p.cmd.Wait(); err != nil {
		p.Errorf("process: %v", err)
	}
}

// checkLog reports messages that no process should log, and returns how often the process served
// again.
func (p *process) checkLog() (restarted int) {
	text, err := os.ReadFile(p.log)
	if err != nil {
		p.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	for i, line := range lines {
		for _, word := range []string{"FAILED", "panic", "locked", "SQLITE_BUSY", "deadlock"} {
			if strings.Contains(line, word) {
				p.Errorf("a process logged: %s", strings.Join(lines[i:min(i+40, len(lines))], "")) // with the stack
				break
			}
		}
	}
	return strings.Count(string(text), restarts)
}

// patience is how long settle waits for one more run to finish.
const patience = time.Minute

// settle serves the deployments until every run that was due has finished.
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
	progressed, fewest := ended, math.MaxInt // a busy machine takes long, but not for ever
	var last *store.Run
	for due := -1; due != 0; {
		if time.Since(progressed) > patience {
			stop()
			t.Fatalf("%d runs do not finish: none has in %v; Serve returned %v; the last of them: %+v\n%s", due, patience, <-served, last, &log)
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
		if due < fewest {
			progressed, fewest = time.Now(), due
		}
	}
	stop()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
}

// runs iterates over the runs that a filter selects.
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

// check checks that each instant up to the watermark is exactly one of a run, a skipped run and an
// instant of a skip range, and that no run has ended twice.
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
		ended := 0
		for _, s := range run.History {
			if s.Terminal() {
				ended++
			}
		}
		if ends += ended; ended > 1 {
			t.Errorf("run %s has ended %d times: %v", run.ID, ended, run.History)
		}
	}
	deployments, err := client.ListDeployments(t.Context(), store.DeploymentFilter{Limit: store.MaxPage})
	if err != nil || len(deployments.Items) != c.Deployments {
		t.Fatalf("got %d deployments and error %v, want %d", len(deployments.Items), err, c.Deployments)
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
				t.Errorf("%s: instant %s is decided %d times, want once", d.Handle(), at, n)
			}
		}
	}
	t.Logf("%d instants of %d deployments served by %d processes in %v: %d kills, %d stops past the lease, %d attempts lost and repeated, %d runs finished",
		instants, c.Deployments, c.Processes, c.Length, kills, stops, crashes, ends)
}
