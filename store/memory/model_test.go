package memory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/schedule"
	"github.com/provost-go/provost/store"
)

// TestMemoryStoreAgainstModel drives the store and a naive model of it with the same random
// operations. After each, results, runs and deployments agree, and the store's indexes say the same
// as its runs. PROVOST_MODEL_SEEDS makes it as long as wanted.
func TestMemoryStoreAgainstModel(t *testing.T) {
	seeds, steps := uint64(50), 300
	if testing.Short() {
		seeds = 20
	}
	if n, err := strconv.ParseUint(os.Getenv("PROVOST_MODEL_SEEDS"), 10, 64); err == nil {
		seeds = n
	}
	for seed := range seeds {
		drive(t, seed, steps)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func drive(t *testing.T, seed uint64, steps int) {
	t.Helper()
	s := newModelTest(t, seed)
	for step := range steps {
		s.now = s.now.Add(time.Microsecond + time.Duration(s.rand.Int64N(int64(3*time.Minute))).Truncate(time.Microsecond))
		op := s.operations[s.rand.IntN(len(s.operations))]
		what := op.name
		func() {
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("seed %d, step %d: %s: panic: %v\n%s", seed, step, what, p, debug.Stack())
				}
			}()
			s.model.now = s.now
			op.run()
			s.compare()
			s.invariants.check(t, s.store)
		}()
		if t.Failed() {
			t.Logf("seed %d, step %d: after %s", seed, step, what)
			return
		}
	}
}

// modelTest is a store, its model, and where the random walk stands.
type modelTest struct {
	*testing.T
	ctx        context.Context
	rand       *rand.Rand
	store      *Store
	model      model
	invariants invariants
	now        time.Time
	runners    []store.RunnerRecord
	leases     []store.Lease                // all that were ever given
	claimID    map[uuid.UUID]uuid.UUID      // newest of each runner
	logged     map[store.Lease]store.RunLog // newest stretch of each lease
	declared   int
	unserved   bool // nobody serves the deployments without schedules
	operations []modelOperation
}

type modelOperation struct {
	name string
	run  func()
}

func newModelTest(t *testing.T, seed uint64) *modelTest {
	s := &modelTest{
		T: t, ctx: t.Context(), rand: rand.New(rand.NewPCG(seed, 0)), store: New(),
		model:      model{served: make(map[uuid.UUID][]uuid.UUID), sizes: make(map[string]int)},
		claimID:    make(map[uuid.UUID]uuid.UUID),
		logged:     make(map[store.Lease]store.RunLog),
		invariants: invariants{held: make(map[string]int)},
		now:        time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC),
	}
	s.store.Keep = -1
	for i := range 2 {
		s.runners = append(s.runners, store.RunnerRecord{ID: store.NewID(s.now), Name: fmt.Sprint("runner", i), Until: s.now.Add(1e6 * time.Hour)})
	}
	for i := range modelDeployments {
		s.register(i)
	}
	s.serve(1, nil)
	weighted := func(weight int, name string, run func()) {
		for range weight {
			s.operations = append(s.operations, modelOperation{name, run})
		}
	}
	weighted(8, "claim", s.claim)
	weighted(8, "settle", s.settle)
	weighted(6, "create", s.create)
	weighted(4, "plan", s.plan)
	weighted(2, "child", s.child)
	weighted(2, "reap", s.reap)
	weighted(2, "renew", s.renew)
	weighted(3, "log", s.log)
	weighted(2, "cancel", s.cancel)
	weighted(2, "retry", s.retry)
	weighted(1, "delete run", s.deleteRun)
	weighted(1, "pause", s.pause)
	weighted(1, "register", func() { s.register(s.rand.IntN(len(modelDeployments))) })
	weighted(1, "serve", s.serveSome)
	weighted(1, "serve or not", s.toggle)
	weighted(1, "delete deployment", s.deleteDeployment)
	return s
}

// modelDeployments are the kinds of deployment: free, under a limit, under a shared limit. Their
// names differ in length. What has no schedule has no gap when it is served again.
var modelDeployments = []struct {
	name        string
	limited     bool
	group       string
	unscheduled bool
}{
	{name: "any"},
	{name: "limit", limited: true},
	{name: "group-a", limited: true, group: "g"},
	{name: "group-two", limited: true, group: "g"},
	{name: "group-three", limited: true, group: "g", unscheduled: true},
}

var overlaps = []store.Overlap{store.OverlapEnqueue, store.OverlapCancelNew, store.OverlapCancelRunning}

