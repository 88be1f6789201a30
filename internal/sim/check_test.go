package sim

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/engine"
	"github.com/provost-go/provost/store"
)

// simCheck holds a history against what was promised. It knows the store's answers and final contents, nothing of its code.
type simCheck struct {
	world *simWorld
	found []string

	runs        map[uuid.UUID]*simRun
	deployments map[uuid.UUID]*simDeclared
	claims      map[uuid.UUID]bool // IDs of calls of ClaimRuns: one that is repeated may give the same leases
	visits      []*simVisit        // calls of flows' functions, by entry
	inside      map[store.Lease]*simVisit
	wrote       map[store.Lease]int  // lines that functions logged
	closed      map[store.Lease]bool // the holder's word on how it ended was taken
	missing     int                  // lines of those that are neither kept nor counted as dropped
	stalls      []simSpan
	jumps       []simSpan // when leases could end by the wall clock alone
	calm        time.Duration
	rested      time.Time // wall clock when all was paused for the end
	jumped      bool      // the wall clock moved at all
	setBack     bool      // it was set back, ever
}

// simSpan is a time in which something was the matter: a runner stood still, or the wall clock leapt.
type simSpan struct {
	who         string
	from, until time.Duration
}

// simRun is a run as the calls told of it.
type simRun struct {
	id         uuid.UUID
	deployment *simDeclared // nil for a child run
	parent     *simRun
	token      int64
	held       bool      // under that token
	until      time.Time // end of the lease
	cut        time.Time // what it may have been cut to since it was given, as the clock was set back; zero for no cut
	holder     string
	claim      store.Claim
	ended      store.StateType // what ended that claim
	over       bool
	retried    int  // failures that were given another attempt, since it was opened
	reopenable int  // accepted calls that may reopen it
	reopened   bool // it was, ever
	crashes    int
	began      bool // the store knows that an attempt began under the token
	attempt    int  // highest that a function began
	entries    int  // of its function
}

// simVisit is one call of a flow's function.
type simVisit struct {
	simEntered
	who  string
	from time.Duration
	to   time.Duration // negative until it returned
}

// simDeclared is a deployment as it was declared, build by build.
type simDeclared struct {
	record   *store.DeploymentRecord
	flow     *simFlow
	versions map[string]*simTimeline // by key of the schedule
	sizes    []int                   // of its limit, over time
}

func (c *simCheck) bad(at time.Duration, format string, args ...any) {
	c.found = append(c.found, fmt.Sprintf("%s: ", at)+fmt.Sprintf(format, args...))
}

// check gives all that is wrong with what happened and with what is left.
func (w *simWorld) check(ctx context.Context) []string {
	c := &simCheck{
		world: w, runs: make(map[uuid.UUID]*simRun), deployments: make(map[uuid.UUID]*simDeclared),
		claims: make(map[uuid.UUID]bool), inside: make(map[store.Lease]*simVisit),
		wrote: make(map[store.Lease]int), closed: make(map[store.Lease]bool),
	}
	for i := range w.history.records {
		c.follow(&w.history.records[i])
	}
	c.checkVisits()
	c.checkContents(ctx)
	c.checkMeasure()
	return c.found
}

// follow takes the next step of the history.
func (c *simCheck) follow(r *simRecord) {
	if r.err != nil {
		return // the store refused
	}
	switch p := r.call.(type) {
	case store.RegisterDeploymentsParams:
		c.declared(r, p, r.answer.([]store.Registration))
	case store.SetPauseParams:
		c.timelinesReset(p.DeploymentID, p.Now)
	case store.RegisterRunnerParams:
		if c.world.config.pauses {
			for _, id := range p.Deployments {
				c.timelinesMayReset(id, p.Now)
			}
		}
	case store.RemoveRunnerParams:
		if p.Pause {
			for id := range c.deployments {
				c.timelinesMayReset(id, p.Now)
			}
		}
	case store.PlanRunsParams:
		c.planned(r, p, r.answer.([]error))
	case store.CreateRunParams:
		c.created(r, p, r.answer.(*store.Run))
	case store.BackfillRunsParams:
		for _, run := range r.answer.([]*store.Run) {
			c.run(run.ID, run.DeploymentID).reopen()
		}
	case store.RetryRunParams:
		c.run(p.RunID, r.answer.(*store.Run).DeploymentID).reopen()
	case store.ClaimRunsParams:
		c.claimed(r, p, r.answer.(store.ClaimRunsResult))
	case store.RenewLeasesParams:
		c.renewed(r, p, r.answer.(store.RenewLeasesResult))
	case store.SettleRunsParams:
		c.settledAll(r, p, r.answer.([]error))
	case store.ReapLeasesParams:
		c.reaped(r, p, r.answer.(store.ReapLeasesResult))
	case store.AppendLogsParams:
		c.logged(r, p, r.answer.([]error))
	case simDeletion:
		c.deleted(r.answer.(*store.Run))
	default:
		c.followEvent(r)
	}
}

