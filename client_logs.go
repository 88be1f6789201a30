package provost

import (
	"context"
	"fmt"
	"iter"
	"log/slog"

	"github.com/google/uuid"

	"github.com/provost-go/provost/store"
)

// LogOptions refines what [Client.Logs] reads. The zero value, and nil, read all lines that are
// stored now.
type LogOptions struct {
	// Follow goes on until the run is finished, with each line as it is stored.
	Follow bool

	// MinLevel leaves out lines below this level, such as slog.LevelWarn. Nil leaves out none.
	MinLevel slog.Leveler

	// After leaves out the lines up to this one: give the Seq of the last line that was read before
	// to continue there. 0 starts with the first line.
	After int64
}

// Logs iterates over the stored log of a run, in the order in which it was written. The first error
// ends the iteration: it is [ErrNotFound] if the run does not exist, and the cause of ctx if ctx
// ends first.
//
// If lines of the run were dropped because it logged more than is stored (see [store.MaxRunLog]),
// Logs counts them in one more line at the end, whatever MinLevel and After are. Its level is
// slog.LevelWarn, and its Seq is that of the line before, so that After works with it too.
func (c *Client) Logs(ctx context.Context, id uuid.UUID, options *LogOptions) iter.Seq2[LogRecord, error] {
	var o LogOptions
	if options != nil {
		o = *options
	}
	return func(yield func(LogRecord, error) bool) {
		filter := store.LogFilter{RunID: id, After: o.After, MinLevel: o.MinLevel, Limit: store.MaxPage}
		for _, err := range c.watch(ctx, id) {
			if err != nil {
				yield(LogRecord{}, err)
				return
			}
			run, err := c.get(ctx, id) // before the log: what a finished run logged is all there
			if err != nil {
				yield(LogRecord{}, err)
				return
			}
			dropped := 0
			for line, err := range c.storedLog(ctx, filter, &dropped) {
				if !yield(line, err) || err != nil {
					return
				}
				filter.After = line.Seq
			}
			if o.Follow && !run.State.Terminal() {
				continue
			}
			if dropped > 0 {
				yield(LogRecord{
					RunID: id, Seq: filter.After, Time: clientNow(ctx), Level: slog.LevelWarn,
					Message: fmt.Sprintf("%d lines were dropped: the run logged more than is stored", dropped),
				}, nil)
			}
			return
		}
	}
}

// storedLog iterates over the lines that the store has now, page by page, and sets dropped to how
// many lines of the run it does not have.
func (c *Client) storedLog(ctx context.Context, filter store.LogFilter, dropped *int) iter.Seq2[LogRecord, error] {
	return func(yield func(LogRecord, error) bool) {
		for {
			callCtx, cancel := c.call(ctx)
			page, err := c.store.ListLogs(callCtx, filter)
			cancel()
			if err != nil {
				yield(LogRecord{}, err)
				return
			}
			*dropped = page.Dropped
			for _, line := range page.Lines {
				if !yield(line, nil) {
					return
				}
				filter.After = line.Seq
			}
			if !page.More {
				return
			}
		}
	}
}
