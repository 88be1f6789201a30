package provost

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/provost-go/provost/internal/instant"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/sorted"
)

// memoryDeployment is a deployment with what is indexed by it.
type memoryDeployment struct {
	record    *DeploymentRecord // without Schedules' state and ServedBy, which view fills in; replaced, never changed
	schedules []*memorySchedule
	retired   []*memorySchedule // schedules that are declared no more, for their watermarks should they return
	limit     *memoryLimit      // nil for none
	pause     Pause
	deleted   bool

	runs    sorted.Index[*memoryRun] // all, by ID
	queue   sorted.Index[*memoryRun] // unstarted and not parked, by the time they become claimable
	waiting sorted.Index[*memoryRun] // parked for the limit, by their turn

	servers    []*memoryRunner
	lastServed micros // newest heartbeat of a runner that left or whose lease ended; the creation before the first
	gap        bool   // some schedule has a gap: no claims until it is dealt with

	lane      *lane // nil unless some runner serves it
	laneIndex int
}

func compareHandles(a, b *memoryDeployment) int {
	if c := strings.Compare(a.record.Flow, b.record.Flow); c != 0 {
		return c
	}
	return strings.Compare(a.record.Name, b.record.Name)
}

// RegisterDeployments implements [DeploymentStore].
func (m *MemoryStore) RegisterDeployments(ctx context.Context, p RegisterDeploymentsParams) ([]Registration, error) {
	if err := m.lockAt(ctx, p.Now); err != nil {
		return nil, err
	}
	defer m.unlock()
	if err := m.checkGroups(p); err != nil {
		return nil, err
	}
	registrations := make([]Registration, len(p.Deployments))
	for i, declared := range p.Deployments {
		registrations[i] = m.register(p, declared)
	}
	return registrations, nil
}

// checkGroups refuses another size for a shared limit than what a live runner serves.
func (m *MemoryStore) checkGroups(p RegisterDeploymentsParams) error {
	sizes := make(map[string]*DeploymentRecord)
	declared := make(map[uuid.UUID]bool)
	for _, r := range p.Deployments {
		declared[r.ID] = true
		if r.LimitGroup == "" {
			continue
		}
		if other := sizes[r.LimitGroup]; other != nil && other.ConcurrencyLimit != r.ConcurrencyLimit {
			return groupConflict(r, other)
		}
		sizes[r.LimitGroup] = r
	}
	for _, r := range sizes {
		limit := m.limits[r.LimitKey()]
		if limit == nil {
			continue
		}
		for d := range limit.members {
			if d.record.ConcurrencyLimit != r.ConcurrencyLimit && !declared[d.record.ID] && len(d.liveServers(toMicros(p.Now), p.Runner)) > 0 {
				return groupConflict(r, d.record)
			}
		}
	}
	return nil
}

func groupConflict(r, other *DeploymentRecord) error {
	return fmt.Errorf("%w: deployment %s: LimitGroup %q has size %d, but %s declares %d; give both the same ConcurrencyLimit",
		ErrConflict, r.Handle(), r.LimitGroup, r.ConcurrencyLimit, other.Handle(), other.ConcurrencyLimit)
}

func (m *MemoryStore) register(p RegisterDeploymentsParams, declared *DeploymentRecord) Registration {
	d := m.deployments[declared.ID]
	if d == nil {
		d = m.create(p, declared)
		return Registration{ID: declared.ID, Generation: d.record.Generation, Change: Created}
	}
	servedBy := names(d.liveServers(toMicros(p.Now), p.Runner))
	switch {
	case d.record.Digest != declared.Digest:
		previous := m.view(d)
		m.replace(p, d, declared)
		return Registration{
			ID: declared.ID, Generation: d.record.Generation, Change: Updated, Previous: previous, ServedBy: servedBy,
		}
	case d.record.Version != declared.Version:
		stamped := *d.record
		stamped.Version, stamped.Updated = declared.Version, instant.Of(p.Now)
		d.record = &stamped
	}
	if d.limit != nil && d.limit.size != d.record.ConcurrencyLimit {
		m.setLimit(d) // another declaration of the group has resized it since
	}
	return Registration{ID: declared.ID, Generation: d.record.Generation, Change: Unchanged, ServedBy: servedBy}
}

