package store

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Store keeps deployments, runs, runners and logs, and decides whatever two processes could
// disagree on. Runners poll it; clients read and write it. The package documentation lists the
// rules that hold for every method. A Store is safe for concurrent use.
type Store interface {
	DeploymentStore
	RunnerStore
	PlanStore
	RunStore
	LogStore
}

// DeploymentStore keeps what was declared, and what operators did to it.
type DeploymentStore interface {
	// RegisterDeployments declares deployments and their flows, all or none. It returns what became
	// of each declaration, in their order.
	//
	//   - A declaration whose digest equals the stored one writes nothing, except a new Version,
	//     which does not raise the generation.
	//   - A different declaration replaces the stored one: the generation rises by one, and the
	//     future, unstarted, auto-scheduled runs are removed in the same step.
	//   - A schedule that keeps its key keeps its watermark and its pause. An operator's pause
	//     lapses where the declared value changes.
	//   - A schedule whose newest plan has no PlanTime, because it had come to its end, owes
	//     nothing for the time from there to p.Now: its next plan starts at p.Now.
	//   - A LimitGroup has the size that was declared last, even if that declaration equals the
	//     stored one.
	//
	// Errors: ErrConflict if a LimitGroup would get another size than a deployment that another
	// live runner serves declares.
	RegisterDeployments(ctx context.Context, p RegisterDeploymentsParams) ([]Registration, error)

	// GetDeployment reads one deployment by ID.
	//
	// Errors: ErrNotFound.
	GetDeployment(ctx context.Context, id uuid.UUID) (*DeploymentRecord, error)

	// ListDeployments lists deployments by flow, then by name.
	ListDeployments(ctx context.Context, f DeploymentFilter) (Page[*DeploymentRecord], error)

	// DeleteDeployment removes a deployment with its schedules, its skips and its unstarted runs,
	// including those made by hand.
	//
	//   - Running runs go on, and hold their slots of the limit until they end.
	//   - Runs that had begun and wait for another attempt, or are given back later, become
	//     CANCELLED.
	//   - Finished runs stay until the retention policy deletes them. They are listed under the
	//     deployment's ID, also once a deployment with that ID is registered again.
	//   - A deployment that is registered again starts afresh: its instants are free, whatever was
	//     decided of them before.
	//
	// Errors: ErrNotFound.
	DeleteDeployment(ctx context.Context, p DeleteDeploymentParams) error

	// SetPause sets or clears the operator's mark on a deployment or on one of its schedules, and
	// clears the mark that Runner.PauseOnShutdown left. If that changes whether it is paused, the
	// generation rises, and the future, unstarted, auto-scheduled runs concerned are removed in the
	// same step.
	//
	// Errors: ErrNotFound.
	SetPause(ctx context.Context, p SetPauseParams) (*DeploymentRecord, error)

	// ListFlows lists flows by name, including those of child runs.
	ListFlows(ctx context.Context, f FlowFilter) (Page[*FlowRecord], error)
}

// RunnerStore keeps which runner serves what. A deployment is served while a runner that lists it
// has a lease that has not ended.
type RunnerStore interface {
	// RegisterRunner registers a runner with the deployments that it serves, and clears their
	// shutdown marks. It returns those of them that no other live runner serves. If these have
	// schedules and were last served before p.Now, there is a gap: claims hold their runs back
	// until PlanRuns has dealt with the gap for each schedule. Deployments that are not in the
	// store, or no longer, are ignored.
	RegisterRunner(ctx context.Context, p RegisterRunnerParams) (unserved []uuid.UUID, err error)

	// HeartbeatRunner records that a runner is alive at p.Now and may be trusted until p.Until. A
	// heartbeat that comes after the previous Until opens a gap as RegisterRunner does.
	//
	// Errors: ErrNotFound if the runner must register again.
	HeartbeatRunner(ctx context.Context, p HeartbeatRunnerParams) error

	// RemoveRunner removes a runner that leaves. The leases on its runs stay until they end or the
	// runs are settled. With p.Pause, the deployments that no other live runner serves get the
	// shutdown mark. Removing an unknown runner succeeds.
	RemoveRunner(ctx context.Context, p RemoveRunnerParams) error

	// ListRunners lists runners by the time they were last seen, newest first. Of the runners whose
	// lease has ended it lists the MaxDeadRunners that ended last, until a day later;
	// RegisterRunner removes the others.
	ListRunners(ctx context.Context) ([]RunnerRecord, error)
}

