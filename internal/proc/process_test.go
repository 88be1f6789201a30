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
			t.Errorf("a second Wait gives %+v, the first gave %+v", again, got)
		}
	}
}

func TestStartOfNothing(t *testing.T) {
	if _, err := proc.Start(proc.Command{Path: "/does/not/exist"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Start: %v, want that the file does not exist", err)
	}
	c := roleCommand(t, "hello")
	c.Dir = "/does/not/exist"
	if _, err := proc.Start(c); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Start: %v, want that the directory does not exist", err)
	}
}

// TestFiles passes files on, under numbers that the command line can hold.
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

func TestKill(t *testing.T) {
	p, out := startTalking(t, roleCommand(t, "deaf"))
	expectLine(t, out, "ready")
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	exit := p.Wait()
	if exit.Success() || runtime.GOOS != "windows" && (exit.Signal != "killed" || exit.Code != -1) {
		t.Errorf("Exit is %+v", exit)
	}
	if err := p.Kill(); err != nil {
		t.Errorf("Kill of what is gone: %v", err)
	}
}

// TestConcurrentUse calls everything at once, under the race detector if there is one.
func TestConcurrentUse(t *testing.T) {
	p, out := startTalking(t, roleCommand(t, "deaf"))
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
			t.Errorf("Wait gives %+v and %+v", exit, exits[0])
		}
	}
}
