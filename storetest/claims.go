package storetest

import (
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/store"
)

var claimCases = []testCase{
	{
		"Claim", "a claim makes a run PENDING under a lease, and returns everything that is needed to execute it",
		func(f *fixture) {
			d := f.deploy("a", withSchedule, func(r *store.DeploymentRecord) { r.Tags = []string{"red"} })
			r := f.serve(f.base, d)
			f.plan(f.base, d, f.at(time.Hour))
			c := f.claimOne(f.at(time.Hour), r, longTTL)
			run := f.run(c.RunID)
			expect(f, "token is set", c.Token != 0, true)
			expect(f, "deployment", c.DeploymentID, d.ID)
			expect(f, "generation", c.Generation, 1)
			expect(f, "name", c.Name, run.Name)
			expect(f, "schedule", c.Schedule, "hourly")
			expectSame(f, "tags", c.Tags, "red")
			expectTime(f, "scheduled", c.ScheduledTime, f.at(time.Hour))
			expectTime(f, "due", c.DueTime, f.at(time.Hour))
			expect(f, "attempts before", c.Attempt, 0)
			expect(f, "runner", run.Runner, "runner")
			f.expectState(c.RunID, store.StatePending, "Pending")
			expectTime(f, "state's timestamp", run.State.Timestamp, f.at(time.Hour))
		},
	},
	{
		"Order", "higher priority is claimed first, then what is due earlier",
		func(f *fixture) {
			low := f.deploy("low", func(r *store.DeploymentRecord) { r.Priority = -1 })
			middle := f.deploy("middle")
			high := f.deploy("high", func(r *store.DeploymentRecord) { r.Priority = 1 })
			r := f.serve(f.base, low, middle, high)
			var want []uuid.UUID
			for _, d := range []*store.DeploymentRecord{low, high, middle} {
				for i := range 2 {
					p := byHand(f.base, d)
					p.DueTime = f.at(-time.Duration(i) * time.Minute)
					want = append(want, f.create(p).ID)
				}
			}
			want = []uuid.UUID{want[3], want[2], want[5], want[4], want[1], want[0]}
			expectSame(f, "first claims", claimed(f.claim(f.base, r, 4)), want[:4]...)
			expectSame(f, "the rest", claimed(f.claim(f.base, r, 4)), want[4:]...)
		},
	},
	{
		"Except", "a runner does not claim the runs of Except, they are not in its Next, and other runners can claim them",
		func(f *fixture) {
			d := f.deploy("a", withLimit(5))
			r, other := f.serve(f.base, d), f.runner("other", f.base, f.at(longTTL))
			f.registerRunner(f.base, other, d)
			first, second := f.createNow(f.base, d), f.createNow(f.base, d)
			but := func(r store.RunnerRecord, ids ...uuid.UUID) store.ClaimRunsResult {
				claims, err := f.store.ClaimRuns(f.ctx, store.ClaimRunsParams{
					Now: f.base, Runner: r.ID, ID: store.NewID(f.base), Limit: 10, TTL: longTTL, Except: ids,
				})
				f.must(err)
				return claims
			}
			f.expectUnchanged("a claim of nothing", func() {
				claims := but(r, first.ID, second.ID, store.NewID(f.base))
				expect(f, "claims", len(claims.Runs), 0)
				expectTime(f, "next", claims.Next, time.Time{})
			})
			expectSame(f, "claims but one", claimed(but(r, first.ID).Runs), second.ID)
			expectSame(f, "claims of the other", claimed(but(other).Runs), first.ID)
		},
	},
	{
		"OrderOfEqual", "of runs due at one time, the earlier scheduled time is claimed first, across deployments too",
		func(f *fixture) {
			a, b, c := f.deploy("a"), f.deploy("b"), f.deploy("c", withLimit(10))
			r := f.serve(f.base, a, b, c)
			want := make([]uuid.UUID, 9)
			for i, d := range []*store.DeploymentRecord{c, a, b, a, c, b, b, c, a} {
				place := (i * 5) % 9
				p := byHand(f.base, d)
				p.ScheduledTime = f.at(time.Duration(place-10) * time.Minute)
				want[place] = f.create(p).ID
			}
			expectSame(f, "first claims", claimed(f.claim(f.base, r, 3)), want[:3]...)
			expectSame(f, "the rest", claimed(f.claim(f.base, r, 10)), want[3:]...)
		},
	},
	{
		"OrderAcrossRunners", "what is due earlier is claimed first, across deployments that different runners serve too",
		func(f *fixture) {
			a, b, c := f.deploy("a"), f.deploy("b"), f.deploy("c")
			r := f.serve(f.base, a, b, c)
			f.serve(f.base, b)
			f.serve(f.base, c)
			var want []uuid.UUID
			for i, d := range []*store.DeploymentRecord{c, a, b, a, c, b} {
				p := byHand(f.base, d)
				p.DueTime = f.at(time.Duration(i-10) * time.Minute)
				want = append(want, f.create(p).ID)
			}
			for _, id := range want {
				expectSame(f, "claim", claimed(f.claim(f.base, r, 1)), id)
			}
		},
	},
	{
		"OrderAcrossLimits", "what is due earlier is claimed first, whether its deployment has a limit or not",
		func(f *fixture) {
			limited, free := f.deploy("limited", withLimit(10)), f.deploy("free")
			r := f.serve(f.base, limited, free)
			late, early := byHand(f.base, free), byHand(f.base, limited)
			early.DueTime, late.DueTime = f.at(-200*time.Millisecond), f.at(-100*time.Millisecond)
			f.create(late)
			f.create(early)
			expectSame(f, "first claim", claimed(f.claim(f.base, r, 1)), early.ID)
		},
	},
	{
		"Ahead", "a run may be claimed ClaimAhead before it is due and no earlier; one that needs a slot of a limit, not before it is due",
		func(f *fixture) {
			free, limited := f.deploy("free"), f.deploy("limited", withLimit(1))
			r := f.serve(f.base, free, limited)
			due := f.at(time.Hour)
			for _, d := range []*store.DeploymentRecord{free, limited} {
				p := byHand(f.base, d)
				p.DueTime = due
				f.create(p)
			}
			early := due.Add(-store.ClaimAhead)
			claims := f.claimFor(early.Add(-time.Microsecond), r, 10, longTTL)
			expect(f, "claims too early", len(claims.Runs), 0)
			expectTime(f, "next", claims.Next, early)
			claims = f.claimFor(early, r, 10, longTTL)
			if len(claims.Runs) != 1 || claims.Runs[0].DeploymentID != free.ID {
				f.Errorf("ahead: got %d claims, want the run without a limit", len(claims.Runs))
			}
			expectTime(f, "next", claims.Next, due)
			claims = f.claimFor(due, r, 10, longTTL)
			expect(f, "claims when it is due", len(claims.Runs), 1)
			expect(f, "next is none", claims.Next.IsZero(), true)
		},
	},
	{
		"Limit", "at most Limit runs are claimed, and Next shows that there are more",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			for range 3 {
				f.createNow(f.base, d)
			}
			claims := f.claimFor(f.base, r, 2, longTTL)
			expect(f, "claims", len(claims.Runs), 2)
			if claims.Next.IsZero() || claims.Next.After(f.base) {
				f.Errorf("next: got %s, want a time that has come", claims.Next)
			}
		},
	},
	{
		"OnlyServed", "a runner claims only runs of deployments that it serves",
		func(f *fixture) {
			mine, theirs := f.deploy("mine"), f.deploy("theirs", func(r *store.DeploymentRecord) { r.Priority = 9 })
			r := f.serve(f.base, mine)
			f.serve(f.base, theirs)
			want := f.createNow(f.base, mine).ID
			f.createNow(f.base, theirs)
			expectSame(f, "claims", claimed(f.claim(f.base, r, 10)), want)
		},
	},
	{
		"PriorityChanges", "a new priority applies to existing runs",
		func(f *fixture) {
			a, b := f.deploy("a"), f.deploy("b")
			r := f.serve(f.base, a, b)
			f.createNow(f.base, a)
			want := f.createNow(f.base, b).ID
			f.register(f.base, declare("b", func(r *store.DeploymentRecord) { r.Priority = 1 }))
			expectSame(f, "first claim", claimed(f.claim(f.base, r, 1)), want)
		},
	},
	{
		"RepeatedLate", "a claim that is repeated late does not shorten a lease that was renewed since",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			p := store.ClaimRunsParams{Now: f.base, Runner: r.ID, ID: uuid.New(), Limit: 1, TTL: leaseTTL}
			first, err := f.store.ClaimRuns(f.ctx, p)
			f.must(err)
			if len(first.Runs) != 1 {
				f.Fatalf("got %d claims, want 1", len(first.Runs))
			}
			_, err = f.store.RenewLeases(f.ctx, store.RenewLeasesParams{Now: f.base, TTL: longTTL, Leases: []store.Lease{first.Runs[0].Lease}})
			f.must(err)
			again, err := f.store.ClaimRuns(f.ctx, p)
			f.must(err)
			expectSame(f, "claims", claimed(again.Runs), first.Runs[0].RunID)
			expect(f, "reaped", len(f.reap(f.afterLease(f.base)).Runs), 0)
		},
	},
	{
		"Repeated", "a claim repeated under its ID returns what it still holds, under the same tokens and renewed leases, and nothing new",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			for range 3 {
				f.createNow(f.base, d)
			}
			p := store.ClaimRunsParams{Now: f.base, Runner: r.ID, ID: uuid.New(), Limit: 2, TTL: leaseTTL}
			first, err := f.store.ClaimRuns(f.ctx, p)
			f.must(err)
			p.Now, p.TTL = f.afterLease(f.base), longTTL
			again, err := f.store.ClaimRuns(f.ctx, p)
			f.must(err)
			if len(first.Runs) != 2 || len(again.Runs) != 2 {
				f.Fatalf("got %d claims, then %d, want 2 and the same", len(first.Runs), len(again.Runs))
			}
			for i, c := range again.Runs {
				expect(f, "lease", c.Lease, first.Runs[i].Lease)
				expect(f, "name", c.Name, first.Runs[i].Name)
			}
			expect(f, "next is none", again.Next.IsZero(), false)
			expect(f, "reaped", len(f.reap(p.Now).Runs), 0)
			f.settle(p.Now, ended(first.Runs[0].Lease, p.Now, store.StateCompleted))
			again, err = f.store.ClaimRuns(f.ctx, p)
			f.must(err)
			expectSame(f, "claims once one is settled", claimed(again.Runs), first.Runs[1].RunID)
			f.settle(p.Now, ended(first.Runs[1].Lease, p.Now, store.StateCompleted))
			f.expectUnchanged("a repetition of what is settled", func() {
				again, err = f.store.ClaimRuns(f.ctx, p)
				f.must(err)
				expect(f, "claims once all are settled", len(again.Runs), 0)
			})
			p.ID = uuid.New()
			again, err = f.store.ClaimRuns(f.ctx, p)
			f.must(err)
			expect(f, "claims of another call", len(again.Runs), 1)
		},
	},
	{
		"Token", "the token of a run rises with each claim",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			var last int64
			for i := range 3 {
				c := f.claimOne(f.base, r, longTTL)
				if i > 0 && c.Token <= last {
					f.Errorf("token: got %d after %d", c.Token, last)
				}
				last = c.Token
				f.settle(f.base, givenBack(c.Lease, f.base))
			}
		},
	},
	{
		"Concurrent", "concurrent claims take each run exactly once",
		func(f *fixture) {
			const runs, claimers = 1000, 8
			d := f.deploy("a")
			r := f.serve(f.base, d)
			for range runs {
				f.createNow(f.base, d)
			}
			taken := make(chan uuid.UUID, 2*runs)
			var group sync.WaitGroup
			for range claimers {
				group.Go(func() {
					for {
						claims, err := f.store.ClaimRuns(f.ctx, store.ClaimRunsParams{Now: f.base, Runner: r.ID, Limit: 7, TTL: longTTL})
						if err != nil {
							f.Errorf("ClaimRuns: %v", err)
							return
						}
						if len(claims.Runs) == 0 {
							return
						}
						for _, c := range claims.Runs {
							taken <- c.RunID
						}
					}
				})
			}
			group.Wait()
			close(taken)
			times := make(map[uuid.UUID]int)
			for id := range taken {
				times[id]++
			}
			expect(f, "runs that were claimed", len(times), runs)
			for id, n := range times {
				if n != 1 {
					f.Errorf("run %s was claimed %d times", id, n)
				}
			}
		},
	},
}

