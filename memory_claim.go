package provost

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/provost-go/provost/internal/instant"

	"github.com/google/uuid"
)

// ClaimRuns implements [RunStore].
func (m *MemoryStore) ClaimRuns(ctx context.Context, p ClaimRunsParams) (Claims, error) {
	if err := m.lockAt(ctx, p.Now); err != nil {
		return Claims{}, err
	}
	defer m.unlock()
	now := toMicros(p.Now)
	runner := m.runners[p.Runner]
	if runner == nil || !runner.liveAt(now) {
		return Claims{}, runnerUnknown(p.Runner)
	}
	var claims Claims
	m.skipped = nil
	but := newIDSet(p.Except)
	ttl := micros(p.TTL.Microseconds())
	if p.ID != uuid.Nil && p.ID == runner.lastClaim {
		claims.Runs = m.claimAgain(runner, now, ttl)
	} else {
		claims.Runs = m.claimNew(runner, p.Limit, but, now, ttl)
		runner.rememberClaim(p.ID, claims.Runs)
	}
	claims.Skipped = m.skipped
	for _, l := range runner.lanes {
		if r := l.first(but); r != nil {
			claims.Next = instant.Earlier(claims.Next, max(r.claimable, now).time())
		}
	}
	return claims, nil
}

// claimNew takes up to limit runs: higher priority first, then what is due earlier.
func (m *MemoryStore) claimNew(runner *memoryRunner, limit int, but idSet, now, ttl micros) []Claim {
	var claims []Claim
	for lanes := runner.lanes; len(lanes) > 0; {
		equal := 1
		for equal < len(lanes) && lanes[equal].priority == lanes[0].priority {
			equal++
		}
		for len(claims) < limit {
			r := soonest(lanes[:equal], but, now)
			if r == nil {
				break
			}
			promoted := m.promoted
			if claim, ok := m.claim(r, runner, now, ttl); ok {
				if claims == nil {
					claims = make([]Claim, 0, min(limit, r.deployment.queue.Len()+len(lanes[0].heads)))
				}
				claims = append(claims, claim)
			}
			if m.promoted != promoted { // what it replaced made room for another, perhaps of higher priority
				lanes, equal = runner.lanes, 0
				break
			}
		}
		lanes = lanes[equal:]
	}
	return claims
}

// rememberClaim keeps what a call claimed, for its repetition.
func (r *memoryRunner) rememberClaim(id uuid.UUID, claims []Claim) {
	if len(claims) == 0 {
		return
	}
	r.lastClaim, r.lastClaimed = id, r.lastClaimed[:0]
	for i := range claims {
		r.lastClaimed = append(r.lastClaimed, claims[i].Lease)
	}
}

// claimAgain answers the repetition of the runner's newest claim. One that comes late shortens no lease that was renewed meanwhile.
func (m *MemoryStore) claimAgain(runner *memoryRunner, now, ttl micros) []Claim {
	var claims []Claim
	for _, l := range runner.lastClaimed {
		if r := m.runs[l.RunID]; r != nil && r.claimed() && r.token == l.Token {
			if now+ttl > r.lease {
				m.setLease(r, now, ttl)
			}
			claims = append(claims, r.claimView())
		}
	}
	return claims
}

// setLease gives a claimed run's lease anew.
func (m *MemoryStore) setLease(r *memoryRun, now, ttl micros) {
	m.leases.Delete(r)
	r.lease, r.leaseTTL = now+ttl, ttl
	m.leases.Insert(r)
}

// soonest is the run but some that is due first among the claimable heads of lanes, nil if there is none.
func soonest(lanes []*lane, but idSet, now micros) *memoryRun {
	var first *memoryRun
	for _, l := range lanes {
		r := l.first(but)
		if r == nil || r.claimable > now {
			continue
		}
		if first == nil || r.due < first.due || (r.due == first.due && r.scheduled < first.scheduled) {
			first = r
		}
	}
	return first
}

// first is the run but some of the lane's deployments that becomes claimable first, nil if there is none.
func (l *lane) first(but idSet) *memoryRun {
	if len(but) == 0 {
		return l.heads[0].first(but)
	}
	var first *memoryRun
	for _, d := range l.heads {
		r := d.first(but)
		if r != nil && (first == nil || r.claimable < first.claimable || (r.claimable == first.claimable && r.scheduled < first.scheduled)) {
			first = r
		}
	}
	return first
}

// first is the run but some of the deployment that becomes claimable first, nil if there is none.
func (d *memoryDeployment) first(but idSet) *memoryRun {
	if d.gap {
		return nil
	}
	if len(but) == 0 {
		r, _ := d.queue.Min()
		return r
	}
	for r := range d.queue.Ascend() {
		if !but.has(r.id) {
			return r
		}
	}
	return nil
}

