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

// timeline is what builds declared of one schedule over time, by the wall clock, and how far its
// instants are decided.
type timeline struct {
	versions  []version
	open      bool         // the last version is still declared
	low, high time.Time    // bounds of how far runs are planned
	planned   time.Time    // how far runs are planned according to the newest plan
	decided   time.Time    // instants up to here are decided for good
	gone      []*store.Run // runs of the schedule that were deleted
}

// version is a schedule as one build declared it. Each of its instants after from, up to until,
// must be decided.
type version struct {
	schedule    schedule.Schedule
	from, until time.Time
	planned     bool // at least once
}

// timeline returns the timeline of a schedule. That of an unknown deployment is empty and not kept.
func (c *checker) timeline(deploymentID uuid.UUID, key string) *timeline {
	d := c.deployments[deploymentID]
	if d == nil {
		return &timeline{}
	}
	t := d.versions[key]
	if t == nil {
		t = &timeline{}
		d.versions[key] = t
	}
	return t
}

// declared takes into account what a registration changed.
func (c *checker) declared(r *entry, p store.RegisterDeploymentsParams, registrations []store.Registration) {
	for i, record := range p.Deployments {
		d := c.deployments[record.ID]
		if d == nil {
			d = &declaredDeployment{versions: make(map[string]*timeline)}
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

// declare begins a version, unless the schedule is unchanged. Instants that are not planned of the
// old version belong to the new one.
func (t *timeline) declare(s schedule.Schedule, now time.Time) {
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
	t.versions = append(t.versions, version{schedule: s, from: t.high})
	t.open, t.low = true, t.high
}

// claimed takes into account what a claim decides: its instant and all that were planned before it,
// even if the clock is set back and the schedule changed afterwards.
func (t *timeline) claimed(claim store.Claim) {
	t.decided = instant.Latest(t.decided, instant.Earliest(t.high, instant.Earliest(claim.ScheduledTime, claim.DueTime)))
}

// takeOver takes the first plan of a version into account: what lies before the plan belongs to the
// previous version, for example if the call that declared the version took long, or the clock was
// set back.
func (t *timeline) takeOver(from time.Time) {
	last := len(t.versions) - 1
	if last < 0 || t.versions[last].planned {
		return
	}
	t.versions[last].planned = true
	if last > 0 && t.open && from.After(t.versions[last].from) {
		t.versions[last-1].until, t.versions[last].from = from, from
	}
}

// retire ends the last version: the schedule is no longer declared.
func (t *timeline) retire(now time.Time) {
	if t.open {
		t.reset(now)
		t.versions[len(t.versions)-1].until = t.low
		t.open = false
	}
}

// reset takes a change of the declaration or of a pause into account: what lies ahead is planned
// again, what is decided stays.
func (t *timeline) reset(now time.Time) {
	t.low = instant.Latest(t.decided, instant.Earliest(t.low, now))
	t.high = instant.Latest(t.decided, instant.Earliest(t.high, now))
	t.decided = instant.Latest(t.decided, t.low)
}

// mayReset takes into account that a pause may have reset the timelines of a deployment: it changes
// nothing for a schedule that was already paused in another way.
func (c *checker) mayReset(deploymentID uuid.UUID, now time.Time) {
	if d := c.deployments[deploymentID]; d != nil {
		for _, t := range d.versions {
			t.low = instant.Latest(t.decided, instant.Earliest(t.low, now))
		}
	}
}

func (c *checker) planned(r *entry, p store.PlanRunsParams, errs []error) {
	for i := range p.Plans {
		plan := &p.Plans[i]
		if errs[i] != nil {
			continue
		}
		t := c.timeline(plan.DeploymentID, plan.Key)
		if !plan.From.Equal(t.planned) { // a change came between; what was planned then is decided
			t.decided = instant.Latest(t.decided, plan.From)
		}
		t.takeOver(plan.From)
		t.low = instant.Latest(plan.From, plan.Planned)
		t.planned = t.low
		if t.high = t.low; plan.PlanTime.IsZero() { // the schedule has ended: its next version begins when it is declared
			t.high = instant.Latest(t.high, farAhead)
		}
		for _, skip := range plan.Skips {
			t.decided = instant.Latest(t.decided, skip.Last)
			if skip.Last.After(p.Now) {
				c.bad(r.at, "schedule %s skips %s, which is in the future", plan.Key, wallText(skip.Last))
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

// farAhead is later than any instant of a simulation.
var farAhead = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)

// decision is the outcome of instants: a run, or a range of skips.
type decision struct {
	first, last time.Time
	timing      schedule.Schedule // of a range
	run         *store.Run        // nil for a range
	gone        bool              // the run was deleted
	count       int
}

func (d decision) String() string {
	switch {
	case d.gone:
		return "deleted run " + idText(d.run.ID)
	case d.run != nil:
		return fmt.Sprintf("run %s (%s)", idText(d.run.ID), d.run.State.Name)
	}
	return fmt.Sprintf("skip %s..%s of %d", wallText(d.first), wallText(d.last), d.count)
}

// checkInstants compares what was decided with what was declared, schedule by schedule.
func (c *checker) checkInstants(runs []*store.Run, skips []store.Skip) {
	for id, d := range c.deployments {
		decisions := make(map[string][]decision)
		for _, run := range runs {
			if run.DeploymentID == id && run.Schedule != "" {
				decisions[run.Schedule] = append(decisions[run.Schedule], decision{first: run.ScheduledTime, last: run.ScheduledTime, run: run, count: 1})
			}
		}
		for _, skip := range skips {
			if skip.DeploymentID == id {
				decisions[skip.Schedule] = append(decisions[skip.Schedule], decision{first: skip.First, last: skip.Last, timing: skip.Timing, count: skip.Count})
			}
		}
		for key, t := range d.versions {
			for _, run := range t.gone {
				decisions[key] = append(decisions[key], decision{first: run.ScheduledTime, last: run.ScheduledTime, run: run, gone: true, count: 1})
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
				c.bad(0, "instants of schedule %s were decided, but nobody declared it", key)
			}
		}
	}
}

// checkOnce checks that no instant is decided twice. A backfill may make a run that was deleted
// again.
func (c *checker) checkOnce(name string, list []decision) {
	for i := 1; i < len(list); i++ {
		a, b := list[i-1], list[i]
		if b.first.After(a.last) || again(a, b) || again(b, a) || !a.shares(b) {
			continue
		}
		c.bad(0, "%s: %s is decided twice: %s, %s", name, wallText(b.first), a, b)
	}
}

// shares reports whether both decisions have an instant in common, given that their times overlap.
// Ranges of two versions of a schedule may overlap without a common instant.
func (d decision) shares(other decision) bool {
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
func again(a, b decision) bool { return a.gone && b.run != nil && !b.run.AutoScheduled }

// maxCounted is the size up to which ranges are counted instant by instant.
const maxCounted = 5000

// checkWanted checks that a build declared what was decided, and that the counts of ranges are
// right.
func (c *checker) checkWanted(name string, t *timeline, list []decision) {
	for _, d := range list {
		declared := slices.ContainsFunc(t.versions, func(v version) bool { return v.schedule.Has(d.first) })
		if !declared {
			c.bad(0, "%s: no build declared %s at %s", name, d, wallText(d.first))
		}
		if d.run == nil && d.count < maxCounted {
			if want := len(d.timing.Between(d.first.Add(-time.Microsecond), d.last)); want != d.count {
				c.bad(0, "%s: %s has %d instants", name, d, want)
			}
		}
	}
}

// maxLost is how many lost instants of a schedule are reported.
const maxLost = 3

// checkComplete checks that every instant that a build declared is decided.
func (c *checker) checkComplete(name string, t *timeline, list []decision) {
	lost := 0
	for _, v := range t.versions {
		for cursor := v.from; lost < maxLost; {
			next, ok := v.schedule.Next(cursor)
			if !ok || next.After(v.until) {
				break
			}
			i := sort.Search(len(list), func(i int) bool { return !list[i].last.Before(next) })
			if i == len(list) || list[i].first.After(next) {
				c.bad(0, "%s: instant %s is lost; it was declared after %s, up to %s", name, wallText(next), wallText(v.from), wallText(v.until))
				lost++
				cursor = next
				continue
			}
			cursor = list[i].last
		}
	}
}
