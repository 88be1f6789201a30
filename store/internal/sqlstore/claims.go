package sqlstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/params"
	"github.com/provost-go/provost/store"
)

func isNotFound(err error) bool { return errors.Is(err, store.ErrNotFound) }

// ClaimRuns implements [store.RunStore].
func (l *Store) ClaimRuns(ctx context.Context, p store.ClaimRunsParams) (store.ClaimRunsResult, error) {
	w := l.floors.way()
	claims, err := change(ctx, l, "claim runs", Common, p.Now, func(b *book) (store.ClaimRunsResult, error) {
		w.enter()
		b.way = w
		claims, found, err := b.claimRuns(p, l.guess.Load())
		w.leave(len(claims.Runs))
		l.guess.Store(found)
		return claims, err
	})
	l.floors.gone(w, toMicros(p.Now), err == nil)
	return claims, err
}

// guess is what a claim has found and the runner's next one expects to find again: so that one can
// ask in one go what it would else ask step by step. Where something is different by then, it asks
// again.
type guess struct {
	runner      uuid.UUID
	lanes       []lane
	deployments []uuid.UUID // of the runs; none if they were many
}

// maxGuess is how many deployments are many.
const maxGuess = 8

func (b *book) claimRuns(p store.ClaimRunsParams, expected *guess) (claims store.ClaimRunsResult, found *guess, err error) {
	if expected == nil || expected.runner != p.Runner {
		expected = new(guess)
	}
	b.foreseeClaim(p, expected)
	r, err := b.runner(p.Runner)
	if err != nil {
		return claims, nil, err
	}
	if r == nil || !r.liveAt(b.now) {
		return claims, nil, unknownRunner(p.Runner)
	}
	lanes, err := b.lanes(p.Runner)
	if err == nil {
		err = b.loadDeployments(expected.deployments)
	}
	if err != nil {
		return claims, nil, err
	}
	var held []*run
	if p.ID != uuid.Nil && p.ID == r.claim {
		held, err = b.claimAgain(p)
	} else {
		held, err = b.claimNew(r, lanes, p)
	}
	if err != nil {
		return claims, nil, err
	}
	if claims.Runs, err = b.claimViews(held); err != nil {
		return claims, nil, err
	}
	claims.Skipped = b.skipped
	claims.Next, err = b.nextClaim(lanes, p.Except)
	return claims, expected.next(p.Runner, lanes, held), err
}

// foreseeClaim tells which queries a claim begins with, if things are as expected.
func (b *book) foreseeClaim(p store.ClaimRunsParams, expected *guess) {
	b.foresee(lanesOf, p.Runner)
	if len(expected.deployments) > 0 {
		b.foresee(deploymentsWhere+deploymentsIn+b.lock, expected.deployments)
		b.foresee(schedulesOf, expected.deployments)
	}
	for _, lane := range expected.lanes[:alike(expected.lanes)] {
		query, args := b.candidatesIn(lane, p.Except, p.Limit)
		b.foresee(query, args...)
	}
}

// next is what to expect after a claim that was made with this guess.
func (g *guess) next(runner uuid.UUID, lanes []lane, held []*run) *guess {
	if len(held) == 0 {
		return &guess{runner: runner, lanes: lanes, deployments: g.deployments}
	}
	var of []uuid.UUID
	for _, r := range held {
		if id := r.due.deployment; !slices.Contains(of, id) {
			of = append(of, id)
		}
		if len(of) > maxGuess {
			of = nil
			break
		}
	}
	slices.SortFunc(of, compareIDs)
	return &guess{runner: runner, lanes: lanes, deployments: of}
}

// lane is a queue that a runner claims from.
type lane struct {
	id       int64
	priority int
}

const lanesOf = "SELECT l.id, l.priority FROM provost_runner_lane r JOIN provost_lane l ON l.id = r.lane WHERE r.runner = ? ORDER BY l.priority DESC, l.id"

// lanes are those that a runner claims from, highest priority first.
func (b *book) lanes(runner uuid.UUID) (lanes []lane, err error) {
	err = b.each(lanesOf, []any{runner}, func(rows Rows) error {
		var l lane
		err := rows.Scan(&l.id, &l.priority)
		lanes = append(lanes, l)
		return err
	})
	return lanes, err
}

