package sqlstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/store"
)

// runner is a runner as the store knows it.
type runner struct {
	record store.RunnerRecord
	claim  uuid.UUID // ID of its newest call that claimed anything
}

func (r *runner) liveAt(now micros) bool { return toMicros(r.record.Until) >= now }

func unknownRunner(id uuid.UUID) error { return fmt.Errorf("runner %s: %w", id, store.ErrNotFound) }

func (b *book) runners(where string, args ...any) (list []*runner, err error) {
	err = b.each("SELECT r.id, r.claim, r.name, r.version, r.started, r.seen_at, r.until, r.deployments FROM provost_runner r WHERE "+where, args,
		func(rows Rows) error {
			r := new(runner)
			var claim uuid.NullUUID
			var started, seen, until micros
			err := rows.Scan(&r.record.ID, &claim, &r.record.Name, &r.record.Version, &started, &seen, &until, &r.record.Deployments)
			r.claim = claim.UUID
			r.record.Started, r.record.SeenAt, r.record.Until = started.time(), b.ours(seen).time(), b.ours(until).time()
			list = append(list, r)
			return err
		})
	return list, err
}

// runner finds a runner, nil if it is not known.
func (b *book) runner(id uuid.UUID) (*runner, error) {
	list, err := b.runners("r.id = ? FOR UPDATE", id)
	if len(list) == 0 {
		return nil, err
	}
	return list[0], err
}

// servers names the live runners, but one, of each of some deployments.
func (b *book) servers(of []uuid.UUID, but uuid.UUID) (map[uuid.UUID][]string, error) {
	names := make(map[uuid.UUID][]string)
	if len(of) == 0 {
		return names, nil
	}
	err := b.each(`SELECT s.deployment, r.name FROM provost_serving s JOIN provost_runner r ON r.id = s.runner
		WHERE s.deployment IN (?*) AND r.until >= ? AND r.id <> ? ORDER BY r.id`, []any{of, b.clock(), but}, func(rows Rows) error {
		var id uuid.UUID
		var name string
		err := rows.Scan(&id, &name)
		names[id] = append(names[id], name)
		return err
	})
	return names, err
}

// servedAt reports whether some runner's lease on a deployment has not ended.
func (b *book) servedAt(id uuid.UUID) (bool, error) {
	if served, known := b.served[id]; known {
		return served, nil
	}
	servers, err := b.servers([]uuid.UUID{id}, uuid.Nil)
	if err != nil {
		return false, err
	}
	b.served[id] = len(servers[id]) > 0
	return b.served[id], nil
}

// RegisterRunner implements [store.RunnerStore].
func (l *Store) RegisterRunner(ctx context.Context, p store.RegisterRunnerParams) ([]uuid.UUID, error) {
	return change(ctx, l, "register runner", Rare, p.Now, func(b *book) ([]uuid.UUID, error) { return b.registerRunner(p) })
}

func (b *book) registerRunner(p store.RegisterRunnerParams) (unserved []uuid.UUID, err error) {
	ids := slices.Clone(p.Deployments)
	slices.SortFunc(ids, compareIDs)
	if err := b.loadDeployments(slices.Compact(ids)); err != nil {
		return unserved, err
	}
	live, err := b.servers(p.Deployments, uuid.Nil)
	if err != nil {
		return unserved, err
	}
	others, err := b.servers(p.Deployments, p.Runner.ID)
	if err != nil {
		return unserved, err
	}
	var served []*deployment
	var gaps []uuid.UUID
	for _, id := range p.Deployments {
		d := b.deployments[id]
		if d == nil {
			continue
		}
		served = append(served, d)
		if len(others[id]) == 0 {
			unserved = append(unserved, id)
		}
		if len(live[id]) == 0 {
			gaps = append(gaps, id)
		}
	}
	if err := b.openGaps(gaps); err != nil {
		return unserved, err
	}
	for _, d := range served {
		if d.pause.Shutdown {
			if err := b.changePause(d, func() { d.pause.Shutdown = false }); err != nil {
				return unserved, err
			}
		}
	}
	if err := b.serve(p.Runner.ID, served); err != nil { // what it leaves was served until it was last seen, not until now
		return unserved, err
	}
	if err := b.putRunner(p.Runner, len(served)); err != nil {
		return unserved, err
	}
	clear(b.served)
	if err := b.handOutAnew(); err != nil {
		return unserved, err
	}
	b.hints.anywhere()
	return unserved, b.dropOldRunners()
}

