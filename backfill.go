package provost

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/provost-go/provost/internal/clock"
	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/store"
)

// UpcomingRuns is the next n scheduled runs of a deployment, by the time they are due: those that the store has, then those that
// are not materialised yet, which have no ID. A paused schedule has none.
func (c *Client) UpcomingRuns(ctx context.Context, handle string, n int) ([]*Run, error) {
	record, err := c.read(ctx, handle)
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
	now := instant.Of(clock.From(ctx).Now())
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
	c.maskKnown(maskFor(record), runs)
	return runs, nil
}

// upcomingRun is a run that is not materialised yet.
func upcomingRun(r *DeploymentRecord, s *store.ScheduleRecord, at, now time.Time) *Run {
	state := store.NewState(StateScheduled, now, "")
	return &Run{
		Flow: r.Flow, Deployment: r.Name, FlowID: r.FlowID, DeploymentID: r.ID, Schedule: s.Key, State: state,
		History: []State{state}, Parameters: r.ScheduledParameters(s.Key), Tags: r.Tags, AutoScheduled: true,
		ScheduledTime: at, DueTime: s.Schedule.DueTime(r.ID, s.Key, at),
	}
}

// Backfill makes a run for each instant of a deployment's schedules after from, up to and including to, that has none: it was
// skipped, lies before the deployment's creation, or its run was cancelled as skipped. The time must be past. It makes at most
// [MaxBackfill] runs and refuses a range with more instants. Instants that no runner has planned yet are left to the runners. The runs are due at once and not AutoScheduled.
func (c *Client) Backfill(ctx context.Context, handle string, from, to time.Time) ([]*Run, error) {
	now := instant.Of(clock.From(ctx).Now())
	from, to = instant.Of(from), instant.Of(to)
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
	case total > store.MaxBackfill:
		return nil, fmt.Errorf("provost: backfill %s: more than %d instants; ask for a shorter time", handle, store.MaxBackfill)
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

// splits takes the instants of the runs out of the skip ranges that hold them. A range of an earlier declaration of the schedule
// holds those that were its instants too.
func (c *Client) splits(ctx context.Context, record *DeploymentRecord, s *store.ScheduleRecord, runs []store.PlannedRun) ([]store.SkipSplit, error) {
	var splits []store.SkipSplit
	for skip, err := range store.Pages(ctx, func(ctx context.Context, cursor string) (Page[Skip], error) {
		callCtx, cancel := c.call(ctx)
		defer cancel()
		return c.store.ListSkips(callCtx, SkipFilter{DeploymentID: record.ID, Schedule: s.Key, Cursor: cursor})
	}) {
		if err != nil {
			return nil, err
		}
		if held := heldBy(&skip, runs); len(held) > 0 {
			splits = append(splits, store.SkipSplit{ID: skip.ID, Into: splitSkip(&skip, held)})
		}
	}
	return splits, nil
}

// heldBy is which of the runs' instants, that ascend, are in the range.
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

// splitSkip is what is left of the range when some of its instants, that ascend, are taken out: the ranges before, between and after
// them.
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
