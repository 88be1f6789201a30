package store

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Store keeps deployments, runs and runners, and decides everything that two processes could disagree on. Runners poll it;
// [Client] reads and writes it.
//
// Rules for whoever implements one:
//
//   - Each method is atomic: it happens whole or not at all, and concurrent calls behave as if they came one after another.
//   - Each method ends when ctx does. An error says nothing about whether the write happened, so every write can be repeated:
//     the same call with the same IDs, keys and tokens is a success that changes nothing. Where a method says that a second
//     one is refused, the refusal changes nothing either.
//   - Time comes in as an argument. A store that several machines share may judge leases by its database's clock instead.
//   - Values are copied on the way in and out; times are UTC in whole microseconds.
//   - Where a call judges its items each by itself, an item that is refused writes nothing of itself.
//   - A cursor that is no page's Next is an error. Pages stay in place while items are added.
//   - Errors wrap the sentinels of this package. A method lists those that callers branch on.
//
// An implementation must pass storetest.Run. Methods may be added before version 1.
type Store interface {
	DeploymentStore
	RunnerStore
	PlanStore
	RunStore
	LogStore
}

// DeploymentStore keeps what was declared and what operators did to it.
type DeploymentStore interface {
	// RegisterDeployments declares deployments and their flows, all or none. A declaration whose digest equals the stored
	// one writes nothing (but a new Version, which is stamped without raising the generation). A different one replaces it:
	// generation + 1, and the future, unstarted, auto-scheduled runs go in the same step. Schedules that keep their key keep
	// their watermark and their pause; an operator's pause lapses where the declared value changes. One whose newest plan has no
	// PlanTime, as it had come to its end, owes nothing for the time from there to p.Now: its next plan starts at p.Now. A
	// LimitGroup has the size that was declared last, be it by a declaration that equals the stored one.
	//
	// ErrConflict: a LimitGroup gets another size than a deployment that another live runner serves declares.
	RegisterDeployments(ctx context.Context, p RegisterDeploymentsParams) ([]Registration, error)

	// GetDeployment reads one deployment by ID. ErrNotFound.
	GetDeployment(ctx context.Context, id uuid.UUID) (*DeploymentRecord, error)

	// ListDeployments lists deployments by flow, then by name.
	ListDeployments(ctx context.Context, f DeploymentFilter) (Page[*DeploymentRecord], error)

	// DeleteDeployment removes a deployment, its schedules and skips, and its unstarted runs, made by hand or not. What runs
	// goes on, and keeps its slot of the limit until it ends; what had begun and waits for another attempt, or is given back
	// later, becomes CANCELLED; what is finished stays until retention takes it, and is listed under the deployment's ID also
	// once that is registered again. A deployment that is begins anew: its instants are free, whatever was decided of them before.
	// ErrNotFound.
	DeleteDeployment(ctx context.Context, p DeleteDeploymentParams) error

	// SetPause sets or clears the operator's mark on a deployment or on one of its schedules. If that changes whether it is
	// paused, the generation rises and the future, unstarted, auto-scheduled runs that are concerned go in the same step. It
	// also clears the mark that PauseOnShutdown left. ErrNotFound.
	SetPause(ctx context.Context, p SetPauseParams) (*DeploymentRecord, error)

	// ListFlows lists flows by name.
	ListFlows(ctx context.Context, f FlowFilter) (Page[*FlowRecord], error)
}

// RunnerStore keeps who serves what. A deployment is served while a runner that lists it has a lease that has not ended.
type RunnerStore interface {
	// RegisterRunner makes a runner known, with what it serves, and clears the shutdown mark of those deployments. It names
	// the deployments that no other live runner serves. If those have schedules and were last served before p.Now, there is
	// a gap: their runs are held back from claims until PlanRuns has dealt with it for each schedule. Deployments that are not
	// (or no longer) in the store are passed over.
	RegisterRunner(ctx context.Context, p RegisterRunnerParams) (unserved []uuid.UUID, err error)

	// HeartbeatRunner says that a runner is alive at p.Now and may be trusted until p.Until. One that comes after the
	// previous Until opens a gap as RegisterRunner does. ErrNotFound: the runner must register again.
	HeartbeatRunner(ctx context.Context, p HeartbeatRunnerParams) error

	// RemoveRunner forgets a runner that leaves. Its leases stay until they end or their runs are settled. With p.Pause, the
	// deployments that no other live runner serves get the shutdown mark. Removing an unknown runner is a success.
	RemoveRunner(ctx context.Context, p RemoveRunnerParams) error

	// ListRunners lists runners by the time they were last seen, newest first. Of those whose lease has ended it has the MaxDeadRunners
	// that ended last, until a day later; RegisterRunner forgets the others.
	ListRunners(ctx context.Context) ([]RunnerRecord, error)
}

