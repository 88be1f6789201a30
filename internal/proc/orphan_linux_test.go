package proc_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/provost-go/provost/internal/proc"
)

func init() {
	roles["runner"] = roleRunner
	roles["subprocess"] = roleSubprocess
}

// families are the groups that a runner starts. Each writes "ready" once its processes exist.
var families = map[string]struct {
	script  string // of /bin/sh; "" means the role subprocess
	members int    // how many survive the runner unless something kills them
}{
	"watching":     {"", 5},
	"unresponsive": {stubborn, 4},
	"leaderless":   {`trap "" TERM HUP; sleep 1000 & env -i /bin/sleep 1000 & echo ready; exit`, 2},
}

// roleRunner starts families, with a registry in a directory, and blocks.
func roleRunner(args []string) {
	dir, kind := args[0], args[1]
	count, _ := strconv.Atoi(args[2])
	r, err := proc.OpenRegistry(dir)
	check(err)
	death, err := proc.ParentDeath()
	check(err)
	line := "ready"
	for range count {
		read, write, err := os.Pipe()
		check(err)
		c := proc.Command{
			Path: "/bin/sh", Args: []string{"sh", "-c", families[kind].script},
			Stdout: write, Files: []*os.File{death}, Registry: r,
		}
		if families[kind].script == "" {
			self, err := os.Executable()
			check(err)
			c.Path, c.Args = self, nil
			c.Env = append(os.Environ(), fmt.Sprintf("%s=subprocess %d", roleKey, c.Numbers()[0]))
		}
		p, err := proc.Start(c)
		check(err)
		check(p.Unrecorded())
		write.Close()
		if text, err := bufio.NewReader(read).ReadString('\n'); text != "ready\n" {
			check(fmt.Errorf("a subprocess wrote %q: %w", text, err))
		}
		line += " " + strconv.Itoa(p.Pid())
	}
	say(line)
	block()
}

// roleSubprocess watches its parent, and has a stubborn family of its own.
func roleSubprocess(args []string) {
	go proc.WatchParent(number(args[0]))
	c := exec.Command("/bin/sh", "-c", stubborn)
	out, err := c.StdoutPipe()
	check(err)
	check(c.Start())
	_, err = bufio.NewReader(out).ReadString('\n')
	check(err)
	say("ready")
	block()
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(98)
	}
}

// doomedRunner is a runner to kill, and the groups that it has started.
type doomedRunner struct {
	*exec.Cmd
	groups []int
}

// startRunner starts a runner with families of a kind. All of them are killed at the end of the
// test.
func startRunner(t testing.TB, dir, kind string, count int) doomedRunner {
	t.Helper()
	c := roleCommand(t, "runner", dir, kind, strconv.Itoa(count))
	runner := exec.Command(c.Path)
	runner.Env, runner.Stderr = c.Env, os.Stderr
	out, err := runner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := runner.Start(); err != nil {
		t.Fatal(err)
	}
	d := doomedRunner{Cmd: runner}
	t.Cleanup(func() {
		d.die()
		for _, group := range d.groups {
			for _, pid := range memberList(t, group) {
				syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	})
	d.groups = readPids(t, bufio.NewReader(out))
	for _, group := range d.groups {
		awaitMembers(t, group, families[kind].members)
	}
	return d
}

// die kills the runner with SIGKILL.
func (d doomedRunner) die() {
	d.Process.Kill()
	d.Wait()
}

func sweep(t testing.TB, dir string) int {
	t.Helper()
	killed, err := proc.Sweep(context.Background(), dir)
	if err != nil {
		t.Error(err)
	}
	return killed
}

func expectFiles(t testing.TB, dir string, want int) {
	t.Helper()
	if list, err := os.ReadDir(dir); err != nil || len(list) != want {
		t.Errorf("%d registries are left (%v), want %d", len(list), err, want)
	}
}

// TestRunnerKilled checks that nothing survives a killed runner whose subprocesses have started
// processes that ignore SIGTERM. PROVOST_KILLS is how many runners it kills (12).
func TestRunnerKilled(t *testing.T) {
	kills := 12 / slowdown
	if text := os.Getenv("PROVOST_KILLS"); text != "" {
		kills = int(number(text))
	}
	dir := private(t, t.TempDir())
	slowest := time.Duration(0)
	for range kills {
		runner := startRunner(t, dir, "watching", 2)
		began := time.Now()
		runner.die()
		for _, group := range runner.groups {
			awaitMembers(t, group, 0)
		}
		slowest = max(slowest, time.Since(began))
	}
	t.Logf("%d runners killed; all processes of each were gone within %v", kills, slowest)
	expectFiles(t, dir, kills)
	if killed := sweep(t, dir); killed != 0 {
		t.Errorf("Sweep killed %d, but nothing was left", killed)
	}
	expectFiles(t, dir, 0)
}

// TestParentDeadBefore checks a subprocess that begins to watch its parent after the parent has
// died.
func TestParentDeadBefore(t *testing.T) {
	read, write := pipe(t)
	write.Close()
	c := roleCommand(t, "subprocess", "3")
	c.Files = []*os.File{read}
	p := start(t, c)
	if exit := p.Wait(); exit.Signal != "killed" {
		t.Errorf("ended with %v", exit)
	}
	awaitMembers(t, p.Pid(), 0)
}

// TestWatchOutsideOfGroup checks that a watching process that does not lead its group kills only
// itself.
func TestWatchOutsideOfGroup(t *testing.T) {
	read, write := pipe(t)
	c := roleCommand(t, "subprocess", "3")
	leader := startForeign(t, "/bin/sleep", "1000")
	watcher := exec.Command(c.Path)
	watcher.Env, watcher.Stderr, watcher.ExtraFiles = c.Env, os.Stderr, []*os.File{read}
	watcher.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: leader.Process.Pid}
	if err := watcher.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	if err := watcher.Wait(); err == nil || watcher.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("ended with %v", err)
	}
	leader.expectAlive(t)
}

