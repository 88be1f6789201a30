package sqlstore

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/provost-go/provost/store"
)

// runLog is how far the log of a run is written.
type runLog struct {
	run            uuid.UUID
	lines, size    int64
	dropped        int64
	token          int64 // of the newest lease that wrote; the next two are what it has written and lost so far
	given, lost    int64
	stored, filled bool
}

// AppendLogs implements [store.LogStore].
func (l *Store) AppendLogs(ctx context.Context, p store.AppendLogsParams) ([]error, error) {
	return change(ctx, l, "append logs", Common, never.time(), func(b *book) ([]error, error) { return b.appendLogs(p) })
}

func (b *book) appendLogs(p store.AppendLogsParams) (errs []error, err error) {
	ids := make([]uuid.UUID, len(p.Runs))
	for i, log := range p.Runs {
		ids[i] = log.RunID
	}
	if err := b.load(ids); err != nil {
		return errs, err
	}
	logs, err := b.logStates(ids)
	if err != nil {
		return errs, err
	}
	var lines [][]any
	for i, log := range p.Runs {
		r, refusal := b.leased(log.Lease)
		if refusal != nil {
			if errs == nil {
				errs = make([]error, len(p.Runs))
			}
			errs[i] = refusal
			continue
		}
		state := logs[log.RunID]
		if state == nil {
			state = &runLog{run: log.RunID}
			logs[log.RunID] = state
		}
		lines = append(lines, state.take(log)...)
		b.hintRun(r)
	}
	return errs, b.putLogs(logs, lines)
}

func (b *book) logStates(ids []uuid.UUID) (map[uuid.UUID]*runLog, error) {
	logs := make(map[uuid.UUID]*runLog)
	if len(ids) == 0 {
		return logs, nil
	}
	err := b.each("SELECT s.run, s.lines, s.size, s.dropped, s.token, s.given, s.lost FROM provost_log_state s WHERE s.run IN (?*) ORDER BY s.run FOR UPDATE",
		[]any{ids}, func(rows Rows) error {
			s := &runLog{stored: true}
			err := rows.Scan(&s.run, &s.lines, &s.size, &s.dropped, &s.token, &s.given, &s.lost)
			logs[s.run] = s
			return err
		})
	return logs, err
}

func (b *book) putLogs(logs map[uuid.UUID]*runLog, lines [][]any) error {
	var made, changed [][]any
	for _, id := range sortedKeys(logs) {
		s := logs[id]
		row := []any{s.run, s.lines, s.size, s.dropped, s.token, s.given, s.lost}
		switch {
		case !s.filled:
		case s.stored:
			changed = append(changed, row)
		default:
			made = append(made, row)
		}
	}
	return b.writeRows([]tableRows{{logTable, lines, true}, {logStateTable, made, true}, {logStateTable, changed, false}})
}

func sortedKeys[V any](m map[uuid.UUID]V) []uuid.UUID {
	ids := make([]uuid.UUID, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, compareIDs)
	return ids
}

// take gives the rows of what of a stretch is new and fits.
func (s *runLog) take(log store.RunLog) (rows [][]any) {
	s.filled = true
	for _, line := range s.fresh(log) {
		size := int64(len(line.Message) + store.LogLineCost)
		if s.size+size > store.MaxRunLog {
			s.dropped++
			continue
		}
		s.lines++
		s.size += size
		rows = append(rows, []any{s.run, s.lines, toMicros(line.Time), int(line.Level), line.Message})
	}
	return rows
}

// fresh is what of a stretch the log does not have yet. It counts what was lost before it.
func (s *runLog) fresh(log store.RunLog) []store.LogRecord {
	if s.token != log.Token {
		s.token, s.given, s.lost = log.Token, 0, 0
	}
	s.dropped += max(0, log.Dropped-s.lost) + max(0, log.After-s.given)
	s.lost, s.given = max(s.lost, log.Dropped), max(s.given, log.After)
	lines := log.Lines[min(s.given-log.After, int64(len(log.Lines))):]
	s.given += int64(len(lines))
	return lines
}

// ListLogs implements [store.LogStore].
func (l *Store) ListLogs(ctx context.Context, f store.LogFilter) (store.LogPage, error) {
	return look(ctx, l, func(b *book) (store.LogPage, error) { return b.listLogs(f) })
}

func (b *book) listLogs(f store.LogFilter) (page store.LogPage, err error) {
	var known uuid.UUID
	if found, err := b.one("SELECT w.id FROM provost_run w WHERE w.id = ?", []any{f.RunID}, &known); err != nil {
		return page, err
	} else if !found {
		return page, fmt.Errorf("run %s: %w", f.RunID, store.ErrNotFound)
	}
	logs, err := b.logStates([]uuid.UUID{f.RunID})
	if err != nil || logs[f.RunID] == nil {
		return page, err
	}
	page.Dropped = int(logs[f.RunID].dropped)
	limit := pageSize(f.Limit)
	where := conditions{[]string{"g.run = ? AND g.seq > ?"}, []any{f.RunID, f.After}}
	if f.MinLevel != nil {
		where.add(true, "g.level >= ?", int(f.MinLevel.Level()))
	}
	err = b.each("SELECT g.seq, g.at, g.level, g.message FROM provost_log g WHERE "+where.String()+" ORDER BY g.seq LIMIT ?", append(where.args, limit+1),
		func(rows Rows) error {
			line := store.LogRecord{RunID: f.RunID}
			var at micros
			var level int
			err := rows.Scan(&line.Seq, &at, &level, &line.Message)
			line.Time, line.Level = at.time(), slogLevel(level)
			page.Lines = append(page.Lines, line)
			return err
		})
	if len(page.Lines) > limit {
		page.Lines, page.More = page.Lines[:limit], true
	}
	return page, err
}
