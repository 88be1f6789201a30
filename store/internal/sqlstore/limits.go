package sqlstore

import (
	"cmp"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/provost-go/provost/store"
)

// limit grants slots to the runs of one deployment, or of all deployments of a group. A run that
// finds it full is parked in its queue, outside of the lanes; whoever frees a slot promotes the
// head. How many hold a slot, and how many wait, is counted in due.
type limit struct {
	key      string
	size     int
	sequence int64

	stored, changed bool
}

// limit finds a limit, nil if there is none. It is locked from then on, as whatever decides on its
// slots has to be.
func (b *book) limit(key string) (*limit, error) {
	if l, known := b.limits[key]; known {
		return l, nil
	}
	l := &limit{key: key, stored: true}
	found, err := b.one("SELECT l.size, l.sequence FROM provost_slots l WHERE l.name = ? FOR UPDATE", []any{key}, &l.size, &l.sequence)
	if err != nil {
		return nil, err
	}
	if !found {
		l = nil
	}
	b.limits[key] = l
	return l, nil
}

func (b *book) flushLimits() error {
	var made, changed [][]any
	for key, l := range b.limits {
		if l == nil || !l.changed {
			continue
		}
		row := []any{key, l.size, l.sequence}
		if l.stored {
			changed = append(changed, row)
		} else {
			made = append(made, row)
		}
		l.stored, l.changed = true, false
	}
	return b.writeRows([]tableRows{{limitTable, made, true}, {limitTable, changed, false}})
}

// count counts rows of due, up to a bound.
func (b *book) count(bound int, where string, args ...any) (int, error) {
	if err := b.flush(); err != nil {
		return 0, err
	}
	var n int
	_, err := b.one("SELECT count(*) FROM (SELECT 1 FROM provost_due d WHERE "+where+" LIMIT ?) AS found", append(args, bound), &n)
	return n, err
}

func (b *book) full(l *limit) (bool, error) {
	n, err := b.count(l.size, "d.slot = ?", l.key)
	return n >= l.size, err
}

// shared reports whether several deployments have the limit.
func (b *book) shared(l *limit) (bool, error) {
	var n int
	_, err := b.one("SELECT count(*) FROM (SELECT 1 FROM provost_deployment d WHERE d.limit_key = ? LIMIT 2) AS found", []any{l.key}, &n)
	return n > 1, err
}

// joinLimit gives a deployment the limit that it declares: runs become claimable in step with it,
// and what is under way holds slots.
func (b *book) joinLimit(d *deployment) error {
	b.touch(d)
	if err := b.flush(); err != nil {
		return err
	}
	if err := b.requeue(d); err != nil || !d.limited() {
		return err
	}
	l, err := b.limit(d.limitKey())
	if err != nil {
		return err
	}
	if l == nil {
		l = &limit{key: d.limitKey()}
		b.limits[l.key] = l
	}
	l.size, l.changed = d.record.ConcurrencyLimit, true
	claimed, err := b.loadDueByID("d.deployment = ? AND d.serial = ? AND d.lease IS NOT NULL", d.id(), d.serial)
	if err != nil {
		return err
	}
	for _, r := range claimed {
		b.grant(r, l)
	}
	return b.handOut(l)
}

// resizeLimit takes up the size that a deployment declares for the limit that it has.
func (b *book) resizeLimit(d *deployment) error {
	if !d.limited() {
		return nil
	}
	l, err := b.limit(d.limitKey())
	if l == nil || err != nil || l.size == d.record.ConcurrencyLimit {
		return err
	}
	l.size, l.changed = d.record.ConcurrencyLimit, true
	b.touch(d)
	if err := b.flush(); err != nil {
		return err
	}
	return b.handOut(l)
}