func compareIDs(x, y uuid.UUID) int { return slices.Compare(x[:], y[:]) }

func (b *book) putRunner(record store.RunnerRecord, deployments int) error {
	known, err := b.runner(record.ID)
	if err != nil {
		return err
	}
	row := []any{
		record.ID,
		uuid.NullUUID{},
		record.Name, record.Version, toMicros(record.Started), b.theirs(toMicros(record.SeenAt)), b.theirs(toMicros(record.Until)),
		deployments,
	}
	if known == nil {
		return b.tx.Insert(runnerTable, [][]any{row})
	}
	row[1] = optional(known.claim)
	return b.tx.Update(runnerTable, runnerTable.set(), [][]any{row})
}

// serve makes a runner serve these deployments and no others.
func (b *book) serve(id uuid.UUID, deployments []*deployment) error {
	before, err := b.list("SELECT s.deployment FROM provost_serving s WHERE s.runner = ?", id)
	if err != nil {
		return err
	}
	had := make(map[uuid.UUID]bool, len(before))
	for _, d := range before {
		had[d] = true
	}
	var added [][]any
	changed := make([]*deployment, 0, len(deployments))
	for _, d := range deployments {
		if !had[d.id()] {
			added = append(added, []any{d.id(), id})
			changed = append(changed, d)
		}
		delete(had, d.id())
	}
	left, err := b.stopServing(id, had)
	if err != nil {
		return err
	}
	if len(added) > 0 {
		if err := b.tx.Insert(servingTable, added); err != nil {
			return err
		}
	}
	return b.relane(append(changed, left...))
}

// stopServing ends a runner's service of some deployments; they want another lane.
func (b *book) stopServing(id uuid.UUID, deployments map[uuid.UUID]bool) ([]*deployment, error) {
	if len(deployments) == 0 {
		return nil, nil
	}
	r, err := b.runner(id)
	if err != nil {
		return nil, err
	}
	ids := sortedIDs(deployments)
	if err := b.loadDeployments(ids); err != nil {
		return nil, err
	}
	var left []*deployment
	for _, id := range ids {
		if d := b.deployments[id]; d != nil {
			d.noteServed(toMicros(r.record.SeenAt))
			b.touch(d)
			left = append(left, d)
		}
	}
	err = b.exec("DELETE FROM provost_serving WHERE runner = ? AND deployment IN (?*)", id, ids)
	return left, err
}

func sortedIDs(set map[uuid.UUID]bool) []uuid.UUID {
	ids := make([]uuid.UUID, 0, len(set))
	for id := range set {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, compareIDs)
	return ids
}

func (d *deployment) noteServed(at micros) {
	if at != never && at > d.lastServed {
		d.lastServed = at
	}
}

// openGaps marks that nobody served these deployments from their last heartbeat until now.
func (b *book) openGaps(ids []uuid.UUID) error {
	if len(ids) == 0 {
		return nil
	}
	err := b.each("SELECT s.deployment, r.seen_at FROM provost_serving s JOIN provost_runner r ON r.id = s.runner WHERE s.deployment IN (?*)", []any{ids},
		func(rows Rows) error {
			var id uuid.UUID
			var seen micros
			err := rows.Scan(&id, &seen)
			if d := b.deployments[id]; err == nil && d != nil {
				d.noteServed(b.ours(seen))
			}
			return err
		})
	if err != nil {
		return err
	}
	for _, id := range ids {
		if d := b.deployments[id]; d != nil {
			b.openGap(d)
		}
	}
	return nil
}

func (b *book) openGap(d *deployment) {
	b.touch(d)
	if b.now <= d.lastServed || len(d.schedules) == 0 {
		return
	}
	for _, s := range d.schedules {
		if !s.gap {
			s.gap, s.servedUntil = true, d.lastServed
		}
		s.gapFound, s.changed = b.now, true
		s.planAt(b.now)
	}
	d.gap = true
}

