package memory

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/store"
)

// model is what a store means, in slices and loops: it finds, counts and orders by looking at every
// run.
type model struct {
	deployments []*modelDeployment // newest declaration of each, deleted ones included
	runs        []*modelRun
	served      map[uuid.UUID][]uuid.UUID // by runner
	turns       int
	sizes       map[string]int // of limits
	now         time.Time
	claims      map[uuid.UUID]modelClaim // newest of each runner
}

type modelDeployment struct {
	record     *store.DeploymentRecord
	generation int64
	operator   *bool
	planned    time.Time
	complete   bool // the newest plan says that nothing is to come
	watermark  time.Time
	instants   map[time.Time]bool // that have or had a run since the deployment was declared first
	deleted    bool
}

type modelRun struct {
	id                  uuid.UUID
	d                   *modelDeployment // nil for a child run
	parent              *modelRun
	key, runner         string
	history             []store.State
	scheduled, due, end time.Time
	lease               time.Time // zero while it is not claimed
	token               int64
	attempt, crashes    int
	told                int64 // token of the newest attempt that it was told of
	auto, tick          bool
	slot                string // key of the limit that it holds a slot of
	parked              bool
	retried, waits      bool
	turn                int
	settled             store.StateType
	log                 modelLog
}

func (r *modelRun) state() store.StateType { return r.history[len(r.history)-1].Type }

func (r *modelRun) begun() bool { return r.attempt > 0 || r.crashes > 0 }

func (r *modelRun) first() bool { return r.begun() || r.retried }

func (r *modelRun) claimed() bool { return !r.lease.IsZero() }

func (r *modelRun) limit() string { return r.d.record.LimitKey() }

func (r *modelRun) advance(next store.State) {
	history, err := store.AppendState(slices.Clone(r.history), next)
	if err != nil {
		panic(err)
	}
	r.history = history
}

func (r *modelRun) holder() *modelRun {
	for r.parent != nil {
		r = r.parent
	}
	return r
}

func (d *modelDeployment) paused() bool { return d.operator != nil && *d.operator }

func (m *model) find(id uuid.UUID) *modelRun {
	for _, r := range m.runs {
		if r.id == id {
			return r
		}
	}
	return nil
}

func (m *model) remove(gone *modelRun) {
	m.runs = slices.DeleteFunc(m.runs, func(r *modelRun) bool { return r == gone })
}

func (m *model) live(id uuid.UUID) *modelDeployment {
	for _, d := range m.deployments {
		if d.record.ID == id && !d.deleted {
			return d
		}
	}
	return nil
}

func (m *model) register(r *store.DeploymentRecord, now time.Time) *modelDeployment {
	d := m.live(r.ID)
	m.sizes[r.LimitKey()] = r.ConcurrencyLimit
	if d == nil {
		m.deployments = slices.DeleteFunc(m.deployments, func(d *modelDeployment) bool { return d.record.ID == r.ID })
		d = &modelDeployment{record: r, generation: 1, planned: now, watermark: now, instants: make(map[time.Time]bool)}
		m.deployments = append(m.deployments, d)
		m.handOut(r.LimitKey())
		return d
	}
	before := d.record.LimitKey()
	m.reset(d, now)
	d.record = r
	d.generation++
	if after := r.LimitKey(); after != before {
		m.changeLimit(d, after)
		m.handOut(before)
	}
	m.handOut(r.LimitKey())
	return d
}

// changeLimit lets those that wait go, and counts what is under way if there is a limit now.
func (m *model) changeLimit(d *modelDeployment, after string) {
	for _, r := range m.runs {
		if r.d == d {
			r.parked = false
			r.slot = ""
			if r.claimed() {
				r.slot, r.waits = after, true
			}
		}
	}
}

func (m *model) reset(d *modelDeployment, now time.Time) {
	from := instant.Latest(now, d.watermark)
	for _, r := range slices.Clone(m.runs) {
		if r.d == d && r.tick && r.auto && !r.first() && r.state() == store.StateScheduled && r.scheduled.After(from) {
			delete(d.instants, r.scheduled)
			m.drop(r)
		}
	}
	if d.complete {
		d.planned = instant.Latest(d.planned, now)
	}
	d.planned = instant.Latest(d.watermark, instant.Earliest(d.planned, now))
	d.watermark = d.planned
	d.complete = false
}

// drop removes an unstarted run, and gives its slot on.
func (m *model) drop(r *modelRun) {
	m.remove(r)
	m.handOut(r.slot)
}

