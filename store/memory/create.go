package memory

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/internal/rules"
	"github.com/provost-go/provost/store"
)

// CreateRun implements [store.RunStore].
func (m *Store) CreateRun(ctx context.Context, p store.CreateRunParams) (*store.Run, error) {
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

func (m *Store) createByHand(p store.CreateRunParams) (*store.Run, error) {
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
		return nil, fmt.Errorf("deployment %s: %d runs wait: %w", d.record.Handle(), d.waiting.Len(), store.ErrQueueFull)
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

func (m *Store) newRun(p store.CreateRunParams, d *deployment) *run {
	r := &run{
		id: p.ID, name: p.Name, deployment: d, key: p.IdempotencyKey, params: p.Parameters.Clone(),
		history:   append(make([]store.State, 0, 4), store.NewState(store.StateScheduled, p.Now, "")),
		scheduled: toMicros(p.ScheduledTime), start: never, end: never, lease: never,
	}
	r.flow = m.flows[d.record.FlowID]
	r.tags = d.record.Tags
	if len(p.Tags) > 0 {
		r.tags = slices.Concat(d.record.Tags, p.Tags)
	}
	return r
}

// mayQueue reports whether a new run would find a slot or a place in the limit's queue, or an
// overlap policy that knows what to do.
func (m *Store) mayQueue(d *deployment) bool {
	return d.waiting.Len() < d.record.MaxWaiting || d.record.Overlap != store.OverlapEnqueue || m.vacant(d)
}

func (d *deployment) checkGeneration(generation int64) error {
	if generation != 0 && generation != d.record.Generation {
		return fmt.Errorf("%w: deployment %s is at generation %d, not %d", store.ErrConflict, d.record.Handle(), d.record.Generation, generation)
	}
	return nil
}

func (m *Store) createChild(p store.CreateRunParams) (*store.Run, error) {
	parent, err := m.leased(p.Child.Parent)
	if err != nil {
		return nil, err
	}
	if parent.state().Terminal() {
		return nil, fmt.Errorf("%w: parent run %s has finished", store.ErrConflict, parent.id)
	}
	id := store.FlowID(p.Child.Flow)
	if m.flows[id] == nil {
		m.flows[id] = &store.FlowRecord{ID: id, Name: p.Child.Flow, Created: instant.Of(p.Now)}
	}
	r := &run{
		id: p.ID, name: p.Name, flow: m.flows[id], parent: parent, params: p.Parameters.Clone(), tags: slices.Clone(p.Tags),
		history: []store.State{store.NewState(store.StateRunning, p.Now, "")}, version: p.Child.Version, runner: parent.runner,
		scheduled: toMicros(p.ScheduledTime), due: toMicros(p.DueTime), start: toMicros(p.Now), end: never, lease: never,
		attempt: 1,
	}
	m.add(r)
	m.hintRun(parent.id)
	return r.view(), nil
}

// BackfillRuns implements [store.RunStore].
func (m *Store) BackfillRuns(ctx context.Context, p store.BackfillRunsParams) ([]*store.Run, error) {
	if len(p.Runs) > store.MaxBackfill {
		return nil, fmt.Errorf("provost: backfill of %d instants: ask for at most %d", len(p.Runs), store.MaxBackfill)
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
		return nil, fmt.Errorf("schedule %q of deployment %s: %w", p.Schedule, d.record.Handle(), store.ErrNotFound)
	}
	if err := d.checkGeneration(p.Generation); err != nil {
		return nil, err
	}
	if err := m.splitSkips(s, p.Splits); err != nil && s.wants(p.Runs) {
		return nil, err
	}
	var made []*store.Run
	for _, planned := range p.Runs {
		if r := m.backfill(s, planned, toMicros(p.Now)); r != nil {
			made = append(made, r.view())
		}
	}
	return made, nil
}

// wants reports whether some instant still needs a run. If none does, the call is repeated: its
// ranges are split already.
func (s *scheduleState) wants(runs []store.PlannedRun) bool {
	return len(runs) == 0 || slices.ContainsFunc(runs, func(planned store.PlannedRun) bool {
		r := s.runOf(toMicros(planned.ScheduledTime))
		return r == nil || r.skipped()
	})
}

// runOf is the run of an instant, nil if it has none.
func (s *scheduleState) runOf(at micros) *run {
	for r := range s.runs.AscendFrom(func(r *run) bool { return r.scheduled >= at }) {
		if r.scheduled == at {
			return r
		}
		break
	}
	return nil
}

func (r *run) skipped() bool {
	return r.state().Type == store.StateCancelled && r.state().Name == store.NameSkipped
}

// backfill makes or reopens the run of an instant, nil if it has one that another call made.
func (m *Store) backfill(s *scheduleState, planned store.PlannedRun, now micros) *run {
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
	r := m.planRun(s, planned, []store.State{store.NewState(store.StateScheduled, now.time(), "backfill")})
	r.auto, r.waits = false, true
	return r
}

func (m *Store) splitSkips(s *scheduleState, splits []store.SkipSplit) error {
	ranges := make([]*skipRange, len(splits))
	for i, split := range splits {
		probe := &skipRange{store.Skip{ID: split.ID}}
		for found := range m.skips.AscendFrom(func(skip *skipRange) bool { return compareIDs(skip.ID, probe.ID) >= 0 }) {
			if found.ID == split.ID {
				ranges[i] = found
			}
			break
		}
		if ranges[i] == nil || ranges[i].DeploymentID != s.deployment.record.ID {
			return fmt.Errorf("%w: skip %s of deployment %s is gone", store.ErrConflict, split.ID, s.deployment.record.Handle())
		}
	}
	for i, split := range splits {
		m.dropSkip(ranges[i])
		for _, rest := range split.Into {
			m.skips.Insert(newSkip(rest))
		}
	}
	return nil
}

// reopen makes a finished run due again.
func (m *Store) reopen(r *run, now micros, message string) {
	m.ended.Delete(r)
	r.end = never
	r.result = nil
	r.setDue(now)
	m.advance(r, store.NewState(store.StateScheduled, now.time(), message))
	m.enqueue(r)
}

// RetryRun implements [store.RunStore].
func (m *Store) RetryRun(ctx context.Context, p store.RetryRunParams) (*store.Run, error) {
	if err := m.lockAt(ctx, p.Now); err != nil {
		return nil, err
	}
	defer m.unlock()
	r, err := m.run(p.RunID)
	if err != nil {
		return nil, err
	}
	deleted := r.deployment != nil && r.deployment.deleted
	if err := rules.Retry(r.id, r.state().Type, r.parent != nil, deleted); err != nil {
		return nil, err
	}
	r.crashes, r.retried, r.waits = 0, true, true
	m.reopen(r, m.now, p.Message)
	if r.deployment.limit != nil {
		m.admit(r)
	}
	return r.view(), nil
}

// CancelRun implements [store.RunStore].
func (m *Store) CancelRun(ctx context.Context, p store.CancelRunParams) (*store.Run, error) {
	if err := m.lockAt(ctx, p.Now); err != nil {
		return nil, err
	}
	defer m.unlock()
	r, err := m.run(p.RunID)
	if err != nil {
		return nil, err
	}
	switch state := r.state().Type; state {
	case store.StateCancelling, store.StateCancelled:
	case store.StateScheduled:
		m.unpark(r)
		m.finish(r, store.NewState(store.StateCancelled, p.Now, p.Message))
	case store.StatePending, store.StateRunning:
		m.advance(r, store.NewState(store.StateCancelling, p.Now, p.Message))
		m.hintCancel = true
	default:
		return nil, fmt.Errorf("%w: run %s has finished: %s", store.ErrConflict, r.id, state)
	}
	return r.view(), nil
}

// DeleteRun implements [store.RunStore].
func (m *Store) DeleteRun(ctx context.Context, id uuid.UUID) error {
	if err := m.lock(ctx); err != nil {
		return err
	}
	defer m.unlock()
	r, err := m.run(id)
	if err != nil {
		return err
	}
	if !r.state().Terminal() {
		return fmt.Errorf("%w: run %s is %s; cancel it first", store.ErrConflict, id, r.state().Type)
	}
	m.forget(r)
	return nil
}

// PruneRuns implements [store.RunStore].
func (m *Store) PruneRuns(ctx context.Context, p store.PruneRunsParams) (int, error) {
	if err := m.lock(ctx); err != nil {
		return 0, err
	}
	defer m.unlock()
	limit := cmp.Or(p.Limit, store.MaxPage)
	asked := newIDSet(p.Deployments)
	concerns := func(id uuid.UUID) bool { return p.Deployments == nil || asked.has(id) }
	gone := m.prunable(p, concerns, limit)
	for _, r := range gone {
		m.forget(r)
	}
	if !p.Before.IsZero() {
		m.dropSkips(limit, func(skip *skipRange) bool {
			return concerns(skip.DeploymentID) && toMicros(skip.Last) < toMicros(p.Before)
		})
	}
	return len(gone), nil
}

// prunable are the runs that are too old or too many, up to limit of them, oldest end first.
func (m *Store) prunable(p store.PruneRunsParams, concerns func(deployment uuid.UUID) bool, limit int) []*run {
	before := micros(math.MinInt64)
	if !p.Before.IsZero() {
		before = toMicros(p.Before)
	}
	var runs []*run
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