// adopt makes this process the parent of orphans, as the init process of a container is. A stopped
// orphan then stays stopped; the system would wake its group if its new parent were in another
// session. It returns a function that reaps orphans.
func adopt(t testing.TB) (reap func(pids []int)) {
	t.Helper()
	const childSubreaper = 36 // PR_SET_CHILD_SUBREAPER
	set := func(on uintptr) {
		if _, _, err := syscall.RawSyscall(syscall.SYS_PRCTL, childSubreaper, on, 0); err != 0 {
			t.Fatal(err)
		}
	}
	set(1)
	t.Cleanup(func() { set(0) })
	return func(pids []int) {
		for _, pid := range pids {
			if _, err := syscall.Wait4(pid, nil, 0, nil); err != nil && err != syscall.ECHILD { // its parent reaped it before it died
				t.Errorf("reap %d: %v", pid, err)
			}
		}
	}
}

// TestSweepStopped checks that Sweep kills subprocesses that are stopped, so that they cannot
// notice the death of their runner.
func TestSweepStopped(t *testing.T) {
	reap := adopt(t)
	dir := private(t, t.TempDir())
	runner := startRunner(t, dir, "watching", 2)
	for _, group := range runner.groups {
		stop(t, group)
	}
	if killed := sweep(t, dir); killed != 0 {
		t.Errorf("Sweep killed %d processes of a living runner", killed)
	}
	expectFiles(t, dir, 1)
	runner.die()
	var left []int
	for _, group := range runner.groups {
		left = append(left, memberList(t, group)...)
	}
	if len(left) != 10 {
		t.Errorf("%d stopped processes survive their runner, want 10 (or the test shows nothing)", len(left))
	}
	if killed := sweep(t, dir); killed != len(left) {
		t.Errorf("Sweep killed %d, want %d", killed, len(left))
	}
	reap(left)
	for _, group := range runner.groups {
		awaitMembers(t, group, 0)
	}
	expectFiles(t, dir, 0)
}

// TestSweepStoppedRunner checks that Sweep spares the processes of a runner that is only stopped.
func TestSweepStoppedRunner(t *testing.T) {
	dir := private(t, t.TempDir())
	runner := startRunner(t, dir, "unresponsive", 1)
	if err := runner.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	await(t, goneWithin, func() bool { state, _, _, _, _ := procStat(runner.Process.Pid); return state == 'T' }, "the runner stopped")
	if killed := sweep(t, dir); killed != 0 || members(t, runner.groups[0]) != 4 {
		t.Errorf("Sweep killed %d processes of a stopped runner", killed)
	}
	expectFiles(t, dir, 1)
}

// TestSweepDeaf checks that Sweep kills subprocesses that ignore SIGTERM.
func TestSweepDeaf(t *testing.T) { testSweep(t, "unresponsive") }

// TestSweepLeaderless checks that Sweep kills groups whose leader has ended. One member has lost
// the runner's mark, and only its group shows that it belongs to the runner.
func TestSweepLeaderless(t *testing.T) { testSweep(t, "leaderless") }

func testSweep(t *testing.T, kind string) {
	reap := adopt(t)
	dir := private(t, t.TempDir())
	runner := startRunner(t, dir, kind, 3)
	runner.die()
	var left []int
	for _, group := range runner.groups {
		left = append(left, memberList(t, group)...)
	}
	if kind == "leaderless" {
		reap(runner.groups)
	}
	want := 3 * families[kind].members
	if killed := sweep(t, dir); killed != want {
		t.Errorf("Sweep killed %d, want %d", killed, want)
	}
	reap(left)
	for _, group := range runner.groups {
		awaitMembers(t, group, 0)
	}
	expectFiles(t, dir, 0)
}

// TestSweepersAtOnce checks several sweepers at the same time, after several runners have died.
func TestSweepersAtOnce(t *testing.T) {
	dir := private(t, t.TempDir())
	var groups []int
	for range 3 {
		runner := startRunner(t, dir, "unresponsive", 2)
		runner.die()
		groups = append(groups, runner.groups...)
	}
	const sweepers = 4
	counts := make(chan int, sweepers)
	for range sweepers {
		go func() { counts <- sweep(t, dir) }()
	}
	total := 0
	for range sweepers {
		total += <-counts
	}
	if want := 4 * len(groups); total != want {
		t.Errorf("the sweepers killed %d processes in total, want %d", total, want)
	}
	for _, group := range groups {
		awaitMembers(t, group, 0)
	}
	expectFiles(t, dir, 0)
}
