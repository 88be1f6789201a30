package sqlstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/rules"
	"github.com/provost-go/provost/store"
)

func (b *book) newRun(id uuid.UUID, w *wide) *run {
	r := &run{wide: w, isNew: true}
	r.due.id = id
	r.due.lease, r.due.start, r.due.end, r.due.due = never, never, never, never
	b.runs[id] = r
	return r
}

// begin gives a new run its first state.
func (b *book) begin(r *run, born store.State) {
	history, _ := store.AppendState(nil, born) // every run begins in a state that the machine lists
	r.due.states = appendState(nil, history[0])
	b.stateIs(r, history[0])
}

// CreateRun implements [store.RunStore].
func (l *Store) CreateRun(ctx context.Context, p store.CreateRunParams) (*store.Run, error) {
	return change(ctx, l, "create run", Create, p.Now, func(b *book) (*store.Run, error) { return b.makeRun(p) })
}

func (b *book) makeRun(p store.CreateRunParams) (made *store.Run, err error) {
	r, err := b.createRun(p)
	if err == nil {
		made, err = b.show(r)
	}
	return made, err
}

func (b *book) createRun(p store.CreateRunParams) (*run, error) {
	if known, err := b.known(p.ID); known || err != nil { // the call is repeated
		return b.runs[p.ID], err
	}
	if p.Child != nil {
		return b.createChild(p)
	}
	return b.createByHand(p)
}

// known loads a run that there may be.
func (b *book) known(id uuid.UUID) (bool, error) {
	if b.runs[id] == nil {
		if b.hopeful {
			return false, nil
		}
		var stored uuid.UUID
		found := false
		err := b.eachStored("SELECT w.id FROM provost_run w WHERE w.id = ?", []any{id}, func(rows Rows) error {
			found = true
			return rows.Scan(&stored)
		})
		if !found || err != nil {
			return false, err
		}
	}
	_, err := b.run(id)
	return err == nil, err
}

// lookInside finds out which of some runs have unfinished runs inside.
func (b *book) lookInside(ids []uuid.UUID) error {
	if len(ids) == 0 {
		return nil
	}
	for _, id := range ids {
		b.inside[id] = false
	}
	return b.each("SELECT d.parent FROM provost_due d WHERE d.parent IN (?*)", []any{ids}, func(rows Rows) error {
		var id uuid.UUID
		err := rows.Scan(&id)
		b.inside[id] = true
		return err
	})
}

func (b *book) createByHand(p store.CreateRunParams) (*run, error) {
	d, err := b.source(p.DeploymentID)
	if err != nil {
		return nil, err
	}
	if p.IdempotencyKey != "" {
		first, err := b.list("SELECT w.id FROM provost_run w WHERE w.deployment = ? AND w.key = ?", p.DeploymentID, p.IdempotencyKey)
		if err != nil {
			return nil, err
		}
		if len(first) > 0 {
			return b.run(first[0])
		}
	}
	if err := d.checkGeneration(p.Generation); err != nil {
		return nil, err
	}
	asks := d.limited() && toMicros(p.DueTime) <= b.now
	if asks {
		if may, err := b.mayQueue(d); err != nil {
			return nil, err
		} else if !may {
			return nil, fmt.Errorf("deployment %s: %d runs wait: %w", d.record.Handle(), d.record.MaxWaiting, store.ErrQueueFull)
		}
	}
	w := &wide{flowID: d.record.FlowID, flow: d.record.Flow, deployment: d.record.Name, key: word(p.IdempotencyKey)}
	r, err := b.newByHand(p, w, slices.Concat(d.record.Tags, p.Tags))
	if err != nil {
		return nil, err
	}
	r.due.deployment, r.due.serial = p.DeploymentID, d.serial
	b.begin(r, newState(store.StateScheduled, b.now, ""))
	r.setDue(d, toMicros(p.DueTime))
	b.enqueue(r)
	if asks {
		_, err = b.admit(r, d)
	}
	return r, err
}

func (b *book) newByHand(p store.CreateRunParams, w *wide, tags []string) (*run, error) {
	var err error
	if w.name = p.Name; w.name == "" {
		w.name = store.RunName(p.ID)
	}
	if w.params, err = encodeParams(p.Parameters); err != nil {
		return nil, fmt.Errorf("parameters: %w", err)
	}
	if w.tags, err = encodeTags(tags); err != nil {
		return nil, err
	}
	r := b.newRun(p.ID, w)
	r.due.scheduled = toMicros(p.ScheduledTime)
	return r, nil
}

