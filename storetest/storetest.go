// Package storetest is the conformance suite for authors of stores: [Run] checks a store against
// the contract of package store. Call it in a test of the store:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) store.Store { return open(t) })
//	}
//
// Each case is a subtest that checks one rule. A case that fails logs its rule.
package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/schedule"
	"github.com/provost-go/provost/store"
)

// Run checks a store against every rule of its contract. It calls open once for each case. open
// returns an empty store for this case alone, and closes it with t.Cleanup.
//
// Cases run in parallel. A store may judge leases by a clock of its own instead of the Now of a
// call; Run finds that out. With such a store the cases about the end of a lease wait for it, a
// fraction of a second each.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	byNow := judgesByNow(t, open)
	groups := []struct {
		name  string
		cases []testCase
	}{
		{"Deployments", deploymentCases},
		{"Pauses", pauseCases},
		{"Runners", runnerCases},
		{"Plans", planCases},
		{"Skips", skipCases},
		{"Runs", runCases},
		{"ChildRuns", childCases},
		{"Backfills", backfillCases},
		{"Claims", claimCases},
		{"Leases", leaseCases},
		{"Settlements", settleCases},
		{"Limits", limitCases},
		{"Overlaps", overlapCases},
		{"Logs", logCases},
		{"Lists", listCases},
		{"Values", valueCases},
	}
	for _, group := range groups {
		t.Run(group.name, func(t *testing.T) {
			for _, c := range group.cases {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					c.check(t, open(t), byNow)
				})
			}
		})
	}
}

// testCase is one rule of the contract, and a function that fails if a store breaks it.
type testCase struct {
	name string
	rule string
	run  func(f *fixture)
}

func (c testCase) check(t *testing.T, st store.Store, byNow bool) {
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("rule: %s", c.rule)
		}
	})
	c.run(newFixture(t, st, byNow))
}

// fixture is a store under test, with helpers that keep the cases short. A helper ends the case if
// the store refuses what it should accept.
type fixture struct {
	*testing.T
	ctx   context.Context
	store store.Store
	byNow bool      // the store judges leases by the Now of a call
	base  time.Time // when the case begins
}

const (
	leaseTTL = 200 * time.Millisecond // of a lease that ends in the case
	longTTL  = time.Hour              // of a lease that does not
	forever  = 10_000 * time.Hour     // of a runner's lease, unless the case is about its end
)

func newFixture(t *testing.T, st store.Store, byNow bool) *fixture {
	f := &fixture{T: t, ctx: t.Context(), store: st, byNow: byNow}
	f.base = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	if !store.IsLocal(st) {
		f.base = time.Now().UTC().Truncate(time.Second)
	}
	return f
}

// judgesByNow reports whether a store judges leases by the Now of a call: a reaping whose Now is
// past the end of a lease finds it, although no time has passed.
func judgesByNow(t *testing.T, open func(t *testing.T) store.Store) (byNow bool) {
	t.Run("Clock", func(t *testing.T) {
		f := newFixture(t, open(t), true)
		d := f.deploy("a")
		r := f.serve(f.base, d)
		f.createNow(f.base, d)
		f.claimOne(f.base, r, longTTL)
		byNow = len(f.reap(f.at(2*longTTL)).Runs) == 1
	})
	return byNow
}

// at returns the time at an offset from the beginning of the case.
func (f *fixture) at(offset time.Duration) time.Time { return f.base.Add(offset) }

// afterLease returns a time at which every lease of leaseTTL that was given at a time has ended.
// With a store that has a clock of its own it waits for that.
func (f *fixture) afterLease(given time.Time) time.Time {
	if !f.byNow {
		<-time.After(leaseTTL + leaseTTL/2)
	}
	return given.Add(leaseTTL + leaseTTL/2)
}

// must ends the case if err is not nil.
func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatalf("got error %v, want none", err)
	}
}

// mustAll is must for operations that judge each item by itself.
func (f *fixture) mustAll(errs []error, err error) {
	f.Helper()
	f.must(err)
	for _, err := range errs {
		f.must(err)
	}
}

// wantErr checks that an error wraps a sentinel.
func (f *fixture) wantErr(what string, got, want error) {
	f.Helper()
	if !errors.Is(got, want) {
		f.Errorf("%s: got error %v, want one that wraps %q", what, got, want)
	}
}