func (c *simCheck) followEvent(r *simRecord) {
	switch e := r.call.(type) {
	case simEntered:
		c.entered(r, e)
	case simWrote:
		c.wrote[e.lease]++
	case simLeft:
		if v := c.inside[e.Lease]; v != nil {
			v.to = r.at
			delete(c.inside, e.Lease)
		}
	case simCrashed:
		for lease, v := range c.inside {
			if v.who == r.who {
				v.to = r.at
				delete(c.inside, lease)
			}
		}
	case simStalled:
		c.stalls = append(c.stalls, simSpan{r.who, r.at, e.until})
	case simJumped:
		c.jumped = true
		if e.by > 0 {
			c.jumps = append(c.jumps, simSpan{from: r.at, until: r.at})
		} else { // a call that was under way then comes with a time ahead
			c.setBack = true
			c.jumps = append(c.jumps, simSpan{from: r.at, until: r.at + engine.StoreTimeout})
		}
	case simCalm:
		c.calm = r.at
	case simRested:
		c.rested = e.wall
	}
}

// run is what is known of a run, from the first time that anybody spoke of it.
func (c *simCheck) run(id, deployment uuid.UUID) *simRun {
	r := c.runs[id]
	if r == nil {
		r = &simRun{id: id, deployment: c.deployments[deployment]}
		c.runs[id] = r
	}
	return r
}

func (r *simRun) reopen() {
	r.reopenable++
	r.retried, r.over, r.crashes = 0, false, 0
	r.reopened = true
}

// root is the run whose lease covers this one.
func (r *simRun) root() *simRun {
	for r.parent != nil {
		r = r.parent
	}
	return r
}

func (c *simCheck) created(r *simRecord, p store.CreateRunParams, run *store.Run) {
	if run.ID != p.ID {
		if p.IdempotencyKey == "" || run.IdempotencyKey != p.IdempotencyKey {
			c.bad(r.at, "creating run %s gave run %s", idText(p.ID), idText(run.ID))
		}
		return
	}
	_, known := c.runs[p.ID]
	made := c.run(p.ID, p.DeploymentID)
	if p.Child == nil || known {
		return
	}
	if made.parent = c.runs[p.Child.Parent.RunID]; made.parent == nil {
		c.bad(r.at, "child run %s of an unknown run", idText(p.ID))
		return
	}
	if root := made.root(); !root.held || root.token != p.Child.Parent.Token {
		c.bad(r.at, "child run %s was made under a lease that is over, %s", idText(p.ID), leaseText(p.Child.Parent))
	}
}

func (r *simRun) lease(now time.Time, ttl time.Duration) { r.until, r.cut = now.Add(ttl), time.Time{} }

func (c *simCheck) claimed(r *simRecord, p store.ClaimRunsParams, claims store.ClaimRunsResult) {
	repeated := c.claims[p.ID]
	c.claims[p.ID] = true
	for _, claim := range claims.Runs {
		run := c.run(claim.RunID, claim.DeploymentID)
		switch {
		case claim.Token == run.token && run.held && run.holder == r.who && repeated:
			run.lease(p.Now, p.TTL)
			continue
		case claim.Token <= run.token:
			c.bad(r.at, "run %s was claimed with token %d after %d", idText(run.id), claim.Token, run.token)
		case run.held:
			c.bad(r.at, "run %s was claimed by %s while %s held it (token %d)", idText(run.id), r.who, run.holder, run.token)
		case run.over:
			c.bad(r.at, "run %s was claimed though it is over", idText(run.id))
		}
		if early := claim.DueTime.Sub(p.Now); early > store.ClaimAhead {
			c.bad(r.at, "run %s was claimed %s before it is due", idText(run.id), early)
		}
		run.token, run.held, run.holder, run.claim, run.ended = claim.Token, true, r.who, claim, ""
		run.lease(p.Now, p.TTL)
		run.began = false
		if claim.Schedule != "" {
			c.timeline(claim.DeploymentID, claim.Schedule).claimed(claim)
		}
		c.checkLimit(r, run)
	}
}

// checkLimit holds the leases under a limit against its size. Where builds differ in it, the largest counts.
func (c *simCheck) checkLimit(r *simRecord, claimed *simRun) {
	key := claimed.deployment.record.LimitKey()
	if key == "" {
		return
	}
	held, size := 0, 0
	for _, run := range c.runs {
		if run.held && run.parent == nil && run.deployment.record.LimitKey() == key {
			held++
			size = max(size, slices.Max(run.deployment.sizes))
		}
	}
	if held > size {
		c.bad(r.at, "%d leases are held under limit %s of %d with the claim of run %s", held, key, size, idText(claimed.id))
	}
}

