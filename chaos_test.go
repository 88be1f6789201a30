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

	"github.com/google/uuid"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/internal/testenv"
	"github.com/provost-go/provost/store"
)

// The tests of this file do to runners in real processes what happens in production: they kill,
// stop and restart them. The tests are small unless PROVOST_CHAOS=full, which takes minutes:
//
//	PROVOST_CHAOS=full go test -v -run TestChaos -timeout 30m .
var fullChaos = os.Getenv("PROVOST_CHAOS") == "full"

// scaled returns the size of a test: small by default, half of that with the race detector, full
// with PROVOST_CHAOS=full.
func scaled(small, full int) int {
	switch {
	case fullChaos:
		return full
	case testenv.Race:
		return (small + 1) / 2
	}
	return small
}

// slackOf returns by how much a bound may be exceeded: ten times as much among other tests as
// alone.
func slackOf(alone time.Duration) time.Duration {
	if fullChaos {
		return alone
	}
	return 10 * alone
}

// TestChaosKill kills runners under load. Every instant has one run, and every run completes
// exactly once. The runs of a killed runner are claimed by another as soon as their leases have
// expired.
func TestChaosKill(t *testing.T) {
	killTest{runners: scaled(3, 8), kills: scaled(8, 200), pace: 100 * time.Millisecond, load: 50 * time.Millisecond}.run(t,
		chaosConfig{LeaseTTL: time.Second, Ticks: 4})
}

// TestChaosKillSubprocess kills runners whose runs are subprocesses, which start processes that
// ignore SIGTERM. None of them outlives its runner by more than 2 seconds.
func TestChaosKillSubprocess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("it looks for what is left in /proc")
	}
	killTest{runners: scaled(2, 8), kills: scaled(6, 200), pace: 400 * time.Millisecond, load: 250 * time.Millisecond, busy: !fullChaos}.run(t,
		chaosConfig{LeaseTTL: time.Second, Ticks: 1, Isolation: provost.Subprocess, Stubborn: true})
}

// killTest configures how many runners are killed, how often, and the load on them.
type killTest struct {
	runners, kills int
	pace           time.Duration // between two kills; the actual pause is up to twice as long
	load           time.Duration // between two runs made by hand
	busy           bool          // kill only runners that have a run
}

