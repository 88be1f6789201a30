package memory

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/internal/rules"
	"github.com/provost-go/provost/store"
)

// ClaimRuns implements [store.RunStore].
func (m *Store) ClaimRuns(ctx context.Context, p store.ClaimRunsParams) (store.ClaimRunsResult, error) {
	if err := m.lockAt(ctx, p.Now); err != nil {
		return store.ClaimRunsResult{}, err
	}
	defer m.unlock()
	now := toMicros(p.Now)
	runner := m.runners[p.Runner]
	if runner == nil || !runner.liveAt(now) {
		return store.ClaimRunsResult{}, runnerUnknown(p.Runner)
	}
	var claims store.ClaimRunsResult
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
func (m *Store) claimNew(runner *runner, limit int, but idSet, now, ttl micros) []store.Claim {
	var claims []store.Claim
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
					claims = make([]store.Claim, 0, min(limit, r.deployment.queue.Len()+len(lanes[0].heads)))
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
func (r *runner) rememberClaim(id uuid.UUID, claims []store.Claim) {
	if len(claims) == 0 {
		return
	}
	r.lastClaim, r.lastClaimed = id, r.lastClaimed[:0]
	for i := range claims {
		r.lastClaimed = append(r.lastClaimed, claims[i].Lease)
	}
}

// claimAgain answers the repetition of the runner's newest claim. One that comes late shortens no
// lease that was renewed meanwhile.
func (m *Store) claimAgain(runner *runner, now, ttl micros) []store.Claim {
	var claims []store.Claim
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
func (m *Store) setLease(r *run, now, ttl micros) {
	m.leases.Delete(r)
	r.lease, r.leaseTTL = now+ttl, ttl
	m.leases.Insert(r)
}

// soonest is the run but some that is due first among the claimable heads of lanes, nil if there is
// none.
func soonest(lanes []*lane, but idSet, now micros) *run {
	var first *run
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

// first is the run but some of the lane's deployments that becomes claimable first, nil if there is
// none.
func (l *lane) first(but idSet) *run {
	if len(but) == 0 {
		return l.heads[0].first(but)
	}
	var first *run
	for _, d := range l.heads {
		r := d.first(but)
		if r != nil && (first == nil || r.claimable < first.claimable || (r.claimable == first.claimable && r.scheduled < first.scheduled)) {
			first = r
		}
	}
	return first
}

// first is the run but some of the deployment that becomes claimable first, nil if there is none.
func (d *deployment) first(but idSet) *run {
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
func (m *Store) claim(r *run, runner *runner, now, ttl micros) (store.Claim, bool) {
	if !m.admit(r) {
		return store.Claim{}, false
	}
	m.dequeue(r)
	m.advance(r, store.NewState(store.StatePending, now.time(), ""))
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
func (r *run) claimView() store.Claim {
	c := store.Claim{
		Lease: store.Lease{RunID: r.id, Token: r.token}, DeploymentID: r.deployment.record.ID,
		Generation: r.deployment.record.Generation, Name: r.displayName(), Parameters: r.params.Clone(), Tags: slices.Clone(r.tags),
		ScheduledTime: r.scheduled.time(), DueTime: r.due.time(), Attempt: r.attempt, Crashes: r.crashes,
	}
	if r.schedule != nil {
		c.Schedule = r.schedule.key
	}
	return c
}

// RenewLeases implements [store.RunStore].
func (m *Store) RenewLeases(ctx context.Context, p store.RenewLeasesParams) (store.RenewLeasesResult, error) {
	if err := m.lockAt(ctx, p.Now); err != nil {
		return store.RenewLeasesResult{}, err
	}
	defer m.unlock()
	var renewal store.RenewLeasesResult
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

func (m *Store) listCancelling(r *run, renewal *store.RenewLeasesResult) {
	if r.state().Type == store.StateCancelling {
		renewal.Cancel = append(renewal.Cancel, r.id)
	}
	if inside := m.children[r.id]; inside != nil {
		for child := range inside.Ascend() {
			m.listCancelling(child, renewal)
		}
	}
}

// SettleRuns implements [store.RunStore].
func (m *Store) SettleRuns(ctx context.Context, p store.SettleRunsParams) ([]error, error) {
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

func (m *Store) settle(u *store.RunUpdate, now time.Time) error {
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
	if u.State.Terminal() || u.State.Type == store.StateScheduled {
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
	case u.State.Type == store.StateScheduled, before == store.StateCancelling && rules.GivesUp(u.State.Type):
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
func (m *Store) settledBefore(u *store.RunUpdate) bool {
	r := m.runs[u.RunID]
	return r != nil && u.State.Type != "" && r.settled == u.State.Type && r.holder().token == u.Token
}

// checkUpdate refuses an update as a whole, before any of it is written.
func (r *run) checkUpdate(u *store.RunUpdate) error {
	if r.state().Type.Terminal() {
		return fmt.Errorf("%w: run %s has finished: %s", store.ErrConflict, r.id, r.state())
	}
	return rules.Update(u, r.state().Type, r.parent != nil)
}

// recordStart notes that an attempt began.
func (r *run) recordStart(u *store.RunUpdate) error {
	pending := r.state().Type == store.StatePending
	if u.StartTime.IsZero() || (r.attempt == u.Attempt && !pending) {
		return nil
	}
	if pending {
		if err := r.appendState(store.NewState(store.StateRunning, u.StartTime, "")); err != nil {
			return err
		}
	}
	r.attempt, r.version, r.start, r.begunUnder = u.Attempt, u.Version, toMicros(u.StartTime), u.Token
	return nil
}

// giveBack makes a claimed run wait for another claim.
func (m *Store) giveBack(r *run, u *store.RunUpdate, now time.Time) error {
	if r.state().Type == store.StateCancelling {
		m.finish(r, store.NewState(store.StateCancelled, u.State.Timestamp, u.State.Message))
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
func (m *Store) wait(r *run, due, now micros) {
	if r.deployment.deleted {
		m.finish(r, store.NewState(store.StateCancelled, now.time(), deploymentDeleted))
		return
	}
	r.setDue(due)
	m.enqueue(r)
}

// ReapLeases implements [store.RunStore].
func (m *Store) ReapLeases(ctx context.Context, p store.ReapLeasesParams) (store.ReapLeasesResult, error) {
	if err := m.lockAt(ctx, p.Now); err != nil {
		return store.ReapLeasesResult{}, err
	}
	defer m.unlock()
	var reaped store.ReapLeasesResult
	now, limit := toMicros(p.Now), cmp.Or(p.Limit, store.MaxPage)
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

// maxClockBehind is how far a Now may be behind the newest one without the clock having been set
// back: machines differ, and calls come late.
const maxClockBehind = micros(time.Minute / time.Microsecond)

// noticeClock cuts leases that a clock which was set back would make last until it gets there
// again. Calls that came late look like that too, so it takes two, the second one later, with none
// in between that is on time.
func (m *Store) noticeClock(now micros) {
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

func (m *Store) reap(r *run, now micros) {
	r.crashes++
	if r.begunUnder != r.token { // as far as is known: also a run that is CANCELLING may have begun
		r.attempt++
	}
	begun := r.state().Type == store.StateRunning
	message := fmt.Sprintf("crash %d: the lease of runner %q ended", r.crashes, r.runner)
	switch {
	case r.state().Type == store.StateCancelling:
		m.finish(r, store.NewState(store.StateCancelled, now.time(), message))
	case r.crashes >= store.MaxCrashes, begun && r.deployment.record.AtMostOnce:
		m.finish(r, store.NewState(store.StateCrashed, now.time(), message))
	default:
		m.advance(r, store.NewNamedState(store.StateScheduled, store.NameAwaitingRetry, now.time(), message))
		m.endLease(r)
		m.wait(r, now, now)
	}
}
