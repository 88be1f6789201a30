package sqlstore

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/rules"
	"github.com/provost-go/provost/store"
)

// deployment is a deployment with its schedules.
type deployment struct {
	record     *store.DeploymentRecord // as declared, with generation and times; without what views fill in
	serial     int64                   // tells it from one that was deleted under the same ID
	lane       int64                   // 0: it has none yet
	attended   bool                    // some runner has it, live or not
	lastServed micros                  // newest heartbeat of a runner that left or whose lease ended; the creation before the first
	gap        bool                    // some schedule has a gap: no claims until it is dealt with
	pause      store.Pause
	schedules  []*scheduleState // declared ones in their order
	retired    []*scheduleState // declared no more, for their watermarks should they return

	stored, changed bool
	dirty           bool // its own row has changed, not only those of schedules
	deleted         bool
	locked          bool // nobody else changes its schedules until the transaction ends
}

func (d *deployment) id() uuid.UUID    { return d.record.ID }
func (d *deployment) limitKey() string { return d.record.LimitKey() }
func (d *deployment) limited() bool    { return d.record.ConcurrencyLimit > 0 }

func (d *deployment) schedule(key string) *scheduleState {
	for _, s := range d.schedules {
		if s.key == key {
			return s
		}
	}
	return nil
}

// touch notes that a deployment has changed; touchSchedules, that its schedules alone have.
func (b *book) touch(d *deployment) {
	d.dirty = true
	b.touchSchedules(d)
}

func (b *book) touchSchedules(d *deployment) {
	b.changes++
	if !d.changed {
		d.changed = true
		b.touched = append(b.touched, d)
	}
}

const deploymentColumns = "d.serial, d.lane, d.attended, d.last_served, d.gap, d.pause, d.generation, d.created, d.updated, d.version, d.record"

func scanDeployment(rows Rows) (*deployment, error) {
	d := &deployment{stored: true}
	var attended, gap int
	var pause, version, record string
	var generation int64
	var created, updated micros
	if err := rows.Scan(&d.serial, &d.lane, &attended, &d.lastServed, &gap, &pause, &generation, &created, &updated, &version, &record); err != nil {
		return nil, err
	}
	d.attended, d.gap = attended != 0, gap != 0
	var err error
	if d.record, err = decode[*store.DeploymentRecord](record); err != nil {
		return nil, fmt.Errorf("deployment: %w", err)
	}
	d.record.Generation, d.record.Version = generation, version
	d.record.Created, d.record.Updated = created.time(), updated.time()
	if d.pause, err = decode[store.Pause](pause); err != nil {
		return nil, fmt.Errorf("pause of deployment %s: %w", d.record.Handle(), err)
	}
	return d, nil
}

const (
	deploymentsWhere = "SELECT " + deploymentColumns + " FROM provost_deployment d WHERE "
	deploymentsIn    = "d.id IN (?*) ORDER BY d.id"
)

// loadDeployments reads deployments and their schedules. Those that are not there are nil in the
// book from then on.
func (b *book) loadDeployments(ids []uuid.UUID) error {
	var missing []uuid.UUID
	for _, id := range ids {
		if _, known := b.deployments[id]; !known {
			missing = append(missing, id)
			b.deployments[id] = nil
		}
	}
	if len(missing) == 0 {
		return nil
	}
	b.foresee(schedulesOf, missing)
	found, err := b.selectDeployments(b.eachStored, deploymentsIn+b.lock, missing)
	if err != nil {
		return err
	}
	for _, d := range found {
		d.locked = b.lock != keyShare
	}
	return b.loadSchedules(missing)
}

// lockSchedules sees to it that nobody else changes the schedules of deployments, as those do who
// decide on their runs.
func (b *book) lockSchedules(ids []uuid.UUID) error {
	if err := b.loadDeployments(ids); err != nil || !b.tx.Locks() {
		return err
	}
	var open []uuid.UUID
	for _, id := range ids {
		if d := b.deployments[id]; d != nil && !d.locked && !slices.Contains(open, id) {
			open = append(open, id)
		}
	}
	if len(open) == 0 {
		return nil
	}
	slices.SortFunc(open, compareIDs)
	locked, err := b.list("SELECT d.id FROM provost_deployment d WHERE d.id IN (?*) ORDER BY d.id FOR NO KEY UPDATE", open)
	if err != nil {
		return err
	}
	for _, id := range locked { // what was read of them before may have changed since
		d := b.deployments[id]
		d.locked, d.schedules, d.retired = true, nil, nil
	}
	return b.loadSchedules(locked)
}

