package engine

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provost-go/provost/internal/wire"
	"github.com/provost-go/provost/store"
	"github.com/provost-go/provost/store/memory"
)

func TestChildVariable(t *testing.T) {
	numbers, nonce, ok := parseChildVariable("3,4,5,ABC")
	if !ok || numbers != [3]uintptr{3, 4, 5} || nonce != "ABC" {
		t.Errorf("read %v %q %v", numbers, nonce, ok)
	}
	for _, value := range []string{"", "1", "3,4,ABC", "3,-4,5,ABC", "a,b,c,d", "3,4,5,6,ABC", "99999999999999999999999,4,5,A"} {
		if _, _, ok := parseChildVariable(value); ok {
			t.Errorf("%q is taken", value)
		}
	}
}

// TestChildStreamMarks cuts output in every place: what belongs to a run is the same.
func TestChildStreamMarks(t *testing.T) {
	const nonce = "NONCE"
	long := strings.Repeat("l", maxLogLine+10)
	text := "start-up\n" + outputMark(nonce) + "one\r\n\ntwo" + outputMark(nonce) + "between\n" + outputMark(nonce) +
		long + "\nlast" + outputMark(nonce) + "after"
	want := []string{"one", "", "two", long[:maxLogLine], "last"}
	cuts := []int{1, 2, 3, 5, 7, 16, 100, maxLogLine - 1, maxLogLine, len(text)}
	for _, size := range cuts {
		var got []string
		x, _ := isolatedAttempt(t)
		c := &subprocess{drained: make(chan struct{}, 2)}
		c.current.Store(x)
		stream := &outputStream{child: c, mark: []byte(strings.TrimSuffix(outputMark(nonce), "\n"))}
		for part := range slices.Chunk([]byte(text), size) {
			stream.take(part)
		}
		for _, line := range x.runLog().take().Lines {
			got = append(got, line.Message)
		}
		if !slices.Equal(got, want) {
			t.Errorf("in pieces of %d bytes: %.80q", size, got)
		}
		if len(c.drained) != 2 {
			t.Errorf("in pieces of %d bytes: %d ends", size, len(c.drained))
		}
		if words := stream.lastWords(); words != "start-up\nbetween" {
			t.Errorf("outside of runs: %q", words)
		}
	}
}

// TestChildStreamLongLineWithMark puts the mark around the bound of a line.
func TestChildStreamLongLineWithMark(t *testing.T) {
	mark := outputMark("NONCE")
	for before := maxLogLine - len(mark) - 2; before < maxLogLine+len(mark)+2; before++ {
		c := &subprocess{drained: make(chan struct{}, 2)}
		stream := &outputStream{child: c, mark: []byte(strings.TrimSuffix(mark, "\n"))}
		stream.take([]byte(mark + strings.Repeat("x", before)))
		stream.take([]byte(mark))
		if len(c.drained) != 1 {
			t.Fatalf("the mark behind %d bytes is not seen", before)
		}
	}
}

func TestChildHandshake(t *testing.T) {
	c := &subprocess{pool: &subprocessPool{build: "this"}, nonce: "n", ready: make(chan struct{})}
	for _, bad := range []helloMessage{{"n", "that"}, {"m", "this"}, {}} {
		if c.greet(packed(t, bad)) == nil {
			t.Errorf("%+v is greeted", bad)
		}
	}
	if err := c.greet(packed(t, helloMessage{"n", "that"})); err == nil || !strings.Contains(err.Error(), "another build") {
		t.Errorf("another build gets %v", err)
	}
	if err := c.greet(packed(t, helloMessage{"n", "this"})); err != nil {
		t.Error(err)
	}
	if c.greet(packed(t, helloMessage{"n", "this"})) == nil {
		t.Error("greeted twice")
	}
}

func TestStopCauses(t *testing.T) {
	for _, cause := range []error{errCancelled, errShutdown, store.ErrLeaseLost} {
		if got := stopCauses[stopCause(cause)]; !errors.Is(got, cause) {
			t.Errorf("%v becomes %v", cause, got)
		}
	}
}

// TestSparesBackOff: a program whose children always fail is not started in a loop.
func TestSparesBackOff(t *testing.T) {
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

func packed(t *testing.T, message any) []byte {
	t.Helper()
	body, err := wire.Append(nil, message)
	if err != nil {
		t.Fatal(err)
	}
	return body
}
