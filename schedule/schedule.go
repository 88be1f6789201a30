package schedule

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/internal/param"
	"github.com/provost-go/provost/internal/recur"
	"github.com/provost-go/provost/params"
)

// Schedule says when a deployment runs. It is a small immutable value: [Cron], [Every], [RRule] and [At] make one, its methods
// return a refined copy. The set of its instants is fixed by its definition alone: it does not depend on where one starts to
// look, nor on the clock. Instants are UTC in whole microseconds. A mistake shows in Err, and in [Deployment.Validate].
type Schedule struct{ spec *spec }

// scheduleSpec is never changed once a Schedule holds it.
type spec struct {
	kind     kind
	dayAnd   bool
	paused   bool
	catchUp  CatchUpPolicy
	expr     string        // cron expression or recurrence rule, as given
	interval time.Duration // Every
	anchor   time.Time     // Every; zero: the default
	at       time.Time     // At
	zone     string        // as given; "" is UTC
	window   time.Duration // CatchUpWindow; 0: none
	jitter   time.Duration
	slug     string
	extra    *extra         // what few schedules have
	timing   timing         // computed; nil if err
	location *time.Location // computed; UTC if the zone is wrong
	err      error          // every mistake, joined
}

type extra struct {
	from, until time.Time
	except      []string // dates, sorted
	exceptOn    []Schedule
	parameters  params.Params
}

type kind uint8

const (
	cronSchedule kind = iota + 1
	intervalSchedule
	rruleSchedule
	atSchedule
)

// timing is a recurrence without bounds and exceptions.
type timing interface {
	Next(after time.Time) (time.Time, bool)
	Prev(before time.Time) (time.Time, bool)
	Describe() string
	Expr() string
}

// CatchUpPolicy says what becomes of the instants that pass while no runner serves the deployment.
type CatchUpPolicy string

// The catch-up policies.
const (
	CatchUpLatest CatchUpPolicy = ""     // the newest runs, however old unless CatchUpWindow bounds it; the rest are skips
	CatchUpAll    CatchUpPolicy = "all"  // the newest 100 within 24 hours (or CatchUpWindow) run, oldest first
	CatchUpNone   CatchUpPolicy = "none" // nothing runs, but the newest if it is at most a minute old
)

// Cron is a schedule in the five fields of cron (minute, hour, day of month, month, day of week) or a name such as @daily. Where
// both day fields are restricted, a day that matches either one counts (Vixie cron; see DayAnd). Beyond cron it knows, as
// Quartz does, L (last day of the month), L-3 (third day before it; a month too short has none), LW (last weekday, Monday to
// Friday), 15W (weekday nearest the 15th), 5L (last Friday) and 5#2 (second Friday).
//
// Daylight saving follows the rule of ISC cron. If the hour or the minute field begins with *, the schedule fires whenever the
// local clock matches. Otherwise it fires exactly once for each matching local date and time: a time that the clock skips is
// moved forward by the gap (02:30 becomes 03:30), a time that comes twice fires the first time only.
func Cron(expr string) Schedule { return build(spec{kind: cronSchedule, expr: expr}) }

// Every is a schedule at a fixed interval of at least a millisecond. Its ticks are counted from the anchor: Monday 2001-01-01
// 00:00 in the schedule's zone, unless Anchor says otherwise, so that Every(time.Hour) fires on the hour whenever the program
// started. From 24 hours on, whole days are days of the calendar, so that a daily tick keeps its local time all year.
func Every(d time.Duration) Schedule {
	return build(spec{kind: intervalSchedule, interval: d})
}

// RRule is a schedule by a recurrence rule of RFC 5545: the parts of one rule, such as "FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=18", or
// lines with DTSTART, RRULE, EXRULE, RDATE and EXDATE. The rule recurs on the clock of the schedule's zone, which DTSTART may name
// in place of In. Without DTSTART it begins at 2020-01-01 00:00, as Prefect's rules do, never at the time of the call.
//
// Daylight saving is as for a Cron that names its times, and a time that the clock skips counts for COUNT. Rules of hours, minutes
// and seconds follow elapsed time. A rule with no instant within 400 years is refused.
func RRule(rule string) Schedule { return build(spec{kind: rruleSchedule, expr: rule}) }

