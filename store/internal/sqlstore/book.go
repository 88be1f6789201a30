package sqlstore

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/params"
	"github.com/provost-go/provost/store"
)

// book is the rows that an operation has read and changed. What it has changed is in the database
// after flush; whoever asks the database for rows by what they hold, rather than by their key,
// flushes first.
type book struct {
	tx    Tx
	now   micros
	hints Hints

	lock        string // of deployments that are read from now on
	memory      *memory
	hopeful     bool // see State
	supposes    bool // too
	changes     int  // what operations have changed so far
	deployments map[uuid.UUID]*deployment
	limits      map[string]*limit
	served      map[uuid.UUID]bool // at now
	runs        map[uuid.UUID]*run
	inside      map[uuid.UUID]bool // whether a run has unfinished runs inside, where that is known
	changed     []*run             // in the order in which they were first changed
	touched     []*deployment

	called   time.Time // when the operation was asked for, which is now by the clock of this machine
	way      *way      // of a claim
	ahead    micros    // how far the clock of leases is ahead of the one of now
	suspect  *micros   // what Store.suspect becomes; nil: it stays
	promoted int       // runs that got a slot while they waited
	skipped  []store.SkippedRun
}

func newBook(tx Tx, now micros) *book {
	return &book{
		tx: tx, now: now, lock: keyShare,
		deployments: make(map[uuid.UUID]*deployment), limits: make(map[string]*limit), served: make(map[uuid.UUID]bool),
		runs: make(map[uuid.UUID]*run), inside: make(map[uuid.UUID]bool),
	}
}

// enter begins another operation of the transaction.
func (b *book) enter(now micros, called time.Time) {
	b.now, b.called, b.skipped = now, called, nil
	clear(b.served)
}

// clock is now on the clock of leases: of runs, and of runners.
func (b *book) clock() micros { return b.theirs(b.now) }

// theirs and ours turn times of this machine's clock into those of the clock of leases, and back.
func (b *book) theirs(at micros) micros {
	if at == never {
		return never
	}
	return at + b.ahead
}

func (b *book) ours(at micros) micros {
	if at == never {
		return never
	}
	return at - b.ahead
}

// exec changes rows past the book.
func (b *book) exec(query string, args ...any) error {
	b.changes++
	return b.tx.Exec(query, args...)
}

// foresee says which query is likely to come after the next one.
func (b *book) foresee(query string, args ...any) {
	if f, ok := b.tx.(Prefetcher); ok {
		f.Prefetch(query, args...)
	}
}

// last says that nothing but the commit comes after the next query, and those that are foreseen to
// come after it.
func (b *book) last() {
	if f, ok := b.tx.(Prefetcher); ok {
		f.CommitNext()
	}
}

// each calls scan for each row that a query finds, of what is there with all that the book has
// changed.
func (b *book) each(query string, args []any, scan func(Rows) error) error {
	if err := b.flush(); err != nil {
		return err
	}
	return b.eachStored(query, args, scan)
}

