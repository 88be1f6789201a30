//go:build unix

package provost_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/provost-go/provost/internal/race"

	"github.com/google/uuid"
	"github.com/provost-go/provost"
	"github.com/provost-go/provost/store"
)

// The tests of this file do to runners in real processes what production does: kill, stop and restart them. They are small unless
// PROVOST_CHAOS=full, which takes minutes:
//
//	PROVOST_CHAOS=full go test -v -run TestChaos -timeout 30m .
var fullChaos = os.Getenv("PROVOST_CHAOS") == "full"

// scaled is the size of a test: small in every test run, full for PROVOST_CHAOS.
func scaled(small, full int) int {
	switch {
	case fullChaos:
		return full
	case race.Enabled:
		return (small + 1) / 2
	}
	return small
}

// slackOf is how much more time something may take than it has to: more among other tests than alone.
func slackOf(alone time.Duration) time.Duration {
	if fullChaos {
		return alone
	}
	return 10 * alone
}

// TestChaosKill kills runners under load. Every instant has one run, all are completed, each once; what a runner was doing when it
// died is given to another as soon as its lease has ended.
func TestChaosKill(t *testing.T) {
	killing{runners: scaled(3, 8), kills: scaled(8, 200), pace: 100 * time.Millisecond, load: 50 * time.Millisecond}.run(t,
		chaosConfig{LeaseTTL: time.Second, Ticks: 4})
}

// TestChaosKillSubprocess kills runners whose runs are processes with processes of their own that ignore SIGTERM. None of them lives
// 2 seconds longer than its runner.
func TestChaosKillSubprocess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("it looks for what is left in /proc")
	}
	killing{runners: scaled(2, 8), kills: scaled(6, 200), pace: 400 * time.Millisecond, load: 250 * time.Millisecond, busy: !fullChaos}.run(t,
		chaosConfig{LeaseTTL: time.Second, Ticks: 1, Isolation: provost.Subprocess, Stubborn: true})
}

// killing is how many runners are killed, how often, and what they have to do meanwhile.
type killing struct {
	runners, kills int
	pace           time.Duration // between two kills: up to twice as long
	load           time.Duration // between two runs by hand
	busy           bool          // only runners that have a run are killed
}

func (k killing) run(t *testing.T, config chaosConfig) {
	h := newChaosHost(t, config)
	live := h.startReady(k.runners)
	stop := h.load(k.load)
	interrupted := make(map[uuid.UUID]time.Time) // by run: when its runner was gone
	dead, fresh := make(map[string]time.Time), make(map[string]time.Time)
	offspring := 0 // processes of killed runners
	for range k.kills {
		<-time.After(k.pace + rand.N(k.pace))
		if config.Isolation == provost.Subprocess {
			h.checkSurvivors(fresh)
		}
		i := rand.IntN(len(live))
		h.await("a runner that is at work", func() bool {
			if k.busy && h.processes(live[i].name) < 3 { // itself, a child and its child
				i = (i + 1) % len(live)
				return false
			}
			return true
		})
		live[i].awaitReady()
		if config.Isolation == provost.Subprocess {
			offspring += h.processes(live[i].name) - 1
		}
		at := live[i].kill()
		dead[live[i].name], fresh[live[i].name] = at, at
		for _, run := range h.ledger.heldBy(live[i].name) {
			interrupted[run] = at
		}
		live[i] = h.start()
	}
	h.awaitTicks()
	manual := stop()
	cutoff := time.Now()
	for _, p := range live {
		p.awaitReady()
	}
	h.settle(cutoff)
	h.await("what the killed held ahead of its instant to be taken from them", func() bool { // while there is somebody to
		taken := make(map[uuid.UUID]bool)
		for _, r := range h.ledger.reapings("") {
			taken[r.run] = true
		}
		for run := range interrupted {
			if got, err := h.client.GetRun(t.Context(), run); !taken[run] && err == nil && !got.State.Terminal() {
				return false
			}
		}
		return true
	})
	for _, p := range live {
		p.drain()
	}
	if config.Isolation == provost.Subprocess {
		h.await("what is left of the killed to be gone", func() bool {
			h.checkSurvivors(fresh)
			return len(fresh) == 0
		})
	}

	// A lease ends at most LeaseTTL after its runner's last word, and somebody looks for ended leases three times in that.
	bound := config.LeaseTTL + config.LeaseTTL/3 + 50*time.Millisecond
	slack := slackOf(time.Second) // starting processes keeps a machine busy, and all of a few runners may be dead at once
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
		"%d runs crashed for good, %d leases of live runners ended, %d stale writes refused, %d processes of the killed gone in 2s",
		k.kills, k.runners, done.runs, manual, crashes, latest.Round(time.Millisecond), bound, done.crashed, foreign, h.ledger.refused, offspring)
	if crashes == 0 || offspring == 0 && config.Stubborn {
		t.Error("no attempt was lost: the test tests nothing")
	}
	if manual != done.manual {
		t.Errorf("%d runs were made by hand, the store has %d", manual, done.manual)
	}
}

