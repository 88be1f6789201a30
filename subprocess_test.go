package provost_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/internal/testenv"
	"github.com/provost-go/provost/store"
)

// serveIsolated serves subprocessDeployments for as long as the test runs.
func serveIsolated(t *testing.T, r *provost.Runner) (c *provost.Client, stop func() error) {
	t.Helper()
	if r.Store == nil {
		r.Store = provost.NewMemoryStore()
	}
	stop = start(t, r, subprocessDeployments()...)
	t.Cleanup(func() { clean(t, stop) })
	return provost.NewClient(r.Store), stop
}

// eventually waits for something that another process does.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); {
		if time.Now().After(deadline) {
			t.Fatalf("timed out waiting for %s", what)
		}
		time.Sleep(2 * time.Millisecond) // another process has nothing to wait on
	}
}

func logOf(t *testing.T, c *provost.Client, id uuid.UUID) (lines []string) {
	t.Helper()
	for line, err := range c.Logs(t.Context(), id, nil) {
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line.Message)
	}
	return lines
}

// awaitLog waits for a line that begins with text and returns the number at its end.
func awaitLog(t *testing.T, c *provost.Client, id uuid.UUID, text string) (number int) {
	t.Helper()
	eventually(t, "a line "+text, func() bool {
		for _, line := range logOf(t, c, id) {
			if rest, ok := strings.CutPrefix(line, text); ok {
				number, _ = strconv.Atoi(rest)
				return true
			}
		}
		return false
	})
	return number
}

func TestSubprocessRuns(t *testing.T) {
	c, _ := serveIsolated(t, &provost.Runner{})
	at := time.Date(2026, 3, 4, 5, 6, 7, 891234567, time.FixedZone("", 3600))
	run := runNow(t, c, "echo/d", isolatedEcho.Params(isolatedParams{Text: "hällo", Count: 1<<62 + 1, At: at, Token: provost.NewSecret("hush")}))
	wantState(t, run, provost.StateCompleted)
	got, err := isolatedEcho.Result(run)
	if err != nil {
		t.Fatal(err)
	}
	if got.PID == os.Getpid() || got.Text != "hällo" || got.Count != 1<<62+1 || !got.At.Equal(at) {
		t.Errorf("the flow returned %+v", got)
	}
	i := got.Info
	if i.ID != run.ID || i.Name != run.Name || i.Flow != "echo" || i.Deployment != "d" || i.Version != run.Version || i.Attempt != 1 ||
		!i.ScheduledTime.Equal(run.ScheduledTime) || i.Parameters["token"] != "***" {
		t.Errorf("the flow saw run %+v, want %+v", i, run)
	}
	if run.Attempt != 1 || run.StartTime.Before(run.DueTime) || run.EndTime.Before(run.StartTime) || run.Crashes != 0 {
		t.Errorf("wrong run %+v", run)
	}
}

