package storetest

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/params"
	"github.com/provost-go/provost/store"
)

// odd is an offset that no store may keep in full: it has nanoseconds.
const odd = 123456789 * time.Nanosecond

// cut returns a time as a store keeps it.
func cut(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

var valueCases = []testCase{
	{
		"Times", "times are returned in UTC and in whole microseconds, whatever zone and precision they came in",
		func(f *fixture) {
			zone := time.FixedZone("east", 5*3600)
			f.base = f.base.Add(odd).In(zone)
			f.everything()
			before := cut(f.base).Add(-time.Second)
			for _, t := range f.allTimes() {
				if t.Location() != time.UTC || !t.Equal(t.Truncate(time.Microsecond)) {
					f.Errorf("got %s, want it in UTC and whole microseconds", t)
				}
				if !t.IsZero() && t.Before(before) {
					f.Errorf("got %s, want a time of the case", t)
				}
			}
		},
	},
	{
		"CopiedIn", "the caller can change what it passed without changing the store",
		func(f *fixture) {
			d := declare("a", withSchedule, func(r *store.DeploymentRecord) {
				r.Tags = []string{"red"}
				r.Parameters = params.Params{"deep": map[string]any{"list": []any{"x"}}}
				r.Env = map[string]string{"A": "1"}
				r.ParameterSchema = json.RawMessage(`{"type":"object"}`)
			})
			f.register(f.base, d)
			r := f.serve(f.base, d)
			p := byHand(f.base, d)
			p.Tags, p.Parameters = []string{"blue"}, params.Params{"deep": map[string]any{"list": []any{"x"}}}
			f.create(p)
			c := f.claimOne(f.base, r, longTTL)
			u := ended(c.Lease, f.base, store.StateCompleted)
			u.Result = json.RawMessage(`{"n":1}`)
			f.settle(f.base, u)
			operator := yes()
			f.pause(f.base, d, "", operator)
			f.expectUnchanged("changing what was passed", func() {
				*operator = false
				d.Tags[0], d.Env["A"], d.ParameterSchema[1] = "changed", "changed", 'X'
				d.Parameters["deep"].(map[string]any)["list"].([]any)[0] = "changed"
				d.Schedules[0].Key = "changed"
				p.Tags[0] = "changed"
				p.Parameters["deep"].(map[string]any)["list"].([]any)[0] = "changed"
				u.Result[1] = 'X'
			})
		},
	},
	{
		"CopiedOut", "the caller can change what was returned without changing the store",
		func(f *fixture) {
			d := f.deploy("a", withSchedule, func(r *store.DeploymentRecord) {
				r.Tags = []string{"red"}
				r.Parameters = params.Params{"deep": map[string]any{"list": []any{"x"}}}
			})
			r := f.serve(f.base, d)
			f.plan(f.base, d, f.base)
			c := f.claimOne(f.base, r, longTTL)
			u := ended(c.Lease, f.base, store.StateCompleted)
			u.Result = json.RawMessage(`{"n":1}`)
			f.settle(f.base, u)
			f.pause(f.base, d, "", yes())
			f.expectUnchanged("changing what was returned", func() {
				c.Tags[0] = "changed"
				c.Parameters["deep"].(map[string]any)["list"].([]any)[0] = "changed"
				run := f.run(c.RunID)
				run.Tags[0], run.History[0].Message, run.Result[1] = "changed", "changed", 'X'
				run.Parameters["deep"].(map[string]any)["list"].([]any)[0] = "changed"
				stored := f.deployment(d.ID)
				stored.Tags[0], stored.Schedules[0].Key = "changed", "changed"
				*stored.Pause.Operator = false
				stored.Parameters["deep"].(map[string]any)["list"].([]any)[0] = "changed"
			})
		},
	},
	{
		"Cancelled", "each method returns when its context ends: with an ended context it returns an error and writes nothing",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			r := f.serve(f.base, d)
			failed := f.finished(f.base, d, r, store.StateFailed)
			f.createNow(f.base, d)
			c := f.claimOne(f.base, r, longTTL)
			open := f.createNow(f.base, d)
			p := f.nextPlan(d)
			p.Planned = f.at(time.Hour)
			ctx, cancel := context.WithCancel(f.ctx)
			cancel()
			calls := map[string]func() error{
				"RegisterDeployments": func() error {
					_, err := f.store.RegisterDeployments(ctx, store.RegisterDeploymentsParams{Now: f.base, Deployments: []*store.DeploymentRecord{declare("b")}})
					return err
				},
				"GetDeployment":   func() error { _, err := f.store.GetDeployment(ctx, d.ID); return err },
				"ListDeployments": func() error { _, err := f.store.ListDeployments(ctx, store.DeploymentFilter{}); return err },
				"DeleteDeployment": func() error {
					return f.store.DeleteDeployment(ctx, store.DeleteDeploymentParams{Now: f.base, ID: d.ID})
				},
				"SetPause": func() error {
					_, err := f.store.SetPause(ctx, store.SetPauseParams{Now: f.base, DeploymentID: d.ID, Operator: yes()})
					return err
				},
				"ListFlows": func() error { _, err := f.store.ListFlows(ctx, store.FlowFilter{}); return err },
				"RegisterRunner": func() error {
					_, err := f.store.RegisterRunner(ctx, store.RegisterRunnerParams{Now: f.base, Runner: f.runner("late", f.base, f.at(forever))})
					return err
				},
				"HeartbeatRunner": func() error {
					return f.store.HeartbeatRunner(ctx, store.HeartbeatRunnerParams{Now: f.at(time.Hour), Runner: r.ID, Until: f.at(2 * forever)})
				},
				"RemoveRunner": func() error {
					return f.store.RemoveRunner(ctx, store.RemoveRunnerParams{Now: f.base, Runner: r.ID})
				},
				"ListRunners":  func() error { _, err := f.store.ListRunners(ctx); return err },
				"DueSchedules": func() error { _, err := f.store.DueSchedules(ctx, store.DueSchedulesParams{Now: f.base}); return err },
				"PlanRuns": func() error {
					_, err := f.store.PlanRuns(ctx, store.PlanRunsParams{Now: f.base, Plans: []store.SchedulePlan{p}})
					return err
				},
				"ListSkips":    func() error { _, err := f.store.ListSkips(ctx, store.SkipFilter{}); return err },
				"CreateRun":    func() error { _, err := f.store.CreateRun(ctx, byHand(f.base, d)); return err },
				"BackfillRuns": func() error { _, err := f.store.BackfillRuns(ctx, backfill(f.base, d, f.base)); return err },
				"ClaimRuns": func() error {
					_, err := f.store.ClaimRuns(ctx, store.ClaimRunsParams{Now: f.base, Runner: r.ID, Limit: 1, TTL: longTTL})
					return err
				},
				"RenewLeases": func() error {
					_, err := f.store.RenewLeases(ctx, store.RenewLeasesParams{Now: f.base, TTL: longTTL, Leases: []store.Lease{c.Lease}})
					return err
				},
				"SettleRuns": func() error {
					_, err := f.store.SettleRuns(ctx, store.SettleRunsParams{Now: f.base, Updates: []store.RunUpdate{ended(c.Lease, f.base, store.StateCompleted)}})
					return err
				},
				"ReapLeases": func() error {
					_, err := f.store.ReapLeases(ctx, store.ReapLeasesParams{Now: f.at(2 * longTTL)})
					return err
				},
				"CancelRun": func() error {
					_, err := f.store.CancelRun(ctx, store.CancelRunParams{Now: f.base, RunID: open.ID})
					return err
				},
				"RetryRun": func() error {
					_, err := f.store.RetryRun(ctx, store.RetryRunParams{Now: f.base, RunID: failed.ID})
					return err
				},
				"GetRun":    func() error { _, err := f.store.GetRun(ctx, open.ID); return err },
				"ListRuns":  func() error { _, err := f.store.ListRuns(ctx, store.RunFilter{}); return err },
				"CountRuns": func() error { _, err := f.store.CountRuns(ctx, store.RunFilter{}); return err },
				"DeleteRun": func() error { return f.store.DeleteRun(ctx, failed.ID) },
				"PruneRuns": func() error {
					_, err := f.store.PruneRuns(ctx, store.PruneRunsParams{Before: f.at(time.Hour)})
					return err
				},
				"AppendLogs": func() error {
					_, err := f.store.AppendLogs(ctx, store.AppendLogsParams{Runs: []store.RunLog{{Lease: c.Lease, Dropped: 1}}})
					return err
				},
				"ListLogs": func() error { _, err := f.store.ListLogs(ctx, store.LogFilter{RunID: open.ID}); return err },
			}
			f.expectUnchanged("calls with a context that has ended", func() {
				for name, call := range calls {
					if call() == nil {
						f.Errorf("%s: got no error", name)
					}
				}
			})
		},
	},
	{
		"Notifications", "a store that implements Notifier, itself or under a wrapper, notifies of work, of cancellations and of a run's changes, and never blocks",
		func(f *fixture) {
			notifier, ok := store.As[store.Notifier](f.store)
			if !ok || !store.IsLocal(f.store) {
				f.Skip("the store's notifications are not reliable")
			}
			d := f.deploy("a")
			r := f.serve(f.base, d)
			expectNotified := func(topic store.Topic, change func()) {
				ch := make(chan struct{}, 1)
				stop := notifier.Notify(topic, ch)
				change()
				select {
				case <-ch:
				default:
					f.Errorf("topic %+v: got no notification", topic)
				}
				stop()
				stop() // harmless
			}
			var run *store.Run
			blocked := make(chan struct{}) // nobody receives from it
			defer notifier.Notify(store.Topic{Kind: store.TopicWork}, blocked)()
			expectNotified(store.Topic{Kind: store.TopicWork}, func() { run = f.createNow(f.base, d) })
			var c store.Claim
			expectNotified(store.Topic{Run: run.ID}, func() { c = f.claimOne(f.base, r, longTTL) })
			expectNotified(store.Topic{Run: run.ID}, func() { f.log(c.Lease, store.LogRecord{Time: f.base, Message: "line"}) })
			expectNotified(store.Topic{Kind: store.TopicCancel}, func() { f.cancel(f.base, run.ID) })
			expectNotified(store.Topic{Run: run.ID}, func() { f.settle(f.base, ended(c.Lease, f.base, store.StateCancelled)) })
			silent := make(chan struct{}, 1)
			notifier.Notify(store.Topic{Kind: store.TopicWork}, silent)()
			f.createNow(f.base, d)
			expect(f, "notifications after stop", len(silent), 0)
		},
	},
}

