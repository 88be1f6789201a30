package engine

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"time"

	"github.com/provost-go/provost/internal/param"
)

// childLine is a line of a log.
type logLine struct {
	Time    time.Time
	Level   slog.Level
	Message string
	Attrs   []logAttr
	Run     bool // it is a line of the run, from Logger; else it is for the runner's logger alone
}

// childAttr is a slog.Attr whose value is plain: what was of any other type comes as its text.
type logAttr struct {
	Key   string
	Kind  slog.Kind
	Text  string
	Bits  uint64 // of a number, a bool or a duration
	Time  time.Time
	Group []logAttr
}

// childHandler sends records to the runner's logger.
type pipeHandler struct {
	send   func(logLine)
	level  slog.Level
	scopes []logScope
}

// childScope is a group that is open, and the attributes in it; the first one has no name.
type logScope struct {
	group string
	attrs []slog.Attr
}

func newPipeLogger(level slog.Level, send func(logLine)) *slog.Logger {
	return slog.New(&pipeHandler{send: send, level: level, scopes: make([]logScope, 1)})
}

func (h *pipeHandler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level }

func (h *pipeHandler) Handle(_ context.Context, r slog.Record) error {
	var attrs []slog.Attr
	r.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, a)
		return true
	})
	for _, scope := range slices.Backward(h.scopes) {
		attrs = append(slices.Clip(scope.attrs), attrs...)
		if scope.group != "" && len(attrs) > 0 {
			attrs = []slog.Attr{{Key: scope.group, Value: slog.GroupValue(attrs...)}}
		}
	}
	budget := maxLogLine
	h.send(logLine{Time: r.Time, Level: r.Level, Message: clipped(r.Message, &budget), Attrs: packAttrs(attrs, &budget)})
	return nil
}

func (h *pipeHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	scopes := slices.Clone(h.scopes)
	last := &scopes[len(scopes)-1]
	last.attrs = append(slices.Clip(last.attrs), attrs...)
	return &pipeHandler{send: h.send, level: h.level, scopes: scopes}
}

func (h *pipeHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return &pipeHandler{send: h.send, level: h.level, scopes: append(slices.Clip(h.scopes), logScope{group: name})}
}

// clipped cuts a text to what is left of a line's budget.
func clipped(text string, budget *int) string {
	if len(text) > *budget {
		text = text[:*budget]
	}
	*budget -= len(text)
	return text
}

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
	*budget -= 8
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

// anyText is a value as slog's text form has it.
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

// write gives the line to a logger. Its handler is asked whether it wants the line.
func (line *logLine) write(log *slog.Logger) {
	ctx := context.Background()
	if !log.Enabled(ctx, line.Level) {
		return
	}
	r := slog.NewRecord(line.Time, line.Level, line.Message, 0)
	r.AddAttrs(unpackAttrs(line.Attrs)...)
	_ = log.Handler().Handle(ctx, r) // as slog.Logger does
}

// lowestLevel is a level below which a logger takes nothing.
func lowestLevel(log *slog.Logger) slog.Level {
	if log.Enabled(context.Background(), slog.LevelDebug) {
		return allLevels
	}
	above := slog.LevelDebug + 1
	for _, level := range []slog.Level{slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if log.Enabled(context.Background(), level) {
			break
		}
		above = level + 1
	}
	return above
}
