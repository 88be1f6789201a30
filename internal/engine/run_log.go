package engine

import (
	"bytes"
	"context"
	"log/slog"
	"sync"

	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/internal/param"
	"github.com/provost-go/provost/store"
)

// Bounds on the lines of a run that wait to be written. A flow that logs faster than the store
// writes loses lines; it does not use up memory.
const (
	maxPendingLines = 2000
	maxPendingLog   = 256 << 10 // bytes
	maxLogLine      = 32 << 10  // bytes; longer lines are cut
)

// runLog is what a run has logged and the store does not have yet. add may be called by any
// goroutine. Lines are written by turns, which begin or await take and done ends: so they reach the
// store in order.
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
	given   int64 // lines before these, which were given to the store or given up
	dropped int64 // lines that were dropped instead of being added
	noted   bool  // the completer knows that there is something to write

	turn chan struct{} // holds an element while somebody has the turn
}

// newRunLog returns the log of an attempt, which the store keeps.
func newRunLog(x *Execution) *runLog {
	l := &runLog{lease: x.lease, redactor: x.redactor(), completer: x.executor.completer, turn: make(chan struct{}, 1)}
	outer := x.executor.log.Handler()
	outer = outer.WithAttrs([]slog.Attr{slog.String("run", x.claim.Name), slog.String("id", x.claim.RunID.String())})
	l.logger = slog.New(&runHandler{log: l, outer: outer, text: slog.NewTextHandler(&l.buffer, &slog.HandlerOptions{Level: allLevels})})
	return l
}

// allLevels is a level below all that programs use.
const allLevels = slog.Level(-1 << 20)

// textPrefix is what slog's text form writes before the attributes of a record without time and
// message.
const textPrefix = `level=INFO msg=""`

// add keeps a record until the completer writes it. It drops the record if too much waits already.
func (l *runLog) add(ctx context.Context, text slog.Handler, r slog.Record) {
	bare := slog.Record{} // only the attributes: a line has fields for the rest
	r.Attrs(func(a slog.Attr) bool {
		a.Value = spelled(a.Value) // before the lock: a user's methods may log, or take long
		bare.AddAttrs(a)
		return true
	})
	if l.keep(ctx, text, r, bare) {
		l.completer.noteLog(l)
	}
}

// keep is the part of add under the lock. It reports whether to notify the completer.
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

// format returns the message with its attributes, redacted and cut to maxLogLine. The caller holds
// mu.
func (l *runLog) format(ctx context.Context, text slog.Handler, r, bare slog.Record) (string, error) {
	l.buffer.Reset()
	if err := text.Handle(ctx, bare); err != nil {
		return "", err
	}
	message := r.Message
	if attrs := bytes.TrimSpace(bytes.TrimPrefix(l.buffer.Bytes(), []byte(textPrefix))); len(attrs) > 0 {
		message += " " + string(attrs)
	}
	message = l.redactor.Text(message) // again: attributes of With may be older than a secret
	message = message[:min(len(message), maxLogLine)]
	return storable(message), nil
}

// begin takes the log's turn. It returns false if somebody else has it: done then notifies the
// completer of what is still pending.
func (l *runLog) begin() bool {
	select {
	case l.turn <- struct{}{}:
		return true
	default:
		return false
	}
}

// await waits for the log's turn and takes it. It returns false if ctx ends first.
func (l *runLog) await(ctx context.Context) bool {
	select {
	case l.turn <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// done ends the turn, and notifies the completer if lines are pending.
func (l *runLog) done() {
	<-l.turn
	l.mu.Lock()
	left := l.noted
	l.mu.Unlock()
	if left {
		l.completer.noteLog(l)
	}
}

// take returns what is pending and removes it. The caller has the log's turn.
func (l *runLog) take() store.RunLog {
	l.mu.Lock()
	defer l.mu.Unlock()
	log := store.RunLog{Lease: l.lease, After: l.given, Lines: l.lines, Dropped: l.dropped}
	l.given += int64(len(l.lines))
	l.lines, l.size, l.noted = nil, 0, false
	return log
}

// putBack undoes take for lines that the store may not have, so that they are written again under
// the same numbers. Later lines follow them. The caller has the log's turn.
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

// lose gives up what is pending and returns the number of lines. The store sees from the numbers of
// later lines that these are missing. The caller has the log's turn.
func (l *runLog) lose() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := len(l.lines)
	l.given += int64(lines)
	l.lines, l.size, l.noted = nil, 0, false
	return lines
}
