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

// checker checks a history against the promises. It knows the calls, the answers and the final
// contents of the store, and nothing of its code.
type checker struct {
	world *world
	found []string

	runs        map[uuid.UUID]*knownRun
	deployments map[uuid.UUID]*declaredDeployment
	claims      map[uuid.UUID]bool // by ID of a ClaimRuns call: a repeated call may return the same leases
	visits      []*visit           // calls of flows' functions, in the order in which they began
	inside      map[store.Lease]*visit
	wrote       map[store.Lease]int  // how many lines functions logged
	closed      map[store.Lease]bool // the store accepted how the holder ended it
	missing     int                  // lines of closed leases that are neither kept nor counted as dropped
	stalls      []span
	jumps       []span // when leases may expire by the wall clock alone
	calm        time.Duration
	rested      time.Time // wall clock time when every schedule was paused for the end
	jumped      bool      // the wall clock jumped, ever
	setBack     bool      // the wall clock was set back, ever
}

// span is a span of time in which a runner stood still, or the wall clock jumped.
type span struct {
	who         string
	from, until time.Duration
}

// knownRun is what the calls show of a run.
type knownRun struct {
	id         uuid.UUID
	deployment *declaredDeployment // nil for a child run
	parent     *knownRun
	token      int64
	held       bool      // under token
	until      time.Time // the end of the lease
	cut        time.Time // what the lease may have been cut to since, because the clock was set back; zero for no cut
	holder     string
	claim      store.Claim
	ended      store.StateType // the state that ended the claim
	finished   bool
	retried    int  // failures that got another attempt, since the run was last opened
	reopenable int  // accepted calls that may reopen the run
	reopened   bool // the run was reopened, ever
	crashes    int
	began      bool // the store knows that an attempt began under token
	attempt    int  // the highest that a function began
	entries    int  // calls of its function
}

// visit is one call of a flow's function.
type visit struct {
	enteredEvent
	who  string
	from time.Duration
	to   time.Duration // negative until the call returned
}

// declaredDeployment is a deployment as one build after another declared it.
type declaredDeployment struct {
	record   *store.DeploymentRecord
	flow     *flow
	versions map[string]*timeline // by key of the schedule
	sizes    []int                // of its concurrency limit, one for each change
}

func (c *checker) bad(at time.Duration, format string, args ...any) {
	c.found = append(c.found, fmt.Sprintf("%s: ", at)+fmt.Sprintf(format, args...))
}

// check returns everything that is wrong with the history and the final contents of the store.
func (w *world) check(ctx context.Context) []string {
	c := &checker{
		world: w, runs: make(map[uuid.UUID]*knownRun), deployments: make(map[uuid.UUID]*declaredDeployment),
		claims: make(map[uuid.UUID]bool), inside: make(map[store.Lease]*visit),
		wrote: make(map[store.Lease]int), closed: make(map[store.Lease]bool),
	}
	for i := range w.history.entries {
		c.follow(&w.history.entries[i])
	}
	c.checkVisits()
	c.checkContents(ctx)
	c.checkRates()
	return c.found
}

