package memory

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/sorted"
	"github.com/provost-go/provost/store"
)

// GetRun implements [store.RunStore].
func (m *Store) GetRun(ctx context.Context, id uuid.UUID) (*store.Run, error) {
	if err := m.lock(ctx); err != nil {
		return nil, err
	}
	defer m.unlock()
	r, err := m.run(id)
	if err != nil {
		return nil, err
	}
	return r.view(), nil
}

// ListRuns implements [store.RunStore]. It walks the narrowest index that the filter allows; an
// order other than by ID sorts what it finds there.
func (m *Store) ListRuns(ctx context.Context, f store.RunFilter) (store.Page[*store.Run], error) {
	f, err := f.Resolve()
	if err != nil {
		return store.Page[*store.Run]{}, err
	}
	cursor, err := parseCursor(f.Cursor)
	if err != nil {
		return store.Page[*store.Run]{}, err
	}
	order, err := runOrder(f.Sort)
	if err != nil {
		return store.Page[*store.Run]{}, err
	}
	if err := m.lock(ctx); err != nil {
		return store.Page[*store.Run]{}, err
	}
	defer m.unlock()
	limit := pageSize(f.Limit)
	var found []*run
	if f.Sort == store.NewestFirst || f.Sort == store.OldestFirst {
		found = firstMatches(m.inOrder(f, cursor), f, limit+1)
	} else {
		found = m.sortedMatches(f, order, cursor)
	}
	var page store.Page[*store.Run]
	for i, r := range found {
		if i == limit {
			last := found[limit-1]
			page.Next = pageCursor{key: int64(order.key(last)), id: last.id}.String()
			break
		}
		page.Items = append(page.Items, r.view())
	}
	return page, nil
}

// CountRuns implements [store.RunStore].
func (m *Store) CountRuns(ctx context.Context, f store.RunFilter) (int, error) {
	f, err := f.Resolve()
	if err != nil {
		return 0, err
	}
	if err := m.lock(ctx); err != nil {
		return 0, err
	}
	defer m.unlock()
	if n, ok := m.countByState(f); ok {
		return n, nil
	}
	n := 0
	for r := range m.narrowest(f).Ascend() {
		if r.matches(f) {
			n++
		}
	}
	return n, nil
}

// countByState counts without looking at runs, where the filter names nothing but states.
func (m *Store) countByState(f store.RunFilter) (n int, ok bool) {
	states := f.States
	f.States, f.Sort, f.Limit, f.Cursor = nil, "", 0, ""
	if f.DeploymentID != uuid.Nil || f.Flow != "" || f.Schedule != "" || f.ParentID != uuid.Nil || f.StateName != "" ||
		len(f.Tags) > 0 || !f.After.IsZero() || !f.Before.IsZero() {
		return 0, false
	}
	if len(states) == 0 {
		return m.all.Len(), true
	}
	for _, state := range slices.Compact(slices.Sorted(slices.Values(states))) {
		n += m.inState(state).Len()
	}
	return n, true
}

// narrowest is the smallest index that has every run that the filter lets through.
func (m *Store) narrowest(f store.RunFilter) *sorted.Index[*run] {
	best := &m.all
	consider := func(index *sorted.Index[*run]) {
		if index == nil {
			index = &sorted.Index[*run]{}
		}
		if index.Len() < best.Len() {
			best = index
		}
	}
	if f.DeploymentID != uuid.Nil {
		if _, deleted := m.bereaved[f.DeploymentID]; !deleted { // what outlives a deleted one is among all
			if d := m.deployments[f.DeploymentID]; d != nil {
				consider(&d.runs)
			} else {
				consider(nil)
			}
		}
	}
	if f.ParentID != uuid.Nil {
		consider(m.children[f.ParentID])
	}
	if len(f.States) == 1 {
		consider(m.inState(f.States[0]))
	}
	for _, tag := range f.Tags {
		consider(m.tags[tag])
	}
	return best
}

// inOrder walks by ID, in the direction of the filter, from the cursor on.
func (m *Store) inOrder(f store.RunFilter, cursor pageCursor) iter.Seq[*run] {
	index := m.narrowest(f)
	if f.Sort == store.OldestFirst {
		return index.AscendFrom(func(r *run) bool { return f.Cursor == "" || compareIDs(r.id, cursor.id) > 0 })
	}
	return index.DescendBefore(func(r *run) bool { return f.Cursor != "" && compareIDs(r.id, cursor.id) >= 0 })
}

func firstMatches(runs iter.Seq[*run], f store.RunFilter, limit int) []*run {
	var found []*run
	for r := range runs {
		if r.matches(f) {
			if found = append(found, r); len(found) == limit {
				break
			}
		}
	}
	return found
}

