package provost_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/provost-go/provost"
)

// TestMain serves subprocesses: a run in a subprocess is this test binary, started again, which
// gets as far as here.
func TestMain(m *testing.M) {
	if os.Getenv(bareVariable) != "" {
		os.Exit(0)
	}
	os.Setenv("GORACE", "atexit_sleep_ms=0") // a subprocess with the race detector exits at once
	runHelper()
	provost.ServeChild(subprocessDeployments()...)
	waitTogether()
	os.Exit(m.Run())
}

// waitTogether runs more tests in parallel than there are processors, unless -parallel says
// otherwise: those that are parallel mostly wait for processes.
func waitTogether() {
	const parallel = "test.parallel"
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == parallel })
	if given {
		return
	}
	if err := flag.Set(parallel, "8"); err != nil {
		panic(err)
	}
}

// subprocessDeployments returns the deployments whose runs are subprocesses.
func subprocessDeployments() []*provost.Deployment {
	flows := []provost.AnyFlow{
		isolatedEcho, isolatedExit, isolatedError, isolatedPanic, isolatedGoexit, isolatedWait, isolatedUnresponsive, isolatedTimeout,
		isolatedOverflow, isolatedHog, isolatedPrint, isolatedFlood, isolatedBig, isolatedParent, isolatedClient,
		isolatedOnce, isolatedOrphan, isolatedSelf, isolatedRetry, isolatedSlow, isolatedLog, isolatedCounter, isolatedNothing,
		isolatedUnresponsiveTimeout,
	}
	flows = append(flows, systemFlows()...)
	var list []*provost.Deployment
	for _, f := range flows {
		list = append(list, &provost.Deployment{Flow: f, Name: "d", Isolation: provost.Subprocess})
	}
	return append(list,
		&provost.Deployment{Flow: isolatedSelf, Name: "moved", Isolation: provost.Subprocess, Path: os.TempDir(), Env: map[string]string{
			"PROVOST_TEST_PLACE": "elsewhere", "PROVOST_TEST_EMPTY": "",
		}},
		&provost.Deployment{Flow: isolatedSelf, Name: "nowhere", Isolation: provost.Subprocess, Path: "/no/such/directory"},
	)
}

type isolatedParams struct {
	Text  string                 `json:"text"`
	Count int64                  `json:"count"`
	At    time.Time              `json:"at,omitzero"`
	Token provost.Secret[string] `json:"token,omitzero"`
}

type isolatedResult struct {
	PID   int             `json:"pid"`
	Text  string          `json:"text"`
	Count int64           `json:"count"`
	At    time.Time       `json:"at,omitzero"`
	Info  provost.RunInfo `json:"info"`
}

var isolatedEcho = provost.NewFlow("echo", func(ctx context.Context, p isolatedParams) (isolatedResult, error) {
	info, _ := provost.RunFromContext(ctx)
	return isolatedResult{os.Getpid(), p.Text, p.Count, p.At, info}, nil
})

var isolatedExit = provost.NewAction("exit", func(ctx context.Context, p isolatedParams) error {
	fmt.Fprintln(os.Stderr, "leaving")
	provost.Logger(ctx).Error("good bye")
	os.Exit(int(p.Count))
	return nil
})

var isolatedNothing = provost.NewJob("nothing", nothing)

var (
	isolatedError  = provost.NewJob("error", func(context.Context) error { return errors.New("no luck") })
	isolatedPanic  = provost.NewJob("panic", func(context.Context) error { panic("at the disco") })
	isolatedGoexit = provost.NewJob("goexit", func(context.Context) error { runtime.Goexit(); return nil })
)

// isolatedWait returns when its context ends, with the cause.
var isolatedWait = provost.NewJob("wait", func(ctx context.Context) error {
	provost.Logger(ctx).Info("waiting", "pid", os.Getpid())
	<-ctx.Done()
	return context.Cause(ctx)
})

// isolatedUnresponsive never returns, and prints when it receives SIGTERM.
var isolatedUnresponsive = provost.NewJob("unresponsive", func(ctx context.Context) error {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	provost.Logger(ctx).Info("waiting", "pid", os.Getpid())
	for range asked {
		fmt.Println("received SIGTERM")
	}
	return nil
})

// isolatedUnresponsiveTimeout never returns either. Its Timeout passes before it is killed for
// another reason.
var isolatedUnresponsiveTimeout = func() *provost.Flow[provost.None, provost.None] {
	f := provost.NewJob("unresponsive-timeout", func(ctx context.Context) error {
		provost.Logger(ctx).Info("waiting", "pid", os.Getpid())
		select {}
	})
	f.Timeout = 3 * time.Second
	return f
}()

