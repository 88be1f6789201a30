package sqlstore

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/rules"
	"github.com/provost-go/provost/store"
)

// SettleRuns implements [store.RunStore].
func (l *Store) SettleRuns(ctx context.Context, p store.SettleRunsParams) ([]error, error) {
	return change(ctx, l, "settle runs", Common, p.Now, func(b *book) ([]error, error) { return b.settleRuns(p) })
}

func (b *book) settleRuns(p store.SettleRunsParams) (errs []error, err error) {
	ids := make([]uuid.UUID, len(p.Updates))
	for i := range p.Updates {
		ids[i] = p.Updates[i].RunID
	}
	taken, err := b.take(p.Updates)
	if err != nil {
		return errs, err
	}
	if err := b.load(ids); err != nil {
		return errs, err
	}
	if err := b.lookInside(ids); err != nil {
		return errs, err
	}
	var runs []*run
	for _, id := range ids {
		if r := b.runs[id]; r != nil {
			runs = append(runs, r)
		}
	}
	if err := b.lockSchedulesOf(runs); err != nil {
		return errs, err
	}
	for i := range p.Updates {
		refusal, err := b.settle(&p.Updates[i])
		if err != nil {
			return errs, err
		}
		if refusal != nil {
			if errs == nil {
				errs = make([]error, len(p.Updates))
			}
			errs[i] = refusal
		}
	}
	for _, r := range taken {
		if !r.over {
			b.change(r) // its row is gone, and wanted
		}
	}
	return errs, nil
}

// take loads the runs that updates end, where the database can remove their rows at that. It is for
// calls that end all their runs: a row that is removed and comes back is another one to those who
// wait for it. And it is for runs under one token, as the first attempts of most are.
func (b *book) take(updates []store.RunUpdate) (taken []*run, err error) {
	taker, ok := b.tx.(DeleteReturner)
	if !ok || len(updates) == 0 {
		return nil, nil
	}
	ids := make([]uuid.UUID, len(updates))
	for i := range updates {
		u := &updates[i]
		if !u.State.Terminal() || u.StartTime.IsZero() || u.Token != updates[0].Token || b.runs[u.RunID] != nil {
			return nil, nil
		}
		ids[i] = u.RunID
	}
	slices.SortFunc(ids, compareIDs)
	rows, err := taker.DeleteReturning(dueColumns, ids, updates[0].Token)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		r, err := scanDue(rows)
		if err != nil {
			return nil, err
		}
		r.stored = false
		b.changes++
		b.runs[r.due.id] = r
		taken = append(taken, r)
	}
	return taken, rows.Err()
}

// settle judges one update, and writes it if it is accepted. A refusal is the update's own; err
// ends the whole call.
func (b *book) settle(u *store.RunUpdate) (refusal, err error) {
	if before, err := b.settledBefore(u); before || err != nil {
		return nil, err
	}
	r, refusal := b.leased(u.Lease)
	if refusal == nil {
		refusal = r.checkUpdate(u)
	}
	if refusal != nil {
		return refusal, nil
	}
	before := r.due.state
	if refusal := b.recordStart(r, u); refusal != nil {
		return refusal, nil
	}
	next := u.State.Type
	if next.Terminal() || next == store.StateScheduled {
		r.due.settled = next
		if u.Crashed {
			r.due.crashes++
			r.due.attempt = max(r.due.attempt, u.Attempt)
		}
		b.change(r)
	}
	switch {
	case next == "":
		return nil, nil
	case next == store.StateScheduled, before == store.StateCancelling && rules.GivesUp(next):
		return b.giveBack(r, u)
	}
	if err := b.advance(r, u.State); err != nil {
		return nil, err // checkUpdate has seen that it is listed
	}
	r.due.result = u.Result
	if next.Terminal() {
		err = b.finished(r)
	}
	return nil, err
}

// settledBefore reports whether the update repeats one that was accepted.
func (b *book) settledBefore(u *store.RunUpdate) (bool, error) {
	r := b.runs[u.RunID]
	if r == nil || r.dropped || u.State.Type == "" || r.due.settled != u.State.Type {
		return false, nil
	}
	holder, err := b.run(r.holderID())
	if isNotFound(err) {
		return false, nil
	}
	return err == nil && holder.due.token == u.Token, err
}

// checkUpdate refuses an update as a whole, before any of it is written.
func (r *run) checkUpdate(u *store.RunUpdate) error {
	if r.due.state.Terminal() {
		return fmt.Errorf("%w: run %s has finished: %s", store.ErrConflict, r.due.id, r.due.state)
	}
	return rules.Update(u, r.due.state, r.child())
}

// recordStart notes that an attempt began.
func (b *book) recordStart(r *run, u *store.RunUpdate) error {
	pending := r.due.state == store.StatePending
	if u.StartTime.IsZero() || (r.due.attempt == u.Attempt && !pending) {
		return nil
	}
	start := toMicros(u.StartTime)
	if pending {
		if err := b.advance(r, newState(store.StateRunning, start, "")); err != nil {
			return err
		}
	}
	r.due.attempt, r.due.version, r.due.start, r.due.begun = u.Attempt, u.Version, start, u.Token
	b.change(r)
	return nil
}

// giveBack makes a claimed run wait for another claim.
func (b *book) giveBack(r *run, u *store.RunUpdate) (refusal, err error) {
	if r.due.state == store.StateCancelling {
		return nil, b.finish(r, newState(store.StateCancelled, toMicros(u.State.Timestamp), u.State.Message))
	}
	if err := b.advance(r, u.State); err != nil {
		return nil, err
	}
	if err := b.endLease(r); err != nil {
		return nil, err
	}
	r.due.attempt = u.Attempt
	due := r.due.due
	if !u.DueTime.IsZero() {
		due = toMicros(u.DueTime)
	}
	return nil, b.wait(r, due)
}
