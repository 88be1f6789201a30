package sim

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/provost-go/provost/store"
)

// transitions are the states that may follow a state. Only a retry or a backfill leaves a terminal
// state.
var transitions = map[store.StateType][]store.StateType{
	"":                    {store.StateScheduled, store.StateRunning},
	store.StateScheduled:  {store.StateScheduled, store.StatePending, store.StateCancelled},
	store.StatePending:    {store.StateScheduled, store.StateRunning, store.StateCancelling, store.StateCancelled, store.StateFailed, store.StateCrashed},
	store.StateRunning:    {store.StateScheduled, store.StateCompleted, store.StateFailed, store.StateCrashed, store.StateCancelling, store.StateCancelled},
	store.StateCancelling: {store.StateCancelled, store.StateCompleted, store.StateFailed},
}

// checkContents compares what the store has in the end with the history.
func (c *checker) checkContents(ctx context.Context) {
	var runs []*store.Run
	for run, err := range store.Pages(ctx, func(ctx context.Context, cursor string) (store.Page[*store.Run], error) {
		return c.world.client.ListRuns(ctx, store.RunFilter{Cursor: cursor, Limit: store.MaxPage})
	}) {
		if err != nil {
			c.bad(0, "list runs: %v", err)
			return
		}
		runs = append(runs, run)
	}
	var skips []store.Skip
	for skip, err := range store.Pages(ctx, func(ctx context.Context, cursor string) (store.Page[store.Skip], error) {
		return c.world.client.ListSkips(ctx, store.SkipFilter{Cursor: cursor, Limit: store.MaxPage})
	}) {
		if err != nil {
			c.bad(0, "list skips: %v", err)
			return
		}
		skips = append(skips, skip)
	}
	for _, run := range runs {
		c.checkRun(run)
		c.checkLog(ctx, run)
	}
	c.checkKeys(runs)
	c.checkInstants(runs, skips)
}

func (c *checker) checkRun(run *store.Run) {
	known := c.runs[run.ID]
	if known == nil {
		c.bad(0, "run %s is in no call of the history", idText(run.ID))
		return
	}
	c.checkHistory(run, known)
	switch {
	case known.held:
		c.bad(0, "run %s (%s) has a lease of %s, which is gone", idText(run.ID), run.State.Type, known.holder)
	case run.State.Type == store.StatePending || run.State.Type == store.StateRunning || run.State.Type == store.StateCancelling:
		c.bad(0, "run %s is %s without a lease", idText(run.ID), run.State.Type)
	}
	if run.State.Terminal() == run.EndTime.IsZero() {
		c.bad(0, "run %s is %s, but its end time is %s", idText(run.ID), run.State.Type, wallText(run.EndTime))
	}
	child := known.parent != nil
	if run.State.Type == store.StateCrashed && !child && run.Crashes < store.MaxCrashes && !known.deployment.flow.once {
		c.bad(0, "run %s is Crashed for good after %d crashes", idText(run.ID), run.Crashes)
	}
	if !child && !known.deployment.flow.once && run.Attempt > known.attempt {
		c.bad(0, "run %s has attempt %d, but no attempt after %d began or crashed", idText(run.ID), run.Attempt, known.attempt)
	}
}

func (c *checker) checkHistory(run *store.Run, known *knownRun) {
	var before store.State
	reopened := 0
	for i, state := range run.History {
		if !before.Type.Terminal() && !slices.Contains(transitions[before.Type], state.Type) {
			c.bad(0, "run %s went from %q to %s", idText(run.ID), before.Type, state.Type)
		}
		if before.Type.Terminal() {
			reopened++
			if state.Type != store.StateScheduled || before.Type == store.StateCompleted {
				c.bad(0, "run %s went from %s to %s", idText(run.ID), before.Type, state.Type)
			}
		}
		if i > 0 && !state.Timestamp.After(before.Timestamp) {
			c.bad(0, "run %s: state %d is not after state %d", idText(run.ID), i, i-1)
		}
		before = state
	}
	if reopened > known.reopenable {
		c.bad(0, "run %s was reopened %d times, by %d calls", idText(run.ID), reopened, known.reopenable)
	}
	if before.Type != run.State.Type || before.Name != run.State.Name {
		c.bad(0, "run %s is %s, but its history ends with %s", idText(run.ID), run.State.Name, before.Name)
	}
}

// checkLog checks that each line in the log was logged, once and in order. Where the end of an
// attempt is stored, its lines are stored too, or the log or a runner reports how many are missing.
func (c *checker) checkLog(ctx context.Context, run *store.Run) {
	page, err := c.world.memory.ListLogs(ctx, store.LogFilter{RunID: run.ID, Limit: store.MaxPage})
	if err != nil || page.More {
		c.bad(0, "log of run %s: more than a page: %t (%v)", idText(run.ID), page.More, err)
		return
	}
	kept, last := make(map[store.Lease]int), make(map[store.Lease]int)
	for i, line := range page.Lines {
		lease, number := store.Lease{RunID: run.ID}, 0
		if _, err := fmt.Sscanf(line.Message, "token %d line %d", &lease.Token, &number); err != nil || line.Message != lineText(lease, number) {
			c.bad(0, "run %s: nobody logged %q", idText(run.ID), line.Message)
		}
		if line.Seq != int64(i)+1 || number < last[lease] || number >= c.wrote[lease] {
			c.bad(0, "run %s: line %d is %q after %d lines of that attempt, which logged %d", idText(run.ID), line.Seq, line.Message, last[lease], c.wrote[lease])
		}
		last[lease] = number + 1
		kept[lease]++
	}
	for lease, wrote := range c.wrote {
		missing := wrote - kept[lease] - page.Dropped
		if lease.RunID != run.ID || !c.closed[lease] || missing <= 0 {
			continue
		}
		if c.missing += missing; c.missing > c.world.log.lost {
			c.bad(0, "run %s: %d lines of %d are kept, %d dropped, and no runner reported the rest as lost", leaseText(lease), kept[lease], wrote, page.Dropped)
		}
	}
}

// checkKeys checks that no two runs of a deployment have the same idempotency key.
func (c *checker) checkKeys(runs []*store.Run) {
	seen := make(map[string]*store.Run)
	for _, run := range runs {
		if run.IdempotencyKey == "" {
			continue
		}
		key := run.DeploymentID.String() + run.IdempotencyKey
		if first := seen[key]; first != nil {
			c.bad(0, "runs %s and %s have the same idempotency key", idText(first.ID), idText(run.ID))
		}
		seen[key] = run
	}
}

const (
	maxCallsPerMinute = 10_000 // of one runner; a loop that does not wait makes thousands in no time
	maxLinesPerMinute = 6      // with the same message
)

// checkRates checks that runners neither call the store nor log without bound.
func (c *checker) checkRates() {
	for _, g := range c.world.gates {
		if g.busiest > maxCallsPerMinute {
			c.bad(0, "%s called the store %d times in a minute", g.who, g.busiest)
		}
	}
	for key, n := range c.world.log.counts {
		if n > maxLinesPerMinute {
			c.bad(time.Unix(key.minute*60, 0).Sub(c.world.began), "%s logged %q %d times in a minute", key.who, key.message, n)
		}
	}
}