// leaveLimit takes a deployment, and all that it holds, out of its limit, in favour of another
// declaration.
func (b *book) leaveLimit(d *deployment, next *store.DeploymentRecord) error {
	if err := b.flush(); err != nil {
		return err
	}
	key := d.limitKey()
	waiting, err := b.loadDueByID("d.queue = ? AND d.deployment = ? AND d.serial = ?", key, d.id(), d.serial)
	if err != nil {
		return err
	}
	holders, err := b.loadDueByID("d.slot = ? AND d.deployment = ? AND d.serial = ?", key, d.id(), d.serial)
	if err != nil {
		return err
	}
	d.record = next
	for _, r := range slices.Concat(waiting, holders) {
		if r.due.queue != "" {
			b.enqueue(r)
		}
		r.due.queue, r.due.slot = "", ""
		b.change(r)
	}
	b.touch(d)
	return b.handOutBy(key)
}

// requeue recomputes when each queued run becomes claimable.
func (b *book) requeue(d *deployment) error {
	queued, err := b.loadDueByID("d.lane IS NOT NULL AND d.lane = ? AND d.deployment = ?", d.lane, d.id())
	for _, r := range queued {
		before := r.due.claimable
		if r.setDue(d, r.due.due); r.due.claimable != before {
			b.change(r)
		}
	}
	return err
}

// setDue sets when the run is due, and so when it is claimable: at its due time if it needs a slot,
// else a little before.
func (r *run) setDue(d *deployment, due micros) {
	r.due.due = due
	if r.due.claimable = due; !d.limited() {
		r.due.claimable -= toSpan(store.ClaimAhead)
	}
}

// enqueue makes a run claimable, at its time.
func (b *book) enqueue(r *run) {
	r.due.queued = true
	b.change(r)
	b.hints.Work = true
}

// unqueue takes an unclaimed run out of whatever it waits in.
func (b *book) unqueue(r *run) {
	r.due.queued, r.due.queue = false, ""
	b.change(r)
}

func (b *book) grant(r *run, l *limit) {
	r.due.slot, r.due.waits = word(l.key), true
	b.change(r)
}

// admit decides whether a due run may start: it has a slot, or gets one, or has to wait for one, or
// does not even do that.
func (b *book) admit(r *run, d *deployment) (bool, error) {
	if !d.limited() || r.due.slot != "" {
		return true, nil
	}
	l, err := b.limit(d.limitKey())
	if err != nil {
		return false, err
	}
	vacant, err := b.vacant(d, l)
	if err != nil {
		return false, err
	}
	if !vacant && !r.due.waits {
		switch d.record.Overlap {
		case store.OverlapCancelNew:
			return false, b.skip(r, store.SkipOverlap)
		case store.OverlapCancelRunning:
			if err := b.makeWay(r, d, l); err != nil {
				return false, err
			}
			if vacant, err = b.vacant(d, l); err != nil {
				return false, err
			}
		default:
			waiting, err := b.waitingOf(d)
			if err != nil {
				return false, err
			}
			if waiting >= d.record.MaxWaiting {
				return false, b.skip(r, store.SkipLimit)
			}
		}
	}
	l.sequence, l.changed = l.sequence+1, true
	r.due.turn = l.sequence
	if vacant {
		b.grant(r, l)
		return true, nil
	}
	return false, b.park(r, l)
}

// waitingOf counts the parked runs of a deployment, as far as MaxWaiting goes.
func (b *book) waitingOf(d *deployment) (int, error) {
	return b.count(d.record.MaxWaiting, "d.deployment = ? AND d.queue IS NOT NULL", d.id())
}

// vacant reports whether a run of the deployment that comes now finds a slot.
func (b *book) vacant(d *deployment, l *limit) (bool, error) {
	full, err := b.full(l)
	if err != nil || !full {
		return !full, err
	}
	shared, err := b.shared(l)
	if err != nil || !shared {
		return false, err
	}
	served, err := b.servedAt(d.id())
	if err != nil || !served {
		return false, err
	}
	if err := b.handOut(l); err != nil {
		return false, err
	}
	for {
		full, err := b.full(l)
		if err != nil || !full {
			return !full, err
		}
		recalled, err := b.recall(l)
		if err != nil || !recalled {
			return false, err
		}
	}
}