func (m *model) pause(d *modelDeployment, operator *bool, now time.Time) error {
	if d.deleted {
		return store.ErrNotFound
	}
	before := d.paused()
	d.operator = operator
	if d.paused() != before {
		m.reset(d, now)
		d.generation++
	}
	return nil
}

func (m *model) deleteDeployment(d *modelDeployment, now time.Time) error {
	if d.deleted {
		return store.ErrNotFound
	}
	d.deleted = true
	for runner, ids := range m.served {
		m.served[runner] = slices.DeleteFunc(slices.Clone(ids), func(id uuid.UUID) bool { return id == d.record.ID })
	}
	for _, r := range m.runs {
		if r.d == d && r.state() == store.StateScheduled {
			r.slot, r.parked = "", false
		}
	}
	for _, r := range slices.Clone(m.runs) {
		if r.d != d {
			continue
		}
		switch {
		case r.state() != store.StateScheduled:
		case r.first():
			m.finish(r, store.NewState(store.StateCancelled, now, ""))
		default:
			m.removeAll(r)
		}
	}
	m.handOut(d.record.LimitKey())
	return nil
}

func (m *model) plan(p store.SchedulePlan, now time.Time) error {
	d := m.live(p.DeploymentID)
	switch {
	case d == nil:
		return store.ErrNotFound
	case d.generation != p.Generation:
		return store.ErrConflict
	}
	for _, planned := range p.Runs {
		if d.instants[planned.ScheduledTime] {
			continue
		}
		d.instants[planned.ScheduledTime] = true
		m.runs = append(m.runs, &modelRun{
			id: planned.ID, d: d, history: []store.State{store.NewState(store.StateScheduled, now, "")},
			scheduled: planned.ScheduledTime, due: planned.DueTime, auto: true, tick: true, waits: planned.CatchUp,
		})
	}
	for _, r := range m.runs {
		if r.d == d && r.tick && !r.first() && r.state() == store.StateScheduled && slices.ContainsFunc(p.Late, r.scheduled.Equal) {
			r.waits = true
		}
	}
	d.planned = p.Planned
	d.complete = p.PlanTime.IsZero()
	return nil
}

func (m *model) create(p store.CreateRunParams) (*modelRun, error) {
	if r := m.find(p.ID); r != nil {
		return r, nil
	}
	d := m.live(p.DeploymentID)
	if d == nil {
		return nil, store.ErrNotFound
	}
	for _, r := range m.runs {
		if p.IdempotencyKey != "" && r.key == p.IdempotencyKey && r.d != nil && r.d.record.ID == p.DeploymentID {
			return r, nil
		}
	}
	if p.Generation != 0 && p.Generation != d.generation {
		return nil, store.ErrConflict
	}
	r := &modelRun{
		id: p.ID, d: d, key: p.IdempotencyKey, history: []store.State{store.NewState(store.StateScheduled, p.Now, "")},
		scheduled: p.ScheduledTime, due: p.DueTime,
	}
	if r.limit() != "" && !r.due.After(p.Now) {
		if d.record.Overlap == store.OverlapEnqueue && m.waiting(d) >= d.record.MaxWaiting && !m.free(d) {
			return nil, store.ErrQueueFull
		}
		m.runs = append(m.runs, r)
		m.admit(r, p.Now)
		return r, nil
	}
	m.runs = append(m.runs, r)
	return r, nil
}

func (m *model) child(p store.CreateRunParams) error {
	parent, err := m.leased(p.Child.Parent)
	if err != nil {
		return err
	}
	if parent.state().Terminal() {
		return store.ErrConflict
	}
	m.runs = append(m.runs, &modelRun{
		id: p.ID, parent: parent, history: []store.State{store.NewState(store.StateRunning, p.Now, "")}, runner: parent.runner,
		scheduled: p.ScheduledTime, due: p.DueTime, attempt: 1,
	})
	return nil
}

func (m *model) leased(l store.Lease) (*modelRun, error) {
	r := m.find(l.RunID)
	if r == nil {
		return nil, store.ErrNotFound
	}
	if h := r.holder(); !h.claimed() || h.token != l.Token {
		return nil, store.ErrLeaseLost
	}
	return r, nil
}

// members are the runs under a limit.
func (m *model) members(key string) []*modelRun {
	var runs []*modelRun
	for _, r := range m.runs {
		if key != "" && r.d != nil && !r.d.deleted && r.limit() == key {
			runs = append(runs, r)
		}
	}
	return runs
}

func (m *model) held(key string) int {
	held := 0
	for _, r := range m.runs {
		if r.slot == key {
			held++
		}
	}
	return held
}

func (m *model) full(key string) bool { return m.held(key) >= m.sizes[key] }