// everything puts something of each kind into the store.
func (f *fixture) everything() {
	f.Helper()
	d := f.deploy("a", withSchedule)
	r := f.serve(f.base, d)
	f.skip(f.at(time.Hour), d, store.SkipMissed, f.at(time.Hour), f.at(time.Hour))
	f.plan(f.at(2*time.Hour), d, f.at(2*time.Hour))
	c := f.claimOne(f.at(2*time.Hour), r, longTTL)
	f.begin(f.at(2*time.Hour), c.Lease, 1)
	f.log(c.Lease, store.LogRecord{Time: f.at(2 * time.Hour), Message: "line"})
	f.createChild(f.at(2*time.Hour), c.Lease)
	f.cancel(f.at(3*time.Hour), f.createNow(f.at(3*time.Hour), d).ID)
	f.settle(f.at(3*time.Hour), ended(c.Lease, f.at(3*time.Hour), store.StateFailed))
	_, err := f.retry(f.at(4*time.Hour), c.RunID)
	f.must(err)
	f.backfill(backfill(f.at(4*time.Hour), d, f.at(5*time.Hour)))
	f.must(f.store.HeartbeatRunner(f.ctx, store.HeartbeatRunnerParams{Now: f.at(4 * time.Hour), Runner: r.ID, Until: f.at(2 * forever)}))
	f.pause(f.at(4*time.Hour), d, "", yes())
	f.register(f.at(5*time.Hour), declare("b"))
}

