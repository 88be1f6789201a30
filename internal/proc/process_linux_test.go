package proc_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/provost-go/provost/internal/proc"
)

// TestSignalledExit checks the Exit of a process that a signal ended.
func TestSignalledExit(t *testing.T) {
	for signal, want := range map[syscall.Signal]string{syscall.SIGKILL: "killed", syscall.SIGTERM: "terminated", syscall.SIGSEGV: "segmentation fault"} {
		p := start(t, proc.Command{Path: "/bin/sh", Args: []string{"sh", "-c", fmt.Sprintf("kill -%d $$", int(signal))}})
		exit := p.Wait()
		if exit.Code != -1 || exit.Signal != want || !strings.HasPrefix(exit.String(), "signal: "+want) {
			t.Errorf("%v: %+v", signal, exit)
		}
	}
}

// TestTerminate checks that SIGTERM reaches a process, even a stopped one.
func TestTerminate(t *testing.T) {
	for _, stopped := range []bool{false, true} {
		p, out := startTalking(t, roleCommand(t, "polite"))
		expectLine(t, out, "ready")
		if stopped {
			stop(t, p.Pid())
		}
		if err := p.Terminate(); err != nil {
			t.Fatal(err)
		}
		if exit := p.Wait(); exit.Code != 7 {
			t.Errorf("stopped %v: ended with %v, want code 7", stopped, exit)
		}
	}
}

// stubborn is a script that starts processes that ignore SIGTERM, as the shell itself does.
const stubborn = `trap "" TERM; sleep 1000 & sleep 1000 & echo ready; sleep 1000`

// TestKillReachesGrandchildren checks that Kill kills a whole group, even if it is stopped.
func TestKillReachesGrandchildren(t *testing.T) {
	for _, stopped := range []bool{false, true} {
		p, out := startTalking(t, proc.Command{Path: "/bin/sh", Args: []string{"sh", "-c", stubborn}})
		expectLine(t, out, "ready")
		awaitMembers(t, p.Pid(), 4)
		if stopped {
			stop(t, p.Pid())
		}
		if err := p.Terminate(); err != nil { // they ignore it
			t.Fatal(err)
		}
		if n := members(t, p.Pid()); n != 4 {
			t.Fatalf("%d processes after TERM, want 4", n)
		}
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		if exit := p.Wait(); exit.Signal != "killed" {
			t.Errorf("ended with %v", exit)
		}
		awaitMembers(t, p.Pid(), 0)
	}
}

// TestLeftBehind checks that Wait kills what is left of a group whose leader has exited.
func TestLeftBehind(t *testing.T) {
	p, out := startTalking(t, proc.Command{Path: "/bin/sh", Args: []string{"sh", "-c", `trap "" TERM HUP; sleep 1000 & sleep 1000 & echo ready; exit 5`}})
	expectLine(t, out, "ready")
	if exit := p.Wait(); exit.Code != 5 {
		t.Errorf("ended with %v", exit)
	}
	awaitMembers(t, p.Pid(), 0)
}

// TestKillAfterReuse checks that nothing signals a foreign process that has the ID of a reaped
// leader.
func TestKillAfterReuse(t *testing.T) {
	p := start(t, proc.Command{Path: "/bin/true"})
	p.Wait()
	foreign := startAs(t, p.Pid())
	if err := p.Kill(); err != nil {
		t.Error(err)
	}
	if err := p.Terminate(); err != nil {
		t.Error(err)
	}
	if memory, err := p.Memory(); memory != 0 || err != nil {
		t.Errorf("Memory after Wait: %d, %v", memory, err)
	}
	foreign.expectAlive(t)
}

// TestStolenEnd checks a process that other code of the program has reaped.
func TestStolenEnd(t *testing.T) {
	p, err := proc.Start(proc.Command{Path: "/bin/true"})
	if err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(p.Pid(), &status, 0, nil); err != nil {
		t.Fatal(err)
	}
	foreign := startAs(t, p.Pid())
	if err := p.Kill(); err != nil {
		t.Error(err)
	}
	foreign.expectAlive(t)
	if exit := p.Wait(); exit.Err == nil || exit.Success() || !strings.HasPrefix(exit.String(), "end unknown: ") {
		t.Errorf("Exit is %+v", exit)
	}
	if err := p.Kill(); err != nil {
		t.Error(err)
	}
	foreign.expectAlive(t)
}

