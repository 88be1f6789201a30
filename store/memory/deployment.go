package memory

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/internal/rules"
	"github.com/provost-go/provost/internal/sorted"
	"github.com/provost-go/provost/store"
)

// deployment is a deployment with what is indexed by it.
type deployment struct {
	record    *store.DeploymentRecord // without Schedules' state and ServedBy, which view fills in; replaced, never changed
	schedules []*scheduleState
	retired   []*scheduleState // schedules that are declared no more, for their watermarks should they return
	limit     *limit           // nil for none
	pause     store.Pause
	deleted   bool

	runs    sorted.Index[*run] // all, by ID
	queue   sorted.Index[*run] // unstarted and not parked, by the time they become claimable
	waiting sorted.Index[*run] // parked for the limit, by their turn

	servers    []*runner
	lastServed micros // newest heartbeat of a runner that left or whose lease ended; the creation before the first
	gap        bool   // some schedule has a gap: no claims until it is dealt with

	lane      *lane // nil unless some runner serves it
	laneIndex int
}

func compareHandles(a, b *deployment) int {
	if c := strings.Compare(a.record.Flow, b.record.Flow); c != 0 {
		return c
	}
	return strings.Compare(a.record.Name, b.record.Name)
}

// RegisterDeployments implements [store.DeploymentStore].
func (m *Store) RegisterDeployments(ctx context.Context, p store.RegisterDeploymentsParams) ([]store.Registration, error) {
	if err := m.lockAt(ctx, p.Now); err != nil {
		return nil, err
	}
	defer m.unlock()
	if err := m.checkGroups(p); err != nil {
		return nil, err
	}
	registrations := make([]store.Registration, len(p.Deployments))
	for i, declared := range p.Deployments {
		registrations[i] = m.register(p, declared)
	}
	return registrations, nil
}

// checkGroups refuses another size for a shared limit than what a live runner serves.
func (m *Store) checkGroups(p store.RegisterDeploymentsParams) error {
	groups, err := rules.LimitGroups(p.Deployments)
	if err != nil {
		return err
	}
	declared := make(map[uuid.UUID]bool)
	for _, r := range p.Deployments {
		declared[r.ID] = true
	}
	for _, r := range groups {
		limit := m.limits[r.LimitKey()]
		if limit == nil {
			continue
		}
		for d := range limit.members {
			if d.record.ConcurrencyLimit != r.ConcurrencyLimit && !declared[d.record.ID] && len(d.liveServers(toMicros(p.Now), p.Runner)) > 0 {
				return rules.LimitConflict(r, d.record)
			}
		}
	}
	return nil
}

func (m *Store) register(p store.RegisterDeploymentsParams, declared *store.DeploymentRecord) store.Registration {
	d := m.deployments[declared.ID]
	if d == nil {
		d = m.create(p, declared)
		return store.Registration{ID: declared.ID, Generation: d.record.Generation, Change: store.ChangeCreated}
	}
	servedBy := names(d.liveServers(toMicros(p.Now), p.Runner))
	switch {
	case d.record.Digest != declared.Digest:
		previous := m.view(d)
		m.replace(p, d, declared)
		return store.Registration{
			ID: declared.ID, Generation: d.record.Generation, Change: store.ChangeUpdated, Previous: previous, ServedBy: servedBy,
		}
	case d.record.Version != declared.Version:
		stamped := *d.record
		stamped.Version, stamped.Updated = declared.Version, instant.Of(p.Now)
		d.record = &stamped
	}
	if d.limit != nil && d.limit.size != d.record.ConcurrencyLimit {
		m.setLimit(d) // another declaration of the group has resized it since
	}
	return store.Registration{ID: declared.ID, Generation: d.record.Generation, Change: store.ChangeNone, ServedBy: servedBy}
}

func (m *Store) create(p store.RegisterDeploymentsParams, declared *store.DeploymentRecord) *deployment {
	d := &deployment{
		runs:       sorted.New(compareRunIDs),
		queue:      sorted.New(compareClaims),
		waiting:    sorted.New(compareTurns),
		lastServed: toMicros(p.Now),
	}
	d.record = bare(declared)
	now := instant.Of(p.Now)
	d.record.Generation, d.record.Created, d.record.Updated = 1, now, now
	d.pause = store.Pause{Declared: declared.Pause.Declared}
	for _, s := range declared.Schedules {
		d.schedules = append(d.schedules, newSchedule(d, s, toMicros(p.Now)))
	}
	m.deployments[declared.ID] = d
	m.handles.Insert(d)
	if m.flows[declared.FlowID] == nil {
		m.flows[declared.FlowID] = &store.FlowRecord{ID: declared.FlowID, Name: declared.Flow, Created: now}
	}
	m.setLimit(d)
	return d
}

// bare is a copy of a declaration without what the store keeps beside it.
func bare(declared *store.DeploymentRecord) *store.DeploymentRecord {
	r := declared.Clone()
	r.Schedules, r.ServedBy, r.Pause = nil, nil, store.Pause{}
	return r
}

