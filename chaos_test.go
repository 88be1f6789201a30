//go:build unix

package provost_test

import (
	"context"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost"
)

// The tests of this file do to runners in real processes what production does: kill, stop and restart them. They are small unless
// PROVOST_CHAOS=full, which takes minutes:
//
//	PROVOST_CHAOS=full go test -v -run TestChaos -timeout 30m .
var fullChaos = os.Getenv("PROVOST_CHAOS") == "full"

// scaled is the size of a test: small in every test run, full for PROVOST_CHAOS.
func scaled(small, full int) int {
	if fullChaos {
		return full
	}
	return small
}

// TestChaosKill kills runners under load. Every instant has one run, all are completed, each once; what a runner was doing when it
// died is given to another as soon as its lease has ended.
func TestChaosKill(t *testing.T) {
	killRunners(t, chaosConfig{LeaseTTL: time.Second, Ticks: 4}, scaled(3, 8), scaled(8, 200))
}

func killRunners(t *testing.T, config chaosConfig, runners, kills int) {
	h := newChaosHost(t, config)
	live := h.startReady(runners)
	stop := h.load(50 * time.Millisecond)
	interrupted := make(map[uuid.UUID]time.Time) // by run: when its runner was gone
	dead := make(map[string]time.Time)
	for range kills {
		<-time.After(time.Duration(100+rand.IntN(150)) * time.Millisecond)
		i := rand.IntN(len(live))
		live[i].awaitReady()
		at := live[i].kill()
		dead[live[i].name] = at
		for _, run := range h.ledger.heldBy(live[i].name) {
			interrupted[run] = at
		}
		live[i] = h.start()
	}
	manual := stop()
	cutoff := time.Now()
	for _, p := range live {
		p.awaitReady()
	}
	h.settle(cutoff)
	for _, p := range live {
		p.drain()
	}

	// A lease ends at most LeaseTTL after its runner's last word, and somebody looks for ended leases three times in that.
	bound := config.LeaseTTL + config.LeaseTTL/3 + 50*time.Millisecond
	const slack = time.Second // of a machine that is busy starting processes
	var latest time.Duration
	crashes, foreign := 0, 0
	for _, r := range h.ledger.reapings("") {
		at, killed := dead[r.runner]
		if !killed {
			foreign++
			continue
		}
		crashes++
		delete(interrupted, r.run)
		latest = max(latest, r.at.Sub(at))
	}
	if latest > bound+slack {
		t.Errorf("a run was taken from its dead runner after %v, want at most %v", latest, bound+slack)
	}
	for run := range interrupted {
		if got, err := h.client.GetRun(t.Context(), run); err != nil || !got.State.Terminal() {
			t.Errorf("run %s of a dead runner was not taken from it: %v, %v", run, got, err)
		}
	}
	done := h.check(cutoff)
	t.Logf("%d kills of %d runners: %d runs (%d by hand), %d attempts lost with their process and recovered after at most %v (bound %v), "+
		"%d runs crashed for good, %d leases of live runners ended, %d stale writes refused",
		kills, runners, done.runs, manual, crashes, latest.Round(time.Millisecond), bound, done.crashed, foreign, h.ledger.refused)
	if crashes == 0 {
		t.Error("no attempt was lost: the test tests nothing")
	}
	if manual != done.manual {
		t.Errorf("%d runs were made by hand, the store has %d", manual, done.manual)
	}
}

// tally is what check counted.
type tally struct {
	runs, manual, crashed int
}

// check holds the runs up to a time to what is promised of all of them.
func (h *chaosHost) check(cutoff time.Time) (done tally) {
	t := h.t
	t.Helper()
	for _, fault := range h.ledger.faults {
		t.Error(fault)
	}
	entered, finished := make(map[uuid.UUID][]time.Time), make(map[uuid.UUID]bool)
	for _, n := range h.journal() {
		switch n.Did {
		case began:
			entered[n.Run] = append(entered[n.Run], n.At)
		case ended:
			finished[n.Run] = true
		}
	}
	instants := make(map[string][]time.Time)
	for _, run := range h.runs(provost.RunFilter{}) {
		checkHistory(t, run)
		if run.AutoScheduled && run.ScheduledTime.Before(cutoff) {
			instants[run.Deployment] = append(instants[run.Deployment], run.ScheduledTime)
		}
		if !run.ScheduledTime.Before(cutoff) {
			continue
		}
		done.runs++
		if !run.AutoScheduled {
			done.manual++
		}
		switch {
		case run.State.Type == provost.StateCrashed && run.Crashes == provost.MaxCrashes:
			done.crashed++ // as it should be: it was killed three times
		case run.State.Type != provost.StateCompleted:
			t.Errorf("run %s is %s: %v", run.ID, run.State, run.History)
		case !finished[run.ID]:
			t.Errorf("run %s is completed, but its flow never was", run.ID)
		}
		for _, at := range entered[run.ID] {
			if at.After(run.EndTime) && run.State.Terminal() {
				t.Errorf("run %s was entered at %v, after its end at %v", run.ID, at, run.EndTime)
			}
		}
		if run.Attempt > len(entered[run.ID]) {
			t.Errorf("run %s counts %d attempts, its flow was entered %d times", run.ID, run.Attempt, len(entered[run.ID]))
		}
	}
	if len(instants) != h.config.Ticks {
		t.Errorf("%d deployments ran on schedule, want %d", len(instants), h.config.Ticks)
	}
	for name, times := range instants {
		slices.SortFunc(times, time.Time.Compare)
		for i := 1; i < len(times); i++ {
			if step := times[i].Sub(times[i-1]); step != time.Second {
				t.Errorf("%s: the run after that of %v is %v later, want 1s", name, times[i-1], step)
			}
		}
		if gap := cutoff.Sub(times[len(times)-1]); gap > time.Second {
			t.Errorf("%s: the last run before %v is %v older", name, cutoff, gap)
		}
		skipped, err := h.client.ListSkips(context.Background(), "tick/"+name, provost.SkipFilter{})
		if err != nil || len(skipped.Items) > 0 {
			t.Errorf("%s: skips %v, %v", name, skipped.Items, err)
		}
	}
	return done
}

// checkHistory holds a run to the state machine, and to one end.
func checkHistory(t *testing.T, run *provost.Run) {
	t.Helper()
	var last provost.State
	for i, state := range run.History {
		switch {
		case !last.Type.CanBecome(state.Type), last.Terminal(), i > 0 && !state.Timestamp.After(last.Timestamp):
			t.Errorf("run %s went from %v to %v: %v", run.ID, last, state, run.History)
		}
		last = state
	}
	if last != run.State {
		t.Errorf("run %s is %v, its history ends with %v", run.ID, run.State, last)
	}
}
