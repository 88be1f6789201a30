package memory

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/internal/sorted"
	"github.com/provost-go/provost/params"
	"github.com/provost-go/provost/schedule"
	"github.com/provost-go/provost/store"
)

// scheduleState is a schedule of a deployment with the state of its planning.
type scheduleState struct {
	deployment *deployment
	key        string
	schedule   schedule.Schedule
	pause      store.Pause
	parameters params.Params // of its runs, shared by all that are planned under one declaration

	watermark micros              // every instant up to here is decided
	gone      map[micros]struct{} // instants after it whose run is deleted: they stay decided
	planned   micros              // runs are materialised up to here
	complete  bool                // nothing comes after that: the schedule has ended
	planTime  micros              // when it wants planning; never while nobody serves it or nothing is to come
	runs      sorted.Index[*run]

	gap         bool // unserved from servedUntil to the time it is planned
	gapFound    micros
	servedUntil micros
	pausedFrom  micros // bounds of the pause that is not recorded yet; never for none
	pausedUntil micros // never while it lasts
	lastSkip    *skipRange
	retiredAt   micros // when it was declared no more; never if it is declared
	inPlans     bool
}

func newSchedule(d *deployment, declared store.ScheduleRecord, now micros) *scheduleState {
	s := &scheduleState{
		deployment: d, key: declared.Key,
		watermark: now, planned: now, planTime: now,
		runs:       sorted.New(compareInstants),
		pausedFrom: never, pausedUntil: never, retiredAt: never,
	}
	s.declare(declared)
	s.pause = store.Pause{Declared: declared.Pause.Declared}
	s.notePause(false, now)
	return s
}

func (s *scheduleState) declare(declared store.ScheduleRecord) {
	s.schedule = declared.Schedule
	s.parameters = params.Merge(s.deployment.record.Parameters, declared.Schedule.Parameters())
}

// revive takes up a new declaration of a schedule that is known. One that was retired starts now,
// but not before its watermark.
func (s *scheduleState) revive(declared store.ScheduleRecord, now micros) {
	s.declare(declared)
	s.pause = s.pause.Redeclare(declared.Pause.Declared)
	if s.retiredAt != never {
		s.retiredAt, s.lastSkip = never, nil
		s.planned = max(s.planned, now)
		s.decide(s.planned)
		s.pausedFrom, s.pausedUntil = never, never
		s.notePause(false, now)
	}
}

func (s *scheduleState) paused() bool {
	return s.deployment.pause.Effective() || s.pause.Effective()
}

// notePause notes that a pause began or ended now, if one did.
func (s *scheduleState) notePause(before bool, now micros) {
	switch after := s.paused(); {
	case after == before:
	case after:
		s.pausedFrom, s.pausedUntil = min(s.pausedFrom, now), never
	default:
		s.pausedUntil = now
	}
}

func (s *scheduleState) view() store.ScheduleRecord {
	pause := s.pause
	pause.Operator = clonePointer(s.pause.Operator)
	return store.ScheduleRecord{
		Key: s.key, Schedule: s.schedule, Pause: pause,
		Watermark: s.watermark.time(), Planned: s.planned.time(),
	}
}

func comparePlanTimes(a, b *scheduleState) int {
	if c := cmp.Compare(a.planTime, b.planTime); c != 0 {
		return c
	}
	if c := compareIDs(a.deployment.record.ID, b.deployment.record.ID); c != 0 {
		return c
	}
	return strings.Compare(a.key, b.key)
}

// atOnce is a plan time that has come whatever the clock does.
const atOnce micros = 0

// setPlanTime moves a schedule among those to plan, where only served ones stand. A gap, which
// holds runs back, waits for no clock that was set back.
func (m *Store) setPlanTime(s *scheduleState, at micros) {
	if s.gap && at != never {
		at = atOnce
	}
	if s.inPlans {
		m.plans.Delete(s)
	}
	s.planTime = at
	s.inPlans = at != never && len(s.deployment.servers) > 0 && s.retiredAt == never && !s.deployment.deleted
	if s.inPlans {
		m.plans.Insert(s)
	}
}

// reset removes the schedule's future, unstarted runs, so that they can be planned anew.
func (m *Store) reset(s *scheduleState, now micros) {
	var future []*run
	from := max(now, s.watermark) // a clock that is behind must not take what would not be planned again
	for r := range s.runs.AscendFrom(func(r *run) bool { return r.scheduled > from }) {
		if r.replaceable() {
			future = append(future, r)
		}
	}
	for _, r := range future {
		m.remove(r)
	}
	if s.complete { // what is declared next owes nothing for the time since
		s.planned = max(s.planned, now)
	}
	s.planned = max(s.watermark, min(s.planned, now))
	s.decide(s.planned)
	s.complete = false
}

// decide raises the watermark.
func (s *scheduleState) decide(until micros) {
	if until <= s.watermark {
		return
	}
	s.watermark = until
	for at := range s.gone {
		if at <= until {
			delete(s.gone, at)
		}
	}
}