// wantErrs checks the error of each item: that it wraps a sentinel, or is nil where nil is wanted.
func (f *fixture) wantErrs(what string, errs []error, err error, want ...error) {
	f.Helper()
	f.must(err)
	for i, wanted := range want {
		var got error
		if i < len(errs) {
			got = errs[i]
		}
		switch {
		case wanted == nil && got != nil:
			f.Errorf("%s: item %d: got error %v, want none", what, i, got)
		case wanted != nil && !errors.Is(got, wanted):
			f.Errorf("%s: item %d: got error %v, want one that wraps %q", what, i, got, wanted)
		}
	}
}

// expect compares two values.
func expect[T comparable](f *fixture, what string, got, want T) {
	f.Helper()
	if got != want {
		f.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// expectTime compares instants, and checks that the one from the store is in UTC.
func expectTime(f *fixture, what string, got, want time.Time) {
	f.Helper()
	if !got.Equal(want) {
		f.Errorf("%s: got %s, want %s", what, got, want)
	}
	if got.Location() != time.UTC && !got.IsZero() {
		f.Errorf("%s: got a time in %s, want UTC", what, got.Location())
	}
}

func expectTimes(f *fixture, what string, got []time.Time, want ...time.Time) {
	f.Helper()
	if len(got) != len(want) {
		f.Errorf("%s: got %v, want %v", what, got, want)
		return
	}
	for i := range want {
		expectTime(f, what, got[i], want[i])
	}
}

// expectSkips compares ranges in order, by all their fields.
func expectSkips(f *fixture, what string, got []store.Skip, want ...store.Skip) {
	f.Helper()
	expectSame(f, what, f.texts(got), f.texts(want)...)
}

func (f *fixture) texts(skips []store.Skip) (texts []string) {
	f.Helper()
	for _, s := range skips {
		text, err := json.Marshal(s)
		f.must(err)
		texts = append(texts, string(text))
	}
	return texts
}

// expectSame compares lists in order.
func expectSame[T comparable](f *fixture, what string, got []T, want ...T) {
	f.Helper()
	if len(got) != len(want) {
		f.Errorf("%s: got %v, want %v", what, got, want)
		return
	}
	for i := range want {
		if got[i] != want[i] {
			f.Errorf("%s: got %v, want %v", what, got, want)
			return
		}
	}
}

// expectUnchanged calls an operation and checks that it writes nothing.
func (f *fixture) expectUnchanged(what string, operation func()) {
	f.Helper()
	before := f.dump()
	operation()
	if after := f.dump(); after != before {
		got, want := difference(after, before)
		f.Errorf("%s changed the store; the first difference:\n got: %s\nwant: %s", what, got, want)
	}
}

// difference returns the parts of two texts around the point from which they differ.
func difference(a, b string) (string, string) {
	const shown = 300
	same := 0
	for same < min(len(a), len(b)) && a[same] == b[same] {
		same++
	}
	from := max(0, same-shown/2)
	return a[from:min(len(a), same+shown/2)], b[from:min(len(b), same+shown/2)]
}

// dump returns everything that can be read from the store, as text.
func (f *fixture) dump() string {
	f.Helper()
	deployments, err := f.store.ListDeployments(f.ctx, store.DeploymentFilter{Limit: store.MaxPage})
	f.must(err)
	flows, err := f.store.ListFlows(f.ctx, store.FlowFilter{Limit: store.MaxPage})
	f.must(err)
	runners, err := f.store.ListRunners(f.ctx)
	f.must(err)
	runs, err := f.store.ListRuns(f.ctx, store.RunFilter{Limit: store.MaxPage})
	f.must(err)
	skips, err := f.store.ListSkips(f.ctx, store.SkipFilter{Limit: store.MaxPage})
	f.must(err)
	var logs []store.LogPage
	for _, r := range runs.Items {
		page, err := f.store.ListLogs(f.ctx, store.LogFilter{RunID: r.ID, Limit: store.MaxPage})
		f.must(err)
		logs = append(logs, page)
	}
	text, err := json.MarshalIndent([]any{deployments, flows, runners, runs, skips, logs}, "", " ")
	f.must(err)
	return string(text)
}

// everyHour is the schedule of declarations that ask for one.
var everyHour = schedule.Every(time.Hour).Named("hourly")

// withSchedule declares an hourly schedule under the key "hourly".
func withSchedule(r *store.DeploymentRecord) {
	r.Schedules = append(r.Schedules, store.ScheduleRecord{Key: "hourly", Schedule: everyHour})
}

// withLimit declares a concurrency limit of a size.
func withLimit(size int) func(*store.DeploymentRecord) {
	return func(r *store.DeploymentRecord) { r.ConcurrencyLimit, r.MaxWaiting = size, 1000 }
}

// withGroup declares a shared limit.
func withGroup(group string, size int) func(*store.DeploymentRecord) {
	return func(r *store.DeploymentRecord) { r.LimitGroup, r.ConcurrencyLimit, r.MaxWaiting = group, size, 1000 }
}

// declare returns a declaration of the deployment "etl/name".
func declare(name string, changes ...func(*store.DeploymentRecord)) *store.DeploymentRecord {
	r := &store.DeploymentRecord{
		Flow: "etl", Name: name, FlowID: store.FlowID("etl"),
		ID:         store.DeploymentID("etl", name),
		Entrypoint: "example.com/etl.Run", Version: "1",
	}
	for _, change := range changes {
		change(r)
	}
	r.Digest = r.ComputeDigest()
	return r
}

func (f *fixture) register(now time.Time, records ...*store.DeploymentRecord) []store.Registration {
	f.Helper()
	registrations, err := f.store.RegisterDeployments(f.ctx, store.RegisterDeploymentsParams{Now: now, Deployments: records})
	f.must(err)
	if len(registrations) != len(records) {
		f.Fatalf("got %d registrations of %d declarations", len(registrations), len(records))
	}
	return registrations
}

// deploy registers a deployment at the base time.
func (f *fixture) deploy(name string, changes ...func(*store.DeploymentRecord)) *store.DeploymentRecord {
	f.Helper()
	r := declare(name, changes...)
	f.register(f.base, r)
	return r
}

// runner returns the record of a new runner.
func (f *fixture) runner(name string, now, until time.Time) store.RunnerRecord {
	return store.RunnerRecord{ID: store.NewID(now), Name: name, Version: "v1", Started: now, SeenAt: now, Until: until}
}

// serve registers a new runner whose lease outlasts the case.
func (f *fixture) serve(now time.Time, served ...*store.DeploymentRecord) store.RunnerRecord {
	f.Helper()
	r := f.runner("runner", now, now.Add(forever))
	f.registerRunner(now, r, served...)
	return r
}

func (f *fixture) registerRunner(now time.Time, r store.RunnerRecord, served ...*store.DeploymentRecord) (unserved []uuid.UUID) {
	f.Helper()
	unserved, err := f.store.RegisterRunner(f.ctx, store.RegisterRunnerParams{Now: now, Runner: r, Deployments: ids(served)})
	f.must(err)
	return unserved
}

func ids(deployments []*store.DeploymentRecord) []uuid.UUID {
	var list []uuid.UUID
	for _, d := range deployments {
		list = append(list, d.ID)
	}
	return list
}

func (f *fixture) deleteDeployment(now time.Time, d *store.DeploymentRecord) {
	f.Helper()
	f.must(f.store.DeleteDeployment(f.ctx, store.DeleteDeploymentParams{Now: now, ID: d.ID}))
}

func (f *fixture) deployment(id uuid.UUID) *store.DeploymentRecord {
	f.Helper()
	d, err := f.store.GetDeployment(f.ctx, id)
	f.must(err)
	return d
}

func (f *fixture) schedule(d *store.DeploymentRecord) store.ScheduleRecord {
	f.Helper()
	s := f.deployment(d.ID).Schedule("hourly")
	if s == nil {
		f.Fatalf("deployment %s: got no schedule \"hourly\"", d.Handle())
	}
	return *s
}

func (f *fixture) pause(now time.Time, d *store.DeploymentRecord, key string, operator *bool) *store.DeploymentRecord {
	f.Helper()
	r, err := f.store.SetPause(f.ctx, store.SetPauseParams{Now: now, DeploymentID: d.ID, Schedule: key, Operator: operator})
	f.must(err)
	return r
}

// due returns the plan item of a deployment's hourly schedule, false if it does not need planning.
func (f *fixture) due(now time.Time, d *store.DeploymentRecord) (store.PlanItem, bool) {
	f.Helper()
	due, err := f.store.DueSchedules(f.ctx, store.DueSchedulesParams{Now: now})
	f.must(err)
	for _, item := range due.Items {
		if item.DeploymentID == d.ID && item.Key == "hourly" {
			return item, true
		}
	}
	return store.PlanItem{}, false
}

// nextPlan returns an empty plan that continues from what the store has.
func (f *fixture) nextPlan(d *store.DeploymentRecord) store.SchedulePlan {
	f.Helper()
	record := f.deployment(d.ID)
	planned := record.Schedule("hourly").Planned
	return store.SchedulePlan{
		DeploymentID: d.ID, Generation: record.Generation, Key: "hourly", From: planned, Planned: planned,
		Reason: store.SkipMissed,
	}
}

func (f *fixture) write(now time.Time, plans ...store.SchedulePlan) {
	f.Helper()
	f.mustAll(f.store.PlanRuns(f.ctx, store.PlanRunsParams{Now: now, Plans: plans}))
}

// plan materialises a run at each instant.
func (f *fixture) plan(now time.Time, d *store.DeploymentRecord, instants ...time.Time) {
	f.Helper()
	p := f.nextPlan(d)
	for _, at := range instants {
		p.Runs = append(p.Runs, store.PlannedRun{ID: store.NewID(now), ScheduledTime: at, DueTime: at})
		p.Planned = at
	}
	f.write(now, p)
}

// skip records a range of hourly instants.
func (f *fixture) skip(now time.Time, d *store.DeploymentRecord, reason store.SkipReason, first, last time.Time) store.Skip {
	f.Helper()
	p := f.nextPlan(d)
	s := f.skipRange(d, reason, first, last)
	p.Skips, p.Planned = []store.Skip{s}, last
	f.write(now, p)
	return s
}

func (f *fixture) skipRange(d *store.DeploymentRecord, reason store.SkipReason, first, last time.Time) store.Skip {
	return store.Skip{
		ID: store.NewID(last), DeploymentID: d.ID, Schedule: "hourly", Timing: schedule.Every(time.Hour), First: first, Last: last,
		Count: int(last.Sub(first)/time.Hour) + 1, Reason: reason,
	}
}

func (f *fixture) skips(d *store.DeploymentRecord) []store.Skip {
	f.Helper()
	page, err := f.store.ListSkips(f.ctx, store.SkipFilter{DeploymentID: d.ID})
	f.must(err)
	return page.Items
}

// byHand returns the parameters of a run made by hand that is due at once.
func byHand(now time.Time, d *store.DeploymentRecord) store.CreateRunParams {
	return store.CreateRunParams{Now: now, ID: store.NewID(now), DeploymentID: d.ID, ScheduledTime: now, DueTime: now}
}

func (f *fixture) create(p store.CreateRunParams) *store.Run {
	f.Helper()
	r, err := f.store.CreateRun(f.ctx, p)
	f.must(err)
	return r
}

func (f *fixture) createNow(now time.Time, d *store.DeploymentRecord) *store.Run {
	f.Helper()
	return f.create(byHand(now, d))
}

func (f *fixture) createChild(now time.Time, parent store.Lease) *store.Run {
	f.Helper()
	return f.create(childOf(now, parent))
}

func childOf(now time.Time, parent store.Lease) store.CreateRunParams {
	return store.CreateRunParams{
		Now: now, ID: store.NewID(now), ScheduledTime: now, DueTime: now,
		Child: &store.ChildRun{Parent: parent, Flow: "inner", Version: "7"},
	}
}

func (f *fixture) run(id uuid.UUID) *store.Run {
	f.Helper()
	r, err := f.store.GetRun(f.ctx, id)
	f.must(err)
	return r
}

func (f *fixture) runs(filter store.RunFilter) []*store.Run {
	f.Helper()
	page, err := f.store.ListRuns(f.ctx, filter)
	f.must(err)
	return page.Items
}

// instants returns the scheduled times of a deployment's runs in some states, soonest due first.
func (f *fixture) instants(d *store.DeploymentRecord, states ...store.StateType) []time.Time {
	f.Helper()
	var list []time.Time
	for _, r := range f.runs(store.RunFilter{DeploymentID: d.ID, States: states, Sort: store.SoonestDue}) {
		list = append(list, r.ScheduledTime)
	}
	return list
}

func (f *fixture) expectState(id uuid.UUID, want store.StateType, name string) {
	f.Helper()
	got := f.run(id).State
	if got.Type != want || got.Name != name {
		f.Errorf("state of run %s: got %s/%s, want %s/%s", id, got.Type, got.Name, want, name)
	}
}

func (f *fixture) expectNoRun(id uuid.UUID) {
	f.Helper()
	_, err := f.store.GetRun(f.ctx, id)
	f.wantErr("GetRun", err, store.ErrNotFound)
}

// claim claims what can be claimed, under leases that outlast the case.
func (f *fixture) claim(now time.Time, r store.RunnerRecord, limit int) []store.Claim {
	f.Helper()
	return f.claimFor(now, r, limit, longTTL).Runs
}

func (f *fixture) claimFor(now time.Time, r store.RunnerRecord, limit int, ttl time.Duration) store.ClaimRunsResult {
	f.Helper()
	claims, err := f.store.ClaimRuns(f.ctx, store.ClaimRunsParams{Now: now, Runner: r.ID, Limit: limit, TTL: ttl})
	f.must(err)
	return claims
}

// claimOne claims the only claimable run.
func (f *fixture) claimOne(now time.Time, r store.RunnerRecord, ttl time.Duration) store.Claim {
	f.Helper()
	claims := f.claimFor(now, r, 10, ttl).Runs
	if len(claims) != 1 {
		f.Fatalf("got %d claims, want 1", len(claims))
	}
	return claims[0]
}

func claimed(claims []store.Claim) []uuid.UUID {
	var list []uuid.UUID
	for _, c := range claims {
		list = append(list, c.RunID)
	}
	return list
}

func (f *fixture) settle(now time.Time, updates ...store.RunUpdate) {
	f.Helper()
	f.mustAll(f.trySettle(now, updates...))
}

func (f *fixture) trySettle(now time.Time, updates ...store.RunUpdate) ([]error, error) {
	return f.store.SettleRuns(f.ctx, store.SettleRunsParams{Now: now, Updates: updates})
}

// begin records that the function of an attempt began.
func (f *fixture) begin(now time.Time, lease store.Lease, attempt int) {
	f.Helper()
	f.settle(now, began(lease, now, attempt))
}

func began(lease store.Lease, at time.Time, attempt int) store.RunUpdate {
	return store.RunUpdate{Lease: lease, StartTime: at, Attempt: attempt, Version: "1"}
}

// ended returns the update of a first attempt that ended when it began.
func ended(lease store.Lease, at time.Time, state store.StateType) store.RunUpdate {
	u := began(lease, at, 1)
	u.State = store.State{Type: state, Timestamp: at}
	return u
}

// givenBack returns the update of a run that is given back and keeps no attempts.
func givenBack(lease store.Lease, at time.Time) store.RunUpdate {
	return store.RunUpdate{Lease: lease, State: store.State{Type: store.StateScheduled, Timestamp: at, Message: "handed back"}}
}

// awaitingRetry returns the update of a run whose first attempt failed, and that waits for another.
func awaitingRetry(lease store.Lease, at time.Time) store.RunUpdate {
	u := givenBack(lease, at)
	u.State.Name, u.Attempt = store.NameAwaitingRetry, 1
	return u
}

// finished returns a new run of a deployment that has ended in a state.
func (f *fixture) finished(now time.Time, d *store.DeploymentRecord, r store.RunnerRecord, state store.StateType) *store.Run {
	f.Helper()
	f.createNow(now, d)
	c := f.claimOne(now, r, longTTL)
	f.settle(now, ended(c.Lease, now, state))
	return f.run(c.RunID)
}

func (f *fixture) cancel(now time.Time, id uuid.UUID) *store.Run {
	f.Helper()
	r, err := f.store.CancelRun(f.ctx, store.CancelRunParams{Now: now, RunID: id, Message: "not wanted"})
	f.must(err)
	return r
}

func (f *fixture) retry(now time.Time, id uuid.UUID) (*store.Run, error) {
	return f.store.RetryRun(f.ctx, store.RetryRunParams{Now: now, RunID: id, Message: "once more"})
}

func (f *fixture) reap(now time.Time) store.ReapLeasesResult {
	f.Helper()
	reaped, err := f.store.ReapLeases(f.ctx, store.ReapLeasesParams{Now: now})
	f.must(err)
	return reaped
}

// log appends the first lines of a lease.
func (f *fixture) log(lease store.Lease, lines ...store.LogRecord) {
	f.Helper()
	f.logAfter(0, lease, lines...)
}

// logAfter appends lines of a lease, after a number of lines appended before.
func (f *fixture) logAfter(given int64, lease store.Lease, lines ...store.LogRecord) {
	f.Helper()
	f.mustAll(f.store.AppendLogs(f.ctx, store.AppendLogsParams{Runs: []store.RunLog{{Lease: lease, After: given, Lines: lines}}}))
}

func yes() *bool { v := true; return &v }
func no() *bool  { v := false; return &v }
