package provost

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/provost-go/provost/internal/instant"

	"github.com/google/uuid"
)

// CreateRun implements [RunStore].
func (m *MemoryStore) CreateRun(ctx context.Context, p CreateRunParams) (*Run, error) {
	if err := m.lockAt(ctx, p.Now); err != nil {
		return nil, err
	}
	defer m.unlock()
	if known := m.runs[p.ID]; known != nil {
		return known.view(), nil // the call is repeated
	}
	if p.Child != nil {
		return m.createChild(p)
	}
	return m.createByHand(p)
}

func (m *MemoryStore) createByHand(p CreateRunParams) (*Run, error) {
	d, err := m.deployment(p.DeploymentID)
	if err != nil {
		return nil, err
	}
	key := idempotencyKey{p.DeploymentID, p.IdempotencyKey}
	if first := m.keys[key]; p.IdempotencyKey != "" && first != nil {
		return first.view(), nil
	}
	if err := d.checkGeneration(p.Generation); err != nil {
		return nil, err
	}
	now := toMicros(p.Now)
	r := m.newRun(p, d)
	r.setDue(toMicros(p.DueTime))
	if d.limit != nil && r.due <= now && !m.mayQueue(d) {
		return nil, fmt.Errorf("deployment %s: %d runs wait: %w", d.record.Handle(), d.waiting.Len(), ErrQueueFull)
	}
	m.add(r)
	if p.IdempotencyKey != "" {
		m.keys[key] = r
	}
	m.enqueue(r)
	if d.limit != nil && r.due <= now {
		m.admit(r)
	}
	return r.view(), nil
}

func (m *MemoryStore) newRun(p CreateRunParams, d *memoryDeployment) *memoryRun {
	r := &memoryRun{
		id: p.ID, name: p.Name, deployment: d, key: p.IdempotencyKey, params: p.Parameters.clone(),
		history:   append(make([]State, 0, 4), newState(StateScheduled, p.Now, "")),
		scheduled: toMicros(p.ScheduledTime), start: never, end: never, lease: never,
	}
	r.flow = m.flows[d.record.FlowID]
	r.tags = d.record.Tags
	if len(p.Tags) > 0 {
		r.tags = slices.Concat(d.record.Tags, p.Tags)
	}
	return r
}

// mayQueue reports whether a new run would find a slot or a place in the limit's queue, or an overlap policy that knows what to do.
func (m *MemoryStore) mayQueue(d *memoryDeployment) bool {
	return d.waiting.Len() < d.record.MaxWaiting || d.record.Overlap != OverlapEnqueue || m.vacant(d)
}

func (d *memoryDeployment) checkGeneration(generation int64) error {
	if generation != 0 && generation != d.record.Generation {
		return fmt.Errorf("%w: deployment %s is at generation %d, not %d", ErrConflict, d.record.Handle(), d.record.Generation, generation)
	}
	return nil
}

func (m *MemoryStore) createChild(p CreateRunParams) (*Run, error) {
	parent, err := m.leased(p.Child.Parent)
	if err != nil {
		return nil, err
	}
	if parent.state().Terminal() {
		return nil, fmt.Errorf("%w: parent run %s is over", ErrConflict, parent.id)
	}
	id := FlowID(p.Child.Flow)
	if m.flows[id] == nil {
		m.flows[id] = &FlowRecord{ID: id, Name: p.Child.Flow, Created: instant.Of(p.Now)}
	}
	r := &memoryRun{
		id: p.ID, name: p.Name, flow: m.flows[id], parent: parent, params: p.Parameters.clone(), tags: slices.Clone(p.Tags),
		history: []State{newState(StateRunning, p.Now, "")}, version: p.Child.Version, runner: parent.runner,
		scheduled: toMicros(p.ScheduledTime), due: toMicros(p.DueTime), start: toMicros(p.Now), end: never, lease: never,
		attempt: 1,
	}
	m.add(r)
	m.hintRun(parent.id)
	return r.view(), nil
}