// register declares a deployment anew, with a priority and an overlap policy of its own. A limit
// gets another size, and so do all deployments that share it; one that is a deployment's own may
// go.
func (s *modelTest) register(i int) {
	chosen := modelDeployments[i]
	size := s.rand.IntN(4)
	var declared []*store.DeploymentRecord
	for _, kind := range modelDeployments {
		if kind.name == chosen.name || (kind.group != "" && kind.group == chosen.group) {
			declared = append(declared, s.declare(kind.name, kind.group, kind.unscheduled))
			if kind.group != "" {
				size = max(size, 1)
			}
			if kind.limited {
				declared[len(declared)-1].ConcurrencyLimit = size
			}
		}
	}
	got, err := s.store.RegisterDeployments(s.ctx, store.RegisterDeploymentsParams{Now: s.now, Deployments: declared})
	s.wantErr("register", err, nil)
	for i, r := range declared {
		if d := s.model.register(r, s.now); len(got) == len(declared) && got[i].Generation != d.generation {
			s.Errorf("register: got generation %d, want %d", got[i].Generation, d.generation)
		}
	}
	s.serve(0, s.served())
}

func (s *modelTest) declare(name, group string, unscheduled bool) *store.DeploymentRecord {
	s.declared++
	r := &store.DeploymentRecord{
		ID: store.DeploymentID("etl", name), FlowID: store.FlowID("etl"), Flow: "etl", Name: name, Digest: fmt.Sprint(s.declared),
		LimitGroup: group, Overlap: overlaps[s.rand.IntN(3)], MaxWaiting: 2, Priority: s.rand.IntN(2), AtMostOnce: s.rand.IntN(2) == 0,
		Tags:      []string{name},
		Schedules: []store.ScheduleRecord{{Key: "tick", Schedule: schedule.Every(10 * time.Minute).Named("tick")}},
	}
	if unscheduled {
		r.Schedules = nil
	}
	return r
}

// served is what may be served at the moment.
func (s *modelTest) served() []uuid.UUID {
	var ids []uuid.UUID
	for _, d := range s.model.deployments {
		if !d.deleted && (len(d.record.Schedules) > 0 || !s.unserved) {
			ids = append(ids, d.record.ID)
		}
	}
	return ids
}

func (s *modelTest) serve(i int, served []uuid.UUID) {
	_, err := s.store.RegisterRunner(s.ctx, store.RegisterRunnerParams{Now: s.now, Runner: s.runners[i], Deployments: served})
	s.wantErr("serve", err, nil)
	s.model.served[s.runners[i].ID] = served
	s.model.handOutAll()
}

func (s *modelTest) serveSome() {
	s.serve(1, slices.DeleteFunc(s.served(), func(uuid.UUID) bool { return s.rand.IntN(2) == 0 }))
}

func (s *modelTest) toggle() {
	s.unserved = !s.unserved
	s.serve(1, nil)
	s.serve(0, s.served())
}

func (s *modelTest) deleteDeployment() {
	d := s.anyDeployment()
	s.wantErr("delete deployment", s.store.DeleteDeployment(s.ctx, store.DeleteDeploymentParams{Now: s.now, ID: d.record.ID}), s.model.deleteDeployment(d, s.now))
}

// anyDeployment is one that was declared at some time.
func (s *modelTest) anyDeployment() *modelDeployment {
	return s.model.deployments[s.rand.IntN(len(s.model.deployments))]
}

func (s *modelTest) pause() {
	d := s.anyDeployment()
	operator := []*bool{nil, new(bool), new(bool)}[s.rand.IntN(3)]
	if operator != nil {
		*operator = s.rand.IntN(2) == 0
	}
	_, err := s.store.SetPause(s.ctx, store.SetPauseParams{Now: s.now, DeploymentID: d.record.ID, Operator: operator})
	s.wantErr("pause", err, s.model.pause(d, operator, s.now))
}

