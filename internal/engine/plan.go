package engine

import (
	"slices"
	"time"

	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/schedule"
	"github.com/provost-go/provost/store"
)

// Bounds on planning.
const (
	upcomingRuns = 3               // runs of each schedule that are made ahead
	planAhead    = 2 * time.Second // runs due this soon are made in any case, so that schedules of milliseconds keep up
	maxPlanned   = 1000            // runs of one plan

	catchUpAllRuns   = 100            // newest instants of a gap that CatchUpAll runs
	catchUpAllWindow = 24 * time.Hour // the CatchUpWindow of CatchUpAll if the schedule sets none
	catchUpNoneGrace = time.Minute    // how late the newest missed instant still runs with CatchUpNone
	PausedPlanEvery  = time.Minute    // how often the skips of a pause are recorded
)

// makePlan returns the next plan of a schedule. It is a pure function of the time and of what the
// store knows about the schedule:
//
//   - Instants up to the last time that the deployment was served become runs.
//   - For later instants up to now, the catch-up policy decides.
//   - Instants inside a pause become skips.
//   - The next few instants after now become runs ahead of their time.
func makePlan(item store.PlanItem, now time.Time) store.SchedulePlan {
	b := planBuilder{
		item: item, now: now,
		plan: store.SchedulePlan{
			DeploymentID: item.DeploymentID, Generation: item.Generation, Key: item.Key,
			From: item.Planned, Planned: item.Planned, GapFound: item.GapFound, Reason: store.SkipMissed,
		},
	}
	servedUntil := now
	if item.Gap {
		servedUntil = item.ServedUntil
	}
	handled := servedUntil
	if !item.PausedFrom.IsZero() {
		// After the clock was set back, the pause may lie ahead of now. Then it does not apply yet.
		pausedFrom, pausedUntil := instant.Earliest(item.PausedFrom, now), instant.Earliest(item.PausedUntil, now)
		b.run(instant.Earliest(servedUntil, pausedFrom), false)
		b.catchUp(servedUntil, pausedFrom)
		if item.Paused {
			if b.full() {
				b.plan.PlanTime, b.plan.Partial = now, true
				return b.plan
			}
			b.skip(now, store.SkipPaused)
			b.plan.PlanTime = b.pausedPlanTime()
			return b.plan
		}
		b.skip(pausedUntil, store.SkipPaused)
		handled = instant.Latest(servedUntil, pausedUntil)
	}
	b.run(servedUntil, false)
	b.catchUp(handled, now)
	b.plan.Partial = b.full() // instants of the past may be left
	b.ahead()
	return b.plan
}

// planBuilder builds one plan. plan.Planned is the instant up to which it has decided.
type planBuilder struct {
	item store.PlanItem
	now  time.Time
	plan store.SchedulePlan
}

// run makes a run for each undecided instant up to a time.
func (b *planBuilder) run(until time.Time, catchUp bool) {
	for len(b.plan.Runs) < maxPlanned {
		next, ok := b.item.Schedule.Next(b.plan.Planned)
		if !ok || next.After(until) {
			return
		}
		b.add(next, catchUp)
	}
}

// add makes the run of one instant.
func (b *planBuilder) add(at time.Time, catchUp bool) {
	b.plan.Runs = append(b.plan.Runs, store.PlannedRun{
		ID: store.NewID(b.now), ScheduledTime: at,
		DueTime: b.item.Schedule.DueTime(b.item.DeploymentID, b.item.Key, at),
		CatchUp: catchUp,
	})
	b.plan.Planned = at
}

// catchUp applies the catch-up policy to the instants between two times at which nobody served the
// deployment: to undecided instants, and to unclaimed runs that were made ahead.
func (b *planBuilder) catchUp(from, until time.Time) {
	if !b.item.Gap || !until.After(from) || b.full() {
		return
	}
	missed := func(t time.Time) bool { return t.After(from) && !t.After(until) }
	wanted := b.wanted(until)
	for _, at := range b.item.Unclaimed {
		switch {
		case !missed(at):
		case at.Before(wanted):
			b.plan.Cancel = append(b.plan.Cancel, at)
		default:
			b.plan.Late = append(b.plan.Late, at)
		}
	}
	b.skip(wanted.Add(-time.Microsecond), store.SkipMissed)
	b.run(until, true)
}