// mayQueue reports whether a new run would find a slot or a place in the limit's queue, or an
// overlap policy that knows what to do.
func (b *book) mayQueue(d *deployment) (bool, error) {
	if d.record.Overlap == store.OverlapCancelNew || d.record.Overlap == store.OverlapCancelRunning {
		return true, nil
	}
	waiting, err := b.waitingOf(d)
	if err != nil || waiting < d.record.MaxWaiting {
		return err == nil, err
	}
	l, err := b.limit(d.limitKey())
	if err != nil {
		return false, err
	}
	return b.vacant(d, l)
}

func (d *deployment) checkGeneration(generation int64) error {
	if generation != 0 && generation != d.record.Generation {
		return fmt.Errorf("%w: deployment %s is at generation %d, not %d", store.ErrConflict, d.record.Handle(), d.record.Generation, generation)
	}
	return nil
}

func (b *book) createChild(p store.CreateRunParams) (*run, error) {
	parent, err := b.leased(p.Child.Parent)
	if err != nil {
		return nil, err
	}
	if parent.due.state.Terminal() {
		return nil, fmt.Errorf("%w: parent run %s has finished", store.ErrConflict, parent.due.id)
	}
	w := &wide{flowID: store.FlowID(p.Child.Flow), flow: p.Child.Flow}
	if err := b.addFlow(w.flowID, w.flow); err != nil {
		return nil, err
	}
	r, err := b.newByHand(p, w, p.Tags)
	if err != nil {
		return nil, err
	}
	d := &r.due
	d.parent, d.root = parent.due.id, parent.holderID()
	d.version, d.runner, d.attempt = p.Child.Version, parent.due.runner, 1
	d.due, d.start = toMicros(p.DueTime), b.now
	b.begin(r, newState(store.StateRunning, b.now, ""))
	b.inside[parent.due.id] = true
	b.hintRun(parent)
	return r, nil
}

// BackfillRuns implements [store.RunStore].
func (l *Store) BackfillRuns(ctx context.Context, p store.BackfillRunsParams) ([]*store.Run, error) {
	if len(p.Runs) > store.MaxBackfill {
		return nil, fmt.Errorf("backfill of %d instants: ask for at most %d", len(p.Runs), store.MaxBackfill)
	}
	return change(ctx, l, "backfill", Plan, p.Now, func(b *book) ([]*store.Run, error) { return b.backfillRuns(p) })
}

func (b *book) backfillRuns(p store.BackfillRunsParams) (made []*store.Run, err error) {
	d, err := b.deployment(p.DeploymentID)
	if err != nil {
		return made, err
	}
	s := d.schedule(p.Schedule)
	if s == nil {
		return made, noSchedule(d, p.Schedule)
	}
	if err := d.checkGeneration(p.Generation); err != nil {
		return made, err
	}
	runs, err := b.backfillAll(s, p)
	if err != nil {
		return made, err
	}
	if err := b.loadWide(runs...); err != nil {
		return made, err
	}
	for _, r := range runs {
		v, err := r.view()
		if err != nil {
			return made, err
		}
		made = append(made, v)
	}
	return made, nil
}

func (b *book) backfillAll(s *scheduleState, p store.BackfillRunsParams) ([]*run, error) {
	present := make(map[micros]*run)
	wants := len(p.Runs) == 0
	for _, planned := range p.Runs {
		r, err := b.runAt(s, toMicros(planned.ScheduledTime))
		if err != nil {
			return nil, err
		}
		present[toMicros(planned.ScheduledTime)] = r
		wants = wants || r == nil || r.skipped()
	}
	gone, err := b.splitSkips(s, p.Splits)
	if err != nil {
		return nil, err
	}
	if gone != uuid.Nil && wants { // else the call is repeated: its ranges are split already
		return nil, fmt.Errorf("%w: skip %s of deployment %s is gone", store.ErrConflict, gone, s.deployment.record.Handle())
	}
	made, err := b.planWide(s)
	if err != nil {
		return nil, err
	}
	var runs []*run
	for _, planned := range p.Runs {
		at := toMicros(planned.ScheduledTime)
		switch r := present[at]; {
		case r == nil:
			r = b.planRun(s, planned, *made, newState(store.StateScheduled, b.now, "backfill"))
			r.due.auto, r.due.waits = false, true
			present[at] = r
			runs = append(runs, r)
		case r.skipped():
			if err := b.reopen(r, s.deployment, "backfill"); err != nil {
				return nil, err
			}
			r.due.auto, r.due.waits = false, true
			runs = append(runs, r)
		case r.due.id == planned.ID:
			runs = append(runs, r) // the call is repeated
		}
	}
	return runs, nil
}