// PlanStore turns schedules into runs. The store keeps, for each schedule, how far it is decided (Watermark) and how far runs
// are materialised (Planned); the arithmetic of schedules is the caller's.
type PlanStore interface {
	// DueSchedules names schedules that want planning at p.Now: those of served deployments whose PlanTime has come, those
	// with a gap to deal with, and those that were paused, resumed or changed.
	DueSchedules(ctx context.Context, p DueSchedulesParams) (DueSchedulesResult, error)

	// PlanRuns writes plans, each of them atomic and judged by itself: errs[i] is nil, or wraps ErrConflict if plan i rests on
	// another generation, another Planned or another GapFound than the store has by now (a plan that is repeated does), or ErrNotFound. There is
	// never a second run for a deployment, schedule key and instant, also where the first was deleted. Cancel and
	// Late leave a run alone that is claimed, has begun, was retried or comes from BackfillRuns. An instant is decided, with all that are planned before it, when its run
	// is claimed or ends, unless that is ahead of its time: whatever the clock does, none of them is planned again.
	PlanRuns(ctx context.Context, p PlanRunsParams) (errs []error, err error)

	// ListSkips lists ranges of instants that became no run, newest first.
	ListSkips(ctx context.Context, f SkipFilter) (Page[Skip], error)
}