func TestSubprocessOutcomes(t *testing.T) {
	c, _ := serveIsolated(t, &provost.Runner{})
	cases := []struct {
		flow    string
		state   provost.StateType
		message []string
	}{
		{"error", provost.StateFailed, []string{"no luck"}},
		{"panic", provost.StateFailed, []string{"panic: at the disco", "subprocess_flows_test.go"}},
		{"goexit", provost.StateFailed, []string{"runtime.Goexit was called", "subprocess_flows_test.go"}},
		{"timeout", provost.StateFailed, []string{"ran longer than 50ms"}},
		{"exit", provost.StateCrashed, []string{"crash 3: the subprocess exited with code 0"}},
		{"overflow", provost.StateCrashed, []string{"crash 3: the subprocess exited with code 2"}},
		{"big", provost.StateCompleted, []string{"result of 10485762 bytes not stored"}},
		{"retry", provost.StateCompleted, nil},
		{"once", provost.StateCrashed, []string{"crash 1: the subprocess exited with code 9"}},
	}
	ids := make([]uuid.UUID, len(cases))
	for i, k := range cases {
		ids[i] = request(t, c, k.flow+"/d", nil).ID
	}
	for i, k := range cases {
		run := wait(t, c, ids[i])
		wantState(t, run, k.state, k.message...)
		switch k.flow {
		case "exit":
			if run.Crashes != store.MaxCrashes || run.Attempt != store.MaxCrashes {
				t.Errorf("exit: %d crashes, %d attempts, want %d of each", run.Crashes, run.Attempt, store.MaxCrashes)
			}
			if lines := logOf(t, c, run.ID); len(lines) != 2*store.MaxCrashes || !slices.Contains(lines, "leaving") || !slices.Contains(lines, "good bye") {
				t.Errorf("exit: got log %q", lines)
			}
		case "timeout":
			if run.State.Name != store.NameTimedOut {
				t.Errorf("timeout: got state %s", run.State.Name)
			}
		case "overflow":
			if lines := logOf(t, c, run.ID); !slices.Contains(lines, "fatal error: stack overflow") {
				t.Errorf("overflow: the log does not contain the stack overflow: %.300q", lines)
			}
		case "retry":
			if got, _ := isolatedRetry.Result(run); got != 3 || run.Crashes != 0 {
				t.Errorf("retry: result %d, %d crashes, want 3 and 0", got, run.Crashes)
			}
		case "once":
			if run.Attempt != 1 || run.Crashes != 1 {
				t.Errorf("once: %d attempts, %d crashes, want 1 and 1", run.Attempt, run.Crashes)
			}
		}
	}
}

// TestSubprocessAtMostOnceIsStoredFirst has the flow itself read what is stored when it begins.
func TestSubprocessAtMostOnceIsStoredFirst(t *testing.T) {
	c, _ := serveIsolated(t, &provost.Runner{})
	run := runNow(t, c, "once/d", provost.Params{"text": "look"})
	wantState(t, run, provost.StateFailed, "stored as RUNNING")
}

func TestSubprocessOutput(t *testing.T) {
	logs := &logBuffer{}
	c, _ := serveIsolated(t, &provost.Runner{Logger: logs.logger()})
	run := runNow(t, c, "print/d", provost.Params{"token": "hush-hush"})
	wantState(t, run, provost.StateCompleted)
	lines := logOf(t, c, run.ID)
	for _, want := range []string{"to stdout ***", "to stderr", "to the logger n=7", strings.Repeat("x", 32<<10), "no newline"} {
		if n := len(slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return line != want })); n != 1 {
			t.Errorf("%d lines %.40q in %.60q, want 1", n, want, lines)
		}
	}
	if len(lines) != 5 {
		t.Errorf("%d lines, want 5", len(lines))
	}
	for _, want := range []string{"to stdout ***", "to stderr", `msg="to the logger"`} {
		if found := logs.lines(want); len(found) != 1 || !strings.Contains(found[0], "id="+run.ID.String()) {
			t.Errorf("the runner logged %q for %q, want one line with the run's ID", found, want)
		}
	}
	if found := logs.lines("hush-hush"); len(found) > 0 {
		t.Errorf("a secret is logged: %q", found)
	}
}

func TestSubprocessLogsValuesOfEveryKind(t *testing.T) {
	logs := &logBuffer{}
	c, _ := serveIsolated(t, &provost.Runner{Logger: logs.logger()})
	run := runNow(t, c, "log/d", nil)
	wantState(t, run, provost.StateCompleted)
	const want = `fixed=1 group.int=-5 group.float=1.5 group.bool=true group.took=3s group.error="oh no" group.at=2026-01-02T03:04:05.000Z group.uint=9223372036854775808`
	if lines := logOf(t, c, run.ID); len(lines) != 1 || lines[0] != "every kind "+want {
		t.Errorf("got run log %q", lines)
	}
	if lines := logs.lines("every kind"); len(lines) != 1 || !strings.Contains(lines[0], want) || !strings.Contains(lines[0], "level=WARN") {
		t.Errorf("the runner logged %q, want %s", lines, want)
	}
}