// splitSkips puts what is left of ranges in their place, or names one that is not there.
func (b *book) splitSkips(s *scheduleState, splits []store.SkipSplit) (gone uuid.UUID, err error) {
	var into []store.Skip
	var old []uuid.UUID
	for _, split := range splits {
		found, err := b.skips("k.id = ? AND k.deployment = ?", split.ID, s.deployment.id())
		if err != nil {
			return uuid.Nil, err
		}
		if len(found) == 0 {
			return split.ID, nil
		}
		old, into = append(old, split.ID), append(into, split.Into...)
	}
	if err := b.dropSkips(old); err != nil {
		return uuid.Nil, err
	}
	return uuid.Nil, b.insertSkips(into)
}

// dropSkips forgets ranges. What follows them begins a new one.
func (b *book) dropSkips(ids []uuid.UUID) error {
	if len(ids) == 0 {
		return nil
	}
	for _, d := range b.deployments {
		if d == nil {
			continue
		}
		for _, s := range d.schedules {
			if slices.Contains(ids, s.lastSkip) {
				s.lastSkip = uuid.Nil
			}
		}
	}
	if err := b.exec("UPDATE provost_schedule SET last_skip = NULL WHERE last_skip IN (?*)", ids); err != nil {
		return err
	}
	return b.deleteIn("skip", "id", ids)
}

// reopen makes a finished run due again.
func (b *book) reopen(r *run, d *deployment, message string) error {
	if err := b.advance(r, newState(store.StateScheduled, b.now, message)); err != nil {
		return err
	}
	r.over, r.stored = false, false
	r.due.end, r.due.result = never, nil
	r.setDue(d, b.now)
	b.enqueue(r)
	return nil
}

// RetryRun implements [store.RunStore].
func (l *Store) RetryRun(ctx context.Context, p store.RetryRunParams) (*store.Run, error) {
	return change(ctx, l, "retry run", Common, p.Now, func(b *book) (*store.Run, error) { return b.retryRun(p) })
}

func (b *book) retryRun(p store.RetryRunParams) (run *store.Run, err error) {
	r, err := b.run(p.RunID)
	if err != nil {
		return run, err
	}
	d, err := b.deploymentOf(r)
	if err != nil {
		return run, err
	}
	if err := rules.Retry(p.RunID, r.due.state, r.child(), d == nil); err != nil {
		return run, err
	}
	r.due.crashes, r.due.retried, r.due.waits = 0, true, true
	if err := b.reopen(r, d, p.Message); err != nil {
		return run, err
	}
	if d.limited() {
		if _, err := b.admit(r, d); err != nil {
			return run, err
		}
	}
	run, err = b.show(r)
	return run, err
}

// CancelRun implements [store.RunStore].
func (l *Store) CancelRun(ctx context.Context, p store.CancelRunParams) (*store.Run, error) {
	return change(ctx, l, "cancel run", Common, p.Now, func(b *book) (*store.Run, error) { return b.cancelRun(p) })
}

func (b *book) cancelRun(p store.CancelRunParams) (run *store.Run, err error) {
	r, err := b.run(p.RunID)
	if err != nil {
		return run, err
	}
	switch r.due.state {
	case store.StateCancelling, store.StateCancelled:
	case store.StateScheduled:
		b.unqueue(r)
		err = b.finish(r, newState(store.StateCancelled, b.now, p.Message))
	case store.StatePending, store.StateRunning:
		err = b.advance(r, newState(store.StateCancelling, b.now, p.Message))
		b.hints.Cancel = true
	default:
		err = fmt.Errorf("%w: run %s has finished: %s", store.ErrConflict, p.RunID, r.due.state)
	}
	if err == nil {
		run, err = b.show(r)
	}
	return run, err
}