// TestPeakMemory checks PeakMemory against the peak of this process, which a new one inherits.
func TestPeakMemory(t *testing.T) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	own := int64(usage.Maxrss) >> 10
	large := own + 100
	in, input := pipe(t)
	c := roleCommand(t, "grow", fmt.Sprint(large), "3")
	c.Files = []*os.File{in}
	p, out := startTalking(t, c)
	expectLine(t, out, "small")
	small, err := p.Memory()
	if err != nil || small <= 0 {
		t.Fatalf("Memory is %d, %v", small, err)
	}
	fmt.Fprintln(input)
	expectLine(t, out, "large")
	grown, err := p.Memory()
	overhead := int64(slowdown) // the race detector adds memory of its own for each byte
	if err != nil || grown-small < large<<20*9/10 || grown-small > overhead*large<<20*12/10 {
		t.Errorf("Memory went from %d to %d (%v), by %d MiB", small, grown, err, large)
	}
	fmt.Fprintln(input)
	exit := p.Wait()
	if exit.PeakMemory < large<<20 || exit.PeakMemory > overhead*(large+100)<<20 {
		t.Errorf("PeakMemory is %d, want a little more than %d MiB", exit.PeakMemory, large)
	}
	if exit.User+exit.System <= 0 {
		t.Errorf("no processor time in %+v", exit)
	}
	if !strings.Contains(exit.String(), "peak memory") {
		t.Errorf("String is %q", exit)
	}
	modest := start(t, proc.Command{Path: "/bin/true"})
	if exit := modest.Wait(); exit.PeakMemory != 0 {
		t.Errorf("PeakMemory of a small process is %d, want 0: it is that of its parent", exit.PeakMemory)
	}
}

// TestMemoryOfGroup checks that Memory counts all members of a group.
func TestMemoryOfGroup(t *testing.T) {
	p, out := startTalking(t, proc.Command{Path: "/bin/sh", Args: []string{"sh", "-c", "sleep 1000 & sleep 1000 & sleep 1000 & echo ready; wait"}})
	expectLine(t, out, "ready")
	awaitMembers(t, p.Pid(), 4)
	family, err := p.Memory()
	if err != nil {
		t.Fatal(err)
	}
	leader := memoryOf(t, p.Pid())
	if family < leader+3*(100<<10) {
		t.Errorf("four processes have %d bytes, their leader alone %d", family, leader)
	}
}

