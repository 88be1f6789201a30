package engine

import (
	"context"
	"log/slog"
	"slices"
)

// pipeHandler sends records to the runner.
type pipeHandler struct {
	send   func(logLine)
	level  slog.Level // the lowest level that is sent
	scopes []logScope
}

// logScope is an open group and the attributes in it. The first scope has no group.
type logScope struct {
	group string
	attrs []slog.Attr
}

// newPipeLogger returns a logger that passes lines of level and above to send.
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

// lowestLevel returns a level below which a logger takes nothing.
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
