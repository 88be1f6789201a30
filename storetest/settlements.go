package storetest

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/store"
)

var settleCases = []testCase{
	{
		"Complete", "one update may record that the attempt began and how it ended",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			c := f.claimOne(f.base, r, longTTL)
			u := ended(c.Lease, f.at(3*time.Second), store.StateCompleted)
			u.StartTime, u.Version, u.Result = f.at(time.Second), "9", json.RawMessage(`{"n":1}`)
			u.State.Message = "all good"
			f.settle(f.at(4*time.Second), u)
			run := f.run(c.RunID)
			var types []store.StateType
			for _, s := range run.History {
				types = append(types, s.Type)
			}
			expectSame(f, "history", types, store.StateScheduled, store.StatePending, store.StateRunning, store.StateCompleted)
			expect(f, "message", run.State.Message, "all good")
			expectTime(f, "RUNNING from", run.History[2].Timestamp, f.at(time.Second))
			expectTime(f, "COMPLETED at", run.State.Timestamp, f.at(3*time.Second))
			expectTime(f, "start", run.StartTime, f.at(time.Second))
			expectTime(f, "end", run.EndTime, f.at(3*time.Second))
			expect(f, "attempt", run.Attempt, 1)
			expect(f, "version", run.Version, "9")
			expect(f, "result", string(run.Result), `{"n":1}`)
		},
	},
	{
		"Running", "an update without a state leaves the run RUNNING; a later attempt under the same claim is recorded",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			c := f.claimOne(f.base, r, longTTL)
			f.begin(f.at(time.Second), c.Lease, 1)
			f.expectState(c.RunID, store.StateRunning, "Running")
			f.expectUnchanged("a repeated update", func() { f.begin(f.at(time.Second), c.Lease, 1) })
			f.begin(f.at(time.Minute), c.Lease, 2)
			run := f.run(c.RunID)
			expect(f, "attempt", run.Attempt, 2)
			expectTime(f, "start", run.StartTime, f.at(time.Minute))
			expect(f, "history", len(run.History), 3)
		},
	},
	{
		"GiveBack", "SCHEDULED ends the claim: the run is claimed again when it is due, with as many attempts as the update sets",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			c := f.claimOne(f.base, r, longTTL)
			f.begin(f.base, c.Lease, 1)
			u := givenBack(c.Lease, f.at(time.Second))
			u.State.Name, u.DueTime, u.Attempt = store.NameAwaitingRetry, f.at(time.Hour), 1
			f.settle(f.at(time.Second), u)
			f.expectState(c.RunID, store.StateScheduled, store.NameAwaitingRetry)
			run := f.run(c.RunID)
			expectTime(f, "due", run.DueTime, f.at(time.Hour))
			expectTime(f, "scheduled", run.ScheduledTime, f.base)
			expect(f, "crashes", run.Crashes, 0)
			expect(f, "claims before it is due", len(f.claim(f.at(time.Minute), r, 10)), 0)
			expect(f, "attempts before", f.claimOne(f.at(time.Hour), r, longTTL).Attempt, 1)
		},
	},
	{
		"GiveBackKeepsDue", "SCHEDULED without a DueTime keeps the due time",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			run := f.createNow(f.base, d)
			c := f.claimOne(f.at(time.Minute), r, longTTL)
			f.settle(f.at(time.Minute), givenBack(c.Lease, f.at(time.Minute)))
			expectTime(f, "due", f.run(run.ID).DueTime, f.base)
		},
	},
	{
		"Repeated", "a repeated update succeeds and changes nothing",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			end := func(state store.StateType) {
				f.createNow(f.base, d)
				c := f.claimOne(f.base, r, longTTL)
				u := ended(c.Lease, f.base, state)
				f.settle(f.base, u)
				f.expectUnchanged("a repeated "+string(state), func() { f.settle(f.base, u) })
			}
			end(store.StateCompleted)
			end(store.StateFailed)
			end(store.StateCrashed)
			end(store.StateCancelled)
			f.createNow(f.base, d)
			u := givenBack(f.claimOne(f.base, r, longTTL).Lease, f.base)
			f.settle(f.base, u)
			f.expectUnchanged("a repeated SCHEDULED", func() { f.settle(f.base, u) })
			u = givenBack(f.claimOne(f.base, r, longTTL).Lease, f.base)
			f.cancel(f.base, u.RunID)
			f.settle(f.base, u)
			f.expectUnchanged("a repeated SCHEDULED that became CANCELLED", func() { f.settle(f.base, u) })
		},
	},
	{
		"RepeatedParked", "the repeated update of a run that was given back and by now waits for its limit succeeds",
		func(f *fixture) {
			d := f.deploy("a", withLimit(1))
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			u := givenBack(f.claimOne(f.base, r, longTTL).Lease, f.base)
			f.createNow(f.base, d) // gets the slot next
			f.settle(f.base, u)
			f.claim(f.base, r, 10)
			f.expectUnchanged("a repeated SCHEDULED", func() { f.settle(f.base, u) })
		},
	},
	{
		"OtherEnd", "a run that has ended cannot end in another state under the same lease",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			c := f.claimOne(f.base, r, longTTL)
			f.settle(f.base, ended(c.Lease, f.base, store.StateCompleted))
			f.expectUnchanged("another end", func() {
				errs, err := f.trySettle(f.base, ended(c.Lease, f.base, store.StateFailed))
				f.must(err)
				if len(errs) != 1 || errs[0] == nil {
					f.Error("got no error, want ErrLeaseLost or ErrConflict")
				}
			})
		},
	},
	{
		"EachByItself", "each update is judged by itself: ErrLeaseLost, ErrConflict and ErrNotFound do not keep the others from succeeding",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			for range 3 {
				f.createNow(f.base, d)
			}
			claims := f.claim(f.base, r, 3)
			stale := claims[0].Lease
			stale.Token--
			illegal := store.RunUpdate{Lease: claims[1].Lease, State: store.State{Type: store.StateCompleted, Timestamp: f.base}}
			errs, err := f.trySettle(f.base,
				ended(stale, f.base, store.StateCompleted), illegal,
				ended(store.Lease{RunID: uuid.New(), Token: 1}, f.base, store.StateCompleted),
				ended(claims[2].Lease, f.base, store.StateCompleted))
			f.wantErrs("SettleRuns", errs, err, store.ErrLeaseLost, store.ErrConflict, store.ErrNotFound, nil)
			f.expectState(claims[0].RunID, store.StatePending, "Pending")
			f.expectState(claims[1].RunID, store.StatePending, "Pending")
			f.expectState(claims[2].RunID, store.StateCompleted, "Completed")
		},
	},
	{
		"IllegalWritesNothing", "an update whose state is refused writes nothing, not even that the attempt began",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			for range 3 {
				f.createNow(f.base, d)
			}
			claims := f.claim(f.base, r, 3)
			f.cancel(f.base, claims[1].RunID)
			f.cancel(f.base, claims[2].RunID)
			f.expectUnchanged("refused updates", func() {
				errs, err := f.trySettle(f.base, ended(claims[0].Lease, f.base, store.StatePending),
					ended(claims[1].Lease, f.base, store.StateRunning), ended(claims[2].Lease, f.base, "PAUSED"))
				f.wantErrs("SettleRuns", errs, err, store.ErrConflict, store.ErrConflict, store.ErrConflict)
			})
		},
	},
	{
		"Timestamps", "histories ascend strictly, whatever the clocks of two runners say",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			c := f.claimOne(f.base, r, longTTL)
			u := ended(c.Lease, f.at(-time.Hour), store.StateFailed)
			f.settle(f.base, u)
			history := f.run(c.RunID).History
			for i := 1; i < len(history); i++ {
				if !history[i].Timestamp.After(history[i-1].Timestamp) {
					f.Errorf("state %d: got %s, want a time after %s", i, history[i].Timestamp, history[i-1].Timestamp)
				}
			}
		},
	},
	{
		"CancellingCompletes", "a run in CANCELLING may complete or fail before the cancellation reaches it",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			c := f.claimOne(f.base, r, longTTL)
			f.begin(f.base, c.Lease, 1)
			f.cancel(f.base, c.RunID)
			f.settle(f.base, ended(c.Lease, f.base, store.StateCompleted))
			f.expectState(c.RunID, store.StateCompleted, "Completed")
		},
	},
	{
		"CancellingGivesUp", "SCHEDULED and CRASHED make a run in CANCELLING CANCELLED, and the repeated update changes nothing",
		func(f *fixture) {
			d := f.deploy("a", withLimit(2))
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			f.createNow(f.base, d)
			claims := f.claim(f.base, r, 2)
			updates := []store.RunUpdate{givenBack(claims[0].Lease, f.base), ended(claims[1].Lease, f.base, store.StateCrashed)}
			f.cancel(f.base, claims[0].RunID)
			f.cancel(f.base, claims[1].RunID)
			f.settle(f.base, updates...)
			for _, c := range claims {
				f.expectState(c.RunID, store.StateCancelled, "Cancelled")
			}
			f.expectUnchanged("repeated updates", func() { f.settle(f.base, updates...) })
			f.createNow(f.base, d)
			f.createNow(f.base, d)
			expect(f, "claims of their slots", len(f.claim(f.base, r, 10)), 2)
		},
	},
	{
		"Crashed", "Crashed is counted with SCHEDULED and with CRASHED, once however often the update is repeated; RetryRun counts from zero",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			run := f.createNow(f.base, d)
			u := awaitingRetry(f.claimOne(f.base, r, longTTL).Lease, f.base)
			u.StartTime, u.Crashed = f.base, true
			f.settle(f.base, u)
			f.expectUnchanged("a repeated update", func() { f.settle(f.base, u) })
			expect(f, "crashes", f.run(run.ID).Crashes, 1)
			c := f.claimOne(f.base, r, longTTL)
			expect(f, "crashes before", c.Crashes, 1)
			last := ended(c.Lease, f.base, store.StateCrashed)
			last.Crashed = true
			f.settle(f.base, last)
			f.expectUnchanged("a repeated end", func() { f.settle(f.base, last) })
			expect(f, "crashes", f.run(run.ID).Crashes, 2)
			_, err := f.retry(f.base, run.ID)
			f.must(err)
			expect(f, "crashes once retried", f.run(run.ID).Crashes, 0)
		},
	},
}