// HeartbeatRunner implements [store.RunnerStore].
func (l *Store) HeartbeatRunner(ctx context.Context, p store.HeartbeatRunnerParams) error {
	err := l.write(ctx, Urgent, p.Now, func(b *book) error {
		r, err := b.runner(p.Runner)
		if err != nil {
			return err
		}
		if r == nil {
			return unknownRunner(p.Runner)
		}
		lapsed := !r.liveAt(b.now)
		if lapsed {
			if err := b.noticeLapse(p.Runner); err != nil {
				return err
			}
		}
		err = b.exec("UPDATE provost_runner SET seen_at = ?, until = ? WHERE id = ?", b.theirs(toMicros(p.Now)), b.theirs(toMicros(p.Until)), p.Runner)
		if err == nil && lapsed {
			clear(b.served)
			err = b.handOutAnew()
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("heartbeat: %w", err)
	}
	return nil
}

// noticeLapse opens the gaps of the deployments that nobody served while a runner was not heard of.
func (b *book) noticeLapse(id uuid.UUID) error {
	ids, err := b.list("SELECT s.deployment FROM provost_serving s WHERE s.runner = ? ORDER BY s.deployment", id)
	if err != nil {
		return err
	}
	live, err := b.servers(ids, uuid.Nil)
	if err != nil {
		return err
	}
	ids = slices.DeleteFunc(ids, func(id uuid.UUID) bool { return len(live[id]) > 0 })
	b.lock = deploymentLocks[Plan]
	if err := b.loadDeployments(ids); err != nil {
		return err
	}
	b.hints.anywhere()
	return b.openGaps(ids)
}

// RemoveRunner implements [store.RunnerStore].
func (l *Store) RemoveRunner(ctx context.Context, p store.RemoveRunnerParams) error {
	err := l.write(ctx, Rare, p.Now, func(b *book) error {
		r, err := b.runner(p.Runner)
		if r == nil || err != nil {
			return err
		}
		seen := min(toMicros(r.record.SeenAt), b.now)
		if r.liveAt(b.now) {
			seen = b.now
		}
		if err := b.exec("UPDATE provost_runner SET seen_at = ? WHERE id = ?", b.theirs(seen), p.Runner); err != nil {
			return err
		}
		left, err := b.dropRunner(p.Runner)
		if err != nil || !p.Pause {
			return err
		}
		for _, d := range left {
			served, err := b.servedAt(d.id())
			if err != nil {
				return err
			}
			if !served {
				if err := b.changePause(d, func() { d.pause.Shutdown = true }); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("remove runner: %w", err)
	}
	return nil
}

// dropRunner forgets a runner, and gives what it served.
func (b *book) dropRunner(id uuid.UUID) ([]*deployment, error) {
	ids, err := b.list("SELECT s.deployment FROM provost_serving s WHERE s.runner = ?", id)
	if err != nil {
		return nil, err
	}
	served := make(map[uuid.UUID]bool, len(ids))
	for _, d := range ids {
		served[d] = true
	}
	left, err := b.stopServing(id, served)
	if err != nil {
		return nil, err
	}
	for _, of := range []string{"runner_lane WHERE runner", "runner WHERE id"} {
		if err := b.exec("DELETE FROM provost_"+of+" = ?", id); err != nil {
			return nil, err
		}
	}
	b.hints.anywhere()
	clear(b.served)
	return left, b.relane(left)
}

// dropOldRunners forgets runners whose lease ended more than a day ago.
func (b *book) dropOldRunners() error {
	old, err := b.list("SELECT r.id FROM provost_runner r WHERE r.until < ? ORDER BY r.id", b.clock()-toSpan(24*time.Hour))
	if err != nil {
		return err
	}
	many, err := b.list("SELECT r.id FROM provost_runner r WHERE r.until < ? ORDER BY r.until DESC, r.id LIMIT ? OFFSET ?",
		b.clock(), store.MaxPage, store.MaxDeadRunners)
	if err != nil {
		return err
	}
	slices.SortFunc(many, compareIDs)
	for _, id := range slices.Concat(old, many) {
		if _, err := b.dropRunner(id); err != nil {
			return err
		}
	}
	return nil
}

// ListRunners implements [store.RunnerStore].
func (l *Store) ListRunners(ctx context.Context) ([]store.RunnerRecord, error) {
	return look(ctx, l, func(b *book) ([]store.RunnerRecord, error) { return b.listRunners() })
}

func (b *book) listRunners() (list []store.RunnerRecord, err error) {
	list = []store.RunnerRecord{}
	found, err := b.runners("1 = 1 ORDER BY r.seen_at DESC, r.id")
	for _, r := range found {
		list = append(list, r.record)
	}
	return list, err
}