// TestNothingIsKept checks that many processes, one after another, leave no goroutine and no open
// file.
func TestNothingIsKept(t *testing.T) {
	r := registry(t, t.TempDir())
	round := func() {
		c := roleCommand(t, "hello")
		c.Registry = r
		p, err := proc.Start(c)
		if err != nil {
			t.Fatal(err)
		}
		p.Wait()
	}
	round()
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	for range 200 / slowdown {
		round()
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines, %d before", n, goroutines)
	}
	if n := openFiles(t); n > files {
		t.Errorf("%d open files, %d before", n, files)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// TestManyAtOnce starts, kills and waits in many goroutines, with one registry.
func TestManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	r := registry(t, dir)
	const crowd = 16
	var work sync.WaitGroup
	for range crowd {
		work.Go(func() {
			for range 10 {
				p, err := proc.Start(proc.Command{Path: "/bin/sleep", Args: []string{"sleep", "1000"}, Registry: r})
				if err != nil {
					t.Error(err)
					return
				}
				if err := p.Unrecorded(); err != nil {
					t.Error(err)
				}
				if err := p.Kill(); err != nil {
					t.Error(err)
				}
				if exit := p.Wait(); exit.Signal != "killed" {
					t.Errorf("ended with %v", exit)
				}
			}
		})
	}
	work.Wait()
	text, err := os.ReadFile(onlyFile(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	header, lines, _ := strings.Cut(string(text), "\n")
	if strings.TrimSpace(lines) != "" {
		t.Errorf("the registry still lists\n%s", lines)
	}
	if n := strings.Count(lines, "\n"); n < 1 || n > crowd {
		t.Errorf("the registry has %d lines for %d processes at once, after %q", n, crowd, header)
	}
}

func registry(t testing.TB, dir string) *proc.Registry {
	t.Helper()
	r, err := proc.OpenRegistry(private(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// private closes a directory to other users, which a registry requires, and returns it.
func private(t testing.TB, dir string) string {
	t.Helper()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func onlyFile(t testing.TB, dir string) string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(list) != 1 {
		t.Fatalf("%s has %v, %v; want one file", dir, list, err)
	}
	return list[0]
}

// foreigner is a process that has nothing to do with provost and leads its group.
type foreigner struct{ *exec.Cmd }

func startForeign(t testing.TB, args ...string) foreigner {
	t.Helper()
	c := exec.Command(args[0], args[1:]...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Kill(-c.Process.Pid, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
			t.Error(err)
		}
		c.Wait()
	})
	return foreigner{c}
}

func (f foreigner) expectAlive(t testing.TB) {
	t.Helper()
	if !alive(f.Process.Pid) {
		t.Errorf("the foreign process %d was killed", f.Process.Pid)
	}
}

// startAs starts a foreign process with the ID of one that has been reaped. It skips the test where
// that is not possible: it needs privileges, and a machine that starts no other processes
// meanwhile.
func startAs(t testing.TB, pid int) foreigner {
	t.Helper()
	const last = "/proc/sys/kernel/ns_last_pid"
	for range 100 {
		if err := os.WriteFile(last, []byte(strconv.Itoa(pid-1)), 0); err != nil {
			t.Skipf("process IDs cannot be reused: %v", err)
		}
		c := exec.Command("/bin/sleep", "1000")
		c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if c.Process.Pid == pid {
			t.Cleanup(func() { c.Process.Kill(); c.Wait() })
			return foreigner{c}
		}
		c.Process.Kill()
		c.Wait()
	}
	t.Skipf("the process ID %d was not reused", pid)
	return foreigner{}
}

// procStat returns the state of a process, its group, its start and its resident pages.
func procStat(pid int) (state byte, group int, start uint64, pages int64, ok bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, 0, 0, false
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	group, _ = strconv.Atoi(fields[2])
	start, _ = strconv.ParseUint(fields[19], 10, 64)
	pages, _ = strconv.ParseInt(fields[21], 10, 64)
	return fields[0][0], group, start, pages, true
}

func alive(pid int) bool {
	state, _, _, _, ok := procStat(pid)
	return ok && state != 'Z' && state != 'X'
}

func startOf(t testing.TB, pid int) uint64 {
	t.Helper()
	_, _, start, _, ok := procStat(pid)
	if !ok {
		t.Fatalf("there is no process %d", pid)
	}
	return start
}

func memoryOf(t testing.TB, pid int) int64 {
	t.Helper()
	_, _, _, pages, ok := procStat(pid)
	if !ok {
		t.Fatalf("there is no process %d", pid)
	}
	return pages * int64(os.Getpagesize())
}

// memberList returns the living members of a group.
func memberList(t testing.TB, group int) (pids []int) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if state, of, _, _, ok := procStat(pid); ok && of == group && state != 'Z' && state != 'X' {
			pids = append(pids, pid)
		}
	}
	return pids
}

func members(t testing.TB, group int) int { t.Helper(); return len(memberList(t, group)) }

// goneWithin is how long the end of a group may take.
const goneWithin = 2 * time.Second

func awaitMembers(t testing.TB, group, want int) {
	t.Helper()
	await(t, goneWithin, func() bool { return members(t, group) == want }, "group %d has %d members", group, want)
}

// await polls until done returns true: the process table sends no notifications.
func await(t testing.TB, within time.Duration, done func() bool, what string, args ...any) {
	t.Helper()
	for deadline := time.Now().Add(within); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: "+what, append([]any{within}, args...)...)
		}
	}
}

// stop stops a group and waits until all its members are stopped.
func stop(t testing.TB, group int) {
	t.Helper()
	if err := syscall.Kill(-group, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	await(t, goneWithin, func() bool {
		for _, pid := range memberList(t, group) {
			if state, _, _, _, ok := procStat(pid); ok && state != 'T' {
				return false
			}
		}
		return true
	}, "all of group %d stopped", group)
}

// readPids reads a line of "ready" and process IDs.
func readPids(t testing.TB, r *bufio.Reader) []int {
	t.Helper()
	line, err := r.ReadString('\n')
	fields := strings.Fields(line)
	if err != nil || len(fields) == 0 || fields[0] != "ready" {
		t.Fatalf("read %q, %v", line, err)
	}
	var pids []int
	for _, f := range fields[1:] {
		pids = append(pids, int(number(f)))
	}
	return pids
}
