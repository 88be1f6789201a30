package storetest

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/params"
	"github.com/provost-go/provost/schedule"
	"github.com/provost-go/provost/store"
)

var planCases = []testCase{
	{
		"GapAndClockSetBack", "a gap needs planning whatever the clock does, because it holds runs back",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			first := f.serve(f.base, d)
			f.plan(f.base, d, f.at(time.Hour))
			f.must(f.store.RemoveRunner(f.ctx, store.RemoveRunnerParams{Now: f.at(time.Minute), Runner: first.ID}))
			f.serve(f.at(10*time.Hour), d)
			if item, due := f.due(f.at(5*time.Hour), d); !due || !item.Gap {
				f.Errorf("the schedule needs planning: %t, with a gap: %t; want both", due, item.Gap)
			}
		},
	},
	{
		"Plan", "a plan materialises runs with what the deployment and the schedule declare",
		func(f *fixture) {
			d := f.deploy("a", func(r *store.DeploymentRecord) {
				r.Tags = []string{"red"}
				r.Parameters = params.Params{"a": "deployment", "b": "deployment"}
				r.Schedules = []store.ScheduleRecord{{Key: "hourly", Schedule: everyHour.WithParameters(params.Params{"b": "schedule"})}}
			})
			f.serve(f.base, d)
			p := f.nextPlan(d)
			planned := store.PlannedRun{ID: store.NewID(f.base), ScheduledTime: f.at(time.Hour), DueTime: f.at(time.Hour + time.Minute)}
			p.Runs, p.Planned = []store.PlannedRun{planned}, f.at(time.Hour)
			f.write(f.at(time.Second), p)
			r := f.run(planned.ID)
			expect(f, "flow", r.Flow, "etl")
			expect(f, "flow ID", r.FlowID, d.FlowID)
			expect(f, "deployment", r.Deployment, "a")
			expect(f, "schedule", r.Schedule, "hourly")
			expect(f, "auto-scheduled", r.AutoScheduled, true)
			expect(f, "attempt", r.Attempt, 0)
			expectSame(f, "tags", r.Tags, "red")
			expect(f, "parameter a", r.Parameters["a"], any("deployment"))
			expect(f, "parameter b", r.Parameters["b"], any("schedule"))
			expectTime(f, "scheduled", r.ScheduledTime, f.at(time.Hour))
			expectTime(f, "due", r.DueTime, f.at(time.Hour+time.Minute))
			expectTime(f, "state's timestamp", r.State.Timestamp, f.at(time.Second))
			f.expectState(r.ID, store.StateScheduled, "Scheduled")
			expect(f, "named", r.Name != "", true)
			expectTime(f, "planned", f.schedule(d).Planned, f.at(time.Hour))
		},
	},
	{
		"StaleGeneration", "a plan that rests on another generation returns ErrConflict and writes nothing",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			f.serve(f.base, d)
			p := f.nextPlan(d)
			p.Runs = []store.PlannedRun{{ID: store.NewID(f.base), ScheduledTime: f.at(time.Hour), DueTime: f.at(time.Hour)}}
			f.pause(f.base, d, "", yes())
			f.expectUnchanged("a stale plan", func() {
				errs, err := f.store.PlanRuns(f.ctx, store.PlanRunsParams{Now: f.base, Plans: []store.SchedulePlan{p}})
				f.wantErrs("PlanRuns", errs, err, store.ErrConflict)
			})
		},
	},
	{
		"StaleFrom", "each plan is judged by itself: one that continues from elsewhere returns ErrConflict, and the others are written",
		func(f *fixture) {
			a, b := f.deploy("a", withSchedule), f.deploy("b", withSchedule)
			f.serve(f.base, a, b)
			stale, fresh := f.nextPlan(a), f.nextPlan(b)
			stale.Runs = []store.PlannedRun{{ID: store.NewID(f.base), ScheduledTime: f.at(time.Hour), DueTime: f.at(time.Hour)}}
			stale.Planned = f.at(time.Hour)
			fresh.Runs = []store.PlannedRun{{ID: store.NewID(f.base), ScheduledTime: f.at(time.Hour), DueTime: f.at(time.Hour)}}
			fresh.Planned = f.at(time.Hour)
			f.plan(f.base, a, f.at(2*time.Hour))
			gone, noKey := fresh, fresh
			gone.DeploymentID, noKey.Key = uuid.New(), "other"
			errs, err := f.store.PlanRuns(f.ctx, store.PlanRunsParams{Now: f.base, Plans: []store.SchedulePlan{stale, gone, noKey, fresh}})
			f.wantErrs("PlanRuns", errs, err, store.ErrConflict, store.ErrNotFound, store.ErrNotFound, nil)
			expectTimes(f, "runs of a", f.instants(a), f.at(2*time.Hour))
			expectTimes(f, "runs of b", f.instants(b), f.at(time.Hour))
		},
	},
	{
		"Repeated", "a repeated plan changes nothing",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			f.serve(f.base, d)
			p := f.nextPlan(d)
			p.Runs = []store.PlannedRun{{ID: store.NewID(f.base), ScheduledTime: f.at(time.Hour), DueTime: f.at(time.Hour)}}
			p.Planned, p.PlanTime = f.at(time.Hour), f.at(time.Hour)
			f.write(f.base, p)
			f.expectUnchanged("a repeated plan", func() {
				_, err := f.store.PlanRuns(f.ctx, store.PlanRunsParams{Now: f.base, Plans: []store.SchedulePlan{p}})
				f.must(err)
			})
		},
	},
	{
		"OneRunPerInstant", "there is never a second run for a deployment, schedule key and instant",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			f.serve(f.base, d)
			f.plan(f.base, d, f.at(time.Hour))
			p := f.nextPlan(d)
			p.Runs = []store.PlannedRun{
				{ID: store.NewID(f.base), ScheduledTime: f.at(time.Hour), DueTime: f.at(time.Hour)},
				{ID: store.NewID(f.base), ScheduledTime: f.at(2 * time.Hour), DueTime: f.at(2 * time.Hour)},
			}
			p.Planned = f.at(2 * time.Hour)
			f.write(f.base, p)
			expectTimes(f, "runs", f.instants(d), f.at(time.Hour), f.at(2*time.Hour))
		},
	},
	{
		"Cancel", "Cancel makes the unstarted run of an instant CANCELLED/Skipped, with the reason as its message, and keeps a claimed one",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			r := f.serve(f.base, d)
			f.plan(f.base, d, f.at(time.Hour), f.at(2*time.Hour), f.at(3*time.Hour))
			held := f.claimOne(f.at(time.Hour), r, longTTL)
			p := f.nextPlan(d)
			p.Cancel = []time.Time{f.at(time.Hour), f.at(2 * time.Hour)}
			f.write(f.at(2*time.Hour), p)
			f.expectState(held.RunID, store.StatePending, "Pending")
			skipped := f.runs(store.RunFilter{StateName: store.NameSkipped})
			if len(skipped) != 1 {
				f.Fatalf("got %d skipped runs, want 1", len(skipped))
			}
			expectTime(f, "skipped", skipped[0].ScheduledTime, f.at(2*time.Hour))
			expect(f, "state", skipped[0].State.Type, store.StateCancelled)
			expect(f, "reason", skipped[0].State.Message, string(store.SkipMissed))
			expectTime(f, "ended", skipped[0].EndTime, f.at(2*time.Hour))
			expectTimes(f, "scheduled", f.instants(d, store.StateScheduled), f.at(3*time.Hour))
		},
	},
	{
		"WatermarkStays", "the watermark and Planned never move back, and no instant is planned again after retention deleted its run",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			r := f.serve(f.base, d)
			f.plan(f.base, d, f.at(time.Hour), f.at(2*time.Hour))
			c := f.claimOne(f.at(time.Hour), r, longTTL)
			f.settle(f.at(time.Hour), ended(c.Lease, f.at(time.Hour), store.StateCompleted))
			f.must(f.store.DeleteRun(f.ctx, c.RunID))
			f.pause(f.base, d, "", yes()) // this clock is behind
			s := f.schedule(d)
			if s.Watermark.Before(f.at(time.Hour)) || s.Planned.Before(f.at(time.Hour)) {
				f.Errorf("got watermark %s and planned %s, want both at least %s", s.Watermark, s.Planned, f.at(time.Hour))
			}
		},
	},
	{
		"EndDecides", "an instant whose run has ended stays decided, with those before it, when the clock goes back",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			f.serve(f.base, d)
			f.plan(f.base, d, f.at(time.Hour), f.at(2*time.Hour), f.at(3*time.Hour))
			p := f.nextPlan(d)
			p.Cancel = []time.Time{f.at(2 * time.Hour)}
			f.write(f.at(150*time.Minute), p)
			f.pause(f.base, d, "", yes())
			expectTime(f, "planned", f.schedule(d).Planned, f.at(2*time.Hour))
			expectTimes(f, "runs", f.instants(d), f.at(time.Hour), f.at(2*time.Hour))
		},
	},
	{
		"FutureDeleted", "an instant whose run was cancelled ahead of its time and deleted stays decided; those before it are not lost with it",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			f.serve(f.base, d)
			f.plan(f.base, d, f.at(time.Hour), f.at(2*time.Hour), f.at(3*time.Hour))
			for _, r := range f.runs(store.RunFilter{After: f.at(3 * time.Hour)}) {
				f.cancel(f.base, r.ID)
				f.must(f.store.DeleteRun(f.ctx, r.ID))
			}
			f.pause(f.at(time.Minute), d, "", yes())
			f.pause(f.at(2*time.Minute), d, "", no())
			if planned := f.schedule(d).Planned; planned.After(f.at(time.Hour)) {
				f.Fatalf("got planned %s: instant %s is lost", planned, f.at(time.Hour))
			}
			f.plan(f.at(3*time.Minute), d, f.at(time.Hour), f.at(2*time.Hour), f.at(3*time.Hour))
			expectTimes(f, "runs", f.instants(d), f.at(time.Hour), f.at(2*time.Hour))
		},
	},
	{
		"FutureClaimed", "a run that is retried and claimed ahead of its instant decides only that instant: those before it are planned again",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			r := f.serve(f.base, d)
			f.plan(f.base, d, f.at(time.Hour), f.at(2*time.Hour))
			ahead := f.runs(store.RunFilter{After: f.at(2 * time.Hour)})[0]
			f.cancel(f.base, ahead.ID)
			_, err := f.retry(f.base, ahead.ID)
			f.must(err)
			f.claimOne(f.at(time.Minute), r, longTTL)
			f.pause(f.at(2*time.Minute), d, "", yes())
			f.pause(f.at(3*time.Minute), d, "", no())
			if planned := f.schedule(d).Planned; planned.After(f.at(time.Hour)) {
				f.Fatalf("got planned %s: instant %s is lost", planned, f.at(time.Hour))
			}
			f.plan(f.at(3*time.Minute), d, f.at(time.Hour), f.at(2*time.Hour))
			expectTimes(f, "runs", f.instants(d, store.StateScheduled), f.at(time.Hour))
			expect(f, "all runs", len(f.runs(store.RunFilter{})), 2)
		},
	},
	{
		"ClockBehind", "a clock that is behind loses no instant: the runs of instants up to the watermark stay",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			f.serve(f.base, d)
			f.plan(f.base, d, f.at(time.Hour), f.at(2*time.Hour))
			f.skip(f.at(3*time.Hour), d, store.SkipMissed, f.at(3*time.Hour), f.at(3*time.Hour))
			f.pause(f.at(time.Minute), d, "", yes())
			expectTimes(f, "runs", f.instants(d), f.at(time.Hour), f.at(2*time.Hour))
		},
	},
	{
		"DueSchedules", "DueSchedules returns schedules of served deployments whose PlanTime has come, and Next is the earliest of the others",
		func(f *fixture) {
			a, b, unserved := f.deploy("a", withSchedule), f.deploy("b", withSchedule), f.deploy("c", withSchedule)
			f.serve(f.base, a, b)
			for i, d := range []*store.DeploymentRecord{a, b, unserved} {
				p := f.nextPlan(d)
				p.PlanTime = f.at(time.Duration(3-i) * time.Hour)
				f.write(f.base, p)
			}
			due, err := f.store.DueSchedules(f.ctx, store.DueSchedulesParams{Now: f.base})
			f.must(err)
			expect(f, "items before any is due", len(due.Items), 0)
			expectTime(f, "next", due.Next, f.at(2*time.Hour))
			due, err = f.store.DueSchedules(f.ctx, store.DueSchedulesParams{Now: f.at(2 * time.Hour)})
			f.must(err)
			if len(due.Items) != 1 || due.Items[0].DeploymentID != b.ID {
				f.Errorf("items: got %d, want the schedule of b alone", len(due.Items))
			}
			expectTime(f, "next", due.Next, f.at(3*time.Hour))
		},
	},
	{
		"DueItem", "an item has everything that the plan depends on",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			f.serve(f.base, d)
			item, ok := f.due(f.base, d)
			expect(f, "wants planning", ok, true)
			expect(f, "generation", item.Generation, 1)
			expectTime(f, "planned", item.Planned, f.base)
			expect(f, "paused", item.Paused, false)
			next, _ := item.Schedule.Next(f.base)
			want, _ := everyHour.Next(f.base)
			expectTime(f, "next instant", next, want)
		},
	},
	{
		"DueNever", "a zero PlanTime is never due",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			f.serve(f.base, d)
			f.write(f.base, f.nextPlan(d))
			due, err := f.store.DueSchedules(f.ctx, store.DueSchedulesParams{Now: f.at(1000 * time.Hour)})
			f.must(err)
			expect(f, "items", len(due.Items), 0)
			expect(f, "next is none", due.Next.IsZero(), true)
		},
	},
	{
		"DueEnded", "a schedule that only a runner with an ended lease serves is not returned, nor is it Next",
		func(f *fixture) {
			a, b := f.deploy("a", withSchedule), f.deploy("b", withSchedule)
			f.registerRunner(f.base, f.runner("r", f.base, f.at(leaseTTL)), a, b)
			f.write(f.base, f.nextPlan(a))
			p := f.nextPlan(b)
			p.PlanTime = f.at(time.Hour)
			f.write(f.base, p)
			now := f.afterLease(f.base)
			due, err := f.store.DueSchedules(f.ctx, store.DueSchedulesParams{Now: now})
			f.must(err)
			expect(f, "items", len(due.Items), 0)
			expect(f, "next is none", due.Next.IsZero(), true)
		},
	},
	{
		"DueLimit", "DueSchedules returns at most Limit schedules, and Next shows that there are more",
		func(f *fixture) {
			a, b := f.deploy("a", withSchedule), f.deploy("b", withSchedule)
			f.serve(f.base, a, b)
			due, err := f.store.DueSchedules(f.ctx, store.DueSchedulesParams{Now: f.base, Limit: 1})
			f.must(err)
			expect(f, "items", len(due.Items), 1)
			if due.Next.IsZero() || due.Next.After(f.base) {
				f.Errorf("next: got %s, want a time that has come", due.Next)
			}
		},
	},
	{
		"DueChanged", "a schedule that was paused, resumed or changed needs planning at once",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			f.serve(f.base, d)
			changes := []func(now time.Time){
				func(now time.Time) { f.pause(now, d, "", yes()) },
				func(now time.Time) { f.pause(now, d, "", no()) },
				func(now time.Time) { f.pause(now, d, "hourly", yes()) },
				func(now time.Time) {
					f.register(now, declare("a", withSchedule, func(r *store.DeploymentRecord) { r.Description = "new" }))
				},
			}
			for i, change := range changes {
				now := f.at(time.Duration(i+1) * time.Second)
				f.write(now, f.nextPlan(d))
				change(now)
				if _, ok := f.due(now, d); !ok {
					f.Errorf("change %d: the schedule does not need planning, want it to", i)
				}
			}
		},
	},
	{
		"PauseBounds", "PausedFrom and PausedUntil bound the pause that is not recorded yet; PausedUntil is zero while it lasts",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			f.serve(f.base, d)
			f.write(f.base, f.nextPlan(d))
			f.pause(f.at(time.Hour), d, "", yes())
			item, _ := f.due(f.at(2*time.Hour), d)
			expect(f, "paused", item.Paused, true)
			expectTime(f, "paused from", item.PausedFrom, f.at(time.Hour))
			expect(f, "it lasts", item.PausedUntil.IsZero(), true)
			f.pause(f.at(5*time.Hour), d, "", nil)
			item, _ = f.due(f.at(6*time.Hour), d)
			expect(f, "paused", item.Paused, false)
			expectTime(f, "paused from", item.PausedFrom, f.at(time.Hour))
			expectTime(f, "paused until", item.PausedUntil, f.at(5*time.Hour))
			p := f.nextPlan(d)
			p.Planned, p.PlanTime = f.at(6*time.Hour), f.at(6*time.Hour)
			f.write(f.at(6*time.Hour), p)
			item, _ = f.due(f.at(6*time.Hour), d)
			expect(f, "pause is dealt with", item.PausedFrom.IsZero() && item.PausedUntil.IsZero(), true)
		},
	},
	{
		"Partial", "a Partial plan deals with neither gap nor pause: the next item has them again, and claims wait",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			r := f.serve(f.base, d)
			f.plan(f.base, d, f.at(time.Hour))
			f.must(f.store.RemoveRunner(f.ctx, store.RemoveRunnerParams{Now: f.at(time.Minute), Runner: r.ID}))
			now := f.at(3 * time.Hour)
			r = f.serve(now, d)
			f.pause(now, d, "", yes())
			p := f.nextPlan(d)
			p.PlanTime, p.Partial, p.GapFound = now, true, now
			f.write(now, p)
			item, ok := f.due(now, d)
			expect(f, "wants planning", ok, true)
			expect(f, "gap", item.Gap, true)
			expectTime(f, "served until", item.ServedUntil, f.at(time.Minute))
			expectTimes(f, "unclaimed", item.Unclaimed, f.at(time.Hour))
			expectTime(f, "paused from", item.PausedFrom, now)
			expect(f, "claims", len(f.claim(now, r, 10)), 0)
			p = f.nextPlan(d)
			p.PlanTime, p.GapFound = now, item.GapFound
			f.write(now, p)
			item, _ = f.due(now, d)
			expect(f, "gap once it is dealt with", item.Gap, false)
			expect(f, "claims", len(f.claim(now, r, 10)), 1)
		},
	},
	{
		"GapFoundSince", "a plan that misses a gap, or a part of it, deals with nothing and returns ErrConflict",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			r := f.serve(f.base, d)
			f.plan(f.base, d, f.at(time.Hour))
			stale := f.nextPlan(d) // made before the gap, written after it
			refused := func(what string, p store.SchedulePlan, now time.Time) {
				f.Helper()
				errs, err := f.store.PlanRuns(f.ctx, store.PlanRunsParams{Now: now, Plans: []store.SchedulePlan{p}})
				f.wantErrs(what, errs, err, store.ErrConflict)
				item, _ := f.due(now, d)
				expect(f, "gap after "+what, item.Gap, true)
			}
			beat := func(now time.Time) {
				f.Helper()
				f.must(f.store.HeartbeatRunner(f.ctx, store.HeartbeatRunnerParams{Now: now, Runner: r.ID, Until: now.Add(time.Minute)}))
			}
			beat(f.base)
			beat(f.at(2 * time.Hour))
			refused("a plan that knows of no gap", stale, f.at(2*time.Hour))
			item, _ := f.due(f.at(2*time.Hour), d)
			expectTime(f, "found", item.GapFound, f.at(2*time.Hour))
			stale.GapFound = item.GapFound
			beat(f.at(5 * time.Hour))
			refused("a plan that knows of a part", stale, f.at(5*time.Hour))
			item, _ = f.due(f.at(5*time.Hour), d)
			expectTime(f, "found again", item.GapFound, f.at(5*time.Hour))
			stale.GapFound = item.GapFound
			f.write(f.at(5*time.Hour), stale)
			item, ok := f.due(f.at(5*time.Hour), d)
			expect(f, "gap is left", ok && item.Gap, false)
		},
	},
	{
		"PauseGoesOn", "a plan within a pause records it up to Planned, and the pause goes on from there",
		func(f *fixture) {
			d := f.deploy("a", withSchedule, func(r *store.DeploymentRecord) { r.Pause.Declared = true })
			f.serve(f.base, d)
			item, _ := f.due(f.base, d)
			expect(f, "paused as declared", item.Paused, true)
			expectTime(f, "paused from", item.PausedFrom, f.base)
			f.skip(f.at(2*time.Hour), d, store.SkipPaused, f.at(time.Hour), f.at(2*time.Hour))
			f.pause(f.at(3*time.Hour), d, "", no())
			item, _ = f.due(f.at(3*time.Hour), d)
			expectTime(f, "paused from", item.PausedFrom, f.at(2*time.Hour))
			expectTime(f, "paused until", item.PausedUntil, f.at(3*time.Hour))
		},
	},
}

