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

	"github.com/provost-go/provost/internal/race"

	"github.com/google/uuid"
	"github.com/provost-go/provost"
	"github.com/provost-go/provost/store"
)

// serveIsolated serves what runs in processes of its own, for as long as the test.
func serveIsolated(t *testing.T, r *provost.Runner) (c *provost.Client, stop func() error) {
	t.Helper()
	if r.Store == nil {
		r.Store = provost.NewMemoryStore()
	}
	stop = start(t, r, childDeployments()...)
	t.Cleanup(func() { clean(t, stop) })
	return provost.NewClient(r.Store), stop
}

// eventually waits for something that another process does.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not happen", what)
		}
		time.Sleep(2 * time.Millisecond) // there is nothing to wait on in another process
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

// awaitLog waits for a line that begins with text and gives the number at its end.
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

func TestChildRuns(t *testing.T) {
	c, _ := serveIsolated(t, &provost.Runner{})
	at := time.Date(2026, 3, 4, 5, 6, 7, 891234567, time.FixedZone("", 3600))
	run := runNow(t, c, "echo/d", isolatedEcho.Params(isolatedParams{Text: "hällo", Count: 1<<62 + 1, At: at, Token: provost.NewSecret("hush")}))
	wantState(t, run, provost.StateCompleted)
	got, err := isolatedEcho.Result(run)
	if err != nil {
		t.Fatal(err)
	}
	if got.PID == os.Getpid() || got.Text != "hällo" || got.Count != 1<<62+1 || !got.At.Equal(at) {
		t.Errorf("the child returned %+v", got)
	}
	i := got.Info
	if i.ID != run.ID || i.Name != run.Name || i.Flow != "echo" || i.Deployment != "d" || i.Version != run.Version || i.Attempt != 1 ||
		!i.ScheduledTime.Equal(run.ScheduledTime) || i.Parameters["token"] != "***" {
		t.Errorf("the child saw run %+v, which is %+v", i, run)
	}
	if run.Attempt != 1 || run.StartTime.Before(run.DueTime) || run.EndTime.Before(run.StartTime) || run.Crashes != 0 {
		t.Errorf("run is %+v", run)
	}
}

func TestChildVerdicts(t *testing.T) {
	c, _ := serveIsolated(t, &provost.Runner{})
	cases := []struct {
		flow    string
		state   provost.StateType
		message []string
	}{
		{"error", provost.StateFailed, []string{"no luck"}},
		{"panic", provost.StateFailed, []string{"panic: at the disco", "child_flows_test.go"}},
		{"goexit", provost.StateFailed, []string{"runtime.Goexit was called", "child_flows_test.go"}},
		{"timeout", provost.StateFailed, []string{"ran longer than 50ms"}},
		{"exit", provost.StateCrashed, []string{"crash 3: the child process exited with code 0"}},
		{"overflow", provost.StateCrashed, []string{"crash 3: the child process exited with code 2"}},
		{"big", provost.StateCompleted, []string{"result of 10485762 bytes not stored"}},
		{"retry", provost.StateCompleted, nil},
		{"once", provost.StateCrashed, []string{"crash 1: the child process exited with code 9"}},
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
				t.Errorf("exit: %d crashes, %d attempts", run.Crashes, run.Attempt)
			}
			if lines := logOf(t, c, run.ID); len(lines) != 2*store.MaxCrashes || !slices.Contains(lines, "leaving") || !slices.Contains(lines, "good bye") {
				t.Errorf("exit: log is %q", lines)
			}
		case "timeout":
			if run.State.Name != store.NameTimedOut {
				t.Errorf("timeout: state is %s", run.State.Name)
			}
		case "overflow":
			if lines := logOf(t, c, run.ID); !slices.Contains(lines, "fatal error: stack overflow") {
				t.Errorf("overflow: log does not say so: %.300q", lines)
			}
		case "retry":
			if got, _ := isolatedRetry.Result(run); got != 3 || run.Crashes != 0 {
				t.Errorf("retry: result %d, %d crashes", got, run.Crashes)
			}
		case "once":
			if run.Attempt != 1 || run.Crashes != 1 {
				t.Errorf("once: %d attempts, %d crashes", run.Attempt, run.Crashes)
			}
		}
	}
}

// TestChildAtMostOnceIsStoredBefore lets the flow itself read what is stored when it begins.
func TestChildAtMostOnceIsStoredBefore(t *testing.T) {
	c, _ := serveIsolated(t, &provost.Runner{})
	run := runNow(t, c, "once/d", provost.Params{"text": "look"})
	wantState(t, run, provost.StateFailed, "stored as RUNNING")
}