// At is a schedule that fires once.
func At(t time.Time) Schedule { return build(spec{kind: atSchedule, at: instant.Of(t)}) }

// In sets the time zone, an IANA name such as "Europe/Berlin". The default is UTC; "Local" is refused, because a schedule must
// mean the same on every machine.
func (s Schedule) In(zone string) Schedule {
	return s.with(func(c *spec) { c.zone = zone })
}

// Anchor sets the phase of Every: t is one of its ticks. Ticks extend before it too; see From for a beginning.
func (s Schedule) Anchor(t time.Time) Schedule {
	return s.with(func(c *spec) { c.anchor = instant.Of(t) })
}

// From drops every instant before t.
func (s Schedule) From(t time.Time) Schedule {
	return s.withExtra(func(e *extra) { e.from = instant.Of(t) })
}

// Until drops every instant after t.
func (s Schedule) Until(t time.Time) Schedule {
	return s.withExtra(func(e *extra) { e.until = instant.Of(t) })
}

// Except drops every instant whose local date, in the schedule's zone, is one of the dates, each written 2026-12-25.
func (s Schedule) Except(dates ...string) Schedule {
	return s.withExtra(func(e *extra) {
		e.except = slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(e.except), dates...))))
	})
}

// ExceptOn drops every instant whose local date, in the schedule's zone, is a local date, in the other schedule's zone, on which
// the other schedule has an instant: the dates are compared, not the moments. The other schedule has no ExceptOn itself.
func (s Schedule) ExceptOn(other Schedule) Schedule {
	return s.withExtra(func(e *extra) { e.exceptOn = append(slices.Clone(e.exceptOn), other) })
}

// Jitter spreads starts over at most d after each instant, never past the next one. The shift is a hash of deployment, schedule
// and instant: the same in every process.
func (s Schedule) Jitter(d time.Duration) Schedule {
	return s.with(func(c *spec) { c.jitter = d })
}

// CatchUp sets what becomes of the instants that pass while no runner serves the deployment.
func (s Schedule) CatchUp(policy CatchUpPolicy) Schedule {
	return s.with(func(c *spec) { c.catchUp = policy })
}

// CatchUpWindow bounds the age of what is caught up. 0 is the policy's own bound.
func (s Schedule) CatchUpWindow(d time.Duration) Schedule {
	return s.with(func(c *spec) { c.window = d })
}

// WithParameters gives the runs of this schedule parameters that lie over the deployment's.
func (s Schedule) WithParameters(p params.Params) Schedule {
	p = p.Clone()
	return s.withExtra(func(e *extra) { e.parameters = p })
}

// Named gives the schedule a key of its own: lower-case letters, digits and hyphens. Without one the key is a hash of the
// timing, so that another timing is another schedule; a named one keeps its history and its pause when its timing changes.
func (s Schedule) Named(slug string) Schedule {
	return s.with(func(c *spec) { c.slug = slug })
}

// Paused declares the schedule paused. An operator can override it.
func (s Schedule) Paused() Schedule {
	return s.with(func(c *spec) { c.paused = true })
}

// DayAnd makes a cron schedule fire on days that match both day fields.
func (s Schedule) DayAnd() Schedule {
	return s.with(func(c *spec) { c.dayAnd = true })
}

// Err says what is wrong with the schedule and how to mend it, nil if nothing is.
func (s Schedule) Err() error {
	if err := s.mistakes(); err != nil {
		return fmt.Errorf("schedule: %w", err)
	}
	return nil
}

// mistakes is Err without the prefix, for messages that have one.
func (s Schedule) mistakes() error {
	if s.spec == nil {
		return errEmptySchedule
	}
	return s.spec.err
}

var errEmptySchedule = errors.New("empty: make it with Cron, Every, RRule or At")

// Next is the first instant after t, false if there is none or the schedule is wrong. Where exceptions drop all for five years
// and more, there may be none as far as Next is concerned.
func (s Schedule) Next(t time.Time) (time.Time, bool) { return s.seek(t, forward) }