// TestSubprocessFlood checks that a flow that prints endlessly costs lines of its log, not memory
// of the runner.
func TestSubprocessFlood(t *testing.T) {
	st := provost.NewMemoryStore()
	c, _ := serveIsolated(t, &provost.Runner{Store: st})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	run := runNow(t, c, "flood/d", nil)
	runtime.GC()
	runtime.ReadMemStats(&after)
	wantState(t, run, provost.StateCompleted)
	printed, err := isolatedFlood.Result(run)
	if err != nil || printed < 10_000 {
		t.Errorf("printed %d lines, error %v, want at least 10000", printed, err)
	}
	if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > 32<<20 {
		t.Errorf("the runner's heap grew by %d MiB, want at most 32", grown>>20)
	}
	lines, dropped := 0, 0
	for after, more := int64(0), true; more; {
		page, err := st.ListLogs(t.Context(), store.LogFilter{RunID: run.ID, After: after, Limit: store.MaxPage})
		if err != nil {
			t.Fatal(err)
		}
		lines, dropped, more = lines+len(page.Lines), page.Dropped, page.More
		if len(page.Lines) > 0 {
			after = page.Lines[len(page.Lines)-1].Seq
		}
	}
	if lines+dropped != printed+1 {
		t.Errorf("%d lines kept and %d dropped, want %d in all", lines, dropped, printed+1)
	}
	t.Logf("%d lines printed in a second", printed)
}

func TestSubprocessCancel(t *testing.T) {
	c, _ := serveIsolated(t, &provost.Runner{})
	run := request(t, c, "wait/d", nil)
	awaitLog(t, c, run.ID, "waiting pid=")
	if _, err := c.CancelRun(t.Context(), run.ID, nil); err != nil {
		t.Fatal(err)
	}
	wantState(t, wait(t, c, run.ID), provost.StateCancelled, "the run was cancelled")
}

// TestSubprocessIgnoresSignals sends the signals that terminals and service managers send to all
// processes. The runner decides what they mean.
func TestSubprocessIgnoresSignals(t *testing.T) {
	c, _ := serveIsolated(t, &provost.Runner{})
	run := request(t, c, "wait/d", nil)
	pid := awaitLog(t, c, run.ID, "waiting pid=")
	interrupt(t, pid)
	wantState(t, runNow(t, c, "echo/d", nil), provost.StateCompleted) // gives it some time to die
	if _, err := c.CancelRun(t.Context(), run.ID, nil); err != nil {
		t.Fatal(err)
	}
	wantState(t, wait(t, c, run.ID), provost.StateCancelled, "the run was cancelled")
}

// TestSubprocessUnresponsive checks that a flow that ignores its cancellation is sent SIGTERM and
// then killed.
func TestSubprocessUnresponsive(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 7 seconds")
	}
	t.Parallel()
	c, _ := serveIsolated(t, &provost.Runner{})
	run := request(t, c, "unresponsive/d", nil)
	pid := awaitLog(t, c, run.ID, "waiting pid=")
	if _, err := c.CancelRun(t.Context(), run.ID, nil); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	run = wait(t, c, run.ID)
	wantState(t, run, provost.StateCancelled, "did not return", "killed")
	if took := time.Since(began); took < 5*time.Second || took > 10*time.Second {
		t.Errorf("the run ended after %v, want 5s to 10s", took)
	}
	if lines := logOf(t, c, run.ID); !slices.Contains(lines, "received SIGTERM") {
		t.Errorf("the flow did not receive SIGTERM: log is %q", lines)
	}
	wantDead(t, pid)
}