func TestChildOutput(t *testing.T) {
	book := &logBook{}
	c, _ := serveIsolated(t, &provost.Runner{Logger: book.logger()})
	run := runNow(t, c, "print/d", provost.Params{"token": "hush-hush"})
	wantState(t, run, provost.StateCompleted)
	lines := logOf(t, c, run.ID)
	for _, want := range []string{"to stdout ***", "to stderr", "to the logger n=7", strings.Repeat("x", 32<<10), "no newline"} {
		if n := len(slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return line != want })); n != 1 {
			t.Errorf("%d lines %.40q in %.60q", n, want, lines)
		}
	}
	if len(lines) != 5 {
		t.Errorf("%d lines", len(lines))
	}
	for _, want := range []string{"to stdout ***", "to stderr", `msg="to the logger"`} {
		if found := book.lines(want); len(found) != 1 || !strings.Contains(found[0], "id="+run.ID.String()) {
			t.Errorf("the runner's logger got %q for %q", found, want)
		}
	}
	if found := book.lines("hush-hush"); len(found) > 0 {
		t.Errorf("a secret is logged: %q", found)
	}
}

func TestChildLogsValuesOfEveryKind(t *testing.T) {
	book := &logBook{}
	c, _ := serveIsolated(t, &provost.Runner{Logger: book.logger()})
	run := runNow(t, c, "log/d", nil)
	wantState(t, run, provost.StateCompleted)
	const want = `fixed=1 group.int=-5 group.float=1.5 group.bool=true group.took=3s group.error="oh no" group.at=2026-01-02T03:04:05.000Z group.uint=9223372036854775808`
	if lines := logOf(t, c, run.ID); len(lines) != 1 || lines[0] != "every kind "+want {
		t.Errorf("the run's log is %q", lines)
	}
	if lines := book.lines("every kind"); len(lines) != 1 || !strings.Contains(lines[0], want) || !strings.Contains(lines[0], "level=WARN") {
		t.Errorf("the runner's logger got %q, want %s", lines, want)
	}
}

// TestChildFlood: a flow that prints without end costs lines of its log, not memory of the runner.
func TestChildFlood(t *testing.T) {
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
		t.Errorf("printed %d lines (%v); that is no flood", printed, err)
	}
	if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > 32<<20 {
		t.Errorf("the runner's heap grew by %d MiB", grown>>20)
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
		t.Errorf("%d lines kept and %d counted of %d", lines, dropped, printed+1)
	}
	t.Logf("%d lines printed in a second", printed)
}

func TestChildCancel(t *testing.T) {
	c, _ := serveIsolated(t, &provost.Runner{})
	run := request(t, c, "wait/d", nil)
	awaitLog(t, c, run.ID, "waiting pid=")
	if _, err := c.CancelRun(t.Context(), run.ID, nil); err != nil {
		t.Fatal(err)
	}
	wantState(t, wait(t, c, run.ID), provost.StateCancelled, "the run was cancelled")
}

// TestChildHearsNoSignals: terminals and service managers signal all processes; the runner decides.
func TestChildHearsNoSignals(t *testing.T) {
	c, _ := serveIsolated(t, &provost.Runner{})
	run := request(t, c, "wait/d", nil)
	pid := awaitLog(t, c, run.ID, "waiting pid=")
	interrupt(t, pid)
	wantState(t, runNow(t, c, "echo/d", nil), provost.StateCompleted) // some time for it to die
	if _, err := c.CancelRun(t.Context(), run.ID, nil); err != nil {
		t.Fatal(err)
	}
	wantState(t, wait(t, c, run.ID), provost.StateCancelled, "the run was cancelled")
}

// TestChildDeaf: who does not hear that it is cancelled is asked, and then made, to end.
func TestChildDeaf(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 7 seconds")
	}
	t.Parallel()
	c, _ := serveIsolated(t, &provost.Runner{})
	run := request(t, c, "deaf/d", nil)
	pid := awaitLog(t, c, run.ID, "waiting pid=")
	if _, err := c.CancelRun(t.Context(), run.ID, nil); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	run = wait(t, c, run.ID)
	wantState(t, run, provost.StateCancelled, "did not return", "killed")
	if took := time.Since(began); took < 5*time.Second || took > 10*time.Second {
		t.Errorf("it was killed after %v", took)
	}
	if lines := logOf(t, c, run.ID); !slices.Contains(lines, "asked to end") {
		t.Errorf("it was not asked to end: %q", lines)
	}
	wantDead(t, pid)
}

