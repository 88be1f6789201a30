package sim

import (
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/schedule"
	"github.com/provost-go/provost/store"
)

// simTimeline is what was declared of one schedule over time, by the wall clock, and how far it must be decided.
type simTimeline struct {
	versions  []simVersion
	open      bool         // the last version is declared still
	low, high time.Time    // bounds of how far runs are materialised
	planned   time.Time    // how far the newest plan said that they are
	decided   time.Time    // instants up to here are settled for good
	gone      []*store.Run // runs of it that were deleted
}

// simVersion is a schedule as one build declared it. Each of its instants after from, up to until, has to be decided.
type simVersion struct {
	schedule    schedule.Schedule
	from, until time.Time
	planned     bool // once at least
}

func (c *simCheck) timeline(deployment uuid.UUID, key string) *simTimeline {
	d := c.deployments[deployment]
	if d == nil {
		return &simTimeline{}
	}
	t := d.versions[key]
	if t == nil {
		t = &simTimeline{}
		d.versions[key] = t
	}
	return t
}

// declared takes up what a registration changed.
func (c *simCheck) declared(r *simRecord, p store.RegisterDeploymentsParams, registrations []store.Registration) {
	for i, record := range p.Deployments {
		d := c.deployments[record.ID]
		if d == nil {
			d = &simDeclared{versions: make(map[string]*simTimeline)}
			c.deployments[record.ID] = d
			for _, known := range c.world.deployments {
				if known.handle() == record.Handle() {
					d.flow = known.flow
				}
			}
		}
		if registrations[i].Change == store.ChangeNone {
			continue
		}
		d.record = record
		d.sizes = append(d.sizes, record.ConcurrencyLimit)
		declared := make(map[string]bool)
		for _, s := range record.Schedules {
			declared[s.Key] = true
			c.timeline(record.ID, s.Key).declare(s.Schedule, p.Now)
		}
		for key, t := range d.versions {
			if !declared[key] {
				t.retire(p.Now)
			}
		}
	}
}

// declare begins a version, unless the schedule is what it was. What is not materialised of the old one is the new one's.
func (t *simTimeline) declare(s schedule.Schedule, now time.Time) {
	switch {
	case t.open:
		t.reset(now)
		current := &t.versions[len(t.versions)-1]
		if current.schedule.Equal(s) {
			return
		}
		current.until = t.low
	case len(t.versions) > 0:
		t.high = instant.Latest(t.high, now)
	default:
		t.high = now
	}
	t.decided = instant.Latest(t.decided, t.high)
	t.versions = append(t.versions, simVersion{schedule: s, from: t.high})
	t.open, t.low = true, t.high
}

// claimed is what a claim decides: its instant, with all that were planned before it, be the clock set back and the schedule changed
// after it.
func (t *simTimeline) claimed(claim store.Claim) {
	t.decided = instant.Latest(t.decided, instant.Earliest(t.high, instant.Earliest(claim.ScheduledTime, claim.DueTime)))
}

// takeOver is the first plan of a version: what lies before it is the version's before, as where the call that declared it was long
// under way, or the clock was set back.
func (t *simTimeline) takeOver(from time.Time) {
	last := len(t.versions) - 1
	if last < 0 || t.versions[last].planned {
		return
	}
	t.versions[last].planned = true
	if last > 0 && t.open && from.After(t.versions[last].from) {
		t.versions[last-1].until, t.versions[last].from = from, from
	}
}

func (t *simTimeline) retire(now time.Time) {
	if t.open {
		t.reset(now)
		t.versions[len(t.versions)-1].until = t.low
		t.open = false
	}
}

// reset is what a change of the declaration or of a pause does: what lies ahead is planned anew, what is decided stays.
func (t *simTimeline) reset(now time.Time) {
	t.low = instant.Latest(t.decided, instant.Earliest(t.low, now))
	t.high = instant.Latest(t.decided, instant.Earliest(t.high, now))
	t.decided = instant.Latest(t.decided, t.low)
}

func (c *simCheck) timelinesReset(deployment uuid.UUID, now time.Time) {
	c.timelinesMayReset(deployment, now) // of a schedule that was paused otherwise, nothing changes
}

func (c *simCheck) timelinesMayReset(deployment uuid.UUID, now time.Time) {
	if d := c.deployments[deployment]; d != nil {
		for _, t := range d.versions {
			t.low = instant.Latest(t.decided, instant.Earliest(t.low, now))
		}
	}
}

func (c *simCheck) planned(r *simRecord, p store.PlanRunsParams, errs []error) {
	for i := range p.Plans {
		plan := &p.Plans[i]
		if errs[i] != nil {
			continue
		}
		t := c.timeline(plan.DeploymentID, plan.Key)
		if !plan.From.Equal(t.planned) { // a change came between, and what was planned then is decided
			t.decided = instant.Latest(t.decided, plan.From)
		}
		t.takeOver(plan.From)
		t.low = instant.Latest(plan.From, plan.Planned)
		t.planned = t.low
		if t.high = t.low; plan.PlanTime.IsZero() { // it has ended: what is declared next begins when it is declared
			t.high = instant.Latest(t.high, simFarAhead)
		}
		for _, skip := range plan.Skips {
			t.decided = instant.Latest(t.decided, skip.Last)
			if skip.Last.After(p.Now) {
				c.bad(r.at, "schedule %s skips %s, which has not come yet", plan.Key, wallText(skip.Last))
			}
		}
		for _, planned := range plan.Runs {
			run := c.run(planned.ID, plan.DeploymentID)
			if run.token > 0 {
				c.bad(r.at, "run %s was planned after it was claimed", idText(run.id))
			}
		}
	}
}

