package engine

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/provost-go/provost/store"
)

// runLogger logs the starts and ends of runs: up to linesPerSecond lines in each second, and the
// rest as one summary a second. Its methods may be called by any goroutine.
type runLogger struct {
	log *slog.Logger

	flushes sync.WaitGroup // calls of flush by the timer, those to come included

	// mu guards what follows; nothing blocks under it.
	mu      sync.Mutex
	second  time.Time // when the current second began
	lines   int       // logged in it
	summary runSummary
	timer   *time.Timer // nil unless a summary is to come
	closed  bool
}

const linesPerSecond = 10

// runSummary counts the starts and ends within a second that have no line of their own.
type runSummary struct {
	started  int
	ended    map[store.StateType]int
	maxLate  time.Duration
	duration time.Duration // the sum for all runs that ended
}

func newRunLogger(log *slog.Logger) *runLogger { return &runLogger{log: log} }

func (l *runLogger) enabled() bool { return l.log.Enabled(context.Background(), slog.LevelInfo) }

// started logs that a run has begun.
func (l *runLogger) started(x *Execution) {
	if !l.enabled() {
		return
	}
	late := x.begun.Sub(x.claim.DueTime)
	if !l.line(x.begun, func(s *runSummary) {
		s.started++
		s.maxLate = max(s.maxLate, late)
	}) {
		return
	}
	l.log.Info("run started", l.attrs(x, "lateness", rounded(late))...)
}

// ended logs the end of a run, unless the run was handed back before it started.
func (l *runLogger) ended(x *Execution, end time.Time, state store.State) {
	if !l.enabled() {
		return
	}
	if state.Type == store.StateScheduled && !x.started.Load() {
		return
	}
	var took time.Duration
	if x.started.Load() {
		took = end.Sub(x.begun)
	}
	if !l.line(end, func(s *runSummary) {
		if s.ended == nil {
			s.ended = make(map[store.StateType]int)
		}
		s.ended[state.Type]++
		s.duration += took
	}) {
		return
	}
	attrs := l.attrs(x, "state", state.Name, "duration", rounded(took))
	if state.Message != "" {
		attrs = append(attrs, "message", state.Message)
	}
	l.log.Info("run ended", attrs...)
}

// rounded rounds a duration to microseconds.
func rounded(d time.Duration) time.Duration { return d.Round(time.Microsecond) }

// attrs returns the attributes that identify the run, followed by more.
func (l *runLogger) attrs(x *Execution, more ...any) []any {
	attrs := []any{"run", x.claim.Name, "id", x.claim.RunID, "deployment", x.deployment.Handle()}
	if x.attempt > 1 {
		attrs = append(attrs, "attempt", x.attempt)
	}
	return append(attrs, more...)
}

// line reports whether a start or an end gets a line of its own. Otherwise line adds it to the
// summary of the current second.
func (l *runLogger) line(at time.Time, summarise func(*runSummary)) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at.Sub(l.second) >= time.Second {
		l.second, l.lines = at, 0
	}
	if l.lines < linesPerSecond && l.timer == nil {
		l.lines++
		return true
	}
	summarise(&l.summary)
	if l.timer == nil && !l.closed {
		l.flushes.Add(1)
		l.timer = time.AfterFunc(time.Second-min(time.Second, at.Sub(l.second)), func() {
			defer l.flushes.Done()
			l.flush()
		})
	}
	return false
}

// flush logs the summary.
func (l *runLogger) flush() {
	l.mu.Lock()
	s := l.summary
	l.summary, l.timer = runSummary{}, nil
	l.mu.Unlock()
	ended := 0
	attrs := []any{"started", s.started}
	for _, state := range []store.StateType{store.StateCompleted, store.StateFailed, store.StateCancelled, store.StateCrashed, store.StateScheduled} {
		if n := s.ended[state]; n > 0 {
			attrs = append(attrs, summaryNames[state], n)
			ended += n
		}
	}
	if s.started == 0 && ended == 0 {
		return
	}
	if s.started > 0 {
		attrs = append(attrs, "max_lateness", rounded(s.maxLate))
	}
	if ended > 0 {
		attrs = append(attrs, "mean_duration", rounded(s.duration/time.Duration(ended)))
	}
	l.log.Info("more runs in the last second", attrs...)
}

var summaryNames = map[store.StateType]string{
	store.StateCompleted: "completed", store.StateFailed: "failed", store.StateCancelled: "cancelled", store.StateCrashed: "crashed",
	store.StateScheduled: "handed_back",
}

// close logs the rest and waits for a summary that is being logged. Starts and ends after close
// that get no line of their own are not logged.
func (l *runLogger) close() {
	l.mu.Lock()
	l.closed = true
	stopped := l.timer != nil && l.timer.Stop()
	l.mu.Unlock()
	if stopped {
		l.flush()
		l.flushes.Done()
	}
	l.flushes.Wait()
}
