package engine

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/store"
	"github.com/provost-go/provost/store/memory"
)

// foreignRun is a run that executes somewhere else, for example in a container. A worker claims it,
// keeps its lease and completes it when the container reports.
type foreignRun struct {
	stopped   chan error // why the container is to be stopped; has room for one
	completed chan error // has room for one
	lost      atomic.Bool
}

func (r *foreignRun) Stop(cause error) {
	select {
	case r.stopped <- cause:
	default:
	}
}
func (r *foreignRun) LeaseLost()                             { r.lost.Store(true) }
func (r *foreignRun) Completed(_ store.StateType, err error) { r.completed <- err }
func (r *foreignRun) Describe() (name, handle string)        { return "quick-otter", "f/d" }

// foreignWorker is a worker for foreign runs, made of the parts of this package that it needs.
type foreignWorker struct {
	*Access
	id        uuid.UUID
	leases    *LeaseKeeper
	completer *Completer
	running   sync.WaitGroup
	loops     sync.WaitGroup
	stop      context.CancelFunc
}

const foreignTTL = 30 * time.Second

// newForeignWorker returns a worker that serves the deployment f/d.
func newForeignWorker(t *testing.T, st store.Store) *foreignWorker {
	t.Helper()
	w := &foreignWorker{Access: testAccess(st), id: store.NewID(time.Now())}
	w.leases = NewLeaseKeeper(w.Access, foreignTTL)
	w.completer = NewCompleter(w.Access, w.leases)
	now := instant.Of(time.Now())
	d := &store.DeploymentRecord{
		ID: store.DeploymentID("f", "d"), FlowID: store.FlowID("f"), Flow: "f", Name: "d", Digest: "1",
	}
	if _, err := st.RegisterDeployments(t.Context(), store.RegisterDeploymentsParams{Now: now, Deployments: []*store.DeploymentRecord{d}}); err != nil {
		t.Fatal(err)
	}
	_, err := st.RegisterRunner(t.Context(), store.RegisterRunnerParams{
		Now: now, Runner: store.RunnerRecord{ID: w.id, Name: "worker", Started: now, SeenAt: now, Until: now.Add(24 * time.Hour)},
		Deployments: []uuid.UUID{d.ID},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	w.stop = stop
	w.loops.Go(func() { w.leases.Run(ctx) })
	w.loops.Go(func() { w.completer.Run(ctx) })
	return w
}

// claim makes a run of f/d, claims it and notes that it has begun.
func (w *foreignWorker) claim(t *testing.T) (*Hold, *foreignRun) {
	t.Helper()
	now, began := instant.Of(time.Now()), time.Now()
	_, err := w.store.CreateRun(t.Context(), store.CreateRunParams{
		Now: now, ID: store.NewID(now), DeploymentID: store.DeploymentID("f", "d"), Generation: 1, ScheduledTime: now, DueTime: now,
	})
	if err != nil {
		t.Fatal(err)
	}
	claims, err := w.store.ClaimRuns(t.Context(), store.ClaimRunsParams{Now: now, Runner: w.id, ID: store.NewID(now), Limit: 1, TTL: foreignTTL})
	if err != nil || len(claims.Runs) != 1 {
		t.Fatalf("claimed %d runs, %v", len(claims.Runs), err)
	}
	r := &foreignRun{stopped: make(chan error, 1), completed: make(chan error, 1)}
	h := NewHold(claims.Runs[0].Lease, r, began)
	w.running.Add(1)
	w.leases.Add([]*Hold{h}, began)
	w.completer.Begun(h, store.RunUpdate{StartTime: now, Attempt: 1})
	return h, r
}

// complete completes a run.
func (w *foreignWorker) complete(h *Hold, state store.StateType) (lost bool) {
	defer w.running.Done()
	now := instant.Of(time.Now())
	return w.completer.Complete(h, store.RunUpdate{StartTime: now, Attempt: 1, State: store.NewState(state, now, "")})
}

// close drains the worker as an engine does.
func (w *foreignWorker) close(timeout time.Duration) error {
	err := Drain{Running: &w.running, Leases: w.leases, Timeout: timeout, Patience: unresponsiveTimeout}.Wait()
	w.completer.Close()
	<-w.completer.done
	w.stop()
	w.loops.Wait()
	return err
}

func (w *foreignWorker) wantState(t *testing.T, h *Hold, want store.StateType) {
	t.Helper()
	run, err := w.store.GetRun(t.Context(), h.Lease().RunID)
	if err != nil || run.State.Type != want {
		t.Errorf("the run is %v (%v), want %s", run, err, want)
	}
}

// TestForeignRunIsKeptAndCompleted checks that a worker keeps and completes a run that no goroutine
// of this process executes. Its lease is held for hours, so that nobody reaps it, and its end is
// stored.
func TestForeignRunIsKeptAndCompleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newForeignWorker(t, memory.New())
		h, r := w.claim(t)
		time.Sleep(3 * time.Hour)
		w.wantState(t, h, store.StateRunning)
		if reaped, err := w.store.ReapLeases(t.Context(), store.ReapLeasesParams{Now: instant.Of(time.Now())}); err != nil || len(reaped.Runs) > 0 {
			t.Errorf("%d runs are reaped, error %v", len(reaped.Runs), err)
		}
		if w.complete(h, store.StateCompleted) {
			t.Error("the lease is lost")
		}
		if err := <-r.completed; err != nil {
			t.Error(err)
		}
		w.wantState(t, h, store.StateCompleted)
		if err := w.close(time.Second); err != nil {
			t.Error(err)
		}
		if n := w.leases.count(); n != 0 {
			t.Errorf("%d runs are still held", n)
		}
	})
}

