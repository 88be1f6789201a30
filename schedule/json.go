package schedule

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/internal/param"
	"github.com/provost-go/provost/params"
)

// scheduleJSON is a schedule as one flat object: Prefect's timing keys, then provost's. Exactly one of cron, interval, rrule and
// at says the kind.
type document struct {
	Cron       *string          `json:"cron,omitempty"`
	DayOr      *bool            `json:"day_or,omitempty"`
	Interval   *json.RawMessage `json:"interval,omitempty"` // a number of seconds
	AnchorDate *string          `json:"anchor_date,omitempty"`
	RRule      *string          `json:"rrule,omitempty"`
	At         *string          `json:"at,omitempty"`
	Timezone   string           `json:"timezone,omitempty"`

	From          *string           `json:"from,omitempty"`
	Until         *string           `json:"until,omitempty"`
	Except        []string          `json:"except,omitempty"`
	ExceptOn      []json.RawMessage `json:"except_on,omitempty"`
	Jitter        string            `json:"jitter,omitempty"` // as time.Duration writes it
	CatchUp       CatchUpPolicy     `json:"catch_up,omitempty"`
	CatchUpWindow string            `json:"catch_up_window,omitempty"`
	Parameters    params.Params     `json:"parameters,omitempty"`
	Slug          string            `json:"slug,omitempty"`
	Paused        bool              `json:"paused,omitempty"`
}

var scheduleKeys = []string{
	"cron", "day_or", "interval", "anchor_date", "rrule", "at", "timezone", "from", "until", "except", "except_on",
	"jitter", "catch_up", "catch_up_window", "parameters", "slug", "paused",
}

// MarshalJSON writes the schedule as one flat object; reading it back gives an equal schedule.
func (s Schedule) MarshalJSON() ([]byte, error) {
	if s.spec == nil || s.spec.kind == 0 {
		return nil, fmt.Errorf("schedule: %w", errEmptySchedule)
	}
	c := s.spec
	j := document{Timezone: c.zone, CatchUp: c.catchUp, Slug: c.slug, Paused: c.paused}
	switch c.kind {
	case cronSchedule:
		j.Cron = &c.expr
		if c.dayAnd {
			j.DayOr = new(bool)
		}
	case intervalSchedule:
		seconds := secondsOf(c.interval)
		j.Interval = &seconds
		j.AnchorDate = instantText(c.anchor)
	case rruleSchedule:
		j.RRule = &c.expr
	case atSchedule:
		j.At = instantText(c.at)
	}
	j.Jitter, j.CatchUpWindow = durationText(c.jitter), durationText(c.window)
	if x := c.extra; x != nil {
		j.From, j.Until, j.Except = instantText(x.from), instantText(x.until), x.except
		for _, other := range x.exceptOn {
			text, err := other.MarshalJSON()
			if err != nil {
				return nil, err
			}
			j.ExceptOn = append(j.ExceptOn, text)
		}
		parameters, err := param.Normalize(x.parameters)
		if err != nil {
			return nil, fmt.Errorf("schedule: %w", err)
		}
		j.Parameters = parameters
	}
	return json.Marshal(j)
}

// UnmarshalJSON reads what MarshalJSON writes, and Prefect's schedules of these kinds. It refuses unknown and repeated keys, an
// object of no kind or of two, and every schedule that Err would complain of.
func (s *Schedule) UnmarshalJSON(text []byte) error {
	read, err := readSchedule(text, false)
	if err != nil {
		return fmt.Errorf("schedule: %w", err)
	}
	*s = read
	return nil
}

// readSchedule reads a schedule, or a calendar of one. It knows which, so that it need not read calendars within calendars.
func readSchedule(text []byte, calendar bool) (Schedule, error) {
	if err := checkKeys(text); err != nil {
		return Schedule{}, err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var j document
	if err := decoder.Decode(&j); err != nil {
		return Schedule{}, typeError(err)
	}
	if calendar && len(j.ExceptOn) > 0 {
		return Schedule{}, errors.New("it has calendars of its own: give each of them to the schedule instead")
	}
	spec, err := j.spec()
	if err != nil {
		return Schedule{}, err
	}
	read := build(spec)
	return read, read.spec.err
}

// checkKeys sees to what encoding/json lets pass: another case, and a key that comes twice.
func checkKeys(text []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	if start, err := decoder.Token(); err != nil {
		return err
	} else if start != json.Delim('{') {
		return fmt.Errorf("%.40s is not an object: write {\"cron\": \"0 2 * * *\"} or the like", text)
	}
	seen := make(map[string]bool)
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return err
		}
		key, _ := token.(string)
		if !slices.Contains(scheduleKeys, key) {
			return fmt.Errorf("key %q is unknown: use %s", key, strings.Join(scheduleKeys, ", "))
		}
		if seen[key] {
			return fmt.Errorf("key %q is given twice: remove one", key)
		}
		seen[key] = true
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return err
		}
	}
	return nil
}

