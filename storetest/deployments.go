package storetest

import (
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/schedule"
	"github.com/provost-go/provost/store"
)

var deploymentCases = []testCase{
	{
		"ChangeAfterTheEnd", "a schedule that had ended owes nothing for the time until it is declared again; one that had not is continued",
		func(f *fixture) {
			for name, planTime := range map[string]time.Time{"ended": {}, "open": f.at(time.Hour)} {
				d := f.deploy(name, withSchedule)
				p := f.nextPlan(d)
				p.Planned, p.PlanTime = f.at(time.Hour), planTime
				f.write(f.base, p)
				d = declare(name, withSchedule, func(r *store.DeploymentRecord) { r.Tags = []string{"new"} })
				f.register(f.at(10*time.Hour), d)
				want := f.at(10 * time.Hour)
				if name == "open" {
					want = f.at(time.Hour)
				}
				expectTime(f, "planned of what was "+name, f.schedule(d).Planned, want)
			}
		},
	},
	{
		"Create", "an unknown declaration is stored at generation 1, with its flow",
		func(f *fixture) {
			d := declare("a", withSchedule)
			got := f.register(f.base, d)[0]
			expect(f, "change", got.Change, store.ChangeCreated)
			expect(f, "ID", got.ID, d.ID)
			expect(f, "generation", got.Generation, 1)
			stored := f.deployment(d.ID)
			expect(f, "generation", stored.Generation, 1)
			expect(f, "digest", stored.Digest, d.Digest)
			expect(f, "fields that differ", len(stored.Diff(d)), 0)
			expectTime(f, "created", stored.Created, f.base)
			expectTime(f, "updated", stored.Updated, f.base)
			expectTime(f, "watermark", stored.Schedules[0].Watermark, f.base)
			expectTime(f, "planned", stored.Schedules[0].Planned, f.base)
			flows, err := f.store.ListFlows(f.ctx, store.FlowFilter{})
			f.must(err)
			if len(flows.Items) != 1 || flows.Items[0].Name != "etl" || flows.Items[0].ID != d.FlowID {
				f.Errorf("flows: got %v, want etl alone", flows.Items)
			}
		},
	},
	{
		"Unchanged", "a declaration whose digest equals the stored one writes nothing",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			f.expectUnchanged("an equal declaration", func() {
				got := f.register(f.at(time.Hour), declare("a", withSchedule))[0]
				expect(f, "change", got.Change, store.ChangeNone)
				expect(f, "generation", got.Generation, 1)
			})
			expectTime(f, "updated", f.deployment(d.ID).Updated, f.base)
		},
	},
	{
		"Version", "a new Version alone is stored without raising the generation or changing runs",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			f.serve(f.base, d)
			f.plan(f.base, d, f.at(time.Hour))
			got := f.register(f.at(time.Minute), declare("a", withSchedule, func(r *store.DeploymentRecord) { r.Version = "2" }))[0]
			expect(f, "change", got.Change, store.ChangeNone)
			stored := f.deployment(d.ID)
			expect(f, "version", stored.Version, "2")
			expect(f, "generation", stored.Generation, 1)
			expectTimes(f, "runs", f.instants(d), f.at(time.Hour))
		},
	},
	{
		"Replace", "a different declaration replaces the stored one, raises the generation by one, and returns what it replaced",
		func(f *fixture) {
			d := f.deploy("a")
			f.registerRunner(f.base, f.runner("other", f.base, f.at(forever)), d)
			changed := declare("a", func(r *store.DeploymentRecord) { r.Description = "new" })
			got := f.register(f.at(time.Minute), changed)[0]
			expect(f, "change", got.Change, store.ChangeUpdated)
			expect(f, "generation", got.Generation, 2)
			expectSame(f, "served by", got.ServedBy, "other")
			if got.Previous == nil {
				f.Fatal("got no replaced declaration")
			}
			expectSame(f, "fields that differ", got.Previous.Diff(changed), "Description")
			stored := f.deployment(d.ID)
			expect(f, "description", stored.Description, "new")
			expect(f, "generation", stored.Generation, 2)
			expectTime(f, "created", stored.Created, f.base)
			expectTime(f, "updated", stored.Updated, f.at(time.Minute))
		},
	},
	{
		"ReplaceRepeated", "a repeated registration succeeds and changes nothing",
		func(f *fixture) {
			f.deploy("a")
			changed := declare("a", func(r *store.DeploymentRecord) { r.Description = "new" })
			f.register(f.at(time.Minute), changed)
			f.expectUnchanged("a repeated registration", func() {
				expect(f, "generation", f.register(f.at(time.Minute), changed)[0].Generation, 2)
			})
		},
	},
	{
		"ReplaceRemovesFuture", "a replacement removes the future, unstarted, auto-scheduled runs, and no others",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			r := f.serve(f.base, d)
			f.plan(f.base, d, f.at(time.Hour), f.at(2*time.Hour), f.at(3*time.Hour), f.at(4*time.Hour))
			started := f.claimOne(f.at(time.Hour), r, longTTL)
			manual := byHand(f.at(time.Hour), d)
			manual.ScheduledTime, manual.DueTime = f.at(5*time.Hour), f.at(5*time.Hour)
			f.create(manual)
			f.register(f.at(2*time.Hour), declare("a", withSchedule, func(r *store.DeploymentRecord) { r.Description = "new" }))
			expectTimes(f, "runs", f.instants(d), f.at(time.Hour), f.at(2*time.Hour), f.at(5*time.Hour))
			f.expectState(started.RunID, store.StatePending, "Pending")
			expectTime(f, "planned", f.schedule(d).Planned, f.at(2*time.Hour))
		},
	},
	{
		"ReplaceKeepsFinished", "a replacement keeps finished runs, of future instants too, which get no second run",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			f.serve(f.base, d)
			f.plan(f.base, d, f.at(time.Hour), f.at(2*time.Hour))
			f.cancel(f.base, f.runs(store.RunFilter{})[0].ID)
			left := f.runs(store.RunFilter{States: []store.StateType{store.StateCancelled}})[0]
			f.register(f.at(time.Minute), declare("a", withSchedule, func(r *store.DeploymentRecord) { r.Description = "new" }))
			f.plan(f.at(time.Minute), d, f.at(time.Hour), f.at(2*time.Hour))
			expect(f, "runs", len(f.runs(store.RunFilter{})), 2)
			f.expectState(left.ID, store.StateCancelled, "Cancelled")
		},
	},
	{
		"SchedulesKeepWatermark", "a schedule that keeps its key keeps its watermark and its pause",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			f.serve(f.base, d)
			f.skip(f.at(3*time.Hour), d, store.SkipMissed, f.at(time.Hour), f.at(3*time.Hour))
			f.pause(f.at(3*time.Hour), d, "hourly", yes())
			f.register(f.at(time.Hour), declare("a", func(r *store.DeploymentRecord) {
				r.Schedules = []store.ScheduleRecord{{Key: "hourly", Schedule: schedule.Every(30 * time.Minute).Named("hourly")}}
			}))
			s := f.schedule(d)
			expectTime(f, "watermark", s.Watermark, f.at(3*time.Hour))
			if s.Pause.Operator == nil || !*s.Pause.Operator {
				f.Error("the operator's pause was lost")
			}
		},
	},
	{
		"ScheduleReturns", "a schedule that is declared again under its key continues after its watermark",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			f.serve(f.base, d)
			f.skip(f.at(3*time.Hour), d, store.SkipMissed, f.at(time.Hour), f.at(3*time.Hour))
			f.register(f.at(3*time.Hour), declare("a"))
			f.register(f.at(time.Hour), declare("a", withSchedule)) // this clock is behind
			if s := f.schedule(d); s.Watermark.Before(f.at(3 * time.Hour)) {
				f.Errorf("watermark: got %s, want at least %s", s.Watermark, f.at(3*time.Hour))
			}
		},
	},
	{
		"OperatorPauseLapses", "an operator's pause lapses when the declared value changes, and only then",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			f.pause(f.base, d, "", yes())
			f.register(f.base, declare("a", withSchedule, func(r *store.DeploymentRecord) { r.Description = "new" }))
			if !f.deployment(d.ID).Pause.Effective() {
				f.Error("the operator's pause lapsed though the declared value did not change")
			}
			f.pause(f.base, d, "", no())
			f.register(f.base, declare("a", withSchedule, func(r *store.DeploymentRecord) { r.Pause.Declared = true }))
			p := f.deployment(d.ID).Pause
			if p.Operator != nil || !p.Declared {
				f.Errorf("pause: got %+v, want the declared one alone", p)
			}
		},
	},
	{
		"AllOrNone", "deployments are registered all or none",
		func(f *fixture) {
			a := f.deploy("a", withGroup("g", 1))
			f.serve(f.base, a)
			f.expectUnchanged("a refused registration", func() {
				_, err := f.store.RegisterDeployments(f.ctx, store.RegisterDeploymentsParams{
					Now: f.base, Deployments: []*store.DeploymentRecord{declare("b"), declare("c", withGroup("g", 2))},
				})
				f.wantErr("another size", err, store.ErrConflict)
			})
		},
	},
	{
		"GroupSize", "a LimitGroup cannot get another size than a deployment that another live runner serves declares",
		func(f *fixture) {
			a := f.deploy("a", withGroup("g", 1))
			r := f.serve(f.base, a)
			resize := store.RegisterDeploymentsParams{Now: f.at(time.Minute), Deployments: []*store.DeploymentRecord{declare("b", withGroup("g", 2))}}
			f.expectUnchanged("a refused registration", func() {
				_, err := f.store.RegisterDeployments(f.ctx, resize)
				f.wantErr("another size", err, store.ErrConflict)
			})
			resize.Runner = r.ID
			_, err := f.store.RegisterDeployments(f.ctx, resize)
			f.must(err)
		},
	},
	{
		"GroupSizeInOneCall", "deployments of one call that give a LimitGroup different sizes return ErrConflict",
		func(f *fixture) {
			f.expectUnchanged("a refused registration", func() {
				_, err := f.store.RegisterDeployments(f.ctx, store.RegisterDeploymentsParams{
					Now: f.base, Deployments: []*store.DeploymentRecord{declare("a", withGroup("g", 1)), declare("b", withGroup("g", 2))},
				})
				f.wantErr("different sizes", err, store.ErrConflict)
			})
		},
	},
	{
		"GroupSizeFree", "a LimitGroup that no live runner serves can be resized",
		func(f *fixture) {
			f.deploy("a", withGroup("g", 1))
			f.deploy("b", withGroup("g", 2))
		},
	},
	{
		"GroupSizeNewest", "a LimitGroup has the size that was declared last, even if that declaration is unchanged",
		func(f *fixture) {
			a := f.deploy("a", withGroup("g", 3))
			f.deploy("b", withGroup("g", 1))
			got := f.register(f.base, declare("a", withGroup("g", 3)))
			expect(f, "change", got[0].Change, store.ChangeNone)
			r := f.serve(f.base, a)
			for range 4 {
				f.createNow(f.base, a)
			}
			expect(f, "claims", len(f.claim(f.base, r, 10)), 3)
			f.expectUnchanged("a refused registration", func() {
				_, err := f.store.RegisterDeployments(f.ctx, store.RegisterDeploymentsParams{
					Now: f.base, Deployments: []*store.DeploymentRecord{declare("b", withGroup("g", 1))},
				})
				f.wantErr("another size than what is served", err, store.ErrConflict)
			})
		},
	},
	{
		"GroupSizeServedLate", "the size that counts is the one a live runner serves, not the one declared last",
		func(f *fixture) {
			a := f.deploy("a", withGroup("g", 3))
			b := f.deploy("b", withGroup("g", 1))
			f.serve(f.base, a)
			_, err := f.store.RegisterDeployments(f.ctx, store.RegisterDeploymentsParams{
				Now: f.base, Deployments: []*store.DeploymentRecord{b},
			})
			f.wantErr("another size than what is served", err, store.ErrConflict)
		},
	},
	{
		"GetUnknown", "reading an unknown deployment returns ErrNotFound",
		func(f *fixture) {
			_, err := f.store.GetDeployment(f.ctx, uuid.New())
			f.wantErr("GetDeployment", err, store.ErrNotFound)
			f.wantErr("DeleteDeployment", f.store.DeleteDeployment(f.ctx, store.DeleteDeploymentParams{Now: f.base, ID: uuid.New()}), store.ErrNotFound)
		},
	},
	{
		"Delete", "DeleteDeployment removes the deployment, its skips and its unstarted runs; running and finished runs stay",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			r := f.serve(f.base, d)
			done := f.finished(f.base, d, r, store.StateCompleted)
			f.skip(f.at(time.Hour), d, store.SkipMissed, f.at(time.Hour), f.at(time.Hour))
			f.createNow(f.at(time.Hour), d)
			running := f.claimOne(f.at(time.Hour), r, longTTL)
			manual := f.createNow(f.at(time.Hour), d)
			f.plan(f.at(time.Hour), d, f.at(2*time.Hour))
			f.deleteDeployment(f.base, d)
			_, err := f.store.GetDeployment(f.ctx, d.ID)
			f.wantErr("GetDeployment", err, store.ErrNotFound)
			f.expectNoRun(manual.ID)
			expect(f, "skips", len(f.skips(d)), 0)
			expect(f, "runs", len(f.runs(store.RunFilter{DeploymentID: d.ID})), 2)
			f.expectState(done.ID, store.StateCompleted, "Completed")
			f.settle(f.at(time.Hour), ended(running.Lease, f.at(time.Hour), store.StateCompleted))
			f.expectState(running.RunID, store.StateCompleted, "Completed")
		},
	},
	{
		"DeleteBegun", "a run of a deleted deployment that has begun and waits for another attempt becomes CANCELLED and keeps its history",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			waiting := f.createNow(f.base, d)
			c := f.claimOne(f.base, r, longTTL)
			f.begin(f.base, c.Lease, 1)
			f.settle(f.base, awaitingRetry(c.Lease, f.base))
			running := f.createNow(f.base, d)
			second := f.claim(f.base, r, 10)
			for _, c := range second { // both, in either order
				if c.RunID == waiting.ID {
					f.settle(f.base, awaitingRetry(c.Lease, f.base))
				}
			}
			f.deleteDeployment(f.base, d)
			f.expectState(waiting.ID, store.StateCancelled, "Cancelled")
			for _, c := range second {
				if c.RunID == running.ID {
					f.settle(f.base, givenBack(c.Lease, f.base))
				}
			}
			f.expectState(running.ID, store.StateCancelled, "Cancelled")
		},
	},
	{
		"DeleteAndDeployAgain", "the finished runs of a deleted deployment are listed under its ID and keep their idempotency keys, after it is deployed again too",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			done := byHand(f.base, d)
			done.IdempotencyKey = "key"
			f.create(done)
			f.settle(f.base, ended(f.claimOne(f.base, r, longTTL).Lease, f.base, store.StateCompleted))
			f.deleteDeployment(f.base, d)
			f.deploy("a")
			runs := f.runs(store.RunFilter{DeploymentID: d.ID})
			if len(runs) != 1 || runs[0].ID != done.ID {
				f.Errorf("runs: got %d, want the finished one", len(runs))
			}
			keyed := byHand(f.base, d)
			keyed.IdempotencyKey = "key"
			expect(f, "run of a key from before", f.create(keyed).ID, done.ID)
		},
	},
	{
		"DeleteAndPlanAgain", "the instants of a deleted deployment are free when it is deployed again, though its runs are kept",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			r := f.serve(f.base, d)
			f.plan(f.base, d, f.at(time.Hour))
			f.settle(f.at(time.Hour), ended(f.claimOne(f.at(time.Hour), r, longTTL).Lease, f.at(time.Hour), store.StateCompleted))
			f.deleteDeployment(f.at(time.Hour), d)
			d = f.deploy("a", withSchedule)
			r = f.serve(f.base, d)
			f.plan(f.base, d, f.at(time.Hour))
			expect(f, "claims", len(f.claim(f.at(time.Hour), r, 10)), 1)
			expect(f, "runs of the instant", len(f.runs(store.RunFilter{DeploymentID: d.ID})), 2)
		},
	},
}