func (c *simCheck) renewed(r *simRecord, p store.RenewLeasesParams, renewal store.RenewLeasesResult) {
	several := make(map[uuid.UUID]int) // leases of one run: only the newest can be held
	for _, lease := range p.Leases {
		several[lease.RunID]++
	}
	for _, lease := range p.Leases {
		run := c.runs[lease.RunID]
		lost := slices.Contains(renewal.Lost, lease.RunID)
		if lost && several[lease.RunID] > 1 {
			continue // the answer names runs, not leases
		}
		ours := run != nil && run.held && run.token == lease.Token
		switch {
		case lost && ours:
			c.bad(r.at, "lease %s was called lost, but nothing ended it", leaseText(lease))
		case !lost && !ours:
			c.bad(r.at, "lease %s was renewed, but it is over", leaseText(lease))
		case !lost:
			run.lease(p.Now, p.TTL)
		}
	}
}

func (c *simCheck) settledAll(r *simRecord, p store.SettleRunsParams, errs []error) {
	for i := range p.Updates {
		u := &p.Updates[i]
		run := c.runs[u.RunID]
		if run == nil {
			if errs == nil || errs[i] == nil {
				c.bad(r.at, "the end of unknown run %s was accepted", idText(u.RunID))
			}
			continue
		}
		if errs != nil && errs[i] != nil {
			if root := run.root(); root.held && root.token == u.Token && !run.over {
				c.bad(r.at, "the holder of run %s was refused to write %q: %v", leaseText(u.Lease), u.State.Type, errs[i])
			}
			continue
		}
		c.settled(r, run, u)
	}
}

func (c *simCheck) settled(r *simRecord, run *simRun, u *store.RunUpdate) {
	root := run.root()
	if u.State.Type != "" && run.ended == u.State.Type && root.token == u.Token {
		return // said again
	}
	switch {
	case !root.held || root.token != u.Token:
		c.bad(r.at, "a stale write was accepted: %s %q; the newest token is %d, held: %t", leaseText(u.Lease), u.State.Type, root.token, root.held)
	case run.over:
		c.bad(r.at, "run %s was over and ended again, as %s", idText(run.id), u.State.Type)
	}
	if !u.StartTime.IsZero() {
		run.began = true
	}
	switch {
	case u.State.Type == "":
		return
	case u.State.Type == store.StateScheduled && u.State.Name == store.NameAwaitingRetry:
		if u.Crashed {
			break // no retry
		}
		if run.retried++; run.deployment != nil && !run.reopened && run.retried > run.deployment.flow.retries {
			c.bad(r.at, "run %s gets retry %d of %d", idText(run.id), run.retried, run.deployment.flow.retries)
		}
	case u.State.Type == store.StateScheduled:
		if u.Attempt != run.claim.Attempt {
			c.bad(r.at, "run %s was handed back at attempt %d and came with %d", idText(run.id), u.Attempt, run.claim.Attempt)
		}
	default:
		c.ends(r, run, u)
	}
	run.ended, run.held = u.State.Type, false
	c.closed[u.Lease] = true
}

// ends is a run that becomes terminal by its holder's word.
func (c *simCheck) ends(r *simRecord, run *simRun, u *store.RunUpdate) {
	run.over = true
	if run.deployment == nil {
		return
	}
	flow := run.deployment.flow
	if u.State.Type == store.StateFailed && !run.reopened && run.retried < flow.retries {
		c.bad(r.at, "run %s failed for good after %d of %d retries", idText(run.id), run.retried, flow.retries)
	}
	if u.State.Type == store.StateCompleted && !c.visited(u.Lease) {
		c.bad(r.at, "run %s completed, but nobody entered its function under that token", leaseText(u.Lease))
	}
}

func (c *simCheck) visited(lease store.Lease) bool {
	return slices.ContainsFunc(c.visits, func(v *simVisit) bool { return v.Lease == lease })
}

func (c *simCheck) reaped(r *simRecord, p store.ReapLeasesParams, reaped store.ReapLeasesResult) {
	if ends := p.Now.Add(c.world.config.leaseTTL); c.setBack {
		for _, run := range c.runs {
			if run.held && run.until.After(ends) && (run.cut.IsZero() || ends.Before(run.cut)) {
				run.cut = ends // the first cut holds, not the newest
			}
		}
	}
	for _, after := range reaped.Runs {
		run := c.runs[after.ID]
		switch {
		case run == nil || !run.held:
			c.bad(r.at, "run %s was reaped without a lease", idText(after.ID))
			continue
		case !run.until.Before(p.Now) && (run.cut.IsZero() || !run.cut.Before(p.Now)):
			c.bad(r.at, "the lease of run %s was reaped at %s, but lasts until %s", idText(run.id), wallText(p.Now), wallText(run.until))
		}
		run.held, run.ended = false, ""
		if run.crashes++; !run.began {
			run.attempt = max(run.attempt, run.claim.Attempt+1) // the crash is one
			if after.Attempt != run.claim.Attempt+1 {
				c.bad(r.at, "run %s crashed before attempt %d began, and has attempt %d", idText(run.id), run.claim.Attempt+1, after.Attempt)
			}
		}
		run.over = after.State.Terminal()
		if after.State.Type == store.StateCrashed && run.crashes < store.MaxCrashes && !run.deployment.flow.once {
			c.bad(r.at, "run %s is Crashed for good after %d crashes", idText(run.id), run.crashes)
		}
	}
}