// typeError says in JSON's words that a value has the wrong type.
func typeError(err error) error {
	var mismatch *json.UnmarshalTypeError
	if !errors.As(err, &mismatch) {
		return err
	}
	want := map[reflect.Kind]string{reflect.String: "a string", reflect.Bool: "true or false", reflect.Slice: "an array", reflect.Map: "an object"}
	return fmt.Errorf("%s has the JSON type %s: write %s", mismatch.Field, mismatch.Value, want[mismatch.Type.Kind()])
}

func (j *document) spec() (spec, error) {
	c := spec{zone: j.Timezone, catchUp: j.CatchUp, slug: j.Slug, paused: j.Paused}
	if err := j.readKind(&c); err != nil {
		return c, err
	}
	var err error
	if c.jitter, err = readDuration("jitter", j.Jitter); err != nil {
		return c, err
	}
	if c.window, err = readDuration("catch_up_window", j.CatchUpWindow); err != nil {
		return c, err
	}
	return c, j.readExtra(&c)
}

func (j *document) readKind(c *spec) (err error) {
	var kinds []string
	if j.Cron != nil {
		kinds = append(kinds, "cron")
		c.kind, c.expr = cronSchedule, *j.Cron
	}
	if j.Interval != nil {
		kinds = append(kinds, "interval")
		c.kind = intervalSchedule
		if c.interval, err = readSeconds("interval", string(*j.Interval)); err != nil {
			return err
		}
	}
	if j.RRule != nil {
		kinds = append(kinds, "rrule")
		c.kind, c.expr = rruleSchedule, *j.RRule
	}
	if j.At != nil {
		kinds = append(kinds, "at")
		c.kind = atSchedule
		if c.at, err = readInstant("at", j.At); err != nil {
			return err
		}
	}
	switch len(kinds) {
	case 0:
		return errors.New("no kind: give one of cron, interval, rrule and at")
	case 1:
		return j.readKindOptions(c)
	default:
		return fmt.Errorf("two kinds or more: %s: give only one of them", strings.Join(kinds, ", "))
	}
}

// readKindOptions reads the keys that go with one kind.
func (j *document) readKindOptions(c *spec) (err error) {
	if j.DayOr != nil {
		if c.kind != cronSchedule {
			return errors.New("day_or goes with cron only: remove it")
		}
		c.dayAnd = !*j.DayOr
	}
	if j.AnchorDate != nil && c.kind != intervalSchedule {
		return errors.New("anchor_date goes with interval only: use from to set a beginning")
	}
	c.anchor, err = readInstant("anchor_date", j.AnchorDate)
	return err
}

func (j *document) readExtra(c *spec) (err error) {
	if j.From == nil && j.Until == nil && len(j.Except) == 0 && len(j.ExceptOn) == 0 && len(j.Parameters) == 0 {
		return nil
	}
	x := &extra{except: slices.Compact(slices.Sorted(slices.Values(j.Except)))}
	if len(j.Parameters) > 0 {
		x.parameters = j.Parameters
	}
	if x.from, err = readInstant("from", j.From); err != nil {
		return err
	}
	if x.until, err = readInstant("until", j.Until); err != nil {
		return err
	}
	for _, text := range j.ExceptOn {
		calendar, err := readSchedule(text, true)
		if err != nil {
			return fmt.Errorf("except_on: %w", err)
		}
		x.exceptOn = append(x.exceptOn, calendar)
	}
	c.extra = x
	return nil
}

// secondsOf writes a duration as a decimal number of seconds, exactly.
func secondsOf(d time.Duration) json.RawMessage {
	if whole := d.Truncate(time.Second); whole == d {
		return json.RawMessage(fmt.Sprint(int64(d / time.Second)))
	}
	sign := ""
	if d < 0 {
		sign, d = "-", -d
	}
	text := fmt.Sprintf("%s%d.%09d", sign, int64(d/time.Second), int64(d%time.Second))
	for text[len(text)-1] == '0' {
		text = text[:len(text)-1]
	}
	return json.RawMessage(text)
}

var plainDecimal = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)

// readSeconds reads what secondsOf writes. It refuses what it would have to round.
func readSeconds(key, text string) (time.Duration, error) {
	short := text
	if strings.Contains(text, ".") {
		short = strings.TrimRight(text, "0")
	}
	d, err := time.ParseDuration(short + "s")
	if _, fraction, _ := strings.Cut(short, "."); err != nil || len(fraction) > 6 || !plainDecimal.MatchString(text) {
		return 0, fmt.Errorf("%s %.40s: write a plain decimal number of seconds, at most %d, with at most 6 decimals", key, text, math.MaxInt64/int64(time.Second))
	}
	return d, nil
}

// instantText is nil for the zero time.
func instantText(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	text := t.Format(time.RFC3339Nano)
	return &text
}

// readInstant is the zero time for nil.
func readInstant(key string, text *string) (time.Time, error) {
	if text == nil {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, *text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s %q is not an instant: write it as 2026-01-05T14:00:00Z", key, *text)
	}
	t = instant.Of(t)
	return t, checkInstant(key, t)
}

func durationText(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

func readDuration(key, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%s %q: write it as 90s or 1h30m", key, text)
	}
	return d, nil
}
