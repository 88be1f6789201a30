package memory

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/store"
)

// runner is a runner with what it serves.
type runner struct {
	record      store.RunnerRecord
	deployments map[*deployment]struct{}
	lanes       []*lane // those that it claims from, highest priority first

	lastClaim   uuid.UUID     // ID of its newest call that claimed anything
	lastClaimed []store.Lease // what that call claimed
}

func (r *runner) liveAt(now micros) bool { return toMicros(r.record.Until) >= now }

// lane is a claim queue of deployments: of one priority, and served by one set of runners, so that
// no claim meets a run that it may not take. All of them have a limit, or none has, so that the
// heap, which is ordered by the time at which the first of each deployment's runs becomes
// claimable, has them in the order in which they are due.
type lane struct {
	key      string
	priority int
	runners  []*runner
	heads    laneHeap
}

type laneHeap []*deployment

func (h laneHeap) Len() int { return len(h) }

func (h laneHeap) Less(i, j int) bool { return h[i].before(h[j]) }

func (h laneHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].laneIndex, h[j].laneIndex = i, j
}

func (h *laneHeap) Push(x any) {
	d := x.(*deployment)
	d.laneIndex = len(*h)
	*h = append(*h, d)
}

func (h *laneHeap) Pop() any {
	last := len(*h) - 1
	d := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return d
}

// head is when the deployment's next run becomes claimable.
func (d *deployment) head() micros {
	if first, ok := d.queue.Min(); ok && !d.gap {
		return first.claimable
	}
	return never
}

// before reports whether the deployment's next run comes before another's in a lane.
func (d *deployment) before(other *deployment) bool {
	at, against := d.head(), other.head()
	if at != against || at == never {
		return at < against
	}
	r, _ := d.queue.Min()
	next, _ := other.queue.Min()
	return r.scheduled < next.scheduled
}

// enqueue and dequeue keep the lane in step with the deployment's queue.
func (m *Store) enqueue(r *run) {
	d := r.deployment
	d.queue.Insert(r)
	if first, _ := d.queue.Min(); first == r && d.lane != nil {
		heap.Fix(&d.lane.heads, d.laneIndex)
	}
	m.hintWork = true
}

func (m *Store) dequeue(r *run) {
	d := r.deployment
	first, _ := d.queue.Min()
	if d.queue.Delete(r) && first == r && d.lane != nil {
		heap.Fix(&d.lane.heads, d.laneIndex)
	}
}

// relane moves a deployment to the lane of those that serve it now.
func (m *Store) relane(d *deployment) {
	key := laneKey(d)
	if d.lane != nil {
		if d.lane.key == key {
			heap.Fix(&d.lane.heads, d.laneIndex)
			return
		}
		m.leaveLane(d)
	}
	if len(d.servers) == 0 || d.deleted {
		return
	}
	l := m.lanes[key]
	if l == nil {
		l = &lane{key: key, priority: d.record.Priority, runners: slices.Clone(d.servers)}
		m.lanes[key] = l
		for _, r := range l.runners {
			at, _ := slices.BinarySearchFunc(r.lanes, l, func(a, b *lane) int { return cmp.Compare(b.priority, a.priority) })
			r.lanes = slices.Insert(r.lanes, at, l)
		}
	}
	d.lane = l
	heap.Push(&l.heads, d)
}

func (m *Store) leaveLane(d *deployment) {
	l := d.lane
	heap.Remove(&l.heads, d.laneIndex)
	d.lane = nil
	if len(l.heads) > 0 {
		return
	}
	delete(m.lanes, l.key)
	for _, r := range l.runners {
		r.lanes = slices.DeleteFunc(r.lanes, func(other *lane) bool { return other == l })
	}
}

func laneKey(d *deployment) string {
	var b strings.Builder
	b.WriteString(strconv.Itoa(d.record.Priority))
	b.WriteString(strconv.FormatBool(d.limit != nil))
	for _, r := range d.servers {
		b.Write(r.record.ID[:])
	}
	return b.String()
}

// liveServers are the runners but the given one whose lease on the deployment has not ended.
func (d *deployment) liveServers(now micros, but uuid.UUID) []*runner {
	var live []*runner
	for _, r := range d.servers {
		if r.record.ID != but && r.liveAt(now) {
			live = append(live, r)
		}
	}
	return live
}

// servedAt reports whether some runner's lease on the deployment has not ended.
func (d *deployment) servedAt(now micros) bool {
	return slices.ContainsFunc(d.servers, func(r *runner) bool { return r.liveAt(now) })
}

func names(runners []*runner) []string {
	var list []string
	for _, r := range runners {
		list = append(list, r.record.Name)
	}
	return list
}

// RegisterRunner implements [store.RunnerStore].
func (m *Store) RegisterRunner(ctx context.Context, p store.RegisterRunnerParams) ([]uuid.UUID, error) {
	if err := m.lockAt(ctx, p.Now); err != nil {
		return nil, err
	}
	defer m.unlock()
	served := make([]*deployment, 0, len(p.Deployments))
	for _, id := range p.Deployments {
		if d := m.deployments[id]; d != nil {
			served = append(served, d)
		}
	}
	now := toMicros(p.Now)
	record := p.Runner
	record.Started, record.SeenAt, record.Until = instant.Of(record.Started), instant.Of(record.SeenAt), instant.Of(record.Until)
	record.Deployments = len(served)
	r := m.runners[p.Runner.ID]
	if r == nil {
		r = &runner{record: record, deployments: make(map[*deployment]struct{}, len(served))}
		m.runners[p.Runner.ID] = r
	}
	var unserved []uuid.UUID
	for _, d := range served {
		if len(d.liveServers(now, p.Runner.ID)) == 0 {
			unserved = append(unserved, d.record.ID)
		}
		if !d.servedAt(now) {
			m.openGap(d, now)
		}
		m.changePause(d, now, func() { d.pause.Shutdown = false })
	}
	m.stopServing(r, served)
	for _, d := range served {
		m.startServing(r, d)
	}
	r.record = record
	m.handOutAnew()
	m.dropOldRunners(now)
	m.hintWork = true
	return unserved, nil
}

