package sqlstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/provost-go/provost/schedule"
	"github.com/provost-go/provost/store"
)

// DueSchedules implements [store.PlanStore].
func (l *Store) DueSchedules(ctx context.Context, p store.DueSchedulesParams) (store.DueSchedulesResult, error) {
	return look(ctx, l, func(b *book) (store.DueSchedulesResult, error) { return b.dueSchedules(p) })
}

func (b *book) dueSchedules(p store.DueSchedulesParams) (due store.DueSchedulesResult, err error) {
	b.now = toMicros(p.Now)
	limit := cmp.Or(p.Limit, store.MaxPage)
	keys, next, err := b.plannable(limit)
	due.Next = next.time()
	if err != nil {
		return due, err
	}
	ids := make([]uuid.UUID, len(keys))
	for i, k := range keys {
		ids[i] = k.deployment
	}
	if err := b.loadDeployments(ids); err != nil {
		return due, err
	}
	for _, k := range keys {
		d := b.deployments[k.deployment]
		if d == nil || d.schedule(k.name) == nil {
			continue
		}
		item, err := b.planItem(d.schedule(k.name))
		if err != nil {
			return due, err
		}
		due.Items = append(due.Items, item)
	}
	return due, nil
}

type scheduleKey struct {
	deployment uuid.UUID
	name       string
}

// plannable names the served schedules that want planning now, up to limit of them, and when the
// next one does.
func (b *book) plannable(limit int) (keys []scheduleKey, next micros, err error) {
	next = never
	const served = `EXISTS (SELECT 1 FROM provost_serving v JOIN provost_runner r ON r.id = v.runner WHERE v.deployment = s.deployment AND r.until >= ?)`
	err = b.each("SELECT s.deployment, s.name, s.plan_time FROM provost_schedule s WHERE s.active <> 0 AND s.plan_time <= ? AND "+served+
		" ORDER BY s.plan_time, s.deployment, s.name LIMIT ?", []any{b.now, b.clock(), limit + 1}, func(rows Rows) error {
		var k scheduleKey
		var at micros
		if err := rows.Scan(&k.deployment, &k.name, &at); err != nil {
			return err
		}
		if len(keys) == limit {
			next = at
		} else {
			keys = append(keys, k)
		}
		return nil
	})
	if err != nil || next != never {
		return keys, next, err
	}
	_, err = b.one("SELECT s.plan_time FROM provost_schedule s WHERE s.active <> 0 AND s.plan_time > ? AND "+served+
		" ORDER BY s.plan_time LIMIT 1", []any{b.now, b.clock()}, &next)
	return keys, next, err
}

func (b *book) planItem(s *scheduleState) (store.PlanItem, error) {
	item := store.PlanItem{
		DeploymentID: s.deployment.id(), Generation: s.deployment.record.Generation, Key: s.key, Schedule: s.spec,
		Planned: s.planned.time(), Gap: s.gap, Paused: s.paused(),
		PausedFrom: s.pausedFrom.time(), PausedUntil: s.pausedUntil.time(),
	}
	taken, err := b.taken(s, s.planned)
	if err != nil || !s.gap {
		item.Taken = times(taken)
		return item, err
	}
	item.Taken = times(taken)
	item.ServedUntil, item.GapFound = s.servedUntil.time(), s.gapFound.time()
	held, err := b.loadDue("d.deployment = ? AND d.schedule = ? AND d.schedule <> '' AND d.serial = ? AND d.scheduled > ? ORDER BY d.scheduled",
		s.deployment.id(), s.key, s.deployment.serial, s.servedUntil)
	for _, r := range held {
		if r.replaceable() {
			item.Unclaimed = append(item.Unclaimed, r.due.scheduled.time())
		}
	}
	return item, err
}

// PlanRuns implements [store.PlanStore].
func (l *Store) PlanRuns(ctx context.Context, p store.PlanRunsParams) ([]error, error) {
	return change(ctx, l, "plan runs", Plan, p.Now, func(b *book) ([]error, error) { return b.planAll(p) })
}

func (b *book) planAll(p store.PlanRunsParams) (errs []error, err error) {
	errs = make([]error, len(p.Plans))
	ids := make([]uuid.UUID, len(p.Plans))
	for i := range p.Plans {
		ids[i] = p.Plans[i].DeploymentID
	}
	slices.SortFunc(ids, func(x, y uuid.UUID) int { return slices.Compare(x[:], y[:]) })
	if err := b.loadDeployments(slices.Compact(ids)); err != nil {
		return errs, err
	}
	for i := range p.Plans {
		s, refusal := b.planned(&p.Plans[i])
		if errs[i] = refusal; refusal != nil {
			continue
		}
		if err := b.plan(s, &p.Plans[i]); err != nil {
			return errs, err
		}
	}
	return errs, nil
}