// RunStore keeps runs, the leases on them, and the slots of concurrency limits.
//
// A run needs a slot of its deployment's limit to be claimed. It asks for one in CreateRun and RetryRun if it is due then, else in
// the ClaimRuns that comes upon it. Where all are held, [Overlap] decides:
//
//   - OverlapEnqueue: it waits in the limit's queue, SCHEDULED/AwaitingConcurrencySlot. Where MaxWaiting runs of its deployment
//     wait already, it becomes CANCELLED/Skipped with the message "limit" (in CreateRun: ErrQueueFull).
//   - OverlapCancelNew: it becomes CANCELLED/Skipped with the message "overlap".
//   - OverlapCancelRunning: what waits of its deployment goes, be it for a slot, with a slot for its claim, or for another
//     claim: CANCELLED, and Skipped if it had not begun, with the message "overlap". Of the claimed runs of its deployment so many
//     become CANCELLING, those with the earliest ScheduledTime first, that together with those that already are they leave a slot
//     to the new run: one, unless the size was lowered. It takes the slot, or waits for it in the queue.
//
// No policy, and no MaxWaiting, concerns what RetryRun or BackfillRuns reopen or make, what a plan calls catch-up, and what had
// a slot or a place in a queue before: these wait.
//
// A slot is held until its run ends or is given back, also by a run that is CANCELLING, or whose deployment is deleted. A slot
// that frees goes to the queue: first to runs that had begun or were retried, then first come, first served; priorities order
// claims, not queues. Deployments of one LimitGroup have one queue. In it, runs of deployments that nobody serves at Now stand
// back: a slot goes to them only if no other run waits, and unless they are claimed they give it up, the last in turn first, and
// go back to their place when a run of a served deployment asks for it, or waits while RegisterRunner, ReapLeases, or a
// HeartbeatRunner that comes after the previous Until is called. A size that is lowered takes no slot away; one that is raised is handed out at once.
type RunStore interface {
	// CreateRun makes one run by hand, or a child run under its parent's lease. With an IdempotencyKey that a run of the
	// deployment's ID already has, it returns that first run, whatever became of it. One that is due asks for a slot of the
	// deployment's limit at once; under OverlapCancelNew it may be CANCELLED/Skipped when it is returned, which is no error.
	//
	// ErrNotFound: no such deployment. ErrConflict: p.Generation is not the deployment's. ErrQueueFull. ErrLeaseLost: the
	// parent's.
	CreateRun(ctx context.Context, p CreateRunParams) (*Run, error)

	// BackfillRuns makes a run for each instant of a schedule that has none, in one step. A run that was skipped is reopened;
	// an instant inside a skip range is taken out of it: p.Splits says what becomes of each range concerned. It returns the
	// runs made or reopened; repeated, it need not return again what it reopened. ErrNotFound. ErrConflict: a range of p.Splits is not there (any more) though some instant still
	// wants a run, or the generation is not the deployment's.
	BackfillRuns(ctx context.Context, p BackfillRunsParams) ([]*Run, error)

	// ClaimRuns takes runs of deployments that the runner serves: due at p.Now, or within ClaimAhead where no concurrency
	// limit has to be granted. It raises the token of each, gives it a lease and makes it PENDING. Higher priority first, then
	// earlier due time, then earlier scheduled time. What has to wait for a slot does not count against Limit. A paused
	// deployment keeps what is already due; future auto-scheduled runs of it do not exist.
	//
	// A run that had to wait for its slot is SCHEDULED/AwaitingConcurrencySlot until it is claimed; it is no longer in the queue
	// once its WaitReason is empty.
	//
	// A call that has the ID of the runner's newest call that claimed anything is a repetition: it returns those runs of that
	// call which are still held under its tokens, gives their leases TTL anew where that is longer, and claims nothing else.
	//
	// Runs of p.Except are as if they were not there, also for Next.
	//
	// ErrNotFound: the runner must register again.
	ClaimRuns(ctx context.Context, p ClaimRunsParams) (ClaimRunsResult, error)

	// RenewLeases prolongs leases, and says which of them are lost and which runs somebody wants cancelled (child runs under
	// these leases included). A lease that has ended but is not reaped is prolonged like any other: nobody else can hold the run.
	// Lost is what another claim holds, and what is reaped, settled or gone.
	RenewLeases(ctx context.Context, p RenewLeasesParams) (RenewLeasesResult, error)

	// SettleRuns records what became of claimed runs, each judged by itself: errs is nil if all went well; errs[i] wraps
	// ErrLeaseLost if update i carries another token than the run has, or its lease was reaped or is settled otherwise, or
	// ErrConflict if the state machine does not list the step, or ErrNotFound. A lease that has ended but is not reaped yet
	// still counts. A terminal state or SCHEDULED ends the lease, frees the slot and promotes the next in the limit's queue.
	// SCHEDULED and CRASHED make a run in CANCELLING CANCELLED. Crashed is counted once, however often the update is repeated,
	// and its Attempt counts also without a StartTime. Child runs that are not over when their parent's lease ends become
	// CRASHED, those in CANCELLING CANCELLED.
	SettleRuns(ctx context.Context, p SettleRunsParams) (errs []error, err error)

	// ReapLeases deals with leases that have ended. CANCELLING becomes CANCELLED. A run that had begun under AtMostOnce, or
	// that has crashed MaxCrashes times, becomes CRASHED. Any other becomes SCHEDULED/AwaitingRetry, due at once, its crash
	// counted and in the message. A crash is always an attempt: where none is known to have begun under the lease, Attempt rises
	// with Crashes.
	//
	// A clock that was set back does not keep a dead runner's runs. A store that judges leases by p.Now cuts each lease that ends
	// more than its own TTL after p.Now to that, and what it knows of when runners were seen likewise, once p.Now is over a minute behind the
	// newest Now that any call gave, and was so in an earlier call of ReapLeases with an earlier Now and in each call between them:
	// some may come late.
	ReapLeases(ctx context.Context, p ReapLeasesParams) (ReapLeasesResult, error)

	// CancelRun makes an unstarted run CANCELLED and a claimed one CANCELLING; one that is either already is returned as it
	// is. ErrNotFound. ErrConflict: the run is over.
	CancelRun(ctx context.Context, p CancelRunParams) (*Run, error)

	// RetryRun reopens a FAILED, CRASHED or CANCELLED run: same ID, history and attempts kept, crashes counted from zero again,
	// due at p.Now. ErrNotFound. ErrConflict: any other state (so of a run that is reopened already), or a child run, or its
	// deployment was deleted since, be it registered again or not.
	RetryRun(ctx context.Context, p RetryRunParams) (*Run, error)

	// GetRun reads one run. ErrNotFound.
	GetRun(ctx context.Context, id uuid.UUID) (*Run, error)

	// ListRuns lists runs. CountRuns counts what ListRuns would list without a limit.
	ListRuns(ctx context.Context, f RunFilter) (Page[*Run], error)
	CountRuns(ctx context.Context, f RunFilter) (int, error)

	// DeleteRun removes a finished run and its log. Its instant stays decided. ErrNotFound. ErrConflict: the run is not over.
	DeleteRun(ctx context.Context, id uuid.UUID) error

	// PruneRuns removes finished runs of p.Deployments: those that ended before p.Before, and of each deployment those beyond the
	// newest p.Keep (0: no such bound), at most p.Limit of them, oldest end first. It returns how many. A child run goes with the
	// run that it is inside of, uncounted, and never without it. Instants stay decided. Of the deployments' skip ranges that lie
	// before p.Before at most p.Limit go too, uncounted.
	PruneRuns(ctx context.Context, p PruneRunsParams) (int, error)
}