func (c *simCheck) logged(r *simRecord, p store.AppendLogsParams, errs []error) {
	for i, log := range p.Runs {
		if errs != nil && errs[i] != nil {
			continue
		}
		run := c.runs[log.RunID]
		if run == nil || !run.root().held || run.root().token != log.Token {
			c.bad(r.at, "lines of the log were accepted under a lease that is over, %s", leaseText(log.Lease))
		}
	}
}

func (c *simCheck) deleted(run *store.Run) {
	if run.State.Terminal() {
		if run.Schedule != "" {
			c.timeline(run.DeploymentID, run.Schedule).gone = append(c.timeline(run.DeploymentID, run.Schedule).gone, run)
		}
		return
	}
	c.bad(0, "run %s was deleted though it is %s", idText(run.ID), run.State.Type)
}

func (c *simCheck) entered(r *simRecord, e simEntered) {
	v := &simVisit{simEntered: e, who: r.who, from: r.at, to: -1}
	c.visits = append(c.visits, v)
	if c.inside[e.Lease] != nil {
		c.bad(r.at, "the function of run %s was entered twice under one token", leaseText(e.Lease))
	}
	c.inside[e.Lease] = v
	run := c.runs[e.RunID]
	if run == nil {
		c.bad(r.at, "the function of run %s was entered without a claim", leaseText(e.Lease))
		return
	}
	run.entries++
	flow := run.deployment.flow
	if flow.once && run.entries > 1+run.reopenable {
		c.bad(r.at, "the function of run %s, which runs at most once, was entered %d times", idText(run.id), run.entries)
	}
	if e.Token == run.token && e.attempt < run.attempt {
		c.bad(r.at, "attempt %d of run %s came after attempt %d", e.attempt, idText(run.id), run.attempt)
	}
	run.attempt = max(run.attempt, e.attempt)
	c.checkInside(r, run, v)
}

// checkInside holds the functions of a limit that are under way against its size, but for those that do not obey, stood still, or lost
// their lease to a leap of the clock.
func (c *simCheck) checkInside(r *simRecord, entered *simRun, v *simVisit) {
	key := entered.deployment.record.LimitKey()
	if key == "" || !v.obeys || c.excused(v, r.at) {
		return
	}
	inside, size := 1, slices.Max(entered.deployment.sizes)
	for lease, other := range c.inside {
		run := c.runs[lease.RunID]
		if run != nil && run != entered && run.deployment.record.LimitKey() == key && other.obeys && !c.excused(other, r.at) {
			inside++
			size = max(size, slices.Max(run.deployment.sizes))
		}
	}
	if inside > size {
		c.bad(r.at, "%d functions are under way under limit %s of %d with that of run %s", inside, key, size, idText(entered.id))
	}
}

// checkVisits: no two calls of one run's function overlap, unless the first did not obey, stood still, or lost its lease to a
// leap of the clock.
func (c *simCheck) checkVisits() {
	byRun := make(map[uuid.UUID]*simVisit)
	for _, v := range c.visits {
		if v.to < 0 {
			v.to = 1 << 62
		}
		before := byRun[v.RunID]
		if before == nil || v.to > before.to {
			byRun[v.RunID] = v
		}
		if before == nil || v.from >= before.to || !before.obeys || c.excused(before, v.from) || v.Token < before.Token && c.excused(v, v.from) {
			continue
		}
		c.bad(v.from, "run %s: %s entered with token %d while %s was inside with token %d, from %s to %s",
			idText(v.RunID), v.who, v.Token, before.who, before.Token, before.from, before.to)
	}
}

// excused reports whether a call may have gone on without a lease by the given time.
func (c *simCheck) excused(v *simVisit, at time.Duration) bool {
	for _, s := range c.stalls {
		if s.who == v.who && s.from <= at && s.until >= v.from {
			return true
		}
	}
	since := v.from - c.world.config.leaseTTL
	return slices.ContainsFunc(c.jumps, func(j simSpan) bool { return j.until >= since && j.from <= at })
}
