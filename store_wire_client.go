package provost

import (
	"context"

	"github.com/google/uuid"
)

// wireStore is a Store whose operations another process carries out.
type wireStore struct{ calls *storeCalls }

func newWireStore(calls *storeCalls) *wireStore { return &wireStore{calls} }

var _ Store = (*wireStore)(nil)

// ask calls an operation that has a result.
func ask[R any](ctx context.Context, w *wireStore, method string, params any) (result R, err error) {
	if err = w.calls.call(ctx, method, params, &result); err != nil {
		var none R
		return none, err
	}
	return result, nil
}

// tell calls an operation that has none.
func (w *wireStore) tell(ctx context.Context, method string, params any) error {
	_, err := ask[struct{}](ctx, w, method, params)
	return err
}

// judge calls an operation that judges each of its items.
func (w *wireStore) judge(ctx context.Context, method string, params any) (errs []error, err error) {
	packed, err := ask[[]*wireError](ctx, w, method, params)
	return unpackErrors(packed), err
}

// RegisterDeployments implements [DeploymentStore].
func (w *wireStore) RegisterDeployments(ctx context.Context, p RegisterDeploymentsParams) ([]Registration, error) {
	return ask[[]Registration](ctx, w, "RegisterDeployments", p)
}

// GetDeployment implements [DeploymentStore].
func (w *wireStore) GetDeployment(ctx context.Context, id uuid.UUID) (*DeploymentRecord, error) {
	return ask[*DeploymentRecord](ctx, w, "GetDeployment", id)
}

// ListDeployments implements [DeploymentStore].
func (w *wireStore) ListDeployments(ctx context.Context, f DeploymentFilter) (Page[*DeploymentRecord], error) {
	return ask[Page[*DeploymentRecord]](ctx, w, "ListDeployments", f)
}

// DeleteDeployment implements [DeploymentStore].
func (w *wireStore) DeleteDeployment(ctx context.Context, p DeleteDeploymentParams) error {
	return w.tell(ctx, "DeleteDeployment", p)
}

// SetPause implements [DeploymentStore].
func (w *wireStore) SetPause(ctx context.Context, p SetPauseParams) (*DeploymentRecord, error) {
	return ask[*DeploymentRecord](ctx, w, "SetPause", p)
}

// ListFlows implements [DeploymentStore].
func (w *wireStore) ListFlows(ctx context.Context, f FlowFilter) (Page[*FlowRecord], error) {
	return ask[Page[*FlowRecord]](ctx, w, "ListFlows", f)
}

// RegisterRunner implements [RunnerStore].
func (w *wireStore) RegisterRunner(ctx context.Context, p RegisterRunnerParams) ([]uuid.UUID, error) {
	return ask[[]uuid.UUID](ctx, w, "RegisterRunner", p)
}

// HeartbeatRunner implements [RunnerStore].
func (w *wireStore) HeartbeatRunner(ctx context.Context, p HeartbeatParams) error {
	return w.tell(ctx, "HeartbeatRunner", p)
}

// RemoveRunner implements [RunnerStore].
func (w *wireStore) RemoveRunner(ctx context.Context, p RemoveRunnerParams) error {
	return w.tell(ctx, "RemoveRunner", p)
}

// ListRunners implements [RunnerStore].
func (w *wireStore) ListRunners(ctx context.Context) ([]RunnerRecord, error) {
	return ask[[]RunnerRecord](ctx, w, "ListRunners", struct{}{})
}

// DueSchedules implements [PlanStore].
func (w *wireStore) DueSchedules(ctx context.Context, p DueSchedulesParams) (DueSchedules, error) {
	return ask[DueSchedules](ctx, w, "DueSchedules", p)
}

// PlanRuns implements [PlanStore].
func (w *wireStore) PlanRuns(ctx context.Context, p PlanRunsParams) (errs []error, err error) {
	return w.judge(ctx, "PlanRuns", p)
}

// ListSkips implements [PlanStore].
func (w *wireStore) ListSkips(ctx context.Context, f SkipFilter) (Page[Skip], error) {
	return ask[Page[Skip]](ctx, w, "ListSkips", f)
}

// CreateRun implements [RunStore].
func (w *wireStore) CreateRun(ctx context.Context, p CreateRunParams) (*Run, error) {
	return ask[*Run](ctx, w, "CreateRun", p)
}

// BackfillRuns implements [RunStore].
func (w *wireStore) BackfillRuns(ctx context.Context, p BackfillRunsParams) ([]*Run, error) {
	return ask[[]*Run](ctx, w, "BackfillRuns", p)
}

// ClaimRuns implements [RunStore].
func (w *wireStore) ClaimRuns(ctx context.Context, p ClaimRunsParams) (Claims, error) {
	return ask[Claims](ctx, w, "ClaimRuns", p)
}

// RenewLeases implements [RunStore].
func (w *wireStore) RenewLeases(ctx context.Context, p RenewLeasesParams) (Renewal, error) {
	return ask[Renewal](ctx, w, "RenewLeases", p)
}

// SettleRuns implements [RunStore].
func (w *wireStore) SettleRuns(ctx context.Context, p SettleRunsParams) (errs []error, err error) {
	return w.judge(ctx, "SettleRuns", p)
}

// ReapLeases implements [RunStore].
func (w *wireStore) ReapLeases(ctx context.Context, p ReapLeasesParams) (Reaped, error) {
	return ask[Reaped](ctx, w, "ReapLeases", p)
}

// CancelRun implements [RunStore].
func (w *wireStore) CancelRun(ctx context.Context, p CancelRunParams) (*Run, error) {
	return ask[*Run](ctx, w, "CancelRun", p)
}

// RetryRun implements [RunStore].
func (w *wireStore) RetryRun(ctx context.Context, p RetryRunParams) (*Run, error) {
	return ask[*Run](ctx, w, "RetryRun", p)
}

// GetRun implements [RunStore].
func (w *wireStore) GetRun(ctx context.Context, id uuid.UUID) (*Run, error) {
	return ask[*Run](ctx, w, "GetRun", id)
}

// ListRuns implements [RunStore].
func (w *wireStore) ListRuns(ctx context.Context, f RunFilter) (Page[*Run], error) {
	return ask[Page[*Run]](ctx, w, "ListRuns", f)
}

// CountRuns implements [RunStore].
func (w *wireStore) CountRuns(ctx context.Context, f RunFilter) (int, error) {
	return ask[int](ctx, w, "CountRuns", f)
}

// DeleteRun implements [RunStore].
func (w *wireStore) DeleteRun(ctx context.Context, id uuid.UUID) error {
	return w.tell(ctx, "DeleteRun", id)
}

// PruneRuns implements [RunStore].
func (w *wireStore) PruneRuns(ctx context.Context, p PruneRunsParams) (int, error) {
	return ask[int](ctx, w, "PruneRuns", p)
}

// AppendLogs implements [LogStore].
func (w *wireStore) AppendLogs(ctx context.Context, p AppendLogsParams) (errs []error, err error) {
	return w.judge(ctx, "AppendLogs", p)
}

// ListLogs implements [LogStore].
func (w *wireStore) ListLogs(ctx context.Context, f LogFilter) (LogPage, error) {
	filter := wireLogFilter{RunID: f.RunID, After: f.After, Limit: f.Limit}
	if f.MinLevel != nil {
		filter.MinLevel = new(f.MinLevel.Level())
	}
	return ask[LogPage](ctx, w, "ListLogs", filter)
}