// PlanStore turns schedules into runs. For each schedule the store keeps how far it is decided
// (Watermark) and how far its runs are materialised (Planned). The caller computes the instants.
type PlanStore interface {
	// DueSchedules returns the schedules that need planning at p.Now: those of served deployments
	// whose PlanTime has come, those with a gap to deal with, and those that were paused, resumed
	// or changed.
	DueSchedules(ctx context.Context, p DueSchedulesParams) (DueSchedulesResult, error)

	// PlanRuns writes plans, each of them atomically and judged by itself. errs[i] is nil or wraps
	// one of these:
	//
	//   - ErrConflict if plan i rests on another generation, another Planned or another GapFound
	//     than the store has by now. So does a plan that is repeated.
	//   - ErrNotFound.
	//
	// For the runs of a plan:
	//
	//   - There is never a second run for a deployment, schedule key and instant, even if the first
	//     was deleted.
	//   - Cancel and Late do not touch a run that is claimed, has begun, was retried or comes from
	//     BackfillRuns.
	//   - An instant is decided, with all that are planned before it, when its run is claimed or
	//     ends, unless that happens ahead of its time. Whatever the clock does, a decided instant
	//     is never planned again.
	PlanRuns(ctx context.Context, p PlanRunsParams) (errs []error, err error)

	// ListSkips lists ranges of instants that became no run, newest first.
	ListSkips(ctx context.Context, f SkipFilter) (Page[Skip], error)
}

