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

// jsonForm is a schedule as one flat object: the timing keys of Prefect, then the keys of provost.
// Exactly one of cron, interval, rrule and at is present and decides the kind.
type jsonForm struct {
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
	Jitter        string            `json:"jitter,omitempty"` // as time.Duration prints it
	CatchUp       CatchUpPolicy     `json:"catch_up,omitempty"`
	CatchUpWindow string            `json:"catch_up_window,omitempty"`
	Parameters    params.Params     `json:"parameters,omitempty"`
	Slug          string            `json:"slug,omitempty"`
	Paused        bool              `json:"paused,omitempty"`
}

// jsonKeys are the keys of jsonForm.
var jsonKeys = []string{
	"cron", "day_or", "interval", "anchor_date", "rrule", "at", "timezone", "from", "until", "except", "except_on",
	"jitter", "catch_up", "catch_up_window", "parameters", "slug", "paused",
}

// MarshalJSON returns the schedule as one flat object; the package documentation lists its keys.
// UnmarshalJSON turns it into an equal schedule. It fails for the zero Schedule and for parameters
// that have no JSON form.
func (s Schedule) MarshalJSON() ([]byte, error) {
	d := s.definition
	if d == nil || d.kind == 0 {
		return nil, fmt.Errorf("schedule: %w", errEmptySchedule)
	}
	j := jsonForm{Timezone: d.zone, CatchUp: d.catchUp, Slug: d.slug, Paused: d.paused}
	switch d.kind {
	case kindCron:
		j.Cron = &d.expr
		if d.dayAnd {
			j.DayOr = new(bool)
		}
	case kindInterval:
		seconds := secondsText(d.interval)
		j.Interval = &seconds
		j.AnchorDate = instantText(d.anchor)
	case kindRRule:
		j.RRule = &d.expr
	case kindAt:
		j.At = instantText(d.at)
	}
	j.Jitter, j.CatchUpWindow = durationText(d.jitter), durationText(d.window)
	if f := d.filter; f != nil {
		j.From, j.Until, j.Except = instantText(f.from), instantText(f.until), f.except
		for _, other := range f.exceptOn {
			text, err := other.MarshalJSON()
			if err != nil {
				return nil, err
			}
			j.ExceptOn = append(j.ExceptOn, text)
		}
	}
	parameters, err := param.Normalize(d.parameters)
	if err != nil {
		return nil, fmt.Errorf("schedule: %w", err)
	}
	j.Parameters = parameters
	return json.Marshal(j)
}

// UnmarshalJSON reads what MarshalJSON returns, and Prefect's cron, interval and rrule schedules as
// far as they use the same keys. It refuses unknown and repeated keys, an object without a kind or
// with two, and every schedule that Err would refuse. It leaves s unchanged when it returns an
// error.
func (s *Schedule) UnmarshalJSON(text []byte) error {
	read, err := readSchedule(text, false)
	if err != nil {
		return fmt.Errorf("schedule: %w", err)
	}
	*s = read
	return nil
}