func (m *Store) startServing(r *runner, d *deployment) {
	if _, already := r.deployments[d]; already {
		m.relane(d)
		return
	}
	r.deployments[d] = struct{}{}
	d.servers = append(d.servers, r)
	slices.SortFunc(d.servers, func(a, b *runner) int { return compareIDs(a.record.ID, b.record.ID) })
	m.relane(d)
	for _, s := range d.schedules {
		m.setPlanTime(s, s.planTime) // among the plans, now that it is served
	}
}

// stopServing ends the runner's service of every deployment but those of keep.
func (m *Store) stopServing(r *runner, keep []*deployment) {
	if len(r.deployments) == 0 {
		return
	}
	kept := make(map[*deployment]bool, len(keep))
	for _, d := range keep {
		kept[d] = true
	}
	for d := range r.deployments {
		if kept[d] {
			continue
		}
		delete(r.deployments, d)
		d.noteServed(toMicros(r.record.SeenAt))
		d.servers = slices.DeleteFunc(d.servers, func(other *runner) bool { return other == r })
		m.relane(d)
		for _, s := range d.schedules {
			m.setPlanTime(s, s.planTime)
		}
	}
}

// openGap marks that nobody served the deployment from its last heartbeat until now.
func (m *Store) openGap(d *deployment, now micros) {
	for _, r := range d.servers {
		d.noteServed(toMicros(r.record.SeenAt))
	}
	if now <= d.lastServed || len(d.schedules) == 0 {
		return
	}
	for _, s := range d.schedules {
		if !s.gap {
			s.gap, s.servedUntil = true, d.lastServed
		}
		s.gapFound = now
		m.setPlanTime(s, now)
	}
	d.gap = true
	m.relane(d)
}

func (d *deployment) noteServed(at micros) {
	if at != never && at > d.lastServed {
		d.lastServed = at
	}
}

// HeartbeatRunner implements [store.RunnerStore].
func (m *Store) HeartbeatRunner(ctx context.Context, p store.HeartbeatRunnerParams) error {
	if err := m.lockAt(ctx, p.Now); err != nil {
		return err
	}
	defer m.unlock()
	r := m.runners[p.Runner]
	if r == nil {
		return runnerUnknown(p.Runner)
	}
	lapsed := !r.liveAt(m.now)
	if lapsed {
		for d := range r.deployments {
			if !d.servedAt(m.now) {
				m.openGap(d, m.now)
			}
		}
		m.hintWork = true
	}
	r.record.SeenAt, r.record.Until = instant.Of(p.Now), instant.Of(p.Until)
	if lapsed {
		m.handOutAnew()
	}
	return nil
}

func runnerUnknown(id uuid.UUID) error { return fmt.Errorf("runner %s: %w", id, store.ErrNotFound) }

// RemoveRunner implements [store.RunnerStore].
func (m *Store) RemoveRunner(ctx context.Context, p store.RemoveRunnerParams) error {
	if err := m.lockAt(ctx, p.Now); err != nil {
		return err
	}
	defer m.unlock()
	r := m.runners[p.Runner]
	if r == nil {
		return nil
	}
	now := toMicros(p.Now)
	if r.record.SeenAt = instant.Earlier(r.record.SeenAt, now.time()); r.liveAt(now) {
		r.record.SeenAt = now.time()
	}
	left := make([]*deployment, 0, len(r.deployments))
	for d := range r.deployments {
		left = append(left, d)
	}
	m.stopServing(r, nil)
	delete(m.runners, p.Runner)
	for _, d := range left {
		if p.Pause && !d.servedAt(now) {
			m.changePause(d, now, func() { d.pause.Shutdown = true })
		}
	}
	m.hintWork = true
	return nil
}

// ListRunners implements [store.RunnerStore].
func (m *Store) ListRunners(ctx context.Context) ([]store.RunnerRecord, error) {
	if err := m.lock(ctx); err != nil {
		return nil, err
	}
	defer m.unlock()
	records := make([]store.RunnerRecord, 0, len(m.runners))
	for _, r := range m.runners {
		records = append(records, r.record)
	}
	slices.SortFunc(records, func(a, b store.RunnerRecord) int {
		return cmp.Or(b.SeenAt.Compare(a.SeenAt), compareIDs(a.ID, b.ID))
	})
	return records, nil
}

// dropOldRunners forgets runners whose lease ended more than a day ago, and those beyond the
// MaxDeadRunners that ended last.
func (m *Store) dropOldRunners(now micros) {
	var dead []*runner
	for _, r := range m.runners {
		if !r.liveAt(now) {
			dead = append(dead, r)
		}
	}
	slices.SortFunc(dead, func(a, b *runner) int {
		return cmp.Or(b.record.Until.Compare(a.record.Until), compareIDs(a.record.ID, b.record.ID))
	})
	for i, r := range dead {
		if i >= store.MaxDeadRunners || toMicros(r.record.Until) < now-micros(24*time.Hour/time.Microsecond) {
			m.stopServing(r, nil)
			delete(m.runners, r.record.ID)
		}
	}
}