// decideRun notes that a run's instant is decided. The watermark stays behind the time at which
// that came to be: instants before a run that was retried or cancelled ahead of its time may yet
// have to be planned anew.
func (s *scheduleState) decideRun(r *run, at micros) {
	s.decide(min(r.scheduled, s.planned, at))
}

// bury keeps the instant of a run that is about to be deleted decided.
func (s *scheduleState) bury(r *run) {
	if s.decideRun(r, r.end); r.scheduled > s.watermark {
		if s.gone == nil {
			s.gone = make(map[micros]struct{})
		}
		s.gone[r.scheduled] = struct{}{}
	}
}

// DueSchedules implements [store.PlanStore].
func (m *Store) DueSchedules(ctx context.Context, p store.DueSchedulesParams) (store.DueSchedulesResult, error) {
	if err := m.lockAt(ctx, p.Now); err != nil {
		return store.DueSchedulesResult{}, err
	}
	defer m.unlock()
	now, limit := toMicros(p.Now), cmp.Or(p.Limit, store.MaxPage)
	var due store.DueSchedulesResult
	for s := range m.plans.Ascend() {
		if !s.deployment.servedAt(now) {
			continue
		}
		if s.planTime > now || len(due.Items) == limit {
			due.Next = s.planTime.time()
			break
		}
		due.Items = append(due.Items, s.item())
	}
	return due, nil
}

func (s *scheduleState) item() store.PlanItem {
	item := store.PlanItem{
		DeploymentID: s.deployment.record.ID, Generation: s.deployment.record.Generation, Key: s.key, Schedule: s.schedule,
		Planned: s.planned.time(), Gap: s.gap, Paused: s.paused(),
		PausedFrom: s.pausedFrom.time(), PausedUntil: s.pausedUntil.time(),
	}
	item.Taken = s.taken(s.planned)
	if s.gap {
		item.ServedUntil, item.GapFound = s.servedUntil.time(), s.gapFound.time()
		for r := range s.runs.AscendFrom(func(r *run) bool { return r.scheduled > s.servedUntil }) {
			if r.replaceable() {
				item.Unclaimed = append(item.Unclaimed, r.scheduled.time())
			}
		}
	}
	return item
}

// taken is the instants after a time that have a run, or had one that was deleted.
func (s *scheduleState) taken(after micros) []time.Time {
	var taken []time.Time
	for r := range s.runs.AscendFrom(func(r *run) bool { return r.scheduled > after }) {
		taken = append(taken, r.scheduled.time())
	}
	for at := range s.gone {
		if at > after {
			taken = append(taken, at.time())
		}
	}
	slices.SortFunc(taken, time.Time.Compare)
	return taken
}

// PlanRuns implements [store.PlanStore].
func (m *Store) PlanRuns(ctx context.Context, p store.PlanRunsParams) ([]error, error) {
	if err := m.lockAt(ctx, p.Now); err != nil {
		return nil, err
	}
	defer m.unlock()
	errs := make([]error, len(p.Plans))
	born := []store.State{store.NewState(store.StateScheduled, p.Now, "")} // the history of every planned run, until it gets one of its own
	for i := range p.Plans {
		errs[i] = m.plan(&p.Plans[i], toMicros(p.Now), born)
	}
	return errs, nil
}

func (m *Store) plan(p *store.SchedulePlan, now micros, born []store.State) error {
	d, err := m.deployment(p.DeploymentID)
	if err != nil {
		return err
	}
	s := d.schedule(p.Key)
	switch {
	case s == nil:
		return fmt.Errorf("schedule %q of deployment %s: %w", p.Key, d.record.Handle(), store.ErrNotFound)
	case d.record.Generation != p.Generation:
		return fmt.Errorf("%w: plan of %s rests on generation %d, the store has %d", store.ErrConflict, d.record.Handle(), p.Generation, d.record.Generation)
	case s.planned != toMicros(p.From):
		return fmt.Errorf("%w: plan of %s continues from %s, the store has %s", store.ErrConflict, d.record.Handle(), p.From, s.planned.time())
	case s.gap != !p.GapFound.IsZero(), s.gap && s.gapFound != toMicros(p.GapFound):
		return fmt.Errorf("%w: plan of %s misses a gap that was found since; plan again", store.ErrConflict, d.record.Handle())
	}
	for _, at := range p.Cancel {
		m.skipRun(s, toMicros(at), now, p.Reason)
	}
	for i, skip := range p.Skips {
		taken := s.taken(s.planned)
		adjoins := i == 0 && (len(taken) == 0 || taken[0].After(skip.First))
		m.addSkip(s, skip, adjoins && (len(p.Runs) == 0 || p.Runs[0].ScheduledTime.After(skip.First)))
	}
	for _, planned := range p.Runs {
		if _, gone := s.gone[toMicros(planned.ScheduledTime)]; !gone {
			m.planRun(s, planned, born)
		}
	}
	for _, at := range p.Late {
		if r := s.runOf(toMicros(at)); r != nil && r.replaceable() {
			r.waits = true
		}
	}
	s.planned = max(s.planned, toMicros(p.Planned))
	if !p.Partial {
		s.notePlanned()
	}
	s.complete = p.PlanTime.IsZero()
	m.setPlanTime(s, toMicros(p.PlanTime))
	if d.gap && !slices.ContainsFunc(d.schedules, func(s *scheduleState) bool { return s.gap }) {
		d.gap = false
		m.relane(d)
		m.hintWork = true
	}
	return nil
}