// checkSurvivors looks for processes of runners that have been dead for 2 seconds, once for each.
func (h *chaosHost) checkSurvivors(fresh map[string]time.Time) {
	for name, at := range fresh {
		if time.Since(at) < 2*time.Second {
			continue
		}
		delete(fresh, name)
		if n := h.processes(name); n > 0 {
			h.t.Errorf("%d processes of runner %s still live %v after it", n, name, time.Since(at))
		}
	}
}

// processes counts a runner's process and what came of it: each has its environment.
func (h *chaosHost) processes(runner string) (n int) {
	environments, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil || len(environments) == 0 {
		h.t.Fatalf("/proc has no processes: %v", err)
	}
	for _, path := range environments {
		text, err := os.ReadFile(path) // fails for one that has ended, or is another's
		if err == nil && bytes.Contains(text, []byte(h.config.Socket)) && bytes.Contains(text, []byte(`"Name":"`+runner+`"`)) {
			n++
		}
	}
	return n
}

// awaitTicks waits until each deployment with a schedule has had a run.
func (h *chaosHost) awaitTicks() {
	h.t.Helper()
	h.await("runs on schedule", func() bool {
		seen := make(map[string]bool)
		for _, run := range h.runs(provost.RunFilter{Flow: "tick", States: []provost.StateType{provost.StateCompleted}}) {
			seen[run.Deployment] = true
		}
		return len(seen) == h.config.Ticks
	})
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
		case run.State.Type == provost.StateCrashed && run.Crashes == store.MaxCrashes:
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
		if run.Attempt > len(entered[run.ID])+run.Crashes { // one killed at its first line has not entered it
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
		skipped, err := h.client.ListSkips(context.Background(), provost.SkipFilter{Deployment: "tick/" + name})
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

// TestChaosRestart restarts two runners in turn under load, as a deployment does. Nothing is lost, no attempt is used up by runs that
// were handed back, no lease has to end, and each process has ended all of its goroutines when Serve returns.
func TestChaosRestart(t *testing.T) {
	config := chaosConfig{LeaseTTL: 5 * time.Second, Shutdown: 150 * time.Millisecond, Ticks: 4}
	restartRunners(t, config, scaled(8, 100), 25*time.Millisecond)
}

// TestChaosRestartSubprocess does it to runners whose runs are processes.
func TestChaosRestartSubprocess(t *testing.T) {
	config := chaosConfig{LeaseTTL: 5 * time.Second, Shutdown: 150 * time.Millisecond, Ticks: 1, Isolation: provost.Subprocess}
	restartRunners(t, config, scaled(4, 100), 100*time.Millisecond)
}

func restartRunners(t *testing.T, config chaosConfig, restarts int, load time.Duration) {
	h := newChaosHost(t, config)
	live := h.startReady(2)
	stop := h.load(load)
	for i := 0; i < restarts || h.stopped() == 0 && i < 10*restarts; i++ { // a few may by chance stop no run
		next := h.start()
		next.awaitReady()
		live[i%2].drain()
		live[i%2] = next
	}
	h.awaitTicks()
	manual := stop()
	cutoff := time.Now()
	h.settle(cutoff)
	for _, p := range live {
		p.drain()
	}
	done := h.check(cutoff)
	for _, run := range h.runs(provost.RunFilter{}) {
		if run.State.Terminal() && (run.Attempt != 1 || run.Crashes != 0) {
			t.Errorf("run %s took attempt %d and %d crashes: %v", run.ID, run.Attempt, run.Crashes, run.History)
		}
	}
	if reaped := h.ledger.reapings(""); len(reaped) > 0 {
		t.Errorf("%d leases had to end, such as that of %s on run %s", len(reaped), reaped[0].runner, reaped[0].run)
	}
	t.Logf("%d restarts: %d runs (%d by hand), %d of them stopped by a shutdown and handed back", restarts, done.runs, manual, h.stopped())
	if h.stopped() == 0 {
		t.Error("no run was stopped by a shutdown: the test tests nothing")
	}
	if manual != done.manual {
		t.Errorf("%d runs were made by hand, the store has %d", manual, done.manual)
	}
}

// stopped counts the runs whose flow was told to end.
func (h *chaosHost) stopped() (n int) {
	h.t.Helper()
	for _, note := range h.journal() {
		if note.Did != began && note.Did != ended {
			n++
		}
	}
	return n
}

// TestChaosEqualRestart restarts with an equal declaration: nothing in the store changes but who serves.
func TestChaosEqualRestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		restarts := scaled(50, 500)
		st := newLedger(provost.NewMemoryStore())
		var deployments []*provost.Deployment
		for i := range 20 {
			d := job(string(rune('a'+i)), nothing, provost.Every(time.Hour), provost.Cron("0 0 1 1 *").In("Europe/Berlin").Paused())
			d.Tags, d.ConcurrencyLimit = []string{"x", "y"}, i%3
			deployments = append(deployments, d)
		}
		serve := func() {
			clean(t, start(t, &provost.Runner{Store: st}, deployments...))
		}
		serve()
		serve()
		before := everything(t, st)
		st.announce = make(map[store.Change]int)
		for range restarts {
			<-time.After(time.Second)
			serve()
		}
		if after := everything(t, st); after != before {
			t.Errorf("the store had\n%s\nand has\n%s", before, after)
		}
		if st.announce[store.ChangeNone] != restarts*len(deployments) || len(st.announce) != 1 {
			t.Errorf("registrations did %v, want %d times unchanged", st.announce, restarts*len(deployments))
		}
	})
}

