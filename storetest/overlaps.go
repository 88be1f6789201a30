package storetest

import (
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/store"
)

func withOverlap(overlap store.Overlap, size int) func(*store.DeploymentRecord) {
	return func(r *store.DeploymentRecord) { r.Overlap, r.ConcurrencyLimit, r.MaxWaiting = overlap, size, 2 }
}

// expectOverlap checks the state that the overlap policy of its deployment gave a run.
func (f *fixture) expectOverlap(id uuid.UUID, want store.StateType, name string) {
	f.Helper()
	f.expectState(id, want, name)
	expect(f, "message", f.run(id).State.Message, string(store.SkipOverlap))
}

// claimOneOf claims the only claimable run, which must be the given one.
func (f *fixture) claimOneOf(run *store.Run, r store.RunnerRecord) store.Claim {
	f.Helper()
	c := f.claimOne(f.base, r, longTTL)
	expect(f, "claim", c.RunID, run.ID)
	return c
}

var overlapCases = []testCase{
	{
		"CancelNew", "under OverlapCancelNew, a run that finds the limit full becomes CANCELLED/Skipped with the reason overlap, which is no error",
		func(f *fixture) {
			d := f.deploy("a", withSchedule, withOverlap(store.OverlapCancelNew, 1))
			r := f.serve(f.base, d)
			f.plan(f.base, d, f.at(time.Hour), f.at(2*time.Hour))
			held := f.claimOne(f.at(time.Hour), r, longTTL)
			full := f.claimFor(f.at(2*time.Hour), r, 10, longTTL)
			expect(f, "claims while it is full", len(full.Runs), 0)
			expectSame(f, "skipped", full.Skipped, store.SkippedRun{
				DeploymentID: d.ID, Schedule: "hourly", ScheduledTime: f.at(2 * time.Hour), Reason: store.SkipOverlap,
			})
			scheduled := f.runs(store.RunFilter{After: f.at(2 * time.Hour)})[0]
			f.expectOverlap(scheduled.ID, store.StateCancelled, store.NameSkipped)
			manual := byHand(f.at(2*time.Hour), d)
			got := f.create(manual)
			expect(f, "state as it is returned", got.State.Type, store.StateCancelled)
			f.expectOverlap(got.ID, store.StateCancelled, store.NameSkipped)
			f.expectUnchanged("a repeated CreateRun", func() { f.create(manual) })
			f.settle(f.at(2*time.Hour), ended(held.Lease, f.at(2*time.Hour), store.StateCompleted))
			f.createNow(f.at(2*time.Hour), d)
			expect(f, "claims once it is free", len(f.claim(f.at(2*time.Hour), r, 10)), 1)
		},
	},
	{
		"CancelRunning", "under OverlapCancelRunning, a new run makes the oldest running one CANCELLING, and gets its slot once that has ended",
		func(f *fixture) {
			d := f.deploy("a", withOverlap(store.OverlapCancelRunning, 2))
			r := f.serve(f.base, d)
			older := byHand(f.base, d)
			older.ScheduledTime = f.at(-time.Minute)
			newer := f.createNow(f.base, d)
			f.create(older)
			leases := make(map[uuid.UUID]store.Lease)
			for _, c := range f.claim(f.base, r, 10) {
				leases[c.RunID] = c.Lease
			}
			next := f.createNow(f.at(time.Minute), d)
			f.expectState(next.ID, store.StateScheduled, store.NameAwaitingConcurrencySlot)
			f.expectOverlap(older.ID, store.StateCancelling, "Cancelling")
			f.expectState(newer.ID, store.StatePending, "Pending")
			expect(f, "claims before it has ended", len(f.claim(f.at(time.Minute), r, 10)), 0)
			f.settle(f.at(2*time.Minute), ended(leases[older.ID], f.at(2*time.Minute), store.StateCancelled))
			expectSame(f, "claims", claimed(f.claim(f.at(2*time.Minute), r, 10)), next.ID)
		},
	},
	{
		"KeySkipped", "the idempotency key of a run that OverlapCancelNew skipped still returns that run, which can be retried",
		func(f *fixture) {
			d := f.deploy("a", withOverlap(store.OverlapCancelNew, 1))
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			held := f.claimOne(f.base, r, longTTL)
			keyed := func() store.CreateRunParams {
				p := byHand(f.base, d)
				p.IdempotencyKey = "key"
				return p
			}
			first := f.create(keyed())
			f.expectOverlap(first.ID, store.StateCancelled, store.NameSkipped)
			f.settle(f.base, ended(held.Lease, f.base, store.StateCompleted))
			f.expectUnchanged("a second run of the key", func() { expect(f, "ID", f.create(keyed()).ID, first.ID) })
			held = f.claimOneOf(f.createNow(f.base, d), r)
			_, err := f.retry(f.base, first.ID)
			f.must(err)
			f.expectState(first.ID, store.StateScheduled, store.NameAwaitingConcurrencySlot)
			f.expectUnchanged("a third run of the key", func() { expect(f, "ID", f.create(keyed()).ID, first.ID) })
			f.settle(f.base, ended(held.Lease, f.base, store.StateCompleted))
			expectSame(f, "claims", claimed(f.claim(f.base, r, 10)), first.ID)
		},
	},
	{
		"CancelRunningOnce", "under OverlapCancelRunning, a repeated CreateRun cancels nothing more",
		func(f *fixture) {
			d := f.deploy("a", withOverlap(store.OverlapCancelRunning, 2))
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			f.createNow(f.base, d)
			f.claim(f.base, r, 10)
			p := byHand(f.base, d)
			f.create(p)
			f.expectUnchanged("a repeated CreateRun", func() { f.create(p) })
		},
	},
	{
		"CancelParent", "under OverlapCancelRunning, the runs inside a running one go on until it ends, and end with it",
		func(f *fixture) {
			d := f.deploy("a", withOverlap(store.OverlapCancelRunning, 1))
			r := f.serve(f.base, d)
			held := f.claimOneOf(f.createNow(f.base, d), r)
			f.begin(f.base, held.Lease, 1)
			child := f.createChild(f.base, held.Lease)
			next := f.createNow(f.base, d)
			f.expectOverlap(held.RunID, store.StateCancelling, "Cancelling")
			f.expectState(child.ID, store.StateRunning, "Running")
			f.settle(f.base, ended(held.Lease, f.base, store.StateCancelled))
			f.expectState(child.ID, store.StateCrashed, "Crashed")
			expectSame(f, "claims", claimed(f.claim(f.base, r, 10)), next.ID)
		},
	},
	{
		"CancelWaiting", "under OverlapCancelRunning, waiting runs are cancelled, and one run in CANCELLING is enough; MaxWaiting is never exceeded",
		func(f *fixture) {
			d := f.deploy("a", withOverlap(store.OverlapCancelRunning, 2))
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			f.createNow(f.base, d)
			f.claim(f.base, r, 10)
			last := f.createNow(f.at(time.Minute), d)
			for i := range 5 {
				next := f.createNow(f.at(time.Duration(i+2)*time.Minute), d)
				f.expectOverlap(last.ID, store.StateCancelled, store.NameSkipped)
				last = next
			}
			f.expectState(last.ID, store.StateScheduled, store.NameAwaitingConcurrencySlot)
			expect(f, "CANCELLING runs", len(f.runs(store.RunFilter{States: []store.StateType{store.StateCancelling}})), 1)
		},
	},
	{
		"CancelPromoted", "under OverlapCancelRunning, a run that has a slot and is not claimed counts as waiting: the new run gets its slot",
		func(f *fixture) {
			d := f.deploy("a", withOverlap(store.OverlapCancelRunning, 1))
			r := f.serve(f.base, d)
			first := f.createNow(f.base, d)
			second := f.createNow(f.base, d)
			f.expectOverlap(first.ID, store.StateCancelled, store.NameSkipped)
			expectSame(f, "claims", claimed(f.claim(f.base, r, 10)), second.ID)
		},
	},
	{
		"CancelRetrying", "under OverlapCancelRunning, a run that waits for another attempt is cancelled too",
		func(f *fixture) {
			d := f.deploy("a", withOverlap(store.OverlapCancelRunning, 1))
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			c := f.claimOne(f.base, r, longTTL)
			f.begin(f.base, c.Lease, 1)
			u := awaitingRetry(c.Lease, f.base)
			u.DueTime = f.at(time.Hour)
			f.settle(f.base, u)
			f.createNow(f.base, d)
			f.createNow(f.base, d)
			f.expectOverlap(c.RunID, store.StateCancelled, "Cancelled")
		},
	},
	{
		"Group", "in a LimitGroup only runs of the same deployment are cancelled; if none of them has a slot, the new run waits",
		func(f *fixture) {
			latest := func(r *store.DeploymentRecord) { r.Overlap = store.OverlapCancelRunning }
			a, b := f.deploy("a", withGroup("g", 1), latest), f.deploy("b", withGroup("g", 1), latest)
			r := f.serve(f.base, a, b)
			f.createNow(f.base, a)
			held := f.claimOne(f.base, r, longTTL)
			waits := f.createNow(f.base, b)
			f.expectState(held.RunID, store.StatePending, "Pending")
			f.expectState(waits.ID, store.StateScheduled, store.NameAwaitingConcurrencySlot)
			f.settle(f.base, ended(held.Lease, f.base, store.StateCompleted))
			expectSame(f, "claims", claimed(f.claim(f.base, r, 10)), waits.ID)
		},
	},
	{
		"SizeLowered", "as many running runs are cancelled as it takes to free a slot",
		func(f *fixture) {
			d := f.deploy("a", withOverlap(store.OverlapCancelRunning, 3))
			r := f.serve(f.base, d)
			for range 3 {
				f.createNow(f.base, d)
			}
			f.claim(f.base, r, 10)
			f.register(f.base, declare("a", withOverlap(store.OverlapCancelRunning, 2)))
			f.createNow(f.base, d)
			expect(f, "CANCELLING runs", len(f.runs(store.RunFilter{States: []store.StateType{store.StateCancelling}})), 2)
		},
	},
	{
		"Exempt", "retries, backfills, catch-up and runs that were claimed before wait, whatever the policy, and beyond MaxWaiting",
		func(f *fixture) {
			d := f.deploy("a", withSchedule, withOverlap(store.OverlapCancelNew, 1))
			r := f.serve(f.base, d)
			failed := f.finished(f.base, d, r, store.StateFailed)
			f.plan(f.base, d, f.at(time.Hour), f.at(2*time.Hour))
			f.createNow(f.base, d)
			back := f.claimOne(f.base, r, longTTL)
			f.settle(f.base, givenBack(back.Lease, f.base))
			f.createNow(f.base, d)
			p := f.nextPlan(d)
			p.Late = []time.Time{f.at(time.Hour)}
			p.Runs = []store.PlannedRun{{ID: store.NewID(f.base), ScheduledTime: f.at(3 * time.Hour), DueTime: f.at(3 * time.Hour), CatchUp: true}}
			p.Planned = f.at(3 * time.Hour)
			f.write(f.base, p)
			f.backfill(backfill(f.base, d, f.at(-time.Hour)))
			_, err := f.retry(f.base, failed.ID)
			f.must(err)
			expect(f, "claims", len(f.claim(f.at(3*time.Hour), r, 10)), 1)
			skipped := f.runs(store.RunFilter{StateName: store.NameSkipped})
			if len(skipped) != 1 || !skipped[0].ScheduledTime.Equal(f.at(2*time.Hour)) {
				f.Errorf("got %d skipped runs, want only the one that is on time", len(skipped))
			}
			expect(f, "waiting", len(f.runs(store.RunFilter{StateName: store.NameAwaitingConcurrencySlot})), 5)
		},
	},
	{
		"PolicyChanges", "runs that wait when the policy changes go on waiting",
		func(f *fixture) {
			d := f.deploy("a", withLimit(1))
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			c := f.claimOne(f.base, r, longTTL)
			waits := f.createNow(f.base, d)
			f.register(f.base, declare("a", withOverlap(store.OverlapCancelNew, 1)))
			f.expectState(waits.ID, store.StateScheduled, store.NameAwaitingConcurrencySlot)
			f.settle(f.base, ended(c.Lease, f.base, store.StateCompleted))
			expectSame(f, "claims", claimed(f.claim(f.base, r, 10)), waits.ID)
		},
	},
}