// Prev is the last instant before t, false if there is none or the schedule is wrong.
func (s Schedule) Prev(t time.Time) (time.Time, bool) { return s.seek(t, backward) }

func (s Schedule) seek(t time.Time, way direction) (time.Time, bool) {
	if s.spec == nil || s.spec.err != nil {
		return time.Time{}, false
	}
	if s.spec.extra == nil {
		return way.step(s.spec.timing, t)
	}
	return s.spec.seek(t, way)
}

// Upcoming is the first n instants after t, fewer if there are no more.
func (s Schedule) Upcoming(t time.Time, n int) []time.Time {
	var instants []time.Time
	for next := range s.All(t) {
		if len(instants) >= n {
			break
		}
		instants = append(instants, next)
	}
	return instants
}

// maxBetween bounds what Between returns.
const maxBetween = 1_000_000

// Between is the instants after from, up to and including to: at most the first million.
func (s Schedule) Between(from, to time.Time) []time.Time {
	var instants []time.Time
	for next := range s.All(from) {
		if next.After(to) || len(instants) >= maxBetween {
			break
		}
		instants = append(instants, next)
	}
	return instants
}

// All yields the instants after t, in order, without end if the schedule has none.
func (s Schedule) All(t time.Time) iter.Seq[time.Time] {
	return func(yield func(time.Time) bool) {
		for {
			next, ok := s.Next(t)
			if !ok || !yield(next) {
				return
			}
			t = next
		}
	}
}

// Key identifies the schedule within its deployment: its slug, else a hash of its timing alone.
func (s Schedule) Key() string {
	if s.spec == nil {
		return ""
	}
	if s.spec.slug != "" {
		return s.spec.slug
	}
	text, err := s.Timing().MarshalJSON()
	if err != nil {
		text = []byte(s.spec.expr) // a faulty schedule never gets as far as a store
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6])
}

// bare is the timing alone, written in one way only: @daily and 0 0 * * * are one timing, and so are no zone and UTC.
func (s Schedule) Timing() Schedule {
	if s.spec == nil {
		return s
	}
	c := *s.spec
	c.paused, c.catchUp, c.window, c.jitter, c.slug = false, "", 0, 0, ""
	if (c.kind == cronSchedule || c.kind == rruleSchedule) && c.err == nil {
		c.expr = c.timing.Expr()
		c.zone = c.location.String()
	}
	if c.zone == "UTC" {
		c.zone = ""
	}
	if c.extra != nil {
		x := *c.extra
		x.parameters = nil
		x.exceptOn = nil
		for _, calendar := range c.extra.exceptOn {
			x.exceptOn = append(x.exceptOn, calendar.Timing())
		}
		c.extra = &x
	}
	return Schedule{&c}
}

// has reports whether a time is one of the schedule's instants.
func (s Schedule) Has(at time.Time) bool {
	next, ok := s.Next(at.Add(-time.Microsecond))
	return ok && next.Equal(at)
}

// Equal reports whether two schedules are the same in every way.
func (s Schedule) Equal(other Schedule) bool {
	if s.spec == other.spec {
		return true
	}
	mine, err := s.MarshalJSON()
	theirs, otherErr := other.MarshalJSON()
	return err == nil && otherErr == nil && bytes.Equal(mine, theirs)
}

// Expr is the canonical expression of the timing alone: the five fields of a cron schedule in numbers, the interval as
// time.Duration writes it, the rule, or the instant. It is "" for a faulty schedule.
func (s Schedule) Expr() string {
	if s.mistakes() != nil {
		return ""
	}
	return s.spec.timing.Expr()
}

// String is the schedule in plain English: "every weekday at 02:00, Europe/Berlin".
func (s Schedule) String() string {
	if err := s.mistakes(); err != nil {
		return "no schedule (" + err.Error() + ")"
	}
	var b strings.Builder
	s.describeTiming(&b)
	if x := s.spec.extra; x != nil {
		s.describeBounds(&b, x)
	}
	if s.spec.jitter > 0 {
		fmt.Fprintf(&b, ", delayed by up to %s", s.spec.jitter)
	}
	if s.spec.paused {
		b.WriteString(", paused")
	}
	return b.String()
}