// finish makes a run terminal.
func (b *book) finish(r *run, final store.State) error {
	if err := b.advance(r, final); err != nil {
		return err
	}
	return b.finished(r)
}

// finished does what follows from a terminal state.
func (b *book) finished(r *run) error {
	r.due.end, r.over = r.due.stateAt, true
	if err := b.decideRun(r, r.due.end); err != nil {
		return err
	}
	return b.endLease(r)
}

// endLease ends a claim: the slot goes on to the next, and runs inside the run end with it.
func (b *book) endLease(r *run) error {
	at := r.due.stateAt
	r.due.lease = never
	b.change(r)
	if err := b.free(r); err != nil {
		return err
	}
	if r.due.token == 0 && !r.child() {
		return nil // it was never claimed: there is nothing inside
	}
	if has, known := b.inside[r.due.id]; known && !has {
		return nil
	}
	inside, err := b.loadDueByID("d.parent = ?", r.due.id)
	if err != nil {
		return err
	}
	for _, child := range inside {
		if child.over {
			continue
		}
		if err := b.finish(child, childEnd(child.due.state, at)); err != nil {
			return err
		}
	}
	return nil
}

// childEnd is what becomes of a child run whose parent's lease ends.
func childEnd(state store.StateType, at micros) store.State {
	if state == store.StateCancelling {
		return newState(store.StateCancelled, at, "its parent run ended")
	}
	return newState(store.StateCrashed, at, "its parent run ended before it did")
}

// holderID is the run whose lease covers r: its own, or its parent's, or theirs.
func (r *run) holderID() uuid.UUID {
	if r.child() {
		return r.due.root
	}
	return r.due.id
}

// leased finds a claimed run, or a child of one, by its lease.
func (b *book) leased(l store.Lease) (*run, error) {
	r, err := b.run(l.RunID)
	if err != nil {
		return nil, err
	}
	holder, err := b.run(r.holderID())
	if err != nil {
		return nil, err
	}
	if !holder.held() || holder.due.token != l.Token {
		return nil, fmt.Errorf("run %s, token %d: %w", l.RunID, l.Token, store.ErrLeaseLost)
	}
	return r, nil
}

// remove takes an unfinished run away, as if it had never been.
func (b *book) remove(r *run) error {
	b.unqueue(r)
	if err := b.free(r); err != nil {
		return err
	}
	r.dropped = true
	b.change(r)
	b.hintRun(r)
	return nil
}

// drop removes a run and the runs inside it; its instant stays decided.
func (b *book) drop(r *run) error {
	if err := b.bury(r); err != nil {
		return err
	}
	if err := b.dropInside(r); err != nil {
		return err
	}
	return b.remove(r)
}

func (b *book) dropInside(r *run) error {
	inside, err := b.list("SELECT w.id FROM provost_run w WHERE w.parent = ? ORDER BY w.id", r.due.id)
	if err != nil {
		return err
	}
	for _, id := range inside {
		child, err := b.run(id)
		if err != nil {
			return err
		}
		if err := b.drop(child); err != nil {
			return err
		}
	}
	return nil
}

// DeleteRun implements [store.RunStore].
func (l *Store) DeleteRun(ctx context.Context, id uuid.UUID) error {
	err := l.write(ctx, Common, never.time(), func(b *book) error {
		r, err := b.run(id)
		if err != nil {
			return err
		}
		if !r.due.state.Terminal() {
			return fmt.Errorf("%w: run %s is %s; cancel it first", store.ErrConflict, id, r.due.state)
		}
		return b.drop(r)
	})
	if err != nil {
		return fmt.Errorf("delete run: %w", err)
	}
	return nil
}

// PruneRuns implements [store.RunStore]. It looks before it writes: mostly there is nothing to
// do.
func (l *Store) PruneRuns(ctx context.Context, p store.PruneRunsParams) (int, error) {
	p.Limit = cmp.Or(p.Limit, store.MaxPage)
	found, err := look(ctx, l, func(b *book) (old prunable, err error) {
		if old.runs, err = b.prunableRuns(p); err == nil {
			old.skips, err = b.prunableSkips(p)
		}
		return old, err
	})
	switch {
	case err != nil:
		return 0, fmt.Errorf("prune runs: %w", err)
	case len(found.runs)+len(found.skips) == 0:
		return 0, nil
	}
	return change(ctx, l, "prune runs", Common, never.time(), func(b *book) (int, error) {
		if err := b.dropSkips(found.skips); err != nil {
			return 0, err
		}
		return b.prune(found.runs)
	})
}