func (s *modelTest) plan() {
	d := s.anyDeployment()
	for len(d.record.Schedules) == 0 {
		d = s.anyDeployment()
	}
	p := store.SchedulePlan{
		DeploymentID: d.record.ID, Generation: d.generation, Key: "tick", From: d.planned, Planned: d.planned,
	}
	if s.rand.IntN(8) == 0 {
		p.Generation--
	}
	offset := time.Duration(len(d.record.Name)) * time.Microsecond // no two deployments have runs that are due together
	at := d.planned.Truncate(10 * time.Minute)
	for range 1 + s.rand.IntN(3) {
		at = at.Add(10 * time.Minute)
		tick := at.Add(offset)
		p.Runs = append(p.Runs, store.PlannedRun{ID: store.NewID(s.now), ScheduledTime: tick, DueTime: tick, CatchUp: s.rand.IntN(3) == 0})
		p.Planned = tick
	}
	if s.rand.IntN(3) == 0 && len(s.model.runs) > 0 {
		p.Late = []time.Time{s.model.runs[s.rand.IntN(len(s.model.runs))].scheduled}
	}
	errs, err := s.store.PlanRuns(s.ctx, store.PlanRunsParams{Now: s.now, Plans: []store.SchedulePlan{p}})
	s.wantErr("plan", errors.Join(append(errs, err)...), s.model.plan(p, s.now))
}

func (s *modelTest) create() {
	d := s.anyDeployment()
	p := store.CreateRunParams{
		Now: s.now, ID: store.NewID(s.now), DeploymentID: d.record.ID, ScheduledTime: s.now,
		DueTime: s.now.Add(time.Duration(s.rand.Int64N(int64(4*time.Minute))) - 2*time.Minute).Truncate(time.Microsecond),
	}
	if s.rand.IntN(4) == 0 {
		p.IdempotencyKey = fmt.Sprint(s.rand.IntN(5))
	}
	if s.rand.IntN(8) == 0 {
		p.Generation = d.generation - 1
	}
	if s.rand.IntN(8) == 0 && len(s.model.runs) > 0 {
		p.ID = s.anyRun()
	}
	got, err := s.store.CreateRun(s.ctx, p)
	want, wantErr := s.model.create(p)
	s.wantErr("create", err, wantErr)
	if err == nil && want != nil && got.ID != want.id {
		s.Errorf("create: got run %s, want %s", got.ID, want.id)
	}
}

func (s *modelTest) child() {
	lease := s.anyLease()
	p := store.CreateRunParams{Now: s.now, ID: store.NewID(s.now), ScheduledTime: s.now, DueTime: s.now, Child: &store.ChildRun{Parent: lease, Flow: "inner"}}
	_, err := s.store.CreateRun(s.ctx, p)
	s.wantErr("child", err, s.model.child(p))
	if err == nil {
		s.leases = append(s.leases, store.Lease{RunID: p.ID, Token: lease.Token})
	}
}

const modelTTL = 10 * time.Minute

func (s *modelTest) claim() {
	runner, limit := s.runners[s.rand.IntN(2)], 1+s.rand.IntN(4)
	if s.claimID[runner.ID] == uuid.Nil || s.rand.IntN(4) > 0 { // else the call is repeated
		s.claimID[runner.ID] = store.NewID(s.now)
	}
	id := s.claimID[runner.ID]
	got, err := s.store.ClaimRuns(s.ctx, store.ClaimRunsParams{Now: s.now, Runner: runner.ID, ID: id, Limit: limit, TTL: modelTTL})
	s.wantErr("claim", err, nil)
	want := s.model.claimOrRepeat(runner, id, limit, s.now)
	var leases []store.Lease
	for _, c := range got.Runs {
		leases = append(leases, c.Lease)
	}
	if !slices.Equal(leases, want) {
		s.Errorf("claim:\n got %v\nwant %v", leases, want)
	}
	if next := s.model.nextClaim(runner, s.now); !got.Next.Equal(next) {
		s.Errorf("claim: got next %s, want %s", got.Next, next)
	}
	s.leases = append(s.leases, leases...)
}

// anyLease is mostly one that was given of late.
func (s *modelTest) anyLease() store.Lease {
	if len(s.leases) == 0 || s.rand.IntN(20) == 0 {
		return store.Lease{RunID: store.NewID(s.now), Token: 1}
	}
	return s.leases[len(s.leases)-1-min(int(s.rand.ExpFloat64()*8), len(s.leases)-1)]
}