// TestChildDeafToCancelIsNotTimedOut: the time that it takes to end it is not held against it.
func TestChildDeafToCancelIsNotTimedOut(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 7 seconds")
	}
	t.Parallel()
	c, _ := serveIsolated(t, &provost.Runner{})
	run := request(t, c, "deaf-timeout/d", nil)
	awaitLog(t, c, run.ID, "waiting pid=")
	if _, err := c.CancelRun(t.Context(), run.ID, nil); err != nil {
		t.Fatal(err)
	}
	wantState(t, wait(t, c, run.ID), provost.StateCancelled, "killed")
}

// TestChildDeafShutdown: Serve ends all the same, and the run is handed back.
func TestChildDeafShutdown(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 7 seconds")
	}
	t.Parallel()
	c, stop := serveIsolated(t, &provost.Runner{ShutdownTimeout: time.Millisecond})
	run := request(t, c, "deaf/d", nil)
	pid := awaitLog(t, c, run.ID, "waiting pid=")
	clean(t, stop)
	run = get(t, c, run.ID)
	wantState(t, run, provost.StateScheduled, "handed back")
	if run.Attempt != 0 || run.Crashes != 0 {
		t.Errorf("%d attempts, %d crashes", run.Attempt, run.Crashes)
	}
	wantDead(t, pid)
}

func TestChildShutdown(t *testing.T) {
	c, stop := serveIsolated(t, &provost.Runner{ShutdownTimeout: time.Millisecond})
	run := request(t, c, "wait/d", nil)
	pid := awaitLog(t, c, run.ID, "waiting pid=")
	clean(t, stop)
	wantState(t, get(t, c, run.ID), provost.StateScheduled, "handed back")
	wantDead(t, pid)
}

// TestChildLosesLease: the store fails for so long that the lease can no longer be trusted. The deaf flow is dead before another
// runner may take its run.
func TestChildLosesLease(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 4 seconds")
	}
	t.Parallel()
	store := &remote{Store: provost.NewMemoryStore()}
	c, _ := serveIsolated(t, &provost.Runner{Store: store, LeaseTTL: time.Second, PollInterval: 10 * time.Millisecond})
	run := request(t, c, "deaf/d", nil)
	pid := awaitLog(t, c, run.ID, "waiting pid=")
	store.fail(errors.New("the database is away"))
	eventually(t, "the end of the process", func() bool { return !alive(pid) })
	store.fail(nil)
	if run := get(t, c, run.ID); run.State.Terminal() {
		t.Errorf("run is %s", run.State)
	}
	if _, err := c.CancelRun(t.Context(), run.ID, nil); err != nil {
		t.Fatal(err)
	}
	wantState(t, wait(t, c, run.ID), provost.StateCancelled)
}

// TestChildKilled is a kill from outside, such as the system's when memory runs out.
func TestChildKilled(t *testing.T) {
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
	wantState(t, run, provost.StateCrashed, "crash 3: the child process was killed by a signal: killed")
	for i, n := 0, 0; i < len(run.History); i++ {
		if s := run.History[i]; s.Name == store.NameAwaitingRetry {
			if n++; !strings.HasPrefix(s.Message, fmt.Sprintf("crash %d: ", n)) {
				t.Errorf("history says %s", s)
			}
		}
	}
}

func TestChildMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux measures groups of processes")
	}
	c, _ := serveIsolated(t, &provost.Runner{ChildMemory: 150 << 20})
	run := runNow(t, c, "hog/d", nil)
	wantState(t, run, provost.StateCrashed, "crash 3", "more than the 150 MiB of ChildMemory")
}

func TestChildGarbage(t *testing.T) {
	if len(systemFlows()) == 0 {
		t.Skip("the flows are for Unix")
	}
	c, _ := serveIsolated(t, &provost.Runner{})
	garbage, silence := request(t, c, "garbage/d", nil), request(t, c, "silence/d", nil)
	wantState(t, wait(t, c, garbage.ID), provost.StateCrashed, "crash 3", "because of what came from it")
	if !testing.Short() { // 2 seconds for each crash
		wantState(t, wait(t, c, silence.ID), provost.StateCrashed, "crash 3", "closed its pipe")
	}
}