// describeTiming leaves out a zone that does not matter.
func (s Schedule) describeTiming(b *strings.Builder) {
	if s.spec.kind == atSchedule {
		b.WriteString("once at " + s.spec.at.In(s.location()).Format("2006-01-02 15:04:05 MST"))
		return
	}
	b.WriteString(s.spec.timing.Describe())
	if s.spec.kind != intervalSchedule || s.spec.interval >= 24*time.Hour {
		fmt.Fprintf(b, ", %s", s.location())
	}
}

func (s Schedule) describeBounds(b *strings.Builder, x *extra) {
	if !x.from.IsZero() {
		b.WriteString(", from " + s.boundWords(x.from))
	}
	if !x.until.IsZero() {
		b.WriteString(", until " + s.boundWords(x.until))
	}
	switch n := len(x.except); {
	case n == 0:
	case n <= 3:
		fmt.Fprintf(b, ", except on %s", strings.Join(x.except, ", "))
	default:
		fmt.Fprintf(b, ", except on %d dates", n)
	}
	for _, other := range x.exceptOn {
		fmt.Fprintf(b, ", except on days of: %s", other)
	}
}

func (s Schedule) boundWords(t time.Time) string {
	return strings.TrimSuffix(t.In(s.location()).Format("2006-01-02 15:04:05.999999"), ":00")
}

func (s Schedule) location() *time.Location {
	if s.spec == nil {
		return time.UTC
	}
	return s.spec.location
}

func build(spec spec) Schedule {
	spec.compile()
	return Schedule{&spec}
}

func (s Schedule) with(refine func(*spec)) Schedule {
	var c spec
	if s.spec != nil {
		c = *s.spec
	}
	refine(&c)
	return build(c)
}

func (s Schedule) withExtra(refine func(*extra)) Schedule {
	return s.with(func(c *spec) {
		var x extra
		if c.extra != nil {
			x = *c.extra
		}
		refine(&x)
		c.extra = &x
	})
}

// compile makes the timing, or finds everything that is wrong with the schedule.
func (c *spec) compile() {
	zone, zoneErr := recur.LoadZone(c.zone)
	if zoneErr != nil {
		zone, _ = recur.LoadZone("") // good enough to find what else is wrong
	}
	c.location = zone.Location()
	var err error
	c.timing, err = c.recurrence(zone)
	if rule, ok := c.timing.(*recur.RRule); ok {
		c.location = rule.Zone().Location()
	}
	c.err = errors.Join(append([]error{zoneErr, err}, c.checkRefinements()...)...)
	if c.err != nil {
		c.timing = nil
	}
}

func (c *spec) recurrence(zone *recur.Zone) (timing, error) {
	switch c.kind {
	case cronSchedule:
		key := timingKey{expr: c.expr, zone: zone, dayAnd: c.dayAnd}
		return shared(key, func() (timing, error) { return recur.NewCron(c.expr, zone, c.dayAnd) })
	case intervalSchedule:
		return recur.NewInterval(c.interval, c.anchor, zone)
	case rruleSchedule:
		return c.rule(zone)
	case atSchedule:
		if c.at.IsZero() {
			return nil, errors.New("At has the zero time: give it the time to fire")
		}
		return once(c.at), checkInstant("At", c.at)
	default:
		return nil, errEmptySchedule
	}
}

// rule leaves the zone to the rule's DTSTART if the schedule names none.
func (c *spec) rule(zone *recur.Zone) (timing, error) {
	if c.zone == "" {
		zone = nil
	}
	key := timingKey{expr: c.expr, zone: zone, rule: true}
	return shared(key, func() (timing, error) { return recur.NewRRule(c.expr, zone) })
}

// shared parses an expression once: schedules are refined step by step, and thousands share a few expressions. What is kept is
// dropped when it is much.
func shared(key timingKey, parse func() (timing, error)) (timing, error) {
	if t := timings.get(key); t != nil {
		return t, nil
	}
	t, err := parse()
	if err != nil {
		return nil, err
	}
	timings.put(key, t)
	return t, nil
}

const (
	maxShared     = 4096
	maxSharedSize = 1 << 20 // bytes of expressions
)

var timings timingCache

