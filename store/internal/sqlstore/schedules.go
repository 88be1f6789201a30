package sqlstore

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/schedule"
	"github.com/provost-go/provost/store"
)

// schedule is a schedule of a deployment with the state of its planning.
type scheduleState struct {
	deployment *deployment
	key        string
	position   int // among the declared ones; -1 for one that is declared no more
	spec       schedule.Schedule
	pause      store.Pause

	watermark micros   // every instant up to here is decided
	gone      []micros // instants after it whose run is deleted: they stay decided
	planned   micros   // runs are materialised up to here
	complete  bool     // nothing comes after that: the schedule has ended
	planTime  micros   // when it wants planning; never while nothing is to come

	gap         bool // unserved from servedUntil to the time it is planned
	gapFound    micros
	servedUntil micros
	pausedFrom  micros // bounds of the pause that is not recorded yet; never for none
	pausedUntil micros // never while it lasts
	lastSkip    uuid.UUID
	retiredAt   micros // when it was declared no more; never if it is declared

	stored, changed bool
}

func newSchedule(d *deployment, declared store.ScheduleRecord, position int, now micros) *scheduleState {
	s := &scheduleState{
		deployment: d, key: declared.Key, position: position, spec: declared.Schedule,
		pause:     store.Pause{Declared: declared.Pause.Declared},
		watermark: now, planned: now, planTime: now, gapFound: never,
		pausedFrom: never, pausedUntil: never, retiredAt: never, changed: true,
	}
	s.notePause(false, now)
	return s
}

// revive takes up a new declaration of a schedule that is known. One that was retired starts now,
// but not before its watermark.
func (s *scheduleState) revive(declared store.ScheduleRecord, position int, now micros) {
	s.spec, s.position, s.changed = declared.Schedule, position, true
	s.pause = redeclare(s.pause, declared.Pause.Declared)
	if s.retiredAt != never {
		s.retiredAt, s.lastSkip = never, uuid.Nil
		s.planned = max(s.planned, now)
		s.decide(s.planned)
		s.pausedFrom, s.pausedUntil = never, never
		s.notePause(false, now)
	}
}

func (s *scheduleState) paused() bool { return s.deployment.pause.Effective() || s.pause.Effective() }

// notePause notes that a pause began or ended now, if one did.
func (s *scheduleState) notePause(before bool, now micros) {
	switch after := s.paused(); {
	case after == before:
		return
	case after:
		s.pausedFrom, s.pausedUntil = min(s.pausedFrom, now), never
	default:
		s.pausedUntil = now
	}
	s.changed = true
}

// planAt sets when the schedule wants planning. A gap, which holds runs back, waits for no clock
// that was set back.
func (s *scheduleState) planAt(at micros) {
	if s.gap && at != never {
		at = atOnce
	}
	if s.planTime != at {
		s.planTime, s.changed = at, true
	}
}

func (s *scheduleState) view() store.ScheduleRecord {
	pause := s.pause
	pause.Operator = copied(s.pause.Operator)
	return store.ScheduleRecord{
		Key: s.key, Schedule: s.spec, Pause: pause, Watermark: s.watermark.time(), Planned: s.planned.time(),
	}
}

// decide raises the watermark.
func (s *scheduleState) decide(until micros) {
	if until <= s.watermark {
		return
	}
	s.watermark, s.changed = until, true
	s.gone = slices.DeleteFunc(s.gone, func(at micros) bool { return at <= until })
}

// decideRun notes that a run's instant is decided. The watermark stays behind the time at which
// that came to be: instants before a run that was retried or cancelled ahead of its time may yet
// have to be planned anew.
func (b *book) decideRun(r *run, at micros) error {
	s, err := b.scheduleOf(r)
	if s == nil || err != nil {
		return err
	}
	s.decide(min(r.due.scheduled, s.planned, at))
	if s.changed {
		b.touchSchedules(s.deployment)
	}
	return nil
}

// bury keeps the instant of a run that is about to be deleted decided.
func (b *book) bury(r *run) error {
	s, err := b.scheduleOf(r)
	if s == nil || err != nil {
		return err
	}
	s.decide(min(r.due.scheduled, s.planned, r.due.end))
	if r.due.scheduled > s.watermark {
		s.gone, s.changed = append(s.gone, r.due.scheduled), true
	}
	if s.changed {
		b.touchSchedules(s.deployment)
	}
	return nil
}

// reset removes the schedule's future, unstarted runs, so that they can be planned anew.
func (b *book) reset(s *scheduleState) error {
	if err := b.flush(); err != nil {
		return err
	}
	from := max(b.now, s.watermark) // a clock that is behind must not take what would not be planned again
	future, err := b.loadDueByID("d.deployment = ? AND d.schedule = ? AND d.schedule <> '' AND d.serial = ? AND d.scheduled > ?",
		s.deployment.id(), s.key, s.deployment.serial, from)
	if err != nil {
		return err
	}
	for _, r := range future {
		if r.replaceable() {
			if err := b.remove(r); err != nil {
				return err
			}
		}
	}
	if s.complete { // what is declared next owes nothing for the time since
		s.planned = max(s.planned, b.now)
	}
	s.planned = max(s.watermark, min(s.planned, b.now))
	s.decide(s.planned)
	s.complete, s.changed = false, true
	b.touch(s.deployment)
	return nil
}

