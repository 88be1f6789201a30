package storetest

import (
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/params"
	"github.com/provost-go/provost/store"
)

var runCases = []testCase{
	{
		"Create", "a run made by hand has what was asked for, and the deployment's tags before its own",
		func(f *fixture) {
			d := f.deploy("a", func(r *store.DeploymentRecord) { r.Tags = []string{"red"} })
			p := byHand(f.base, d)
			p.Name, p.Tags, p.Parameters, p.IdempotencyKey = "mine", []string{"blue"}, params.Params{"n": "1"}, "key"
			p.Generation = 1
			p.ScheduledTime, p.DueTime = f.at(time.Hour), f.at(2*time.Hour)
			f.create(p)
			r := f.run(p.ID)
			expect(f, "name", r.Name, "mine")
			expect(f, "flow", r.Flow, "etl")
			expect(f, "deployment", r.Deployment, "a")
			expect(f, "deployment ID", r.DeploymentID, d.ID)
			expect(f, "schedule", r.Schedule, "")
			expect(f, "auto-scheduled", r.AutoScheduled, false)
			expect(f, "key", r.IdempotencyKey, "key")
			expect(f, "parameter", r.Parameters["n"], any("1"))
			expectSame(f, "tags", r.Tags, "red", "blue")
			expectTime(f, "scheduled", r.ScheduledTime, f.at(time.Hour))
			expectTime(f, "due", r.DueTime, f.at(2*time.Hour))
			expect(f, "has begun", r.StartTime.IsZero() && r.Attempt == 0, true)
			expect(f, "history", len(r.History), 1)
			expectTime(f, "state's timestamp", r.State.Timestamp, f.base)
			f.expectState(r.ID, store.StateScheduled, "Scheduled")
		},
	},
	{
		"CreateRefused", "CreateRun returns ErrNotFound for an unknown deployment, and ErrConflict for another generation",
		func(f *fixture) {
			d := f.deploy("a")
			f.expectUnchanged("a refused run", func() {
				p := byHand(f.base, d)
				p.DeploymentID = uuid.New()
				_, err := f.store.CreateRun(f.ctx, p)
				f.wantErr("unknown deployment", err, store.ErrNotFound)
				p = byHand(f.base, d)
				p.Generation = 2
				_, err = f.store.CreateRun(f.ctx, p)
				f.wantErr("another generation", err, store.ErrConflict)
			})
		},
	},
	{
		"CreateRepeated", "CreateRun with an existing ID succeeds and changes nothing",
		func(f *fixture) {
			d := f.deploy("a", withLimit(1))
			p := byHand(f.base, d)
			f.create(p)
			f.pause(f.base, d, "", yes()) // the generation it rested on has changed
			p.Generation = 1
			f.expectUnchanged("a repeated CreateRun", func() { expect(f, "ID", f.create(p).ID, p.ID) })
		},
	},
	{
		"CreateRepeatedAmongOthers", "a repeated CreateRun succeeds beside concurrent calls too",
		func(f *fixture) {
			d := f.deploy("a")
			p := byHand(f.base, d)
			f.create(p)
			f.pause(f.base, d, "", yes())
			p.Generation = 1
			var callers sync.WaitGroup
			for i := range 40 {
				callers.Go(func() {
					mine := p
					if i%2 == 0 {
						mine = byHand(f.base, d)
					}
					if r, err := f.store.CreateRun(f.ctx, mine); err != nil || r.ID != mine.ID {
						f.Errorf("got run %v and error %v, want run %s", r, err, mine.ID)
					}
				})
			}
			callers.Wait()
			expect(f, "runs", len(f.runs(store.RunFilter{})), 21)
		},
	},
	{
		"IdempotencyKey", "an idempotency key that the deployment already has returns its first run, until that is deleted",
		func(f *fixture) {
			a, b := f.deploy("a"), f.deploy("b")
			r := f.serve(f.base, a)
			keyed := func(d *store.DeploymentRecord) store.CreateRunParams {
				p := byHand(f.base, d)
				p.IdempotencyKey = "key"
				return p
			}
			first := f.create(keyed(a))
			again := keyed(a)
			again.Parameters = params.Params{"other": true}
			f.expectUnchanged("a second run of a key", func() { expect(f, "ID", f.create(again).ID, first.ID) })
			expect(f, "the key of another deployment makes another run", f.create(keyed(b)).ID != first.ID, true)
			c := f.claimOne(f.base, r, longTTL)
			f.settle(f.base, ended(c.Lease, f.base, store.StateCompleted))
			expect(f, "ID once it has finished", f.create(keyed(a)).ID, first.ID)
			f.must(f.store.DeleteRun(f.ctx, first.ID))
			expect(f, "a new run once it is deleted", f.create(keyed(a)).ID != first.ID, true)
		},
	},
	{
		"GetUnknown", "every operation on an unknown run returns ErrNotFound",
		func(f *fixture) {
			id := uuid.New()
			_, err := f.store.GetRun(f.ctx, id)
			f.wantErr("GetRun", err, store.ErrNotFound)
			_, err = f.store.CancelRun(f.ctx, store.CancelRunParams{Now: f.base, RunID: id})
			f.wantErr("CancelRun", err, store.ErrNotFound)
			_, err = f.retry(f.base, id)
			f.wantErr("RetryRun", err, store.ErrNotFound)
			f.wantErr("DeleteRun", f.store.DeleteRun(f.ctx, id), store.ErrNotFound)
			_, err = f.store.ListLogs(f.ctx, store.LogFilter{RunID: id})
			f.wantErr("ListLogs", err, store.ErrNotFound)
		},
	},
	{
		"CancelScheduled", "CancelRun makes an unstarted run CANCELLED, and it is never claimed",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			run := f.createNow(f.base, d)
			got := f.cancel(f.at(time.Second), run.ID)
			expect(f, "state", got.State.Type, store.StateCancelled)
			expect(f, "message", got.State.Message, "not wanted")
			expectTime(f, "ended", got.EndTime, f.at(time.Second))
			f.expectUnchanged("a repeated CancelRun", func() { f.cancel(f.at(time.Minute), run.ID) })
			expect(f, "claims", len(f.claim(f.at(time.Minute), r, 10)), 0)
		},
	},
	{
		"CancelClaimed", "CancelRun makes a claimed run CANCELLING; its holder learns of that and settles it",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			f.createNow(f.base, d)
			claims := f.claim(f.base, r, 2)
			pending, running := claims[0], claims[1]
			f.begin(f.base, running.Lease, 1)
			for _, c := range claims {
				expect(f, "state", f.cancel(f.at(time.Second), c.RunID).State.Type, store.StateCancelling)
			}
			f.expectUnchanged("a repeated CancelRun", func() { f.cancel(f.at(time.Minute), running.RunID) })
			f.settle(f.at(time.Minute), ended(running.Lease, f.at(time.Minute), store.StateCancelled), givenBack(pending.Lease, f.at(time.Minute)))
			f.expectState(running.RunID, store.StateCancelled, "Cancelled")
			f.expectState(pending.RunID, store.StateCancelled, "Cancelled")
		},
	},
	{
		"CancelFinished", "CancelRun of a finished run returns ErrConflict, unless it is CANCELLED",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			for _, state := range []store.StateType{store.StateCompleted, store.StateFailed, store.StateCrashed} {
				run := f.finished(f.base, d, r, state)
				_, err := f.store.CancelRun(f.ctx, store.CancelRunParams{Now: f.base, RunID: run.ID})
				f.wantErr(string(state), err, store.ErrConflict)
			}
			run := f.finished(f.base, d, r, store.StateCancelled)
			f.cancel(f.base, run.ID)
		},
	},
	{
		"Retry", "RetryRun reopens a FAILED, CRASHED or CANCELLED run, which keeps its ID and history and is due now",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			for _, state := range []store.StateType{store.StateFailed, store.StateCrashed, store.StateCancelled} {
				over := f.finished(f.base, d, r, state)
				got, err := f.retry(f.at(time.Minute), over.ID)
				f.must(err)
				expect(f, "ID", got.ID, over.ID)
				expect(f, "state", got.State.Type, store.StateScheduled)
				expect(f, "message", got.State.Message, "once more")
				expect(f, "history", len(got.History), len(over.History)+1)
				expectTime(f, "due", got.DueTime, f.at(time.Minute))
				expect(f, "has ended", !got.EndTime.IsZero(), false)
				c := f.claimOne(f.at(time.Minute), r, longTTL)
				expect(f, "attempts before", c.Attempt, 1)
				u := ended(c.Lease, f.at(time.Minute), store.StateCompleted)
				u.Attempt = 2
				f.settle(f.at(time.Minute), u)
				expect(f, "attempt", f.run(over.ID).Attempt, 2)
			}
		},
	},
	{
		"RetryRefused", "RetryRun of a run in any other state, or of a deleted deployment, returns ErrConflict",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			refused := func(what string, id uuid.UUID) {
				f.expectUnchanged(what, func() {
					_, err := f.retry(f.base, id)
					f.wantErr(what, err, store.ErrConflict)
				})
			}
			completed := f.finished(f.base, d, r, store.StateCompleted)
			refused("COMPLETED", completed.ID)
			failed := f.finished(f.base, d, r, store.StateFailed)
			run := f.createNow(f.base, d)
			refused("SCHEDULED", run.ID)
			c := f.claimOne(f.base, r, longTTL)
			refused("PENDING", run.ID)
			f.begin(f.base, c.Lease, 1)
			refused("RUNNING", run.ID)
			f.cancel(f.base, run.ID)
			refused("CANCELLING", run.ID)
			f.deleteDeployment(f.base, d)
			refused("a run of a deleted deployment", failed.ID)
			f.deploy("a")
			refused("a run of a deployment that was deleted and is back", failed.ID)
		},
	},
	{
		"Delete", "DeleteRun removes a finished run and its log; for an unfinished run it returns ErrConflict",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			c := f.claimOne(f.base, r, longTTL)
			f.log(c.Lease, store.LogRecord{Time: f.base, Message: "hello"})
			f.wantErr("a run that has not finished", f.store.DeleteRun(f.ctx, c.RunID), store.ErrConflict)
			f.settle(f.base, ended(c.Lease, f.base, store.StateCompleted))
			f.must(f.store.DeleteRun(f.ctx, c.RunID))
			f.expectNoRun(c.RunID)
			_, err := f.store.ListLogs(f.ctx, store.LogFilter{RunID: c.RunID})
			f.wantErr("ListLogs", err, store.ErrNotFound)
		},
	},
	{
		"PruneBefore", "PruneRuns removes finished runs that ended before Before, and no others",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			old := f.finished(f.base, d, r, store.StateCompleted)
			edge := f.finished(f.at(time.Hour), d, r, store.StateFailed)
			open := f.createNow(f.base, d)
			n, err := f.store.PruneRuns(f.ctx, store.PruneRunsParams{Before: edge.EndTime})
			f.must(err)
			expect(f, "pruned", n, 1)
			f.expectNoRun(old.ID)
			f.run(edge.ID)
			f.run(open.ID)
		},
	},
	{
		"PruneSkips", "PruneRuns with Before removes the skip ranges that lie before it, and the watermark stays",
		func(f *fixture) {
			d := f.deploy("a", withSchedule)
			f.serve(f.base, d)
			f.skip(f.at(2*time.Hour), d, store.SkipMissed, f.at(time.Hour), f.at(2*time.Hour))
			f.plan(f.at(3*time.Hour), d, f.at(3*time.Hour))
			later := f.skip(f.at(5*time.Hour), d, store.SkipMissed, f.at(4*time.Hour), f.at(5*time.Hour))
			n, err := f.store.PruneRuns(f.ctx, store.PruneRunsParams{Before: later.Last})
			f.must(err)
			expect(f, "runs", n, 0)
			expectSkips(f, "skips", f.skips(d), later)
			expectTime(f, "watermark", f.schedule(d).Watermark, f.at(5*time.Hour))
		},
	},
	{
		"PruneKeep", "PruneRuns removes finished runs beyond the newest Keep, those that ended first going first, at most Limit of them",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			var over []*store.Run
			for i := range 5 {
				over = append(over, f.finished(f.at(time.Duration(i)*time.Minute), d, r, store.StateCompleted))
			}
			n, err := f.store.PruneRuns(f.ctx, store.PruneRunsParams{Keep: 1, Limit: 3})
			f.must(err)
			expect(f, "pruned with a limit", n, 3)
			f.expectNoRun(over[2].ID)
			f.run(over[3].ID)
			n, err = f.store.PruneRuns(f.ctx, store.PruneRunsParams{Keep: 1})
			f.must(err)
			expect(f, "pruned without a limit", n, 1)
			f.run(over[4].ID)
			n, err = f.store.PruneRuns(f.ctx, store.PruneRunsParams{})
			f.must(err)
			expect(f, "pruned without bounds", n, 0)
		},
	},
	{
		"PruneDeployments", "PruneRuns counts each deployment's runs by themselves, and leaves those of other deployments alone",
		func(f *fixture) {
			a, b, c := f.deploy("a"), f.deploy("b"), f.deploy("c")
			r := f.serve(f.base, a, b, c)
			var of [3][]*store.Run
			for i := range 3 {
				for j, d := range []*store.DeploymentRecord{a, b, c} {
					of[j] = append(of[j], f.finished(f.at(time.Duration(3*i+j)*time.Minute), d, r, store.StateCompleted))
				}
			}
			n, err := f.store.PruneRuns(f.ctx, store.PruneRunsParams{Deployments: []uuid.UUID{c.ID, a.ID}, Keep: 1, Limit: 3})
			f.must(err)
			expect(f, "pruned", n, 3)
			f.expectNoRun(of[0][0].ID)
			f.expectNoRun(of[0][1].ID)
			f.expectNoRun(of[2][0].ID)
			f.run(of[2][1].ID)
			n, err = f.store.PruneRuns(f.ctx, store.PruneRunsParams{Deployments: []uuid.UUID{c.ID}, Before: of[1][1].EndTime, Keep: 2})
			f.must(err)
			expect(f, "pruned by two bounds", n, 0)
			n, err = f.store.PruneRuns(f.ctx, store.PruneRunsParams{Deployments: []uuid.UUID{b.ID}, Before: of[1][1].EndTime, Keep: 1})
			f.must(err)
			expect(f, "pruned by the wider of two bounds", n, 2)
			n, err = f.store.PruneRuns(f.ctx, store.PruneRunsParams{Deployments: []uuid.UUID{}, Before: f.at(time.Hour)})
			f.must(err)
			expect(f, "pruned of no deployment", n, 0)
			f.run(of[0][2].ID)
			f.run(of[1][2].ID)
			f.run(of[2][2].ID)
		},
	},
	{
		"PruneDeleted", "PruneRuns without Deployments removes the runs of deleted deployments too",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			run := f.finished(f.base, d, r, store.StateCompleted)
			f.deleteDeployment(f.base, d)
			n, err := f.store.PruneRuns(f.ctx, store.PruneRunsParams{Before: f.at(time.Hour)})
			f.must(err)
			expect(f, "pruned", n, 1)
			f.expectNoRun(run.ID)
		},
	},
	{
		"PruneInside", "PruneRuns removes a child run with its parent, never alone, and does not count it",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			c := f.claimOne(f.base, r, longTTL)
			f.begin(f.base, c.Lease, 1)
			child := f.createChild(f.base, c.Lease)
			f.settle(f.base, ended(store.Lease{RunID: child.ID, Token: c.Token}, f.base, store.StateCompleted))
			all := store.PruneRunsParams{Before: f.at(time.Hour)}
			n, err := f.store.PruneRuns(f.ctx, all)
			f.must(err)
			expect(f, "pruned while the parent runs", n, 0)
			f.run(child.ID)
			f.settle(f.base, ended(c.Lease, f.base, store.StateCompleted))
			n, err = f.store.PruneRuns(f.ctx, all)
			f.must(err)
			expect(f, "pruned", n, 1)
			f.expectNoRun(c.RunID)
			f.expectNoRun(child.ID)
		},
	},
}

