package schedule

import (
	"fmt"
	"strings"
	"time"
)

// String describes the schedule in English: "every weekday at 02:00, Europe/Berlin". Of a schedule
// that is not valid it prints what is wrong.
func (s Schedule) String() string {
	if err := s.mistakes(); err != nil {
		return "no schedule (" + err.Error() + ")"
	}
	var b strings.Builder
	s.describeTiming(&b)
	if f := s.definition.filter; f != nil {
		s.describeFilter(&b, f)
	}
	if s.definition.jitter > 0 {
		fmt.Fprintf(&b, ", delayed by up to %s", s.definition.jitter)
	}
	if s.definition.paused {
		b.WriteString(", paused")
	}
	return b.String()
}

// describeTiming omits the zone where it makes no difference.
func (s Schedule) describeTiming(b *strings.Builder) {
	d := s.definition
	if d.kind == kindAt {
		b.WriteString("once at " + d.at.In(s.location()).Format("2006-01-02 15:04:05 MST"))
		return
	}
	b.WriteString(d.timing.Describe())
	if d.kind != kindInterval || d.interval >= 24*time.Hour {
		fmt.Fprintf(b, ", %s", s.location())
	}
}

func (s Schedule) describeFilter(b *strings.Builder, f *filter) {
	if !f.from.IsZero() {
		b.WriteString(", from " + s.boundWords(f.from))
	}
	if !f.until.IsZero() {
		b.WriteString(", until " + s.boundWords(f.until))
	}
	switch n := len(f.except); {
	case n == 0:
	case n <= 3:
		fmt.Fprintf(b, ", except on %s", strings.Join(f.except, ", "))
	default:
		fmt.Fprintf(b, ", except on %d dates", n)
	}
	for _, other := range f.exceptOn {
		fmt.Fprintf(b, ", except on days of: %s", other)
	}
}

func (s Schedule) boundWords(t time.Time) string {
	return strings.TrimSuffix(t.In(s.location()).Format("2006-01-02 15:04:05.999999"), ":00")
}

// Expr returns the canonical expression of the timing, without bounds and exceptions: the five
// fields of a cron schedule in numbers, the interval as time.Duration prints it, the recurrence
// rule, or the instant. It returns "" if the schedule is not valid.
func (s Schedule) Expr() string {
	if s.mistakes() != nil {
		return ""
	}
	return s.definition.timing.Expr()
}
