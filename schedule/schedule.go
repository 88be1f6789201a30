package schedule

import (
	"slices"
	"time"

	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/params"
)

// Schedule is a set of instants, together with settings for the runs that start at them. It is a
// small immutable value: copies share their definition, and any number of goroutines may use one.
// Its instants depend on the definition alone, not on the clock and not on where a search begins.
// They are UTC, in whole microseconds, in the years 1 to 9999.
//
// The methods by purpose:
//
//   - [Schedule.In], [Schedule.Anchor], [Schedule.DayAnd], [Schedule.From], [Schedule.Until],
//     [Schedule.Except] and [Schedule.ExceptOn] return a copy with other instants.
//   - [Schedule.Named], [Schedule.Paused], [Schedule.Jitter], [Schedule.CatchUp],
//     [Schedule.CatchUpWindow] and [Schedule.WithParameters] return a copy with other settings for
//     its runs.
//   - [Schedule.Next], [Schedule.Prev], [Schedule.Upcoming], [Schedule.Between], [Schedule.All],
//     [Schedule.Has] and [Schedule.CountUntil] search the instants.
//   - [Schedule.Err], [Schedule.String] and [Schedule.Expr] report whether a schedule is valid and
//     how it was understood.
//   - [Schedule.Key], [Schedule.Timing] and [Schedule.Equal] identify and compare schedules;
//     [Schedule.MarshalJSON] and [Schedule.UnmarshalJSON] store them.
//   - [Schedule.DueTime], [Schedule.CatchUpRule], [Schedule.Parameters], [Schedule.GivenParameters]
//     and [Schedule.IsPaused] read the settings; a scheduler calls them.
//
// The zero Schedule is not valid: Err reports it, and it has no instants. Every method may be
// called on it. Compare schedules with Equal, not with ==.
type Schedule struct{ definition *definition }

// Cron returns a schedule that fires at the times of a cron expression: five fields (minute, hour,
// day of month, month, day of week) or a name such as @daily. Where both day fields are restricted,
// a day that matches either of them counts, as in Vixie cron; see [Schedule.DayAnd]. In addition to
// cron it reads what Quartz reads: L (the last day of the month), L-3 (the third day before it, in
// months that have one), LW (the last weekday, Monday to Friday), 15W (the weekday nearest to the
// 15th), 5L (the last Friday) and 5#2 (the second Friday).
//
// If the hour or the minute field begins with *, the schedule fires whenever the local clock shows
// a matching time. Otherwise it fires exactly once for each matching local date and time: a time
// that the clock skips is shifted forward by the gap (02:30 becomes 03:30), and a time that the
// clock shows twice fires on the first pass only. The package documentation has the details.
func Cron(expr string) Schedule { return newSchedule(definition{kind: kindCron, expr: expr}) }

// Every returns a schedule that fires at a fixed interval of at least a millisecond, in whole
// microseconds. Its ticks are counted from an anchor, Monday 2001-01-01 00:00 in the schedule's
// zone unless [Schedule.Anchor] sets another one, so that Every(time.Hour) fires on the hour no
// matter when the program started. From 24 hours on, whole days are calendar days, so that a daily
// tick keeps its local time all year.
func Every(d time.Duration) Schedule {
	return newSchedule(definition{kind: kindInterval, interval: d})
}

// RRule returns a schedule that fires at the instants of a recurrence set of RFC 5545: the parts of
// one rule, such as "FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=18", or lines with DTSTART, RRULE, EXRULE,
// RDATE and EXDATE. The rule recurs on the clock of the schedule's zone, which the TZID of DTSTART
// may name instead of [Schedule.In]. Without DTSTART it begins at 2020-01-01 00:00 in the zone, as
// Prefect's rules do, never at the time of the call.
//
// Daylight saving is handled as for a Cron with a fixed time of day, and a time that the clock
// skips counts towards COUNT. Rules with FREQ=HOURLY, MINUTELY or SECONDLY follow elapsed time. A
// rule that has no instant within 400 years is refused.
func RRule(rule string) Schedule { return newSchedule(definition{kind: kindRRule, expr: rule}) }

// At returns a schedule that fires once, at t truncated to microseconds.
func At(t time.Time) Schedule { return newSchedule(definition{kind: kindAt, at: instant.Of(t)}) }