// TestSubprocessUnresponsiveToCancelIsNotTimedOut checks that the time that it takes to terminate a
// cancelled run does not make it timed out.
func TestSubprocessUnresponsiveToCancelIsNotTimedOut(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 7 seconds")
	}
	t.Parallel()
	c, _ := serveIsolated(t, &provost.Runner{})
	run := request(t, c, "unresponsive-timeout/d", nil)
	awaitLog(t, c, run.ID, "waiting pid=")
	if _, err := c.CancelRun(t.Context(), run.ID, nil); err != nil {
		t.Fatal(err)
	}
	wantState(t, wait(t, c, run.ID), provost.StateCancelled, "killed")
}

// TestSubprocessUnresponsiveShutdown checks that Serve returns nevertheless, and that the run is
// handed back.
func TestSubprocessUnresponsiveShutdown(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 7 seconds")
	}
	t.Parallel()
	c, stop := serveIsolated(t, &provost.Runner{ShutdownTimeout: time.Millisecond})
	run := request(t, c, "unresponsive/d", nil)
	pid := awaitLog(t, c, run.ID, "waiting pid=")
	clean(t, stop)
	run = get(t, c, run.ID)
	wantState(t, run, provost.StateScheduled, "handed back")
	if run.Attempt != 0 || run.Crashes != 0 {
		t.Errorf("%d attempts, %d crashes, want 0 and 0", run.Attempt, run.Crashes)
	}
	wantDead(t, pid)
}

func TestSubprocessShutdown(t *testing.T) {
	c, stop := serveIsolated(t, &provost.Runner{ShutdownTimeout: time.Millisecond})
	run := request(t, c, "wait/d", nil)
	pid := awaitLog(t, c, run.ID, "waiting pid=")
	clean(t, stop)
	wantState(t, get(t, c, run.ID), provost.StateScheduled, "handed back")
	wantDead(t, pid)
}

// TestSubprocessLosesLease lets the store fail until the lease can no longer be trusted. The
// unresponsive flow is dead before another runner may take over its run.
func TestSubprocessLosesLease(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 4 seconds")
	}
	t.Parallel()
	store := &remote{Store: provost.NewMemoryStore()}
	c, _ := serveIsolated(t, &provost.Runner{Store: store, LeaseTTL: time.Second, PollInterval: 10 * time.Millisecond})
	run := request(t, c, "unresponsive/d", nil)
	pid := awaitLog(t, c, run.ID, "waiting pid=")
	store.fail(errors.New("the database is unreachable"))
	eventually(t, "the end of the process", func() bool { return !alive(pid) })
	store.fail(nil)
	if run := get(t, c, run.ID); run.State.Terminal() {
		t.Errorf("run is %s, want one that has not finished", run.State)
	}
	if _, err := c.CancelRun(t.Context(), run.ID, nil); err != nil {
		t.Fatal(err)
	}
	wantState(t, wait(t, c, run.ID), provost.StateCancelled)
}

// TestSubprocessKilled kills the subprocess from outside, as the system does when memory runs out.
func TestSubprocessKilled(t *testing.T) {
	c, _ := serveIsolated(t, &provost.Runner{})
	run := request(t, c, "wait/d", nil)
	var pids []int
	for range store.MaxCrashes {
		eventually(t, "another attempt", func() bool {
			for _, line := range logOf(t, c, run.ID) {
				pid, _ := strconv.Atoi(strings.TrimPrefix(line, "waiting pid="))
				if !slices.Contains(pids, pid) {
					pids = append(pids, pid)
					return true
				}
			}
			return false
		})
		kill(t, pids[len(pids)-1])
	}
	run = wait(t, c, run.ID)
	wantState(t, run, provost.StateCrashed, "crash 3: the subprocess was killed by a signal: killed")
	for i, n := 0, 0; i < len(run.History); i++ {
		if s := run.History[i]; s.Name == store.NameAwaitingRetry {
			if n++; !strings.HasPrefix(s.Message, fmt.Sprintf("crash %d: ", n)) {
				t.Errorf("history has %s, want crash %d", s, n)
			}
		}
	}
}

func TestSubprocessMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux measures groups of processes")
	}
	c, _ := serveIsolated(t, &provost.Runner{ChildMemory: 150 << 20})
	run := runNow(t, c, "hog/d", nil)
	wantState(t, run, provost.StateCrashed, "crash 3", "more than the 150 MiB of ChildMemory")
}

func TestSubprocessGarbage(t *testing.T) {
	if len(systemFlows()) == 0 {
		t.Skip("the flows are for Unix")
	}
	t.Parallel()
	c, _ := serveIsolated(t, &provost.Runner{})
	garbage, silence := request(t, c, "garbage/d", nil), request(t, c, "silence/d", nil)
	wantState(t, wait(t, c, garbage.ID), provost.StateCrashed, "crash 3", "broke its protocol with the runner")
	if !testing.Short() { // each crash takes 2 seconds
		wantState(t, wait(t, c, silence.ID), provost.StateCrashed, "crash 3", "closed its pipe")
	}
}

// TestSubprocessPipeHeld checks that the run ends when its process ends, even if another process
// holds the pipe.
func TestSubprocessPipeHeld(t *testing.T) {
	if len(systemFlows()) == 0 {
		t.Skip("the flows are for Unix")
	}
	t.Parallel()
	c, _ := serveIsolated(t, &provost.Runner{})
	began := time.Now()
	wantState(t, runNow(t, c, "holder/d", nil), provost.StateCrashed, "crash 1: the subprocess exited with code 5")
	if took := time.Since(began); took > 8*time.Second { // the holder exits after 10s
		t.Errorf("the run took %v, want at most 8s", took)
	}
}

func TestSubprocessChildRun(t *testing.T) {
	logs := &logBuffer{}
	c, _ := serveIsolated(t, &provost.Runner{Logger: logs.logger()})
	run := runNow(t, c, "parent/d", provost.Params{"count": 21})
	wantState(t, run, provost.StateCompleted)
	if got, err := isolatedParent.Result(run); got != 42 || err != nil {
		t.Errorf("Result = %d, %v, want 42", got, err)
	}
	inside := list(t, c, provost.RunFilter{ParentID: run.ID})
	if len(inside) != 1 {
		t.Fatalf("%d child runs, want 1", len(inside))
	}
	wantState(t, inside[0], provost.StateCompleted)
	if inside[0].Flow != "inner" || inside[0].Parameters["token"] != "***" {
		t.Errorf("wrong child run %+v", inside[0])
	}
	if lines := logOf(t, c, inside[0].ID); !slices.Equal(lines, []string{"inside token=***"}) {
		t.Errorf("got child run log %q", lines)
	}
	if lines := logOf(t, c, run.ID); !slices.Equal(lines, []string{"inside with ***"}) {
		t.Errorf("got run log %q", lines)
	}
	if lines := logs.lines("msg=inside"); len(lines) != 1 || !strings.Contains(lines[0], inside[0].ID.String()) {
		t.Errorf("the runner logged %q, want one line with the child run's ID", lines)
	}
	if lines := logs.lines("made-in-the-subprocess"); len(lines) > 0 {
		t.Errorf("a secret is logged: %q", lines)
	}
}

// TestSubprocessChildRunCancel cancels only the child run.
func TestSubprocessChildRunCancel(t *testing.T) {
	c, _ := serveIsolated(t, &provost.Runner{})
	run := request(t, c, "parent/d", &provost.RunOptions{Parameters: provost.Params{"text": "wait"}})
	awaitLog(t, c, run.ID, "inside with")
	inside := list(t, c, provost.RunFilter{ParentID: run.ID})
	if len(inside) != 1 {
		t.Fatalf("%d child runs, want 1", len(inside))
	}
	if _, err := c.CancelRun(t.Context(), inside[0].ID, nil); err != nil {
		t.Fatal(err)
	}
	wantState(t, wait(t, c, inside[0].ID), provost.StateCancelled)
	wantState(t, wait(t, c, run.ID), provost.StateFailed, "the run was cancelled")
}