type timingCache struct {
	mu     sync.Mutex
	parsed map[timingKey]timing
	size   int // of the expressions
}

func (c *timingCache) get(key timingKey) timing {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.parsed[key]
}

func (c *timingCache) put(key timingKey, t timing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.parsed == nil || len(c.parsed) >= maxShared || c.size >= maxSharedSize {
		c.parsed = make(map[timingKey]timing)
		c.size = 0
	}
	c.parsed[key] = t
	c.size += len(key.expr)
}

type timingKey struct {
	expr   string
	zone   *recur.Zone
	rule   bool // expr is a recurrence rule
	dayAnd bool
}

func (c *spec) checkRefinements() (errs []error) {
	if c.dayAnd && c.kind != cronSchedule {
		errs = append(errs, errors.New("DayAnd is for Cron only: remove it"))
	}
	if !c.anchor.IsZero() && c.kind != intervalSchedule {
		errs = append(errs, errors.New("Anchor is for Every only: use From, or the DTSTART of a rule, to set a beginning"))
	}
	if c.jitter < 0 {
		errs = append(errs, fmt.Errorf("jitter %v is negative: give 0 or more", c.jitter))
	}
	if c.window < 0 {
		errs = append(errs, fmt.Errorf("catch-up window %v is negative: give 0 (the policy's own) or more", c.window))
	}
	if c.catchUp != CatchUpLatest && c.catchUp != CatchUpAll && c.catchUp != CatchUpNone {
		errs = append(errs, fmt.Errorf("catch-up policy %q is unknown: use CatchUpLatest, CatchUpAll or CatchUpNone (in JSON %q, %q or %q)", c.catchUp, CatchUpLatest, CatchUpAll, CatchUpNone))
	}
	if err := checkSlug(c.slug); err != nil {
		errs = append(errs, err)
	}
	if c.extra != nil {
		errs = append(errs, c.extra.check()...)
		if len(c.extra.except)+len(c.extra.exceptOn) > 0 && c.hasExrule() {
			errs = append(errs, errExrule)
		}
	}
	return errs
}

// errExrule keeps a search short that would look for dates in what another search leaves.
var errExrule = errors.New("a rule with EXRULE lines does not go with Except and ExceptOn: remove the lines and give their rules to ExceptOn")

func (c *spec) hasExrule() bool {
	rule, ok := c.timing.(*recur.RRule)
	return ok && rule.HasExrule()
}

const (
	maxExcept    = 10_000
	maxCalendars = 64
)

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

func (x *extra) check() []error {
	errs := []error{checkInstant("From", x.from), checkInstant("Until", x.until)}
	if !x.from.IsZero() && !x.until.IsZero() && x.until.Before(x.from) {
		errs = append(errs, fmt.Errorf("Until %s lies before From %s: swap them", x.until.Format(time.RFC3339), x.from.Format(time.RFC3339)))
	}
	errs = append(errs, x.checkDates(), x.checkCalendars())
	if _, err := param.Normalize(x.parameters); err != nil {
		errs = append(errs, fmt.Errorf("WithParameters: %w", err))
	}
	return errs
}

func (x *extra) checkDates() error {
	if len(x.except) > maxExcept {
		return fmt.Errorf("%d exception dates: give at most %d, or use ExceptOn", len(x.except), maxExcept)
	}
	for _, date := range x.except {
		if _, err := time.Parse(time.DateOnly, date); err != nil {
			return fmt.Errorf("exception date %q: write it as 2026-12-25", date)
		}
	}
	return nil
}

// checkCalendars refuses calendars within calendars: a search would read each of them for each date of the other.
func (x *extra) checkCalendars() error {
	if len(x.exceptOn) > maxCalendars {
		return fmt.Errorf("%d calendars: give ExceptOn at most %d", len(x.exceptOn), maxCalendars)
	}
	for _, calendar := range x.exceptOn {
		if err := calendar.mistakes(); err != nil {
			return fmt.Errorf("ExceptOn: %w", err)
		}
		if extra := calendar.spec.extra; extra != nil && len(extra.exceptOn) > 0 {
			return fmt.Errorf("ExceptOn: %s: it has calendars of its own: give each of them to the schedule instead", calendar)
		}
		if calendar.spec.hasExrule() {
			return fmt.Errorf("ExceptOn: %s: %w", calendar, errExrule)
		}
	}
	return nil
}

