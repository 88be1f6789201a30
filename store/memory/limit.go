package memory

import (
	"cmp"
	"slices"

	"github.com/provost-go/provost/internal/sorted"
	"github.com/provost-go/provost/store"
)

// limit grants slots to the runs of one deployment, or of all deployments of a group. A run that
// finds it full is parked in its queue, outside of the claim queues; whoever frees a slot promotes
// the head.
type limit struct {
	key      string
	size     int
	slots    map[*run]struct{} // runs that hold one: claimed, or promoted and waiting for their claim
	sequence int64
	queue    sorted.Index[*run]
	members  map[*deployment]struct{}
}

// compareTurns orders a limit's queue: runs that had begun before or were retried go first, then
// first come, first served.
func compareTurns(a, b *run) int {
	if x, y := a.goesFirst(), b.goesFirst(); x != y {
		if x {
			return -1
		}
		return 1
	}
	return cmp.Compare(a.turn, b.turn)
}

func (l *limit) full() bool { return len(l.slots) >= l.size }

func (l *limit) shared() bool { return len(l.members) > 1 }

// setLimit gives a deployment the limit that it declares. Runs that wait for another one start
// anew.
func (m *Store) setLimit(d *deployment) {
	key := d.record.LimitKey()
	if d.limit != nil && d.limit.key != key {
		m.leaveLimit(d)
	}
	if key == "" {
		return
	}
	l := m.limits[key]
	if l == nil {
		l = &limit{
			key: key, queue: sorted.New(compareTurns),
			slots: make(map[*run]struct{}), members: make(map[*deployment]struct{}),
		}
		m.limits[key] = l
	}
	l.members[d] = struct{}{}
	if l.shared() {
		m.groups[l] = struct{}{}
	}
	l.size = d.record.ConcurrencyLimit
	if d.limit == nil {
		m.joinLimit(d, l)
	}
	m.handOut(l)
}

// joinLimit puts the deployment's claimable times in step with having a limit, and counts what is
// under way.
func (m *Store) joinLimit(d *deployment, l *limit) {
	d.limit = l
	m.requeue(d)
	for r := range d.runs.Ascend() {
		if r.claimed() && r.parent == nil {
			l.grant(r)
		}
	}
}

// leaveLimit takes a deployment, and all that it holds, out of its limit.
func (m *Store) leaveLimit(d *deployment) {
	l := d.limit
	for r := range d.runs.Ascend() {
		if r.parked {
			m.unpark(r)
			m.enqueue(r)
		}
		l.release(r)
	}
	m.quitLimit(d)
	m.handOut(l)
	m.requeue(d)
}

// quitLimit ends a deployment's part in its limit. Runs that hold a slot keep it.
func (m *Store) quitLimit(d *deployment) {
	l := d.limit
	if l == nil {
		return
	}
	d.limit = nil
	delete(l.members, d)
	if !l.shared() {
		delete(m.groups, l)
	}
	m.dropLimit(l)
}

func (m *Store) dropLimit(l *limit) {
	if len(l.members) == 0 && len(l.slots) == 0 {
		delete(m.limits, l.key)
	}
}

// requeue recomputes when each queued run becomes claimable.
func (m *Store) requeue(d *deployment) {
	var queued []*run
	for r := range d.queue.Ascend() {
		queued = append(queued, r)
	}
	for _, r := range queued {
		m.dequeue(r)
		r.setDue(r.due)
		m.enqueue(r)
	}
}

// admit decides whether a due run may start: it has a slot, or gets one, or has to wait for one, or
// does not even do that.
func (m *Store) admit(r *run) bool {
	d, l := r.deployment, r.deployment.limit
	if l == nil || r.slot != nil {
		return true
	}
	vacant := m.vacant(d)
	if !vacant && !r.waits {
		switch d.record.Overlap {
		case store.OverlapCancelNew:
			m.skip(r, store.SkipOverlap)
			return false
		case store.OverlapCancelRunning:
			m.makeWay(r)
			vacant = m.vacant(d)
		default:
			if d.waiting.Len() >= d.record.MaxWaiting {
				m.skip(r, store.SkipLimit)
				return false
			}
		}
	}
	l.sequence++
	r.turn = l.sequence
	if vacant {
		l.grant(r)
		return true
	}
	m.dequeue(r)
	m.park(r)
	return false
}

// release takes a run's slot away.
func (l *limit) release(r *run) {
	if r.slot == l {
		delete(l.slots, r)
		r.slot = nil
	}
}

func (l *limit) grant(r *run) {
	l.slots[r] = struct{}{}
	r.slot, r.waits = l, true
}

// vacant reports whether a run of the deployment that comes now finds a slot.
func (m *Store) vacant(d *deployment) bool {
	l := d.limit
	if l.full() && l.shared() && d.servedAt(m.now) {
		m.handOut(l)
		for l.full() && m.recall(l) {
		}
	}
	return !l.full()
}