// RunStore keeps runs, the leases on them, and the slots of concurrency limits.
//
// # Slots
//
// A run of a deployment with a limit needs a slot to be claimed. It asks for one in CreateRun or
// RetryRun if it is due then, otherwise in the ClaimRuns that reaches it. If all slots are held,
// the deployment's [Overlap] decides:
//
//   - OverlapEnqueue: the run waits in the limit's queue, as SCHEDULED/AwaitingConcurrencySlot. If
//     MaxWaiting runs of its deployment wait already, it becomes CANCELLED/Skipped with the message
//     "limit"; CreateRun returns ErrQueueFull instead.
//   - OverlapCancelNew: the run becomes CANCELLED/Skipped with the message "overlap".
//   - OverlapCancelRunning: the run takes the place of older ones, as below.
//
// Under OverlapCancelRunning:
//
//  1. All waiting runs of the deployment are cancelled, whether they wait for a slot, have one and
//     wait for their claim, or wait for another claim. They become CANCELLED, as Skipped if they
//     had not begun, with the message "overlap".
//  2. Claimed runs of the deployment become CANCELLING, those with the earliest ScheduledTime
//     first: as many as it takes, together with those that are CANCELLING already, to leave a slot
//     to the new run. That is one, unless the size of the limit was lowered.
//  3. The new run takes the slot, or waits for it in the queue.
//
// These runs always wait; no policy applies to them, and no MaxWaiting:
//
//   - runs that RetryRun has reopened;
//   - runs that BackfillRuns has made or reopened;
//   - runs that a plan calls catch-up;
//   - runs that had a slot or a place in a queue before.
//
// A slot is held until its run ends or is given back, even while the run is CANCELLING or after its
// deployment was deleted. A slot that becomes free goes to the queue: first to runs that had begun
// or were retried, then first come, first served. Priorities order claims, not queues. Lowering the
// size of a limit takes no slot away; raising it hands out the new slots at once.
//
// # Shared limits
//
// Deployments of one LimitGroup share one queue. In it, runs of deployments that nobody serves at
// Now stand back:
//
//   - A slot goes to such a run only if no other run waits.
//   - If it is not claimed, it gives the slot up when a run of a served deployment asks for one, or
//     waits for one while RegisterRunner, ReapLeases, or a HeartbeatRunner that comes after the
//     previous Until is called. The last in turn gives up first. It returns to its place in the
//     queue.
type RunStore interface {
	// CreateRun makes one run by hand, or a child run under its parent's lease. If a run of the
	// deployment's ID has the IdempotencyKey already, it returns that first run, whatever became of
	// it. A run that is due asks for a slot of the deployment's limit at once; under
	// OverlapCancelNew it may be CANCELLED/Skipped when it is returned, which is no error.
	//
	// Errors:
	//
	//   - ErrNotFound if there is no such deployment;
	//   - ErrConflict if p.Generation is not the deployment's;
	//   - ErrQueueFull;
	//   - ErrLeaseLost if the parent's lease is lost.
	CreateRun(ctx context.Context, p CreateRunParams) (*Run, error)

	// BackfillRuns makes a run for each instant of a schedule that has none, in one step. A run
	// that was skipped is reopened. An instant inside a skip range is taken out of it: p.Splits
	// tells what remains of each range concerned. It returns the runs that it made or reopened. A
	// repeated call need not return again what the first one reopened.
	//
	// Errors:
	//
	//   - ErrNotFound;
	//   - ErrConflict if some instant still needs a run but a range of p.Splits is not there, or no
	//     longer, or if p.Generation is not the deployment's.
	BackfillRuns(ctx context.Context, p BackfillRunsParams) ([]*Run, error)

	// ClaimRuns takes up to p.Limit runs of deployments that the runner serves. It raises the token
	// of each, gives it a lease and makes it PENDING.
	//
	//   - A run can be claimed if it is due at p.Now, or within ClaimAhead of it if it needs no
	//     slot of a concurrency limit.
	//   - Higher priority goes first, then earlier due time, then earlier scheduled time.
	//   - A run that has to wait for a slot does not count against Limit. It is
	//     SCHEDULED/AwaitingConcurrencySlot until it is claimed, and is out of the queue once its
	//     WaitReason is empty.
	//   - A paused deployment keeps what is already due. It has no future auto-scheduled runs.
	//   - Runs of p.Except are treated as if they did not exist, for Next too.
	//   - A call with the ID of the runner's newest call that claimed anything is a repetition. It
	//     returns those runs of that call that are still held under its tokens, renews their leases
	//     for TTL where that is longer, and claims nothing else.
	//
	// Errors: ErrNotFound if the runner must register again.
	ClaimRuns(ctx context.Context, p ClaimRunsParams) (ClaimRunsResult, error)

	// RenewLeases extends leases to p.Now plus p.TTL. It reports which of them are lost, and which
	// runs somebody wants cancelled, including child runs under these leases. A lease that has
	// ended but is not reaped is extended like any other: nobody else can hold the run. A lease is
	// lost if another claim holds the run, or if the run is reaped, settled or gone.
	RenewLeases(ctx context.Context, p RenewLeasesParams) (RenewLeasesResult, error)

	// SettleRuns records what became of claimed runs, each judged by itself. errs is nil if all
	// updates were accepted. Otherwise errs[i] is nil or wraps one of these:
	//
	//   - ErrLeaseLost if update i has another token than the run, or the lease was reaped, or it
	//     was settled with another state;
	//   - ErrConflict if the state machine does not list the step;
	//   - ErrNotFound.
	//
	// An update has these effects:
	//
	//   - A lease that has ended but is not reaped yet still counts.
	//   - A terminal state or SCHEDULED ends the lease, frees the slot and promotes the next run in
	//     the limit's queue.
	//   - SCHEDULED and CRASHED make a run in CANCELLING CANCELLED.
	//   - Crashed is counted once, however often the update is repeated, and its Attempt counts
	//     even without a StartTime.
	//   - Child runs that are not finished when their parent's lease ends become CRASHED; those in
	//     CANCELLING become CANCELLED.
	SettleRuns(ctx context.Context, p SettleRunsParams) (errs []error, err error)

	// ReapLeases deals with leases that have ended:
	//
	//   - A run in CANCELLING becomes CANCELLED.
	//   - A run that had begun under AtMostOnce, or has crashed MaxCrashes times, becomes CRASHED.
	//   - Any other run becomes SCHEDULED/AwaitingRetry and is due at once. Its crash is counted,
	//     and is in the message.
	//
	// A crash is always an attempt: if none is known to have begun under the lease, Attempt rises
	// with Crashes.
	//
	// A clock that was set back does not keep a dead runner's runs. A store that judges leases by
	// p.Now takes the clock as set back when
	//
	//  1. p.Now is more than a minute behind the newest Now of any call,
	//  2. so was an earlier call of ReapLeases with an earlier Now, and
	//  3. so was each call between these two; a single call may just have come late.
	//
	// It then shortens each lease that ends more than its own TTL after p.Now to that TTL after
	// p.Now, and corrects likewise the times at which runners were seen.
	ReapLeases(ctx context.Context, p ReapLeasesParams) (ReapLeasesResult, error)

	// CancelRun makes an unstarted run CANCELLED and a claimed one CANCELLING. A run that is either
	// already is returned as it is.
	//
	// Errors: ErrNotFound; ErrConflict if the run has finished in another state.
	CancelRun(ctx context.Context, p CancelRunParams) (*Run, error)

	// RetryRun reopens a FAILED, CRASHED or CANCELLED run. It keeps its ID, history and attempts,
	// its crashes are counted from zero again, and it is due at p.Now.
	//
	// Errors:
	//
	//   - ErrNotFound;
	//   - ErrConflict if the run is in any other state (as it is once it was reopened), is a child
	//     run, or belongs to a deployment that was deleted since, even if it is registered again.
	RetryRun(ctx context.Context, p RetryRunParams) (*Run, error)

	// GetRun reads one run.
	//
	// Errors: ErrNotFound.
	GetRun(ctx context.Context, id uuid.UUID) (*Run, error)

	// ListRuns lists the runs that satisfy a filter, in its order.
	ListRuns(ctx context.Context, f RunFilter) (Page[*Run], error)

	// CountRuns counts what ListRuns would list without a limit.
	CountRuns(ctx context.Context, f RunFilter) (int, error)

	// DeleteRun removes a finished run and its log. Its instant stays decided.
	//
	// Errors: ErrNotFound; ErrConflict if the run has not finished.
	DeleteRun(ctx context.Context, id uuid.UUID) error

	// PruneRuns removes finished runs of p.Deployments, with their logs, and returns how many:
	//
	//   - those that ended before p.Before, and of each deployment those beyond the newest p.Keep;
	//   - at most p.Limit of them, those that ended first going first.
	//
	// A child run is removed with the run that it is inside, never without it, and is not counted.
	// Instants stay decided. Of the deployments' skip ranges that lie before p.Before, at most
	// p.Limit are removed too, which are not counted.
	PruneRuns(ctx context.Context, p PruneRunsParams) (int, error)
}