// LogStore keeps what runs log.
type LogStore interface {
	// AppendLogs adds lines to the logs of claimed runs, each judged by itself: errs is nil if all went well; errs[i] wraps
	// ErrLeaseLost or ErrNotFound. A run keeps MaxRunLog bytes, of which a line takes its text and LogLineCost; lines that do not
	// fit are counted, not kept. The store remembers, for the newest lease under which a run logged, how many lines it was given and how many were lost, and takes
	// of each call only what goes beyond: what is repeated changes nothing.
	AppendLogs(ctx context.Context, p AppendLogsParams) (errs []error, err error)

	// ListLogs reads a run's log in the order it was written. ErrNotFound.
	ListLogs(ctx context.Context, f LogFilter) (LogPage, error)
}

// Bounds that every store keeps to.
const (
	MaxCrashes  = 3                      // crashes after which a run is CRASHED for good
	MaxRunLog   = 1 << 20                // bytes of log that a run keeps
	LogLineCost = 16                     // bytes that a line takes beside its text
	MaxPage     = 1000                   // items on a page of any list; the default is 200
	MaxBackfill = 1000                   // instants in one BackfillRuns
	ClaimAhead  = 500 * time.Millisecond // how early a run without a limit may be claimed; from then on it is committed

	DefaultPage = 200
)

// Notifier is what a store offers that can tell of changes as they happen. A hint may be lost or come for nothing: the
// receiver looks again, and polls besides. Only an [LocalStore]'s hints are reliable.
type Notifier interface {
	// Notify sends to ch, without ever blocking, whenever something of the topic may have changed, until stop is called. The
	// channel should have room for one.
	Notify(topic Topic, ch chan<- struct{}) (stop func())
}

// LocalStore marks a store that lives and dies with this process. Its hints are reliable and it is not polled.
type LocalStore interface{ Local() bool }

// Topic is what a hint is about: one run's state and log if Run is set, else the kind.
type Topic struct {
	Run  uuid.UUID
	Kind TopicKind
}

// TopicKind is a kind of hint.
type TopicKind uint8

// What hints are about.
const (
	TopicWork   TopicKind = iota // a run may be claimable, or a schedule want planning
	TopicCancel                  // a claimed run is to be cancelled
)

// storeAs finds an optional ability of a store, through any wrappers that have Unwrap() Store.
func As[T any](s Store) (ability T, ok bool) {
	for s != nil {
		if ability, ok = s.(T); ok {
			return ability, true
		}
		wrapper, wraps := s.(interface{ Unwrap() Store })
		if !wraps {
			break
		}
		s = wrapper.Unwrap()
	}
	return ability, false
}

// isLocal reports whether a store lives in this process.
func IsLocal(s Store) bool {
	local, ok := As[LocalStore](s)
	return ok && local.Local()
}

// NeverBlocks reports whether no call of s can block, so that none needs a deadline: s itself is a [LocalStore]. A store that
// wraps one may block.
func NeverBlocks(s Store) bool {
	local, ok := s.(LocalStore)
	return ok && local.Local()
}
