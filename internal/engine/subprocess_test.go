package engine

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provost-go/provost/internal/rpc"
	"github.com/provost-go/provost/internal/wire"
	"github.com/provost-go/provost/store"
	"github.com/provost-go/provost/store/memory"
)

// isolatedExecution returns an execution that is about to get a subprocess, and the pool to take
// that from.
func isolatedExecution(t *testing.T) (x *Execution, p *subprocessPool) {
	t.Helper()
	a := testAccess(memory.New())
	leases := NewLeaseKeeper(a, 30*time.Second)
	p = newSubprocessPool(a, Config{Limit: 10, RunsPerChild: 9}, leases.children)
	completer := NewCompleter(a, leases)
	e := &executor{Access: a, context: t.Context(), completer: completer, children: leases.children, processes: p}
	e.reporter = &storeReporter{Access: a, leases: leases, completer: completer, slots: newSlots(10), runLogger: newRunLogger(a.log)}
	d := &Deployment{Name: "d", Flow: &Flow{Name: "f"}, Isolated: true}
	return e.newExecution(store.Claim{Lease: store.Lease{RunID: store.NewID(time.Now()), Token: 7}}, d, time.Now()), p
}

// readySubprocess returns a subprocess of the pool without a process, which has said hello.
func readySubprocess(p *subprocessPool) *subprocess {
	sp := &subprocess{pool: p, ready: make(chan struct{}), done: make(chan struct{}), messages: make(chan rpc.Frame, maxMessages)}
	close(sp.ready)
	return sp
}

func packed(t *testing.T, message any) []byte {
	t.Helper()
	body, err := wire.Append(nil, message)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestParseVariable(t *testing.T) {
	numbers, nonce, ok := parseVariable("3,4,5,ABC")
	if !ok || numbers != [3]uintptr{3, 4, 5} || nonce != "ABC" {
		t.Errorf("read %v %q %v", numbers, nonce, ok)
	}
	for _, value := range []string{"", "1", "3,4,ABC", "3,-4,5,ABC", "a,b,c,d", "3,4,5,6,ABC", "99999999999999999999999,4,5,A"} {
		if _, _, ok := parseVariable(value); ok {
			t.Errorf("%q is accepted", value)
		}
	}
}

// TestOutputStreamSeparatesRuns checks that the same lines belong to the run, whatever the sizes of
// the pieces in which its output arrives.
func TestOutputStreamSeparatesRuns(t *testing.T) {
	const nonce = "NONCE"
	long := strings.Repeat("l", maxLogLine+10)
	text := "start-up\n" + outputMark(nonce) + "one\r\n\ntwo" + outputMark(nonce) + "between\n" + outputMark(nonce) +
		long + "\nlast" + outputMark(nonce) + "after"
	want := []string{"one", "", "two", long[:maxLogLine], "last"}
	cuts := []int{1, 2, 3, 5, 7, 16, 100, maxLogLine - 1, maxLogLine, len(text)}
	for _, size := range cuts {
		var got []string
		x, _ := isolatedExecution(t)
		sp := &subprocess{drained: make(chan struct{}, 2)}
		sp.current.Store(x)
		stream := &outputStream{sp: sp, mark: []byte(strings.TrimSuffix(outputMark(nonce), "\n"))}
		for part := range slices.Chunk([]byte(text), size) {
			stream.take(part)
		}
		for _, line := range x.runLog().take().Lines {
			got = append(got, line.Message)
		}
		if !slices.Equal(got, want) {
			t.Errorf("in pieces of %d bytes: %.80q", size, got)
		}
		if len(sp.drained) != 2 {
			t.Errorf("in pieces of %d bytes: %d ends", size, len(sp.drained))
		}
		if tail := stream.tailText(); tail != "start-up\nbetween" {
			t.Errorf("outside of runs: %q", tail)
		}
	}
}

// TestOutputStreamFindsMarkInLongLine checks marks that begin before, at and after the bound of a
// line.
func TestOutputStreamFindsMarkInLongLine(t *testing.T) {
	mark := outputMark("NONCE")
	for before := maxLogLine - len(mark) - 2; before < maxLogLine+len(mark)+2; before++ {
		sp := &subprocess{drained: make(chan struct{}, 2)}
		stream := &outputStream{sp: sp, mark: []byte(strings.TrimSuffix(mark, "\n"))}
		stream.take([]byte(mark + strings.Repeat("x", before)))
		stream.take([]byte(mark))
		if len(sp.drained) != 1 {
			t.Fatalf("the mark behind %d bytes is not found", before)
		}
	}
}

// TestPipeLoggerBoundsLines checks records whose budget ends in any part of their attributes.
func TestPipeLoggerBoundsLines(t *testing.T) {
	for message := maxLogLine - 40; message <= maxLogLine+1; message++ {
		var line logLine
		log := newPipeLogger(allLevels, func(l logLine) { line = l })
		log.Info(strings.Repeat("m", message), slog.Group("group", "key", "value", "number", 1, "last", errors.New("error")))
		if len(line.Message) != min(message, maxLogLine) {
			t.Fatalf("a message of %d bytes has %d", message, len(line.Message))
		}
		size := len(line.Message)
		for _, a := range line.Attrs {
			size += len(a.Key)
			for _, inner := range a.Group {
				size += len(inner.Key) + len(inner.Text)
			}
		}
		if size > maxLogLine {
			t.Errorf("with a message of %d bytes the line has %d", message, size)
		}
	}
}

func TestHelloIsChecked(t *testing.T) {
	sp := &subprocess{pool: &subprocessPool{build: "this"}, nonce: "n", ready: make(chan struct{})}
	for _, bad := range []helloMessage{{"n", "that"}, {"m", "this"}, {}} {
		if sp.greet(packed(t, bad)) == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
	if err := sp.greet(packed(t, helloMessage{"n", "that"})); err == nil || !strings.Contains(err.Error(), "another build") {
		t.Errorf("the error for another build is %v", err)
	}
	if err := sp.greet(packed(t, helloMessage{"n", "this"})); err != nil {
		t.Error(err)
	}
	if sp.greet(packed(t, helloMessage{"n", "this"})) == nil {
		t.Error("a second hello is accepted")
	}
}

func TestStopCauses(t *testing.T) {
	for _, cause := range []error{ErrCancelled, ErrShutdown, store.ErrLeaseLost} {
		if got := stopCauses[stopCause(cause)]; !errors.Is(got, cause) {
			t.Errorf("%v becomes %v", cause, got)
		}
	}
}

// TestFailingSparesBackOff checks that a program whose subprocesses always fail is not started in a
// tight loop.
func TestFailingSparesBackOff(t *testing.T) {
	p := newSubprocessPool(testAccess(memory.New()), Config{Limit: 10, WarmChildren: 1}, newChildRuns())
	p.deaths = 3
	if lacking, failures, _ := p.plan(); !lacking || failures != 3 || backoff(failures) < 400*time.Millisecond {
		t.Errorf("plan is %v %d, backoff %v", lacking, failures, backoff(failures))
	}
	p.worked()
	if _, failures, _ := p.plan(); failures != 0 {
		t.Errorf("%d failures after a run", failures)
	}
}
