package storetest

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/schedule"
	"github.com/provost-go/provost/store"
)

var runnerCases = []testCase{
	{
		"Unserved", "RegisterRunner returns the deployments that no other live runner serves",
		func(f *fixture) {
			a, b := f.deploy("a"), f.deploy("b")
			f.serve(f.base, a)
			second := f.runner("second", f.base, f.at(forever))
			expectSame(f, "unserved", f.registerRunner(f.base, second, a, b), b.ID)
			expectSame(f, "unserved on repetition", f.registerRunner(f.base, second, a, b), b.ID)
		},
	},
	{
		"UnservedAfterEnd", "a runner whose lease has ended serves nothing",
		func(f *fixture) {
			d := f.deploy("a")
			f.registerRunner(f.base, f.runner("first", f.base, f.at(leaseTTL)), d)
			now := f.afterLease(f.base)
			expectSame(f, "unserved", f.registerRunner(now, f.runner("second", now, f.at(forever)), d), d.ID)
		},
	},
	{
		"UnknownDeployment", "RegisterRunner ignores deployments that are not in the store",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.runner("r", f.base, f.at(forever))
			unserved, err := f.store.RegisterRunner(f.ctx, store.RegisterRunnerParams{
				Now: f.base, Runner: r, Deployments: []uuid.UUID{uuid.New(), d.ID},
			})
			f.must(err)
			expectSame(f, "unserved", unserved, d.ID)
			f.createNow(f.base, d)
			expect(f, "claims", len(f.claim(f.base, r, 10)), 1)
		},
	},
	{
		"Replaces", "a registration replaces what the runner served before",
		func(f *fixture) {
			a, b := f.deploy("a"), f.deploy("b")
			r := f.serve(f.base, a)
			f.registerRunner(f.base, r, b)
			expect(f, "names of who serves a", len(f.deployment(a.ID).ServedBy), 0)
			expectSame(f, "who serves b", servers(f.deployment(b.ID)), "runner")
			f.createNow(f.base, a)
			f.createNow(f.base, b)
			claims := f.claim(f.base, r, 10)
			if len(claims) != 1 || claims[0].DeploymentID != b.ID {
				f.Errorf("got %d claims, want only the run of b", len(claims))
			}
		},
	},
	{
		"UnknownRunner", "an unknown runner must register again: its heartbeat and its claim return ErrNotFound; removing it succeeds",
		func(f *fixture) {
			err := f.store.HeartbeatRunner(f.ctx, store.HeartbeatRunnerParams{Now: f.base, Runner: uuid.New(), Until: f.at(forever)})
			f.wantErr("HeartbeatRunner", err, store.ErrNotFound)
			_, err = f.store.ClaimRuns(f.ctx, store.ClaimRunsParams{Now: f.base, Runner: uuid.New(), Limit: 1, TTL: longTTL})
			f.wantErr("ClaimRuns", err, store.ErrNotFound)
			f.must(f.store.RemoveRunner(f.ctx, store.RemoveRunnerParams{Now: f.base, Runner: uuid.New(), Pause: true}))
		},
	},
	{
		"FirstServedAtOnce", "a deployment that is served from its registration on has no gap",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			f.serve(f.base, d)
			item, ok := f.due(f.base, d)
			expect(f, "wants planning", ok, true)
			expect(f, "gap", item.Gap, false)
		},
	},
	{
		"Gap", "a deployment that is served again has a gap, which bounds what was missed and lists the unstarted runs in it",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			r := f.serve(f.base, d)
			f.plan(f.base, d, f.at(time.Hour), f.at(2*time.Hour), f.at(3*time.Hour))
			f.must(f.store.RemoveRunner(f.ctx, store.RemoveRunnerParams{Now: f.at(90 * time.Minute), Runner: r.ID}))
			f.serve(f.at(150*time.Minute), d)
			item, ok := f.due(f.at(150*time.Minute), d)
			expect(f, "wants planning", ok, true)
			expect(f, "gap", item.Gap, true)
			expectTime(f, "served until", item.ServedUntil, f.at(90*time.Minute))
			unclaimed := slices.DeleteFunc(item.Unclaimed, func(t time.Time) bool { return t.After(f.at(150 * time.Minute)) })
			expectTimes(f, "unclaimed in the gap", unclaimed, f.at(2*time.Hour))
		},
	},
	{
		"GapHoldsBack", "runs of a deployment with a gap are not claimed until PlanRuns has dealt with it for each schedule",
		func(f *fixture) {
			d := f.deploy("a", withSchedule, func(r *store.DeploymentRecord) {
				r.Schedules = append(r.Schedules, store.ScheduleRecord{Key: "daily", Schedule: schedule.Cron("@daily").Named("daily")})
			})
			r := f.serve(f.base, d)
			f.plan(f.base, d, f.at(time.Hour))
			f.must(f.store.RemoveRunner(f.ctx, store.RemoveRunnerParams{Now: f.at(time.Minute), Runner: r.ID}))
			now := f.at(2 * time.Hour)
			r = f.serve(now, d)
			expect(f, "claims before any plan", len(f.claim(now, r, 10)), 0)
			p := f.nextPlan(d)
			p.GapFound = now
			f.write(now, p)
			expect(f, "claims with one schedule planned", len(f.claim(now, r, 10)), 0)
			p.Key = "daily"
			p.From = f.deployment(d.ID).Schedule("daily").Planned
			p.Planned = p.From
			f.write(now, p)
			expect(f, "claims with both planned", len(f.claim(now, r, 10)), 1)
			item, ok := f.due(now, d)
			expect(f, "gap is left", ok && item.Gap, false)
		},
	},
	{
		"GapNeedsSchedule", "a deployment without schedules never has a gap",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.at(time.Hour), d)
			f.createNow(f.at(time.Hour), d)
			expect(f, "claims", len(f.claim(f.at(time.Hour), r, 10)), 1)
		},
	},
	{
		"Heartbeat", "a heartbeat extends a runner's lease and is shown in the list",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			r := f.runner("r", f.base, f.at(time.Minute))
			f.registerRunner(f.base, r, d)
			f.write(f.base, f.nextPlan(d))
			f.must(f.store.HeartbeatRunner(f.ctx, store.HeartbeatRunnerParams{Now: f.at(30 * time.Second), Runner: r.ID, Until: f.at(forever)}))
			runners, err := f.store.ListRunners(f.ctx)
			f.must(err)
			expectTime(f, "seen at", runners[0].SeenAt, f.at(30*time.Second))
			expectTime(f, "until", runners[0].Until, f.at(forever))
			f.createNow(f.at(time.Hour), d)
			expect(f, "claims", len(f.claim(f.at(time.Hour), r, 10)), 1)
		},
	},
	{
		"LateHeartbeat", "a heartbeat after the previous Until opens a gap",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			r := f.runner("r", f.base, f.at(leaseTTL))
			f.registerRunner(f.base, r, d)
			f.write(f.base, f.nextPlan(d))
			now := f.afterLease(f.base)
			f.must(f.store.HeartbeatRunner(f.ctx, store.HeartbeatRunnerParams{Now: now, Runner: r.ID, Until: f.at(forever)}))
			item, ok := f.due(now, d)
			expect(f, "wants planning", ok, true)
			expect(f, "gap", item.Gap, true)
			expectTime(f, "served until", item.ServedUntil, f.base)
		},
	},
	{
		"LateHeartbeatOfOne", "a late heartbeat opens no gap if another live runner serves the deployment",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			f.serve(f.base, d)
			r := f.runner("r", f.base, f.at(leaseTTL))
			f.registerRunner(f.base, r, d)
			f.write(f.base, f.nextPlan(d))
			now := f.afterLease(f.base)
			f.must(f.store.HeartbeatRunner(f.ctx, store.HeartbeatRunnerParams{Now: now, Runner: r.ID, Until: f.at(forever)}))
			if item, ok := f.due(now, d); ok && item.Gap {
				f.Error("got a gap, want none")
			}
		},
	},
	{
		"EndedLease", "a claim of a runner whose lease has ended returns ErrNotFound",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.runner("r", f.base, f.at(leaseTTL))
			f.registerRunner(f.base, r, d)
			now := f.afterLease(f.base)
			f.createNow(now, d)
			_, err := f.store.ClaimRuns(f.ctx, store.ClaimRunsParams{Now: now, Runner: r.ID, Limit: 1, TTL: longTTL})
			f.wantErr("ClaimRuns", err, store.ErrNotFound)
		},
	},
	{
		"Remove", "a removed runner is forgotten; removing it again succeeds",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			c := f.claimOne(f.base, r, longTTL)
			f.must(f.store.RemoveRunner(f.ctx, store.RemoveRunnerParams{Now: f.base, Runner: r.ID}))
			f.must(f.store.RemoveRunner(f.ctx, store.RemoveRunnerParams{Now: f.base, Runner: r.ID}))
			runners, err := f.store.ListRunners(f.ctx)
			f.must(err)
			expect(f, "runners", len(runners), 0)
			expect(f, "paused", f.deployment(d.ID).Pause.Effective(), false)
			f.settle(f.base, ended(c.Lease, f.base, store.StateCompleted)) // the leases stay
		},
	},
	{
		"RemoveWithPause", "with Pause, the deployments that no other live runner serves get the shutdown mark, and no others",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			first, second := f.serve(f.base, d), f.serve(f.base, d)
			f.plan(f.base, d, f.at(time.Hour))
			f.must(f.store.RemoveRunner(f.ctx, store.RemoveRunnerParams{Now: f.base, Runner: first.ID, Pause: true}))
			expect(f, "paused with a runner left", f.deployment(d.ID).Pause.Shutdown, false)
			f.must(f.store.RemoveRunner(f.ctx, store.RemoveRunnerParams{Now: f.base, Runner: second.ID, Pause: true}))
			stored := f.deployment(d.ID)
			expect(f, "paused with none left", stored.Pause.Shutdown, true)
			expect(f, "generation", stored.Generation, 2)
			expect(f, "runs", len(f.instants(d)), 0)
		},
	},
	{
		"RegisterClearsShutdown", "RegisterRunner clears the shutdown marks of what it serves",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			r := f.serve(f.base, d)
			f.must(f.store.RemoveRunner(f.ctx, store.RemoveRunnerParams{Now: f.base, Runner: r.ID, Pause: true}))
			f.serve(f.at(time.Minute), d)
			stored := f.deployment(d.ID)
			expect(f, "paused", stored.Pause.Effective(), false)
			expect(f, "generation", stored.Generation, 3)
		},
	},
	{
		"List", "runners are listed by the time they were last seen, newest first, including those whose lease has ended",
		func(f *fixture) {
			d := f.deploy("a")
			f.registerRunner(f.base, f.runner("old", f.base, f.at(time.Minute)), d)
			f.registerRunner(f.at(2*time.Hour), f.runner("new", f.at(2*time.Hour), f.at(forever)), d)
			f.registerRunner(f.at(2*time.Hour), f.runner("middle", f.at(time.Hour), f.at(forever)))
			runners, err := f.store.ListRunners(f.ctx)
			f.must(err)
			var names []string
			for _, r := range runners {
				names = append(names, r.Name)
			}
			expectSame(f, "runners", names, "new", "middle", "old")
			expect(f, "deployments", runners[0].Deployments, 1)
			expect(f, "version", runners[0].Version, "v1")
			expectTime(f, "started", runners[0].Started, f.at(2*time.Hour))
		},
	},
	{
		"ListDrops", "a runner is listed until a day after its lease has ended",
		func(f *fixture) {
			if !f.byNow {
				skipCase(f.T, "it takes a day")
			}
			d := f.deploy("a")
			f.registerRunner(f.base, f.runner("old", f.base, f.at(time.Minute)), d)
			f.serve(f.at(25*time.Hour), d)
			runners, err := f.store.ListRunners(f.ctx)
			f.must(err)
			expect(f, "runners", len(runners), 1)
			expectSame(f, "who serves", servers(f.deployment(d.ID)), "runner")
		},
	},
	{
		"Many", "a deployment may have any number of runners; of those whose lease has ended, the MaxDeadRunners that ended last are kept",
		func(f *fixture) {
			d := f.deploy("a")
			run := f.createNow(f.base, d)
			const more = 10
			for i := range store.MaxDeadRunners + more {
				f.registerRunner(f.base, f.runner("r"+strconv.Itoa(i), f.base, f.at(time.Minute+time.Duration(i)*time.Millisecond)), d)
			}
			listed := func() int {
				runners, err := f.store.ListRunners(f.ctx)
				f.must(err)
				return len(runners)
			}
			expect(f, "live runners", listed(), store.MaxDeadRunners+more)
			if !f.byNow {
				skipCase(f.T, "it takes more than a minute")
			}
			r := f.serve(f.at(time.Hour), d)
			expect(f, "runners", listed(), store.MaxDeadRunners+1)
			kept := servers(f.deployment(d.ID))
			for i := range more {
				if slices.Contains(kept, "r"+strconv.Itoa(i)) {
					f.Errorf("runner %d, whose lease ended before those of %d others, is kept", i, store.MaxDeadRunners)
				}
			}
			expect(f, "run", f.claimOne(f.at(time.Hour), r, longTTL).RunID, run.ID)
		},
	},
}

func skipCase(t *testing.T, why string) {
	t.Helper()
	t.Skip("cannot be tested with a store that judges leases by its own clock: " + why)
}

// servers returns the names of the runners that serve a deployment.
func servers(d *store.DeploymentRecord) []string {
	var names []string
	for _, s := range d.ServedBy {
		names = append(names, s.Name)
	}
	return names
}