func (m *MemoryStore) create(p RegisterDeploymentsParams, declared *DeploymentRecord) *memoryDeployment {
	d := &memoryDeployment{
		runs:       sorted.New(compareRunIDs),
		queue:      sorted.New(compareClaims),
		waiting:    sorted.New(compareTurns),
		lastServed: toMicros(p.Now),
	}
	d.record = bare(declared)
	now := instant.Of(p.Now)
	d.record.Generation, d.record.Created, d.record.Updated = 1, now, now
	d.pause = Pause{Declared: declared.Pause.Declared}
	for _, s := range declared.Schedules {
		d.schedules = append(d.schedules, newMemorySchedule(d, s, toMicros(p.Now)))
	}
	m.deployments[declared.ID] = d
	m.handles.Insert(d)
	if m.flows[declared.FlowID] == nil {
		m.flows[declared.FlowID] = &FlowRecord{ID: declared.FlowID, Name: declared.Flow, Created: now}
	}
	m.setLimit(d)
	return d
}

// bare is a copy of a declaration without what the store keeps beside it.
func bare(declared *DeploymentRecord) *DeploymentRecord {
	r := declared.Clone()
	r.Schedules, r.ServedBy, r.Pause = nil, nil, Pause{}
	return r
}

// replace puts another declaration in the place of the stored one.
func (m *MemoryStore) replace(p RegisterDeploymentsParams, d *memoryDeployment, declared *DeploymentRecord) {
	now := toMicros(p.Now)
	for _, s := range d.schedules {
		m.reset(s, now)
	}
	before := d.effectivePauses()
	record := bare(declared)
	record.Generation, record.Created, record.Updated = d.record.Generation+1, d.record.Created, instant.Of(p.Now)
	d.record = record
	d.pause = d.pause.redeclare(declared.Pause.Declared)
	m.replaceSchedules(d, declared.Schedules, now)
	for _, s := range d.schedules {
		if paused, known := before[s.key]; known {
			s.notePause(paused, now)
		}
		m.setPlanTime(s, now)
	}
	m.setLimit(d)
	m.relane(d)
	m.hintWork = true
}

func (m *MemoryStore) replaceSchedules(d *memoryDeployment, declared []ScheduleRecord, now micros) {
	known := make(map[string]*memorySchedule)
	for _, s := range append(d.retired, d.schedules...) {
		known[s.key] = s
		m.setPlanTime(s, never)
	}
	d.schedules = nil
	for _, declaration := range declared {
		s := known[declaration.Key]
		if s == nil {
			s = newMemorySchedule(d, declaration, now)
		} else {
			delete(known, declaration.Key)
			s.revive(declaration, now)
		}
		d.schedules = append(d.schedules, s)
	}
	d.retire(known, now)
	d.gap = slices.ContainsFunc(d.schedules, func(s *memorySchedule) bool { return s.gap })
}

// maxRetired bounds how many schedules that are gone are remembered for their watermark.
const maxRetired = 100

func (d *memoryDeployment) retire(gone map[string]*memorySchedule, now micros) {
	d.retired = d.retired[:0]
	for _, s := range gone {
		if s.retiredAt == never {
			s.retiredAt = now
		}
		s.gap = false
		d.retired = append(d.retired, s)
	}
	slices.SortFunc(d.retired, func(a, b *memorySchedule) int { return cmp.Compare(b.retiredAt, a.retiredAt) })
	d.retired = d.retired[:min(len(d.retired), maxRetired)]
}

// GetDeployment implements [DeploymentStore].
func (m *MemoryStore) GetDeployment(ctx context.Context, id uuid.UUID) (*DeploymentRecord, error) {
	if err := m.lock(ctx); err != nil {
		return nil, err
	}
	defer m.unlock()
	d, err := m.deployment(id)
	if err != nil {
		return nil, err
	}
	return m.view(d), nil
}

func (m *MemoryStore) deployment(id uuid.UUID) (*memoryDeployment, error) {
	d := m.deployments[id]
	if d == nil {
		return nil, fmt.Errorf("deployment %s: %w", id, ErrNotFound)
	}
	return d, nil
}