func (m *model) isServed(d *modelDeployment) bool {
	for _, ids := range m.served {
		if slices.Contains(ids, d.record.ID) {
			return true
		}
	}
	return false
}

func before(a, b *modelRun) bool {
	if a.first() != b.first() {
		return a.first()
	}
	return a.turn < b.turn
}

// first is the head of a limit's queue, or of that part of it that is served.
func (m *model) first(key string, served bool) *modelRun {
	var first *modelRun
	for _, r := range m.members(key) {
		if r.parked && (first == nil || before(r, first)) && (!served || m.isServed(r.d)) {
			first = r
		}
	}
	return first
}

// idle is the last in turn of the runs that have a slot, are not claimed and have nobody who could
// claim them.
func (m *model) idle(key string) *modelRun {
	var last *modelRun
	for _, r := range m.runs {
		if r.slot == key && !r.claimed() && !m.isServed(r.d) && (last == nil || before(last, r)) {
			last = r
		}
	}
	return last
}

// takeBack gives an idle run's slot up.
func (m *model) takeBack(r *modelRun) {
	r.slot = ""
	m.park(r)
}

func (m *model) park(r *modelRun) {
	r.parked = true
	if r.history[len(r.history)-1].Name != store.NameAwaitingConcurrencySlot {
		r.advance(store.NewNamedState(store.StateScheduled, store.NameAwaitingConcurrencySlot, m.now, ""))
	}
}

// free reports whether a run of the deployment would find a slot.
func (m *model) free(d *modelDeployment) bool {
	key := d.record.LimitKey()
	if m.full(key) && m.isServed(d) {
		m.handOut(key)
		for m.full(key) && m.idle(key) != nil {
			m.takeBack(m.idle(key))
		}
	}
	return !m.full(key)
}

func (m *model) waiting(d *modelDeployment) int {
	waiting := 0
	for _, r := range m.runs {
		if r.d == d && r.parked {
			waiting++
		}
	}
	return waiting
}

func (m *model) handOut(key string) {
	for key != "" {
		head, idle := m.first(key, true), m.idle(key)
		switch {
		case head == nil, m.full(key) && idle == nil:
			m.lend(key)
			return
		case m.full(key):
			m.takeBack(idle)
		default:
			head.parked, head.slot = false, key
		}
	}
}

// lend gives what the served do not want to the others.
func (m *model) lend(key string) {
	for !m.full(key) && m.first(key, false) != nil {
		head := m.first(key, false)
		head.parked, head.slot = false, key
	}
}

func (m *model) handOutAll() {
	for key := range m.sizes {
		m.handOut(key)
	}
}

// admit gives a due run a slot, or lets it wait, or ends it.
func (m *model) admit(r *modelRun, now time.Time) bool {
	if r.limit() == "" || r.slot != "" {
		return true
	}
	overlap := r.d.record.Overlap
	free, fresh := m.free(r.d), !r.waits
	switch {
	case free || !fresh:
	case overlap == store.OverlapCancelNew, overlap == store.OverlapEnqueue && m.waiting(r.d) >= r.d.record.MaxWaiting:
		m.finish(r, store.NewNamedState(store.StateCancelled, store.NameSkipped, now, ""))
		return false
	case overlap == store.OverlapCancelRunning:
		m.replace(r, now)
		free = m.free(r.d)
	}
	m.turns++
	r.turn, r.waits = m.turns, true
	if free {
		r.slot = r.limit()
	} else {
		m.park(r)
	}
	return free
}

// replace cancels what a new run takes the place of.
func (m *model) replace(r *modelRun, now time.Time) {
	var parked, others, running []*modelRun
	for _, other := range m.runs {
		switch {
		case other == r || other.d == nil || other.d.record.ID != r.d.record.ID:
		case other.parked:
			parked = append(parked, other)
		case other.state() == store.StateScheduled && (other.slot != "" || other.token > 0):
			others = append(others, other)
		case other.slot != "" && other.state() != store.StateCancelling:
			running = append(running, other)
		}
	}
	for _, other := range append(parked, others...) {
		end := store.NewState(store.StateCancelled, now, "")
		if !other.begun() {
			end.Name = store.NameSkipped
		}
		m.finish(other, end)
	}
	needed := m.held(r.limit()) + 1 - m.sizes[r.limit()]
	for _, other := range m.runs {
		if other.slot != "" && other.state() == store.StateCancelling && other.d.record.ID == r.d.record.ID {
			needed--
		}
	}
	for ; needed > 0 && len(running) > 0; needed-- {
		oldest := slices.MinFunc(running, func(a, b *modelRun) int {
			if c := a.scheduled.Compare(b.scheduled); c != 0 {
				return c
			}
			return compareIDs(a.id, b.id)
		})
		oldest.advance(store.NewState(store.StateCancelling, now, ""))
		running = slices.DeleteFunc(running, func(r *modelRun) bool { return r == oldest })
	}
}