// TestChildPipeHeld: the end of the process is the end of the run, whoever holds its pipe.
func TestChildPipeHeld(t *testing.T) {
	if len(systemFlows()) == 0 {
		t.Skip("the flows are for Unix")
	}
	t.Parallel()
	c, _ := serveIsolated(t, &provost.Runner{})
	began := time.Now()
	wantState(t, runNow(t, c, "holder/d", nil), provost.StateCrashed, "crash 1: the child process exited with code 5")
	if took := time.Since(began); took > 8*time.Second { // the holder ends after 10
		t.Errorf("it took %v", took)
	}
}

func TestChildFamily(t *testing.T) {
	book := &logBook{}
	c, _ := serveIsolated(t, &provost.Runner{Logger: book.logger()})
	run := runNow(t, c, "family/d", provost.Params{"count": 21})
	wantState(t, run, provost.StateCompleted)
	if got, err := isolatedFamily.Result(run); got != 42 || err != nil {
		t.Errorf("result %d, %v", got, err)
	}
	inside := list(t, c, provost.RunFilter{ParentID: run.ID})
	if len(inside) != 1 {
		t.Fatalf("%d child runs", len(inside))
	}
	wantState(t, inside[0], provost.StateCompleted)
	if inside[0].Flow != "inner" || inside[0].Parameters["token"] != "***" {
		t.Errorf("child run is %+v", inside[0])
	}
	if lines := logOf(t, c, inside[0].ID); !slices.Equal(lines, []string{"inside token=***"}) {
		t.Errorf("the child run's log is %q", lines)
	}
	if lines := logOf(t, c, run.ID); !slices.Equal(lines, []string{"inside with ***"}) {
		t.Errorf("the run's log is %q", lines)
	}
	if lines := book.lines("msg=inside"); len(lines) != 1 || !strings.Contains(lines[0], inside[0].ID.String()) {
		t.Errorf("the runner's logger got %q", lines)
	}
	if lines := book.lines("born-in-the-child"); len(lines) > 0 {
		t.Errorf("a secret is logged: %q", lines)
	}
}

// TestChildFamilyCancel cancels the child run alone.
func TestChildFamilyCancel(t *testing.T) {
	c, _ := serveIsolated(t, &provost.Runner{})
	run := request(t, c, "family/d", &provost.RunOptions{Parameters: provost.Params{"text": "wait"}})
	awaitLog(t, c, run.ID, "inside with")
	inside := list(t, c, provost.RunFilter{ParentID: run.ID})
	if len(inside) != 1 {
		t.Fatalf("%d child runs", len(inside))
	}
	if _, err := c.CancelRun(t.Context(), inside[0].ID, nil); err != nil {
		t.Fatal(err)
	}
	wantState(t, wait(t, c, inside[0].ID), provost.StateCancelled)
	wantState(t, wait(t, c, run.ID), provost.StateFailed, "the run was cancelled")
}

func TestChildClient(t *testing.T) {
	c, _ := serveIsolated(t, &provost.Runner{Limit: 2})
	run := runNow(t, c, "client/d", provost.Params{"text": "over the pipe"})
	wantState(t, run, provost.StateCompleted)
	if got, err := isolatedClient.Result(run); got.Text != "over the pipe" || err != nil {
		t.Errorf("result %+v, %v", got, err)
	}
}

// TestChildPlace looks at a child from inside: its directory, its environment, and that no secret is in it.
func TestChildPlace(t *testing.T) {
	const canary = "canary-9f8e7d"
	c, _ := serveIsolated(t, &provost.Runner{RunsPerChild: 3})
	place := func(handle string) isolatedPlace {
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
			t.Errorf("InChild is %v, environment %q", got.Inside, got.Env)
		}
		if !slices.Equal(got.Args, os.Args) {
			t.Errorf("arguments %q, the runner's are %q", got.Args, os.Args)
		}
		return got
	}
	here, _ := os.Getwd()
	before, moved, after := place("self/d"), place("self/moved"), place("self/d")
	if before.PID != moved.PID || moved.PID != after.PID {
		t.Errorf("three processes, %d %d %d, where one was to do", before.PID, moved.PID, after.PID)
	}
	if before.Dir != here || after.Dir != here {
		t.Errorf("without Path it runs in %s, then %s, not in %s", before.Dir, after.Dir, here)
	}
	temp, _ := filepath.EvalSymlinks(os.TempDir())
	if got, _ := filepath.EvalSymlinks(moved.Dir); got != temp {
		t.Errorf("with Path %s it runs in %s", temp, got)
	}
	if !slices.Contains(moved.Env, "PROVOST_TEST_PLACE=elsewhere") || !slices.Contains(moved.Env, "PROVOST_TEST_EMPTY=") {
		t.Errorf("Env is not in the environment %q", moved.Env)
	}
	if slices.Sort(before.Env); !slices.Equal(before.Env, sorted(after.Env)) {
		t.Errorf("environment before %q, after %q", before.Env, after.Env)
	}
	wantState(t, runNow(t, c, "self/nowhere", nil), provost.StateFailed, "Path", "/no/such/directory")
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}

