//go:build unix

package provost_test

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/provost-go/provost"
)

func systemFlows() []provost.AnyFlow {
	return []provost.AnyFlow{isolatedGarbage, isolatedSilence, isolatedHolder}
}

// isolatedGarbage writes into the pipe to the runner.
var isolatedGarbage = provost.NewJob("garbage", func(ctx context.Context) error {
	if _, err := syscall.Write(4, []byte("Content-Type: text/html\r\n\r\nthis is not for you")); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
})

// isolatedSilence closes the pipe to the runner.
var isolatedSilence = provost.NewJob("silence", func(ctx context.Context) error {
	if err := syscall.Close(4); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
})

// isolatedHolder exits, and leaves the pipe to the runner open in a process that has left its
// group.
var isolatedHolder = func() *provost.Flow[provost.None, provost.None] {
	f := provost.NewJob("holder", func(context.Context) error {
		pipe, err := syscall.Dup(4)
		if err != nil {
			return err
		}
		sleeper := exec.Command("sleep", "10")
		sleeper.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		sleeper.ExtraFiles = []*os.File{os.NewFile(uintptr(pipe), "pipe")}
		if err := sleeper.Start(); err != nil {
			return err
		}
		os.Exit(5)
		return nil
	})
	f.AtMostOnce = true
	return f
}()

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// interrupt sends the signals that terminals and service managers send.
func interrupt(t *testing.T, pid int) {
	t.Helper()
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		if err := syscall.Kill(pid, signal); err != nil {
			t.Fatal(err)
		}
	}
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func wantDead(t *testing.T, pid int) {
	t.Helper()
	if pid == 0 {
		t.Error("the process ID is 0")
		return
	}
	// A process without its parent is reaped by another process, a moment later.
	eventually(t, "the end of process "+strconv.Itoa(pid), func() bool { return !alive(pid) || zombie(pid) })
}

func zombie(pid int) bool {
	text, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return strings.Contains(string(text), ") Z ")
}
