package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/store"
)

// planner makes the runs of schedules.
type planner struct {
	*Access
	skips *skipReporter
}

// poll is the poller's task: it plans every schedule that needs it, and returns when the next one
// will.
func (p *planner) poll(ctx context.Context, _ time.Time) (next time.Time, err error) {
	for {
		next, more, err := p.planOnce(ctx)
		p.report(ctx, "plan runs", err)
		if err != nil || !more {
			return next, err
		}
	}
}

// planOnce asks the store which schedules need planning, and plans them for the time of the answer,
// not of the question: if the clock has jumped in between, a plan for the time before the jump
// would leave out the gap.
func (p *planner) planOnce(ctx context.Context) (next time.Time, more bool, err error) {
	callCtx, cancel := p.call(ctx)
	defer cancel()
	due, err := p.store.DueSchedules(callCtx, store.DueSchedulesParams{Now: instant.Of(p.now()), Limit: store.MaxPage})
	if err != nil {
		return time.Time{}, false, fmt.Errorf("find due schedules: %w", err)
	}
	if len(due.Items) == 0 {
		return due.Next, false, nil
	}
	now := instant.Of(p.now())
	plans := make([]store.SchedulePlan, len(due.Items))
	for i, item := range due.Items {
		plans[i] = makePlan(item, now)
	}
	errs, err := p.store.PlanRuns(callCtx, store.PlanRunsParams{Now: now, Plans: plans})
	if err != nil {
		return time.Time{}, false, fmt.Errorf("write plans: %w", err)
	}
	for i, err := range errs {
		p.reportPlan(&plans[i], err)
	}
	return time.Time{}, true, nil
}

// reportPlan reports what a plan skipped. A conflict means that another runner has planned, or that
// the deployment was updated: the schedule comes up again.
func (p *planner) reportPlan(plan *store.SchedulePlan, err error) {
	if err != nil {
		if !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrNotFound) {
			p.log.Error("plan", "deployment", plan.DeploymentID, "schedule", plan.Key, "error", err)
		}
		return
	}
	for _, skip := range plan.Skips {
		p.skips.report("instants skipped", skip)
	}
	if n := len(plan.Cancel); n > 0 {
		p.skips.report("runs skipped", store.Skip{
			DeploymentID: plan.DeploymentID, Schedule: plan.Key, Reason: plan.Reason, Count: n, First: plan.Cancel[0], Last: plan.Cancel[n-1],
		})
	}
}