// allTimes returns every time that can be read from the store.
func (f *fixture) allTimes() []time.Time {
	f.Helper()
	var list []time.Time
	add := func(times ...time.Time) { list = append(list, times...) }
	deployments, err := f.store.ListDeployments(f.ctx, store.DeploymentFilter{})
	f.must(err)
	for _, d := range deployments.Items {
		add(d.Created, d.Updated)
		for _, s := range d.Schedules {
			add(s.Watermark, s.Planned)
		}
	}
	flows, err := f.store.ListFlows(f.ctx, store.FlowFilter{})
	f.must(err)
	for _, flow := range flows.Items {
		add(flow.Created)
	}
	runners, err := f.store.ListRunners(f.ctx)
	f.must(err)
	for _, r := range runners {
		add(r.Started, r.SeenAt, r.Until)
	}
	for _, s := range f.skips(&store.DeploymentRecord{ID: uuid.Nil}) {
		add(s.First, s.Last)
	}
	for _, r := range f.runs(store.RunFilter{}) {
		add(r.ScheduledTime, r.DueTime, r.StartTime, r.EndTime)
		for _, s := range r.History {
			add(s.Timestamp)
		}
		for _, line := range f.logs(store.LogFilter{RunID: r.ID}).Lines {
			add(line.Time)
		}
	}
	return list
}
