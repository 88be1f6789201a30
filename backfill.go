package provost

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// UpcomingRuns is the next n scheduled runs of a deployment, by the time they are due: those that the store has, then those that
// are not materialised yet, which have no ID. A paused schedule has none.
func (c *Client) UpcomingRuns(ctx context.Context, handle string, n int) ([]*Run, error) {
	record, err := c.read(ctx, handle)
	if err != nil {
		return nil, err
	}
	n = min(max(0, n), MaxPage)
	callCtx, cancel := c.call(ctx)
	defer cancel()
	page, err := c.store.ListRuns(callCtx, RunFilter{
		DeploymentID: record.ID, States: []StateType{StateScheduled}, Sort: SoonestDue, Limit: max(1, n),
	})
	if err != nil {
		return nil, err
	}
	runs := page.Items
	now := instant(c.now())
	for i := range record.Schedules {
		s := &record.Schedules[i]
		if record.Pause.Effective() || s.Pause.Effective() {
			continue
		}
		for _, at := range s.Schedule.Upcoming(latestOf(s.Planned, now), n) {
			runs = append(runs, record.upcoming(s, at, now))
		}
	}
	slices.SortStableFunc(runs, func(a, b *Run) int { return a.DueTime.Compare(b.DueTime) })
	runs = runs[:min(n, len(runs))]
	for _, run := range runs {
		run.WaitReason = run.waitReason(record, now)
	}
	c.maskKnown(maskFor(record), runs)
	return runs, nil
}

// upcoming is a run that is not materialised yet.
func (r *DeploymentRecord) upcoming(s *ScheduleRecord, at, now time.Time) *Run {
	state := newState(StateScheduled, now, "")
	return &Run{
		Flow: r.Flow, Deployment: r.Name, FlowID: r.FlowID, DeploymentID: r.ID, Schedule: s.Key, State: state,
		History: []State{state}, Parameters: r.ScheduledParameters(s.Key), Tags: r.Tags, AutoScheduled: true,
		ScheduledTime: at, DueTime: s.Schedule.due(r.ID, s.Key, at),
	}
}

// Backfill makes a run for each instant of a deployment's schedules after from, up to and including to, that has none: it was
// skipped, lies before the deployment's creation, or its run was cancelled as skipped. The time must be past. It makes at most
// [MaxBackfill] runs and refuses a range with more instants. Instants that no runner has planned yet are left to the runners. The runs are due at once and not AutoScheduled.
func (c *Client) Backfill(ctx context.Context, handle string, from, to time.Time) ([]*Run, error) {
	now := instant(c.now())
	from, to = instant(from), instant(to)
	switch {
	case !from.Before(to):
		return nil, fmt.Errorf("provost: backfill %s: from %s is not before to %s; swap them", handle, from, to)
	case to.After(now):
		return nil, fmt.Errorf("provost: backfill %s: %s is not past yet; instants to come run by themselves", handle, to)
	}
	for attempt := 0; ; attempt++ {
		runs, err := c.tryBackfill(ctx, handle, from, to, now)
		if err == nil || attempt == 4 || !errors.Is(err, ErrConflict) {
			return runs, err
		}
	}
}

func (c *Client) tryBackfill(ctx context.Context, handle string, from, to, now time.Time) ([]*Run, error) {
	record, err := c.read(ctx, handle)
	if err != nil {
		return nil, err
	}
	params, total, err := c.backfillParams(ctx, record, from, to, now)
	switch {
	case err != nil:
		return nil, err
	case total > MaxBackfill:
		return nil, fmt.Errorf("provost: backfill %s: more than %d instants; ask for a shorter time", handle, MaxBackfill)
	}
	var runs []*Run
	for _, p := range params {
		callCtx, cancel := c.call(ctx)
		made, err := c.store.BackfillRuns(callCtx, p)
		cancel()
		if err != nil {
			return runs, fmt.Errorf("provost: backfill %s: %w", handle, err)
		}
		c.maskKnown(maskFor(record), made)
		runs = append(runs, made...)
	}
	slices.SortFunc(runs, func(a, b *Run) int { return a.ScheduledTime.Compare(b.ScheduledTime) })
	return runs, nil
}

// backfillParams is what to ask of the store, one schedule each.
func (c *Client) backfillParams(ctx context.Context, record *DeploymentRecord, from, to, now time.Time) (params []BackfillRunsParams, total int, err error) {
	for i := range record.Schedules {
		s := &record.Schedules[i]
		p := BackfillRunsParams{Now: now, DeploymentID: record.ID, Generation: record.Generation, Schedule: s.Key}
		for at := range s.Schedule.All(from) {
			if at.After(to) || at.After(s.Planned) { // what is not planned yet is not decided yet
				break
			}
			if total++; total > MaxBackfill {
				return nil, total, nil
			}
			p.Runs = append(p.Runs, PlannedRun{ID: newID(now), ScheduledTime: at, DueTime: now})
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

// splits takes the instants of the runs out of the skip ranges that hold them.
func (c *Client) splits(ctx context.Context, record *DeploymentRecord, s *ScheduleRecord, runs []PlannedRun) ([]SkipSplit, error) {
	first, last := runs[0].ScheduledTime, runs[len(runs)-1].ScheduledTime
	var splits []SkipSplit
	for skip, err := range pages(ctx, func(ctx context.Context, cursor string) (Page[Skip], error) {
		callCtx, cancel := c.call(ctx)
		defer cancel()
		return c.store.ListSkips(callCtx, SkipFilter{DeploymentID: record.ID, Schedule: s.Key, Cursor: cursor})
	}) {
		if err != nil {
			return nil, err
		}
		if !skip.Last.Before(first) && !skip.First.After(last) {
			splits = append(splits, SkipSplit{ID: skip.ID, Into: cutSkip(skip, s.Schedule, first, last)})
		}
	}
	return splits, nil
}

// cutSkip is what is left of a range without its instants between first and last, which are consecutive.
func cutSkip(skip Skip, schedule Schedule, first, last time.Time) []Skip {
	var rest []Skip
	if before, ok := schedule.Prev(first); ok && !before.Before(skip.First) {
		head := skip
		head.ID, head.Last = newID(skip.First), before
		head.Count = len(schedule.Between(skip.First.Add(-time.Microsecond), before))
		rest = append(rest, head)
	}
	if after, ok := schedule.Next(last); ok && !after.After(skip.Last) {
		tail := skip
		tail.ID, tail.First = newID(after), after
		tail.Count = len(schedule.Between(last, skip.Last))
		rest = append(rest, tail)
	}
	return rest
}