// In sets the time zone, an IANA name such as "Europe/Berlin". The default, "", is UTC, or for a
// recurrence rule the zone that its DTSTART names. "Local" is refused, because a schedule must mean
// the same on every machine.
func (s Schedule) In(zone string) Schedule {
	return s.with(func(d *definition) { d.zone = zone })
}

// Anchor sets the phase of an [Every] schedule: t is one of its ticks. There are ticks before t
// too; see [Schedule.From] to set a beginning. The zero time restores the default anchor.
func (s Schedule) Anchor(t time.Time) Schedule {
	return s.with(func(d *definition) { d.anchor = instant.Of(t) })
}

// DayAnd makes a [Cron] schedule fire only on days that match both day fields.
func (s Schedule) DayAnd() Schedule {
	return s.with(func(d *definition) { d.dayAnd = true })
}

// From drops every instant before t. The zero time removes the bound.
func (s Schedule) From(t time.Time) Schedule {
	return s.withFilter(func(f *filter) { f.from = instant.Of(t) })
}

// Until drops every instant after t. The zero time removes the bound.
func (s Schedule) Until(t time.Time) Schedule {
	return s.withFilter(func(f *filter) { f.until = instant.Of(t) })
}

// Except drops every instant whose local date, in the schedule's zone, is one of the dates, each
// written as 2026-12-25. It adds to the dates of earlier calls. A schedule has at most 10,000 of
// them.
func (s Schedule) Except(dates ...string) Schedule {
	return s.withFilter(func(f *filter) { f.except = sortedDates(f.except, dates) })
}

func sortedDates(lists ...[]string) []string {
	return slices.Compact(slices.Sorted(slices.Values(slices.Concat(lists...))))
}

// ExceptOn drops every instant whose local date, in the schedule's zone, is a date on which the
// other schedule, in its own zone, has an instant. It compares dates, not instants: a list of
// holidays can be a schedule. It adds to the schedules of earlier calls, at most 64. The other
// schedule cannot have an ExceptOn itself.
func (s Schedule) ExceptOn(other Schedule) Schedule {
	return s.withFilter(func(f *filter) { f.exceptOn = append(slices.Clone(f.exceptOn), other) })
}

// Named sets the key of the schedule within its deployment: up to 64 lower-case letters, digits and
// hyphens. Without a name the key is a hash of the timing, so that a schedule with another timing
// is another schedule. A named schedule keeps its history and its pause when its timing changes.
func (s Schedule) Named(slug string) Schedule {
	return s.with(func(d *definition) { d.slug = slug })
}

// Paused declares the schedule paused. An operator can override it. It does not change the
// instants.
func (s Schedule) Paused() Schedule {
	return s.with(func(d *definition) { d.paused = true })
}

// Jitter delays each run by 0 to d after its instant, and never until the next instant. The delay
// is a hash of the deployment, the schedule and the instant, so that every process computes the
// same one. The instants themselves do not change; see [Schedule.DueTime].
func (s Schedule) Jitter(d time.Duration) Schedule {
	return s.with(func(def *definition) { def.jitter = d })
}

// CatchUp sets what happens to instants that pass while no runner serves the deployment. The
// default is [CatchUpLatest].
func (s Schedule) CatchUp(policy CatchUpPolicy) Schedule {
	return s.with(func(d *definition) { d.catchUp = policy })
}

// CatchUpWindow limits how old an instant may be that [CatchUpLatest] or [CatchUpAll] runs. 0, the
// default, is the policy's own limit: none for CatchUpLatest, 24 hours for CatchUpAll.
func (s Schedule) CatchUpWindow(d time.Duration) Schedule {
	return s.with(func(def *definition) { def.window = d })
}

// WithParameters sets parameters for the runs of this schedule. They override the deployment's, key
// by key. A later call replaces them all.
func (s Schedule) WithParameters(p params.Params) Schedule {
	p = p.Clone()
	return s.with(func(d *definition) { d.parameters = p })
}

// newSchedule compiles a definition. From then on the definition does not change.
func newSchedule(d definition) Schedule {
	d.compile()
	return Schedule{&d}
}

func (s Schedule) with(refine func(*definition)) Schedule {
	var d definition
	if s.definition != nil {
		d = *s.definition
	}
	refine(&d)
	return newSchedule(d)
}

func (s Schedule) withFilter(refine func(*filter)) Schedule {
	return s.with(func(d *definition) {
		var f filter
		if d.filter != nil {
			f = *d.filter
		}
		refine(&f)
		d.filter = &f
	})
}