// everything is what a store tells of all that it has, but who serves it.
func everything(t *testing.T, st provost.Store) string {
	t.Helper()
	deployments, err := st.ListDeployments(t.Context(), provost.DeploymentFilter{Limit: store.MaxPage})
	for _, d := range deployments.Items {
		d.ServedBy = nil
	}
	flows, err2 := st.ListFlows(t.Context(), provost.FlowFilter{Limit: store.MaxPage})
	runs, err3 := st.ListRuns(t.Context(), provost.RunFilter{Limit: store.MaxPage})
	for _, r := range runs.Items {
		r.WaitReason = ""
	}
	var skipped []provost.Skip
	var err4 error
	for _, d := range deployments.Items {
		page, err := st.ListSkips(t.Context(), provost.SkipFilter{DeploymentID: d.ID, Limit: store.MaxPage})
		skipped, err4 = append(skipped, page.Items...), errors.Join(err4, err)
	}
	text, err5 := json.MarshalIndent([]any{deployments, flows, runs, skipped}, "", " ")
	if err := errors.Join(err, err2, err3, err4, err5); err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestChaosStop stops a runner as a debugger or a hypervisor does, until others have been given its runs, and lets it go on. Nothing
// that it writes then is accepted, and its flows hear of it at once.
func TestChaosStop(t *testing.T) {
	h := newChaosHost(t, chaosConfig{LeaseTTL: time.Second, Shutdown: 5 * time.Second})
	cycles := scaled(1, 50)
	live := h.startReady(2)
	var latencies []time.Duration
	returned := 0
	for range cycles {
		h.requestMixed(12)
		stopped, held := live[0], h.ledger.heldBy(live[0].name)
		if others := h.ledger.heldBy(live[1].name); len(others) > len(held) {
			stopped, held = live[1], others
		}
		stopped.signal(syscall.SIGSTOP)
		h.await("the leases of the stopped runner to be taken from it", func() bool { return len(h.ledger.heldBy(stopped.name)) == 0 })
		resumed := time.Now()
		stopped.signal(syscall.SIGCONT)
		for _, run := range held {
			var last chaosNote
			h.await("a flow to hear of its lost lease or to return", func() bool {
				last = h.lastNote(run, stopped.name)
				return last.At.After(resumed)
			})
			if last.Did == ended {
				returned++
			} else {
				latencies = append(latencies, last.At.Sub(resumed))
			}
		}
		h.cancelAll()
	}
	for _, p := range live {
		p.drain()
	}
	for _, fault := range h.ledger.faults {
		t.Error(fault)
	}
	for _, run := range h.runs(provost.RunFilter{}) {
		checkHistory(t, run)
	}
	if len(latencies) == 0 {
		t.Fatal("no flow heard of a lost lease: the test tests nothing")
	}
	slices.Sort(latencies)
	worst := latencies[len(latencies)-1]
	t.Logf("%d stops: %d flows heard of their lost lease after %v (median), %v (worst), %d had returned by then; %d stale writes refused",
		cycles, len(latencies), latencies[len(latencies)/2], worst, returned, h.ledger.refused)
	if worst > slackOf(time.Second) { // usually milliseconds, but the machine may be busy
		t.Errorf("a flow heard of its lost lease after %v", worst)
	}
}

// requestMixed makes runs by hand and waits until all have begun. Every other one ends while its runner is stopped, so that the
// runner wants to tell of it as soon as it goes on; the rest last.
func (h *chaosHost) requestMixed(n int) {
	h.t.Helper()
	runs := make([]uuid.UUID, n)
	for i := range runs {
		o := &provost.RunOptions{Parameters: provost.Params{"millis": 900 + 60_000*(i%2)}}
		runs[i] = request(h.t, h.client, "manual/d", o).ID
	}
	h.await("the runs to begin", func() bool {
		for _, run := range runs {
			if h.lastNote(run, "").Did == "" {
				return false
			}
		}
		return true
	})
}

// cancelAll cancels every run and waits for their ends.
func (h *chaosHost) cancelAll() {
	h.t.Helper()
	for _, run := range h.runs(provost.RunFilter{States: openStates}) {
		if _, err := h.client.CancelRun(h.t.Context(), run.ID, nil); err != nil && !errors.Is(err, provost.ErrConflict) {
			h.t.Fatal(err)
		}
	}
	h.settle(time.Now())
}