// eachStored is each for rows that are found by their keys and that the book does not have.
func (b *book) eachStored(query string, args []any, scan func(Rows) error) error {
	rows, err := b.tx.Query(query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// one reads at most one row, and says whether there is one.
func (b *book) one(query string, args []any, into ...any) (found bool, err error) {
	err = b.each(query, args, func(rows Rows) error {
		found = true
		return rows.Scan(into...)
	})
	return found, err
}

// list reads a column of IDs.
func (b *book) list(query string, args ...any) (ids []uuid.UUID, err error) {
	err = b.each(query, args, func(rows Rows) error {
		var id uuid.UUID
		ids = append(ids, id)
		return rows.Scan(&ids[len(ids)-1])
	})
	return ids, err
}

// run is a run with what the tables hold of it.
type run struct {
	due  due
	wide *wide // nil until it is needed

	isNew   bool // nothing of it is stored yet
	stored  bool // it has a row in due
	over    bool // it is terminal, and has none any more
	ended   bool // it has a row in end
	dropped bool // it is to be deleted
	changed bool
	claimed bool // nothing has happened to it but a claim, of which suffix is what its history gained
	suffix  string
}

// due is the row of a run that is not over, and all that changes in the life of a run.
type due struct {
	id, deployment uuid.UUID
	serial         int64
	queued         bool // claimable at some time: its row has the deployment's lane
	claimable      micros
	due            micros
	scheduled      micros
	lease          micros // never: it is not claimed
	ttl            micros
	token          int64
	begun          int64 // token of the newest attempt that is known to have begun
	turn           int64 // in the limit's queue
	attempt        int
	crashes        int
	auto           bool
	retried        bool // by RetryRun
	waits          bool // for a slot if there is none, whatever the overlap policy
	once           bool // its deployment, which has been deleted since, was AtMostOnce
	stateAt        micros
	start          micros
	claim          uuid.UUID // names the call that claimed it
	parent, root   uuid.UUID
	schedule       string
	queue          word // the limit whose queue it is in
	slot           word // the limit of which it holds a slot
	state          store.StateType
	stateName      string
	settled        store.StateType // what the update asked for that ended the newest claim; "" if none did
	runner         string
	version        string
	states         []byte // its history
	end            micros
	result         []byte
}

// wide is what does not change.
type wide struct {
	flowID     uuid.UUID
	flow       string
	deployment string
	name       string
	key        word
	params     string
	tags       string
}

func (r *run) held() bool      { return r.due.lease != never }
func (r *run) hasBegun() bool  { return r.due.attempt > 0 || r.due.crashes > 0 }
func (r *run) goesFirst() bool { return r.hasBegun() || r.due.retried }
func (r *run) child() bool     { return r.due.parent != uuid.Nil }

// replaceable reports whether plans decide on the run: a schedule made it, and it has neither begun
// nor been retried.
func (r *run) replaceable() bool {
	return r.due.auto && !r.goesFirst() && r.due.state == store.StateScheduled
}

func (r *run) skipped() bool {
	return r.due.state == store.StateCancelled && r.due.stateName == store.NameSkipped
}

// change notes that a run's rows are to be written.
func (b *book) change(r *run) {
	b.changes++
	r.claimed = false
	if !r.changed {
		r.changed = true
		b.changed = append(b.changed, r)
	}
}

// hintRun notes that a run changed, for those who wait for it.
func (b *book) hintRun(r *run) { b.hints.runs = append(b.hints.runs, r.due.id) }

const dueColumns = `d.id, d.deployment, d.serial, d.lane, d.claimable, d.due, d.scheduled, d.lease, d.ttl, d.token, d.begun, d.turn,
	d.attempt, d.crashes, d.flags, d.state_at, d.start, d.claim, d.parent, d.root, d.schedule, d.queue, d.slot,
	d.state, d.state_name, d.settled, d.runner, d.version, d.states`

// scanDue reads a row of due, with what else the query selects behind it.
func scanDue(rows Rows, more ...any) (*run, error) {
	r := &run{stored: true}
	d := &r.due
	var lane micros
	var flags int
	var claim, parent, root uuid.NullUUID
	err := rows.Scan(append([]any{
		&d.id, &d.deployment, &d.serial, &lane, &d.claimable, &d.due, &d.scheduled, &d.lease, &d.ttl, &d.token, &d.begun, &d.turn,
		&d.attempt, &d.crashes, &flags, &d.stateAt, &d.start, &claim, &parent, &root, &d.schedule, &d.queue, &d.slot,
		&d.state, &d.stateName, &d.settled, &d.runner, &d.version, &d.states,
	}, more...)...)
	d.queued = lane != never
	d.setFlags(flags)
	d.claim, d.parent, d.root = claim.UUID, parent.UUID, root.UUID
	d.end = never
	return r, err
}

// What the flags of a run are.
const (
	flagAuto = 1 << iota
	flagRetried
	flagWaits
	flagOnce
)

func (d *due) flags() int {
	return flag(d.auto)*flagAuto | flag(d.retried)*flagRetried | flag(d.waits)*flagWaits | flag(d.once)*flagOnce
}

func (d *due) setFlags(flags int) {
	d.auto, d.retried, d.waits, d.once = flags&flagAuto != 0, flags&flagRetried != 0, flags&flagWaits != 0, flags&flagOnce != 0
}

func (b *book) dueRow(r *run) []any {
	d := &r.due
	var lane any
	if d.queued {
		lane = b.deployments[d.deployment].lane
	}
	rank := 1
	if r.goesFirst() {
		rank = 0
	}
	return []any{
		d.id, d.deployment, d.serial, lane, d.claimable, d.due, d.scheduled, d.lease, d.ttl, d.token, d.begun,
		d.turn, rank, d.attempt, d.crashes, d.flags(), d.stateAt, d.start,
		optional(d.claim), optional(d.parent), optional(d.root),
		d.schedule, d.queue, d.slot, string(d.state), d.stateName, string(d.settled), d.runner, d.version, string(d.states),
	}
}

const wideColumns = "w.flow_id, w.flow, w.deployment_name, w.name, w.key, w.params, w.tags"

func (w *wide) targets() []any {
	return []any{&w.flowID, &w.flow, &w.deployment, &w.name, &w.key, &w.params, &w.tags}
}

const endColumns = `e.id, w.deployment, w.serial, w.parent, w.root, w.schedule, w.scheduled, e.ended, e.due, e.start, e.token, e.begun,
	e.attempt, e.crashes, e.flags, e.state, e.state_name, e.settled, e.runner, e.version, e.states, e.result, ` + wideColumns

// scanEnded reads a run that is over.
func scanEnded(rows Rows) (*run, error) {
	r := &run{over: true, ended: true, wide: new(wide)}
	d := &r.due
	d.lease = never
	var flags int
	var parent, root uuid.NullUUID
	var schedule word
	err := rows.Scan(append([]any{
		&d.id, &d.deployment, &d.serial, &parent, &root, &schedule, &d.scheduled, &d.end, &d.due, &d.start, &d.token, &d.begun,
		&d.attempt, &d.crashes, &flags, &d.state, &d.stateName, &d.settled, &d.runner, &d.version, &d.states, &d.result,
	}, r.wide.targets()...)...)
	d.setFlags(flags)
	d.parent, d.root, d.schedule = parent.UUID, root.UUID, string(schedule)
	return r, err
}

func (r *run) endRow() []any {
	d := &r.due
	return []any{
		d.id, d.deployment, d.end, d.due, d.start, d.token, d.begun, d.attempt, d.crashes, d.flags(), string(d.state), d.stateName,
		string(d.settled), d.runner, d.version, string(d.states), word(d.result),
	}
}

func (r *run) runRow() []any {
	d, w := &r.due, r.wide
	return []any{
		d.id, d.deployment, d.serial, w.flowID, optional(d.parent), optional(d.root), w.flow, w.deployment, w.name, word(d.schedule), w.key,
		w.params, w.tags, d.scheduled,
	}
}

// load reads the runs of a list that the book does not have.
func (b *book) load(ids []uuid.UUID) error {
	missing := slices.DeleteFunc(slices.Clone(ids), func(id uuid.UUID) bool { return b.runs[id] != nil })
	if len(missing) == 0 {
		return nil
	}
	const unfinished = "d.id IN (?*) ORDER BY d.id FOR UPDATE"
	if _, err := b.readDue(b.eachStored, unfinished, missing); err != nil {
		return err
	}
	missing = slices.DeleteFunc(missing, func(id uuid.UUID) bool { return b.runs[id] != nil })
	if len(missing) == 0 {
		return nil
	}
	if err := b.loadEnded(missing); err != nil || !b.tx.Locks() {
		return err
	}
	missing = slices.DeleteFunc(missing, func(id uuid.UUID) bool { return b.runs[id] != nil })
	if len(missing) == 0 {
		return nil
	}
	_, err := b.readDue(b.eachStored, unfinished, missing) // one that was reopened meanwhile was in neither when that was asked
	return err
}

func (b *book) loadEnded(ids []uuid.UUID) error {
	return b.eachStored("SELECT "+endColumns+" FROM provost_end e JOIN provost_run w ON w.id = e.id WHERE e.id IN (?*) ORDER BY e.id FOR UPDATE OF e", []any{ids},
		func(rows Rows) error {
			r, err := scanEnded(rows)
			if err == nil {
				b.runs[r.due.id] = r
			}
			return err
		})
}

// loadDue reads unfinished runs, and gives those that the query finds. What the book has already is
// as the book has it.
func (b *book) loadDue(where string, args ...any) ([]*run, error) {
	return b.readDue(b.each, where, args...)
}

// loadDueByID is loadDue in the order of IDs. They are not sorted by the database: where its
// indexes have the runs that are asked for in another order, it might rather go through all that
// there are in this one.
func (b *book) loadDueByID(where string, args ...any) ([]*run, error) {
	list, err := b.loadDue(where+" FOR UPDATE", args...)
	slices.SortFunc(list, func(x, y *run) int { return compareIDs(x.due.id, y.due.id) })
	return list, err
}

func (b *book) readDue(each func(string, []any, func(Rows) error) error, where string, args ...any) ([]*run, error) {
	var found []*run
	err := each("SELECT "+dueColumns+" FROM provost_due d WHERE "+where, args, func(rows Rows) error {
		r, err := scanDue(rows)
		if err != nil {
			return err
		}
		if known := b.runs[r.due.id]; known != nil {
			r = known
		} else {
			b.runs[r.due.id] = r
		}
		found = append(found, r)
		return nil
	})
	return found, err
}

// loadWide reads what runs lack of their wide rows.
func (b *book) loadWide(runs ...*run) error {
	var missing []uuid.UUID
	for _, r := range runs {
		if r.wide == nil {
			missing = append(missing, r.due.id)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return b.eachStored("SELECT w.id, "+wideColumns+" FROM provost_run w WHERE w.id IN (?*)", []any{missing}, func(rows Rows) error {
		var id uuid.UUID
		w := new(wide)
		if err := rows.Scan(append([]any{&id}, w.targets()...)...); err != nil {
			return err
		}
		if r := b.runs[id]; r != nil {
			r.wide = w
		}
		return nil
	})
}

// run finds a run.
func (b *book) run(id uuid.UUID) (*run, error) {
	if err := b.load([]uuid.UUID{id}); err != nil {
		return nil, err
	}
	if r := b.runs[id]; r != nil && !r.dropped {
		return r, nil
	}
	return nil, fmt.Errorf("run %s: %w", id, store.ErrNotFound)
}

// flush writes what has changed.
func (b *book) flush() error {
	if err := b.loadQueued(); err != nil {
		return err
	}
	if err := b.flushDeployments(); err != nil {
		return err
	}
	if err := b.flushLimits(); err != nil {
		return err
	}
	runs := b.changed
	b.changed = nil
	var w runWrites
	for _, r := range runs {
		r.changed = false
		if r.due.queued {
			b.hints.queued(b.deployments[r.due.deployment].lane, r.due.claimable)
		}
		w.add(b, r)
	}
	return b.writeRuns(&w)
}

// runWrites is what changed runs ask to be written.
type runWrites struct {
	made, ended, newDue, oldDue [][]any
	claims                      []*run
	gone                        []uuid.UUID // from due
	reopened                    []uuid.UUID // from end
	dropped                     []uuid.UUID // from everywhere
}

func (w *runWrites) add(b *book, r *run) {
	if r.stored && (r.over || r.dropped) {
		w.gone = append(w.gone, r.due.id)
	}
	if r.ended {
		w.reopened = append(w.reopened, r.due.id)
	}
	if r.dropped {
		if !r.isNew {
			w.dropped = append(w.dropped, r.due.id)
		}
		delete(b.runs, r.due.id)
		return
	}
	if r.isNew {
		w.made = append(w.made, r.runRow())
	}
	switch {
	case r.over:
		w.ended = append(w.ended, r.endRow())
	case r.claimed:
		w.claims = append(w.claims, r)
	case r.stored:
		w.oldDue = append(w.oldDue, b.dueRow(r))
	default:
		w.newDue = append(w.newDue, b.dueRow(r))
	}
	r.isNew, r.claimed, r.stored, r.ended = false, false, !r.over, r.over
}

func (b *book) writeRuns(w *runWrites) error {
	for _, d := range []struct {
		table, column string
		ids           []uuid.UUID
	}{
		{"due", "id", w.gone},
		{"end", "id", w.reopened},
		{"log", "run", w.dropped},
		{"log_state", "run", w.dropped},
		{"run", "id", w.dropped},
	} {
		if err := b.deleteIn(d.table, d.column, d.ids); err != nil {
			return err
		}
	}
	if err := b.writeClaims(w.claims); err != nil {
		return err
	}
	return b.writeRows([]tableRows{
		{runTable, w.made, true}, {dueTable, w.newDue, true}, {dueTable, w.oldDue, false}, {endTable, w.ended, true},
	})
}

// writeClaims writes runs to which nothing has happened but the claim, all alike, without a list of
// their columns for each. It raises flagWaits, as a claim does.
func (b *book) writeClaims(runs []*run) error {
	for len(runs) > 0 {
		first := runs[0]
		var alike []uuid.UUID
		runs = slices.DeleteFunc(runs, func(r *run) bool {
			same := r.suffix == first.suffix && r.due.claim == first.due.claim && r.due.lease == first.due.lease &&
				r.due.ttl == first.due.ttl && r.due.runner == first.due.runner
			if same {
				alike = append(alike, r.due.id)
			}
			return same
		})
		d := &first.due
		err := b.exec(`UPDATE provost_due SET lane = NULL, queue = NULL, flags = flags | 4, token = token + 1, lease = ?, ttl = ?, claim = ?,
			runner = ?, settled = '', state = ?, state_name = ?, state_at = ?, states = states || ? WHERE id IN (?*)`,
			d.lease, d.ttl, optional(d.claim), d.runner, string(d.state), d.stateName, d.stateAt, first.suffix, alike)
		if err != nil {
			return err
		}
	}
	return nil
}

// loadQueued sees to it that the lanes of changed runs are known.
func (b *book) loadQueued() error {
	for _, r := range b.changed {
		if _, known := b.deployments[r.due.deployment]; r.due.queued && !known {
			if err := b.loadDeployments([]uuid.UUID{r.due.deployment}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *book) deleteIn(table, column string, ids []uuid.UUID) error {
	if len(ids) == 0 {
		return nil
	}
	return b.exec("DELETE FROM provost_"+table+" WHERE "+column+" IN (?*)", ids)
}

// view is the run as callers see it. Its wide row must be loaded.
func (r *run) view() (*store.Run, error) {
	d, w := &r.due, r.wide
	history, err := readHistory(d.states)
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", d.id, err)
	}
	v := &store.Run{
		ID: d.id, Name: w.name, Flow: w.flow, FlowID: w.flowID, Deployment: w.deployment, DeploymentID: d.deployment,
		Schedule: d.schedule, State: history[len(history)-1], History: history, Version: d.version,
		ScheduledTime: d.scheduled.time(), DueTime: d.due.time(), StartTime: d.start.time(), EndTime: d.end.time(),
		Attempt: d.attempt, Crashes: d.crashes, Runner: d.runner, AutoScheduled: d.auto, IdempotencyKey: string(w.key),
		ParentID: d.parent, Result: bytes.Clone(d.result),
	}
	if v.Parameters, err = decode[params.Params](w.params); err != nil {
		return nil, fmt.Errorf("parameters of run %s: %w", d.id, err)
	}
	if v.Tags, err = decode[[]string](w.tags); err != nil {
		return nil, fmt.Errorf("tags of run %s: %w", d.id, err)
	}
	if d.queue != "" {
		v.WaitReason = store.WaitLimit
	}
	return v, nil
}

// show is view with all that it needs.
func (b *book) show(r *run) (*store.Run, error) {
	if err := b.loadWide(r); err != nil {
		return nil, err
	}
	return r.view()
}

// advance appends a state, if the state machine lists the step.
func (b *book) advance(r *run, next store.State) error {
	d := &r.due
	last := []store.State{{Type: d.state, Name: d.stateName, Timestamp: d.stateAt.time()}}
	if len(d.states) == 0 {
		last = nil
	} else if bytes.Count(d.states, []byte{'\n'}) >= maxHistory {
		return b.advanceLong(r, next)
	}
	history, err := store.AppendState(last, next)
	if err != nil {
		return fmt.Errorf("run %s: %w", d.id, err)
	}
	d.states = appendState(d.states, history[len(history)-1])
	b.stateIs(r, history[len(history)-1])
	return nil
}

// maxHistory is when AppendState begins to drop states; the store asks it then with the whole
// history.
const maxHistory = 100

func (b *book) advanceLong(r *run, next store.State) error {
	history, err := readHistory(r.due.states)
	if err == nil {
		history, err = store.AppendState(history, next)
	}
	if err != nil {
		return fmt.Errorf("run %s: %w", r.due.id, err)
	}
	r.due.states = nil
	for _, s := range history {
		r.due.states = appendState(r.due.states, s)
	}
	b.stateIs(r, history[len(history)-1])
	return nil
}

func (b *book) stateIs(r *run, s store.State) {
	r.due.state, r.due.stateName, r.due.stateAt = s.Type, s.Name, toMicros(s.Timestamp)
	b.change(r)
	b.hintRun(r)
}