var leaseCases = []testCase{
	{
		"Fenced", "a write with a stale token returns ErrLeaseLost and writes nothing",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			stale := f.claimOne(f.base, r, longTTL).Lease
			f.settle(f.base, givenBack(stale, f.base))
			fresh := f.claimOne(f.base, r, longTTL).Lease
			f.expectUnchanged("writes under a stale token", func() {
				errs, err := f.trySettle(f.base, ended(stale, f.base, store.StateCompleted), began(stale, f.base, 1))
				f.wantErrs("SettleRuns", errs, err, store.ErrLeaseLost, store.ErrLeaseLost)
				errs, err = f.store.AppendLogs(f.ctx, store.AppendLogsParams{Runs: []store.RunLog{{Lease: stale, Lines: []store.LogRecord{{Message: "late"}}}}})
				f.wantErrs("AppendLogs", errs, err, store.ErrLeaseLost)
				renewal, err := f.store.RenewLeases(f.ctx, store.RenewLeasesParams{Now: f.base, TTL: longTTL, Leases: []store.Lease{stale, fresh}})
				f.must(err)
				expectSame(f, "lost", renewal.Lost, stale.RunID)
			})
			f.settle(f.base, ended(fresh, f.base, store.StateCompleted))
		},
	},
	{
		"FencedUnclaimed", "a write with the token of an ended claim returns ErrLeaseLost, even while nobody holds the run",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			c := f.claimOne(f.base, r, leaseTTL)
			now := f.afterLease(f.base)
			f.reap(now)
			f.expectUnchanged("writes under a lease that has ended", func() {
				errs, err := f.trySettle(now, ended(c.Lease, now, store.StateCompleted))
				f.wantErrs("SettleRuns", errs, err, store.ErrLeaseLost)
				errs, err = f.store.AppendLogs(f.ctx, store.AppendLogsParams{Runs: []store.RunLog{{Lease: c.Lease}}})
				f.wantErrs("AppendLogs", errs, err, store.ErrLeaseLost)
			})
		},
	},
	{
		"EndedNotReaped", "the holder of a lease that has ended but is not reaped can still settle",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			c := f.claimOne(f.base, r, leaseTTL)
			now := f.afterLease(f.base)
			f.settle(now, ended(c.Lease, now, store.StateCompleted))
			f.expectState(c.RunID, store.StateCompleted, "Completed")
			expect(f, "reaped", len(f.reap(now).Runs), 0)
		},
	},
	{
		"Renew", "a renewed lease lasts for TTL from the renewal",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			f.createNow(f.base, d)
			claims := f.claimFor(f.base, r, 2, leaseTTL).Runs
			renewal, err := f.store.RenewLeases(f.ctx, store.RenewLeasesParams{Now: f.base, TTL: longTTL, Leases: []store.Lease{claims[0].Lease}})
			f.must(err)
			expect(f, "lost", len(renewal.Lost), 0)
			reaped := f.reap(f.afterLease(f.base))
			if len(reaped.Runs) != 1 || reaped.Runs[0].ID != claims[1].RunID {
				f.Errorf("reaped: got %d runs, want the one that was not renewed", len(reaped.Runs))
			}
			if reaped.Next.IsZero() {
				f.Error("next: got none, want the end of the renewed lease")
			}
		},
	},
	{
		"CrashIsAnAttempt", "a lease that ends before an attempt is known to have begun costs one attempt and is one crash, under AtMostOnce too",
		func(f *fixture) {
			d := f.deploy("a", func(r *store.DeploymentRecord) { r.AtMostOnce = true })
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			c := f.claimOne(f.base, r, leaseTTL)
			now := f.afterLease(f.base)
			f.reap(now)
			f.expectState(c.RunID, store.StateScheduled, store.NameAwaitingRetry)
			expect(f, "attempt", f.run(c.RunID).Attempt, 1)
			expect(f, "crashes", f.run(c.RunID).Crashes, 1)
			again := f.claimOne(now, r, leaseTTL)
			expect(f, "attempt of the next claim", again.Attempt, 1)
			f.begin(now, again.Lease, 2)
			f.reap(f.afterLease(now))
			f.expectState(c.RunID, store.StateCrashed, "Crashed")
			expect(f, "attempt", f.run(c.RunID).Attempt, 2)
		},
	},
	{
		"CrashWhileCancelling", "a crash counts the attempt once it is known to have begun, even if the run was cancelled before the store learned of it",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			c := f.claimOne(f.base, r, leaseTTL)
			f.cancel(f.base, c.RunID)
			f.begin(f.base, c.Lease, 1)
			f.reap(f.afterLease(f.base))
			f.expectState(c.RunID, store.StateCancelled, "Cancelled")
			expect(f, "attempt", f.run(c.RunID).Attempt, 1)
			expect(f, "crashes", f.run(c.RunID).Crashes, 1)
		},
	},
	{
		"CrashedBeforeTheStart", "the attempt of an update with Crashed counts without a StartTime, and once however often it is repeated",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			for attempt := 1; attempt <= 2; attempt++ {
				u := awaitingRetry(f.claimOne(f.base, r, leaseTTL).Lease, f.base)
				if u.Attempt, u.Crashed = attempt, true; attempt == 2 {
					u.State = store.State{Type: store.StateCrashed, Timestamp: f.base}
				}
				f.settle(f.base, u)
				f.settle(f.base, u)
				expect(f, "attempt", f.run(u.RunID).Attempt, attempt)
				expect(f, "crashes", f.run(u.RunID).Crashes, attempt)
			}
		},
	},
	{
		"ClockSetBack", "a clock that was set back does not keep the runs of a dead runner, nor takes those of one that renews",
		func(f *fixture) {
			d := f.deploy("a")
			ahead := f.at(5 * time.Hour)
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			f.createNow(f.base, d)
			claims := f.claimFor(ahead, r, 2, leaseTTL).Runs
			now := f.base
			expect(f, "reaped at once", len(f.reap(now).Runs), 0)
			now = now.Add(leaseTTL / 3)
			expect(f, "reaped then", len(f.reap(now).Runs), 0)
			renewal, err := f.store.RenewLeases(f.ctx, store.RenewLeasesParams{Now: now, TTL: longTTL, Leases: []store.Lease{claims[0].Lease}})
			f.must(err)
			expect(f, "lost", len(renewal.Lost), 0)
			reaped := f.reap(f.afterLease(now)).Runs
			if len(reaped) != 1 || reaped[0].ID != claims[1].RunID {
				f.Errorf("reaped: got %d runs, want the one that was not renewed", len(reaped))
			}
		},
	},
	{
		"LateReap", "late calls of ReapLeases, with calls on time between them, do not count as a clock that was set back",
		func(f *fixture) {
			d := f.deploy("a")
			now := f.at(5 * time.Hour)
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			f.claimOne(now, r, longTTL)
			for range 2 {
				expect(f, "reaped long ago", len(f.reap(f.base).Runs), 0)
			}
			expect(f, "claimed", len(f.claim(now, r, 1)), 0)
			expect(f, "reaped later, long ago", len(f.reap(f.at(time.Minute)).Runs), 0)
			expect(f, "reaped", len(f.reap(now).Runs), 0)
		},
	},
	{
		"RenewEnded", "a lease that has ended but is not reaped is renewed like any other",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			c := f.claimOne(f.base, r, leaseTTL)
			now := f.afterLease(f.base)
			renewal, err := f.store.RenewLeases(f.ctx, store.RenewLeasesParams{Now: now, TTL: longTTL, Leases: []store.Lease{c.Lease}})
			f.must(err)
			expect(f, "lost", len(renewal.Lost), 0)
			expect(f, "reaped", len(f.reap(now).Runs), 0)
			f.settle(now, ended(c.Lease, now, store.StateCompleted))
			expect(f, "crashes", f.run(c.RunID).Crashes, 0)
		},
	},
	{
		"RenewLost", "a lease is lost when it is reaped, settled, unknown or another claim's",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			settled := f.claimOne(f.base, r, longTTL)
			f.settle(f.base, ended(settled.Lease, f.base, store.StateCompleted))
			f.createNow(f.base, d)
			f.createNow(f.base, d)
			late := f.claimFor(f.base, r, 2, leaseTTL).Runs
			now := f.afterLease(f.base)
			f.reap(now)
			f.claimFor(now, r, 1, longTTL)
			unknown := store.Lease{RunID: uuid.New(), Token: 1}
			f.expectUnchanged("a renewal of what is lost", func() {
				renewal, err := f.store.RenewLeases(f.ctx, store.RenewLeasesParams{
					Now: now, TTL: longTTL, Leases: []store.Lease{settled.Lease, late[0].Lease, late[1].Lease, unknown},
				})
				f.must(err)
				expectSame(f, "lost", renewal.Lost, settled.RunID, late[0].RunID, late[1].RunID, unknown.RunID)
			})
		},
	},
	{
		"RenewReportsCancel", "a renewal reports the runs that somebody wants cancelled",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			f.createNow(f.base, d)
			claims := f.claim(f.base, r, 2)
			f.cancel(f.base, claims[1].RunID)
			renewal, err := f.store.RenewLeases(f.ctx, store.RenewLeasesParams{Now: f.base, TTL: longTTL, Leases: []store.Lease{claims[0].Lease, claims[1].Lease}})
			f.must(err)
			expect(f, "lost", len(renewal.Lost), 0)
			expectSame(f, "to cancel", renewal.Cancel, claims[1].RunID)
		},
	},
	{
		"Reap", "a run whose lease has ended becomes SCHEDULED/AwaitingRetry and is due at once; its crash is counted and in the message",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			c := f.claimOne(f.base, r, leaseTTL)
			f.begin(f.base, c.Lease, 1)
			expect(f, "reaped too early", len(f.reap(f.base).Runs), 0)
			now := f.afterLease(f.base)
			reaped := f.reap(now)
			if len(reaped.Runs) != 1 {
				f.Fatalf("reaped %d runs, want 1", len(reaped.Runs))
			}
			run := reaped.Runs[0]
			expect(f, "state", run.State.Type, store.StateScheduled)
			expect(f, "name", run.State.Name, store.NameAwaitingRetry)
			expect(f, "message is set", run.State.Message != "", true)
			expect(f, "crashes", run.Crashes, 1)
			expect(f, "attempt", run.Attempt, 1)
			expectTime(f, "due", run.DueTime, now)
			expect(f, "next is none", reaped.Next.IsZero(), true)
			f.expectUnchanged("a repeated reaping", func() { expect(f, "reaped", len(f.reap(now).Runs), 0) })
			expect(f, "attempts before", f.claimOne(now, r, longTTL).Attempt, 1)
		},
	},
	{
		"ReapMaxCrashes", "a run that has crashed MaxCrashes times becomes CRASHED for good",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			run := f.createNow(f.base, d)
			now := f.base
			for i := range store.MaxCrashes {
				c := f.claimOne(now, r, leaseTTL)
				f.begin(now, c.Lease, i+1)
				now = f.afterLease(now)
				f.reap(now)
			}
			f.expectState(run.ID, store.StateCrashed, "Crashed")
			expect(f, "crashes", f.run(run.ID).Crashes, store.MaxCrashes)
			expect(f, "has ended", !f.run(run.ID).EndTime.IsZero(), true)
			expect(f, "claims", len(f.claim(now, r, 10)), 0)
		},
	},
	{
		"ReapAtMostOnce", "under AtMostOnce, a run that had begun becomes CRASHED, and one that had not runs again",
		func(f *fixture) {
			d := f.deploy("a", func(r *store.DeploymentRecord) { r.AtMostOnce = true })
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			f.createNow(f.base, d)
			claims := f.claimFor(f.base, r, 2, leaseTTL).Runs
			f.begin(f.base, claims[0].Lease, 1)
			f.reap(f.afterLease(f.base))
			f.expectState(claims[0].RunID, store.StateCrashed, "Crashed")
			f.expectState(claims[1].RunID, store.StateScheduled, store.NameAwaitingRetry)
		},
	},
	{
		"ReapCancelling", "a run in CANCELLING whose lease has ended becomes CANCELLED",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			c := f.claimOne(f.base, r, leaseTTL)
			f.begin(f.base, c.Lease, 1)
			f.cancel(f.base, c.RunID)
			f.reap(f.afterLease(f.base))
			f.expectState(c.RunID, store.StateCancelled, "Cancelled")
		},
	},
	{
		"ReapLimit", "ReapLeases deals with at most Limit leases, and Next shows that there are more",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			for range 3 {
				f.createNow(f.base, d)
			}
			f.claimFor(f.base, r, 3, leaseTTL)
			now := f.afterLease(f.base)
			reaped, err := f.store.ReapLeases(f.ctx, store.ReapLeasesParams{Now: now, Limit: 2})
			f.must(err)
			expect(f, "reaped", len(reaped.Runs), 2)
			expect(f, "next is none", reaped.Next.IsZero(), false)
			expect(f, "reaped after it", len(f.reap(now).Runs), 1)
		},
	},
	{
		"ReapNext", "Next is when the next lease ends",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			expect(f, "next is none", f.reap(f.base).Next.IsZero(), true)
			f.createNow(f.base, d)
			f.claimOne(f.base, r, longTTL)
			next := f.reap(f.base).Next
			if f.byNow {
				expectTime(f, "next", next, f.at(longTTL))
			}
			expect(f, "next is none", next.IsZero(), false)
		},
	},
}