// wanted returns the first missed instant that the policy wants to run. Those before it are
// skipped. If the policy wants none, wanted returns a time after until.
func (b *planBuilder) wanted(until time.Time) time.Time {
	policy, window := b.item.Schedule.CatchUpRule()
	sched := b.item.Schedule
	newest, ok := sched.Prev(until.Add(time.Microsecond))
	after := until.Add(time.Microsecond)
	if !ok {
		return after
	}
	switch policy {
	case schedule.CatchUpNone:
		if b.now.Sub(newest) <= catchUpNoneGrace {
			return newest
		}
		return after
	case schedule.CatchUpAll:
		if window == 0 {
			window = catchUpAllWindow
		}
		first := newest
		for range catchUpAllRuns - 1 {
			previous, ok := sched.Prev(first)
			if !ok || b.now.Sub(previous) > window || !previous.After(b.item.ServedUntil) {
				break
			}
			first = previous
		}
		if b.now.Sub(first) > window {
			return after
		}
		return first
	default:
		if window > 0 && b.now.Sub(newest) > window {
			return after
		}
		return newest
	}
}

// skip skips the undecided instants up to a time: as one range, except that instants which are
// decided already divide it.
func (b *planBuilder) skip(until time.Time, reason store.SkipReason) {
	if b.full() {
		return
	}
	for _, at := range b.item.Taken {
		if at.After(b.plan.Planned) && !at.After(until) {
			b.skipRange(at.Add(-time.Microsecond), reason)
			b.plan.Planned = at
		}
	}
	b.skipRange(until, reason)
}

// skipRange records one range of skips.
func (b *planBuilder) skipRange(until time.Time, reason store.SkipReason) {
	first, ok := b.item.Schedule.Next(b.plan.Planned)
	if !ok || first.After(until) {
		return
	}
	last, count := b.item.Schedule.CountUntil(first, until)
	b.plan.Skips = append(b.plan.Skips, store.Skip{
		ID: store.NewID(b.now), DeploymentID: b.item.DeploymentID, Schedule: b.item.Key, Timing: b.item.Schedule.Timing(),
		First: first, Last: last, Count: count, Reason: reason,
	})
	b.plan.Planned = last
}

// full reports whether the plan has as many runs as a plan may have. The next plan decides the
// rest.
func (b *planBuilder) full() bool { return len(b.plan.Runs) >= maxPlanned }

// ahead makes the next runs, so many that upcomingRuns are left once those that may be claimed now
// are claimed. It sets PlanTime, when to plan again, to the earlier of two times:
//
//   - when the first of these upcomingRuns may be claimed: that is half a second before it starts,
//     so that planning does not delay it;
//   - planAhead/2 before the first instant that has no run yet.
func (b *planBuilder) ahead() {
	claimable := b.now.Add(store.ClaimAhead)
	at := instant.Latest(b.plan.Planned, b.now)
	upcoming := b.newest(claimable, at)
	for !b.full() {
		next, ok := b.item.Schedule.Next(at)
		if !ok {
			return // the schedule ends
		}
		if n := len(upcoming); n >= upcomingRuns && next.Sub(b.now) > planAhead {
			b.plan.PlanTime = instant.Earliest(upcoming[n-upcomingRuns].Add(-store.ClaimAhead), next.Add(-planAhead/2))
			return
		}
		if next.After(claimable) {
			upcoming = append(upcoming, next)
		}
		b.add(next, false)
		at = next
	}
	b.plan.PlanTime = b.now
}

// newest returns the last instants after one time and up to another, in order and at most
// upcomingRuns of them. After the clock was set back there could be a year of them.
func (b *planBuilder) newest(after, until time.Time) []time.Time {
	var list []time.Time
	for at := until.Add(time.Microsecond); len(list) < upcomingRuns; {
		previous, ok := b.item.Schedule.Prev(at)
		if !ok || !previous.After(after) {
			break
		}
		list = append(list, previous)
		at = previous
	}
	slices.Reverse(list)
	return list
}

// pausedPlanTime returns when to record the skips of a pause again: at the next instant, but no
// sooner than after PausedPlanEvery. It returns zero if the schedule has no more instants.
func (b *planBuilder) pausedPlanTime() time.Time {
	next, ok := b.item.Schedule.Next(b.now)
	if !ok {
		return time.Time{}
	}
	if soonest := b.now.Add(PausedPlanEvery); next.Before(soonest) {
		return soonest
	}
	return next
}
