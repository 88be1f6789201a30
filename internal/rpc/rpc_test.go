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
	"github.com/provost-go/provost/params"
	"github.com/provost-go/provost/store"
	"github.com/provost-go/provost/store/memory"
	"github.com/provost-go/provost/storetest"
)

// wired is a store at the other end of a pipe, until the test ends.
func wired(t *testing.T, st store.Store) store.Store {
	t.Helper()
	near, far := net.Pipe()
	remote, run := rpc.Connect(near)
	ctx, cancel := context.WithCancel(context.Background())
	var ends sync.WaitGroup
	ends.Go(func() { _ = rpc.Serve(ctx, far, st) })
	ends.Go(func() { _ = run(ctx) })
	t.Cleanup(func() {
		cancel()
		ends.Wait()
	})
	return remote
}

// TestWireStore holds a store at the other end of a pipe to the whole contract.
func TestWireStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) store.Store { return wired(t, memory.New()) })
}

// deaf is a store whose GetRun answers when it is told to, whatever its context says.
type deaf struct {
	store.Store
	asked  chan struct{}
	answer chan struct{}
}

func (d deaf) GetRun(context.Context, uuid.UUID) (*store.Run, error) {
	d.asked <- struct{}{}
	<-d.answer
	return nil, store.ErrNotFound
}

// TestWireCallEndsWithItsContext: a call whose context ends returns at once, its late answer reaches nobody else, and calls that
// come after it are answered meanwhile.
func TestWireCallEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := deaf{memory.New(), make(chan struct{}), make(chan struct{})}
		st := wired(t, host)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		failed := make(chan error, 1)
		began := time.Now()
		go func() {
			_, err := st.GetRun(ctx, uuid.New())
			failed <- err
		}()
		<-host.asked
		if n, err := st.CountRuns(t.Context(), store.RunFilter{}); n != 0 || err != nil {
			t.Errorf("CountRuns gives %d, %v while another call is under way", n, err)
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
				t.Errorf("CountRuns gives %d, %v after a late answer", n, err)
			}
		}
	})
}

// TestWireErrors: what callers branch on comes through, and the text; also of items judged one by one.
func TestWireErrors(t *testing.T) {
	t.Parallel()
	typed := &params.Error{Path: "a.b", Reason: "is wrong"}
	unfinished := &store.RunError{ID: uuid.New(), State: store.State{Type: store.StateFailed, Name: "Failed", Message: "no"}}
	for _, want := range []error{
		store.ErrNotFound, store.ErrConflict, store.ErrLeaseLost, store.ErrQueueFull, context.Canceled, context.DeadlineExceeded,
		typed, unfinished, errors.New("plain"), errors.Join(store.ErrConflict, store.ErrNotFound),
	} {
		given := fmt.Errorf("outer words: %w", want)
		st := wired(t, failing{memory.New(), given})
		_, err := st.GetRun(t.Context(), uuid.New())
		errs, err2 := st.SettleRuns(t.Context(), store.SettleRunsParams{})
		if err2 != nil || len(errs) != 3 || errs[0] != nil || errs[2] != nil {
			t.Fatalf("SettleRuns gives %v, %v; want an error between two that are nil", errs, err2)
		}
		for _, got := range []error{err, errs[1]} {
			if got == nil || got.Error() != given.Error() {
				t.Errorf("error %q came as %v", given, got)
			}
			for _, sentinel := range []error{store.ErrNotFound, store.ErrConflict, store.ErrLeaseLost, store.ErrQueueFull, context.Canceled} {
				if errors.Is(got, sentinel) != errors.Is(given, sentinel) {
					t.Errorf("%v: is %v: %t", got, sentinel, errors.Is(got, sentinel))
				}
			}
		}
		if p, ok := errors.AsType[*params.Error](err); ok != (want == error(typed)) || ok && *p != *typed {
			t.Errorf("%v: ParamError is %v", err, p)
		}
		if r, ok := errors.AsType[*store.RunError](err); ok != (want == error(unfinished)) || ok && *r != *unfinished {
			t.Errorf("%v: RunError is %v", err, r)
		}
	}
}

type failing struct {
	store.Store
	err error
}

func (f failing) GetRun(context.Context, uuid.UUID) (*store.Run, error) { return nil, f.err }

func (f failing) SettleRuns(context.Context, store.SettleRunsParams) ([]error, error) {
	return []error{nil, f.err, nil}, nil
}

// TestWireConnectionEnds: calls under way and later ones fail with an error that is none of the sentinels.
func TestWireConnectionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := deaf{memory.New(), make(chan struct{}), make(chan struct{})}
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
		<-host.asked
		cancel()
		synctest.Wait() // the connection has ended: what is answered from now on comes too late
		close(host.answer)
		later := func() error {
			_, err := st.CountRuns(t.Context(), store.RunFilter{})
			return err
		}
		for _, err := range []error{<-failed, later()} {
			wantError(t, err, "connection")
			if errors.Is(err, store.ErrNotFound) || errors.Is(err, context.Canceled) {
				t.Errorf("the end of the connection reads as %v", err)
			}
		}
		ends.Wait()
	})
}

// TestWireLargeMessages: a page of many megabytes passes; one over the bound is refused, in either direction, and the connection
// goes on.
func TestWireLargeMessages(t *testing.T) {
	t.Parallel()
	st := wired(t, large{memory.New()})
	page, err := st.ListRuns(t.Context(), store.RunFilter{Limit: 20})
	if err != nil || len(page.Items) != 20 {
		t.Fatalf("a page of 20 MiB: %d runs, %v", len(page.Items), err)
	}
	_, err = st.ListRuns(t.Context(), store.RunFilter{Limit: 70})
	wantError(t, err, "ListRuns", "ask for less")
	_, err = st.AppendLogs(t.Context(), store.AppendLogsParams{Runs: []store.RunLog{{Lines: []store.LogRecord{{Message: strings.Repeat("x", 65<<20)}}}}})
	wantError(t, err, "AppendLogs", "ask for less")
	if _, err := st.CountRuns(t.Context(), store.RunFilter{}); err != nil {
		t.Errorf("after messages that were refused: %v", err)
	}
}

// large gives pages of a mebibyte an item.
type large struct{ store.Store }

func (large) ListRuns(_ context.Context, f store.RunFilter) (store.Page[*store.Run], error) {
	run := &store.Run{Result: []byte(`"` + strings.Repeat("x", 1<<20) + `"`)}
	var page store.Page[*store.Run]
	for range f.Limit {
		page.Items = append(page.Items, run)
	}
	return page, nil
}

// wantError checks that an error has all of the parts in its text.
func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("got %v, want an error with %q", err, part)
		}
	}
}
