package memory

import (
	"context"
	"slices"

	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/store"
)

// runLog is what a run logged.
type runLog struct {
	lines   []store.LogRecord
	size    int
	dropped int

	token int64 // of the newest lease that wrote; the next two are what it has written and lost so far
	given int64
	lost  int64
}

// AppendLogs implements [store.LogStore].
func (m *Store) AppendLogs(ctx context.Context, p store.AppendLogsParams) ([]error, error) {
	if err := m.lock(ctx); err != nil {
		return nil, err
	}
	defer m.unlock()
	var errs []error
	for i, log := range p.Runs {
		r, err := m.leased(log.Lease)
		if err != nil {
			if errs == nil {
				errs = make([]error, len(p.Runs))
			}
			errs[i] = err
			continue
		}
		m.appendLog(r, log)
		m.hintRun(r.id)
	}
	m.shedLogs()
	return errs, nil
}

func (m *Store) appendLog(r *run, log store.RunLog) {
	if r.logs == nil {
		r.logs = &runLog{}
	}
	l := r.logs
	for _, line := range l.fresh(log) {
		size := len(line.Message) + store.LogLineCost
		if l.size+size > store.MaxRunLog {
			l.dropped++
			continue
		}
		line.RunID, line.Seq, line.Time = r.id, int64(len(l.lines)+1), instant.Of(line.Time)
		l.lines = append(l.lines, line)
		l.size += size
		m.logSize += size
	}
}

// fresh is what of a stretch the log does not have yet. It counts what was lost before it.
func (l *runLog) fresh(log store.RunLog) []store.LogRecord {
	if l.token != log.Token {
		l.token, l.given, l.lost = log.Token, 0, 0
	}
	l.dropped += int(max(0, log.Dropped-l.lost) + max(0, log.After-l.given))
	l.lost, l.given = max(l.lost, log.Dropped), max(l.given, log.After)
	lines := log.Lines[min(l.given-log.After, int64(len(log.Lines))):]
	l.given += int64(len(lines))
	return lines
}

// shedLogs drops the logs of the runs that ended first while all logs together are too large.
func (m *Store) shedLogs() {
	if m.logSize <= maxLogTotal {
		return
	}
	for r := range m.ended.Ascend() {
		if m.dropLog(r); m.logSize <= maxLogTotal {
			return
		}
	}
}

func (m *Store) dropLog(r *run) {
	if r.logs != nil {
		m.logSize -= r.logs.size
		r.logs = nil
	}
}

// ListLogs implements [store.LogStore].
func (m *Store) ListLogs(ctx context.Context, f store.LogFilter) (store.LogPage, error) {
	if err := m.lock(ctx); err != nil {
		return store.LogPage{}, err
	}
	defer m.unlock()
	r, err := m.run(f.RunID)
	if err != nil || r.logs == nil {
		return store.LogPage{}, err
	}
	limit := pageSize(f.Limit)
	first, _ := slices.BinarySearchFunc(r.logs.lines, f.After+1, func(line store.LogRecord, seq int64) int { return int(line.Seq - seq) })
	page := store.LogPage{Dropped: r.logs.dropped}
	for _, line := range r.logs.lines[min(first, len(r.logs.lines)):] {
		if f.MinLevel != nil && line.Level < f.MinLevel.Level() {
			continue
		}
		if len(page.Lines) == limit {
			page.More = true
			break
		}
		page.Lines = append(page.Lines, line)
	}
	return page, nil
}