var isolatedTimeout = func() *provost.Flow[provost.None, provost.None] {
	f := provost.NewJob("timeout", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	f.Timeout = 50 * time.Millisecond
	return f
}()

var isolatedOverflow = provost.NewJob("overflow", func(context.Context) error { debug.SetMaxStack(16 << 20); fmt.Println(descend(1)); return nil })

func descend(n int) int {
	if n == 0 { // never
		return 0
	}
	return descend(n+1) + n
}

// isolatedHog allocates memory until it is stopped.
var isolatedHog = provost.NewJob("hog", func(ctx context.Context) error {
	var all [][]byte
	for len(all) < 60 { // spare the machine if nobody stops it
		block := make([]byte, 16<<20)
		for i := 0; i < len(block); i += 4096 {
			block[i] = 1
		}
		all = append(all, block)
		time.Sleep(20 * time.Millisecond)
	}
	<-ctx.Done()
	runtime.KeepAlive(all)
	return nil
})

var isolatedPrint = provost.NewAction("print", func(ctx context.Context, p isolatedParams) error {
	fmt.Println("to stdout", p.Token.Reveal())
	fmt.Fprintln(os.Stderr, "to stderr")
	provost.Logger(ctx).Warn("to the logger", "n", 7)
	fmt.Println(strings.Repeat("x", 100_000))
	fmt.Print("no newline")
	return nil
})

// isolatedFlood prints as fast as it can for a second.
var isolatedFlood = provost.NewFlow("flood", func(context.Context, provost.None) (int, error) {
	text := []byte(strings.Repeat("a line of a flood\n", 1000))
	lines := 0
	for began := time.Now(); time.Since(began) < time.Second; lines += 1000 {
		os.Stdout.Write(text)
	}
	fmt.Println("the last line")
	return lines, nil
})

var isolatedBig = provost.NewFlow("big", func(context.Context, provost.None) (string, error) {
	return strings.Repeat("r", 10<<20), nil
})

var isolatedInner = provost.NewFlow("inner", func(ctx context.Context, p isolatedParams) (int64, error) {
	provost.Logger(ctx).Info("inside", "token", p.Token.Reveal())
	fmt.Println("inside with", p.Token.Reveal())
	if p.Text == "wait" {
		<-ctx.Done()
		return 0, context.Cause(ctx)
	}
	return p.Count * 2, nil
})

// isolatedParent has a child run.
var isolatedParent = provost.NewFlow("parent", func(ctx context.Context, p isolatedParams) (int64, error) {
	p.Token = provost.NewSecret("made-in-the-subprocess")
	return isolatedInner.Run(ctx, p)
})

// isolatedClient starts a run of another deployment and waits for it.
var isolatedClient = provost.NewFlow("client", func(ctx context.Context, p isolatedParams) (isolatedResult, error) {
	c, ok := provost.ClientFromContext(ctx)
	if !ok {
		return isolatedResult{}, errors.New("ClientFromContext returned no client")
	}
	run, err := c.RunDeployment(ctx, "echo/d", &provost.RunOptions{Parameters: provost.Params{"text": p.Text}})
	if err != nil {
		return isolatedResult{}, err
	}
	if run, err = c.Wait(ctx, run.ID); err != nil {
		return isolatedResult{}, err
	}
	return isolatedEcho.Result(run)
})

var isolatedOnce = func() *provost.Flow[isolatedParams, provost.None] {
	f := provost.NewAction("once", func(ctx context.Context, p isolatedParams) error {
		if p.Text != "" {
			c, _ := provost.ClientFromContext(ctx)
			info, _ := provost.RunFromContext(ctx)
			run, err := c.GetRun(ctx, info.ID)
			if err != nil {
				return err
			}
			return fmt.Errorf("stored as %s", run.State.Type)
		}
		os.Exit(9)
		return nil
	})
	f.AtMostOnce = true
	return f
}()

// isolatedOrphan leaves a process behind that keeps its output open.
var isolatedOrphan = provost.NewJob("orphan", func(ctx context.Context) error {
	sleeper := exec.Command("sleep", "1000")
	sleeper.Stdout, sleeper.Stderr = os.Stdout, os.Stderr
	if err := sleeper.Start(); err != nil {
		return err
	}
	provost.Logger(ctx).Info("left behind", "pid", sleeper.Process.Pid)
	return nil
})

type isolatedEnvironment struct {
	PID    int      `json:"pid"`
	Dir    string   `json:"dir"`
	Env    []string `json:"env"`
	Args   []string `json:"args"`
	Inside bool     `json:"inside"`
}

// isolatedSelf returns its environment.
var isolatedSelf = provost.NewFlow("self", func(context.Context, isolatedParams) (isolatedEnvironment, error) {
	dir, err := os.Getwd()
	return isolatedEnvironment{os.Getpid(), dir, os.Environ(), os.Args, provost.InChild()}, err
})

var isolatedRetry = func() *provost.Flow[provost.None, int] {
	f := provost.NewFlow("retry", func(ctx context.Context, _ provost.None) (int, error) {
		info, _ := provost.RunFromContext(ctx)
		if info.Attempt < 3 {
			return 0, fmt.Errorf("attempt %d", info.Attempt)
		}
		return info.Attempt, nil
	})
	f.Retries = 2
	f.Backoff = func(int, error) time.Duration { return time.Millisecond }
	return f
}()

var isolatedSlow = provost.NewAction("slow", func(_ context.Context, p isolatedParams) error {
	time.Sleep(time.Duration(p.Count))
	return nil
})

// isolatedLog logs values of every kind.
var isolatedLog = provost.NewJob("log", func(ctx context.Context) error {
	log := provost.Logger(ctx).With("fixed", 1).WithGroup("group")
	log.Warn("every kind", "int", int64(-5), "float", 1.5, "bool", true, "took", 3*time.Second, "error", errors.New("oh no"),
		"at", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), "uint", uint64(1<<63))
	return nil
})

var runsOfProcess int

// isolatedCounter counts the runs of its process.
var isolatedCounter = provost.NewFlow("counter", func(_ context.Context, p isolatedParams) (int, error) {
	runsOfProcess++
	fmt.Println("run", p.Text)
	return runsOfProcess, nil
})
