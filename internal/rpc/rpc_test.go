package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/rpc"
	"github.com/provost-go/provost/store"
	"github.com/provost-go/provost/store/memory"
	"github.com/provost-go/provost/storetest"
)

// remote returns a client of st, over a pipe that closes when the test ends.
func remote(t *testing.T, st store.Store) store.Store {
	t.Helper()
	near, far := net.Pipe()
	client, run := rpc.Connect(near)
	ctx, cancel := context.WithCancel(context.Background())
	var ends sync.WaitGroup
	ends.Go(func() { _ = rpc.Serve(ctx, far, st) })
	ends.Go(func() { _ = run(ctx) })
	t.Cleanup(func() {
		cancel()
		ends.Wait()
	})
	return client
}

// TestWireStore runs the conformance suite of stores against a store at the other end of a pipe.
func TestWireStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) store.Store { return remote(t, memory.New()) })
}

// stubborn is a store whose GetRun ignores its context: it sends on called, and returns once answer
// is closed.
type stubborn struct {
	store.Store
	called chan struct{}
	answer chan struct{}
}

func (s stubborn) GetRun(context.Context, uuid.UUID) (*store.Run, error) {
	s.called <- struct{}{}
	<-s.answer
	return nil, store.ErrNotFound
}

// TestCallEndsWithItsContext checks that a call returns as soon as its context ends, that its late
// answer reaches no other call, and that later calls are answered meanwhile.
func TestCallEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := stubborn{memory.New(), make(chan struct{}), make(chan struct{})}
		st := remote(t, host)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		failed := make(chan error, 1)
		began := time.Now()
		go func() {
			_, err := st.GetRun(ctx, uuid.New())
			failed <- err
		}()
		<-host.called
		if n, err := st.CountRuns(t.Context(), store.RunFilter{}); n != 0 || err != nil {
			t.Errorf("CountRuns = %d, %v while another call is pending", n, err)
		}
		if err := <-failed; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the call failed with %v, want %v", err, context.DeadlineExceeded)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("the call ended after %v, its context after 1s", took)
		}
		close(host.answer)
		for range 3 {
			if n, err := st.CountRuns(t.Context(), store.RunFilter{}); n != 0 || err != nil {
				t.Errorf("CountRuns = %d, %v after a late answer", n, err)
			}
		}
	})
}

// TestErrors checks that an error arrives with its text and its sentinels, also where each item has
// an error of its own.
func TestErrors(t *testing.T) {
	t.Parallel()
	for _, want := range []error{
		store.ErrNotFound, store.ErrConflict, store.ErrLeaseLost, store.ErrQueueFull, context.Canceled, context.DeadlineExceeded,
		errors.New("plain"), errors.Join(store.ErrConflict, store.ErrNotFound),
	} {
		given := fmt.Errorf("outer words: %w", want)
		st := remote(t, failing{memory.New(), given})
		_, err := st.GetRun(t.Context(), uuid.New())
		errs, err2 := st.SettleRuns(t.Context(), store.SettleRunsParams{})
		if err2 != nil || len(errs) != 3 || errs[0] != nil || errs[2] != nil {
			t.Fatalf("SettleRuns = %v, %v; want an error between two nils", errs, err2)
		}
		for _, got := range []error{err, errs[1]} {
			if got == nil || got.Error() != given.Error() {
				t.Errorf("error %q arrived as %v", given, got)
			}
			for _, sentinel := range []error{store.ErrNotFound, store.ErrConflict, store.ErrLeaseLost, store.ErrQueueFull, context.Canceled} {
				if errors.Is(got, sentinel) != errors.Is(given, sentinel) {
					t.Errorf("errors.Is(%v, %v) = %t", got, sentinel, errors.Is(got, sentinel))
				}
			}
		}
	}
}

// failing is a store whose operations fail with err.
type failing struct {
	store.Store
	err error
}

func (f failing) GetRun(context.Context, uuid.UUID) (*store.Run, error) { return nil, f.err }

func (f failing) SettleRuns(context.Context, store.SettleRunsParams) ([]error, error) {
	return []error{nil, f.err, nil}, nil
}

// TestConnectionEnds checks that pending and later calls fail with an error that is none of the
// sentinels.
func TestConnectionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := stubborn{memory.New(), make(chan struct{}), make(chan struct{})}
		near, far := net.Pipe()
		st, run := rpc.Connect(near)
		ctx, cancel := context.WithCancel(t.Context())
		var ends sync.WaitGroup
		ends.Go(func() { _ = run(t.Context()) })
		ends.Go(func() { _ = rpc.Serve(ctx, far, host) })
		failed := make(chan error, 1)
		go func() {
			_, err := st.GetRun(t.Context(), uuid.New())
			failed <- err
		}()
		<-host.called
		cancel()
		synctest.Wait() // the connection has ended: an answer is too late from now on
		close(host.answer)
		later := func() error {
			_, err := st.CountRuns(t.Context(), store.RunFilter{})
			return err
		}
		for _, err := range []error{<-failed, later()} {
			wantError(t, err, "connection")
			if errors.Is(err, store.ErrNotFound) || errors.Is(err, context.Canceled) {
				t.Errorf("the end of the connection is reported as %v", err)
			}
		}
		ends.Wait()
	})
}

// TestLargeMessages checks that a page of 20 MiB arrives, and that a message over the limit is
// refused in either direction while the connection goes on.
func TestLargeMessages(t *testing.T) {
	t.Parallel()
	st := remote(t, large{memory.New()})
	page, err := st.ListRuns(t.Context(), store.RunFilter{Limit: 20})
	if err != nil || len(page.Items) != 20 {
		t.Fatalf("a page of 20 MiB: %d runs, %v", len(page.Items), err)
	}
	_, err = st.ListRuns(t.Context(), store.RunFilter{Limit: 70})
	wantError(t, err, "ListRuns", "ask for less")
	_, err = st.AppendLogs(t.Context(), store.AppendLogsParams{Runs: []store.RunLog{{Lines: []store.LogRecord{{Message: strings.Repeat("x", 65<<20)}}}}})
	wantError(t, err, "AppendLogs", "ask for less")
	if _, err := st.CountRuns(t.Context(), store.RunFilter{}); err != nil {
		t.Errorf("CountRuns after messages that were refused: %v", err)
	}
}

// large is a store whose pages have a MiB an item.
type large struct{ store.Store }

func (large) ListRuns(_ context.Context, f store.RunFilter) (store.Page[*store.Run], error) {
	run := &store.Run{Result: []byte(`"` + strings.Repeat("x", 1<<20) + `"`)}
	var page store.Page[*store.Run]
	for range f.Limit {
		page.Items = append(page.Items, run)
	}
	return page, nil
}

// wantError checks that the text of an error has all of the parts.
func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("got %v, want an error with %q", err, part)
		}
	}
}
