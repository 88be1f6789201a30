package proc_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/provost-go/provost/internal/proc"
)

// TestExitCode checks the Exit of a process that exits.
func TestExitCode(t *testing.T) {
	for _, code := range []int{0, 1, 3, 77} {
		p := start(t, roleCommand(t, "exit", strconv.Itoa(code)))
		got := p.Wait()
		if got.Code != code || got.Signal != "" || got.Err != nil || got.Success() != (code == 0) {
			t.Errorf("exit %d: %+v", code, got)
		}
		if want := "exit code " + strconv.Itoa(code); !strings.HasPrefix(got.String(), want) {
			t.Errorf("String is %q, want %q", got, want)
		}
		if again := p.Wait(); again != got {
			t.Errorf("the second Wait returned %+v, the first %+v", again, got)
		}
	}
}

// TestStartOfNothing checks the errors for a missing program and a missing directory.
func TestStartOfNothing(t *testing.T) {
	if _, err := proc.Start(proc.Command{Path: "/does/not/exist"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Start of a missing program: %v, want fs.ErrNotExist", err)
	}
	c := roleCommand(t, "hello")
	c.Dir = "/does/not/exist"
	if _, err := proc.Start(c); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Start in a missing directory: %v, want fs.ErrNotExist", err)
	}
}

// TestFiles passes files to a process, which gets their numbers in its arguments.
func TestFiles(t *testing.T) {
	theirIn, ourOut := pipe(t)
	ourIn, theirOut := pipe(t)
	files := []*os.File{theirIn, theirOut}
	numbers := (&proc.Command{Files: files}).Numbers()
	c := roleCommand(t, "echo", strconv.Itoa(int(numbers[0])), strconv.Itoa(int(numbers[1])))
	c.Files = files
	p := start(t, c)
	theirIn.Close()
	theirOut.Close()
	if _, err := io.WriteString(ourOut, "through and back"); err != nil {
		t.Fatal(err)
	}
	ourOut.Close()
	got, err := io.ReadAll(ourIn)
	if err != nil || string(got) != "through and back" {
		t.Errorf("read %q, %v", got, err)
	}
	if exit := p.Wait(); !exit.Success() {
		t.Errorf("ended with %v", exit)
	}
}

// TestKill checks that Kill ends a process that ignores SIGTERM, and does nothing after Wait.
func TestKill(t *testing.T) {
	p, out := startTalking(t, roleCommand(t, "unresponsive"))
	expectLine(t, out, "ready")
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	exit := p.Wait()
	if exit.Success() || runtime.GOOS != "windows" && (exit.Signal != "killed" || exit.Code != -1) {
		t.Errorf("Exit is %+v", exit)
	}
	if err := p.Kill(); err != nil {
		t.Errorf("Kill after Wait: %v", err)
	}
}

// TestConcurrentUse calls all methods at the same time, for the race detector.
func TestConcurrentUse(t *testing.T) {
	p, out := startTalking(t, roleCommand(t, "unresponsive"))
	expectLine(t, out, "ready")
	var calls sync.WaitGroup
	exits := make([]proc.Exit, 4)
	for i := range exits {
		calls.Go(func() { exits[i] = p.Wait() })
		calls.Go(func() {
			if err := p.Terminate(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
				t.Error(err)
			}
		})
		calls.Go(func() {
			if _, err := p.Memory(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
				t.Error(err)
			}
		})
		calls.Go(func() {
			if err := p.Kill(); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	for _, exit := range exits {
		if exit != exits[0] || exit.Success() {
			t.Errorf("Wait returned %+v and %+v", exit, exits[0])
		}
	}
}
