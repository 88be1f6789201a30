package memory

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/sorted"
	"github.com/provost-go/provost/params"
	"github.com/provost-go/provost/store"
)

// run is a run as the store holds it: shared parts shared, times as numbers. view makes a Run of
// it.
type run struct {
	id         uuid.UUID
	deployment *deployment // nil for a child run
	flow       *store.FlowRecord
	schedule   *scheduleState // nil for a run made by hand
	name       string         // "": derived from the ID
	params     params.Params  // never changed
	tags       []string       // never changed
	history    []store.State
	version    string
	runner     string
	key        string // idempotency key
	parent     *run
	result     json.RawMessage
	logs       *runLog

	scheduled, due   micros
	claimable        micros // when a claim may take it
	start, end       micros
	lease            micros // end of the lease; never when it is not claimed
	leaseTTL         micros // how long it was given for
	token            int64
	begunUnder       int64 // token of the newest attempt that is known to have begun
	turn             int64 // in the limit's queue
	attempt, crashes int

	settled store.StateType // what the update asked for that ended the newest claim; "" if none did

	auto    bool
	retried bool   // by RetryRun
	waits   bool   // for a slot if there is none, whatever the overlap policy
	parked  bool   // in the limit's queue
	slot    *limit // that it holds a slot of
}

func compareRunIDs(a, b *run) int { return compareIDs(a.id, b.id) }

func compareClaims(a, b *run) int {
	if c := cmp.Compare(a.claimable, b.claimable); c != 0 {
		return c
	}
	if c := cmp.Compare(a.due, b.due); c != 0 {
		return c
	}
	if c := cmp.Compare(a.scheduled, b.scheduled); c != 0 {
		return c
	}
	return compareRunIDs(a, b)
}

func compareInstants(a, b *run) int { return cmp.Compare(a.scheduled, b.scheduled) }

func compareLeases(a, b *run) int {
	if c := cmp.Compare(a.lease, b.lease); c != 0 {
		return c
	}
	return compareRunIDs(a, b)
}

func compareEnds(a, b *run) int {
	if c := cmp.Compare(a.end, b.end); c != 0 {
		return c
	}
	return compareRunIDs(a, b)
}

func (r *run) state() store.State { return r.history[len(r.history)-1] }

func (r *run) begun() bool { return r.attempt > 0 || r.crashes > 0 }

func (r *run) claimed() bool { return r.lease != never }

func (r *run) goesFirst() bool { return r.begun() || r.retried }

// replaceable reports whether plans decide on the run: a schedule made it, and it has neither begun
// nor been retried.
func (r *run) replaceable() bool {
	return r.auto && !r.goesFirst() && r.state().Type == store.StateScheduled
}

// setDue sets when the run is due, and so when it is claimable: at once if it holds a slot, at its
// due time if it needs one.
func (r *run) setDue(due micros) {
	r.due = due
	if r.claimable = due; r.deployment.limit == nil {
		r.claimable -= micros(store.ClaimAhead / time.Microsecond)
	}
}

// view is a copy of the run.
func (r *run) view() *store.Run {
	v := &store.Run{
		ID: r.id, Name: r.displayName(), Flow: r.flow.Name, FlowID: r.flow.ID,
		State: r.state(), History: slices.Clone(r.history), Parameters: r.params.Clone(), Tags: slices.Clone(r.tags),
		Version: r.version, ScheduledTime: r.scheduled.time(), DueTime: r.due.time(), StartTime: r.start.time(),
		EndTime: r.end.time(), Attempt: r.attempt, Crashes: r.crashes, Runner: r.runner, AutoScheduled: r.auto,
		IdempotencyKey: r.key, Result: bytes.Clone(r.result),
	}
	if d := r.deployment; d != nil {
		v.Deployment, v.DeploymentID = d.record.Name, d.record.ID
	}
	if r.schedule != nil {
		v.Schedule = r.schedule.key
	}
	if r.parent != nil {
		v.ParentID = r.parent.id
	}
	if r.parked {
		v.WaitReason = store.WaitLimit
	}
	return v
}

func (r *run) displayName() string {
	if r.name != "" {
		return r.name
	}
	return store.RunName(r.id)
}

// add puts a new run into every index but the queues.
func (m *Store) add(r *run) {
	m.runs[r.id] = r
	m.all.Insert(r)
	m.inState(r.state().Type).Insert(r)
	for _, tag := range r.tags {
		at(m.tags, tag).Insert(r)
	}
	if r.deployment != nil {
		r.deployment.runs.Insert(r)
	}
	if r.parent != nil {
		at(m.children, r.parent.id).Insert(r)
	}
}