// simFarAhead is later than any instant of a simulation.
var simFarAhead = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)

// simDecision is what became of instants: a run, or a range of skips.
type simDecision struct {
	first, last time.Time
	timing      schedule.Schedule // of a range
	run         *store.Run        // nil for a range
	gone        bool              // it was deleted
	count       int
}

func (d simDecision) String() string {
	switch {
	case d.gone:
		return "deleted run " + idText(d.run.ID)
	case d.run != nil:
		return fmt.Sprintf("run %s (%s)", idText(d.run.ID), d.run.State.Name)
	}
	return fmt.Sprintf("skip %s..%s of %d", wallText(d.first), wallText(d.last), d.count)
}

// checkInstants holds what was decided against what was declared, schedule by schedule.
func (c *simCheck) checkInstants(runs []*store.Run, skips []store.Skip) {
	for id, d := range c.deployments {
		decisions := make(map[string][]simDecision)
		for _, run := range runs {
			if run.DeploymentID == id && run.Schedule != "" {
				decisions[run.Schedule] = append(decisions[run.Schedule], simDecision{first: run.ScheduledTime, last: run.ScheduledTime, run: run, count: 1})
			}
		}
		for _, skip := range skips {
			if skip.DeploymentID == id {
				decisions[skip.Schedule] = append(decisions[skip.Schedule], simDecision{first: skip.First, last: skip.Last, timing: skip.Timing, count: skip.Count})
			}
		}
		for key, t := range d.versions {
			for _, run := range t.gone {
				decisions[key] = append(decisions[key], simDecision{first: run.ScheduledTime, last: run.ScheduledTime, run: run, gone: true, count: 1})
			}
			if t.open {
				t.versions[len(t.versions)-1].until = c.rested
			}
			name := d.record.Handle() + " " + key
			list := decisions[key]
			sort.SliceStable(list, func(i, j int) bool { return list[i].first.Before(list[j].first) })
			c.checkOnce(name, list)
			c.checkWanted(name, t, list)
			c.checkComplete(name, t, list)
		}
		for key := range decisions {
			if d.versions[key] == nil {
				c.bad(0, "%s was decided for, but nobody declared it", key)
			}
		}
	}
}

// checkOnce: nothing is decided twice. A run that was deleted may be made again by a backfill.
func (c *simCheck) checkOnce(name string, list []simDecision) {
	for i := 1; i < len(list); i++ {
		a, b := list[i-1], list[i]
		if b.first.After(a.last) || again(a, b) || again(b, a) || !a.shares(b) {
			continue
		}
		c.bad(0, "%s: %s is decided twice: %s, %s", name, wallText(b.first), a, b)
	}
}

// shares reports whether an instant is in both, given that their times overlap. Ranges of one schedule that was declared anew may
// lie within each other, instant beside instant.
func (d simDecision) shares(other simDecision) bool {
	switch {
	case d.run != nil && other.run != nil:
		return true
	case d.run != nil:
		return other.shares(d)
	case other.run != nil:
		return d.timing.Has(other.first)
	}
	return d.timing.Equal(other.timing)
}

// again reports whether b is a backfill of an instant whose run a was deleted.
func again(a, b simDecision) bool { return a.gone && b.run != nil && !b.run.AutoScheduled }

// maxSimCounted bounds the ranges that are counted by going through them.
const maxSimCounted = 5000

// checkWanted: what was decided was asked for, and ranges are counted right.
func (c *simCheck) checkWanted(name string, t *simTimeline, list []simDecision) {
	for _, d := range list {
		asked := slices.ContainsFunc(t.versions, func(v simVersion) bool { return v.schedule.Has(d.first) })
		if !asked {
			c.bad(0, "%s: nobody asked for %s at %s", name, d, wallText(d.first))
		}
		if d.run == nil && d.count < maxSimCounted {
			if want := len(d.timing.Between(d.first.Add(-time.Microsecond), d.last)); want != d.count {
				c.bad(0, "%s: %s has %d instants", name, d, want)
			}
		}
	}
}

// maxSimLost bounds how many lost instants of a schedule are reported.
const maxSimLost = 3

// checkComplete: every instant that a build asked for is decided.
func (c *simCheck) checkComplete(name string, t *simTimeline, list []simDecision) {
	lost := 0
	for _, v := range t.versions {
		for cursor := v.from; lost < maxSimLost; {
			next, ok := v.schedule.Next(cursor)
			if !ok || next.After(v.until) {
				break
			}
			i := sort.Search(len(list), func(i int) bool { return !list[i].last.Before(next) })
			if i == len(list) || list[i].first.After(next) {
				c.bad(0, "%s: instant %s is lost; it was asked for after %s, up to %s", name, wallText(next), wallText(v.from), wallText(v.until))
				lost++
				cursor = next
				continue
			}
			cursor = list[i].last
		}
	}
}