// replace puts another declaration in the place of the stored one.
func (m *Store) replace(p store.RegisterDeploymentsParams, d *deployment, declared *store.DeploymentRecord) {
	now := toMicros(p.Now)
	for _, s := range d.schedules {
		m.reset(s, now)
	}
	before := d.effectivePauses()
	record := bare(declared)
	record.Generation, record.Created, record.Updated = d.record.Generation+1, d.record.Created, instant.Of(p.Now)
	d.record = record
	d.pause = d.pause.Redeclare(declared.Pause.Declared)
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

func (m *Store) replaceSchedules(d *deployment, declared []store.ScheduleRecord, now micros) {
	known := make(map[string]*scheduleState)
	for _, s := range append(d.retired, d.schedules...) {
		known[s.key] = s
		m.setPlanTime(s, never)
	}
	d.schedules = nil
	for _, declaration := range declared {
		s := known[declaration.Key]
		if s == nil {
			s = newSchedule(d, declaration, now)
		} else {
			delete(known, declaration.Key)
			s.revive(declaration, now)
		}
		d.schedules = append(d.schedules, s)
	}
	d.retire(known, now)
	d.gap = slices.ContainsFunc(d.schedules, func(s *scheduleState) bool { return s.gap })
}

// maxRetired bounds how many schedules that are gone are remembered for their watermark.
const maxRetired = 100

func (d *deployment) retire(gone map[string]*scheduleState, now micros) {
	d.retired = d.retired[:0]
	for _, s := range gone {
		if s.retiredAt == never {
			s.retiredAt = now
		}
		s.gap = false
		d.retired = append(d.retired, s)
	}
	slices.SortFunc(d.retired, func(a, b *scheduleState) int { return cmp.Compare(b.retiredAt, a.retiredAt) })
	d.retired = d.retired[:min(len(d.retired), maxRetired)]
}

// GetDeployment implements [store.DeploymentStore].
func (m *Store) GetDeployment(ctx context.Context, id uuid.UUID) (*store.DeploymentRecord, error) {
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

func (m *Store) deployment(id uuid.UUID) (*deployment, error) {
	d := m.deployments[id]
	if d == nil {
		return nil, fmt.Errorf("deployment %s: %w", id, store.ErrNotFound)
	}
	return d, nil
}

// view is a copy of all that the store knows of a deployment.
func (m *Store) view(d *deployment) *store.DeploymentRecord {
	r := d.record.Clone()
	r.Pause = d.pause
	r.Pause.Operator = clonePointer(d.pause.Operator)
	for _, s := range d.schedules {
		r.Schedules = append(r.Schedules, s.view())
	}
	for _, server := range d.servers {
		r.ServedBy = append(r.ServedBy, store.ServingRunner{Name: server.record.Name, Until: server.record.Until})
	}
	return r
}

// DeleteDeployment implements [store.DeploymentStore].
func (m *Store) DeleteDeployment(ctx context.Context, p store.DeleteDeploymentParams) error {
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
	m.dropSkips(m.skips.Len(), func(skip *skipRange) bool { return skip.DeploymentID == p.ID })
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

// dropUnstarted marks a deployment as deleted and removes its unstarted runs. They leave the limit
// first, so that it hands out none of their slots among themselves.
func (m *Store) dropUnstarted(d *deployment) {
	d.deleted = true
	var unstarted []*run
	for r := range d.runs.Ascend() {
		if r.state().Type == store.StateScheduled {
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
			m.finish(r, store.NewState(store.StateCancelled, m.now.time(), deploymentDeleted))
		} else {
			m.forget(r)
		}
	}
}

// SetPause implements [store.DeploymentStore].
func (m *Store) SetPause(ctx context.Context, p store.SetPauseParams) (*store.DeploymentRecord, error) {
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
			return nil, fmt.Errorf("schedule %q of deployment %s: %w", p.Schedule, d.record.Handle(), store.ErrNotFound)
		}
		mark = &s.pause
	}
	m.changePause(d, toMicros(p.Now), func() {
		mark.Operator = clonePointer(p.Operator)
		mark.Shutdown = false
	})
	return m.view(d), nil
}

// changePause applies a change of marks, and what follows from it for each schedule that it pauses
// or resumes.
func (m *Store) changePause(d *deployment, now micros, change func()) {
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
func (d *deployment) effectivePauses() map[string]bool {
	pauses := map[string]bool{"": d.pause.Effective()}
	for _, s := range d.schedules {
		pauses[s.key] = s.paused()
	}
	return pauses
}

func (d *deployment) schedule(key string) *scheduleState {
	for _, s := range d.schedules {
		if s.key == key {
			return s
		}
	}
	return nil
}

// clonePointer returns a pointer to a copy of what p points to, nil for nil.
func clonePointer[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}
