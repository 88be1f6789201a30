package engine

import (
	"context"

	"github.com/provost-go/provost/store"
)

// maxLogFailures is how often in a row logs may be refused before they are given up for the ends of
// runs.
const maxLogFailures = 3

// LinesLost is the message with which a runner logs that lines of runs' logs were lost.
const LinesLost = "lines of runs' logs lost"

// writeLogs writes the pending lines of runs. What the store refuses of a single run is lost: the
// lease is another's by then.
func (c *Completer) writeLogs(ctx context.Context, logs []*runLog) error {
	begun := make([]*runLog, 0, len(logs))
	for _, l := range logs {
		if l.begin() {
			begun = append(begun, l)
		}
	}
	return c.writeBegun(ctx, begun)
}

// writeBegun is writeLogs for a caller that has the turn of each log. It gives the turns back.
func (c *Completer) writeBegun(ctx context.Context, logs []*runLog) error {
	if len(logs) == 0 {
		return nil
	}
	p := store.AppendLogsParams{Runs: make([]store.RunLog, 0, len(logs))}
	for _, l := range logs {
		p.Runs = append(p.Runs, l.take())
		defer l.done()
	}
	callCtx, cancel := c.call(ctx)
	defer cancel()
	_, err := c.store.AppendLogs(callCtx, p)
	c.report(ctx, "append logs", err)
	if err != nil {
		for i, l := range logs {
			l.putBack(p.Runs[i])
		}
		return err
	}
	return nil
}

// loseLogs gives up lines that the store keeps refusing.
func (c *Completer) loseLogs(logs []*runLog, err error) {
	lines := 0
	for _, l := range logs {
		if l.begin() {
			lines += l.lose()
			l.done()
		}
	}
	c.log.Error(LinesLost, "lines", lines, "error", err)
}

// flushLog writes the pending lines of one run now, for a child run that ends. ctx is the child
// run's.
func (c *Completer) flushLog(ctx context.Context, l *runLog) {
	callCtx, cancel := c.call(context.WithoutCancel(ctx))
	defer cancel()
	if l.await(callCtx) {
		_ = c.writeBegun(callCtx, []*runLog{l}) // which reports a failure; what is not written is kept for the next batch
	}
}