func (m *Store) sortedMatches(f store.RunFilter, order order, cursor pageCursor) []*run {
	var found []*run
	for r := range m.narrowest(f).Ascend() {
		if r.matches(f) && (f.Cursor == "" || order.after(r, cursor)) {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b *run) int {
		return order.direction * cmp.Or(cmp.Compare(order.key(a), order.key(b)), compareRunIDs(a, b))
	})
	return found
}

// order is a sort of runs: by a key, then by ID.
type order struct {
	key       func(*run) micros
	direction int
}

func runOrder(s store.RunSort) (order, error) {
	switch s {
	case store.NewestFirst, store.OldestFirst:
		return order{key: func(*run) micros { return 0 }, direction: 1}, nil
	case store.SoonestDue:
		return order{key: func(r *run) micros { return r.due }, direction: 1}, nil
	case store.LatestEnded:
		return order{key: func(r *run) micros { return r.end }, direction: -1}, nil
	}
	return order{}, errBadSort(s)
}

func (o order) after(r *run, cursor pageCursor) bool {
	return o.direction*cmp.Or(cmp.Compare(int64(o.key(r)), cursor.key), compareIDs(r.id, cursor.id)) > 0
}

func (r *run) matches(f store.RunFilter) bool {
	state := r.state()
	switch {
	case f.DeploymentID != uuid.Nil && (r.deployment == nil || r.deployment.record.ID != f.DeploymentID),
		f.Flow != "" && r.flow.Name != f.Flow,
		f.Schedule != "" && (r.schedule == nil || r.schedule.key != f.Schedule),
		f.ParentID != uuid.Nil && (r.parent == nil || r.parent.id != f.ParentID),
		len(f.States) > 0 && !slices.Contains(f.States, state.Type),
		f.StateName != "" && state.Name != f.StateName,
		!f.After.IsZero() && r.scheduled < toMicros(f.After),
		!f.Before.IsZero() && r.scheduled >= toMicros(f.Before):
		return false
	}
	return hasAll(r.tags, f.Tags)
}

func hasAll(tags, wanted []string) bool {
	for _, tag := range wanted {
		if !slices.Contains(tags, tag) {
			return false
		}
	}
	return true
}

// ListDeployments implements [store.DeploymentStore].
func (m *Store) ListDeployments(ctx context.Context, f store.DeploymentFilter) (store.Page[*store.DeploymentRecord], error) {
	flow, name, ok := strings.Cut(f.Cursor, "/")
	if !ok && f.Cursor != "" {
		return store.Page[*store.DeploymentRecord]{}, errBadCursor(f.Cursor)
	}
	if err := m.lock(ctx); err != nil {
		return store.Page[*store.DeploymentRecord]{}, err
	}
	defer m.unlock()
	limit := pageSize(f.Limit)
	var page store.Page[*store.DeploymentRecord]
	var last string
	for d := range m.handles.AscendFrom(func(d *deployment) bool {
		return f.Cursor == "" || cmp.Or(strings.Compare(d.record.Flow, flow), strings.Compare(d.record.Name, name)) > 0
	}) {
		if !d.matches(f) {
			continue
		}
		if len(page.Items) == limit {
			page.Next = last
			break
		}
		page.Items = append(page.Items, m.view(d))
		last = d.record.Handle()
	}
	return page, nil
}

func (d *deployment) matches(f store.DeploymentFilter) bool {
	return (f.Flow == "" || d.record.Flow == f.Flow) &&
		(f.Paused == nil || d.pause.Effective() == *f.Paused) &&
		hasAll(d.record.Tags, f.Tags)
}

// ListFlows implements [store.DeploymentStore].
func (m *Store) ListFlows(ctx context.Context, f store.FlowFilter) (store.Page[*store.FlowRecord], error) {
	if err := m.lock(ctx); err != nil {
		return store.Page[*store.FlowRecord]{}, err
	}
	defer m.unlock()
	flows := make([]*store.FlowRecord, 0, len(m.flows))
	for _, flow := range m.flows {
		if flow.Name > f.Cursor || f.Cursor == "" {
			c := *flow
			flows = append(flows, &c)
		}
	}
	slices.SortFunc(flows, func(a, b *store.FlowRecord) int { return strings.Compare(a.Name, b.Name) })
	limit := pageSize(f.Limit)
	if len(flows) <= limit {
		return store.Page[*store.FlowRecord]{Items: flows}, nil
	}
	return store.Page[*store.FlowRecord]{Items: flows[:limit], Next: flows[limit-1].Name}, nil
}
