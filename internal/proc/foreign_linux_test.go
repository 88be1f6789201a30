package proc_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/provost-go/provost/internal/proc"
)

// header is the header of a registry that a dead runner left.
type header struct {
	boot, space, mark string
	pid               int
	start             uint64
}

// deadHeader returns a header whose process has ended.
func deadHeader(t testing.TB) header {
	t.Helper()
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	space, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		t.Fatal(err)
	}
	dead := exec.Command("/bin/true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	return header{strings.TrimSpace(string(boot)), space, "THEMARKOFADEADRUNNER", dead.Process.Pid, 1}
}

func (h header) String() string {
	return fmt.Sprintf("provost-processes-1 %s %s %d %d %s\n", h.boot, h.space, h.pid, h.start, h.mark)
}

func line(pid int, start uint64) string { return fmt.Sprintf("%10d %20d\n", pid, start) }

// writeRegistry writes a registry into a directory.
func writeRegistry(t testing.TB, dir, text string) (path string) {
	t.Helper()
	path = filepath.Join(private(t, dir), "runner-1-TEST")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestForgedRegistry checks that a living process is not killed when a registry lists it in a way
// that proves nothing. At last it is listed as it should be, and killed.
func TestForgedRegistry(t *testing.T) {
	h := deadHeader(t)
	foreign := startForeign(t, "/bin/sleep", "1000")
	pid := foreign.Process.Pid
	start := startOf(t, pid)
	self := h
	self.pid, self.start = os.Getpid(), startOf(t, os.Getpid())
	otherBoot, otherSpace := h, h
	otherBoot.boot = "00000000-0000-0000-0000-000000000000"
	otherSpace.space = "pid:[1]"
	for name, test := range map[string]struct {
		text string
		kept bool
	}{
		"nothing":                {"", false},
		"part of the header":     {h.String()[:60], false},
		"header without its end": {strings.TrimSpace(h.String()), false},
		"another version":        {"x" + h.String() + line(pid, start), false},
		"another start":          {h.String() + line(pid, start+1), false},
		"an earlier start":       {h.String() + line(pid, start-1), false},
		"no start":               {h.String() + fmt.Sprintf("%10d\n", pid), false},
		"another boot":           {otherBoot.String() + line(pid, start), false},
		"another space":          {otherSpace.String() + line(pid, start), true},
		"a living runner":        {self.String() + line(pid, start), true},
		"a torn last line":       {h.String() + line(1<<30, 1) + strings.TrimSuffix(line(pid, start), "\n"), false},
		"impossible processes":   {h.String() + line(1, startOf(t, 1)) + line(0, 0) + line(-1, 0) + line(-pid, start), false},
		"no numbers":             {h.String() + "\x00\x00\x00\n(a b)\n" + strings.Repeat("9", 100) + " 1\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			writeRegistry(t, dir, test.text)
			if killed := sweep(t, dir); killed != 0 {
				t.Errorf("Sweep killed %d", killed)
			}
			foreign.expectAlive(t)
			expectFiles(t, dir, map[bool]int{true: 1, false: 0}[test.kept])
		})
	}
	dir := t.TempDir()
	writeRegistry(t, dir, h.String()+line(1<<30, 1)+line(pid, start))
	if killed := sweep(t, dir); killed != 1 || alive(pid) {
		t.Errorf("Sweep killed %d, want the one that is proved to be the runner's (or the cases above show nothing)", killed)
	}
}

// TestForeignGroup checks that Sweep spares a group whose leader has ended and whose ID was once
// that of a group of the runner.
func TestForeignGroup(t *testing.T) {
	for name, mark := range map[string]string{"no mark": "", "another's mark": "PROVOST_GROUP=ANOTHERMARK", "a longer mark": "PROVOST_GROUP=THEMARKOFADEADRUNNERX"} {
		t.Run(name, func(t *testing.T) {
			h := deadHeader(t)
			leader := exec.Command("/bin/sh", "-c", "sleep 1000 & sleep 1000 & exit")
			leader.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			leader.Env = append(os.Environ(), mark)
			if err := leader.Run(); err != nil {
				t.Fatal(err)
			}
			group := leader.Process.Pid
			t.Cleanup(func() { syscall.Kill(-group, syscall.SIGKILL) })
			dir := t.TempDir()
			writeRegistry(t, dir, h.String()+line(group, 12345))
			if killed := sweep(t, dir); killed != 0 || members(t, group) != 2 {
				t.Errorf("Sweep killed %d, and left %d", killed, members(t, group))
			}
			expectFiles(t, dir, 0)
		})
	}
}

// TestSweepAfterReuse checks that Sweep spares a foreign process that has the ID of a subprocess of
// the runner.
func TestSweepAfterReuse(t *testing.T) {
	reap := adopt(t)
	dir := private(t, t.TempDir())
	runner := startRunner(t, dir, "unresponsive", 1)
	runner.die()
	left := memberList(t, runner.groups[0])
	if err := syscall.Kill(-runner.groups[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	reap(left)
	awaitTick(t) // so that the foreign process has the same ID and another start
	foreign := startAs(t, runner.groups[0])
	if killed := sweep(t, dir); killed != 0 {
		t.Errorf("Sweep killed %d", killed)
	}
	foreign.expectAlive(t)
	expectFiles(t, dir, 0)
}

// awaitTick waits until a process that starts now has a later start than all before.
func awaitTick(t testing.TB) {
	t.Helper()
	uptime := func() string { // in ticks, like starts
		text, err := os.ReadFile("/proc/uptime")
		if err != nil {
			t.Fatal(err)
		}
		now, _, _ := strings.Cut(string(text), " ")
		return now
	}
	for range 2 { // the two clocks may not tick at the same time
		before := uptime()
		await(t, time.Second, func() bool { return uptime() != before }, "the clock ticked")
	}
}

// TestSweeperInGroup checks that a sweeper does not kill its own group.
func TestSweeperInGroup(t *testing.T) {
	dir := t.TempDir()
	group := syscall.Getpgrp()
	path := writeRegistry(t, dir, deadHeader(t).String()+line(group, 1))
	killed, err := proc.Sweep(context.Background(), dir)
	if killed != 0 || err == nil || !strings.Contains(err.Error(), "sweeper") {
		t.Errorf("Sweep = %d, %v", killed, err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the registry is gone: %v", err)
	}
}

// TestStrangersExpire checks that Sweep keeps the registries of other containers for a day.
func TestStrangersExpire(t *testing.T) {
	h := deadHeader(t)
	h.space = "pid:[1]"
	dir := t.TempDir()
	path := writeRegistry(t, dir, h.String())
	sweep(t, dir)
	expectFiles(t, dir, 1)
	old := time.Now().Add(-25 * time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	sweep(t, dir)
	expectFiles(t, dir, 0)
}
