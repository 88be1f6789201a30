package provost_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/store"
)

// counting is a store that counts how often deployments are read.
type counting struct {
	provost.Store
	reads atomic.Int64
}

func (c *counting) GetDeployment(ctx context.Context, id uuid.UUID) (*provost.DeploymentRecord, error) {
	c.reads.Add(1)
	return c.Store.GetDeployment(ctx, id)
}

func TestWaitingRunsSayWhy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := &counting{Store: provost.NewMemoryStore()}
		client := provost.NewClient(st)
		hour := func(context.Context) error { time.Sleep(time.Hour); return nil }
		full, limited, unserved := job("full", hour), job("limited", hour), job("unserved", hour)
		limited.ConcurrencyLimit = 1
		clean(t, start(t, &provost.Runner{Store: st.Store}, unserved))
		// The first run of full takes the only slot of its runner, and a run of limited takes the
		// slot of its limit.
		first := start(t, &provost.Runner{Store: st.Store, Limit: 1, ShutdownTimeout: -1}, full)
		second := start(t, &provost.Runner{Store: st.Store, ShutdownTimeout: -1}, limited)
		want := map[uuid.UUID]string{}
		for range 10 {
			for _, name := range []string{"full", "limited", "unserved"} {
				run := request(t, client, name+"/d", &provost.RunOptions{Parameters: nil})
				want[run.ID] = map[string]string{"full": store.WaitLate, "limited": store.WaitLimit, "unserved": store.WaitUnserved}[name]
			}
			time.Sleep(time.Second)
		}
		later := request(t, client, "full/d", &provost.RunOptions{ScheduledTime: time.Now().Add(time.Hour)})
		want[later.ID] = ""
		time.Sleep(10 * time.Second)
		reads := st.reads.Load()
		running, reasons := 0, map[string]int{}
		for _, run := range list(t, client, provost.RunFilter{}) {
			if run.State.Type == provost.StateRunning {
				running++
				want[run.ID] = ""
			}
			reasons[run.WaitReason]++
			if alone := get(t, client, run.ID); run.WaitReason != want[run.ID] || alone.WaitReason != run.WaitReason {
				t.Errorf("%s run of %s has wait reason %q, read by itself %q, want %q", run.State, run.Flow, run.WaitReason, alone.WaitReason, want[run.ID])
			}
		}
		if running != 2 || fmt.Sprint(reasons) != fmt.Sprint(map[string]int{"": 3, store.WaitLate: 9, store.WaitLimit: 9, store.WaitUnserved: 10}) {
			t.Errorf("%d runs are running, wait reasons %v", running, reasons)
		}
		reads = st.reads.Load() - reads
		if reads > 3+31 { // three for the list and one for each run that is read by itself
			t.Errorf("deployments were read %d times, want at most 34", reads)
		}
		upcoming, err := client.UpcomingRuns(t.Context(), "full/d", 20)
		if err != nil || len(upcoming) != 10 || upcoming[0].WaitReason != store.WaitLate || upcoming[9].WaitReason != "" {
			t.Errorf("upcoming runs %v, error %v", upcoming, err)
		}
		clean(t, first)
		clean(t, second)
		for _, run := range list(t, client, provost.RunFilter{States: []provost.StateType{provost.StateScheduled}}) {
			if reason := store.WaitUnserved; run.ID != later.ID && run.WaitReason != reason {
				t.Errorf("run of %s has wait reason %q after its runner stopped", run.Flow, run.WaitReason)
			}
		}
	})
}

// A pause removes future runs and delays none that are due: neither runs that wait for a slot or a
// runner nor runs made by hand. The shutdown mark that a runner sets does not either.
func TestPauseHoldsUpNothingThatIsDue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := provost.NewMemoryStore()
		client := provost.NewClient(st)
		var ran counter
		serve := func() func() error {
			return start(t, &provost.Runner{Store: st, Limit: 1, PauseOnShutdown: true}, job("f", func(ctx context.Context) error {
				info, _ := provost.RunFromContext(ctx)
				ran.add(info.ScheduledTime.Format(time.TimeOnly))
				time.Sleep(9 * time.Second)
				return nil
			}, provost.Every(time.Minute)))
		}
		stop := serve()
		time.Sleep(30 * time.Second)
		request(t, client, "f/d", &provost.RunOptions{ScheduledTime: time.Now().Add(25 * time.Second)}) // holds the slot on the minute
		time.Sleep(32 * time.Second)
		if err := client.PauseDeployment(t.Context(), "f/d"); err != nil {
			t.Fatal(err)
		}
		waits := list(t, client, provost.RunFilter{States: []provost.StateType{provost.StateScheduled}})
		if len(waits) != 1 || !waits[0].AutoScheduled {
			t.Fatalf("%d runs wait after the pause, want only the one that is due", len(waits))
		}
		time.Sleep(10 * time.Minute)
		wantState(t, get(t, client, waits[0].ID), provost.StateCompleted)
		if total, _ := ran.total(); total != 2 {
			t.Errorf("%d runs, want 2: the one made by hand and the one that was due", total)
		}
		clean(t, stop)
		manual := request(t, client, "f/d", nil)
		if d, err := client.GetDeployment(t.Context(), "f/d"); err != nil || !d.Pause.Shutdown {
			t.Errorf("the deployment has no shutdown mark: %+v, error %v", d, err)
		}
		time.Sleep(time.Minute)
		if got := get(t, client, manual.ID); got.WaitReason != store.WaitUnserved {
			t.Errorf("wait reason %q, want %q", got.WaitReason, store.WaitUnserved)
		}
		stop = serve()
		wantState(t, wait(t, client, manual.ID), provost.StateCompleted)
		clean(t, stop)
	})
}