func (s *modelTest) settle() {
	u := store.RunUpdate{Lease: s.anyLease(), Attempt: s.rand.IntN(3), Crashed: s.rand.IntN(4) == 0}
	if s.rand.IntN(3) > 0 {
		u.StartTime, u.Attempt = s.now, 1+s.rand.IntN(2)
	}
	types := []store.StateType{"", store.StateScheduled, store.StateCompleted, store.StateCompleted, store.StateFailed, store.StateCrashed, store.StateCancelled, store.StatePending}
	if t := types[s.rand.IntN(len(types))]; t != "" {
		u.State = store.NewState(t, s.now, "")
	}
	if s.rand.IntN(2) == 0 {
		u.DueTime = s.now.Add(time.Duration(s.rand.Int64N(int64(time.Minute)))).Truncate(time.Microsecond)
	}
	for range 1 + s.rand.IntN(2) { // a lost ack now and then
		errs, err := s.store.SettleRuns(s.ctx, store.SettleRunsParams{Now: s.now, Updates: []store.RunUpdate{u}})
		s.wantErr(fmt.Sprintf("settle as %q", u.State.Type), errors.Join(append(errs, err)...), s.model.settle(u, s.now))
	}
}

func (s *modelTest) renew() {
	lease := s.anyLease()
	got, err := s.store.RenewLeases(s.ctx, store.RenewLeasesParams{Now: s.now, TTL: modelTTL, Leases: []store.Lease{lease}})
	s.wantErr("renew", err, nil)
	lost, cancel := s.model.renew(lease, s.now)
	if (len(got.Lost) > 0) != lost || len(got.Cancel) != cancel {
		s.Errorf("renew: got %+v, want lost %t and %d to cancel", got, lost, cancel)
	}
}

// log writes the next stretch of a lease's lines, or the newest one again, perhaps with more lines;
// some stretches and lines never come.
func (s *modelTest) log() {
	lease := s.anyLease()
	stretch := s.logged[lease]
	stretch.Lease = lease
	switch s.rand.IntN(4) {
	case 0: // again
	case 1: // again, with more behind it
		stretch.Lines = slices.Concat(stretch.Lines, s.lines())
	case 2: // the one before was lost
		stretch.After += int64(len(stretch.Lines) + 1 + s.rand.IntN(3))
		stretch.Lines = s.lines()
	default:
		stretch.After += int64(len(stretch.Lines))
		stretch.Lines = s.lines()
	}
	if s.rand.IntN(3) == 0 {
		stretch.Dropped += s.rand.Int64N(4)
	}
	s.logged[lease] = stretch
	for range 1 + s.rand.IntN(2) { // a lost ack now and then
		errs, err := s.store.AppendLogs(s.ctx, store.AppendLogsParams{Runs: []store.RunLog{stretch}})
		s.wantErr("log", errors.Join(append(errs, err)...), s.model.append(stretch))
	}
}

// lines are a few lines with unlike texts.
func (s *modelTest) lines() []store.LogRecord {
	lines := make([]store.LogRecord, s.rand.IntN(4))
	for i := range lines {
		lines[i] = store.LogRecord{Time: s.now, Message: fmt.Sprint(s.rand.Uint32())}
	}
	return lines
}

func (s *modelTest) compareLog(r *modelRun) {
	s.Helper()
	got, err := s.store.ListLogs(s.ctx, store.LogFilter{RunID: r.id, Limit: store.MaxPage})
	s.wantErr("logs", err, nil)
	same := len(got.Lines) == len(r.log.lines) && got.Dropped == r.log.dropped && !got.More
	for i := 0; same && i < len(got.Lines); i++ {
		line := got.Lines[i]
		same = line.Message == r.log.lines[i] && line.Seq == int64(i+1) && line.RunID == r.id
	}
	if !same {
		s.Errorf("log of run %s:\n got %d lines, %d dropped: %v\nwant %d lines, %d dropped: %v", r.id,
			len(got.Lines), got.Dropped, got.Lines, len(r.log.lines), r.log.dropped, r.log.lines)
	}
}

func (s *modelTest) reap() {
	got, err := s.store.ReapLeases(s.ctx, store.ReapLeasesParams{Now: s.now, Limit: 1})
	s.wantErr("reap", err, nil)
	want := s.model.reap(s.now)
	if (want == nil) != (len(got.Runs) == 0) || (want != nil && got.Runs[0].ID != want.id) {
		s.Errorf("reap: got %d runs, want %v", len(got.Runs), want)
	}
}

func (s *modelTest) anyRun() uuid.UUID {
	if len(s.model.runs) == 0 || s.rand.IntN(20) == 0 {
		return store.NewID(s.now)
	}
	return s.model.runs[s.rand.IntN(len(s.model.runs))].id
}

func (s *modelTest) cancel() {
	id := s.anyRun()
	_, err := s.store.CancelRun(s.ctx, store.CancelRunParams{Now: s.now, RunID: id})
	s.wantErr("cancel", err, s.model.cancel(id, s.now))
}

