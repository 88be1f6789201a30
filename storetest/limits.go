package storetest

import (
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/store"
)

var limitCases = []testCase{
	{
		"Size", "no more runs are claimed than the limit's size",
		func(f *fixture) {
			d := f.deploy("a", withLimit(2))
			r := f.serve(f.base, d)
			for range 5 {
				f.createNow(f.base, d)
			}
			first := f.claim(f.base, r, 10)
			expect(f, "claims", len(first), 2)
			expect(f, "claims while it is full", len(f.claim(f.base, r, 10)), 0)
			f.settle(f.base, ended(first[0].Lease, f.base, store.StateCompleted))
			expect(f, "claims once a slot is free", len(f.claim(f.base, r, 10)), 1)
		},
	},
	{
		"Concurrent", "no more runs are claimed than the limit's size, by concurrent runners either",
		func(f *fixture) {
			const size, runs, claimers = 3, 500, 16
			d := f.deploy("a", withLimit(size))
			r := f.serve(f.base, d)
			for range runs {
				f.createNow(f.base, d)
			}
			var (
				mu          sync.Mutex // guards the next two
				held, ended int
				group       sync.WaitGroup
			)
			for range claimers {
				group.Go(func() {
					for {
						claims, err := f.store.ClaimRuns(f.ctx, store.ClaimRunsParams{Now: f.base, Runner: r.ID, Limit: 2, TTL: longTTL})
						mu.Lock()
						held += len(claims.Runs)
						if err != nil || held > size {
							f.Errorf("%d runs are claimed, want at most %d (error %v)", held, size, err)
						}
						done := ended == runs || f.Failed()
						mu.Unlock()
						if done {
							return
						}
						for _, c := range claims.Runs {
							mu.Lock() // from here on the store may grant the slot to another
							held--
							ended++
							mu.Unlock()
							u := began(c.Lease, f.base, 1)
							u.State = store.State{Type: store.StateCompleted, Timestamp: f.base}
							if errs, err := f.trySettle(f.base, u); err != nil || (len(errs) > 0 && errs[0] != nil) {
								f.Errorf("SettleRuns: %v %v", errs, err)
							}
						}
					}
				})
			}
			group.Wait()
			n, err := f.store.CountRuns(f.ctx, store.RunFilter{States: []store.StateType{store.StateCompleted}})
			f.must(err)
			expect(f, "completed runs", n, runs)
		},
	},
	{
		"Waiting", "a run that waits for its limit is AwaitingConcurrencySlot and has a wait reason",
		func(f *fixture) {
			d := f.deploy("a", withLimit(1))
			f.serve(f.base, d)
			first, second := f.createNow(f.base, d), f.createNow(f.base, d)
			f.expectState(first.ID, store.StateScheduled, "Scheduled")
			f.expectState(second.ID, store.StateScheduled, store.NameAwaitingConcurrencySlot)
			expect(f, "wait reason", f.run(second.ID).WaitReason, store.WaitLimit)
			expect(f, "wait reason of the first", f.run(first.ID).WaitReason, "")
		},
	},
	{
		"FIFO", "slots go to waiting runs first come, first served",
		func(f *fixture) {
			d := f.deploy("a", withLimit(1))
			r := f.serve(f.base, d)
			var want []uuid.UUID
			for range 5 {
				want = append(want, f.createNow(f.base, d).ID)
			}
			for _, id := range want {
				c := f.claimOne(f.base, r, longTTL)
				expect(f, "claim", c.RunID, id)
				f.settle(f.base, ended(c.Lease, f.base, store.StateCompleted))
			}
		},
	},
	{
		"RetryFirst", "a run that has begun before waits at the head of the queue",
		func(f *fixture) {
			d := f.deploy("a", withLimit(1))
			r := f.serve(f.base, d)
			over := f.finished(f.base, d, r, store.StateFailed)
			f.createNow(f.base, d)
			c := f.claimOne(f.base, r, longTTL)
			f.createNow(f.base, d)
			_, err := f.retry(f.base, over.ID)
			f.must(err)
			f.settle(f.base, ended(c.Lease, f.base, store.StateCompleted))
			expectSame(f, "next claim", claimed(f.claim(f.base, r, 10)), over.ID)
		},
	},
	{
		"Group", "deployments of one LimitGroup share its slots",
		func(f *fixture) {
			a, b := f.deploy("a", withGroup("g", 1)), f.deploy("b", withGroup("g", 1))
			r := f.serve(f.base, a, b)
			first, second := f.createNow(f.base, a), f.createNow(f.base, b)
			c := f.claimOne(f.base, r, longTTL)
			expect(f, "first", c.RunID, first.ID)
			f.settle(f.base, ended(c.Lease, f.base, store.StateCompleted))
			expect(f, "second", f.claimOne(f.base, r, longTTL).RunID, second.ID)
		},
	},
	{
		"QueueFull", "when MaxWaiting runs wait, making a run by hand returns ErrQueueFull and makes none",
		func(f *fixture) {
			d := f.deploy("a", withLimit(1), func(r *store.DeploymentRecord) { r.MaxWaiting = 2 })
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			f.createNow(f.base, d)
			last := byHand(f.base, d)
			f.create(last)
			f.expectUnchanged("a refused run", func() {
				_, err := f.store.CreateRun(f.ctx, byHand(f.base, d))
				f.wantErr("CreateRun", err, store.ErrQueueFull)
			})
			f.expectUnchanged("a repeated run", func() { f.create(last) })
			f.settle(f.base, ended(f.claimOne(f.base, r, longTTL).Lease, f.base, store.StateCompleted))
			f.createNow(f.base, d)
		},
	},
	{
		"ScheduledQueueFull", "when MaxWaiting runs wait, a scheduled run becomes CANCELLED/Skipped with the reason limit",
		func(f *fixture) {
			d := f.deploy("a", withSchedule, withLimit(1), func(r *store.DeploymentRecord) { r.MaxWaiting = 1 })
			r := f.serve(f.base, d)
			f.plan(f.base, d, f.at(time.Hour), f.at(2*time.Hour), f.at(3*time.Hour))
			expect(f, "claims", len(f.claim(f.at(3*time.Hour), r, 10)), 1)
			expectTimes(f, "waiting", f.instants(d, store.StateScheduled), f.at(2*time.Hour))
			skipped := f.runs(store.RunFilter{StateName: store.NameSkipped})
			if len(skipped) != 1 {
				f.Fatalf("got %d skipped runs, want 1", len(skipped))
			}
			expectTime(f, "skipped", skipped[0].ScheduledTime, f.at(3*time.Hour))
			expect(f, "state", skipped[0].State.Type, store.StateCancelled)
			expect(f, "reason", skipped[0].State.Message, string(store.SkipLimit))
		},
	},
	{
		"ForLater", "a run made for later asks for its slot when it is due, and becomes CANCELLED/Skipped if too many wait by then",
		func(f *fixture) {
			d := f.deploy("a", withLimit(1), func(r *store.DeploymentRecord) { r.MaxWaiting = 1 })
			r := f.serve(f.base, d)
			for range 3 {
				p := byHand(f.base, d)
				p.DueTime = f.at(time.Hour)
				f.create(p)
			}
			f.createNow(f.base, d)
			held := f.claimOne(f.base, r, forever)
			expect(f, "claims while it is full", len(f.claim(f.at(time.Hour), r, 10)), 0)
			expect(f, "waiting", len(f.runs(store.RunFilter{StateName: store.NameAwaitingConcurrencySlot})), 1)
			for _, skipped := range f.runs(store.RunFilter{StateName: store.NameSkipped}) {
				expect(f, "reason", skipped.State.Message, string(store.SkipLimit))
			}
			expect(f, "skipped", len(f.runs(store.RunFilter{StateName: store.NameSkipped})), 2)
			f.settle(f.at(time.Hour), ended(held.Lease, f.at(time.Hour), store.StateCompleted))
			expect(f, "claims once it is free", len(f.claim(f.at(time.Hour), r, 10)), 1)
		},
	},
	{
		"BlocksNobody", "a claim passes the runs that have to wait, however many they are, even if they were due earlier",
		func(f *fixture) {
			a, b := f.deploy("a", withSchedule, withLimit(1)), f.deploy("b")
			r := f.serve(f.base, a, b)
			var instants []time.Time
			for i := range 50 {
				instants = append(instants, f.at(time.Duration(i+1)*time.Hour))
			}
			f.plan(f.base, a, instants...)
			free := byHand(f.base, b)
			free.DueTime = f.at(60 * time.Hour)
			f.create(free)
			got := f.claim(f.at(60*time.Hour), r, 2)
			if len(got) != 2 || got[1].RunID != free.ID {
				f.Errorf("claims: got %d, want the first of the limit and the free one", len(got))
			}
		},
	},
	{
		"KeyRefused", "a run that is refused because the queue is full does not take its idempotency key",
		func(f *fixture) {
			d := f.deploy("a", withLimit(1), func(r *store.DeploymentRecord) { r.MaxWaiting = 1 })
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			f.createNow(f.base, d)
			p := byHand(f.base, d)
			p.IdempotencyKey = "key"
			_, err := f.store.CreateRun(f.ctx, p)
			f.wantErr("CreateRun", err, store.ErrQueueFull)
			f.settle(f.base, ended(f.claimOne(f.base, r, longTTL).Lease, f.base, store.StateCompleted))
			again := byHand(f.base, d)
			again.IdempotencyKey = "key"
			expect(f, "ID", f.create(again).ID, again.ID)
		},
	},
	{
		"RetryAsks", "RetryRun takes a free slot at once, and no later run passes it",
		func(f *fixture) {
			d := f.deploy("a", withLimit(1))
			r := f.serve(f.base, d)
			failed := f.finished(f.base, d, r, store.StateFailed)
			got, err := f.retry(f.base, failed.ID)
			f.must(err)
			expect(f, "wait reason", got.WaitReason, "")
			next := f.createNow(f.base, d)
			f.expectState(next.ID, store.StateScheduled, store.NameAwaitingConcurrencySlot)
			expectSame(f, "claims", claimed(f.claim(f.base, r, 10)), failed.ID)
		},
	},
	{
		"PromotedStays", "a run that got its slot while it waited stays, and keeps the slot, when its deployment is paused and replaced",
		func(f *fixture) {
			d := f.deploy("a", withSchedule, withLimit(1))
			r := f.serve(f.base, d)
			f.plan(f.base, d, f.at(time.Hour), f.at(2*time.Hour), f.at(3*time.Hour))
			held := f.claim(f.at(2*time.Hour), r, 10)[0]
			f.settle(f.at(2*time.Hour), ended(held.Lease, f.at(2*time.Hour), store.StateCompleted))
			f.pause(f.at(2*time.Hour), d, "", yes())
			f.register(f.at(2*time.Hour), declare("a", withSchedule, withLimit(1), func(r *store.DeploymentRecord) { r.Tags = []string{"new"} }))
			manual := f.createNow(f.at(2*time.Hour), d)
			f.expectState(manual.ID, store.StateScheduled, store.NameAwaitingConcurrencySlot)
			c := f.claimOne(f.at(2*time.Hour), r, longTTL)
			expectTime(f, "claim", c.ScheduledTime, f.at(2*time.Hour))
			f.settle(f.at(2*time.Hour), ended(c.Lease, f.at(2*time.Hour), store.StateCompleted))
			expectSame(f, "next claim", claimed(f.claim(f.at(2*time.Hour), r, 10)), manual.ID)
		},
	},
	{
		"DeployAgainKeepsHeld", "a run of a deleted deployment keeps its slot of the limit when that is declared again",
		func(f *fixture) {
			d := f.deploy("a", withLimit(1))
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			c := f.claimOne(f.base, r, longTTL)
			f.deleteDeployment(f.base, d)
			r = f.serve(f.base, f.deploy("a", withLimit(1)))
			waits := f.createNow(f.base, d)
			expect(f, "claims while it runs", len(f.claim(f.base, r, 10)), 0)
			f.settle(f.base, givenBack(c.Lease, f.base))
			f.expectState(c.RunID, store.StateCancelled, "Cancelled")
			expectSame(f, "claims once it has ended", claimed(f.claim(f.base, r, 10)), waits.ID)
		},
	},
	{
		"GroupFIFO", "a group has one queue: slots go to its deployments in the order in which their runs came, whatever their priority",
		func(f *fixture) {
			a := f.deploy("a", withGroup("g", 1))
			b := f.deploy("b", withGroup("g", 1), func(r *store.DeploymentRecord) { r.Priority = 9 })
			r := f.serve(f.base, a, b)
			var want []uuid.UUID
			for _, d := range []*store.DeploymentRecord{a, a, b, a, b, b} {
				want = append(want, f.createNow(f.base, d).ID)
			}
			for _, id := range want {
				c := f.claimOne(f.base, r, longTTL)
				expect(f, "claim", c.RunID, id)
				f.settle(f.base, ended(c.Lease, f.base, store.StateCompleted))
			}
		},
	},
	{
		"GroupLeft", "a deployment that leaves its group takes the slots of its runs along, and its waiting runs ask again",
		func(f *fixture) {
			a, b := f.deploy("a", withGroup("g", 1)), f.deploy("b", withGroup("g", 1))
			r := f.serve(f.base, a, b)
			f.createNow(f.base, a)
			c := f.claimOne(f.base, r, longTTL)
			behind, waits := f.createNow(f.base, a), f.createNow(f.base, b)
			f.register(f.base, declare("a", withLimit(1)))
			expectSame(f, "claims of the group", claimed(f.claim(f.base, r, 10)), waits.ID)
			f.expectState(behind.ID, store.StateScheduled, store.NameAwaitingConcurrencySlot)
			f.settle(f.base, ended(c.Lease, f.base, store.StateCompleted))
			expectSame(f, "claims of its own limit", claimed(f.claim(f.base, r, 10)), behind.ID)
		},
	},
	{
		"EveryEndFrees", "every end of a claim frees its slot",
		func(f *fixture) {
			d := f.deploy("a", withLimit(1))
			r := f.serve(f.base, d)
			for _, state := range []store.StateType{store.StateCompleted, store.StateFailed, store.StateCrashed, store.StateCancelled} {
				f.finished(f.base, d, r, state)
			}
			f.createNow(f.base, d)
			c := f.claimOne(f.base, r, longTTL)
			f.settle(f.base, givenBack(c.Lease, f.base))
			c = f.claimOne(f.base, r, longTTL)
			f.cancel(f.base, c.RunID)
			waits := f.createNow(f.base, d)
			expect(f, "claims while it is CANCELLING", len(f.claim(f.base, r, 10)), 0)
			f.settle(f.base, ended(c.Lease, f.base, store.StateCancelled))
			expectSame(f, "claims once it has ended", claimed(f.claim(f.base, r, 10)), waits.ID)
		},
	},
	{
		"CancelPromotedFrees", "cancelling a run between its promotion and its claim frees its slot; cancelling a waiting run frees its place",
		func(f *fixture) {
			d := f.deploy("a", withLimit(1), func(r *store.DeploymentRecord) { r.MaxWaiting = 1 })
			r := f.serve(f.base, d)
			promoted, waits := f.createNow(f.base, d), f.createNow(f.base, d)
			f.cancel(f.base, waits.ID)
			last := f.createNow(f.base, d)
			f.cancel(f.base, promoted.ID)
			expectSame(f, "claims", claimed(f.claim(f.base, r, 10)), last.ID)
		},
	},
	{
		"ReapFrees", "a lease that ends frees its slot, and AwaitingRetry holds none",
		func(f *fixture) {
			d := f.deploy("a", withLimit(1))
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			c := f.claimOne(f.base, r, leaseTTL)
			f.begin(f.base, c.Lease, 1)
			waits := f.createNow(f.base, d)
			now := f.afterLease(f.base)
			f.reap(now)
			expectSame(f, "claims", claimed(f.claim(now, r, 10)), waits.ID)
		},
	},
	{
		"DeleteFrees", "unstarted runs that are removed with their deployment free their slots of its group",
		func(f *fixture) {
			a, b := f.deploy("a", withGroup("g", 1)), f.deploy("b", withGroup("g", 1))
			r := f.serve(f.base, a, b)
			f.createNow(f.base, a)
			waits := f.createNow(f.base, b)
			f.deleteDeployment(f.base, a)
			expectSame(f, "claims", claimed(f.claim(f.base, r, 10)), waits.ID)
		},
	},
	{
		"Grow", "a larger size promotes waiting runs; no limit promotes all of them",
		func(f *fixture) {
			d := f.deploy("a", withLimit(1))
			r := f.serve(f.base, d)
			for range 4 {
				f.createNow(f.base, d)
			}
			expect(f, "claims at size 1", len(f.claim(f.base, r, 10)), 1)
			f.register(f.base, declare("a", withLimit(2)))
			expect(f, "claims at size 2", len(f.claim(f.base, r, 10)), 1)
			f.register(f.base, declare("a"))
			expect(f, "claims without a limit", len(f.claim(f.base, r, 10)), 2)
		},
	},
	{
		"Introduce", "a new limit counts the runs under way",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			c := f.claimOne(f.base, r, longTTL)
			f.createNow(f.base, d)
			f.register(f.base, declare("a", withLimit(1)))
			expect(f, "claims while it is full", len(f.claim(f.base, r, 10)), 0)
			f.settle(f.base, ended(c.Lease, f.base, store.StateCompleted))
			expect(f, "claims once it is free", len(f.claim(f.base, r, 10)), 1)
		},
	},
	{
		"ChildNeedsNone", "a child run takes no slot",
		func(f *fixture) {
			d := f.deploy("a", withLimit(2))
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			c := f.claimOne(f.base, r, longTTL)
			f.createChild(f.base, c.Lease)
			f.createNow(f.base, d)
			f.createNow(f.base, d)
			states := []string{}
			for _, run := range f.runs(store.RunFilter{DeploymentID: d.ID}) {
				states = append(states, run.State.Name)
			}
			expect(f, "runs that wait", len(slices.DeleteFunc(states, func(s string) bool { return s != store.NameAwaitingConcurrencySlot })), 1)
		},
	},
	{
		"Shrink", "lowering the size takes no slot away, and grants none until fewer are held",
		func(f *fixture) {
			d := f.deploy("a", withLimit(3))
			r := f.serve(f.base, d)
			for range 4 {
				f.createNow(f.base, d)
			}
			claims := f.claim(f.base, r, 10)
			f.register(f.base, declare("a", withLimit(1)))
			for i, c := range claims {
				expect(f, "claims", len(f.claim(f.base, r, 10)), 0)
				f.expectState(c.RunID, store.StatePending, "Pending")
				f.settle(f.base, ended(c.Lease, f.base, store.StateCompleted))
				expect(f, "number", i < 3, true)
			}
			expect(f, "claims once it is free", len(f.claim(f.base, r, 10)), 1)
		},
	},
	{
		"DeleteKeepsHeld", "a run of a deleted deployment keeps its slot of the group until it ends",
		func(f *fixture) {
			a, b := f.deploy("a", withGroup("g", 1)), f.deploy("b", withGroup("g", 1))
			r := f.serve(f.base, a, b)
			f.createNow(f.base, a)
			c := f.claimOne(f.base, r, longTTL)
			waits := f.createNow(f.base, b)
			f.deleteDeployment(f.base, a)
			expect(f, "claims while it runs", len(f.claim(f.base, r, 10)), 0)
			f.settle(f.base, ended(c.Lease, f.base, store.StateCompleted))
			expectSame(f, "claims once it has ended", claimed(f.claim(f.base, r, 10)), waits.ID)
		},
	},
	{
		"UnservedStandsBack", "a run of a deployment that nobody serves does not keep a slot of its group from one that is served",
		func(f *fixture) {
			a, b := f.deploy("a", withGroup("g", 1)), f.deploy("b", withGroup("g", 1))
			r := f.serve(f.base, b)
			idle := f.createNow(f.base, a)
			f.createNow(f.base, b)
			c := f.claimOne(f.base, r, longTTL)
			f.expectState(idle.ID, store.StateScheduled, store.NameAwaitingConcurrencySlot)
			next := f.createNow(f.base, b)
			f.settle(f.base, ended(c.Lease, f.base, store.StateCompleted))
			c = f.claimOne(f.base, r, longTTL)
			expect(f, "claim", c.RunID, next.ID)
			f.settle(f.base, ended(c.Lease, f.base, store.StateCompleted))
			r = f.serve(f.base, a)
			expectSame(f, "claims once it is served", claimed(f.claim(f.base, r, 10)), idle.ID)
		},
	},
	{
		"DeadRunner", "the slot of an unclaimed run whose runner died goes to the next in the group when leases are reaped",
		func(f *fixture) {
			a, b := f.deploy("a", withGroup("g", 1)), f.deploy("b", withGroup("g", 1))
			f.registerRunner(f.base, f.runner("dying", f.base, f.at(leaseTTL)), a)
			r := f.serve(f.base, b)
			f.createNow(f.base, a)
			waits := f.createNow(f.base, b)
			now := f.afterLease(f.base)
			expect(f, "claims before", len(f.claim(now, r, 10)), 0)
			f.reap(now)
			expectSame(f, "claims", claimed(f.claim(now, r, 10)), waits.ID)
		},
	},
}