func (b *book) selectDeployments(each func(string, []any, func(Rows) error) error, where string, args ...any) ([]*deployment, error) {
	var list []*deployment
	err := each(deploymentsWhere+where, args, func(rows Rows) error {
		d, err := scanDeployment(rows)
		if err != nil {
			return err
		}
		if known := b.deployments[d.id()]; known != nil {
			d = known
		} else {
			b.deployments[d.id()] = d
		}
		list = append(list, d)
		return nil
	})
	return list, err
}

func (b *book) deployment(id uuid.UUID) (*deployment, error) {
	if err := b.loadDeployments([]uuid.UUID{id}); err != nil {
		return nil, err
	}
	if d := b.deployments[id]; d != nil && !d.deleted {
		return d, nil
	}
	return nil, fmt.Errorf("deployment %s: %w", id, store.ErrNotFound)
}

// deploymentOf returns the deployment of a run. It returns nil if the deployment has been deleted
// since, even if it has been registered again.
func (b *book) deploymentOf(r *run) (*deployment, error) {
	if r.child() {
		return nil, nil
	}
	if err := b.loadDeployments([]uuid.UUID{r.due.deployment}); err != nil {
		return nil, err
	}
	if d := b.deployments[r.due.deployment]; d != nil && !d.deleted && d.serial == r.due.serial {
		return d, nil
	}
	return nil, nil
}

// scheduleOf is the schedule that made a run, nil if there is none (any more).
func (b *book) scheduleOf(r *run) (*scheduleState, error) {
	if r.due.schedule == "" {
		return nil, nil
	}
	d, err := b.deploymentOf(r)
	if d == nil || err != nil {
		return nil, err
	}
	if err := b.lockSchedules([]uuid.UUID{d.id()}); err != nil {
		return nil, err
	}
	for _, list := range [][]*scheduleState{d.schedules, d.retired} {
		for _, s := range list {
			if s.key == r.due.schedule {
				return s, nil
			}
		}
	}
	return nil, nil
}

func (d *deployment) row() ([]any, error) {
	pause, err := encode(d.pause, false)
	if err != nil {
		return nil, err
	}
	record, err := json.Marshal(d.record)
	if err != nil {
		return nil, fmt.Errorf("record of deployment %s: %w", d.record.Handle(), err)
	}
	r := d.record
	return []any{
		r.ID, d.serial, r.FlowID, r.Flow, r.Name, word(d.limitKey()), d.lane, flag(d.attended), r.Priority, r.ConcurrencyLimit,
		flag(d.gap), d.lastServed, r.Generation, toMicros(r.Created), toMicros(r.Updated), r.Version, r.Digest, pause, string(record),
	}, nil
}

func (b *book) flushDeployments() error {
	touched := b.touched
	b.touched = nil
	var made, changed, schedules, newSchedules [][]any
	for _, d := range touched {
		d.changed = false
		if d.deleted {
			continue
		}
		if d.dirty {
			row, err := d.row()
			if err != nil {
				return err
			}
			if d.stored {
				changed = append(changed, row)
			} else {
				made = append(made, row)
			}
		}
		d.stored, d.dirty = true, false
		for _, s := range slices.Concat(d.schedules, d.retired) {
			if !s.changed {
				continue
			}
			row, err := s.row()
			if err != nil {
				return err
			}
			if s.stored {
				schedules = append(schedules, row)
			} else {
				newSchedules = append(newSchedules, row)
			}
			s.stored, s.changed = true, false
		}
	}
	return b.writeRows([]tableRows{
		{deploymentTable, made, true}, {deploymentTable, changed, false}, {scheduleTable, newSchedules, true}, {scheduleTable, schedules, false},
	})
}

type tableRows struct {
	table *Table
	rows  [][]any
	isNew bool
}

