package provost

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/store"
)

// PauseDeployment stops every schedule of a deployment, whatever it declares. Its future scheduled
// runs are removed; runs that are due already, and runs made by hand, still run. The instants of
// the pause are skipped, not caught up.
func (c *Client) PauseDeployment(ctx context.Context, handle string) error {
	return c.setPause(ctx, handle, "", true)
}

// ResumeDeployment ends a pause of a deployment: an operator's, a declared one, or that of
// Runner.PauseOnShutdown.
func (c *Client) ResumeDeployment(ctx context.Context, handle string) error {
	return c.setPause(ctx, handle, "", false)
}

// PauseSchedule stops one schedule of a deployment, named by its key, as PauseDeployment stops all.
func (c *Client) PauseSchedule(ctx context.Context, handle, key string) error {
	return c.setPause(ctx, handle, key, true)
}

// ResumeSchedule ends the pause of one schedule of a deployment.
func (c *Client) ResumeSchedule(ctx context.Context, handle, key string) error {
	return c.setPause(ctx, handle, key, false)
}

// setPause sets the operator's mark of a deployment, or of the schedule with the key.
func (c *Client) setPause(ctx context.Context, handle, key string, paused bool) error {
	id, err := store.ParseHandle(handle)
	if err != nil {
		return err
	}
	callCtx, cancel := c.call(ctx)
	defer cancel()
	_, err = c.store.SetPause(callCtx, store.SetPauseParams{
		Now: clientNow(ctx), DeploymentID: id, Schedule: key, Operator: &paused,
	})
	if err != nil {
		return fmt.Errorf("provost: pause or resume %s: %w", handle, err)
	}
	return nil
}

// ListSkips returns one page of the ranges of instants that became no run, newest first. Set
// filter.Deployment to list those of one deployment.
func (c *Client) ListSkips(ctx context.Context, filter SkipFilter) (Page[Skip], error) {
	callCtx, cancel := c.call(ctx)
	defer cancel()
	return c.store.ListSkips(callCtx, filter)
}

// AllSkips iterates over the skips that the filter selects, newest first, from filter.Cursor to the
// last page. It reads pages of filter.Limit skips as they are needed. The first error ends the
// iteration.
func (c *Client) AllSkips(ctx context.Context, filter SkipFilter) iter.Seq2[Skip, error] {
	return store.Pages(ctx, func(ctx context.Context, cursor string) (Page[Skip], error) {
		f := filter
		if cursor != "" {
			f.Cursor = cursor
		}
		return c.ListSkips(ctx, f)
	})
}

// UpcomingRuns returns the next n runs of a deployment, at most [store.MaxPage], sorted by the time
// they are due: unstarted runs that the store has, and then those that are not materialised yet,
// which have no ID. A paused schedule has no future ones.
func (c *Client) UpcomingRuns(ctx context.Context, handle string, n int) ([]*Run, error) {
	record, err := c.readHandle(ctx, handle)
	if err != nil {
		return nil, err
	}
	n = min(max(0, n), store.MaxPage)
	callCtx, cancel := c.call(ctx)
	defer cancel()
	page, err := c.store.ListRuns(callCtx, RunFilter{
		DeploymentID: record.ID, States: []StateType{StateScheduled}, Sort: SoonestDue, Limit: max(1, n),
	})
	if err != nil {
		return nil, err
	}
	runs := page.Items
	now := clientNow(ctx)
	for i := range record.Schedules {
		s := &record.Schedules[i]
		if record.Pause.Effective() || s.Pause.Effective() {
			continue
		}
		for _, at := range s.Schedule.Upcoming(instant.Latest(s.Planned, now), n) {
			runs = append(runs, upcomingRun(record, s, at, now))
		}
	}
	slices.SortStableFunc(runs, func(a, b *Run) int { return a.DueTime.Compare(b.DueTime) })
	runs = runs[:min(n, len(runs))]
	for _, run := range runs {
		run.WaitReason = waitReason(run, record, now)
	}
	c.maskRuns(maskFor(record), runs)
	return runs, nil
}

// upcomingRun returns a run that is not materialised yet.
func upcomingRun(r *DeploymentRecord, s *store.ScheduleRecord, at, now time.Time) *Run {
	state := store.NewState(StateScheduled, now, "")
	return &Run{
		Flow: r.Flow, Deployment: r.Name, FlowID: r.FlowID, DeploymentID: r.ID, Schedule: s.Key, State: state,
		History: []State{state}, Parameters: r.ScheduledParameters(s.Key), Tags: r.Tags, AutoScheduled: true,
		ScheduledTime: at, DueTime: s.Schedule.DueTime(r.ID, s.Key, at),
	}
}