// planned finds the schedule of a plan, or says why the plan does not fit (any more).
func (b *book) planned(p *store.SchedulePlan) (*scheduleState, error) {
	d, err := b.deployment(p.DeploymentID)
	if err != nil {
		return nil, err
	}
	s := d.schedule(p.Key)
	switch {
	case s == nil:
		return nil, noSchedule(d, p.Key)
	case d.record.Generation != p.Generation:
		return nil, fmt.Errorf("%w: plan of %s rests on generation %d, the store has %d", store.ErrConflict, d.record.Handle(), p.Generation, d.record.Generation)
	case s.planned != toMicros(p.From):
		return nil, fmt.Errorf("%w: plan of %s continues from %s, the store has %s", store.ErrConflict, d.record.Handle(), p.From, s.planned.time())
	case s.gap != !p.GapFound.IsZero(), s.gap && s.gapFound != toMicros(p.GapFound):
		return nil, fmt.Errorf("%w: plan of %s misses a gap that was found since; plan again", store.ErrConflict, d.record.Handle())
	}
	return s, nil
}

func (b *book) plan(s *scheduleState, p *store.SchedulePlan) error {
	d := s.deployment
	for _, at := range p.Cancel {
		r, err := b.runAt(s, toMicros(at))
		if err != nil {
			return err
		}
		if r != nil && r.replaceable() {
			b.unqueue(r)
			if err := b.finish(r, namedState(store.StateCancelled, store.NameSkipped, b.now, string(p.Reason))); err != nil {
				return err
			}
		}
	}
	if err := b.addSkips(s, p); err != nil {
		return err
	}
	if err := b.planRuns(s, p); err != nil {
		return err
	}
	for _, at := range p.Late {
		r, err := b.runAt(s, toMicros(at))
		if err != nil {
			return err
		}
		if r != nil && r.replaceable() {
			r.due.waits = true
			b.change(r)
		}
	}
	s.planned, s.changed = max(s.planned, toMicros(p.Planned)), true
	if !p.Partial {
		s.notePlanned()
	}
	s.complete = p.PlanTime.IsZero()
	s.planAt(toMicros(p.PlanTime))
	if d.gap && !slices.ContainsFunc(d.schedules, func(s *scheduleState) bool { return s.gap }) {
		d.gap = false
		b.hints.anywhere()
	}
	b.touch(d)
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

func (b *book) addSkips(s *scheduleState, p *store.SchedulePlan) error {
	for i, skip := range p.Skips {
		taken, err := b.taken(s, s.planned)
		if err != nil {
			return err
		}
		adjoins := i == 0 && (len(taken) == 0 || taken[0] > toMicros(skip.First)) &&
			(len(p.Runs) == 0 || p.Runs[0].ScheduledTime.After(skip.First))
		if err := b.addSkip(s, skip, adjoins); err != nil {
			return err
		}
	}
	return nil
}

// addSkip records a range. One that begins where the schedule's newest range ended, with no run of
// the same plan in between and the same timing, extends it.
func (b *book) addSkip(s *scheduleState, skip store.Skip, adjoins bool) error {
	extended := false
	if adjoins && s.lastSkip != uuid.Nil {
		last, err := b.skips("k.id = ?", s.lastSkip)
		if err != nil {
			return err
		}
		if len(last) == 1 && last[0].Reason == skip.Reason && toMicros(last[0].Last) == s.planned && last[0].Timing.Equal(skip.Timing) {
			extended = true
			err = b.exec("UPDATE provost_skip SET last_at = ?, skipped = skipped + ? WHERE id = ?", toMicros(skip.Last), skip.Count, s.lastSkip)
			if err != nil {
				return err
			}
		}
	}
	if !extended {
		if err := b.insertSkips([]store.Skip{skip}); err != nil {
			return err
		}
		s.lastSkip = skip.ID
	}
	s.planned, s.changed = max(s.planned, toMicros(skip.Last)), true
	s.decide(toMicros(skip.Last))
	return nil
}

func (b *book) insertSkips(list []store.Skip) error {
	var rows [][]any
	for _, skip := range list {
		timing, err := encode(skip.Timing, false)
		if err != nil {
			return fmt.Errorf("timing of skip %s: %w", skip.ID, err)
		}
		rows = append(rows, []any{
			skip.ID, skip.DeploymentID, skip.Schedule, timing, string(skip.Reason), toMicros(skip.First), toMicros(skip.Last), skip.Count,
		})
	}
	if len(rows) == 0 {
		return nil
	}
	return b.tx.Insert(skipTable, rows)
}

func (b *book) skips(where string, args ...any) (list []store.Skip, err error) {
	err = b.each("SELECT k.id, k.deployment, k.schedule, k.timing, k.reason, k.first_at, k.last_at, k.skipped FROM provost_skip k WHERE "+where,
		args, func(rows Rows) error {
			var k store.Skip
			var timing string
			var first, last micros
			err := rows.Scan(&k.ID, &k.DeploymentID, &k.Schedule, &timing, &k.Reason, &first, &last, &k.Count)
			if err != nil {
				return err
			}
			k.First, k.Last = first.time(), last.time()
			if k.Timing, err = decode[schedule.Schedule](timing); err != nil {
				return fmt.Errorf("skip %s: %w", k.ID, err)
			}
			list = append(list, k)
			return nil
		})
	return list, err
}

// planRuns makes the runs of a plan, but those whose instants have one or had one.
func (b *book) planRuns(s *scheduleState, p *store.SchedulePlan) error {
	if len(p.Runs) == 0 {
		return nil
	}
	first := p.Runs[0].ScheduledTime
	taken, err := b.taken(s, toMicros(first)-1)
	if err != nil {
		return err
	}
	made, err := b.planWide(s)
	if err != nil {
		return err
	}
	for _, planned := range p.Runs {
		if _, has := slices.BinarySearch(taken, toMicros(planned.ScheduledTime)); !has {
			b.planRun(s, planned, *made, newState(store.StateScheduled, b.now, ""))
		}
	}
	return nil
}

// planWide is what all planned runs of a schedule have in common.
func (b *book) planWide(s *scheduleState) (*wide, error) {
	r := s.deployment.record
	w := &wide{flowID: r.FlowID, flow: r.Flow, deployment: r.Name}
	var err error
	if w.params, err = encodeParams(r.ScheduledParameters(s.key)); err != nil {
		return nil, err
	}
	w.tags, err = encodeTags(r.Tags)
	return w, err
}

func (b *book) planRun(s *scheduleState, planned store.PlannedRun, w wide, born store.State) *run {
	w.name = store.RunName(planned.ID)
	r := b.newRun(planned.ID, &w)
	d := &r.due
	d.deployment, d.serial, d.schedule = s.deployment.id(), s.deployment.serial, s.key
	d.scheduled, d.auto, d.waits = toMicros(planned.ScheduledTime), true, planned.CatchUp
	b.begin(r, born)
	r.setDue(s.deployment, toMicros(planned.DueTime))
	b.enqueue(r)
	return r
}

// ListSkips implements [store.PlanStore].
func (l *Store) ListSkips(ctx context.Context, f store.SkipFilter) (store.Page[store.Skip], error) {
	f, err := f.Resolve()
	if err != nil {
		return store.Page[store.Skip]{}, err
	}
	return look(ctx, l, func(b *book) (store.Page[store.Skip], error) { return b.listSkips(f) })
}

func (b *book) listSkips(f store.SkipFilter) (page store.Page[store.Skip], err error) {
	at, err := parseCursor(f.Cursor)
	if err != nil {
		return page, err
	}
	limit := pageSize(f.Limit)
	var where conditions
	where.add(f.DeploymentID != uuid.Nil, "k.deployment = ?", f.DeploymentID)
	where.add(f.Schedule != "", "k.schedule = ?", f.Schedule)
	where.add(f.Cursor != "", "k.id < ?", at.id)
	list, err := b.skips(where.String()+" ORDER BY k.id DESC LIMIT ?", append(where.args, limit+1)...)
	if len(list) > limit {
		list = list[:limit]
		page.Next = cursor{id: list[limit-1].ID}.String()
	}
	page.Items = list
	return page, err
}

// conditions are what a query asks for, all of them.
type conditions struct {
	list []string
	args []any
}

func (c *conditions) add(wanted bool, condition string, args ...any) {
	if wanted {
		c.list, c.args = append(c.list, condition), append(c.args, args...)
	}
}

func (c *conditions) String() string {
	if len(c.list) == 0 {
		return "1 = 1"
	}
	return strings.Join(c.list, " AND ")
}

// cursor is where a page ended: a sort key and an ID, so that what is added meanwhile shifts
// nothing.
type cursor struct {
	key int64
	id  uuid.UUID
}

func (c cursor) String() string { return strconv.FormatInt(c.key, 36) + "." + c.id.String() }

func parseCursor(text string) (cursor, error) {
	if text == "" {
		return cursor{}, nil
	}
	key, id, ok := strings.Cut(text, ".")
	if ok {
		k, err := strconv.ParseInt(key, 36, 64)
		u, err2 := uuid.Parse(id)
		if err == nil && err2 == nil {
			return cursor{k, u}, nil
		}
	}
	return cursor{}, badCursor(text)
}

func badCursor(text string) error {
	return fmt.Errorf("cursor %q is not from a page; pass Page.Next unchanged", text)
}

// pageSize is the number of items that a filter's Limit asks for.
func pageSize(limit int) int { return min(cmp.Or(max(0, limit), 200), store.MaxPage) }