func TestSubprocessClient(t *testing.T) {
	c, _ := serveIsolated(t, &provost.Runner{Limit: 2})
	run := runNow(t, c, "client/d", provost.Params{"text": "over the pipe"})
	wantState(t, run, provost.StateCompleted)
	if got, err := isolatedClient.Result(run); got.Text != "over the pipe" || err != nil {
		t.Errorf("Result = %+v, %v, want over the pipe", got, err)
	}
}

// TestSubprocessEnvironment looks at a subprocess from inside: its directory, its environment, and
// that neither contains a secret.
func TestSubprocessEnvironment(t *testing.T) {
	const canary = "canary-9f8e7d"
	c, _ := serveIsolated(t, &provost.Runner{RunsPerChild: 3})
	place := func(handle string) isolatedEnvironment {
		t.Helper()
		run := runNow(t, c, handle, provost.Params{"token": canary, "text": canary})
		wantState(t, run, provost.StateCompleted)
		got, err := isolatedSelf.Result(run)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(strings.Join(append(got.Env, got.Args...), " "), canary) {
			t.Errorf("a secret is in %q %q", got.Env, got.Args)
		}
		if slices.ContainsFunc(got.Env, func(e string) bool { return strings.HasPrefix(e, "PROVOST_CHILD=") }) || !got.Inside {
			t.Errorf("InChild = %v, environment %q", got.Inside, got.Env)
		}
		if !slices.Equal(got.Args, os.Args) {
			t.Errorf("arguments %q, want those of the runner, %q", got.Args, os.Args)
		}
		return got
	}
	here, _ := os.Getwd()
	before, moved, after := place("self/d"), place("self/moved"), place("self/d")
	if before.PID != moved.PID || moved.PID != after.PID {
		t.Errorf("runs in processes %d, %d and %d, want one process", before.PID, moved.PID, after.PID)
	}
	if before.Dir != here || after.Dir != here {
		t.Errorf("without Path the flow runs in %s and then in %s, want %s", before.Dir, after.Dir, here)
	}
	temp, _ := filepath.EvalSymlinks(os.TempDir())
	if got, _ := filepath.EvalSymlinks(moved.Dir); got != temp {
		t.Errorf("with Path %s the flow runs in %s", temp, got)
	}
	if !slices.Contains(moved.Env, "PROVOST_TEST_PLACE=elsewhere") || !slices.Contains(moved.Env, "PROVOST_TEST_EMPTY=") {
		t.Errorf("the environment %q does not contain Env", moved.Env)
	}
	if slices.Sort(before.Env); !slices.Equal(before.Env, sorted(after.Env)) {
		t.Errorf("the environment changed from %q to %q", before.Env, after.Env)
	}
	wantState(t, runNow(t, c, "self/nowhere", nil), provost.StateFailed, "Path", "/no/such/directory")
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}

func TestSubprocessLeavesNoProcessBehind(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there is no sleep command")
	}
	c, _ := serveIsolated(t, &provost.Runner{})
	run := runNow(t, c, "orphan/d", nil)
	wantState(t, run, provost.StateCompleted)
	wantDead(t, awaitLog(t, c, run.ID, "left behind pid="))
}

// TestSubprocessReuse executes many runs in few processes. The output of each is in its own log.
func TestSubprocessReuse(t *testing.T) {
	c, _ := serveIsolated(t, &provost.Runner{RunsPerChild: 5, Limit: 1})
	var counts []int
	for i := range 11 {
		run := runNow(t, c, "counter/d", provost.Params{"text": strconv.Itoa(i)})
		wantState(t, run, provost.StateCompleted)
		n, err := isolatedCounter.Result(run)
		if err != nil {
			t.Fatal(err)
		}
		counts = append(counts, n)
		if lines := logOf(t, c, run.ID); !slices.Equal(lines, []string{fmt.Sprintf("run %d", i)}) {
			t.Errorf("run %d: got log %q", i, lines)
		}
	}
	if want := []int{1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1}; !slices.Equal(counts, want) {
		t.Errorf("got run counts %v, want %v", counts, want)
	}
	// A process whose run crashed is not used again.
	wantState(t, runNow(t, c, "exit/d", nil), provost.StateCrashed)
	if n, _ := isolatedCounter.Result(runNow(t, c, "counter/d", nil)); n != 1 {
		t.Errorf("got run %d of its process, want 1", n)
	}
}

