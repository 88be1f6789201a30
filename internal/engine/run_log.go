package engine

import (
	"bytes"
	"context"
	"encoding"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/internal/param"
	"github.com/provost-go/provost/store"
)

// Bounds on the lines of a run that wait to be written: a flow that logs faster than the store writes loses lines, not memory.
const (
	maxPendingLines = 2000
	maxPendingLog   = 256 << 10
	maxLogLine      = 32 << 10
)

// runLog is what a run has logged and the store does not have yet.
type runLog struct {
	lease     store.Lease
	redactor  *param.Redactor
	completer *Completer
	logger    *slog.Logger

	// mu guards what follows, and the text handlers that share buffer. Nothing blocks under it.
	mu      sync.Mutex
	buffer  bytes.Buffer
	lines   []store.LogRecord
	size    int
	given   int64 // lines that were given to the store, or given up, before these
	dropped int64 // lines that never got among these
	noted   bool  // the completer knows that there is something to write

	turn chan struct{} // holds an element while somebody writes: stretches reach the store one by one, in order
}

// newRunLog returns the log of an attempt. outer is the runner's handler.
func newRunLog(x *Execution, outer slog.Handler) *runLog {
	l := &runLog{lease: x.lease, redactor: x.redactor(), completer: x.executor.completer, turn: make(chan struct{}, 1)}
	outer = outer.WithAttrs([]slog.Attr{slog.String("run", x.claim.Name), slog.String("id", x.claim.RunID.String())})
	l.logger = slog.New(&runHandler{log: l, outer: outer, text: slog.NewTextHandler(&l.buffer, &slog.HandlerOptions{Level: allLevels})})
	return l
}

const allLevels = slog.Level(-1 << 20)

// runHandler passes each record to the runner's handler and, as text, to the run's log.
type runHandler struct {
	log   *runLog
	outer slog.Handler
	text  slog.Handler
}

// Enabled returns true for all levels: the stored log takes what the runner's handler would drop.
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

// textPrefix is what slog's text form puts before the attributes of a record without time and message.
const textPrefix = `level=INFO msg=""`

// add keeps a record until the completer writes it.
func (l *runLog) add(ctx context.Context, text slog.Handler, r slog.Record) {
	bare := slog.Record{} // level and message have fields of their own
	r.Attrs(func(a slog.Attr) bool {
		a.Value = spelled(a.Value) // before the lock: a user's methods may log, or take their time
		bare.AddAttrs(a)
		return true
	})
	if l.keep(ctx, text, r, bare) {
		l.completer.noteLog(l)
	}
}

// spelled returns v without values of users' types: as the text that slog's text form writes for them.
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

func spelledAny(v slog.Value) (text slog.Value) {
	defer func() {
		if p := recover(); p != nil { // a MarshalText that panics; fmt recovers those that it calls
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

// keep is add under the lock. It reports whether to notify the completer.
func (l *runLog) keep(ctx context.Context, text slog.Handler, r, bare slog.Record) (notify bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	notify, l.noted = !l.noted, true
	if len(l.lines) >= maxPendingLines || l.size >= maxPendingLog {
		l.dropped++
		return notify
	}
	message, err := l.format(ctx, text, r, bare)
	if err != nil {
		l.dropped++
		return notify
	}
	l.lines = append(l.lines, store.LogRecord{Time: instant.Of(r.Time), Level: r.Level, Message: message})
	l.size += len(message)
	return notify
}

// format returns the message with its attributes. The caller holds mu.
func (l *runLog) format(ctx context.Context, text slog.Handler, r, bare slog.Record) (string, error) {
	l.buffer.Reset()
	if err := text.Handle(ctx, bare); err != nil {
		return "", err
	}
	message := r.Message
	if attrs := bytes.TrimSpace(bytes.TrimPrefix(l.buffer.Bytes(), []byte(textPrefix))); len(attrs) > 0 {
		message += " " + string(attrs)
	}
	message = l.redactor.Text(message) // also attributes of With that were given before the secrets were known
	message = message[:min(len(message), maxLogLine)]
	return storable(message), nil
}

// begin takes the log's turn. It returns false if somebody else has it, who notifies the completer of what is pending when done.
func (l *runLog) begin() bool {
	select {
	case l.turn <- struct{}{}:
		return true
	default:
		return false
	}
}

// await is begin for a caller that cannot leave it to others. It returns false if ctx ends first.
func (l *runLog) await(ctx context.Context) bool {
	select {
	case l.turn <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// done gives the turn back, and notifies the completer if lines are left.
func (l *runLog) done() {
	<-l.turn
	l.mu.Lock()
	left := l.noted
	l.mu.Unlock()
	if left {
		l.completer.noteLog(l)
	}
}

// take returns what is pending. The caller has the log's turn.
func (l *runLog) take() store.RunLog {
	l.mu.Lock()
	defer l.mu.Unlock()
	log := store.RunLog{Lease: l.lease, After: l.given, Lines: l.lines, Dropped: l.dropped}
	l.given += int64(len(l.lines))
	l.lines, l.size, l.noted = nil, 0, false
	return log
}

// putBack takes back what the store may not have taken, to give it again under the same numbers. Later lines go behind it. The
// caller has the log's turn.
func (l *runLog) putBack(log store.RunLog) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.given = log.After
	l.lines = append(log.Lines, l.lines...)
	l.size = 0
	for _, line := range l.lines {
		l.size += len(line.Message)
	}
	l.noted = true
}

// lose gives up what is pending and returns the number of lines. A store that never got them sees that from the numbers of the
// lines to come.
func (l *runLog) lose() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := len(l.lines)
	l.given += int64(lines)
	l.lines, l.size, l.noted = nil, 0, false
	return lines
}