// makeWay cancels older runs of the deployment in favour of a new one: all that wait, and of the
// claimed ones as many as have to go until a slot is free.
func (m *Store) makeWay(r *run) {
	for _, other := range m.waiting(r.deployment) {
		m.unpark(other)
		if other.begun() {
			m.finish(other, store.NewState(store.StateCancelled, m.now.time(), string(store.SkipOverlap)))
		} else {
			m.finishSkipped(other, store.SkipOverlap)
		}
	}
	l := r.deployment.limit
	needed := len(l.slots) - l.size + 1
	var running []*run
	for other := range l.slots {
		switch {
		case other.deployment.record.ID != r.deployment.record.ID || !other.claimed():
		case other.state().Type == store.StateCancelling:
			needed--
		default:
			running = append(running, other)
		}
	}
	slices.SortFunc(running, func(a, b *run) int { return cmp.Or(cmp.Compare(a.scheduled, b.scheduled), compareRunIDs(a, b)) })
	for _, other := range running[:min(max(0, needed), len(running))] {
		m.advance(other, store.NewState(store.StateCancelling, m.now.time(), string(store.SkipOverlap)))
		m.hintCancel = true
	}
}

// waiting are the unclaimed runs of a deployment that have asked for a slot, or were claimed
// before. Those without a slot come first, so that no slot is handed out to one of them when they
// go.
func (m *Store) waiting(d *deployment) []*run {
	parked := slices.Collect(d.waiting.Ascend())
	var queued, promoted []*run
	for r := range d.queue.Ascend() {
		switch {
		case r.slot != nil:
			promoted = append(promoted, r)
		case r.token > 0:
			queued = append(queued, r)
		}
	}
	return slices.Concat(parked, queued, promoted)
}

// skip makes an unstarted run CANCELLED/Skipped.
func (m *Store) skip(r *run, reason store.SkipReason) {
	m.unpark(r)
	m.finishSkipped(r, reason)
}

func (m *Store) finishSkipped(r *run, reason store.SkipReason) {
	if r.schedule != nil {
		m.skipped = append(m.skipped, store.SkippedRun{
			DeploymentID: r.deployment.record.ID, Schedule: r.schedule.key, ScheduledTime: r.scheduled.time(), Reason: reason,
		})
	}
	m.finish(r, store.NewNamedState(store.StateCancelled, store.NameSkipped, m.now.time(), string(reason)))
}

// free gives a run's slot back and promotes whose turn it is.
func (m *Store) free(r *run) {
	if l := r.slot; l != nil {
		l.release(r)
		m.handOut(l)
		m.dropLimit(l)
	}
}

// handOut promotes whose turn it is. In a group, runs of deployments that nobody serves stand back,
// and lend what they do not use.
func (m *Store) handOut(l *limit) {
	for l.shared() && l.queue.Len() > 0 {
		head := l.firstServed(m.now)
		if head == nil {
			break
		}
		if l.full() {
			if m.recall(l) {
				continue
			}
			break
		}
		m.promote(head)
	}
	for !l.full() {
		head, ok := l.queue.Min()
		if !ok {
			return
		}
		m.promote(head)
	}
}

// handOutAnew hands out the slots of groups when who serves may have changed.
func (m *Store) handOutAnew() {
	for l := range m.groups {
		m.handOut(l)
	}
}

// firstServed is the first in turn of the runs whose deployment is served, nil if there is none. It
// costs no more where many of the others wait: it looks at one run of each member.
func (l *limit) firstServed(now micros) *run {
	if head, ok := l.queue.Min(); !ok || head.deployment.servedAt(now) {
		return head
	}
	var first *run
	for d := range l.members {
		if head, ok := d.waiting.Min(); ok && d.servedAt(now) && (first == nil || compareTurns(head, first) < 0) {
			first = head
		}
	}
	return first
}

// recall takes a slot back that an unclaimed run of a deployment nobody serves has, false if there
// is none. The one that came last goes back to its place in the queue.
func (m *Store) recall(l *limit) bool {
	var last *run
	for r := range l.slots {
		if !r.claimed() && !r.deployment.servedAt(m.now) && (last == nil || compareTurns(r, last) > 0) {
			last = r
		}
	}
	if last == nil {
		return false
	}
	l.release(last)
	m.dequeue(last)
	m.park(last)
	return true
}

func (m *Store) promote(r *run) {
	m.unpark(r)
	r.deployment.limit.grant(r)
	m.enqueue(r)
	m.promoted++
}

// park puts an unclaimed run in its limit's queue, at its turn.
func (m *Store) park(r *run) {
	r.parked, r.waits = true, true
	r.deployment.limit.queue.Insert(r)
	r.deployment.waiting.Insert(r)
	if r.state().Name != store.NameAwaitingConcurrencySlot {
		m.advance(r, store.NewNamedState(store.StateScheduled, store.NameAwaitingConcurrencySlot, m.now.time(), ""))
	}
}

// unpark takes an unstarted run out of whichever queue it waits in.
func (m *Store) unpark(r *run) {
	if !r.parked {
		m.dequeue(r)
		return
	}
	r.deployment.limit.queue.Delete(r)
	r.parked = false
	r.deployment.waiting.Delete(r)
}
