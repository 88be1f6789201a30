package provost

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// scheduleJSON is a schedule as one flat object: Prefect's timing keys, then provost's. Exactly one of cron, interval, rrule and
// at says the kind.
type scheduleJSON struct {
	Cron       *string      `json:"cron,omitempty"`
	DayOr      *bool        `json:"day_or,omitempty"`
	Interval   *json.Number `json:"interval,omitempty"` // seconds
	AnchorDate *time.Time   `json:"anchor_date,omitempty"`
	RRule      *string      `json:"rrule,omitempty"`
	At         *time.Time   `json:"at,omitempty"`
	Timezone   string       `json:"timezone,omitempty"`

	From          *time.Time        `json:"from,omitempty"`
	Until         *time.Time        `json:"until,omitempty"`
	Except        []string          `json:"except,omitempty"`
	ExceptOn      []json.RawMessage `json:"except_on,omitempty"`
	Jitter        string            `json:"jitter,omitempty"` // as time.Duration writes it
	CatchUp       CatchUpPolicy     `json:"catch_up,omitempty"`
	CatchUpWindow string            `json:"catch_up_window,omitempty"`
	Parameters    Params            `json:"parameters,omitempty"`
	Slug          string            `json:"slug,omitempty"`
	Paused        bool              `json:"paused,omitempty"`
}

// MarshalJSON writes the schedule as one flat object; reading it back gives an equal schedule.
func (s Schedule) MarshalJSON() ([]byte, error) {
	if s.spec == nil {
		return nil, errors.New("schedule: empty: make it with Cron, Every, RRule or At")
	}
	c := s.spec
	j := scheduleJSON{Timezone: c.zone, CatchUp: c.catchUp, Slug: c.slug, Paused: c.paused}
	switch c.kind {
	case cronSchedule:
		j.Cron = &c.expr
		if c.dayAnd {
			j.DayOr = new(bool)
		}
	case intervalSchedule:
		seconds := secondsOf(c.interval)
		j.Interval = &seconds
		j.AnchorDate = timePointer(c.anchor)
	case rruleSchedule:
		j.RRule = &c.expr
	case atSchedule:
		j.At = &c.at
	}
	j.Jitter, j.CatchUpWindow = durationText(c.jitter), durationText(c.window)
	if x := c.extra; x != nil {
		j.From, j.Until, j.Except = timePointer(x.from), timePointer(x.until), x.except
		for _, other := range x.exceptOn {
			text, err := other.MarshalJSON()
			if err != nil {
				return nil, err
			}
			j.ExceptOn = append(j.ExceptOn, text)
		}
		parameters, err := normalizeParams(x.parameters)
		if err != nil {
			return nil, fmt.Errorf("schedule: %w", err)
		}
		j.Parameters = parameters
	}
	return json.Marshal(j)
}

// UnmarshalJSON reads what MarshalJSON writes, and Prefect's schedules of these kinds. It refuses unknown keys, an object of no
// kind or of two, and every schedule that Err would complain of.
func (s *Schedule) UnmarshalJSON(text []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	decoder.UseNumber()
	var j scheduleJSON
	if err := decoder.Decode(&j); err != nil {
		return fmt.Errorf("schedule: %w", err)
	}
	spec, err := j.spec()
	if err != nil {
		return fmt.Errorf("schedule: %w", err)
	}
	read := newSchedule(spec)
	if err := read.Err(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	*s = read
	return nil
}

func (j *scheduleJSON) spec() (scheduleSpec, error) {
	c := scheduleSpec{zone: j.Timezone, catchUp: j.CatchUp, slug: j.Slug, paused: j.Paused}
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

func (j *scheduleJSON) readKind(c *scheduleSpec) error {
	kinds := 0
	if j.Cron != nil {
		kinds++
		c.kind, c.expr = cronSchedule, *j.Cron
	}
	if j.Interval != nil {
		kinds++
		c.kind = intervalSchedule
		seconds, err := time.ParseDuration(j.Interval.String() + "s")
		if err != nil {
			return fmt.Errorf("interval %s: give a number of seconds", *j.Interval)
		}
		c.interval = seconds
	}
	if j.RRule != nil {
		kinds++
		c.kind, c.expr = rruleSchedule, *j.RRule
	}
	if j.At != nil {
		kinds++
		c.kind, c.at = atSchedule, instant(*j.At)
	}
	if kinds != 1 {
		return fmt.Errorf("names %d kinds: give exactly one of cron, interval, rrule and at", kinds)
	}
	if j.DayOr != nil {
		if c.kind != cronSchedule {
			return errors.New("day_or goes with cron only: remove it")
		}
		c.dayAnd = !*j.DayOr
	}
	if j.AnchorDate != nil {
		c.anchor = instant(*j.AnchorDate)
	}
	return nil
}

func (j *scheduleJSON) readExtra(c *scheduleSpec) error {
	if j.From == nil && j.Until == nil && len(j.Except) == 0 && len(j.ExceptOn) == 0 && len(j.Parameters) == 0 {
		return nil
	}
	x := &scheduleExtra{except: j.Except}
	if len(j.Parameters) > 0 {
		x.parameters = j.Parameters
	}
	if j.From != nil {
		x.from = instant(*j.From)
	}
	if j.Until != nil {
		x.until = instant(*j.Until)
	}
	for _, text := range j.ExceptOn {
		var other Schedule
		if err := other.UnmarshalJSON(text); err != nil {
			return fmt.Errorf("except_on: %w", err)
		}
		x.exceptOn = append(x.exceptOn, other)
	}
	c.extra = x
	return nil
}

// secondsOf writes a duration as a decimal number of seconds, exactly.
func secondsOf(d time.Duration) json.Number {
	if whole := d.Truncate(time.Second); whole == d {
		return json.Number(fmt.Sprint(int64(d / time.Second)))
	}
	sign := ""
	if d < 0 {
		sign, d = "-", -d
	}
	text := fmt.Sprintf("%s%d.%09d", sign, int64(d/time.Second), int64(d%time.Second))
	for text[len(text)-1] == '0' {
		text = text[:len(text)-1]
	}
	return json.Number(text)
}

func timePointer(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
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
