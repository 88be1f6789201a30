package engine

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/provost-go/provost/store"
)

// runEvents logs starts and ends of runs: up to linesPerSecond of them, and what is more as one summary a second.
type runLogger struct {
	log       *slog.Logger
	announced int // deployments whose serving was logged; registration only

	// mu guards what follows.
	mu      sync.Mutex
	second  time.Time // when the current second began
	lines   int       // logged in it
	summary runSummary
	timer   *time.Timer // set while a summary is to come
	closed  bool
	flushes sync.WaitGroup
}

const linesPerSecond = 10

// runSummary is the events of a second that got no line of their own.
type runSummary struct {
	started  int
	ended    map[store.StateType]int
	maxLate  time.Duration
	duration time.Duration // of all that ended
}

func newRunLogger(log *slog.Logger) *runLogger { return &runLogger{log: log} }

func (e *runLogger) enabled() bool { return e.log.Enabled(context.Background(), slog.LevelInfo) }

func (e *runLogger) started(x *Execution) {
	if !e.enabled() {
		return
	}
	late := x.begun.Sub(x.Claim.DueTime)
	if !e.line(x.begun, func(s *runSummary) {
		s.started++
		s.maxLate = max(s.maxLate, late)
	}) {
		return
	}
	e.log.Info("run started", e.attrs(x, "lateness", rounded(late))...)
}

func (e *runLogger) ended(x *Execution, end time.Time, state store.State) {
	if !e.enabled() {
		return
	}
	if state.Type == store.StateScheduled && !x.started.Load() {
		return // given back: what did not start did not end
	}
	var took time.Duration
	if x.started.Load() {
		took = end.Sub(x.begun)
	}
	if !e.line(end, func(s *runSummary) {
		if s.ended == nil {
			s.ended = make(map[store.StateType]int)
		}
		s.ended[state.Type]++
		s.duration += took
	}) {
		return
	}
	attrs := e.attrs(x, "state", state.Name, "duration", rounded(took))
	if state.Message != "" {
		attrs = append(attrs, "message", state.Message)
	}
	e.log.Info("run ended", attrs...)
}

// rounded is a duration for people: in microseconds.
func rounded(d time.Duration) time.Duration { return d.Round(time.Microsecond) }

func (e *runLogger) attrs(x *Execution, more ...any) []any {
	attrs := []any{"run", x.Claim.Name, "id", x.Claim.RunID, "deployment", store.Handle(x.served.Flow.Name, x.served.Name)}
	if x.attempt > 1 {
		attrs = append(attrs, "attempt", x.attempt)
	}
	return append(attrs, more...)
}

// line reports whether the event gets a line of its own; else it goes into the summary of this second.
func (e *runLogger) line(at time.Time, summarise func(*runSummary)) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if at.Sub(e.second) >= time.Second {
		e.second, e.lines = at, 0
	}
	if e.lines < linesPerSecond && e.timer == nil {
		e.lines++
		return true
	}
	summarise(&e.summary)
	if e.timer == nil && !e.closed {
		e.flushes.Add(1)
		e.timer = time.AfterFunc(time.Second-min(time.Second, at.Sub(e.second)), func() {
			defer e.flushes.Done()
			e.flush()
		})
	}
	return false
}

func (e *runLogger) flush() {
	e.mu.Lock()
	s := e.summary
	e.summary, e.timer = runSummary{}, nil
	e.mu.Unlock()
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
	e.log.Info("more runs in the last second", attrs...)
}

var summaryNames = map[store.StateType]string{
	store.StateCompleted: "completed", store.StateFailed: "failed", store.StateCancelled: "cancelled", store.StateCrashed: "crashed",
	store.StateScheduled: "handed_back",
}

// close logs what is left.
func (e *runLogger) close() {
	e.mu.Lock()
	e.closed = true
	stopped := e.timer != nil && e.timer.Stop()
	e.mu.Unlock()
	if stopped {
		e.flush()
		e.flushes.Done()
	}
	e.flushes.Wait()
}
