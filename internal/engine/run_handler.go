package engine

import (
	"context"
	"encoding"
	"fmt"
	"log/slog"
	"slices"
)

// runHandler passes each record, redacted, to the runner's handler and, as text, to the run's log.
type runHandler struct {
	log   *runLog
	outer slog.Handler
	text  slog.Handler // writes to log.buffer
}

// Enabled returns true: the stored log has all levels, even those that the runner's handler drops.
func (h *runHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h *runHandler) Handle(ctx context.Context, r slog.Record) error {
	r = h.log.redactor.Record(r)
	h.log.add(ctx, h.text, r)
	if !h.outer.Enabled(ctx, r.Level) {
		return nil
	}
	return h.outer.Handle(ctx, r)
}

func (h *runHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	attrs = h.log.redactor.Attrs(attrs)
	return &runHandler{log: h.log, outer: h.outer.WithAttrs(attrs), text: h.text.WithAttrs(attrs)}
}

func (h *runHandler) WithGroup(name string) slog.Handler {
	name = h.log.redactor.Text(name)
	return &runHandler{log: h.log, outer: h.outer.WithGroup(name), text: h.text.WithGroup(name)}
}

// spelled returns v with the values of users' types replaced by their text, as slog's text form has
// it.
func spelled(v slog.Value) slog.Value {
	v = v.Resolve()
	switch v.Kind() {
	case slog.KindGroup:
		group := slices.Clone(v.Group())
		for i := range group {
			group[i].Value = spelled(group[i].Value)
		}
		return slog.GroupValue(group...)
	case slog.KindAny:
		return spelledAny(v)
	}
	return v
}

// spelledAny is spelled for a value of any type. It recovers the panics of the value's methods.
func spelledAny(v slog.Value) (text slog.Value) {
	defer func() {
		if p := recover(); p != nil { // of MarshalText: fmt recovers the panics of the methods that it calls
			text = slog.StringValue(fmt.Sprintf("!PANIC: %v", p))
		}
	}()
	switch a := v.Any().(type) {
	case encoding.TextMarshaler:
		data, err := a.MarshalText()
		if err != nil {
			return slog.StringValue("!ERROR:" + err.Error())
		}
		return slog.StringValue(string(data))
	case []byte:
		return v
	default:
		return slog.StringValue(fmt.Sprintf("%+v", a))
	}
}