// Backfill makes a run for each instant of a deployment's schedules after from, up to and including
// to, that has none: an instant that was skipped, that lies before the deployment's creation, or
// whose run was cancelled as skipped. The runs are due at once and not AutoScheduled. Backfill
// returns them sorted by their ScheduledTime; repeated, it makes none.
//
// The range must lie in the past. One with more than [store.MaxBackfill] instants is refused.
// Instants that no runner has planned yet are left to the runners.
func (c *Client) Backfill(ctx context.Context, handle string, from, to time.Time) ([]*Run, error) {
	now := clientNow(ctx)
	from, to = instant.Of(from), instant.Of(to)
	switch {
	case !from.Before(to):
		return nil, fmt.Errorf("provost: backfill %s: from %s is not before to %s; swap them", handle, from, to)
	case to.After(now):
		return nil, fmt.Errorf("provost: backfill %s: %s is not past yet; future instants run by themselves", handle, to)
	}
	for attempt := 1; ; attempt++ {
		runs, err := c.tryBackfill(ctx, handle, from, to, now)
		if err == nil || attempt == maxRefused || !errors.Is(err, ErrConflict) {
			return runs, err
		}
	}
}

// tryBackfill backfills a deployment as it is now. The error wraps ErrConflict if the deployment or
// its skips change meanwhile.
func (c *Client) tryBackfill(ctx context.Context, handle string, from, to, now time.Time) ([]*Run, error) {
	record, err := c.readHandle(ctx, handle)
	if err != nil {
		return nil, err
	}
	params, total, err := c.backfillParams(ctx, record, from, to, now)
	switch {
	case err != nil:
		return nil, err
	case total > store.MaxBackfill:
		return nil, fmt.Errorf("provost: backfill %s: more than %d instants between from and to; narrow the range", handle, store.MaxBackfill)
	}
	var runs []*Run
	for _, p := range params {
		callCtx, cancel := c.call(ctx)
		made, err := c.store.BackfillRuns(callCtx, p)
		cancel()
		if err != nil {
			return runs, fmt.Errorf("provost: backfill %s: %w", handle, err)
		}
		c.maskRuns(maskFor(record), made)
		runs = append(runs, made...)
	}
	slices.SortFunc(runs, func(a, b *Run) int { return a.ScheduledTime.Compare(b.ScheduledTime) })
	return runs, nil
}

// backfillParams returns what to ask of the store, one element for each schedule, and the number of
// instants, which is more than MaxBackfill if they are too many.
func (c *Client) backfillParams(ctx context.Context, record *DeploymentRecord, from, to, now time.Time) (params []store.BackfillRunsParams, total int, err error) {
	for i := range record.Schedules {
		s := &record.Schedules[i]
		p := store.BackfillRunsParams{Now: now, DeploymentID: record.ID, Generation: record.Generation, Schedule: s.Key}
		for at := range s.Schedule.All(from) {
			if at.After(to) || at.After(s.Planned) { // what is not planned yet is not decided yet
				break
			}
			if total++; total > store.MaxBackfill {
				return nil, total, nil
			}
			p.Runs = append(p.Runs, store.PlannedRun{ID: store.NewID(now), ScheduledTime: at, DueTime: now})
		}
		if len(p.Runs) == 0 {
			continue
		}
		if p.Splits, err = c.splits(ctx, record, s, p.Runs); err != nil {
			return nil, 0, err
		}
		params = append(params, p)
	}
	return params, total, nil
}

// splits takes the instants of the runs out of the skip ranges that hold them. A range of an
// earlier declaration of the schedule holds those of them that were its instants too.
func (c *Client) splits(ctx context.Context, record *DeploymentRecord, s *store.ScheduleRecord, runs []store.PlannedRun) ([]store.SkipSplit, error) {
	var splits []store.SkipSplit
	for skip, err := range c.AllSkips(ctx, SkipFilter{DeploymentID: record.ID, Schedule: s.Key}) {
		if err != nil {
			return nil, err
		}
		if held := heldBy(&skip, runs); len(held) > 0 {
			splits = append(splits, store.SkipSplit{ID: skip.ID, Into: splitSkip(&skip, held)})
		}
	}
	return splits, nil
}

// heldBy returns the instants of the runs that are in the range. Both ascend.
func heldBy(s *Skip, runs []store.PlannedRun) (held []time.Time) {
	from, _ := slices.BinarySearchFunc(runs, s.First, func(run store.PlannedRun, first time.Time) int { return run.ScheduledTime.Compare(first) })
	for _, run := range runs[from:] {
		at := run.ScheduledTime
		if at.After(s.Last) {
			break
		}
		if s.Timing.Has(at) {
			held = append(held, at)
		}
	}
	return held
}

// splitSkip returns what is left of the range without some of its instants, which ascend: the
// ranges before, between and after them.
func splitSkip(s *Skip, taken []time.Time) (rest []Skip) {
	from, ok := s.First, true
	keep := func(until time.Time) {
		if ok && !from.After(until) {
			part := *s
			part.ID, part.First = store.NewID(from), from
			part.Last, part.Count = s.Timing.CountUntil(from, until)
			rest = append(rest, part)
		}
	}
	for _, at := range taken {
		keep(at.Add(-time.Microsecond))
		from, ok = s.Timing.Next(at)
	}
	keep(s.Last)
	return rest
}