// LogStore keeps what runs log.
type LogStore interface {
	// AppendLogs adds lines to the logs of claimed runs, each judged by itself. errs is nil if all
	// were accepted; otherwise errs[i] is nil, or wraps ErrLeaseLost or ErrNotFound.
	//
	// A run keeps MaxRunLog bytes of log, of which a line takes its text and LogLineCost. Lines
	// that do not fit are counted, not kept.
	//
	// For the newest lease under which a run logged, the store remembers how many lines it was
	// given and how many were lost. Of each call it takes only what goes beyond: repeating a call
	// changes nothing.
	AppendLogs(ctx context.Context, p AppendLogsParams) (errs []error, err error)

	// ListLogs reads a run's log in the order it was written.
	//
	// Errors: ErrNotFound.
	ListLogs(ctx context.Context, f LogFilter) (LogPage, error)
}

// Bounds that every store keeps.
const (
	// MaxCrashes is the number of crashes after which a run is CRASHED for good.
	MaxCrashes = 3

	// MaxRunLog is how many bytes of log a run keeps.
	MaxRunLog = 1 << 20

	// LogLineCost is how many bytes a line takes in addition to its text.
	LogLineCost = 16

	// DefaultPage is how many items a page of any list has if the filter sets no Limit.
	DefaultPage = 200

	// MaxPage bounds the items on a page of any list.
	MaxPage = 1000

	// MaxBackfill bounds the instants of one BackfillRuns.
	MaxBackfill = 1000

	// ClaimAhead is how early a run without a limit may be claimed. From then on it is committed.
	ClaimAhead = 500 * time.Millisecond

	// MaxExcept bounds ClaimRunsParams.Except, the runs that a runner leaves to others.
	MaxExcept = 100

	// MaxDeadRunners bounds the runners that are kept although their lease has ended: a program
	// that crashes and restarts all day leaves many.
	MaxDeadRunners = 100
)
