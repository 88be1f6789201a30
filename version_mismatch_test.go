package provost_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/store"
)

// versioned makes a runner of this program look like one of another version.
type versioned struct {
	provost.Store
	version string
}

func (v versioned) RegisterRunner(ctx context.Context, p store.RegisterRunnerParams) ([]uuid.UUID, error) {
	p.Runner.Version = v.version
	return v.Store.RegisterRunner(ctx, p)
}

type newOrder struct {
	Customer string `json:"customer" required:"true"`
}

type oldOrder struct {
	Name string `json:"name" required:"true"`
}

// orders returns the same deployment in two versions of a program.
func orders[P any](into *counter, version string) *provost.Deployment {
	return &provost.Deployment{
		Name: "d", Flow: provost.NewAction("order", func(context.Context, P) error { into.add(version); return nil }),
	}
}

// TestVersionMismatchIsDeclined checks that while two versions of a program serve a deployment, a
// run whose parameters fit only one of them is executed by that one, whichever claims it first.
func TestVersionMismatchIsDeclined(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := provost.NewMemoryStore()
		client := provost.NewClient(store)
		var by counter
		stopOld := start(t, &provost.Runner{Store: versioned{store, "1"}, Name: "old"}, orders[oldOrder](&by, "old"))
		older := request(t, client, "order/d", &provost.RunOptions{Parameters: provost.Params{"name": "Ann"}, ScheduledTime: time.Now().Add(time.Minute)})
		stopNew := start(t, &provost.Runner{Store: versioned{store, "2"}, Name: "new"}, orders[newOrder](&by, "new"))
		for range 20 { // either runner may claim a run
			wantState(t, runNow(t, client, "order/d", provost.Params{"customer": "Bob"}), provost.StateCompleted)
		}
		wantState(t, wait(t, client, older.ID), provost.StateCompleted)
		if by.get("old") != 1 || by.get("new") != 20 {
			t.Errorf("the old version executed %d runs, the new one %d, want 1 and 20", by.get("old"), by.get("new"))
		}
		clean(t, stopNew)
		clean(t, stopOld)
	})
}

// TestVersionMismatchWaits checks that a run that fits none of the versions waits with a reason
// while several serve its deployment, is tried about once a minute by each, and fails when one
// version is left.
func TestVersionMismatchWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := provost.NewMemoryStore()
		client := provost.NewClient(st)
		var by counter
		logs := &logBuffer{}
		run := func() *provost.Run { // created by a version that nobody serves any more
			stop := start(t, &provost.Runner{Store: st}, &provost.Deployment{
				Name: "d", Flow: provost.NewAction("order", func(context.Context, struct{ Age int }) error { return nil }),
			})
			defer clean(t, stop)
			return request(t, client, "order/d", &provost.RunOptions{Parameters: provost.Params{"Age": 7}, ScheduledTime: time.Now().Add(time.Minute)})
		}()
		stopOld := start(t, &provost.Runner{Store: versioned{st, "1"}, Name: "old", Logger: logs.logger()}, orders[oldOrder](&by, "old"))
		stopNew := start(t, &provost.Runner{Store: versioned{st, "2"}, Name: "new", Logger: logs.logger()}, orders[newOrder](&by, "new"))
		time.Sleep(5*time.Minute + 30*time.Second) // between two tries
		waits := get(t, client, run.ID)
		if waits.State.Name != store.NameVersionMismatch || !strings.Contains(waits.State.Message, "parameters do not fit") || waits.WaitReason != store.WaitVersionMismatch {
			t.Errorf("the run is %v with wait reason %q", waits.State, waits.WaitReason)
		}
		if waits.Attempt != 0 || waits.Crashes != 0 {
			t.Errorf("trying the run took %d attempts and %d crashes, want none", waits.Attempt, waits.Crashes)
		}
		if n := len(logs.lines("run left to runners of another version")); n < 4 || n > 12 {
			t.Errorf("two runners tried the run %d times in four minutes, want about once a minute each", n)
		}
		clean(t, stopOld)
		failed := wait(t, client, run.ID)
		wantState(t, failed, provost.StateFailed, "parameters do not fit")
		if took := time.Since(waits.DueTime); took > 7*time.Minute {
			t.Errorf("the run failed %v after it was due, want a minute after the other version stopped", took)
		}
		clean(t, stopNew)
	})
}

// TestVersionMismatchFailsAtOnce checks that a run fails at once if all runners have one version,
// so that nobody else could execute it.
func TestVersionMismatchFailsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := provost.NewMemoryStore()
		client := provost.NewClient(store)
		var by counter
		older := orders[oldOrder](&by, "old")
		stop := start(t, &provost.Runner{Store: store, Name: "a"}, older)
		run := request(t, client, "order/d", &provost.RunOptions{Parameters: provost.Params{"name": "Ann"}, ScheduledTime: time.Now().Add(time.Minute)})
		clean(t, stop)
		first := start(t, &provost.Runner{Store: store, Name: "b"}, orders[newOrder](&by, "new"))
		second := start(t, &provost.Runner{Store: store, Name: "c"}, orders[newOrder](&by, "new"))
		wantState(t, wait(t, client, run.ID), provost.StateFailed, "parameters do not fit", "customer")
		if took := time.Since(run.DueTime); took > time.Second {
			t.Errorf("the run failed %v after it was due, want at once", took)
		}
		clean(t, first)
		clean(t, second)
	})
}