// checkInstant refuses what neither JSON nor a store can hold.
func checkInstant(name string, t time.Time) error {
	if year := t.Year(); year < 1 || year > 9999 {
		return fmt.Errorf("%s is in the year %d: give an instant in the years 1 to 9999", name, year)
	}
	return nil
}

// once is the timing of At.
type once time.Time

func (o once) Next(after time.Time) (time.Time, bool) {
	return time.Time(o), time.Time(o).After(after)
}

func (o once) Prev(before time.Time) (time.Time, bool) {
	return time.Time(o), time.Time(o).Before(before)
}

func (o once) Expr() string { return time.Time(o).Format(time.RFC3339Nano) }

func (o once) Describe() string { return "once at " + time.Time(o).Format(time.RFC3339) }

// parameters are those of WithParameters, normalised; nil if there are none.
func (s Schedule) Parameters() params.Params {
	if s.spec == nil || s.spec.extra == nil {
		return nil
	}
	p, err := param.Normalize(s.spec.extra.parameters)
	if err != nil {
		return nil // Err has said so
	}
	return p
}

// due is when the run of an instant is due: the instant plus its jitter, which ends before the next instant.
func (s Schedule) DueTime(deployment uuid.UUID, key string, at time.Time) time.Time {
	if s.spec == nil {
		return at
	}
	limit := s.spec.jitter
	if limit == 0 {
		return at
	}
	if next, ok := s.Next(at); ok {
		limit = min(limit, next.Sub(at)-time.Microsecond)
	}
	steps := uint64(limit / time.Microsecond)
	if limit <= 0 || steps == 0 {
		return at
	}
	h := sha256.New()
	h.Write(deployment[:])
	h.Write([]byte(key))
	var nominal [8]byte
	binary.BigEndian.PutUint64(nominal[:], uint64(at.UnixMicro()))
	h.Write(nominal[:])
	var sum [sha256.Size]byte
	draw := binary.BigEndian.Uint64(h.Sum(sum[:0]))
	return at.Add(time.Duration(draw%(steps+1)) * time.Microsecond)
}

// evenly is the elapsed time between any two instants in a row, false if they differ.
func (s Schedule) evenly() (time.Duration, bool) {
	c := s.spec
	even := c.kind == intervalSchedule && c.interval < 24*time.Hour && (c.extra == nil || (len(c.extra.except) == 0 && len(c.extra.exceptOn) == 0))
	return c.interval, even
}

// maxCounted bounds the instants of a range that are counted one by one.
const maxCounted = 1_000_000

// countUntil counts the instants from a first one up to a time, and finds the last. A plain interval, the only schedule that may
// have more than maxCounted in years, is counted by division, so that a long downtime costs no more than a short one; of any other,
// no more than maxCounted are counted, and the range still is decided whole.
func (s Schedule) CountUntil(first, until time.Time) (last time.Time, count int) {
	if d, ok := s.evenly(); ok {
		if last, ok = s.Prev(until.Add(time.Microsecond)); ok {
			return last, int(last.Sub(first)/d) + 1
		}
	}
	last, count = first, 1
	for {
		next, ok := s.Next(last)
		if !ok || next.After(until) {
			return last, count
		}
		if count == maxCounted {
			last, _ = s.Prev(until.Add(time.Microsecond))
			return last, count
		}
		last = next
		count++
	}
}

// catchUpPolicy is what CatchUp and CatchUpWindow set.
func (s Schedule) CatchUpRule() (policy CatchUpPolicy, window time.Duration) {
	if s.spec == nil {
		return CatchUpLatest, 0
	}
	return s.spec.catchUp, s.spec.window
}

// isPaused reports whether the schedule was declared with Paused.
func (s Schedule) IsPaused() bool { return s.spec != nil && s.spec.paused }

// givenParameters returns the parameters as WithParameters took them, secrets and Go values included.
func (s Schedule) GivenParameters() params.Params {
	if s.spec == nil || s.spec.extra == nil {
		return nil
	}
	return s.spec.extra.parameters
}
