package store

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var stateTypes = []StateType{
	StateScheduled, StatePending, StateRunning, StateCompleted, StateFailed, StateCrashed, StateCancelling, StateCancelled,
}

// TestAppendState walks the state machine at random, with clocks that jump. Only steps that the
// table lists are taken; any other leaves the history as it was. Timestamps ascend strictly, and
// the history stays bounded.
func TestAppendState(t *testing.T) {
	const walks, tries = 20, 2000
	longest := 0
	for seed := range uint64(walks) {
		random := rand.New(rand.NewPCG(seed, 0))
		var history []State
		var first State
		at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
		for range tries {
			var last StateType
			if len(history) > 0 {
				last = history[len(history)-1].Type
			}
			at = at.Add(time.Duration(random.Int64N(int64(time.Second))) - 300*time.Millisecond)
			next := State{Type: stateTypes[random.IntN(len(stateTypes))], Timestamp: at}
			before := slices.Clone(history)
			got, err := AppendState(history, next)
			if listed := slices.Contains(transitions[last], next.Type); listed != (err == nil) {
				t.Fatalf("seed %d: %q to %q: got error %v; the table lists it: %t", seed, last, next.Type, err, listed)
			}
			if err != nil {
				if !errors.Is(err, ErrConflict) || !slices.Equal(got, before) {
					t.Fatalf("seed %d: refused step: got error %v and %d states, want ErrConflict and %d", seed, err, len(got), len(before))
				}
				continue
			}
			if len(history) == 0 {
				first = got[0]
			}
			checkHistory(t, got, first)
			history = got
			longest = max(longest, len(history))
			if len(transitions[next.Type]) == 0 { // a dead end: undo the step, or begin the next run
				history = history[:len(history)-1]
				if random.IntN(50) == 0 {
					history = nil
				}
			}
		}
	}
	if longest != maxHistory {
		t.Errorf("got a longest history of %d, want some walk to fill it to %d", longest, maxHistory)
	}
}

func checkHistory(t *testing.T, history []State, first State) {
	t.Helper()
	if len(history) > maxHistory {
		t.Fatalf("got a history of %d states, want at most %d", len(history), maxHistory)
	}
	if history[0] != first {
		t.Fatalf("first state: got %v, want it kept: %v", history[0], first)
	}
	for i, s := range history {
		if s.Name == "" || s.Timestamp.Location() != time.UTC || !s.Timestamp.Equal(s.Timestamp.Truncate(time.Microsecond)) {
			t.Fatalf("state %d: got %+v, want a name, and a time in UTC and whole microseconds", i, s)
		}
		if i > 0 && !s.Timestamp.After(history[i-1].Timestamp) {
			t.Fatalf("state %d: got %s after %s", i, s.Timestamp, history[i-1].Timestamp)
		}
	}
}

// TestAppendStateKeepsItsArgument appends to one history twice, as planned runs do, whose histories
// share their first state.
func TestAppendStateKeepsItsArgument(t *testing.T) {
	at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	shared := []State{NewState(StateScheduled, at, "")}
	a, errA := AppendState(shared[:1:1], NewState(StatePending, at, ""))
	b, errB := AppendState(shared[:1:1], NewState(StateCancelled, at, ""))
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	if a[1].Type != StatePending || b[1].Type != StateCancelled || len(shared) != 1 {
		t.Errorf("got %v and %v, want two histories of their own", a, b)
	}
}

// TestTerminalStates tries every step from a terminal state, which can only be reopened, and to the
// first state of a run.
func TestTerminalStates(t *testing.T) {
	for _, from := range stateTypes {
		if !from.Terminal() {
			continue
		}
		for _, to := range stateTypes {
			reopens := to == StateScheduled && from != StateCompleted
			if got := from.CanBecome(to); got != reopens {
				t.Errorf("%s to %s: got %t, want %t", from, to, got, reopens)
			}
		}
	}
	for _, to := range stateTypes {
		born := to == StateScheduled || to == StateRunning
		if got := StateType("").CanBecome(to); got != born {
			t.Errorf("a new run as %s: got %t, want %t", to, got, born)
		}
		if to.name() == string(to) {
			t.Errorf("%s has no name", to)
		}
	}
}