var pauseCases = []testCase{
	{
		"Deployment", "pausing a deployment raises its generation and removes the future, unstarted, auto-scheduled runs in the same step",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			f.serve(f.base, d)
			f.plan(f.base, d, f.at(time.Hour), f.at(2*time.Hour))
			got := f.pause(f.at(time.Hour), d, "", yes())
			expect(f, "generation", got.Generation, 2)
			expect(f, "paused", got.Pause.Effective(), true)
			expectTimes(f, "runs", f.instants(d), f.at(time.Hour))
			f.expectUnchanged("a repeated SetPause", func() { f.pause(f.at(time.Hour), d, "", yes()) })
		},
	},
	{
		"Schedule", "pausing one schedule keeps the runs of the others",
		func(f *fixture) {
			d := f.deploy("a", withSchedule, func(r *store.DeploymentRecord) {
				r.Schedules = append(r.Schedules, store.ScheduleRecord{Key: "daily", Schedule: schedule.Cron("@daily").Named("daily")})
			})
			f.serve(f.base, d)
			f.plan(f.base, d, f.at(time.Hour))
			daily := f.nextPlan(d)
			daily.Key, daily.From, daily.Planned = "daily", f.base, f.at(24*time.Hour)
			daily.Runs = []store.PlannedRun{{ID: store.NewID(f.base), ScheduledTime: f.at(24 * time.Hour), DueTime: f.at(24 * time.Hour)}}
			f.write(f.base, daily)
			got := f.pause(f.base, d, "hourly", yes())
			expect(f, "generation", got.Generation, 2)
			expect(f, "deployment paused", got.Pause.Effective(), false)
			expect(f, "schedule paused", got.Schedule("hourly").Pause.Effective(), true)
			expect(f, "other schedule paused", got.Schedule("daily").Pause.Effective(), false)
			expectTimes(f, "runs", f.instants(d), f.at(24*time.Hour))
		},
	},
	{
		"Same", "a mark that does not change whether it is paused raises no generation and removes no run",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			f.serve(f.base, d)
			f.plan(f.base, d, f.at(time.Hour))
			got := f.pause(f.base, d, "", no())
			expect(f, "generation", got.Generation, 1)
			if got.Pause.Operator == nil || *got.Pause.Operator {
				f.Error("the operator's mark was not stored")
			}
			expectTimes(f, "runs", f.instants(d), f.at(time.Hour))
		},
	},
	{
		"Clear", "clearing the operator's mark makes the declared value count",
		func(f *fixture) {
			d := f.deploy("a", withSchedule, func(r *store.DeploymentRecord) { r.Pause.Declared = true })
			expect(f, "paused as declared", f.deployment(d.ID).Pause.Effective(), true)
			expect(f, "paused by the operator", f.pause(f.base, d, "", no()).Pause.Effective(), false)
			got := f.pause(f.base, d, "", nil)
			expect(f, "paused once cleared", got.Pause.Effective(), true)
			expect(f, "mark is cleared", got.Pause.Operator == nil, true)
			expect(f, "generation", got.Generation, 3)
		},
	},
	{
		"KeepsDue", "a paused deployment keeps due runs, which can be claimed; runs made by hand are never paused",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			r := f.serve(f.base, d)
			f.plan(f.base, d, f.at(time.Hour), f.at(2*time.Hour))
			f.pause(f.at(time.Hour), d, "", yes())
			f.createNow(f.at(time.Hour), d)
			expect(f, "claims", len(f.claim(f.at(2*time.Hour), r, 10)), 2)
		},
	},
	{
		"ClearsShutdown", "SetPause clears the mark that PauseOnShutdown left",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			r := f.serve(f.base, d)
			f.must(f.store.RemoveRunner(f.ctx, store.RemoveRunnerParams{Now: f.base, Runner: r.ID, Pause: true}))
			expect(f, "paused by shutdown", f.deployment(d.ID).Pause.Shutdown, true)
			got := f.pause(f.base, d, "", nil)
			expect(f, "paused by shutdown", got.Pause.Shutdown, false)
			expect(f, "generation", got.Generation, 3)
		},
	},
	{
		"Unknown", "SetPause of an unknown deployment or schedule returns ErrNotFound",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			_, err := f.store.SetPause(f.ctx, store.SetPauseParams{Now: f.base, DeploymentID: uuid.New(), Operator: yes()})
			f.wantErr("deployment", err, store.ErrNotFound)
			_, err = f.store.SetPause(f.ctx, store.SetPauseParams{Now: f.base, DeploymentID: d.ID, Schedule: "other", Operator: yes()})
			f.wantErr("schedule", err, store.ErrNotFound)
		},
	},
}