// BackfillRuns implements [RunStore].
func (m *MemoryStore) BackfillRuns(ctx context.Context, p BackfillRunsParams) ([]*Run, error) {
	if len(p.Runs) > MaxBackfill {
		return nil, fmt.Errorf("provost: backfill of %d instants: ask for at most %d", len(p.Runs), MaxBackfill)
	}
	if err := m.lockAt(ctx, p.Now); err != nil {
		return nil, err
	}
	defer m.unlock()
	d, err := m.deployment(p.DeploymentID)
	if err != nil {
		return nil, err
	}
	s := d.schedule(p.Schedule)
	if s == nil {
		return nil, fmt.Errorf("schedule %q of deployment %s: %w", p.Schedule, d.record.Handle(), ErrNotFound)
	}
	if err := d.checkGeneration(p.Generation); err != nil {
		return nil, err
	}
	if err := m.splitSkips(s, p.Splits); err != nil && s.wants(p.Runs) {
		return nil, err
	}
	var made []*Run
	for _, planned := range p.Runs {
		if r := m.backfill(s, planned, toMicros(p.Now)); r != nil {
			made = append(made, r.view())
		}
	}
	return made, nil
}

// wants reports whether some instant still needs a run. If none does, the call is repeated: its ranges are split already.
func (s *memorySchedule) wants(runs []PlannedRun) bool {
	return len(runs) == 0 || slices.ContainsFunc(runs, func(planned PlannedRun) bool {
		r := s.runOf(toMicros(planned.ScheduledTime))
		return r == nil || r.skipped()
	})
}

// runOf is the run of an instant, nil if it has none.
func (s *memorySchedule) runOf(at micros) *memoryRun {
	for r := range s.runs.AscendFrom(func(r *memoryRun) bool { return r.scheduled >= at }) {
		if r.scheduled == at {
			return r
		}
		break
	}
	return nil
}

func (r *memoryRun) skipped() bool {
	return r.state().Type == StateCancelled && r.state().Name == NameSkipped
}

// backfill makes or reopens the run of an instant, nil if it has one that another call made.
func (m *MemoryStore) backfill(s *memorySchedule, planned PlannedRun, now micros) *memoryRun {
	switch r := s.runOf(toMicros(planned.ScheduledTime)); {
	case r == nil:
	case r.skipped():
		m.reopen(r, now, "backfill")
		r.auto, r.waits = false, true
		return r
	case r.id == planned.ID:
		return r // the call is repeated
	default:
		return nil
	}
	r := m.planRun(s, planned, []State{newState(StateScheduled, now.time(), "backfill")})
	r.auto, r.waits = false, true
	return r
}

func (m *MemoryStore) splitSkips(s *memorySchedule, splits []SkipSplit) error {
	ranges := make([]*memorySkip, len(splits))
	for i, split := range splits {
		probe := &memorySkip{Skip{ID: split.ID}}
		for found := range m.skips.AscendFrom(func(skip *memorySkip) bool { return compareIDs(skip.ID, probe.ID) >= 0 }) {
			if found.ID == split.ID {
				ranges[i] = found
			}
			break
		}
		if ranges[i] == nil || ranges[i].DeploymentID != s.deployment.record.ID {
			return fmt.Errorf("%w: skip %s of deployment %s is gone", ErrConflict, split.ID, s.deployment.record.Handle())
		}
	}
	for i, split := range splits {
		m.dropSkip(ranges[i])
		for _, rest := range split.Into {
			m.skips.Insert(newMemorySkip(rest))
		}
	}
	return nil
}

// reopen makes a finished run due again.
func (m *MemoryStore) reopen(r *memoryRun, now micros, message string) {
	m.ended.Delete(r)
	r.end = never
	r.result = nil
	r.setDue(now)
	m.advance(r, newState(StateScheduled, now.time(), message))
	m.enqueue(r)
}