// claimable is when a claim may take a run of the runner, false if never.
func (m *model) claimable(runner store.RunnerRecord, r *modelRun) (time.Time, bool) {
	if r.d == nil || r.d.deleted || r.parked || r.state() != store.StateScheduled || !slices.Contains(m.served[runner.ID], r.d.record.ID) {
		return time.Time{}, false
	}
	if r.limit() == "" {
		return r.due.Add(-store.ClaimAhead), true
	}
	return r.due, true
}

// claimOrRepeat gives, for the ID of the runner's newest claim of anything, what is left of that
// claim.
func (m *model) claimOrRepeat(runner store.RunnerRecord, id uuid.UUID, limit int, now time.Time) []store.Lease {
	if m.claims == nil {
		m.claims = make(map[uuid.UUID]modelClaim)
	}
	last := m.claims[runner.ID]
	if last.id != id {
		leases := m.claim(runner, limit, now)
		if len(leases) > 0 {
			m.claims[runner.ID] = modelClaim{id, leases}
		}
		return leases
	}
	var held []store.Lease
	for _, l := range last.leases {
		if r := m.find(l.RunID); r != nil && r.claimed() && r.token == l.Token {
			r.lease = now.Add(modelTTL)
			held = append(held, l)
		}
	}
	return held
}

// modelClaim is a call that claimed something.
type modelClaim struct {
	id     uuid.UUID
	leases []store.Lease
}

func (m *model) claim(runner store.RunnerRecord, limit int, now time.Time) []store.Lease {
	var leases []store.Lease
	for len(leases) < limit {
		r := m.nextRun(runner, now)
		if r == nil {
			break
		}
		if !m.admit(r, now) {
			continue
		}
		r.advance(store.NewState(store.StatePending, now, ""))
		r.token++
		r.waits = true
		r.lease, r.runner, r.settled = now.Add(modelTTL), runner.Name, ""
		if r.tick {
			m.decide(r, r.due)
		}
		leases = append(leases, store.Lease{RunID: r.id, Token: r.token})
	}
	return leases
}

// nextRun is the run of highest priority that is due first among those that can be claimed.
func (m *model) nextRun(runner store.RunnerRecord, now time.Time) *modelRun {
	var next *modelRun
	for _, r := range m.runs {
		if from, ok := m.claimable(runner, r); !ok || from.After(now) {
			continue
		}
		if next == nil || r.d.record.Priority > next.d.record.Priority ||
			(r.d.record.Priority == next.d.record.Priority && r.due.Before(next.due)) {
			next = r
		}
	}
	return next
}

func (m *model) nextClaim(runner store.RunnerRecord, now time.Time) time.Time {
	var next time.Time
	for _, r := range m.runs {
		if from, ok := m.claimable(runner, r); ok {
			next = instant.Earlier(next, instant.Latest(from, now))
		}
	}
	return next
}

func (m *model) decide(r *modelRun, at time.Time) {
	decided := instant.Earliest(instant.Earliest(r.scheduled, r.d.planned), at)
	r.d.watermark = instant.Latest(r.d.watermark, decided)
}

func (m *model) settle(u store.RunUpdate, now time.Time) error {
	if r := m.find(u.RunID); r != nil && u.State.Type != "" && r.settled == u.State.Type && r.holder().token == u.Token {
		return nil
	}
	r, err := m.leased(u.Lease)
	if err != nil {
		return err
	}
	state, next := r.state(), u.State.Type
	starts := state == store.StatePending && !u.StartTime.IsZero()
	if starts {
		state = store.StateRunning
	}
	givenUp := (next == store.StateScheduled || next == store.StateCrashed) && state == store.StateCancelling
	switch {
	case state.Terminal(), next == store.StateScheduled && r.parent != nil, next != "" && !givenUp && !state.CanBecome(next):
		return store.ErrConflict
	}
	if starts {
		r.advance(store.NewState(store.StateRunning, u.StartTime, ""))
	}
	if !u.StartTime.IsZero() {
		r.attempt, r.told = u.Attempt, u.Token
	}
	if next.Terminal() || next == store.StateScheduled {
		r.settled = next
		if u.Crashed {
			r.crashes++
			r.attempt = max(r.attempt, u.Attempt)
		}
	}
	switch {
	case givenUp:
		m.finish(r, store.NewState(store.StateCancelled, u.State.Timestamp, ""))
	case next.Terminal():
		m.finish(r, u.State)
	case next == store.StateScheduled:
		m.giveBack(r, u, now)
	}
	return nil
}

