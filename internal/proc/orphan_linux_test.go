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
	roles["child"] = roleChild
}

// families are what a runner starts; each says "ready" once its processes are there.
var families = map[string]struct {
	script  string // of /bin/sh; "" is the role child
	members int    // that live on when the runner has died, unless something ends them
}{
	"watching":   {"", 5},
	"deaf":       {stubborn, 4},
	"leaderless": {`trap "" TERM HUP; sleep 1000 & env -i /bin/sleep 1000 & echo ready; exit`, 2},
}

// roleRunner starts families, in the registry of a directory, and waits for its death.
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
			c.Env = append(os.Environ(), fmt.Sprintf("%s=child %d", roleKey, c.Numbers()[0]))
		}
		p, err := proc.Start(c)
		check(err)
		check(p.Unrecorded())
		write.Close()
		if text, err := bufio.NewReader(read).ReadString('\n'); text != "ready\n" {
			check(fmt.Errorf("a child said %q: %w", text, err))
		}
		line += " " + strconv.Itoa(p.Pid())
	}
	say(line)
	block()
}

// roleChild watches its parent, with a stubborn family of its own.
func roleChild(args []string) {
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

// deadRunner is a runner to kill, and the groups that it has started.
type deadRunner struct {
	*exec.Cmd
	groups []int
}

// startRunner starts one with families of a kind, whose processes end with the test.
func startRunner(t testing.TB, dir, kind string, count int) deadRunner {
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
	d := deadRunner{Cmd: runner}
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

// die is kill -9.
func (d deadRunner) die() {
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

// TestRunnerKilled kills runners whose children have grandchildren that ignore TERM. PROVOST_KILLS is how many (12).
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
	t.Logf("%d runners killed; the last of their processes was gone after %v at most", kills, slowest)
	expectFiles(t, dir, kills)
	if killed := sweep(t, dir); killed != 0 {
		t.Errorf("Sweep killed %d where nothing was left", killed)
	}
	expectFiles(t, dir, 0)
}

// TestParentDeadBefore is about a child that begins to watch a parent that is gone.
func TestParentDeadBefore(t *testing.T) {
	read, write := pipe(t)
	write.Close()
	c := roleCommand(t, "child", "3")
	c.Files = []*os.File{read}
	p := start(t, c)
	if exit := p.Wait(); exit.Signal != "killed" {
		t.Errorf("ended with %v", exit)
	}
	awaitMembers(t, p.Pid(), 0)
}

// TestWatchOutsideOfGroup lets a watching process that is not the head of its group spare the others.
func TestWatchOutsideOfGroup(t *testing.T) {
	read, write := pipe(t)
	c := roleCommand(t, "child", "3")
	head := startForeign(t, "/bin/sleep", "1000")
	child := exec.Command(c.Path)
	child.Env, child.Stderr, child.ExtraFiles = c.Env, os.Stderr, []*os.File{read}
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: head.Process.Pid}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	if err := child.Wait(); err == nil || child.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("ended with %v", err)
	}
	head.expectAlive(t)
}

// adopt makes this process the parent of what loses its own, as the init process of a container is: whoever is stopped then stays so,
// where the system would wake the group if its new parent were of another session. It gives the way to reap some of them.
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
			if _, err := syscall.Wait4(pid, nil, 0, nil); err != nil && err != syscall.ECHILD { // its parent did so before it died
				t.Errorf("reap %d: %v", pid, err)
			}
		}
	}
}

// TestSweepStopped is about children that cannot notice the death of their runner: they are stopped.
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
		t.Errorf("%d stopped processes survive their runner, want 10 (or there is nothing to test)", len(left))
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

// TestSweepStoppedRunner leaves a runner alone that is only stopped.
func TestSweepStoppedRunner(t *testing.T) {
	dir := private(t, t.TempDir())
	runner := startRunner(t, dir, "deaf", 1)
	if err := runner.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	await(t, goneWithin, func() bool { state, _, _, _, _ := procStat(runner.Process.Pid); return state == 'T' }, "the runner stopped")
	if killed := sweep(t, dir); killed != 0 || members(t, runner.groups[0]) != 4 {
		t.Errorf("Sweep killed %d processes of a stopped runner", killed)
	}
	expectFiles(t, dir, 1)
}

// TestSweepDeaf is about children that do not listen, and TestSweepLeaderless about those whose leader has died: one has lost the
// runner's mark, and is known by its group.
func TestSweepDeaf(t *testing.T)       { testSweep(t, "deaf") }
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

// TestSweepersAtOnce lets several runners begin at once, after several have died.
func TestSweepersAtOnce(t *testing.T) {
	dir := private(t, t.TempDir())
	var groups []int
	for range 3 {
		runner := startRunner(t, dir, "deaf", 2)
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
		t.Errorf("the sweepers killed %d processes together, want %d", total, want)
	}
	for _, group := range groups {
		awaitMembers(t, group, 0)
	}
	expectFiles(t, dir, 0)
}