// RetryRun implements [RunStore].
func (m *MemoryStore) RetryRun(ctx context.Context, p RetryRunParams) (*Run, error) {
	if err := m.lockAt(ctx, p.Now); err != nil {
		return nil, err
	}
	defer m.unlock()
	r, err := m.run(p.RunID)
	if err != nil {
		return nil, err
	}
	state := r.state().Type
	switch {
	case r.parent != nil:
		return nil, fmt.Errorf("%w: run %s is a child run; retry its parent", ErrConflict, r.id)
	case r.deployment.deleted:
		return nil, fmt.Errorf("%w: the deployment of run %s is deleted", ErrConflict, r.id)
	case !state.Terminal() || state == StateCompleted:
		return nil, fmt.Errorf("%w: run %s is %s; only a failed, crashed or cancelled run can be retried", ErrConflict, r.id, state)
	}
	r.crashes, r.retried, r.waits = 0, true, true
	m.reopen(r, m.now, p.Message)
	if r.deployment.limit != nil {
		m.admit(r)
	}
	return r.view(), nil
}

// CancelRun implements [RunStore].
func (m *MemoryStore) CancelRun(ctx context.Context, p CancelRunParams) (*Run, error) {
	if err := m.lockAt(ctx, p.Now); err != nil {
		return nil, err
	}
	defer m.unlock()
	r, err := m.run(p.RunID)
	if err != nil {
		return nil, err
	}
	switch state := r.state().Type; state {
	case StateCancelling, StateCancelled:
	case StateScheduled:
		m.unpark(r)
		m.finish(r, newState(StateCancelled, p.Now, p.Message))
	case StatePending, StateRunning:
		m.advance(r, newState(StateCancelling, p.Now, p.Message))
		m.hintCancel = true
	default:
		return nil, fmt.Errorf("%w: run %s is over: %s", ErrConflict, r.id, state)
	}
	return r.view(), nil
}

// DeleteRun implements [RunStore].
func (m *MemoryStore) DeleteRun(ctx context.Context, id uuid.UUID) error {
	if err := m.lock(ctx); err != nil {
		return err
	}
	defer m.unlock()
	r, err := m.run(id)
	if err != nil {
		return err
	}
	if !r.state().Terminal() {
		return fmt.Errorf("%w: run %s is %s; cancel it first", ErrConflict, id, r.state().Type)
	}
	m.forget(r)
	return nil
}

// PruneRuns implements [RunStore].
func (m *MemoryStore) PruneRuns(ctx context.Context, p PruneRunsParams) (int, error) {
	if err := m.lock(ctx); err != nil {
		return 0, err
	}
	defer m.unlock()
	limit := cmp.Or(p.Limit, MaxPage)
	asked := newIDSet(p.Deployments)
	concerns := func(id uuid.UUID) bool { return p.Deployments == nil || asked.has(id) }
	gone := m.prunable(p, concerns, limit)
	for _, r := range gone {
		m.forget(r)
	}
	if !p.Before.IsZero() {
		m.dropSkips(limit, func(skip *memorySkip) bool {
			return concerns(skip.DeploymentID) && toMicros(skip.Last) < toMicros(p.Before)
		})
	}
	return len(gone), nil
}

// prunable are the runs that are too old or too many, up to limit of them, oldest end first.
func (m *MemoryStore) prunable(p PruneRunsParams, concerns func(deployment uuid.UUID) bool, limit int) []*memoryRun {
	before := micros(math.MinInt64)
	if !p.Before.IsZero() {
		before = toMicros(p.Before)
	}
	var runs []*memoryRun
	left := make(map[uuid.UUID]int) // how many of a deployment
	for r := range m.ended.Ascend() {
		if r.parent == nil && concerns(r.deployment.record.ID) {
			runs = append(runs, r)
			left[r.deployment.record.ID]++
		}
	}
	gone := runs[:0]
	for _, r := range runs {
		if len(gone) == limit {
			break
		}
		id := r.deployment.record.ID
		if r.end < before || (p.Keep > 0 && left[id] > p.Keep) {
			gone = append(gone, r)
			left[id]--
		}
	}
	return gone
}