// alike is how many lanes have the priority of the first.
func alike(lanes []lane) int {
	n := 0
	for n < len(lanes) && lanes[n].priority == lanes[0].priority {
		n++
	}
	return n
}

// claimNew takes up to p.Limit runs: higher priority first, then what is due earlier.
func (b *book) claimNew(r *runner, lanes []lane, p store.ClaimRunsParams) (held []*run, err error) {
	for at := 0; at < len(lanes); {
		equal := at + alike(lanes[at:])
		promoted := b.promoted
		more, err := b.claimFrom(lanes[at:equal], r, p, len(held))
		if err != nil {
			return nil, err
		}
		held = append(held, more...)
		if at = equal; b.promoted != promoted { // what was replaced made room for another, perhaps of higher priority
			at = 0
		}
	}
	if len(held) > 0 {
		err = b.exec("UPDATE provost_runner SET claim = ? WHERE id = ?", optional(p.ID), p.Runner)
	}
	return held, err
}

// claimFrom takes runs from lanes of one priority, until there is no more, or what was taken has
// promoted another.
func (b *book) claimFrom(lanes []lane, r *runner, p store.ClaimRunsParams, have int) (held []*run, err error) {
	promoted := b.promoted
	for more := true; more && have+len(held) < p.Limit && b.promoted == promoted; {
		wanted := p.Limit - have - len(held)
		candidates, err := b.candidates(lanes, p.Except, wanted)
		more = len(candidates) == wanted
		if err == nil {
			err = b.lockSchedulesOf(candidates)
		}
		if err != nil {
			return nil, err
		}
		for _, c := range candidates {
			if !c.due.queued { // one that came before has taken it away
				continue
			}
			admitted, err := b.admit(c, b.deployments[c.due.deployment])
			if err != nil {
				return nil, err
			}
			if admitted {
				if err := b.claim(c, r, p); err != nil {
					return nil, err
				}
				held = append(held, c)
			}
			if b.promoted != promoted {
				break
			}
		}
		if err := b.flush(); err != nil {
			return nil, err
		}
	}
	return held, nil
}

// lockSchedulesOf locks the schedules of runs that are about to be decided on, in one go.
func (b *book) lockSchedulesOf(runs []*run) error {
	var ids []uuid.UUID
	for _, r := range runs {
		if r.due.schedule != "" && !slices.Contains(ids, r.due.deployment) {
			ids = append(ids, r.due.deployment)
		}
	}
	return b.lockSchedules(ids)
}

// butNot is the condition that leaves out some unfinished runs, mostly none.
func butNot(ids []uuid.UUID) (condition string, args []any) {
	if len(ids) == 0 {
		return "", nil
	}
	return " AND NOT d.id IN (?*)", []any{ids}
}

// candidatesIn asks for the runs but some that are claimable in a lane, those that are due first.
func (b *book) candidatesIn(l lane, but []uuid.UUID, limit int) (query string, args []any) {
	others, excepted := butNot(but)
	return "SELECT " + dueColumns + ", " + wideColumns + ` FROM provost_due d JOIN provost_run w ON w.id = d.id
		WHERE d.lane = ? AND d.claimable >= ? AND d.claimable <= ? AND d.deployment NOT IN (SELECT g.id FROM provost_deployment g WHERE g.gap <> 0)` + others + `
		ORDER BY d.claimable, d.due, d.scheduled, d.id LIMIT ? FOR UPDATE OF d SKIP LOCKED`, slices.Concat([]any{l.id, b.way.start(l.id), b.now}, excepted, []any{limit})
}