func (b *book) writeRows(list []tableRows) error {
	for _, t := range list {
		var err error
		switch {
		case len(t.rows) == 0:
		case t.isNew:
			err = b.tx.Insert(t.table, t.rows)
		default:
			err = b.tx.Update(t.table, t.table.set(), t.rows)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// RegisterDeployments implements [store.DeploymentStore].
func (l *Store) RegisterDeployments(ctx context.Context, p store.RegisterDeploymentsParams) ([]store.Registration, error) {
	return change(ctx, l, "register deployments", Rare, p.Now, func(b *book) ([]store.Registration, error) { return b.registerDeployments(p) })
}

func (b *book) registerDeployments(p store.RegisterDeploymentsParams) (list []store.Registration, err error) {
	list = make([]store.Registration, len(p.Deployments))
	ids := make([]uuid.UUID, len(p.Deployments))
	for i, r := range p.Deployments {
		ids[i] = r.ID
	}
	if err := b.loadDeployments(ids); err != nil {
		return list, err
	}
	servers, err := b.servers(ids, p.Runner)
	if err != nil {
		return list, err
	}
	if err := b.checkGroups(p); err != nil {
		return list, err
	}
	var relane []*deployment
	for i, declared := range p.Deployments {
		if list[i], err = b.register(p, declared, servers[declared.ID]); err != nil {
			return list, err
		}
		if list[i].Change != store.ChangeNone {
			relane = append(relane, b.deployments[declared.ID])
		}
	}
	return list, b.relane(relane)
}

// checkGroups refuses another size for a shared limit than what a live runner serves.
func (b *book) checkGroups(p store.RegisterDeploymentsParams) error {
	groups, err := rules.LimitGroups(p.Deployments)
	if err != nil {
		return err
	}
	declared := make(map[uuid.UUID]bool)
	for _, r := range p.Deployments {
		declared[r.ID] = true
	}
	for _, r := range groups {
		members, err := b.list("SELECT d.id FROM provost_deployment d WHERE d.limit_key = ? AND d.limit_size <> ? ORDER BY d.id", r.LimitKey(), r.ConcurrencyLimit)
		if err != nil {
			return err
		}
		members = slices.DeleteFunc(members, func(id uuid.UUID) bool { return declared[id] })
		if err := b.loadDeployments(members); err != nil {
			return err
		}
		servers, err := b.servers(members, p.Runner)
		if err != nil {
			return err
		}
		for _, id := range members {
			if len(servers[id]) > 0 {
				return rules.LimitConflict(r, b.deployments[id].record)
			}
		}
	}
	return nil
}

func (b *book) register(p store.RegisterDeploymentsParams, declared *store.DeploymentRecord, servedBy []string) (store.Registration, error) {
	r := store.Registration{ID: declared.ID, Change: store.ChangeNone, ServedBy: servedBy}
	d := b.deployments[declared.ID]
	switch {
	case d == nil:
		var err error
		if d, err = b.create(declared); err != nil {
			return r, err
		}
		r.Change = store.ChangeCreated
	case d.record.Digest != declared.Digest:
		previous, err := b.viewDeployment(d)
		if err == nil {
			err = b.replace(d, declared)
		}
		if err != nil {
			return r, err
		}
		r.Change, r.Previous = store.ChangeUpdated, previous
	default:
		if d.record.Version != declared.Version {
			d.record.Version, d.record.Updated = declared.Version, b.now.time()
			b.touch(d)
		}
		if err := b.resizeLimit(d); err != nil {
			return r, err
		}
	}
	r.Generation = d.record.Generation
	return r, nil
}

func (b *book) create(declared *store.DeploymentRecord) (*deployment, error) {
	d := &deployment{record: bare(declared), lastServed: b.now, pause: store.Pause{Declared: declared.Pause.Declared}}
	var err error
	if d.serial, err = b.number("serial"); err != nil {
		return nil, err
	}
	d.record.Generation, d.record.Created, d.record.Updated = 1, b.now.time(), b.now.time()
	for i, s := range declared.Schedules {
		d.schedules = append(d.schedules, newSchedule(d, s, i, b.now))
	}
	b.deployments[declared.ID] = d
	b.touch(d)
	if err := b.addFlow(declared.FlowID, declared.Flow); err != nil {
		return nil, err
	}
	return d, b.joinLimit(d)
}

func (b *book) addFlow(id uuid.UUID, name string) error {
	var known uuid.UUID
	found, err := b.one("SELECT f.id FROM provost_flow f WHERE f.id = ?", []any{id}, &known)
	if found || err != nil {
		return err
	}
	return b.tx.Insert(flowTable, [][]any{{id, name, b.now}})
}

// bare is a copy of a declaration without what the store keeps beside it.
func bare(declared *store.DeploymentRecord) *store.DeploymentRecord {
	r := declared.Clone()
	r.ServedBy, r.Pause = nil, store.Pause{}
	for i := range r.Schedules {
		r.Schedules[i] = store.ScheduleRecord{Key: r.Schedules[i].Key, Schedule: r.Schedules[i].Schedule}
	}
	return r
}

// replace puts another declaration in the place of the stored one.
func (b *book) replace(d *deployment, declared *store.DeploymentRecord) error {
	for _, s := range d.schedules {
		if err := b.reset(s); err != nil {
			return err
		}
	}
	before := d.effectivePauses()
	leaves := d.limitKey()
	record := bare(declared)
	record.Generation, record.Created, record.Updated = d.record.Generation+1, d.record.Created, b.now.time()
	if leaves != "" && leaves != record.LimitKey() {
		if err := b.leaveLimit(d, record); err != nil {
			return err
		}
	}
	d.record = record
	d.pause = redeclare(d.pause, declared.Pause.Declared)
	if err := b.replaceSchedules(d, declared.Schedules); err != nil {
		return err
	}
	for _, s := range d.schedules {
		if paused, known := before[s.key]; known {
			s.notePause(paused, b.now)
		}
		s.planAt(b.now)
	}
	b.touch(d)
	b.hints.anywhere()
	if leaves != record.LimitKey() {
		return b.joinLimit(d)
	}
	if err := b.resizeLimit(d); err != nil || leaves == "" {
		return err
	}
	return b.handOutBy(leaves)
}

func (b *book) replaceSchedules(d *deployment, declared []store.ScheduleRecord) error {
	known := make(map[string]*scheduleState)
	for _, s := range slices.Concat(d.retired, d.schedules) {
		known[s.key] = s
	}
	d.schedules = nil
	for i, declaration := range declared {
		s := known[declaration.Key]
		if s == nil {
			s = newSchedule(d, declaration, i, b.now)
		} else {
			delete(known, declaration.Key)
			s.revive(declaration, i, b.now)
		}
		d.schedules = append(d.schedules, s)
	}
	if err := b.retire(d, known); err != nil {
		return err
	}
	d.gap = slices.ContainsFunc(d.schedules, func(s *scheduleState) bool { return s.gap })
	return nil
}

// maxRetired bounds how many schedules that are gone are remembered for their watermark.
const maxRetired = 100

func (b *book) retire(d *deployment, gone map[string]*scheduleState) error {
	d.retired = d.retired[:0:0]
	for _, s := range gone {
		if s.retiredAt == never {
			s.retiredAt = b.now
		}
		s.gap, s.planTime, s.changed = false, never, true
		d.retired = append(d.retired, s)
	}
	slices.SortFunc(d.retired, func(x, y *scheduleState) int {
		return cmp.Or(cmp.Compare(y.retiredAt, x.retiredAt), strings.Compare(x.key, y.key))
	})
	for len(d.retired) > maxRetired {
		last := d.retired[len(d.retired)-1]
		d.retired = d.retired[:len(d.retired)-1]
		if err := b.exec("DELETE FROM provost_schedule WHERE deployment = ? AND name = ?", d.id(), last.key); err != nil {
			return err
		}
	}
	return nil
}

// GetDeployment implements [store.DeploymentStore].
func (l *Store) GetDeployment(ctx context.Context, id uuid.UUID) (*store.DeploymentRecord, error) {
	return look(ctx, l, func(b *book) (*store.DeploymentRecord, error) { return b.getDeployment(id) })
}

func (b *book) getDeployment(id uuid.UUID) (record *store.DeploymentRecord, err error) {
	d, err := b.deployment(id)
	if err == nil {
		record, err = b.viewDeployment(d)
	}
	return record, err
}

// viewDeployment is a copy of all that the store knows of a deployment.
func (b *book) viewDeployment(d *deployment) (*store.DeploymentRecord, error) {
	views, err := b.viewDeployments([]*deployment{d})
	if err != nil {
		return nil, err
	}
	return views[0], nil
}

func (b *book) viewDeployments(list []*deployment) ([]*store.DeploymentRecord, error) {
	ids := make([]uuid.UUID, len(list))
	views := make([]*store.DeploymentRecord, len(list))
	at := make(map[uuid.UUID]*store.DeploymentRecord)
	for i, d := range list {
		r := d.record.Clone()
		r.Pause = d.pause
		r.Pause.Operator = copied(d.pause.Operator)
		r.Schedules = nil
		for _, s := range d.schedules {
			r.Schedules = append(r.Schedules, s.view())
		}
		ids[i], views[i], at[d.id()] = d.id(), r, r
	}
	if len(ids) == 0 {
		return views, nil
	}
	err := b.each(`SELECT s.deployment, r.name, r.until FROM provost_serving s JOIN provost_runner r ON r.id = s.runner
		WHERE s.deployment IN (?*) ORDER BY r.id`, []any{ids}, func(rows Rows) error {
		var id uuid.UUID
		var server store.ServingRunner
		var until micros
		if err := rows.Scan(&id, &server.Name, &until); err != nil {
			return err
		}
		server.Until = b.ours(until).time()
		at[id].ServedBy = append(at[id].ServedBy, server)
		return nil
	})
	return views, err
}

// DeleteDeployment implements [store.DeploymentStore].
func (l *Store) DeleteDeployment(ctx context.Context, p store.DeleteDeploymentParams) error {
	err := l.write(ctx, Rare, p.Now, func(b *book) error {
		d, err := b.deployment(p.ID)
		if err != nil {
			return err
		}
		if err := b.dropUnstarted(d); err != nil {
			return err
		}
		d.deleted = true
		if err := b.rememberOnce(d); err != nil {
			return err
		}
		for _, of := range []string{"skip WHERE deployment", "schedule WHERE deployment", "serving WHERE deployment", "deployment WHERE id"} {
			if err := b.exec("DELETE FROM provost_"+of+" = ?", p.ID); err != nil {
				return err
			}
		}
		if err := b.dropEmptyLanes([]int64{d.lane}); err != nil {
			return err
		}
		b.deployments[p.ID] = nil
		if d.limited() {
			return b.handOutBy(d.limitKey())
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("delete deployment: %w", err)
	}
	return nil
}

// rememberOnce notes in the claimed runs of a deployment that is about to go what decides whether
// they may run again.
func (b *book) rememberOnce(d *deployment) error {
	if err := b.flush(); err != nil || !d.record.AtMostOnce {
		return err
	}
	claimed, err := b.loadDueByID("d.deployment = ? AND d.serial = ? AND d.lease IS NOT NULL", d.id(), d.serial)
	for _, r := range claimed {
		r.due.once = true
		b.change(r)
	}
	if err != nil {
		return err
	}
	return b.flush()
}

const deploymentDeleted = "its deployment was deleted" // why a run that had begun is CANCELLED

// dropUnstarted removes the unstarted runs of a deployment that is about to go. They leave the
// limit first, so that it hands out none of their slots among themselves.
func (b *book) dropUnstarted(d *deployment) error {
	if err := b.flush(); err != nil {
		return err
	}
	unstarted, err := b.loadDueByID("d.deployment = ? AND d.serial = ? AND d.state = 'SCHEDULED'", d.id(), d.serial)
	if err != nil {
		return err
	}
	for _, r := range unstarted {
		b.unqueue(r)
		r.due.slot = ""
	}
	for _, r := range unstarted {
		if r.goesFirst() {
			err = b.finish(r, newState(store.StateCancelled, b.now, deploymentDeleted))
		} else {
			err = b.drop(r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// SetPause implements [store.DeploymentStore].
func (l *Store) SetPause(ctx context.Context, p store.SetPauseParams) (*store.DeploymentRecord, error) {
	return change(ctx, l, "set pause", Rare, p.Now, func(b *book) (*store.DeploymentRecord, error) { return b.setPause(p) })
}

func (b *book) setPause(p store.SetPauseParams) (record *store.DeploymentRecord, err error) {
	d, err := b.deployment(p.DeploymentID)
	if err != nil {
		return record, err
	}
	mark := &d.pause
	if p.Schedule != "" {
		s := d.schedule(p.Schedule)
		if s == nil {
			return record, noSchedule(d, p.Schedule)
		}
		s.changed = true
		mark = &s.pause
	}
	err = b.changePause(d, func() {
		mark.Operator = copied(p.Operator)
		mark.Shutdown = false
	})
	if err == nil {
		record, err = b.viewDeployment(d)
	}
	return record, err
}

func noSchedule(d *deployment, key string) error {
	return fmt.Errorf("schedule %q of deployment %s: %w", key, d.record.Handle(), store.ErrNotFound)
}

// changePause applies a change of marks, and what follows from it for each schedule that it pauses
// or resumes.
func (b *book) changePause(d *deployment, change func()) error {
	before := d.effectivePauses()
	change()
	b.touch(d)
	changed := false
	for _, s := range d.schedules {
		if s.paused() != before[s.key] {
			changed = true
			if err := b.reset(s); err != nil {
				return err
			}
			s.notePause(before[s.key], b.now)
			s.planAt(b.now)
		}
	}
	if changed || d.pause.Effective() != before[""] {
		d.record.Generation++
		d.record.Updated = b.now.time()
		b.hints.anywhere()
	}
	return nil
}

// effectivePauses says which schedules are paused, and under "" whether the whole deployment is.
func (d *deployment) effectivePauses() map[string]bool {
	pauses := map[string]bool{"": d.pause.Effective()}
	for _, s := range d.schedules {
		pauses[s.key] = s.paused()
	}
	return pauses
}

// number gives the next number of a sequence.
func (b *book) number(name string) (int64, error) {
	if err := b.exec("UPDATE provost_meta SET value = value + 1 WHERE name = ?", name); err != nil {
		return 0, err
	}
	var n int64
	_, err := b.one("SELECT m.value FROM provost_meta m WHERE m.name = ?", []any{name}, &n)
	return n, err
}