// makeWay cancels older runs of the deployment in favour of a new one: all that wait, and of the
// claimed ones as many as have to go until a slot is free.
func (b *book) makeWay(r *run, d *deployment, l *limit) error {
	waiting, err := b.waiting(d)
	if err != nil {
		return err
	}
	for _, other := range waiting {
		if other == r {
			continue
		}
		b.unqueue(other)
		if other.hasBegun() {
			err = b.finish(other, newState(store.StateCancelled, b.now, string(store.SkipOverlap)))
		} else {
			err = b.finishSkipped(other, store.SkipOverlap)
		}
		if err != nil {
			return err
		}
	}
	if err := b.flush(); err != nil {
		return err
	}
	holders, err := b.loadDue("d.slot = ? ORDER BY d.scheduled, d.id FOR UPDATE", l.key)
	if err != nil {
		return err
	}
	needed := len(holders) - l.size + 1
	var running []*run
	for _, other := range holders {
		switch {
		case other.due.deployment != d.id() || !other.held():
		case other.due.state == store.StateCancelling:
			needed--
		default:
			running = append(running, other)
		}
	}
	for _, other := range running[:min(max(0, needed), len(running))] {
		if err := b.advance(other, newState(store.StateCancelling, b.now, string(store.SkipOverlap))); err != nil {
			return err
		}
		b.hints.Cancel = true
	}
	return nil
}

// waiting are the unclaimed runs of a deployment that have asked for a slot, or were claimed
// before. Those without a slot come first, so that no slot is handed out to one of them when they
// go.
func (b *book) waiting(d *deployment) ([]*run, error) {
	if err := b.flush(); err != nil {
		return nil, err
	}
	list, err := b.loadDue("d.deployment = ? AND d.queue IS NOT NULL ORDER BY d.rank, d.turn, d.id FOR UPDATE", d.id())
	if err != nil {
		return nil, err
	}
	for _, where := range []string{"d.slot IS NOT NULL AND d.slot = ? AND d.deployment = ? AND d.lease IS NULL", "d.slot IS NULL AND d.deployment = ? AND d.lane IS NOT NULL AND d.token > 0"} {
		args := []any{d.limitKey(), d.id()}
		more, err := b.loadDue(where+" ORDER BY d.rank, d.turn, d.id FOR UPDATE", args[2-strings.Count(where, "?"):]...)
		if err != nil {
			return nil, err
		}
		list = append(list, more...)
	}
	slices.SortStableFunc(list, func(x, y *run) int { return cmp.Compare(x.waitingClass(), y.waitingClass()) })
	return list, err
}

func (r *run) waitingClass() int {
	switch {
	case r.due.queue != "":
		return 0
	case r.due.slot == "":
		return 1
	}
	return 2
}

// skip makes an unstarted run CANCELLED/Skipped.
func (b *book) skip(r *run, reason store.SkipReason) error {
	b.unqueue(r)
	return b.finishSkipped(r, reason)
}

func (b *book) finishSkipped(r *run, reason store.SkipReason) error {
	if r.due.schedule != "" {
		b.skipped = append(b.skipped, store.SkippedRun{
			DeploymentID: r.due.deployment, Schedule: r.due.schedule, ScheduledTime: r.due.scheduled.time(), Reason: reason,
		})
	}
	return b.finish(r, namedState(store.StateCancelled, store.NameSkipped, b.now, string(reason)))
}

// free gives a run's slot back and promotes whose turn it is.
func (b *book) free(r *run) error {
	if r.due.slot == "" {
		return nil
	}
	key := string(r.due.slot)
	r.due.slot = ""
	b.change(r)
	return b.handOutBy(key)
}

func (b *book) handOutBy(key string) error {
	l, err := b.limit(key)
	if l == nil || err != nil {
		return err
	}
	return b.handOut(l)
}

