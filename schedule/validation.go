package schedule

import (
	"errors"
	"fmt"
	"time"

	"github.com/provost-go/provost/internal/param"
	"github.com/provost-go/provost/internal/recur"
)

// Limits on exceptions. They bound the cost of a search.
const (
	maxExcept    = 10_000
	maxCalendars = 64
)

var errEmptySchedule = errors.New("empty: make it with Cron, Every, RRule or At")

// errExrule keeps searches short: a search for a date would contain a search among what the EXRULE
// leaves.
var errExrule = errors.New("a rule with EXRULE lines cannot have Except or ExceptOn: remove the lines and pass their rules to ExceptOn")

// Err returns every mistake in the schedule, each with what to write instead, or nil if the
// schedule is valid. A schedule that is not valid has no instants.
func (s Schedule) Err() error {
	if err := s.mistakes(); err != nil {
		return fmt.Errorf("schedule: %w", err)
	}
	return nil
}

// mistakes is Err without the prefix, for messages that have their own.
func (s Schedule) mistakes() error {
	if s.definition == nil {
		return errEmptySchedule
	}
	return s.definition.err
}

// check checks everything but the timing and the zone.
func (d *definition) check() (errs []error) {
	if d.dayAnd && d.kind != kindCron {
		errs = append(errs, errors.New("DayAnd is for Cron only: remove it"))
	}
	if !d.anchor.IsZero() && d.kind != kindInterval {
		errs = append(errs, errors.New("Anchor is for Every only: use From, or the DTSTART of a rule, to set a beginning"))
	}
	if d.jitter < 0 {
		errs = append(errs, fmt.Errorf("jitter %v is negative: give 0 or more", d.jitter))
	}
	if d.window < 0 {
		errs = append(errs, fmt.Errorf("catch-up window %v is negative: give 0 (the policy's own) or more", d.window))
	}
	if d.catchUp != CatchUpLatest && d.catchUp != CatchUpAll && d.catchUp != CatchUpNone {
		errs = append(errs, fmt.Errorf("catch-up policy %q is unknown: use CatchUpLatest, CatchUpAll or CatchUpNone (in JSON %q, %q or %q)", d.catchUp, CatchUpLatest, CatchUpAll, CatchUpNone))
	}
	if err := checkSlug(d.slug); err != nil {
		errs = append(errs, err)
	}
	if d.filter != nil {
		errs = append(errs, d.filter.check()...)
	}
	if _, err := param.Normalize(d.parameters); err != nil {
		errs = append(errs, fmt.Errorf("WithParameters: %w", err))
	}
	if d.filter.excepts() && d.hasExrule() {
		errs = append(errs, errExrule)
	}
	return errs
}

func (d *definition) hasExrule() bool {
	rule, ok := d.timing.(*recur.RRule)
	return ok && rule.HasExrule()
}

func checkSlug(slug string) error {
	if len(slug) > 64 {
		return fmt.Errorf("name %q has %d bytes: shorten it to at most 64", slug, len(slug))
	}
	for _, r := range slug {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' {
			return fmt.Errorf("name %q contains %q: use lower-case letters, digits and hyphens", slug, r)
		}
	}
	return nil
}

func (f *filter) check() []error {
	errs := []error{checkInstant("From", f.from), checkInstant("Until", f.until)}
	if !f.from.IsZero() && !f.until.IsZero() && f.until.Before(f.from) {
		errs = append(errs, fmt.Errorf("Until %s is before From %s: swap them", f.until.Format(time.RFC3339), f.from.Format(time.RFC3339)))
	}
	return append(errs, f.checkDates(), f.checkCalendars())
}

func (f *filter) checkDates() error {
	if len(f.except) > maxExcept {
		return fmt.Errorf("%d exception dates: give at most %d, or use ExceptOn", len(f.except), maxExcept)
	}
	for _, date := range f.except {
		if _, err := time.Parse(time.DateOnly, date); err != nil {
			return fmt.Errorf("exception date %q: write it as 2026-12-25", date)
		}
	}
	return nil
}

// checkCalendars refuses calendars within calendars: a search would read each of them for each date
// of the other.
func (f *filter) checkCalendars() error {
	if len(f.exceptOn) > maxCalendars {
		return fmt.Errorf("%d calendars: give ExceptOn at most %d", len(f.exceptOn), maxCalendars)
	}
	for _, calendar := range f.exceptOn {
		if err := calendar.mistakes(); err != nil {
			return fmt.Errorf("ExceptOn: %w", err)
		}
		if inner := calendar.definition.filter; inner != nil && len(inner.exceptOn) > 0 {
			return fmt.Errorf("ExceptOn: %s: it has calendars of its own: give each of them to the schedule instead", calendar)
		}
		if calendar.definition.hasExrule() {
			return fmt.Errorf("ExceptOn: %s: %w", calendar, errExrule)
		}
	}
	return nil
}

// checkInstant refuses times that neither JSON nor a store can hold.
func checkInstant(name string, t time.Time) error {
	if year := t.Year(); year < 1 || year > 9999 {
		return fmt.Errorf("%s is in the year %d: give an instant in the years 1 to 9999", name, year)
	}
	return nil
}
