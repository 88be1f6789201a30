package provost

import (
	"cmp"

	"github.com/provost-go/provost/internal/sorted"
)

// memoryLimit grants slots to the runs of one deployment, or of all deployments of a group. A run that finds it full is parked in
// its queue, outside of the claim queues; whoever frees a slot promotes the head.
type memoryLimit struct {
	key      string
	size     int
	held     int // runs with a slot: claimed, or promoted and waiting for their claim
	sequence int64
	queue    sorted.Index[*memoryRun]
	members  map[*memoryDeployment]struct{}
}

// compareTurns orders a limit's queue: runs that had begun before go first, then first come, first served.
func compareTurns(a, b *memoryRun) int {
	if x, y := a.begun(), b.begun(); x != y {
		if x {
			return -1
		}
		return 1
	}
	return cmp.Compare(a.turn, b.turn)
}

// setLimit gives a deployment the limit that it declares. Runs that wait for another one start anew.
func (m *MemoryStore) setLimit(d *memoryDeployment) {
	key := d.record.LimitKey()
	if d.limit != nil && d.limit.key != key {
		m.leaveLimit(d)
	}
	if key == "" {
		return
	}
	l := m.limits[key]
	if l == nil {
		l = &memoryLimit{key: key, queue: sorted.New(compareTurns), members: make(map[*memoryDeployment]struct{})}
		m.limits[key] = l
	}
	l.members[d] = struct{}{}
	l.size = d.record.ConcurrencyLimit
	if d.limit == nil {
		m.joinLimit(d, l)
	}
	m.promote(l)
}

// joinLimit puts the deployment's claimable times in step with having a limit, and counts what is under way.
func (m *MemoryStore) joinLimit(d *memoryDeployment, l *memoryLimit) {
	d.limit = l
	m.requeue(d)
	for r := range d.runs.Ascend() {
		if r.claimed() && r.parent == nil {
			r.slot = true
			l.held++
		}
	}
}

func (m *MemoryStore) leaveLimit(d *memoryDeployment) {
	l := d.limit
	if l == nil {
		return
	}
	for r := range d.runs.Ascend() {
		if r.parked {
			m.unpark(r)
			m.enqueue(r)
		}
		if r.slot {
			r.slot = false
			l.held--
		}
	}
	d.limit = nil
	delete(l.members, d)
	if len(l.members) == 0 {
		delete(m.limits, l.key)
	} else {
		m.promote(l)
	}
	m.requeue(d)
}

// requeue recomputes when each queued run becomes claimable.
func (m *MemoryStore) requeue(d *memoryDeployment) {
	var queued []*memoryRun
	for r := range d.queue.Ascend() {
		queued = append(queued, r)
	}
	for _, r := range queued {
		m.dequeue(r)
		r.setDue(r.due)
		m.enqueue(r)
	}
}

// admit decides whether a due run may start: it has a slot, or gets one, or is parked. A new run that finds more than MaxWaiting
// parked is not parked but refused.
func (m *MemoryStore) admit(r *memoryRun, now micros) (admitted, full bool) {
	l := r.deployment.limit
	switch {
	case l == nil || r.slot:
		return true, false
	case l.held < l.size && l.queue.Len() == 0:
		r.slot = true
		l.held++
		return true, false
	case !r.begun() && r.deployment.waiting >= r.deployment.record.MaxWaiting:
		return false, true
	}
	m.dequeue(r)
	l.sequence++
	r.turn, r.parked = l.sequence, true
	l.queue.Insert(r)
	r.deployment.waiting++
	m.advance(r, namedState(StateScheduled, NameAwaitingConcurrencySlot, now.time(), ""))
	return false, false
}

// free gives a run's slot back and promotes whose turn it is.
func (m *MemoryStore) free(r *memoryRun) {
	if !r.slot {
		return
	}
	r.slot = false
	if l := r.deployment.limit; l != nil {
		l.held--
		m.promote(l)
	}
}

// promote hands free slots to the head of the queue.
func (m *MemoryStore) promote(l *memoryLimit) {
	for l.held < l.size {
		head, ok := l.queue.Min()
		if !ok {
			return
		}
		m.unpark(head)
		head.slot = true
		l.held++
		m.enqueue(head)
	}
}

// unpark takes an unstarted run out of whichever queue it waits in.
func (m *MemoryStore) unpark(r *memoryRun) {
	if !r.parked {
		m.dequeue(r)
		return
	}
	r.deployment.limit.queue.Delete(r)
	r.parked = false
	r.deployment.waiting--
}