// inState is the index of the runs in a state; there are few states, so it stays when it is empty.
func (m *Store) inState(t store.StateType) *sorted.Index[*run] { return at(m.states, t) }

// remove takes a run out of every index.
func (m *Store) remove(r *run) {
	if r.deployment != nil {
		if r.state().Type == store.StateScheduled {
			m.unpark(r)
		}
		m.free(r)
		r.deployment.runs.Delete(r)
		if r.key != "" {
			delete(m.keys, idempotencyKey{r.deployment.record.ID, r.key})
		}
	}
	if r.schedule != nil {
		r.schedule.runs.Delete(r)
	}
	delete(m.runs, r.id)
	m.all.Delete(r)
	m.ended.Delete(r)
	m.inState(r.state().Type).Delete(r)
	for _, tag := range r.tags {
		removeFrom(m.tags, tag, r)
	}
	if r.parent != nil {
		removeFrom(m.children, r.parent.id, r)
	}
	m.dropLog(r)
	m.hintRun(r.id)
}

// advance appends a state that the machine is known to list, and keeps the index by state.
func (m *Store) advance(r *run, next store.State) {
	if err := m.tryAdvance(r, next); err != nil {
		panic(fmt.Sprintf("provost: memory store: %v", err)) // a caller has to check first
	}
}

// tryAdvance appends a state if the machine lists the step.
func (m *Store) tryAdvance(r *run, next store.State) error {
	before := r.state().Type
	if err := r.appendState(next); err != nil {
		return err
	}
	m.restate(r, before)
	return nil
}

// appendState appends a state and leaves the index by state to restate.
func (r *run) appendState(next store.State) error {
	history, err := store.AppendState(r.history, next)
	if err != nil {
		return fmt.Errorf("run %s: %w", r.id, err)
	}
	r.history = history
	return nil
}

// restate moves a run to where its state belongs.
func (m *Store) restate(r *run, before store.StateType) {
	if after := r.state().Type; after != before {
		m.inState(before).Delete(r)
		m.inState(after).Insert(r)
	}
	m.hintRun(r.id)
}

// finish makes a run terminal and lets retention take what there is too much of.
func (m *Store) finish(r *run, final store.State) {
	m.advance(r, final)
	m.finished(r)
}

func (m *Store) finished(r *run) {
	r.end = toMicros(r.state().Timestamp)
	if r.schedule != nil {
		r.schedule.decideRun(r, r.end)
	}
	m.endLease(r)
	m.ended.Insert(r)
	keep := cmp.Or(m.Keep, defaultKeep)
	for keep > 0 && m.ended.Len() > keep {
		oldest, _ := m.ended.Min()
		m.forget(oldest)
	}
}

// forget removes a finished run and the runs inside it; its instant stays decided.
func (m *Store) forget(r *run) {
	if s := r.schedule; s != nil {
		s.bury(r)
	}
	if inside := m.children[r.id]; inside != nil {
		for _, child := range slices.Collect(inside.Ascend()) {
			m.forget(child)
		}
	}
	m.remove(r)
}

// endLease ends a claim: the slot goes on to the next, and runs inside the run end with it.
func (m *Store) endLease(r *run) {
	if r.claimed() {
		m.leases.Delete(r)
		r.lease = never
	}
	if r.deployment != nil {
		m.free(r)
	}
	inside := m.children[r.id]
	if inside == nil {
		return
	}
	for _, child := range slices.Collect(inside.Ascend()) {
		if !child.state().Terminal() {
			m.finish(child, childEnd(child.state().Type, r.state().Timestamp))
		}
	}
}

// childEnd is what becomes of a child run whose parent's lease ends.
func childEnd(state store.StateType, at time.Time) store.State {
	if state == store.StateCancelling {
		return store.NewState(store.StateCancelled, at, "its parent run ended")
	}
	return store.NewState(store.StateCrashed, at, "its parent run ended before it did")
}

// run finds a run.
func (m *Store) run(id uuid.UUID) (*run, error) {
	r := m.runs[id]
	if r == nil {
		return nil, fmt.Errorf("run %s: %w", id, store.ErrNotFound)
	}
	return r, nil
}

// holder is the run whose lease covers r: its own, or its parent's, or theirs.
func (r *run) holder() *run {
	for r.parent != nil {
		r = r.parent
	}
	return r
}

// leased finds a claimed run, or a child of one, by its lease.
func (m *Store) leased(l store.Lease) (*run, error) {
	r, err := m.run(l.RunID)
	if err != nil {
		return nil, err
	}
	if holder := r.holder(); !holder.claimed() || holder.token != l.Token {
		return nil, fmt.Errorf("run %s, token %d: %w", l.RunID, l.Token, store.ErrLeaseLost)
	}
	return r, nil
}