// claim takes the head of a queue, false if its limit does not admit it.
func (m *MemoryStore) claim(r *memoryRun, runner *memoryRunner, now, ttl micros) (Claim, bool) {
	if !m.admit(r) {
		return Claim{}, false
	}
	m.dequeue(r)
	m.advance(r, newState(StatePending, now.time(), ""))
	r.token++
	r.waits = true
	r.lease, r.leaseTTL, r.settled = now+ttl, ttl, ""
	r.runner = runner.record.Name
	m.leases.Insert(r)
	if s := r.schedule; s != nil {
		s.decideRun(r, r.due)
	}
	return r.claimView(), true
}

// claimView is what the holder of a run is told of it.
func (r *memoryRun) claimView() Claim {
	c := Claim{
		Lease: Lease{RunID: r.id, Token: r.token}, DeploymentID: r.deployment.record.ID,
		Generation: r.deployment.record.Generation, Name: r.displayName(), Parameters: r.params.clone(), Tags: slices.Clone(r.tags),
		ScheduledTime: r.scheduled.time(), DueTime: r.due.time(), Attempt: r.attempt, Crashes: r.crashes,
	}
	if r.schedule != nil {
		c.Schedule = r.schedule.key
	}
	return c
}

// RenewLeases implements [RunStore].
func (m *MemoryStore) RenewLeases(ctx context.Context, p RenewLeasesParams) (Renewal, error) {
	if err := m.lockAt(ctx, p.Now); err != nil {
		return Renewal{}, err
	}
	defer m.unlock()
	var renewal Renewal
	now, ttl := toMicros(p.Now), micros(p.TTL.Microseconds())
	for _, l := range p.Leases {
		r := m.runs[l.RunID]
		if r == nil || !r.claimed() || r.token != l.Token {
			renewal.Lost = append(renewal.Lost, l.RunID)
			continue
		}
		m.setLease(r, now, ttl)
		m.listCancelling(r, &renewal)
	}
	return renewal, nil
}

func (m *MemoryStore) listCancelling(r *memoryRun, renewal *Renewal) {
	if r.state().Type == StateCancelling {
		renewal.Cancel = append(renewal.Cancel, r.id)
	}
	if inside := m.children[r.id]; inside != nil {
		for child := range inside.Ascend() {
			m.listCancelling(child, renewal)
		}
	}
}

// SettleRuns implements [RunStore].
func (m *MemoryStore) SettleRuns(ctx context.Context, p SettleRunsParams) ([]error, error) {
	if err := m.lockAt(ctx, p.Now); err != nil {
		return nil, err
	}
	defer m.unlock()
	var errs []error
	for i := range p.Updates {
		if err := m.settle(&p.Updates[i], p.Now); err != nil {
			if errs == nil {
				errs = make([]error, len(p.Updates))
			}
			errs[i] = err
		}
	}
	return errs, nil
}

func (m *MemoryStore) settle(u *RunUpdate, now time.Time) error {
	if m.settledBefore(u) {
		return nil
	}
	r, err := m.leased(u.Lease)
	if err != nil {
		return err
	}
	if err := r.checkUpdate(u); err != nil {
		return err
	}
	before := r.state().Type
	if err := r.recordStart(u); err != nil {
		return err
	}
	if u.State.Terminal() || u.State.Type == StateScheduled {
		r.settled = u.State.Type
		if u.Crashed {
			r.crashes++
			r.attempt = max(r.attempt, u.Attempt)
		}
	}
	switch {
	case u.State.Type == "":
		m.restate(r, before)
		return nil
	case u.State.Type == StateScheduled, before == StateCancelling && givesUp(u.State.Type):
		m.restate(r, before)
		return m.giveBack(r, u, now)
	}
	err = r.appendState(u.State)
	m.restate(r, before)
	if err != nil {
		return err
	}
	r.result = bytes.Clone(u.Result)
	if u.State.Terminal() {
		m.finished(r)
	}
	return nil
}

// settledBefore reports whether the update repeats one that was accepted.
func (m *MemoryStore) settledBefore(u *RunUpdate) bool {
	r := m.runs[u.RunID]
	return r != nil && u.State.Type != "" && r.settled == u.State.Type && r.holder().token == u.Token
}

// checkUpdate refuses an update as a whole, before any of it is written.
func (r *memoryRun) checkUpdate(u *RunUpdate) error {
	state, next := r.state().Type, u.State.Type
	if state == StatePending && !u.StartTime.IsZero() {
		state = StateRunning
	}
	switch {
	case state.Terminal():
		return fmt.Errorf("%w: run %s is over: %s", ErrConflict, r.id, r.state())
	case next == StateScheduled && r.parent != nil:
		return fmt.Errorf("%w: child run %s cannot be given back", ErrConflict, r.id)
	case next == "", state == StateCancelling && givesUp(next):
		return nil
	case !state.CanBecome(next):
		return fmt.Errorf("%w: run %s in state %s cannot become %s", ErrConflict, r.id, state, next)
	}
	return nil
}