// readSchedule reads a schedule or, if calendar is set, one of its except_on schedules, which have
// no except_on themselves: it does not read those at all.
func readSchedule(text []byte, calendar bool) (Schedule, error) {
	if err := checkKeys(text); err != nil {
		return Schedule{}, err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var j jsonForm
	if err := decoder.Decode(&j); err != nil {
		return Schedule{}, typeError(err)
	}
	if calendar && len(j.ExceptOn) > 0 {
		return Schedule{}, errors.New("it has calendars of its own: give each of them to the schedule instead")
	}
	d, err := j.definition()
	if err != nil {
		return Schedule{}, err
	}
	read := newSchedule(d)
	return read, read.definition.err
}

// checkKeys refuses what encoding/json accepts: keys in another case, and keys that are repeated.
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
		if !slices.Contains(jsonKeys, key) {
			return fmt.Errorf("key %q is unknown: use %s", key, strings.Join(jsonKeys, ", "))
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

// typeError describes a value of the wrong type in terms of JSON, not of Go.
func typeError(err error) error {
	var mismatch *json.UnmarshalTypeError
	if !errors.As(err, &mismatch) {
		return err
	}
	want := map[reflect.Kind]string{reflect.String: "a string", reflect.Bool: "true or false", reflect.Slice: "an array", reflect.Map: "an object"}
	return fmt.Errorf("%s has the JSON type %s: write %s", mismatch.Field, mismatch.Value, want[mismatch.Type.Kind()])
}

func (j *jsonForm) definition() (definition, error) {
	d := definition{zone: j.Timezone, catchUp: j.CatchUp, slug: j.Slug, paused: j.Paused}
	if len(j.Parameters) > 0 {
		d.parameters = j.Parameters
	}
	if err := j.readKind(&d); err != nil {
		return d, err
	}
	var err error
	if d.jitter, err = readDuration("jitter", j.Jitter); err != nil {
		return d, err
	}
	if d.window, err = readDuration("catch_up_window", j.CatchUpWindow); err != nil {
		return d, err
	}
	d.filter, err = j.readFilter()
	return d, err
}

func (j *jsonForm) readKind(d *definition) (err error) {
	var kinds []string
	if j.Cron != nil {
		kinds = append(kinds, "cron")
		d.kind, d.expr = kindCron, *j.Cron
	}
	if j.Interval != nil {
		kinds = append(kinds, "interval")
		d.kind = kindInterval
		if d.interval, err = readSeconds("interval", string(*j.Interval)); err != nil {
			return err
		}
	}
	if j.RRule != nil {
		kinds = append(kinds, "rrule")
		d.kind, d.expr = kindRRule, *j.RRule
	}
	if j.At != nil {
		kinds = append(kinds, "at")
		d.kind = kindAt
		if d.at, err = readInstant("at", j.At); err != nil {
			return err
		}
	}
	switch len(kinds) {
	case 0:
		return errors.New("no kind: give one of cron, interval, rrule and at")
	case 1:
		return j.readKindOptions(d)
	default:
		return fmt.Errorf("two kinds or more: %s: give only one of them", strings.Join(kinds, ", "))
	}
}

// readKindOptions reads the keys that belong to one kind.
func (j *jsonForm) readKindOptions(d *definition) (err error) {
	if j.DayOr != nil {
		if d.kind != kindCron {
			return errors.New("day_or goes with cron only: remove it")
		}
		d.dayAnd = !*j.DayOr
	}
	if j.AnchorDate != nil && d.kind != kindInterval {
		return errors.New("anchor_date goes with interval only: use from to set a beginning")
	}
	d.anchor, err = readInstant("anchor_date", j.AnchorDate)
	return err
}

// readFilter returns nil if there are neither bounds nor exceptions.
func (j *jsonForm) readFilter() (*filter, error) {
	if j.From == nil && j.Until == nil && len(j.Except) == 0 && len(j.ExceptOn) == 0 {
		return nil, nil
	}
	f := &filter{except: sortedDates(j.Except)}
	var err error
	if f.from, err = readInstant("from", j.From); err != nil {
		return nil, err
	}
	if f.until, err = readInstant("until", j.Until); err != nil {
		return nil, err
	}
	for _, text := range j.ExceptOn {
		calendar, err := readSchedule(text, true)
		if err != nil {
			return nil, fmt.Errorf("except_on: %w", err)
		}
		f.exceptOn = append(f.exceptOn, calendar)
	}
	return f, nil
}

// secondsText returns a duration as a decimal number of seconds, exactly.
func secondsText(d time.Duration) json.RawMessage {
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

// readSeconds reads what secondsText returns. It refuses what it would have to round.
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

// instantText returns nil for the zero time.
func instantText(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	text := t.Format(time.RFC3339Nano)
	return &text
}

// readInstant returns the zero time for nil.
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