// TestForeignRunIsCancelled checks that a cancellation reaches the run with the next renewal.
func TestForeignRunIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newForeignWorker(t, memory.New())
		h, r := w.claim(t)
		if _, err := w.store.CancelRun(t.Context(), store.CancelRunParams{Now: instant.Of(time.Now()), RunID: h.Lease().RunID}); err != nil {
			t.Fatal(err)
		}
		if cause := <-r.stopped; !errors.Is(cause, ErrCancelled) {
			t.Errorf("stopped because of %v", cause)
		}
		w.complete(h, store.StateCancelled)
		if err := errors.Join(<-r.completed, w.close(time.Second)); err != nil {
			t.Error(err)
		}
		w.wantState(t, h, store.StateCancelled)
	})
}

// unwilling is a store that refuses to renew leases while refuses is set.
type unwilling struct {
	store.Store
	refuses atomic.Bool
}

func (u *unwilling) RenewLeases(ctx context.Context, p store.RenewLeasesParams) (store.RenewLeasesResult, error) {
	if u.refuses.Load() {
		return store.RenewLeasesResult{}, errors.New("no")
	}
	return u.Store.RenewLeases(ctx, p)
}

// TestForeignRunLosesItsLease checks that a run whose lease could not be renewed in time is stopped
// before the lease expires. Once the lease has been reaped, the end of the run is not written.
func TestForeignRunLosesItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &unwilling{Store: memory.New()}
		w := newForeignWorker(t, st)
		h, r := w.claim(t)
		st.refuses.Store(true)
		began := time.Now()
		if cause := <-r.stopped; !errors.Is(cause, store.ErrLeaseLost) {
			t.Errorf("stopped because of %v", cause)
		}
		if took := time.Since(began); took >= foreignTTL {
			t.Errorf("stopped after %v, when the lease had expired", took)
		}
		synctest.Wait() // the loss is reported after the run is stopped
		if !r.lost.Load() || w.leases.lost.Load() != 1 {
			t.Error("the loss is not reported")
		}
		time.Sleep(foreignTTL)
		if _, err := st.ReapLeases(t.Context(), store.ReapLeasesParams{Now: instant.Of(time.Now())}); err != nil {
			t.Fatal(err)
		}
		st.refuses.Store(false)
		if !w.complete(h, store.StateCompleted) { // a renewal may have found the loss; otherwise the write does
			if err := <-r.completed; !errors.Is(err, store.ErrLeaseLost) {
				t.Errorf("completed with %v", err)
			}
		}
		w.wantState(t, h, store.StateScheduled)
		if err := w.close(time.Second); err != nil {
			t.Error(err)
		}
	})
}

// TestForeignRunIsDrained checks that when a worker is closed, it stops a run whose time is up. If
// the run does not stop, the error names it.
func TestForeignRunIsDrained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newForeignWorker(t, memory.New())
		h, r := w.claim(t)
		go func() {
			if cause := <-r.stopped; errors.Is(cause, ErrShutdown) {
				w.complete(h, store.StateFailed)
			}
		}()
		if err := errors.Join(w.close(time.Minute), <-r.completed); err != nil {
			t.Error(err)
		}
		w.wantState(t, h, store.StateFailed)

		w = newForeignWorker(t, memory.New())
		h, _ = w.claim(t)
		if err := w.close(time.Minute); !errors.Is(err, ErrDrainTimeout) || err.Error() != "provost: drain timeout: still running: [f/d (run "+h.Lease().RunID.String()+")]" {
			t.Errorf("the error for a run that does not stop is %v", err)
		}
		w.running.Done() // so that the goroutine of Drain ends
	})
}