func (m *model) giveBack(r *modelRun, u store.RunUpdate, now time.Time) {
	r.advance(u.State)
	m.endLease(r)
	r.attempt = u.Attempt
	switch {
	case r.d.deleted:
		m.finish(r, store.NewState(store.StateCancelled, now, ""))
	case !u.DueTime.IsZero():
		r.due = u.DueTime
	}
}

func (m *model) renew(l store.Lease, now time.Time) (lost bool, cancel int) {
	r := m.find(l.RunID)
	if r == nil || !r.claimed() || r.token != l.Token {
		return true, 0
	}
	r.lease = now.Add(modelTTL)
	for _, other := range m.runs {
		if other.holder() == r && other.state() == store.StateCancelling {
			cancel++
		}
	}
	return false, cancel
}

func (m *model) reap(now time.Time) *modelRun {
	var r *modelRun
	for _, other := range m.runs {
		if !other.claimed() || !other.lease.Before(now) {
			continue
		}
		if r == nil || other.lease.Before(r.lease) || (other.lease.Equal(r.lease) && compareIDs(other.id, r.id) < 0) {
			r = other
		}
	}
	defer m.handOutAll()
	if r == nil {
		return nil
	}
	r.crashes++
	if r.told != r.token {
		r.attempt++
	}
	switch state := r.state(); {
	case state == store.StateCancelling:
		m.finish(r, store.NewState(store.StateCancelled, now, ""))
	case r.crashes >= store.MaxCrashes, state == store.StateRunning && r.d.record.AtMostOnce:
		m.finish(r, store.NewState(store.StateCrashed, now, ""))
	default:
		r.advance(store.NewNamedState(store.StateScheduled, store.NameAwaitingRetry, now, ""))
		m.endLease(r)
		if r.d.deleted {
			m.finish(r, store.NewState(store.StateCancelled, now, ""))
		} else {
			r.due = now
		}
	}
	return r
}

func (m *model) finish(r *modelRun, final store.State) {
	r.advance(final)
	r.end = r.history[len(r.history)-1].Timestamp
	r.parked = false
	if r.tick {
		m.decide(r, r.end)
	}
	m.endLease(r)
}

// endLease gives the slot on and ends the runs inside.
func (m *model) endLease(r *modelRun) {
	r.lease = time.Time{}
	if key := r.slot; key != "" {
		r.slot = ""
		m.handOut(key)
	}
	at := r.history[len(r.history)-1].Timestamp
	for _, child := range m.runs {
		switch {
		case child.parent != r || child.state().Terminal():
		case child.state() == store.StateCancelling:
			m.finish(child, store.NewState(store.StateCancelled, at, ""))
		default:
			m.finish(child, store.NewState(store.StateCrashed, at, ""))
		}
	}
}

func (m *model) cancel(id uuid.UUID, now time.Time) error {
	r := m.find(id)
	if r == nil {
		return store.ErrNotFound
	}
	switch r.state() {
	case store.StateCancelling, store.StateCancelled:
	case store.StateScheduled:
		m.finish(r, store.NewState(store.StateCancelled, now, ""))
	case store.StatePending, store.StateRunning:
		r.advance(store.NewState(store.StateCancelling, now, ""))
	default:
		return store.ErrConflict
	}
	return nil
}

func (m *model) retry(id uuid.UUID, now time.Time) error {
	r := m.find(id)
	if r == nil {
		return store.ErrNotFound
	}
	if r.parent != nil || r.d.deleted || !r.state().Terminal() || r.state() == store.StateCompleted {
		return store.ErrConflict
	}
	r.advance(store.NewState(store.StateScheduled, now, ""))
	r.end, r.due = time.Time{}, now
	r.crashes, r.retried, r.waits = 0, true, true
	if r.limit() != "" {
		m.admit(r, now)
	}
	return nil
}

func (m *model) deleteRun(id uuid.UUID) error {
	r := m.find(id)
	if r == nil {
		return store.ErrNotFound
	}
	if !r.state().Terminal() {
		return store.ErrConflict
	}
	if r.tick {
		m.decide(r, r.end)
	}
	m.removeAll(r)
	return nil
}

func (m *model) removeAll(r *modelRun) {
	for _, other := range slices.Clone(m.runs) {
		if other.inside(r) {
			m.remove(other)
		}
	}
	m.remove(r)
}

func (r *modelRun) inside(outer *modelRun) bool {
	for r.parent != nil {
		if r = r.parent; r == outer {
			return true
		}
	}
	return false
}