// prunable is what there is too much of.
type prunable struct{ runs, skips []uuid.UUID }

// prune removes runs as far as they are still there and over.
func (b *book) prune(ids []uuid.UUID) (pruned int, err error) {
	if err := b.load(ids); err != nil {
		return 0, err
	}
	for _, id := range ids {
		r := b.runs[id]
		if r == nil || r.dropped || !r.due.state.Terminal() {
			continue
		}
		if err := b.drop(r); err != nil {
			return 0, err
		}
		pruned++
	}
	return pruned, nil
}

// prunableRuns names the runs that are too old or too many, up to p.Limit of them, oldest end
// first.
func (b *book) prunableRuns(p store.PruneRunsParams) ([]uuid.UUID, error) {
	var found []ending
	err := b.eachEnded(p.Deployments, func(deployment uuid.UUID) error {
		bound, err := b.pruneBound(p, deployment)
		if err != nil || bound == (ending{}) {
			return err
		}
		return b.each("SELECT e.ended, e.id FROM provost_end e WHERE e.deployment = ? AND (e.ended, e.id) <= (?, ?) ORDER BY e.ended, e.id LIMIT ?",
			[]any{deployment, bound.at, bound.id, p.Limit}, func(rows Rows) error {
				var e ending
				err := rows.Scan(&e.at, &e.id)
				found = append(found, e)
				return err
			})
	})
	slices.SortFunc(found, ending.compare)
	var ids []uuid.UUID
	for _, e := range found[:min(len(found), p.Limit)] {
		ids = append(ids, e.id)
	}
	return ids, err
}

// ending is a finished run in the order of their ends.
type ending struct {
	at micros
	id uuid.UUID
}

func (e ending) compare(other ending) int {
	return cmp.Or(cmp.Compare(e.at, other.at), compareIDs(e.id, other.id))
}

// pruneBound is the newest run of a deployment that is too much, or where it would be; zero if none
// is.
func (b *book) pruneBound(p store.PruneRunsParams, deployment uuid.UUID) (bound ending, err error) {
	if p.Keep > 0 {
		_, err = b.one("SELECT e.ended, e.id FROM provost_end e WHERE e.deployment = ? ORDER BY e.ended DESC, e.id DESC LIMIT 1 OFFSET ?",
			[]any{deployment, p.Keep}, &bound.at, &bound.id)
	}
	if before := (ending{at: toMicros(p.Before)}); !p.Before.IsZero() && (bound == (ending{}) || before.compare(bound) > 0) {
		bound = before
	}
	return bound, err
}

// eachEnded goes through deployments; through all that have finished runs, if ids is nil.
func (b *book) eachEnded(ids []uuid.UUID, do func(uuid.UUID) error) error {
	seen := make(map[uuid.UUID]bool, len(ids))
	for _, id := range ids {
		if seen[id] {
			continue
		}
		seen[id] = true
		if err := do(id); err != nil {
			return err
		}
	}
	var last uuid.UUID // runs inside of others have none, and stay
	for ids == nil {
		found, err := b.one("SELECT e.deployment FROM provost_end e WHERE e.deployment > ? ORDER BY e.deployment LIMIT 1", []any{last}, &last)
		if err != nil || !found {
			return err
		}
		if err := do(last); err != nil {
			return err
		}
	}
	return nil
}

// prunableSkips names the skip ranges that are too old.
func (b *book) prunableSkips(p store.PruneRunsParams) ([]uuid.UUID, error) {
	if p.Before.IsZero() {
		return nil, nil
	}
	var where conditions
	where.add(true, "k.last_at < ?", toMicros(p.Before))
	where.add(p.Deployments != nil, "k.deployment IN (?*)", p.Deployments)
	return b.list("SELECT k.id FROM provost_skip k WHERE "+where.String()+" ORDER BY k.id LIMIT ?", append(where.args, p.Limit)...)
}
