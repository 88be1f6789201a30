package storetest

import (
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/store"
)

// logging returns the claim of a run of a new deployment.
func (f *fixture) logging() store.Claim {
	f.Helper()
	d := f.deploy("a")
	r := f.serve(f.base, d)
	f.createNow(f.base, d)
	return f.claimOne(f.base, r, longTTL)
}

func (f *fixture) logs(filter store.LogFilter) store.LogPage {
	f.Helper()
	page, err := f.store.ListLogs(f.ctx, filter)
	f.must(err)
	return page
}

func messages(page store.LogPage) []string {
	var list []string
	for _, line := range page.Lines {
		list = append(list, line.Message)
	}
	return list
}

var logCases = []testCase{
	{
		"Append", "a run's log is read in the order in which it was written, numbered from 1",
		func(f *fixture) {
			c := f.logging()
			expect(f, "lines of a run that logged nothing", len(f.logs(store.LogFilter{RunID: c.RunID}).Lines), 0)
			f.log(c.Lease, store.LogRecord{Time: f.at(time.Second), Level: slog.LevelWarn, Message: "one"}, store.LogRecord{Time: f.base, Message: "two"})
			f.logAfter(2, c.Lease, store.LogRecord{Time: f.base, Message: "three"})
			page := f.logs(store.LogFilter{RunID: c.RunID})
			expectSame(f, "lines", messages(page), "one", "two", "three")
			for i, line := range page.Lines {
				expect(f, "seq", line.Seq, int64(i+1))
				expect(f, "run", line.RunID, c.RunID)
			}
			expectTime(f, "time", page.Lines[0].Time, f.at(time.Second))
			expect(f, "level", page.Lines[0].Level, slog.LevelWarn)
			expect(f, "more", page.More, false)
			expect(f, "dropped", page.Dropped, 0)
		},
	},
	{
		"Level", "MinLevel leaves out lower levels",
		func(f *fixture) {
			c := f.logging()
			for i, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
				f.logAfter(int64(i), c.Lease, store.LogRecord{Time: f.base, Level: level, Message: level.String()})
			}
			expectSame(f, "lines", messages(f.logs(store.LogFilter{RunID: c.RunID, MinLevel: slog.LevelWarn})), "WARN", "ERROR")
			expect(f, "all lines", len(f.logs(store.LogFilter{RunID: c.RunID}).Lines), 4)
		},
	},
	{
		"Pages", "a log is read in pages: After is the last Seq, and More reports whether there are more lines",
		func(f *fixture) {
			c := f.logging()
			for i := range 5 {
				f.logAfter(int64(i), c.Lease, store.LogRecord{Time: f.base, Message: strconv.Itoa(i)})
			}
			var read []string
			filter := store.LogFilter{RunID: c.RunID, Limit: 2}
			for range 3 {
				page := f.logs(filter)
				read = append(read, messages(page)...)
				expect(f, "more", page.More, len(read) < 5)
				filter.After = page.Lines[len(page.Lines)-1].Seq
			}
			expectSame(f, "lines", read, "0", "1", "2", "3", "4")
			expect(f, "lines after the last", len(f.logs(filter).Lines), 0)
		},
	},
	{
		"Bound", "a run keeps MaxRunLog bytes of log, LogLineCost of them for each line; lines that do not fit are counted, empty ones too",
		func(f *fixture) {
			c := f.logging()
			half := strings.Repeat("x", store.MaxRunLog/2-store.LogLineCost)
			f.log(c.Lease, store.LogRecord{Time: f.base, Message: half}, store.LogRecord{Time: f.base, Message: half})
			expect(f, "dropped when it is just full", f.logs(store.LogFilter{RunID: c.RunID}).Dropped, 0)
			f.logAfter(2, c.Lease, store.LogRecord{Time: f.base, Message: "x"}, store.LogRecord{Time: f.base})
			page := f.logs(store.LogFilter{RunID: c.RunID})
			expect(f, "lines", len(page.Lines), 2)
			expect(f, "dropped", page.Dropped, 2)
		},
	},
	{
		"Repeated", "a repeated part changes nothing, and lines beyond the first call are added",
		func(f *fixture) {
			c := f.logging()
			one, two := store.LogRecord{Time: f.base, Message: "one"}, store.LogRecord{Time: f.base, Message: "two"}
			f.log(c.Lease, one, two)
			f.expectUnchanged("a repeated part", func() { f.log(c.Lease, one, two) })
			f.expectUnchanged("a part of it", func() { f.logAfter(1, c.Lease, two) })
			f.log(c.Lease, one, two, store.LogRecord{Time: f.base, Message: "three"})
			page := f.logs(store.LogFilter{RunID: c.RunID})
			expectSame(f, "lines", messages(page), "one", "two", "three")
			expect(f, "dropped", page.Dropped, 0)
		},
	},
	{
		"Dropped", "lost lines are counted once: those that the writer reports, and those that the store never got",
		func(f *fixture) {
			c := f.logging()
			dropped := func(log store.RunLog, want int) {
				f.Helper()
				log.Lease = c.Lease
				f.mustAll(f.store.AppendLogs(f.ctx, store.AppendLogsParams{Runs: []store.RunLog{log}}))
				expect(f, "dropped", f.logs(store.LogFilter{RunID: c.RunID}).Dropped, want)
			}
			line := []store.LogRecord{{Time: f.base, Message: "line"}}
			dropped(store.RunLog{Dropped: 3}, 3)
			dropped(store.RunLog{Dropped: 3}, 3)
			dropped(store.RunLog{Dropped: 4}, 4)
			dropped(store.RunLog{After: 2, Lines: line, Dropped: 4}, 6)
			dropped(store.RunLog{After: 2, Lines: line, Dropped: 4}, 6)
			dropped(store.RunLog{After: 3, Lines: line, Dropped: 5}, 7)
			expect(f, "lines", len(f.logs(store.LogFilter{RunID: c.RunID}).Lines), 2)
		},
	},
	{
		"NextLease", "the next lease counts its lines and losses from zero",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			for range 2 {
				c := f.claimOne(f.base, r, longTTL)
				f.mustAll(f.store.AppendLogs(f.ctx, store.AppendLogsParams{Runs: []store.RunLog{
					{Lease: c.Lease, Lines: []store.LogRecord{{Time: f.base, Message: "line"}}, Dropped: 2},
				}}))
				f.settle(f.base, givenBack(c.Lease, f.base))
			}
			page := f.logs(store.LogFilter{RunID: f.runs(store.RunFilter{})[0].ID})
			expect(f, "lines", len(page.Lines), 2)
			expect(f, "dropped", page.Dropped, 4)
		},
	},
	{
		"EachByItself", "each run's lines are judged by themselves: ErrLeaseLost and ErrNotFound do not keep the others from being written",
		func(f *fixture) {
			c := f.logging()
			child := f.createChild(f.base, c.Lease)
			lines := []store.LogRecord{{Time: f.base, Message: "line"}}
			errs, err := f.store.AppendLogs(f.ctx, store.AppendLogsParams{Runs: []store.RunLog{
				{Lease: store.Lease{RunID: c.RunID, Token: c.Token - 1}, Lines: lines},
				{Lease: store.Lease{RunID: uuid.New(), Token: c.Token}, Lines: lines},
				{Lease: store.Lease{RunID: child.ID, Token: c.Token}, Lines: lines},
			}})
			f.wantErrs("AppendLogs", errs, err, store.ErrLeaseLost, store.ErrNotFound, nil)
			expect(f, "lines of the run", len(f.logs(store.LogFilter{RunID: c.RunID}).Lines), 0)
			expect(f, "lines of the child run", len(f.logs(store.LogFilter{RunID: child.ID}).Lines), 1)
		},
	},
	{
		"Survives", "a log outlives its run's claim, and goes on in the next claim",
		func(f *fixture) {
			d := f.deploy("a")
			r := f.serve(f.base, d)
			f.createNow(f.base, d)
			for _, text := range []string{"one", "two"} {
				c := f.claimOne(f.base, r, longTTL)
				f.log(c.Lease, store.LogRecord{Time: f.base, Message: text})
				f.settle(f.base, givenBack(c.Lease, f.base))
			}
			id := f.runs(store.RunFilter{})[0].ID
			page := f.logs(store.LogFilter{RunID: id})
			expectSame(f, "lines", messages(page), "one", "two")
			expect(f, "seq", page.Lines[1].Seq, 2)
		},
	},
}