func (s *modelTest) retry() {
	id := s.anyRun()
	_, err := s.store.RetryRun(s.ctx, store.RetryRunParams{Now: s.now, RunID: id})
	s.wantErr("retry", err, s.model.retry(id, s.now))
}

func (s *modelTest) deleteRun() {
	id := s.anyRun()
	s.wantErr("delete run", s.store.DeleteRun(s.ctx, id), s.model.deleteRun(id))
}

func (s *modelTest) wantErr(what string, got, want error) {
	s.Helper()
	if (want == nil) != (got == nil) || !errors.Is(got, want) {
		s.Errorf("%s: got error %v, want %v", what, got, want)
	}
}

// compare holds all that the store lists against the model.
func (s *modelTest) compare() {
	s.Helper()
	page, err := s.store.ListRuns(s.ctx, store.RunFilter{Sort: store.OldestFirst, Limit: store.MaxPage})
	s.wantErr("list", err, nil)
	want := slices.Clone(s.model.runs)
	slices.SortFunc(want, func(a, b *modelRun) int { return compareIDs(a.id, b.id) })
	if len(page.Items) != len(want) {
		s.Errorf("got %d runs, want %d", len(page.Items), len(want))
		return
	}
	for i, r := range page.Items {
		if !want[i].equals(r) {
			s.Errorf("run %s:\n got %s\nwant %s", r.ID, outline(r), want[i].outline())
		}
		s.compareLog(want[i])
	}
	for _, d := range s.model.deployments {
		s.compareDeployment(d)
	}
}

func (s *modelTest) compareDeployment(d *modelDeployment) {
	s.Helper()
	got, err := s.store.GetDeployment(s.ctx, d.record.ID)
	if d.deleted {
		s.wantErr("get "+d.record.Name, err, store.ErrNotFound)
		return
	}
	s.wantErr("get "+d.record.Name, err, nil)
	if got.Generation != d.generation {
		s.Errorf("deployment %s: got generation %d, want %d", d.record.Name, got.Generation, d.generation)
	}
	if len(got.Schedules) == 0 {
		return
	}
	tick := got.Schedules[0]
	if !tick.Planned.Equal(d.planned) || !tick.Watermark.Equal(d.watermark) {
		s.Errorf("deployment %s: got planned %s, watermark %s; want %s, %s", d.record.Name,
			tick.Planned, tick.Watermark, d.planned, d.watermark)
	}
}

func (r *modelRun) equals(got *store.Run) bool {
	return r.id == got.ID && r.scheduled.Equal(got.ScheduledTime) && r.due.Equal(got.DueTime) && r.end.Equal(got.EndTime) &&
		r.attempt == got.Attempt && r.crashes == got.Crashes && r.waitReason() == got.WaitReason && r.runner == got.Runner &&
		slices.EqualFunc(r.history, got.History, func(a, b store.State) bool {
			return a.Type == b.Type && a.Name == b.Name && a.Timestamp.Equal(b.Timestamp)
		})
}

func outline(r *store.Run) string {
	return fmt.Sprint(steps(r.History), r.ScheduledTime, r.DueTime, r.EndTime, r.Attempt, r.Crashes, r.WaitReason, r.Runner)
}

func (r *modelRun) outline() string {
	return fmt.Sprint(steps(r.history), r.scheduled, r.due, r.end, r.attempt, r.crashes, r.waitReason(), r.runner)
}

func (r *modelRun) waitReason() string {
	if r.parked {
		return store.WaitLimit
	}
	return ""
}

// steps is a history without its messages.
func steps(history []store.State) string {
	text := ""
	for _, s := range history {
		text += fmt.Sprintf("%s/%s %s; ", s.Type, s.Name, s.Timestamp.Format(time.TimeOnly+".000000"))
	}
	return text
}

// invariants are what the store's indexes owe its runs.
type invariants struct{ held map[string]int } // slots of each limit after the last step

func (i *invariants) check(t *testing.T, m *Store) {
	t.Helper()
	i.checkIndexes(t, m)
	i.checkLimits(t, m)
	i.checkLanes(t, m)
}