// view is a copy of all that the store knows of a deployment.
func (m *MemoryStore) view(d *memoryDeployment) *DeploymentRecord {
	r := d.record.Clone()
	r.Pause = d.pause
	r.Pause.Operator = clonePointer(d.pause.Operator)
	for _, s := range d.schedules {
		r.Schedules = append(r.Schedules, s.view())
	}
	for _, server := range d.servers {
		r.ServedBy = append(r.ServedBy, Server{Name: server.record.Name, Until: server.record.Until})
	}
	return r
}

// DeleteDeployment implements [DeploymentStore].
func (m *MemoryStore) DeleteDeployment(ctx context.Context, p DeleteDeploymentParams) error {
	if err := m.lockAt(ctx, p.Now); err != nil {
		return err
	}
	defer m.unlock()
	d, err := m.deployment(p.ID)
	if err != nil {
		return err
	}
	m.dropUnstarted(d)
	for _, s := range d.schedules {
		m.setPlanTime(s, never)
	}
	m.dropSkips(m.skips.Len(), func(skip *memorySkip) bool { return skip.DeploymentID == p.ID })
	for _, r := range d.servers {
		delete(r.deployments, d)
	}
	d.servers = nil
	m.relane(d)
	if l := d.limit; l != nil {
		m.quitLimit(d)
		m.handOut(l)
	}
	delete(m.deployments, p.ID)
	m.handles.Delete(d)
	if d.runs.Len() > 0 {
		m.bereaved[p.ID] = struct{}{}
	}
	return nil
}

// dropUnstarted marks a deployment as deleted and removes its unstarted runs. They leave the limit first, so that it hands out
// none of their slots among themselves.
func (m *MemoryStore) dropUnstarted(d *memoryDeployment) {
	d.deleted = true
	var unstarted []*memoryRun
	for r := range d.runs.Ascend() {
		if r.state().Type == StateScheduled {
			unstarted = append(unstarted, r)
		}
	}
	for _, r := range unstarted {
		if m.unpark(r); r.slot != nil {
			r.slot.release(r)
		}
	}
	for _, r := range unstarted {
		if r.goesFirst() {
			m.finish(r, newState(StateCancelled, m.now.time(), deploymentDeleted))
		} else {
			m.forget(r)
		}
	}
}

// SetPause implements [DeploymentStore].
func (m *MemoryStore) SetPause(ctx context.Context, p SetPauseParams) (*DeploymentRecord, error) {
	if err := m.lockAt(ctx, p.Now); err != nil {
		return nil, err
	}
	defer m.unlock()
	d, err := m.deployment(p.DeploymentID)
	if err != nil {
		return nil, err
	}
	mark := &d.pause
	if p.Schedule != "" {
		s := d.schedule(p.Schedule)
		if s == nil {
			return nil, fmt.Errorf("schedule %q of deployment %s: %w", p.Schedule, d.record.Handle(), ErrNotFound)
		}
		mark = &s.pause
	}
	m.changePause(d, toMicros(p.Now), func() {
		mark.Operator = clonePointer(p.Operator)
		mark.Shutdown = false
	})
	return m.view(d), nil
}

// changePause applies a change of marks, and what follows from it for each schedule that it pauses or resumes.
func (m *MemoryStore) changePause(d *memoryDeployment, now micros, change func()) {
	before := d.effectivePauses()
	change()
	changed := false
	for _, s := range d.schedules {
		if s.paused() != before[s.key] {
			changed = true
			m.reset(s, now)
			s.notePause(before[s.key], now)
			m.setPlanTime(s, now)
		}
	}
	if changed || d.pause.Effective() != before[""] {
		raised := *d.record
		raised.Generation++
		raised.Updated = now.time()
		d.record = &raised
		m.relane(d)
		m.hintWork = true
	}
}

// effectivePauses says which schedules are paused, and under "" whether the whole deployment is.
func (d *memoryDeployment) effectivePauses() map[string]bool {
	pauses := map[string]bool{"": d.pause.Effective()}
	for _, s := range d.schedules {
		pauses[s.key] = s.paused()
	}
	return pauses
}

func (d *memoryDeployment) schedule(key string) *memorySchedule {
	for _, s := range d.schedules {
		if s.key == key {
			return s
		}
	}
	return nil
}