func TestChildLeavesNobodyBehind(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there is no sleep")
	}
	c, _ := serveIsolated(t, &provost.Runner{})
	run := runNow(t, c, "orphan/d", nil)
	wantState(t, run, provost.StateCompleted)
	wantDead(t, awaitLog(t, c, run.ID, "left behind pid="))
}

// TestChildReuse gives many runs to few processes; what each prints is in its own log.
func TestChildReuse(t *testing.T) {
	c, _ := serveIsolated(t, &provost.Runner{RunsPerChild: 5, Limit: 1})
	var counts []int
	for i := range 11 {
		run := runNow(t, c, "veteran/d", provost.Params{"text": strconv.Itoa(i)})
		wantState(t, run, provost.StateCompleted)
		n, err := isolatedVeteran.Result(run)
		if err != nil {
			t.Fatal(err)
		}
		counts = append(counts, n)
		if lines := logOf(t, c, run.ID); !slices.Equal(lines, []string{fmt.Sprintf("run %d", i)}) {
			t.Errorf("run %d: log is %q", i, lines)
		}
	}
	if want := []int{1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1}; !slices.Equal(counts, want) {
		t.Errorf("processes have executed %v", counts)
	}
	// One that crashed is not used again.
	wantState(t, runNow(t, c, "exit/d", nil), provost.StateCrashed)
	if n, _ := isolatedVeteran.Result(runNow(t, c, "veteran/d", nil)); n != 1 {
		t.Errorf("run %d of its process", n)
	}
}

// TestChildWarm: spares are ready before they are wanted, and replaced.
func TestChildWarm(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux lists processes in files")
	}
	before := children()
	c, stop := serveIsolated(t, &provost.Runner{WarmChildren: 2})
	for range 6 {
		eventually(t, "two spares", func() bool { return children() == before+2 })
		wantState(t, runNow(t, c, "echo/d", nil), provost.StateCompleted)
	}
	clean(t, stop)
	if n := children(); n != before {
		t.Errorf("%d processes are left", n-before)
	}
}

// TestChildLeak holds the runner to what it had before: no process, goroutine or open file is left after 50 runs.
func TestChildLeak(t *testing.T) {
	runs := 50
	if race.Enabled {
		runs = 15
	}
	serve := func(n int) {
		store := provost.NewMemoryStore()
		stop := start(t, &provost.Runner{Store: store, WarmChildren: 1, Limit: 4}, childDeployments()...)
		c := provost.NewClient(store)
		var ids []uuid.UUID
		for i := range n {
			ids = append(ids, request(t, c, []string{"echo/d", "panic/d", "family/d", "print/d", "exit/d"}[i%5], nil).ID)
		}
		for _, id := range ids {
			wait(t, c, id)
		}
		clean(t, stop)
	}
	serve(1) // what is opened once
	goroutines, files, processes := runtime.NumGoroutine(), openFiles(), children()
	serve(runs)
	eventually(t, "the end of all goroutines", func() bool { return runtime.NumGoroutine() <= goroutines })
	if n := openFiles(); n > files {
		t.Errorf("%d open files, %d before", n, files)
	}
	if n := children(); n > processes {
		t.Errorf("%d child processes, %d before", n, processes)
	}
}

func openFiles() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}

// children counts the processes of which this one is the parent.
func children() (n int) {
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

// TestChildEarly: a run that is claimed ahead of its instant finds its process started.
func TestChildEarly(t *testing.T) {
	book := &logBook{}
	c, _ := serveIsolated(t, &provost.Runner{Logger: book.logger()})
	due := time.Now().Add(600 * time.Millisecond)
	run := request(t, c, "echo/d", &provost.RunOptions{ScheduledTime: due})
	run = wait(t, c, run.ID)
	wantState(t, run, provost.StateCompleted)
	if run.StartTime.Before(run.DueTime) {
		t.Errorf("begun %v early", run.DueTime.Sub(run.StartTime))
	}
	t.Logf("begun %v late", run.StartTime.Sub(run.DueTime))
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
		t.Errorf("with Subprocess: %v", err)
	}
}
