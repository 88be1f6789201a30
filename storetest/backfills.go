package storetest

import (
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/store"
)

// backfill returns the parameters of a backfill of instants.
func backfill(now time.Time, d *store.DeploymentRecord, instants ...time.Time) store.BackfillRunsParams {
	p := store.BackfillRunsParams{Now: now, DeploymentID: d.ID, Generation: 1, Schedule: "hourly"}
	for _, at := range instants {
		p.Runs = append(p.Runs, store.PlannedRun{ID: store.NewID(now), ScheduledTime: at, DueTime: now})
	}
	return p
}

func (f *fixture) backfill(p store.BackfillRunsParams) []*store.Run {
	f.Helper()
	runs, err := f.store.BackfillRuns(f.ctx, p)
	f.must(err)
	return runs
}

func scheduledTimes(runs []*store.Run) []time.Time {
	var list []time.Time
	for _, r := range runs {
		list = append(list, r.ScheduledTime)
	}
	return list
}

var backfillCases = []testCase{
	{
		"Make", "a backfill makes a run for each instant that has none; these runs are not auto-scheduled",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			r := f.serve(f.base, d)
			f.plan(f.base, d, f.at(time.Hour))
			got := f.backfill(backfill(f.base, d, f.at(-2*time.Hour), f.at(-time.Hour), f.at(time.Hour)))
			expectTimes(f, "made", scheduledTimes(got), f.at(-2*time.Hour), f.at(-time.Hour))
			for _, run := range got {
				expect(f, "auto-scheduled", run.AutoScheduled, false)
				expect(f, "schedule", run.Schedule, "hourly")
				f.expectState(run.ID, store.StateScheduled, "Scheduled")
			}
			expect(f, "claims", len(f.claim(f.base, r, 10)), 2)
		},
	},
	{
		"Repeated", "a repeated backfill makes nothing",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			f.serve(f.base, d)
			s := f.skip(f.at(3*time.Hour), d, store.SkipMissed, f.at(time.Hour), f.at(2*time.Hour))
			p := backfill(f.at(3*time.Hour), d, f.at(time.Hour), f.at(2*time.Hour))
			p.Splits = []store.SkipSplit{{ID: s.ID}}
			expect(f, "made", len(f.backfill(p)), 2)
			f.expectUnchanged("a repeated backfill", func() { f.backfill(p) })
		},
	},
	{
		"ReopenSkipped", "a skipped run is reopened; one that was cancelled by hand is not",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			r := f.serve(f.base, d)
			f.plan(f.base, d, f.at(time.Hour), f.at(2*time.Hour))
			first, second := f.runs(store.RunFilter{Sort: store.SoonestDue})[0], f.runs(store.RunFilter{Sort: store.SoonestDue})[1]
			p := f.nextPlan(d)
			p.Cancel = []time.Time{f.at(time.Hour)}
			f.write(f.at(time.Hour), p)
			f.cancel(f.at(time.Hour), second.ID)
			got := f.backfill(backfill(f.at(3*time.Hour), d, f.at(time.Hour), f.at(2*time.Hour)))
			if len(got) != 1 || got[0].ID != first.ID {
				f.Fatalf("got %d runs, want the skipped one reopened", len(got))
			}
			expect(f, "auto-scheduled", got[0].AutoScheduled, false)
			expect(f, "has ended", !got[0].EndTime.IsZero(), false)
			expect(f, "history", len(got[0].History), 3)
			expectSame(f, "claims", claimed(f.claim(f.at(3*time.Hour), r, 10)), first.ID)
		},
	},
	{
		"Split", "an instant inside a skip range is taken out of it, which Splits replaces",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			f.serve(f.base, d)
			s := f.skip(f.at(5*time.Hour), d, store.SkipMissed, f.at(time.Hour), f.at(5*time.Hour))
			left := f.skipRange(d, store.SkipMissed, f.at(time.Hour), f.at(2*time.Hour))
			right := f.skipRange(d, store.SkipMissed, f.at(4*time.Hour), f.at(5*time.Hour))
			p := backfill(f.at(5*time.Hour), d, f.at(3*time.Hour))
			p.Splits = []store.SkipSplit{{ID: s.ID, Into: []store.Skip{left, right}}}
			expect(f, "made", len(f.backfill(p)), 1)
			expectSkips(f, "skips", f.skips(d), right, left)
			expectTime(f, "watermark", f.schedule(d).Watermark, f.at(5*time.Hour))
		},
	},
	{
		"SplitGone", "a backfill whose skip range is missing returns ErrConflict and makes nothing",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			f.serve(f.base, d)
			s := f.skip(f.at(5*time.Hour), d, store.SkipMissed, f.at(time.Hour), f.at(5*time.Hour))
			p := backfill(f.at(5*time.Hour), d, f.at(time.Hour))
			p.Splits = []store.SkipSplit{{ID: s.ID}, {ID: uuid.New()}}
			f.expectUnchanged("a refused backfill", func() {
				_, err := f.store.BackfillRuns(f.ctx, p)
				f.wantErr("BackfillRuns", err, store.ErrConflict)
			})
		},
	},
	{
		"Refused", "a backfill of an unknown deployment or schedule returns ErrNotFound, on another generation ErrConflict, and of too many instants an error",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			f.expectUnchanged("a refused backfill", func() {
				p := backfill(f.base, d, f.at(-time.Hour))
				p.DeploymentID = uuid.New()
				_, err := f.store.BackfillRuns(f.ctx, p)
				f.wantErr("unknown deployment", err, store.ErrNotFound)
				p.DeploymentID, p.Schedule = d.ID, "other"
				_, err = f.store.BackfillRuns(f.ctx, p)
				f.wantErr("unknown schedule", err, store.ErrNotFound)
				p.Schedule, p.Generation = "hourly", 2
				_, err = f.store.BackfillRuns(f.ctx, p)
				f.wantErr("another generation", err, store.ErrConflict)
				p = backfill(f.base, d)
				for i := range store.MaxBackfill + 1 {
					at := f.at(-time.Duration(i+1) * time.Hour)
					p.Runs = append(p.Runs, store.PlannedRun{ID: store.NewID(at), ScheduledTime: at, DueTime: f.base})
				}
				if _, err = f.store.BackfillRuns(f.ctx, p); err == nil {
					f.Error("more than MaxBackfill: got no error")
				}
			})
		},
	},
	{
		"KeptByCatchUp", "no plan cancels a run of a backfill, even if its instant lies in a gap",
		func(f *fixture) {
			d := f.deploy("a", withSchedule, withOverlap(store.OverlapCancelNew, 1))
			r := f.serve(f.base, d)
			f.plan(f.base, d, f.at(time.Hour), f.at(2*time.Hour))
			c := f.claimOne(f.at(time.Hour), r, longTTL)
			expect(f, "claims while it is full", len(f.claim(f.at(2*time.Hour), r, 10)), 0) // the second is skipped
			f.must(f.store.RemoveRunner(f.ctx, store.RemoveRunnerParams{Now: f.at(90 * time.Minute), Runner: r.ID}))
			f.settle(f.at(2*time.Hour), ended(c.Lease, f.at(2*time.Hour), store.StateCompleted))
			reopened := f.backfill(backfill(f.at(3*time.Hour), d, f.at(2*time.Hour), f.at(-time.Hour)))
			expect(f, "reopened and made", len(reopened), 2)
			r = f.serve(f.at(4*time.Hour), d)
			item, _ := f.due(f.at(4*time.Hour), d)
			expectTimes(f, "unclaimed", item.Unclaimed)
			p := f.nextPlan(d)
			p.Cancel, p.GapFound = []time.Time{f.at(-time.Hour), f.at(2 * time.Hour)}, item.GapFound
			f.write(f.at(4*time.Hour), p)
			for range 2 {
				held := f.claimOne(f.at(4*time.Hour), r, longTTL)
				f.settle(f.at(4*time.Hour), ended(held.Lease, f.at(4*time.Hour), store.StateCompleted))
			}
		},
	},
	{
		"KeptByReset", "runs of a backfill are not auto-scheduled, so a pause keeps them",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			f.serve(f.base, d)
			f.backfill(backfill(f.base, d, f.at(time.Hour)))
			f.pause(f.base, d, "", yes())
			expectTimes(f, "runs", f.instants(d), f.at(time.Hour))
		},
	},
}
