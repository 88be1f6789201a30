package provost_test

import (
	"fmt"
	"net"
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

	"github.com/provost-go/provost/internal/testenv"
)

// program builds testdata/isolated and returns a command that runs it in a mode.
func program(t *testing.T, mode string, args ...string) *exec.Cmd {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no go command")
	}
	built, err := builtProgram()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "isolated.exe") // a copy, because a mode replaces it
	// A process that another test starts meanwhile would hold the file open, and the file could not
	// be executed.
	syscall.ForkLock.RLock()
	err = os.WriteFile(path, built, 0o700)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = append(os.Environ(), "MODE="+mode)
	return cmd
}

var builtProgram = sync.OnceValues(func() (text []byte, err error) {
	dir, err := os.MkdirTemp("", "provost")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "isolated.exe")
	if out, err := exec.Command("go", "build", "-o", path, "./testdata/isolated").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build: %w\n%s", err, out)
	}
	return os.ReadFile(path)
})

// freeAddress returns an address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Skipf("no network: %v", err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestSubprocessOfPrograms(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, mode string
		want       []string
	}{
		{"ServeChild first", "", []string{"COMPLETED", "log: hello from the subprocess"}},
		{"a port is bound before Serve", "late", []string{
			"CRASHED crash 3: the subprocess exited with code 1 before it reached provost.ServeChild",
			"first thing in main", "address already in use",
		}},
		{"two runners", "two", []string{"COMPLETED", "log: hello from the subprocess"}},
	}
	if runtime.GOOS == "linux" {
		cases = append(cases, struct {
			name, mode string
			want       []string
		}{"the executable is replaced", "replaced", []string{"COMPLETED", "log: hello from the subprocess"}})
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			args := []string{"-address", freeAddress(t)}
			if c.mode == "two" {
				args = nil
			}
			out, err := program(t, c.mode, args...).CombinedOutput()
			if err != nil {
				t.Errorf("the program ended with %v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(string(out), want) {
					t.Errorf("the output does not contain %q:\n%s", want, out)
				}
			}
		})
	}
}

// TestSubprocessVariableOfAnotherProgram starts processes that have the variable from somewhere
// else. They exit with an explanation, and their files are left alone.
func TestSubprocessVariableOfAnotherProgram(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"3,4,5,NONCE", "0,1,2,NONCE", "garbage"} {
		cmd := program(t, "")
		cmd.Env = append(cmd.Env, "PROVOST_CHILD="+value)
		out, err := cmd.CombinedOutput() // files 1 and 2 are pipes
		if err == nil || cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "no runner has started this process; unset it") {
			t.Errorf("with %s: error %v, output %s", value, err, out)
		}
	}
}

// TestSubprocessThatNeverServes takes 10 seconds for each crash.
func TestSubprocessThatNeverServes(t *testing.T) {
	if !testenv.Long() {
		t.Skip("takes 30 seconds; set PROVOST_LONG to run it")
	}
	t.Parallel()
	out, err := program(t, "stuck").CombinedOutput()
	if err != nil {
		t.Errorf("the program ended with %v", err)
	}
	for _, want := range []string{"CRASHED crash 3: the subprocess did not reach provost.ServeChild or provost.Serve within 10s", "first thing in main"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the output does not contain %q:\n%s", want, out)
		}
	}
}

// TestSubprocessDiesWithRunner kills a runner. Its subprocess, and what that has started, end too.
func TestSubprocessDiesWithRunner(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there is no sleep command")
	}
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pids")
	cmd := program(t, "", "-file", file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pids []string
	eventually(t, "the start of the flow", func() bool {
		text, _ := os.ReadFile(file)
		pids = strings.Fields(string(text))
		return len(pids) == 2
	})
	began := time.Now()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	for _, pid := range pids {
		n, _ := strconv.Atoi(pid)
		wantDead(t, n)
	}
	t.Logf("all processes ended after %v", time.Since(began))
}
