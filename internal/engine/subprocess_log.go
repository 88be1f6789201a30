package engine

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/provost-go/provost/internal/param"
)

// logLine is a log record on its way from a subprocess to its runner.
type logLine struct {
	Time    time.Time
	Level   slog.Level
	Message string
	Attrs   []logAttr
	Run     bool // it is from the run's Logger; otherwise it is for the runner's logger alone
}

// logAttr is a slog.Attr with a plain value. A value of any other type is sent as its text.
type logAttr struct {
	Key   string
	Kind  slog.Kind
	Text  string
	Bits  uint64 // the bits of a number, a bool or a duration
	Time  time.Time
	Group []logAttr
}

// clipped returns text, cut to what is left of the budget of a line, and reduces the budget.
func clipped(text string, budget *int) string {
	text = text[:min(len(text), max(0, *budget))]
	*budget -= len(text)
	return text
}

// packAttrs packs attributes until the budget is used up.
func packAttrs(attrs []slog.Attr, budget *int) []logAttr {
	packed := make([]logAttr, 0, len(attrs))
	for _, a := range attrs {
		if *budget <= 0 {
			break
		}
		packed = append(packed, packAttr(a, budget))
	}
	return packed
}

func packAttr(a slog.Attr, budget *int) logAttr {
	v := a.Value.Resolve()
	p := logAttr{Key: clipped(a.Key, budget), Kind: v.Kind()}
	*budget -= 8 // for a value that is not text
	switch p.Kind {
	case slog.KindBool:
		if v.Bool() {
			p.Bits = 1
		}
	case slog.KindInt64:
		p.Bits = uint64(v.Int64())
	case slog.KindUint64:
		p.Bits = v.Uint64()
	case slog.KindFloat64:
		p.Bits = math.Float64bits(v.Float64())
	case slog.KindDuration:
		p.Bits = uint64(v.Duration())
	case slog.KindTime:
		p.Time = v.Time()
	case slog.KindGroup:
		p.Group = packAttrs(v.Group(), budget)
	default:
		p.Kind, p.Text = slog.KindString, clipped(anyText(v), budget)
	}
	return p
}

// anyText returns a value as slog's text form has it. It recovers the panics of the value's
// methods.
func anyText(v slog.Value) (text string) {
	defer func() {
		if r := recover(); r != nil {
			text = fmt.Sprintf("!PANIC: %v", r)
		}
	}()
	if v.Kind() == slog.KindString {
		return v.String()
	}
	switch v := v.Any().(type) {
	case interface{ MarshalText() ([]byte, error) }:
		return param.MarshaledText(v)
	case error:
		return param.ErrorText(v)
	case []byte:
		return string(v)
	default:
		return fmt.Sprintf("%+v", v)
	}
}

func (a logAttr) unpack() slog.Attr {
	switch a.Kind {
	case slog.KindBool:
		return slog.Bool(a.Key, a.Bits == 1)
	case slog.KindInt64:
		return slog.Int64(a.Key, int64(a.Bits))
	case slog.KindUint64:
		return slog.Uint64(a.Key, a.Bits)
	case slog.KindFloat64:
		return slog.Float64(a.Key, math.Float64frombits(a.Bits))
	case slog.KindDuration:
		return slog.Duration(a.Key, time.Duration(a.Bits))
	case slog.KindTime:
		return slog.Time(a.Key, a.Time)
	case slog.KindGroup:
		return slog.Attr{Key: a.Key, Value: slog.GroupValue(unpackAttrs(a.Group)...)}
	default:
		return slog.String(a.Key, a.Text)
	}
}

func unpackAttrs(packed []logAttr) []slog.Attr {
	attrs := make([]slog.Attr, len(packed))
	for i, a := range packed {
		attrs[i] = a.unpack()
	}
	return attrs
}

// write writes the line to a logger whose handler wants its level.
func (line *logLine) write(log *slog.Logger) {
	ctx := context.Background()
	if !log.Enabled(ctx, line.Level) {
		return
	}
	r := slog.NewRecord(line.Time, line.Level, line.Message, 0)
	r.AddAttrs(unpackAttrs(line.Attrs)...)
	_ = log.Handler().Handle(ctx, r) // slog.Logger ignores the error too
}
