package proc_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/provost-go/provost/internal/proc"
	"github.com/provost-go/provost/internal/testenv"
)

// roleKey is the environment variable that makes this binary one of the processes that the tests
// need. Its value is a role with arguments, such as "exit 3".
const roleKey = "PROC_TEST_ROLE"

var roles = map[string]func(args []string){
	"hello":        func([]string) {},
	"exit":         roleExit,
	"echo":         roleEcho,
	"unresponsive": func([]string) { signal.Ignore(syscall.SIGTERM); say("ready"); block() },
	"polite":       rolePolite,
	"grow":         roleGrow,
}

func TestMain(m *testing.M) {
	if role, ok := os.LookupEnv(roleKey); ok {
		os.Unsetenv(roleKey) // the processes of this one have no role
		args := strings.Fields(role)
		run := roles[args[0]]
		if run == nil {
			fmt.Fprintln(os.Stderr, "no such role:", role)
			os.Exit(99)
		}
		run(args[1:])
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// roleExit exits with a code.
func roleExit(args []string) {
	code, _ := strconv.Atoi(args[0])
	os.Exit(code)
}

// roleEcho copies its input to its output, two files whose numbers are its arguments.
func roleEcho(args []string) {
	in, out := proc.Inherited(number(args[0]), "in"), proc.Inherited(number(args[1]), "out")
	if _, err := io.Copy(out, in); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// rolePolite exits with code 7 on SIGTERM.
func rolePolite([]string) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	say("ready")
	<-asked
	os.Exit(7)
}

// roleGrow uses some MiB of memory after it has read a line, and exits after another one.
func roleGrow(args []string) {
	in := bufio.NewReader(proc.Inherited(number(args[1]), "in"))
	say("small")
	in.ReadString('\n')
	mib, _ := strconv.Atoi(args[0])
	memory := make([]byte, mib<<20)
	for i := 0; i < len(memory); i += 512 {
		memory[i] = 1
	}
	say("large")
	in.ReadString('\n')
	fmt.Fprintln(io.Discard, memory[len(memory)-1])
}

func number(text string) uintptr {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		panic(err)
	}
	return uintptr(n)
}

func say(text string) { fmt.Println(text) }

// block blocks for ever. The runtime would take a bare select for a deadlock.
func block() {
	for {
		time.Sleep(time.Hour)
	}
}

// roleCommand returns the command that runs this binary in a role.
func roleCommand(t testing.TB, role ...string) proc.Command {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const quick = "GORACE=atexit_sleep_ms=0" // the race detector makes a process sleep for a second before it exits
	return proc.Command{Path: path, Env: append(os.Environ(), quick, roleKey+"="+strings.Join(role, " ")), Stderr: os.Stderr}
}

// start starts a process and kills it at the end of the test.
func start(t testing.TB, c proc.Command) *proc.Process {
	t.Helper()
	p, err := proc.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
		p.Wait()
	})
	if err := p.Unrecorded(); err != nil {
		t.Fatal(err)
	}
	return p
}

// startTalking also returns a reader of what the process writes.
func startTalking(t testing.TB, c proc.Command) (*proc.Process, *bufio.Reader) {
	t.Helper()
	read, write := pipe(t)
	c.Stdout = write
	p := start(t, c)
	write.Close()
	return p, bufio.NewReader(read)
}

func expectLine(t testing.TB, r *bufio.Reader, want string) {
	t.Helper()
	line, err := r.ReadString('\n')
	if err != nil || strings.TrimSpace(line) != want {
		t.Fatalf("read %q, %v; want %q", line, err, want)
	}
}

func pipe(t testing.TB) (read, write *os.File) {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { read.Close(); write.Close() })
	return read, write
}

// slowdown divides the size of the largest tests: a process with the race detector takes long to
// start.
var slowdown = func() int {
	if testenv.Race {
		return 4
	}
	return 1
}()