// notePlanned forgets the gap and the pause that the plan has dealt with.
func (s *scheduleState) notePlanned() {
	s.gap = false
	switch {
	case s.pausedFrom == never:
	case s.pausedUntil == never: // it goes on
		s.pausedFrom = max(s.pausedFrom, s.planned)
	default:
		s.pausedFrom, s.pausedUntil = never, never
	}
}

func (m *Store) planRun(s *scheduleState, planned store.PlannedRun, born []store.State) *run {
	d := s.deployment
	r := &run{
		id: planned.ID, deployment: d, flow: m.flows[d.record.FlowID], schedule: s,
		params: s.parameters, tags: d.record.Tags, history: born[:1:1],
		scheduled: toMicros(planned.ScheduledTime), start: never, end: never, lease: never, auto: true, waits: planned.CatchUp,
	}
	r.setDue(toMicros(planned.DueTime))
	if !s.runs.Insert(r) {
		return nil // the instant has its run
	}
	m.add(r)
	m.enqueue(r)
	return r
}

// skipRun makes the unclaimed run of an instant CANCELLED/Skipped.
func (m *Store) skipRun(s *scheduleState, at, now micros, reason store.SkipReason) {
	if r := s.runOf(at); r != nil && r.replaceable() {
		m.unpark(r)
		m.finish(r, store.NewNamedState(store.StateCancelled, store.NameSkipped, now.time(), string(reason)))
	}
}

// skip is a skip range of a schedule.
type skipRange struct{ store.Skip }

func newSkip(skip store.Skip) *skipRange {
	skip.First, skip.Last = instant.Of(skip.First), instant.Of(skip.Last)
	return &skipRange{skip}
}

// addSkip records a range. One that begins where the schedule's newest range ended, with no run of
// the same plan in between and the same timing, extends it.
func (m *Store) addSkip(s *scheduleState, skip store.Skip, adjoins bool) {
	if last := s.lastSkip; last != nil && adjoins && last.Reason == skip.Reason && toMicros(last.Last) == s.planned &&
		last.Timing.Equal(skip.Timing) {
		last.Last, last.Count = instant.Of(skip.Last), last.Count+skip.Count
	} else {
		s.lastSkip = newSkip(skip)
		m.skips.Insert(s.lastSkip)
		if m.skips.Len() > maxSkips {
			oldest, _ := m.skips.Min()
			m.dropSkip(oldest)
		}
	}
	s.planned = max(s.planned, toMicros(skip.Last))
	s.decide(toMicros(skip.Last))
}

// maxSkips bounds how many skip ranges are kept, of all schedules together. The oldest make way.
const maxSkips = 10_000

// dropSkips forgets up to limit of the ranges that want says.
func (m *Store) dropSkips(limit int, want func(*skipRange) bool) {
	var gone []*skipRange
	for skip := range m.skips.Ascend() {
		if len(gone) == limit {
			break
		}
		if want(skip) {
			gone = append(gone, skip)
		}
	}
	for _, skip := range gone {
		m.dropSkip(skip)
	}
}

// dropSkip forgets a range. What follows it begins a new one.
func (m *Store) dropSkip(skip *skipRange) {
	m.skips.Delete(skip)
	if d := m.deployments[skip.DeploymentID]; d != nil {
		if s := d.schedule(skip.Schedule); s != nil && s.lastSkip == skip {
			s.lastSkip = nil
		}
	}
}

// ListSkips implements [store.PlanStore].
func (m *Store) ListSkips(ctx context.Context, f store.SkipFilter) (store.Page[store.Skip], error) {
	f, err := f.Resolve()
	if err != nil {
		return store.Page[store.Skip]{}, err
	}
	cursor, err := parseCursor(f.Cursor)
	if err != nil {
		return store.Page[store.Skip]{}, err
	}
	if err := m.lock(ctx); err != nil {
		return store.Page[store.Skip]{}, err
	}
	defer m.unlock()
	limit := pageSize(f.Limit)
	var page store.Page[store.Skip]
	for skip := range m.skips.DescendBefore(func(s *skipRange) bool {
		return f.Cursor != "" && compareIDs(s.ID, cursor.id) >= 0
	}) {
		if (f.DeploymentID != uuid.Nil && skip.DeploymentID != f.DeploymentID) || (f.Schedule != "" && skip.Schedule != f.Schedule) {
			continue
		}
		if len(page.Items) == limit {
			page.Next = pageCursor{id: page.Items[limit-1].ID}.String()
			break
		}
		page.Items = append(page.Items, skip.Skip)
	}
	return page, nil
}