func (i *invariants) checkIndexes(t *testing.T, m *Store) {
	t.Helper()
	var ended, leased, children, keyed int
	states := make(map[store.StateType]int)
	tags := make(map[string]int)
	deployments := make(map[*deployment]int)
	queued := make(map[*deployment]int)
	waiting := make(map[*deployment]int)
	for _, r := range m.runs {
		state := r.state().Type
		states[state]++
		for _, tag := range r.tags {
			tags[tag]++
		}
		if r.key != "" {
			keyed++
		}
		if r.claimed() {
			leased++
		}
		if state.Terminal() {
			ended++
		}
		if r.parent != nil {
			children++
			if m.runs[r.parent.id] != r.parent {
				t.Errorf("child run %s has outlived its parent", r.id)
			}
			continue
		}
		deployments[r.deployment]++
		switch {
		case r.parked:
			waiting[r.deployment]++
		case state == store.StateScheduled:
			queued[r.deployment]++
		}
		if held := state == store.StatePending || state == store.StateRunning || state == store.StateCancelling; held != r.claimed() {
			t.Errorf("run %s is %s; claimed: %t", r.id, state, r.claimed())
		}
	}
	wantCount(t, "runs in all", m.all.Len(), len(m.runs))
	wantCount(t, "ended runs", m.ended.Len(), ended)
	wantCount(t, "leases", m.leases.Len(), leased)
	wantCount(t, "keys", len(m.keys), keyed)
	for state, index := range m.states {
		wantCount(t, "runs in state "+string(state), index.Len(), states[state])
		for r := range index.Ascend() {
			if r.state().Type != state {
				t.Errorf("run %s is %s among the runs in %s", r.id, r.state().Type, state)
			}
		}
	}
	wantCount(t, "tags", len(m.tags), len(tags))
	for tag, index := range m.tags {
		wantCount(t, "runs with tag "+tag, index.Len(), tags[tag])
	}
	inside := 0
	for _, index := range m.children {
		inside += index.Len()
	}
	wantCount(t, "child runs", inside, children)
	for _, d := range m.deployments {
		wantCount(t, "runs of "+d.record.Name, d.runs.Len(), deployments[d])
		wantCount(t, "queue of "+d.record.Name, d.queue.Len(), queued[d])
		wantCount(t, "runs that wait in "+d.record.Name, d.waiting.Len(), waiting[d])
	}
}

// checkLimits: a limit counts what has a slot, never grants more than its size, and grants what it
// has while somebody waits.
func (i *invariants) checkLimits(t *testing.T, m *Store) {
	t.Helper()
	slots := make(map[*limit]int)
	parked := make(map[*limit]int)
	for _, r := range m.runs {
		if r.slot != nil {
			slots[r.slot]++
		}
		if r.parked {
			parked[r.deployment.limit]++
		}
	}
	for key, l := range m.limits {
		wantCount(t, "slots of "+key, len(l.slots), slots[l])
		wantCount(t, "queue of "+key, l.queue.Len(), parked[l])
		if before, known := i.held[key]; known && len(l.slots) > l.size && len(l.slots) > before {
			t.Errorf("%s: %d slots are held of %d, before it were %d", key, len(l.slots), l.size, before)
		}
		if len(l.slots) < l.size && l.queue.Len() > 0 {
			t.Errorf("%s: %d runs wait though %d of %d slots are held", key, l.queue.Len(), len(l.slots), l.size)
		}
	}
	clear(i.held)
	for key, l := range m.limits {
		if len(l.members) > 0 {
			i.held[key] = len(l.slots)
		}
	}
}

// checkLanes: each served deployment is in the lane of its priority and runners, and each lane is a
// heap.
func (i *invariants) checkLanes(t *testing.T, m *Store) {
	t.Helper()
	for _, d := range m.deployments {
		switch {
		case len(d.servers) == 0:
			if d.lane != nil {
				t.Errorf("%s is in a lane though nobody serves it", d.record.Name)
			}
		case d.lane == nil || m.lanes[laneKey(d)] != d.lane || d.lane.heads[d.laneIndex] != d:
			t.Errorf("%s is not in its lane", d.record.Name)
		}
	}
	for _, l := range m.lanes {
		for n := 1; n < len(l.heads); n++ {
			if l.heads.Less(n, (n-1)/2) {
				t.Errorf("lane of %s: no heap at %d", l.heads[0].record.Name, n)
			}
		}
	}
	for _, r := range m.runners {
		if !slices.IsSortedFunc(r.lanes, func(a, b *lane) int { return cmp.Compare(b.priority, a.priority) }) {
			t.Errorf("lanes of runner %s are not in order of priority", r.record.Name)
		}
	}
}

func wantCount(t *testing.T, what string, got, want int) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %d, want %d", what, got, want)
	}
}
