package schedule

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
)

// Key identifies the schedule within its deployment. It is the name that [Schedule.Named] set, or
// 12 hexadecimal digits of a hash of the timing: schedules that fire at the same instants by the
// same definition share it. It is "" for the zero Schedule.
func (s Schedule) Key() string {
	if s.definition == nil {
		return ""
	}
	if s.definition.slug != "" {
		return s.definition.slug
	}
	text, err := s.Timing().MarshalJSON()
	if err != nil {
		text = []byte(s.definition.expr) // no valid schedule gets here
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6])
}

// Timing returns the schedule with nothing but what decides its instants, written in one way only:
// the name, pause, jitter, catch-up and parameters are removed, @daily becomes 0 0 * * *, and the
// zone UTC becomes the default. It has the same instants. The Timing of a schedule that is not
// valid is not valid either.
func (s Schedule) Timing() Schedule {
	if s.definition == nil {
		return s
	}
	d := *s.definition
	d.paused, d.catchUp, d.window, d.jitter, d.slug, d.parameters = false, "", 0, 0, "", nil
	if (d.kind == kindCron || d.kind == kindRRule) && d.err == nil {
		d.expr = d.timing.Expr()
		d.zone = d.location.String()
	}
	if d.zone == "UTC" {
		d.zone = ""
	}
	if d.filter != nil {
		f := *d.filter
		f.exceptOn = nil
		for _, calendar := range d.filter.exceptOn {
			f.exceptOn = append(f.exceptOn, calendar.Timing())
		}
		d.filter = &f
	}
	return Schedule{&d}
}

// Equal reports whether two schedules have the same JSON form: the same definition and the same
// settings. It is false if one of them cannot be written as JSON, unless one is a copy of the
// other.
func (s Schedule) Equal(other Schedule) bool {
	if s.definition == other.definition {
		return true
	}
	mine, err := s.MarshalJSON()
	theirs, otherErr := other.MarshalJSON()
	return err == nil && otherErr == nil && bytes.Equal(mine, theirs)
}