var skipCases = []testCase{
	{
		"Record", "a skip is recorded as it is, moves the watermark, and is listed newest first",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			f.serve(f.base, d)
			first := f.skip(f.at(2*time.Hour), d, store.SkipMissed, f.at(time.Hour), f.at(2*time.Hour))
			second := f.skip(f.at(3*time.Hour), d, store.SkipPaused, f.at(3*time.Hour), f.at(3*time.Hour))
			expectSkips(f, "skips", f.skips(d), second, first)
			expectTime(f, "watermark", f.schedule(d).Watermark, f.at(3*time.Hour))
		},
	},
	{
		"Extend", "a range that continues the schedule's newest range, with the same reason, extends it",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			f.serve(f.base, d)
			first := f.skip(f.at(2*time.Hour), d, store.SkipPaused, f.at(time.Hour), f.at(2*time.Hour))
			f.skip(f.at(5*time.Hour), d, store.SkipPaused, f.at(3*time.Hour), f.at(5*time.Hour))
			first.Last, first.Count = f.at(5*time.Hour), 5
			expectSkips(f, "skips", f.skips(d), first)
		},
	},
	{
		"OtherTiming", "a range of another timing, as after the schedule was declared again, stays a separate range",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			f.serve(f.base, d)
			first := f.skip(f.at(2*time.Hour), d, store.SkipPaused, f.at(time.Hour), f.at(2*time.Hour))
			second := f.skipRange(d, store.SkipPaused, f.at(3*time.Hour), f.at(4*time.Hour))
			second.Timing, second.Count = schedule.Every(30*time.Minute).In("Europe/Berlin"), 3
			p := f.nextPlan(d)
			p.Skips, p.Planned = []store.Skip{second}, second.Last
			f.write(f.at(4*time.Hour), p)
			expectSkips(f, "skips", f.skips(d), second, first)
		},
	},
	{
		"Apart", "a range never grows over an instant that has a run",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			f.serve(f.base, d)
			first := f.skip(f.at(time.Hour), d, store.SkipMissed, f.at(time.Hour), f.at(time.Hour))
			f.plan(f.at(2*time.Hour), d, f.at(2*time.Hour))
			second := f.skip(f.at(3*time.Hour), d, store.SkipMissed, f.at(3*time.Hour), f.at(3*time.Hour))
			expectSkips(f, "skips", f.skips(d), second, first)
		},
	},
	{
		"ApartInOnePlan", "two ranges of one plan with a run between them stay separate",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			f.serve(f.base, d)
			p := f.nextPlan(d)
			first := f.skipRange(d, store.SkipMissed, f.at(time.Hour), f.at(2*time.Hour))
			second := f.skipRange(d, store.SkipMissed, f.at(4*time.Hour), f.at(5*time.Hour))
			p.Skips, p.Planned = []store.Skip{first, second}, f.at(5*time.Hour)
			p.Runs = []store.PlannedRun{{ID: store.NewID(f.base), ScheduledTime: f.at(3 * time.Hour), DueTime: f.at(3 * time.Hour)}}
			f.write(f.at(5*time.Hour), p)
			expectSkips(f, "skips", f.skips(d), second, first)
		},
	},
	{
		"Filter", "skips are listed by deployment, by its ID or its handle, by schedule, and in pages",
		func(f *fixture) {
			a, b := f.deploy("a", withSchedule), f.deploy("b", withSchedule)
			f.serve(f.base, a, b)
			one := f.skip(f.at(time.Hour), a, store.SkipMissed, f.at(time.Hour), f.at(time.Hour))
			two := f.skip(f.at(2*time.Hour), b, store.SkipMissed, f.at(time.Hour), f.at(2*time.Hour))
			three := f.skip(f.at(3*time.Hour), a, store.SkipPaused, f.at(2*time.Hour), f.at(3*time.Hour))
			expectSkips(f, "skips of a", f.skips(a), three, one)
			page, err := f.store.ListSkips(f.ctx, store.SkipFilter{Schedule: "other"})
			f.must(err)
			expect(f, "skips of another schedule", len(page.Items), 0)
			for _, check := range []struct {
				filter store.SkipFilter
				want   []store.Skip
			}{
				{store.SkipFilter{Deployment: "etl/a"}, []store.Skip{three, one}},
				{store.SkipFilter{Deployment: "etl/a", DeploymentID: a.ID}, []store.Skip{three, one}},
				{store.SkipFilter{Deployment: "etl/b", Schedule: "hourly"}, []store.Skip{two}},
				{store.SkipFilter{Deployment: "etl/none"}, nil},
			} {
				page, err := f.store.ListSkips(f.ctx, check.filter)
				f.must(err)
				expectSkips(f, fmt.Sprintf("skips of %s", check.filter.Deployment), page.Items, check.want...)
			}
			page, err = f.store.ListSkips(f.ctx, store.SkipFilter{Limit: 2})
			f.must(err)
			expectSkips(f, "first page", page.Items, three, two)
			page, err = f.store.ListSkips(f.ctx, store.SkipFilter{Limit: 2, Cursor: page.Next})
			f.must(err)
			expectSkips(f, "second page", page.Items, one)
			expect(f, "cursor of the last page", page.Next, "")
		},
	},
}