// candidates are the runs but some that are claimable in lanes of one priority, those that are due
// first.
func (b *book) candidates(lanes []lane, but []uuid.UUID, limit int) ([]*run, error) {
	var all []*run
	for _, lane := range lanes {
		query, args := b.candidatesIn(lane, but, limit)
		err := b.each(query, args, func(rows Rows) error {
			w := new(wide)
			r, err := scanDue(rows, w.targets()...)
			if err != nil {
				return err
			}
			if known := b.runs[r.due.id]; known != nil {
				r = known
			}
			r.wide = w
			b.runs[r.due.id] = r
			all = append(all, r)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if len(lanes) > 1 {
		slices.SortStableFunc(all, func(x, y *run) int {
			return cmp.Or(cmp.Compare(x.due.due, y.due.due), cmp.Compare(x.due.scheduled, y.due.scheduled))
		})
		all = all[:min(len(all), limit)]
	}
	ids := make([]uuid.UUID, 0, len(all))
	for _, r := range all {
		if _, known := b.deployments[r.due.deployment]; !known && !slices.Contains(ids, r.due.deployment) {
			ids = append(ids, r.due.deployment)
		}
	}
	return all, b.loadDeployments(ids)
}

func (b *book) claim(c *run, r *runner, p store.ClaimRunsParams) error {
	d := &c.due
	alone := !c.changed && c.stored && d.slot == ""
	before := len(d.states)
	b.unqueue(c)
	if err := b.advance(c, newState(store.StatePending, b.now, "")); err != nil {
		return err
	}
	if alone && before < len(d.states) { // else the history was too long
		c.claimed, c.suffix = true, string(d.states[before:])
	}
	d.token++
	d.waits, d.settled, d.claim, d.runner = true, "", p.ID, r.record.Name
	d.ttl = toSpan(p.TTL)
	d.lease = b.clock() + d.ttl
	return b.decideRun(c, d.due)
}

// claimAgain answers the repetition of the runner's newest claim. One that comes late shortens no
// lease that was renewed meanwhile.
func (b *book) claimAgain(p store.ClaimRunsParams) ([]*run, error) {
	held, err := b.loadDue("d.claim = ? AND d.lease IS NOT NULL ORDER BY d.claimable, d.due, d.scheduled, d.id FOR UPDATE", p.ID)
	if err != nil {
		return nil, err
	}
	ids := make([]uuid.UUID, len(held))
	for i, r := range held {
		ids[i] = r.due.deployment
		if lease := b.clock() + toSpan(p.TTL); lease > r.due.lease {
			r.due.lease, r.due.ttl = lease, toSpan(p.TTL)
			b.change(r)
		}
	}
	if err := b.loadDeployments(ids); err != nil {
		return nil, err
	}
	return held, b.loadWide(held...)
}

// claimViews are what the holder of runs is told of them.
func (b *book) claimViews(held []*run) ([]store.Claim, error) {
	var list []store.Claim
	for _, r := range held {
		d := &r.due
		c := store.Claim{
			Lease: store.Lease{RunID: d.id, Token: d.token}, DeploymentID: d.deployment, Name: r.wide.name, Schedule: d.schedule,
			ScheduledTime: d.scheduled.time(), DueTime: d.due.time(), Attempt: d.attempt, Crashes: d.crashes,
		}
		if of := b.deployments[d.deployment]; of != nil {
			c.Generation = of.record.Generation
		}
		var err error
		if c.Parameters, err = decode[params.Params](r.wide.params); err != nil {
			return nil, fmt.Errorf("parameters of run %s: %w", d.id, err)
		}
		if c.Tags, err = decode[[]string](r.wide.tags); err != nil {
			return nil, fmt.Errorf("tags of run %s: %w", d.id, err)
		}
		list = append(list, c)
	}
	return list, nil
}

// nextClaim is when the next run of a runner's deployments becomes claimable. It ends the
// transaction.
func (b *book) nextClaim(lanes []lane, but []uuid.UUID) (time.Time, error) {
	if err := b.flush(); err != nil {
		return time.Time{}, err
	}
	b.last()
	for i, lane := range lanes {
		if i > 0 {
			query, args := b.firstIn(lane, but)
			b.foresee(query, args...)
		}
	}
	next, left := never, make(map[int64]micros, len(lanes))
	for _, lane := range lanes {
		first := never
		query, args := b.firstIn(lane, but)
		if _, err := b.one(query, args, &first); err != nil {
			return time.Time{}, err
		}
		next = min(next, max(first, b.now))
		left[lane.id] = first
	}
	if len(but) == 0 && b.tx.Locks() { // else there is more, or nothing of what was claimed is in the way
		b.way.first = left
	}
	return next.time(), nil
}

// firstIn asks when the first of the runs but some becomes claimable in a lane.
func (b *book) firstIn(l lane, but []uuid.UUID) (query string, args []any) {
	others, excepted := butNot(but)
	return `SELECT d.claimable FROM provost_due d
		WHERE d.lane = ? AND d.claimable >= ? AND d.deployment NOT IN (SELECT g.id FROM provost_deployment g WHERE g.gap <> 0)` + others + `
		ORDER BY d.claimable LIMIT 1`, append([]any{l.id, b.way.start(l.id)}, excepted...)
}

// RenewLeases implements [store.RunStore].
func (l *Store) RenewLeases(ctx context.Context, p store.RenewLeasesParams) (store.RenewLeasesResult, error) {
	return change(ctx, l, "renew leases", Urgent, p.Now, func(b *book) (store.RenewLeasesResult, error) { return b.renewLeases(p) })
}

func (b *book) renewLeases(p store.RenewLeasesParams) (renewal store.RenewLeasesResult, err error) {
	ids := leaseIDs(p.Leases)
	held, err := b.loadDue("d.id IN (?*) ORDER BY d.id FOR UPDATE", ids)
	if err != nil {
		return renewal, err
	}
	found := make(map[uuid.UUID]*run, len(held))
	for _, r := range held {
		found[r.due.id] = r
	}
	ttl := toSpan(p.TTL)
	ends := b.clock() + ttl
	var kept []uuid.UUID
	for _, lease := range p.Leases {
		r := found[lease.RunID]
		switch {
		case r == nil || !r.held() || r.due.token != lease.Token:
			renewal.Lost = append(renewal.Lost, lease.RunID)
			continue
		case r.due.state == store.StateCancelling:
			renewal.Cancel = append(renewal.Cancel, r.due.id)
		}
		kept = append(kept, r.due.id)
		r.due.lease, r.due.ttl = ends, ttl
	}
	if len(kept) == 0 {
		return renewal, nil
	}
	if err := b.exec("UPDATE provost_due SET lease = ?, ttl = ? WHERE id IN (?*)", ends, ttl, kept); err != nil {
		return renewal, err
	}
	inside, err := b.list("SELECT d.id FROM provost_due d WHERE d.root IN (?*) AND d.state = 'CANCELLING'", kept)
	slices.SortFunc(inside, compareIDs)
	renewal.Cancel = append(renewal.Cancel, inside...)
	return renewal, err
}

func leaseIDs(leases []store.Lease) []uuid.UUID {
	ids := make([]uuid.UUID, len(leases))
	for i, l := range leases {
		ids[i] = l.RunID
	}
	return ids
}

// ReapLeases implements [store.RunStore].
func (l *Store) ReapLeases(ctx context.Context, p store.ReapLeasesParams) (store.ReapLeasesResult, error) {
	return change(ctx, l, "reap leases", Common, p.Now, func(b *book) (store.ReapLeasesResult, error) { return b.reapLeases(p) })
}

func (b *book) reapLeases(p store.ReapLeasesParams) (reaped store.ReapLeasesResult, err error) {
	if err := b.noticeClock(); err != nil {
		return reaped, err
	}
	ended, err := b.loadDue("d.lease < ? ORDER BY d.lease, d.id LIMIT ? FOR UPDATE SKIP LOCKED", b.clock(), cmp.Or(p.Limit, store.MaxPage))
	if err != nil {
		return reaped, err
	}
	if err := b.lockSchedulesOf(ended); err != nil {
		return reaped, err
	}
	ids := make([]uuid.UUID, len(ended))
	for i, r := range ended {
		ids[i] = r.due.id
	}
	if err := b.lookInside(ids); err != nil {
		return reaped, err
	}
	for _, r := range ended {
		if err := b.reap(r); err != nil {
			return reaped, err
		}
	}
	if err := b.handOutAnew(); err != nil {
		return reaped, err
	}
	if err := b.loadWide(ended...); err != nil {
		return reaped, err
	}
	for _, r := range ended {
		v, err := r.view()
		if err != nil {
			return reaped, err
		}
		reaped.Runs = append(reaped.Runs, v)
	}
	if err := b.flush(); err != nil {
		return reaped, err
	}
	next := never
	_, err = b.one("SELECT d.lease FROM provost_due d WHERE d.lease IS NOT NULL ORDER BY d.lease LIMIT 1", nil, &next)
	reaped.Next = b.ours(next).time()
	return reaped, err
}

func (b *book) reap(r *run) error {
	d := &r.due
	d.crashes++
	if d.begun != d.token { // as far as is known: also a run that is CANCELLING may have begun
		d.attempt++
	}
	of, err := b.deploymentOf(r)
	if err != nil {
		return err
	}
	once := d.once
	if of != nil {
		once = of.record.AtMostOnce
	}
	message := fmt.Sprintf("crash %d: the lease of runner %q ended", d.crashes, d.runner)
	switch {
	case d.state == store.StateCancelling:
		return b.finish(r, newState(store.StateCancelled, b.now, message))
	case d.crashes >= store.MaxCrashes, once && d.state == store.StateRunning:
		return b.finish(r, newState(store.StateCrashed, b.now, message))
	}
	if err := b.advance(r, namedState(store.StateScheduled, store.NameAwaitingRetry, b.now, message)); err != nil {
		return err
	}
	if err := b.endLease(r); err != nil {
		return err
	}
	return b.wait(r, b.now)
}

// wait queues an unclaimed run for its due time, unless its deployment is gone.
func (b *book) wait(r *run, due micros) error {
	d, err := b.deploymentOf(r)
	if err != nil {
		return err
	}
	if d == nil {
		return b.finish(r, newState(store.StateCancelled, b.now, deploymentDeleted))
	}
	r.setDue(d, due)
	b.enqueue(r)
	return nil
}

// maxClockBehind is how far a Now may be behind the newest one without the clock having been set
// back: machines differ, and calls come late.
const maxClockBehind = micros(time.Minute / time.Microsecond)

// noticeClock cuts leases that a clock which was set back would make last until it gets there
// again. Calls that came late look like that too, so it takes two, the second one later, with none
// in between that is on time, as far as this process knows: others' count if they are of
// ReapLeases.
func (b *book) noticeClock() error {
	newest, err := b.newest()
	if err != nil {
		return err
	}
	var behind micros
	if _, err := b.one("SELECT m.value FROM provost_meta m WHERE m.name = 'behind'", nil, &behind); err != nil {
		return err
	}
	switch {
	case newest-b.clock() <= maxClockBehind:
		if behind == never {
			return nil
		}
		return b.setBehind(never)
	case b.clock() <= behind: // the first such call, or a repetition of it, or one before it
		if err := b.setBehind(b.clock()); err != nil {
			return err
		}
		b.suspect = &newest
		return nil
	}
	if err := b.setBehind(never); err != nil {
		return err
	}
	return b.cutLeases()
}

// setBehind keeps the time of the call since which every other was far behind; never is for none.
func (b *book) setBehind(at micros) error {
	b.suspect = new(micros)
	return b.exec("UPDATE provost_meta SET value = ? WHERE name = 'behind'", int64(at))
}

// newest is the newest time at which a lease is known to have been given.
func (b *book) newest() (micros, error) {
	var leases, runners micros
	_, err := b.one("SELECT coalesce(max(d.lease - d.ttl), 0) FROM provost_due d WHERE d.lease IS NOT NULL", nil, &leases)
	if err == nil {
		_, err = b.one("SELECT coalesce(max(r.seen_at), 0) FROM provost_runner r", nil, &runners)
	}
	return max(leases, runners), err
}

func (b *book) cutLeases() error {
	if err := b.flush(); err != nil {
		return err
	}
	for query, now := range map[string]micros{
		"UPDATE provost_due SET lease = ? + ttl WHERE lease > ? + ttl":                           b.clock(),
		"UPDATE provost_runner SET until = ? + (until - seen_at), seen_at = ? WHERE seen_at > ?": b.clock(),
		"UPDATE provost_deployment SET last_served = ? WHERE last_served > ?":                    b.now,
	} {
		if err := b.exec(query, slices.Repeat([]any{now}, strings.Count(query, "?"))...); err != nil {
			return err
		}
	}
	clear(b.runs) // what the book had of them is not true any more
	clear(b.deployments)
	return nil
}
