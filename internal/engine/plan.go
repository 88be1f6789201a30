package engine

import (
	"slices"
	"time"

	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/schedule"
	"github.com/provost-go/provost/store"
)

// Bounds on planning. Three runs per schedule are visible ahead, and whatever is due within planAhead, so that schedules of
// milliseconds keep up; a plan makes at most maxPlanned runs.
const (
	upcomingRuns = 3
	planAhead    = 2 * time.Second
	maxPlanned   = 1000

	catchUpAllRuns   = 100
	catchUpAllWindow = 24 * time.Hour
	catchUpNoneGrace = time.Minute
	PausedPlanEvery  = time.Minute // how often the skips of a pause are recorded
)

// makePlan is the next stretch of a schedule: a pure function of what the store knows of it and of now. Instants up to the last
// time the deployment was served become runs, later ones are dealt with by the catch-up policy, those inside a pause become
// skips, and the next few are materialised ahead.
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
		// A clock that was set back leaves a pause that lies ahead: what it has not come to is not paused by it.
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
	b.plan.Partial = b.full() // before the past was dealt with, perhaps
	b.ahead()
	return b.plan
}

type planBuilder struct {
	item store.PlanItem
	now  time.Time
	plan store.SchedulePlan
}

// run makes a run of each instant that is left up to the given time.
func (b *planBuilder) run(until time.Time, catchUp bool) {
	for len(b.plan.Runs) < maxPlanned {
		next, ok := b.item.Schedule.Next(b.plan.Planned)
		if !ok || next.After(until) {
			return
		}
		b.add(next, catchUp)
	}
}

func (b *planBuilder) add(at time.Time, catchUp bool) {
	b.plan.Runs = append(b.plan.Runs, store.PlannedRun{
		ID: store.NewID(b.now), ScheduledTime: at,
		DueTime: b.item.Schedule.DueTime(b.item.DeploymentID, b.item.Key, at),
		CatchUp: catchUp,
	})
	b.plan.Planned = at
}

// catchUp deals with the instants between two times that passed while nobody served the deployment: those that are left, and
// those that are materialised in the gap and unclaimed.
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

// wanted is the first missed instant that the policy wants to run; those before it are skipped.
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

// skip records the instants that are left up to the given time: as one range, but for those that are taken.
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

// full reports that this plan has made as many runs as a plan may. What is left is dealt with by the next one.
func (b *planBuilder) full() bool { return len(b.plan.Runs) >= maxPlanned }

// ahead materialises the next runs: so many that upcomingRuns of them are left when those that may be claimed by now are. It says
// when to plan again: when the next one may be claimed, half a second before it starts and so out of its way, or as soon as
// little more than a second is covered.
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

// newest is the last upcomingRuns instants after one time up to another: more would be a year of them after a clock that jumped back.
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