const scheduleColumns = `s.deployment, s.name, s.position, s.plan_time, s.watermark, s.planned, s.complete, s.gap, s.gap_found,
	s.served_until, s.paused_from, s.paused_until, s.retired_at, s.last_skip, s.pause, s.spec, s.gone`

const schedulesOf = "SELECT " + scheduleColumns + " FROM provost_schedule s WHERE s.deployment IN (?*) ORDER BY s.deployment, s.position, s.name"

func (b *book) loadSchedules(of []uuid.UUID) error {
	return b.eachStored(schedulesOf, []any{of}, func(rows Rows) error {
		s, id, err := scanSchedule(rows)
		if err != nil {
			return err
		}
		d := b.deployments[id]
		if d == nil {
			return nil
		}
		s.deployment = d
		if s.position < 0 {
			d.retired = append(d.retired, s)
		} else {
			d.schedules = append(d.schedules, s)
		}
		return nil
	})
}

func scanSchedule(rows Rows) (s *scheduleState, of uuid.UUID, err error) {
	s = &scheduleState{stored: true}
	var complete, gap int
	var lastSkip uuid.NullUUID
	var pause, spec, gone string
	err = rows.Scan(&of, &s.key, &s.position, &s.planTime, &s.watermark, &s.planned, &complete, &gap, &s.gapFound,
		&s.servedUntil, &s.pausedFrom, &s.pausedUntil, &s.retiredAt, &lastSkip, &pause, &spec, &gone)
	if err != nil {
		return nil, of, err
	}
	s.complete, s.gap, s.lastSkip = complete != 0, gap != 0, lastSkip.UUID
	if s.pause, err = decode[store.Pause](pause); err == nil {
		if s.spec, err = decode[schedule.Schedule](spec); err == nil {
			s.gone, err = decode[[]micros](gone)
		}
	}
	if err != nil {
		return nil, of, fmt.Errorf("schedule %q of deployment %s: %w", s.key, of, err)
	}
	return s, of, nil
}

func (s *scheduleState) row() ([]any, error) {
	pause, err := encode(s.pause, false)
	if err != nil {
		return nil, err
	}
	spec, err := encode(s.spec, false)
	if err != nil {
		return nil, fmt.Errorf("schedule %q of deployment %s: %w", s.key, s.deployment.record.Handle(), err)
	}
	gone, err := encode(s.gone, len(s.gone) == 0)
	if err != nil {
		return nil, err
	}
	if s.retiredAt != never {
		s.position = -1
	}
	active := s.retiredAt == never && s.deployment.attended
	return []any{
		s.deployment.id(), s.key, s.position, flag(active), s.planTime, s.watermark, s.planned, flag(s.complete), flag(s.gap), s.gapFound,
		s.servedUntil, s.pausedFrom, s.pausedUntil, s.retiredAt, optional(s.lastSkip), pause, spec, gone,
	}, nil
}

// instants are the times at which the schedule has runs after a time, ascending, be they over or
// not.
func (b *book) instants(s *scheduleState, after micros) ([]micros, error) {
	if err := b.flush(); err != nil {
		return nil, err
	}
	var list []micros
	err := b.each("SELECT w.scheduled FROM provost_run w WHERE w.deployment = ? AND w.serial = ? AND w.schedule = ? AND w.scheduled > ? ORDER BY w.scheduled",
		[]any{s.deployment.id(), s.deployment.serial, s.key, after}, func(rows Rows) error {
			var at micros
			err := rows.Scan(&at)
			list = append(list, at)
			return err
		})
	return list, err
}

// taken are the instants after a time that have a run, or had one that was deleted.
func (b *book) taken(s *scheduleState, after micros) ([]micros, error) {
	list, err := b.instants(s, after)
	if err != nil {
		return nil, err
	}
	for _, at := range s.gone {
		if at > after {
			list = append(list, at)
		}
	}
	slices.Sort(list)
	return list, nil
}

// runAt is the run of an instant, nil if it has none.
func (b *book) runAt(s *scheduleState, at micros) (*run, error) {
	list, err := b.list("SELECT w.id FROM provost_run w WHERE w.deployment = ? AND w.serial = ? AND w.schedule = ? AND w.scheduled = ?",
		s.deployment.id(), s.deployment.serial, s.key, at)
	if len(list) == 0 || err != nil {
		return nil, err
	}
	return b.run(list[0])
}

func times(list []micros) []time.Time {
	var all []time.Time
	for _, at := range list {
		all = append(all, at.time())
	}
	return all
}