func (k killTest) run(t *testing.T, config chaosConfig) {
	h := newChaosHost(t, config)
	live := h.startReady(k.runners)
	stop := h.load(k.load)
	interrupted := make(map[uuid.UUID]time.Time) // by run: when its runner had ended
	dead, unchecked := make(map[string]time.Time), make(map[string]time.Time)
	descendants := 0 // processes of killed runners, without the runners
	for range k.kills {
		<-time.After(k.pace + rand.N(k.pace))
		if config.Isolation == provost.Subprocess {
			h.checkSurvivors(unchecked)
		}
		i := rand.IntN(len(live))
		h.await("a runner that has a run", func() bool {
			if k.busy && h.processes(live[i].name) < 3 { // the runner, a subprocess and what that started
				i = (i + 1) % len(live)
				return false
			}
			return true
		})
		live[i].awaitReady()
		if config.Isolation == provost.Subprocess {
			descendants += h.processes(live[i].name) - 1
		}
		at := live[i].kill()
		dead[live[i].name], unchecked[live[i].name] = at, at
		for _, run := range h.store.heldBy(live[i].name) {
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
	h.awaitFinished(cutoff)
	h.await("the runs that killed runners held ahead of their instants to be reaped", func() bool { // while runners are left to do so
		taken := make(map[uuid.UUID]bool)
		for _, r := range h.store.reapings("") {
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
		h.await("the processes of killed runners to end", func() bool {
			h.checkSurvivors(unchecked)
			return len(unchecked) == 0
		})
	}

	// A lease expires at most LeaseTTL after the last call of its runner, and runners look for
	// expired leases three times in that time.
	bound := config.LeaseTTL + config.LeaseTTL/3 + 50*time.Millisecond
	slack := slackOf(time.Second) // starting processes loads the machine, and all runners may be dead at once
	var latest time.Duration
	crashes, foreign := 0, 0
	for _, r := range h.store.reapings("") {
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
		t.Errorf("a run of a dead runner was reaped after %v, want at most %v", latest, bound+slack)
	}
	for run := range interrupted {
		if got, err := h.client.GetRun(t.Context(), run); err != nil || !got.State.Terminal() {
			t.Errorf("run %s of a dead runner was not reaped: %v, %v", run, got, err)
		}
	}
	done := h.check(cutoff)
	t.Logf("%d kills of %d runners: %d runs (%d by hand), %d attempts lost with their processes and recovered after at most %v (bound %v), "+
		"%d runs crashed for good, %d leases of live runners reaped, %d stale writes refused, %d processes of killed runners ended within 2s",
		k.kills, k.runners, done.runs, manual, crashes, latest.Round(time.Millisecond), bound, done.crashed, foreign, h.store.refused, descendants)
	if crashes == 0 || descendants == 0 && config.Stubborn {
		t.Error("no attempt was lost, so nothing was tested")
	}
	if manual != done.manual {
		t.Errorf("the store has %[2]d runs made by hand, want %[1]d", manual, done.manual)
	}
}

// checkSurvivors looks for processes of runners that have been dead for 2 seconds, once for each
// runner.
func (h *chaosHost) checkSurvivors(unchecked map[string]time.Time) {
	for name, at := range unchecked {
		if time.Since(at) < 2*time.Second {
			continue
		}
		delete(unchecked, name)
		if n := h.processes(name); n > 0 {
			h.t.Errorf("%d processes of runner %s are still alive %v after its end", n, name, time.Since(at))
		}
	}
}

// processes counts the process of a runner and its descendants, which inherit its environment.
func (h *chaosHost) processes(runner string) (n int) {
	environments, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil || len(environments) == 0 {
		h.t.Fatalf("/proc lists no processes: %v", err)
	}
	for _, path := range environments {
		text, err := os.ReadFile(path) // fails for a process that has ended or belongs to another user
		if err == nil && bytes.Contains(text, []byte(h.config.Socket)) && bytes.Contains(text, []byte(`"Name":"`+runner+`"`)) {
			n++
		}
	}
	return n
}

// awaitTicks waits until each deployment with a schedule has completed a run.
func (h *chaosHost) awaitTicks() {
	h.t.Helper()
	h.await("a completed run of each schedule", func() bool {
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

// check checks the runs that are scheduled before cutoff, and the journal, for everything that is
// guaranteed of all runs.
func (h *chaosHost) check(cutoff time.Time) (done tally) {
	t := h.t
	t.Helper()
	for _, violation := range h.store.violations {
		t.Error(violation)
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
			done.crashed++ // as intended: it was killed three times
		case run.State.Type != provost.StateCompleted:
			t.Errorf("run %s is %s: %v", run.ID, run.State, run.History)
		case !finished[run.ID]:
			t.Errorf("run %s is completed, but its flow never returned", run.ID)
		}
		for _, at := range entered[run.ID] {
			if at.After(run.EndTime) && run.State.Terminal() {
				t.Errorf("run %s was entered at %v, after it finished at %v", run.ID, at, run.EndTime)
			}
		}
		if run.Attempt > len(entered[run.ID])+run.Crashes { // a process that was killed at its first line has not entered the flow
			t.Errorf("run %s counts %d attempts, but its flow was entered %d times", run.ID, run.Attempt, len(entered[run.ID]))
		}
	}
	if len(instants) != h.config.Ticks {
		t.Errorf("%d deployments ran on schedule, want %d", len(instants), h.config.Ticks)
	}
	for name, times := range instants {
		slices.SortFunc(times, time.Time.Compare)
		for i := 1; i < len(times); i++ {
			if step := times[i].Sub(times[i-1]); step != time.Second {
				t.Errorf("%s: the run after that of %v is scheduled %v later, want 1s", name, times[i-1], step)
			}
		}
		if gap := cutoff.Sub(times[len(times)-1]); gap > time.Second {
			t.Errorf("%s: the last run before %v is scheduled %v earlier, want at most 1s", name, cutoff, gap)
		}
		skipped, err := h.client.ListSkips(context.Background(), provost.SkipFilter{Deployment: "tick/" + name})
		if err != nil || len(skipped.Items) > 0 {
			t.Errorf("%s: got skips %v, error %v, want none", name, skipped.Items, err)
		}
	}
	return done
}

// checkHistory checks that a run followed the state machine and ended once.
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
		t.Errorf("run %s is %v, but its history ends with %v", run.ID, run.State, last)
	}
}

// TestChaosRestart restarts two runners in turn under load, as a deployment does. Nothing is lost,
// runs that are handed back use up no attempt, no lease expires, and each process has ended all of
// its goroutines when Serve returns.
func TestChaosRestart(t *testing.T) {
	config := chaosConfig{LeaseTTL: 5 * time.Second, Shutdown: 150 * time.Millisecond, Ticks: 4}
	restartRunners(t, config, scaled(8, 100), 25*time.Millisecond)
}

// TestChaosRestartSubprocess does the same to runners whose runs are subprocesses.
func TestChaosRestartSubprocess(t *testing.T) {
	config := chaosConfig{LeaseTTL: 5 * time.Second, Shutdown: 150 * time.Millisecond, Ticks: 1, Isolation: provost.Subprocess}
	restartRunners(t, config, scaled(4, 100), 100*time.Millisecond)
}

func restartRunners(t *testing.T, config chaosConfig, restarts int, load time.Duration) {
	h := newChaosHost(t, config)
	live := h.startReady(2)
	stop := h.load(load)
	for i := 0; i < restarts || h.stopped() == 0 && i < 10*restarts; i++ { // a few restarts may stop no run by chance
		next := h.start()
		next.awaitReady()
		live[i%2].drain()
		live[i%2] = next
	}
	h.awaitTicks()
	manual := stop()
	cutoff := time.Now()
	h.awaitFinished(cutoff)
	for _, p := range live {
		p.drain()
	}
	done := h.check(cutoff)
	for _, run := range h.runs(provost.RunFilter{}) {
		if run.State.Terminal() && (run.Attempt != 1 || run.Crashes != 0) {
			t.Errorf("run %s has attempt %d and %d crashes, want 1 and 0: %v", run.ID, run.Attempt, run.Crashes, run.History)
		}
	}
	if reaped := h.store.reapings(""); len(reaped) > 0 {
		t.Errorf("%d leases expired, such as that of %s on run %s", len(reaped), reaped[0].runner, reaped[0].run)
	}
	t.Logf("%d restarts: %d runs (%d by hand), %d of them stopped by a shutdown and handed back", restarts, done.runs, manual, h.stopped())
	if h.stopped() == 0 {
		t.Error("no run was stopped by a shutdown, so nothing was tested")
	}
	if manual != done.manual {
		t.Errorf("the store has %[2]d runs made by hand, want %[1]d", manual, done.manual)
	}
}

// stopped counts how often a flow was told to stop.
func (h *chaosHost) stopped() (n int) {
	h.t.Helper()
	for _, note := range h.journal() {
		if note.Did != began && note.Did != ended {
			n++
		}
	}
	return n
}

// TestChaosEqualRestart restarts with an equal declaration: nothing in the store changes except
// which runner serves it.
func TestChaosEqualRestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		restarts := scaled(50, 500)
		st := newAuditedStore(provost.NewMemoryStore())
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
		before := snapshot(t, st)
		st.changes = make(map[store.Change]int)
		for range restarts {
			<-time.After(time.Second)
			serve()
		}
		if after := snapshot(t, st); after != before {
			t.Errorf("got\n%s\nwant\n%s", after, before)
		}
		if st.changes[store.ChangeNone] != restarts*len(deployments) || len(st.changes) != 1 {
			t.Errorf("got registrations %v, want %d times unchanged", st.changes, restarts*len(deployments))
		}
	})
}

// snapshot returns everything that the store lists, as JSON, without who serves it.
func snapshot(t *testing.T, st provost.Store) string {
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

// TestChaosStop stops a runner, as a debugger or a hypervisor does, until others have taken over
// its runs, and then continues it. No write of it is accepted then, and its flows learn at once
// that they lost their leases.
func TestChaosStop(t *testing.T) {
	h := newChaosHost(t, chaosConfig{LeaseTTL: time.Second, Shutdown: 5 * time.Second})
	cycles := scaled(1, 50)
	live := h.startReady(2)
	var latencies []time.Duration
	returned := 0
	for range cycles {
		h.requestMixed(12)
		stopped, held := live[0], h.store.heldBy(live[0].name)
		if others := h.store.heldBy(live[1].name); len(others) > len(held) {
			stopped, held = live[1], others
		}
		stopped.signal(syscall.SIGSTOP)
		h.await("the leases of the stopped runner to be reaped", func() bool { return len(h.store.heldBy(stopped.name)) == 0 })
		resumed := time.Now()
		stopped.signal(syscall.SIGCONT)
		for _, run := range held {
			var last chaosNote
			h.await("a flow to learn of its lost lease or to return", func() bool {
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
	for _, violation := range h.store.violations {
		t.Error(violation)
	}
	for _, run := range h.runs(provost.RunFilter{}) {
		checkHistory(t, run)
	}
	if len(latencies) == 0 {
		t.Fatal("no flow learned of a lost lease, so nothing was tested")
	}
	slices.Sort(latencies)
	worst := latencies[len(latencies)-1]
	t.Logf("%d stops: %d flows learned of their lost lease after %v (median), %v (worst), %d had returned by then; %d stale writes refused",
		cycles, len(latencies), latencies[len(latencies)/2], worst, returned, h.store.refused)
	if worst > slackOf(time.Second) { // usually milliseconds, but the machine may be busy
		t.Errorf("a flow learned of its lost lease after %v, want at most %v", worst, slackOf(time.Second))
	}
}

// requestMixed creates n runs by hand and waits until all have begun. Every other one ends while
// its runner is stopped, so that the runner wants to write the result as soon as it continues; the
// others keep running.
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

// cancelAll cancels every run and waits until all have finished.
func (h *chaosHost) cancelAll() {
	h.t.Helper()
	for _, run := range h.runs(provost.RunFilter{States: openStates}) {
		if _, err := h.client.CancelRun(h.t.Context(), run.ID, nil); err != nil && !errors.Is(err, provost.ErrConflict) {
			h.t.Fatal(err)
		}
	}
	h.awaitFinished(time.Now())
}