var childCases = []testCase{
	{
		"Create", "a child run is RUNNING from the start, under its parent's lease, and is never claimed",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			c := f.claimOne(f.base, r, longTTL)
			f.begin(f.base, c.Lease, 1)
			p := childOf(f.base, c.Lease)
			child := f.create(p)
			f.expectState(child.ID, store.StateRunning, "Running")
			expect(f, "parent", child.ParentID, c.RunID)
			expect(f, "flow", child.Flow, "inner")
			expect(f, "deployment", child.Deployment, "")
			expect(f, "version", child.Version, "7")
			expect(f, "attempt", child.Attempt, 1)
			expectTime(f, "began", child.StartTime, f.base)
			f.expectUnchanged("a repeated CreateRun", func() { f.create(p) })
			expect(f, "claims", len(f.claim(f.at(time.Hour), r, 10)), 0)
			f.settle(f.base, ended(store.Lease{RunID: child.ID, Token: c.Token}, f.base, store.StateCompleted))
			f.expectState(child.ID, store.StateCompleted, "Completed")
			children := f.runs(store.RunFilter{ParentID: c.RunID})
			expect(f, "children", len(children), 1)
		},
	},
	{
		"Fenced", "a child run needs its parent's lease: without it CreateRun returns ErrLeaseLost and writes nothing",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			c := f.claimOne(f.base, r, longTTL)
			child := f.createChild(f.base, c.Lease)
			stale := store.Lease{RunID: c.RunID, Token: c.Token - 1}
			f.expectUnchanged("writes under a stale token", func() {
				_, err := f.store.CreateRun(f.ctx, childOf(f.base, stale))
				f.wantErr("CreateRun", err, store.ErrLeaseLost)
				errs, err := f.trySettle(f.base, ended(store.Lease{RunID: child.ID, Token: stale.Token}, f.base, store.StateCompleted))
				f.wantErrs("SettleRuns", errs, err, store.ErrLeaseLost)
			})
		},
	},
	{
		"EndWithParent", "child runs that are not finished when their parent's lease ends become CRASHED, and so do those inside them",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			c := f.claimOne(f.base, r, longTTL)
			f.begin(f.base, c.Lease, 1)
			over, child := f.createChild(f.base, c.Lease), f.createChild(f.base, c.Lease)
			grandchild := f.createChild(f.base, store.Lease{RunID: child.ID, Token: c.Token})
			f.settle(f.base, ended(store.Lease{RunID: over.ID, Token: c.Token}, f.base, store.StateCompleted))
			f.settle(f.at(time.Minute), ended(c.Lease, f.at(time.Minute), store.StateCompleted))
			f.expectState(over.ID, store.StateCompleted, "Completed")
			f.expectState(child.ID, store.StateCrashed, "Crashed")
			f.expectState(grandchild.ID, store.StateCrashed, "Crashed")
		},
	},
	{
		"EndWithGivenBack", "a parent that is given back ends its child runs",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			c := f.claimOne(f.base, r, longTTL)
			child := f.createChild(f.base, c.Lease)
			f.settle(f.base, givenBack(c.Lease, f.base))
			f.expectState(child.ID, store.StateCrashed, "Crashed")
		},
	},
	{
		"EndWithReaped", "a parent whose lease has ended ends its child runs",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			c := f.claimOne(f.base, r, leaseTTL)
			child := f.createChild(f.base, c.Lease)
			f.reap(f.afterLease(f.base))
			f.expectState(child.ID, store.StateCrashed, "Crashed")
		},
	},
	{
		"Cancel", "the renewal of its parent's lease reports a child run that somebody wants cancelled",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			c := f.claimOne(f.base, r, longTTL)
			child := f.createChild(f.base, c.Lease)
			grandchild := f.createChild(f.base, store.Lease{RunID: child.ID, Token: c.Token})
			expect(f, "state", f.cancel(f.base, grandchild.ID).State.Type, store.StateCancelling)
			renewal, err := f.store.RenewLeases(f.ctx, store.RenewLeasesParams{Now: f.base, TTL: longTTL, Leases: []store.Lease{c.Lease}})
			f.must(err)
			expectSame(f, "to cancel", renewal.Cancel, grandchild.ID)
			f.settle(f.base, ended(c.Lease, f.base, store.StateCompleted))
			f.expectState(grandchild.ID, store.StateCancelled, "Cancelled")
		},
	},
	{
		"NoRetry", "retrying a child run, or giving it back, returns ErrConflict",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			c := f.claimOne(f.base, r, longTTL)
			child := f.createChild(f.base, c.Lease)
			lease := store.Lease{RunID: child.ID, Token: c.Token}
			errs, err := f.trySettle(f.base, givenBack(lease, f.base))
			f.wantErrs("SettleRuns", errs, err, store.ErrConflict)
			f.settle(f.base, ended(lease, f.base, store.StateFailed))
			_, err = f.retry(f.base, child.ID)
			f.wantErr("RetryRun", err, store.ErrConflict)
		},
	},
	{
		"DeleteWithParent", "deleting a run deletes the runs inside it",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			c := f.claimOne(f.base, r, longTTL)
			child := f.createChild(f.base, c.Lease)
			grandchild := f.createChild(f.base, store.Lease{RunID: child.ID, Token: c.Token})
			f.settle(f.base, ended(c.Lease, f.base, store.StateFailed))
			f.must(f.store.DeleteRun(f.ctx, c.RunID))
			f.expectNoRun(child.ID)
			f.expectNoRun(grandchild.ID)
			expect(f, "runs", len(f.runs(store.RunFilter{})), 0)
		},
	},
}