// TestSubprocessWarm checks that spare processes are ready before they are needed, and are
// replaced.
func TestSubprocessWarm(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux lists processes in files")
	}
	before := subprocesses()
	c, stop := serveIsolated(t, &provost.Runner{WarmChildren: 2})
	for range 6 {
		eventually(t, "two spares", func() bool { return subprocesses() == before+2 })
		wantState(t, runNow(t, c, "echo/d", nil), provost.StateCompleted)
	}
	clean(t, stop)
	if n := subprocesses(); n != before {
		t.Errorf("%d processes are left, want none", n-before)
	}
}

// TestSubprocessLeak checks that no process, goroutine or open file is left after 50 runs.
func TestSubprocessLeak(t *testing.T) {
	runs := 50
	if testenv.Race {
		runs = 15
	}
	serve := func(n int) {
		store := provost.NewMemoryStore()
		stop := start(t, &provost.Runner{Store: store, WarmChildren: 1, Limit: 4}, subprocessDeployments()...)
		c := provost.NewClient(store)
		var ids []uuid.UUID
		for i := range n {
			ids = append(ids, request(t, c, []string{"echo/d", "panic/d", "parent/d", "print/d", "exit/d"}[i%5], nil).ID)
		}
		for _, id := range ids {
			wait(t, c, id)
		}
		clean(t, stop)
	}
	serve(1) // opens what is opened only once
	goroutines, files, processes := runtime.NumGoroutine(), openFiles(), subprocesses()
	serve(runs)
	eventually(t, "the end of all goroutines", func() bool { return runtime.NumGoroutine() <= goroutines })
	if n := openFiles(); n > files {
		t.Errorf("%d open files, want at most the %d before", n, files)
	}
	if n := subprocesses(); n > processes {
		t.Errorf("%d subprocesses, want at most the %d before", n, processes)
	}
}

func openFiles() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}

// subprocesses counts the processes whose parent is this one.
func subprocesses() (n int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(os.Getpid()) {
			n++
		}
	}
	return n
}

// TestSubprocessStartsEarly executes a run that is claimed ahead of its instant, so that its
// process is started by then.
func TestSubprocessStartsEarly(t *testing.T) {
	logs := &logBuffer{}
	c, _ := serveIsolated(t, &provost.Runner{Logger: logs.logger()})
	due := time.Now().Add(600 * time.Millisecond)
	run := request(t, c, "echo/d", &provost.RunOptions{ScheduledTime: due})
	run = wait(t, c, run.ID)
	wantState(t, run, provost.StateCompleted)
	if run.StartTime.Before(run.DueTime) {
		t.Errorf("the run began %v early", run.DueTime.Sub(run.StartTime))
	}
	t.Logf("the run began %v late", run.StartTime.Sub(run.DueTime))
}

func TestServeRefusesPathAndEnvInProcess(t *testing.T) {
	d := job("f", nothing)
	d.Path, d.Env, d.Isolation = "/tmp", map[string]string{"A": "b"}, provost.IsolationDefault
	err := (&provost.Runner{Isolation: provost.InProcess}).Serve(t.Context(), d)
	wantError(t, err, "Path", "Env", "set Isolation to Subprocess")
	ctx, cancel := context.WithCancel(t.Context())
	r := &provost.Runner{Isolation: provost.Subprocess, Logger: slog.New(slog.DiscardHandler)}
	go func() { <-r.Ready(); cancel() }()
	if err := r.Serve(ctx, d); err != nil {
		t.Errorf("Serve with Subprocess: %v", err)
	}
}