// givesUp reports whether a state says that the attempt came to nothing: a run in CANCELLING is CANCELLED by that.
func givesUp(next StateType) bool { return next == StateScheduled || next == StateCrashed }

// recordStart notes that an attempt began.
func (r *memoryRun) recordStart(u *RunUpdate) error {
	pending := r.state().Type == StatePending
	if u.StartTime.IsZero() || (r.attempt == u.Attempt && !pending) {
		return nil
	}
	if pending {
		if err := r.appendState(newState(StateRunning, u.StartTime, "")); err != nil {
			return err
		}
	}
	r.attempt, r.version, r.start, r.begunUnder = u.Attempt, u.Version, toMicros(u.StartTime), u.Token
	return nil
}

// giveBack makes a claimed run wait for another claim.
func (m *MemoryStore) giveBack(r *memoryRun, u *RunUpdate, now time.Time) error {
	if r.state().Type == StateCancelling {
		m.finish(r, newState(StateCancelled, u.State.Timestamp, u.State.Message))
		return nil
	}
	if err := m.tryAdvance(r, u.State); err != nil {
		return err
	}
	m.endLease(r)
	r.attempt = u.Attempt
	due := r.due
	if !u.DueTime.IsZero() {
		due = toMicros(u.DueTime)
	}
	m.wait(r, due, toMicros(now))
	return nil
}

const deploymentDeleted = "its deployment was deleted" // why a run that had begun is CANCELLED

// wait queues an unclaimed run for its due time, unless its deployment is gone.
func (m *MemoryStore) wait(r *memoryRun, due, now micros) {
	if r.deployment.deleted {
		m.finish(r, newState(StateCancelled, now.time(), deploymentDeleted))
		return
	}
	r.setDue(due)
	m.enqueue(r)
}

// ReapLeases implements [RunStore].
func (m *MemoryStore) ReapLeases(ctx context.Context, p ReapLeasesParams) (Reaped, error) {
	if err := m.lockAt(ctx, p.Now); err != nil {
		return Reaped{}, err
	}
	defer m.unlock()
	var reaped Reaped
	now, limit := toMicros(p.Now), cmp.Or(p.Limit, MaxPage)
	m.noticeClock(now)
	for len(reaped.Runs) < limit {
		r, ok := m.leases.Min()
		if !ok || r.lease >= now {
			break
		}
		m.reap(r, now)
		reaped.Runs = append(reaped.Runs, r.view())
	}
	m.handOutAnew()
	if r, ok := m.leases.Min(); ok {
		reaped.Next = r.lease.time()
	}
	return reaped, nil
}

// maxClockBehind is how far a Now may be behind the newest one without the clock having been set back: machines differ, and calls
// come late.
const maxClockBehind = micros(time.Minute / time.Microsecond)

// noticeClock cuts leases that a clock which was set back would make last until it gets there again. Calls that came late look like
// that too, so it takes two, the second one later, with none in between that is on time.
func (m *MemoryStore) noticeClock(now micros) {
	switch {
	case m.newest-now <= maxClockBehind:
		return
	case now <= m.behind: // the first such call, or a repetition of it, or one before it
		m.behind = now
		return
	}
	m.newest, m.behind = now, never
	for _, r := range slices.Collect(m.leases.Ascend()) {
		if r.lease > now+r.leaseTTL {
			m.setLease(r, now, r.leaseTTL)
		}
	}
	for _, r := range m.runners {
		if ttl := r.record.Until.Sub(r.record.SeenAt); toMicros(r.record.SeenAt) > now {
			r.record.SeenAt, r.record.Until = now.time(), now.time().Add(ttl)
		}
	}
	for _, d := range m.deployments {
		d.lastServed = min(d.lastServed, now) // else a later gap would pass for time served
	}
}

func (m *MemoryStore) reap(r *memoryRun, now micros) {
	r.crashes++
	if r.begunUnder != r.token { // as far as is known: also a run that is CANCELLING may have begun
		r.attempt++
	}
	begun := r.state().Type == StateRunning
	message := fmt.Sprintf("crash %d: the lease of runner %q ended", r.crashes, r.runner)
	switch {
	case r.state().Type == StateCancelling:
		m.finish(r, newState(StateCancelled, now.time(), message))
	case r.crashes >= MaxCrashes, begun && r.deployment.record.AtMostOnce:
		m.finish(r, newState(StateCrashed, now.time(), message))
	default:
		m.advance(r, namedState(StateScheduled, NameAwaitingRetry, now.time(), message))
		m.endLease(r)
		m.wait(r, now, now)
	}
}