// follow takes the next entry of the history into account.
func (c *checker) follow(r *entry) {
	if r.err != nil {
		return // the store refused it
	}
	switch p := r.call.(type) {
	case store.RegisterDeploymentsParams:
		c.declared(r, p, r.answer.([]store.Registration))
	case store.SetPauseParams:
		c.mayReset(p.DeploymentID, p.Now)
	case store.RegisterRunnerParams:
		if c.world.config.pauses {
			for _, id := range p.Deployments {
				c.mayReset(id, p.Now)
			}
		}
	case store.RemoveRunnerParams:
		if p.Pause {
			for id := range c.deployments {
				c.mayReset(id, p.Now)
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
	case deletion:
		c.deleted(r.answer.(*store.Run))
	default:
		c.followEvent(r)
	}
}

func (c *checker) followEvent(r *entry) {
	switch e := r.call.(type) {
	case enteredEvent:
		c.entered(r, e)
	case loggedEvent:
		c.wrote[e.lease]++
	case leftEvent:
		if v := c.inside[e.Lease]; v != nil {
			v.to = r.at
			delete(c.inside, e.Lease)
		}
	case crashedEvent:
		for lease, v := range c.inside {
			if v.who == r.who {
				v.to = r.at
				delete(c.inside, lease)
			}
		}
	case stalledEvent:
		c.stalls = append(c.stalls, span{r.who, r.at, e.until})
	case jumpedEvent:
		c.jumped = true
		if e.by > 0 {
			c.jumps = append(c.jumps, span{from: r.at, until: r.at})
		} else { // a call that was pending then arrives with a time ahead
			c.setBack = true
			c.jumps = append(c.jumps, span{from: r.at, until: r.at + engine.StoreTimeout})
		}
	case calmEvent:
		c.calm = r.at
	case restedEvent:
		c.rested = e.wall
	}
}

// run returns what is known of a run. A new run is known from now on.
func (c *checker) run(id, deploymentID uuid.UUID) *knownRun {
	r := c.runs[id]
	if r == nil {
		r = &knownRun{id: id, deployment: c.deployments[deploymentID]}
		c.runs[id] = r
	}
	return r
}

func (r *knownRun) reopen() {
	r.reopenable++
	r.retried, r.finished, r.crashes = 0, false, 0
	r.reopened = true
}

// root returns the run whose lease covers this one.
func (r *knownRun) root() *knownRun {
	for r.parent != nil {
		r = r.parent
	}
	return r
}

func (c *checker) created(r *entry, p store.CreateRunParams, run *store.Run) {
	if run.ID != p.ID {
		if p.IdempotencyKey == "" || run.IdempotencyKey != p.IdempotencyKey {
			c.bad(r.at, "creating run %s returned run %s", idText(p.ID), idText(run.ID))
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
		c.bad(r.at, "child run %s was created under a lease that has ended, %s", idText(p.ID), leaseText(p.Child.Parent))
	}
}

func (r *knownRun) lease(now time.Time, ttl time.Duration) {
	r.until, r.cut = now.Add(ttl), time.Time{}
}

func (c *checker) claimed(r *entry, p store.ClaimRunsParams, claims store.ClaimRunsResult) {
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
		case run.finished:
			c.bad(r.at, "run %s was claimed though it is finished", idText(run.id))
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

// checkLimit checks that the leases under a limit are not more than its size. If builds declare
// different sizes the largest counts.
func (c *checker) checkLimit(r *entry, claimed *knownRun) {
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

func (c *checker) renewed(r *entry, p store.RenewLeasesParams, renewal store.RenewLeasesResult) {
	several := make(map[uuid.UUID]int) // leases of one run, of which only the newest can be held
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
			c.bad(r.at, "lease %s was reported lost, but nothing ended it", leaseText(lease))
		case !lost && !ours:
			c.bad(r.at, "lease %s was renewed, but it has ended", leaseText(lease))
		case !lost:
			run.lease(p.Now, p.TTL)
		}
	}
}

func (c *checker) settledAll(r *entry, p store.SettleRunsParams, errs []error) {
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
			if root := run.root(); root.held && root.token == u.Token && !run.finished {
				c.bad(r.at, "the holder of run %s was refused to write %q: %v", leaseText(u.Lease), u.State.Type, errs[i])
			}
			continue
		}
		c.settled(r, run, u)
	}
}

func (c *checker) settled(r *entry, run *knownRun, u *store.RunUpdate) {
	root := run.root()
	if u.State.Type != "" && run.ended == u.State.Type && root.token == u.Token {
		return // repeated
	}
	switch {
	case !root.held || root.token != u.Token:
		c.bad(r.at, "a stale write was accepted: %s %q; the newest token is %d, held: %t", leaseText(u.Lease), u.State.Type, root.token, root.held)
	case run.finished:
		c.bad(r.at, "run %s was finished and ended again, as %s", idText(run.id), u.State.Type)
	}
	if !u.StartTime.IsZero() {
		run.began = true
	}
	switch {
	case u.State.Type == "":
		return
	case u.State.Type == store.StateScheduled && u.State.Name == store.NameAwaitingRetry:
		if u.Crashed {
			break // a crash is no retry
		}
		if run.retried++; run.deployment != nil && !run.reopened && run.retried > run.deployment.flow.retries {
			c.bad(r.at, "run %s gets retry %d of %d", idText(run.id), run.retried, run.deployment.flow.retries)
		}
	case u.State.Type == store.StateScheduled:
		if u.Attempt != run.claim.Attempt {
			c.bad(r.at, "run %s was claimed at attempt %d and handed back at attempt %d", idText(run.id), run.claim.Attempt, u.Attempt)
		}
	default:
		c.ends(r, run, u)
	}
	run.ended, run.held = u.State.Type, false
	c.closed[u.Lease] = true
}

// ends takes into account that the holder of a run made it terminal.
func (c *checker) ends(r *entry, run *knownRun, u *store.RunUpdate) {
	run.finished = true
	if run.deployment == nil {
		return
	}
	f := run.deployment.flow
	if u.State.Type == store.StateFailed && !run.reopened && run.retried < f.retries {
		c.bad(r.at, "run %s failed for good after %d of %d retries", idText(run.id), run.retried, f.retries)
	}
	if u.State.Type == store.StateCompleted && !c.visited(u.Lease) {
		c.bad(r.at, "run %s completed, but its function was not entered under that token", leaseText(u.Lease))
	}
}

func (c *checker) visited(lease store.Lease) bool {
	return slices.ContainsFunc(c.visits, func(v *visit) bool { return v.Lease == lease })
}

func (c *checker) reaped(r *entry, p store.ReapLeasesParams, reaped store.ReapLeasesResult) {
	if ends := p.Now.Add(c.world.config.leaseTTL); c.setBack {
		for _, run := range c.runs {
			if run.held && run.until.After(ends) && (run.cut.IsZero() || ends.Before(run.cut)) {
				run.cut = ends // the earliest cut holds, not the latest
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
			run.attempt = max(run.attempt, run.claim.Attempt+1) // the crash counts as one
			if after.Attempt != run.claim.Attempt+1 {
				c.bad(r.at, "run %s crashed before attempt %d began, and has attempt %d", idText(run.id), run.claim.Attempt+1, after.Attempt)
			}
		}
		run.finished = after.State.Terminal()
		if after.State.Type == store.StateCrashed && run.crashes < store.MaxCrashes && !run.deployment.flow.once {
			c.bad(r.at, "run %s is Crashed for good after %d crashes", idText(run.id), run.crashes)
		}
	}
}

func (c *checker) logged(r *entry, p store.AppendLogsParams, errs []error) {
	for i, log := range p.Runs {
		if errs != nil && errs[i] != nil {
			continue
		}
		run := c.runs[log.RunID]
		if run == nil || !run.root().held || run.root().token != log.Token {
			c.bad(r.at, "log lines were accepted under a lease that has ended, %s", leaseText(log.Lease))
		}
	}
}

func (c *checker) deleted(run *store.Run) {
	if run.State.Terminal() {
		if run.Schedule != "" {
			c.timeline(run.DeploymentID, run.Schedule).gone = append(c.timeline(run.DeploymentID, run.Schedule).gone, run)
		}
		return
	}
	c.bad(0, "run %s was deleted though it is %s", idText(run.ID), run.State.Type)
}

func (c *checker) entered(r *entry, e enteredEvent) {
	v := &visit{enteredEvent: e, who: r.who, from: r.at, to: -1}
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
	if run.deployment.flow.once && run.entries > 1+run.reopenable {
		c.bad(r.at, "the function of run %s, which runs at most once, was entered %d times", idText(run.id), run.entries)
	}
	if e.Token == run.token && e.attempt < run.attempt {
		c.bad(r.at, "attempt %d of run %s came after attempt %d", e.attempt, idText(run.id), run.attempt)
	}
	run.attempt = max(run.attempt, e.attempt)
	c.checkInside(r, run, v)
}

// checkInside checks that the functions that execute under a limit are not more than its size. It
// does not count those that do not obey, stood still, or lost their lease to a jump of the clock.
func (c *checker) checkInside(r *entry, entered *knownRun, v *visit) {
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
		c.bad(r.at, "%d functions execute under limit %s of %d with that of run %s", inside, key, size, idText(entered.id))
	}
}

// checkVisits checks that no two calls of one run's function overlap, unless the first one did not
// obey, stood still, or lost its lease to a jump of the clock.
func (c *checker) checkVisits() {
	byRun := make(map[uuid.UUID]*visit)
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

// excused reports whether a call may go on without a lease at the given time.
func (c *checker) excused(v *visit, at time.Duration) bool {
	for _, s := range c.stalls {
		if s.who == v.who && s.from <= at && s.until >= v.from {
			return true
		}
	}
	since := v.from - c.world.config.leaseTTL
	return slices.ContainsFunc(c.jumps, func(j span) bool { return j.until >= since && j.from <= at })
}