// handOut promotes whose turn it is. In a group, runs of deployments that nobody serves stand back,
// and lend what they do not use.
func (b *book) handOut(l *limit) error {
	shared, err := b.shared(l)
	if err != nil {
		return err
	}
	for shared {
		head, err := b.firstServed(l)
		if err != nil {
			return err
		}
		if head == nil {
			break
		}
		full, err := b.full(l)
		if err != nil {
			return err
		}
		if full {
			if recalled, err := b.recall(l); err != nil {
				return err
			} else if recalled {
				continue
			}
			break
		}
		if err := b.promote(head, l); err != nil {
			return err
		}
	}
	n, err := b.count(l.size, "d.slot = ?", l.key)
	if err != nil || n >= l.size {
		return err
	}
	heads, err := b.loadDue("d.queue = ? ORDER BY d.rank, d.turn LIMIT ? FOR UPDATE", l.key, l.size-n)
	for _, r := range heads {
		if err := b.promote(r, l); err != nil {
			return err
		}
	}
	return err
}

// handOutAnew hands out the slots of groups when who serves may have changed.
func (b *book) handOutAnew() error {
	var keys []string
	err := b.each("SELECT d.limit_key FROM provost_deployment d WHERE d.limit_key LIKE 'group:%' GROUP BY d.limit_key HAVING count(*) > 1 ORDER BY d.limit_key", nil,
		func(rows Rows) error {
			var key string
			err := rows.Scan(&key)
			keys = append(keys, key)
			return err
		})
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := b.handOutBy(key); err != nil {
			return err
		}
	}
	return nil
}

// firstServed is the first in turn of the parked runs whose deployment is served, nil if there is
// none. It costs no more where many of the others wait: it looks at one run of each member.
func (b *book) firstServed(l *limit) (*run, error) {
	if err := b.flush(); err != nil {
		return nil, err
	}
	members, err := b.list("SELECT d.id FROM provost_deployment d WHERE d.limit_key = ? ORDER BY d.id", l.key)
	if err != nil {
		return nil, err
	}
	var first *run
	for _, id := range members {
		served, err := b.servedAt(id)
		if err != nil {
			return nil, err
		}
		if !served {
			continue
		}
		heads, err := b.loadDue("d.deployment = ? AND d.queue IS NOT NULL ORDER BY d.rank, d.turn LIMIT 1 FOR UPDATE", id)
		if err != nil {
			return nil, err
		}
		for _, r := range heads {
			if first == nil || compareTurns(r, first) < 0 {
				first = r
			}
		}
	}
	return first, nil
}

// compareTurns orders a limit's queue: runs that had begun before or were retried go first, then
// first come, first served.
func compareTurns(x, y *run) int {
	if first := x.goesFirst(); first != y.goesFirst() {
		if first {
			return -1
		}
		return 1
	}
	return cmp.Compare(x.due.turn, y.due.turn)
}

// recall takes a slot back that an unclaimed run of a deployment nobody serves has, false if there
// is none. The one that came last goes back to its place in the queue.
func (b *book) recall(l *limit) (bool, error) {
	if err := b.flush(); err != nil {
		return false, err
	}
	holders, err := b.loadDueByID("d.slot = ? AND d.lease IS NULL", l.key)
	if err != nil {
		return false, err
	}
	var last *run
	for _, r := range holders {
		served, err := b.servedAt(r.due.deployment)
		if err != nil {
			return false, err
		}
		if !served && (last == nil || compareTurns(r, last) > 0) {
			last = r
		}
	}
	if last == nil {
		return false, nil
	}
	last.due.slot = ""
	return true, b.park(last, l)
}

func (b *book) promote(r *run, l *limit) error {
	if err := b.loadDeployments([]uuid.UUID{r.due.deployment}); err != nil {
		return err
	}
	b.unqueue(r)
	b.grant(r, l)
	b.enqueue(r)
	b.promoted++
	return nil
}

// park puts an unclaimed run in its limit's queue, at its turn.
func (b *book) park(r *run, l *limit) error {
	r.due.queued = false
	r.due.queue, r.due.waits = word(l.key), true
	b.change(r)
	if r.due.stateName == store.NameAwaitingConcurrencySlot {
		return nil
	}
	return b.advance(r, namedState(store.StateScheduled, store.NameAwaitingConcurrencySlot, b.now, ""))
}
