package rpc

import (
	"context"

	"github.com/google/uuid"

	"github.com/provost-go/provost/store"
)

// wireStore is a Store whose operations another process carries out.
type Client struct{ calls *Calls }

func NewClient(calls *Calls) *Client { return &Client{calls} }

var _ store.Store = (*Client)(nil)

// ask calls an operation that has a result.
func call[R any](ctx context.Context, w *Client, method string, params any) (result R, err error) {
	if err = w.calls.call(ctx, method, params, &result); err != nil {
		var none R
		return none, err
	}
	return result, nil
}

// tell calls an operation that has none.
func (w *Client) tell(ctx context.Context, method string, params any) error {
	_, err := call[struct{}](ctx, w, method, params)
	return err
}

// judge calls an operation that judges each of its items.
func (w *Client) judge(ctx context.Context, method string, params any) (errs []error, err error) {
	packed, err := call[[]*wireError](ctx, w, method, params)
	return unpackErrors(packed), err
}

// RegisterDeployments implements [DeploymentStore].
func (w *Client) RegisterDeployments(ctx context.Context, p store.RegisterDeploymentsParams) ([]store.Registration, error) {
	return call[[]store.Registration](ctx, w, "RegisterDeployments", p)
}

// GetDeployment implements [DeploymentStore].
func (w *Client) GetDeployment(ctx context.Context, id uuid.UUID) (*store.DeploymentRecord, error) {
	return call[*store.DeploymentRecord](ctx, w, "GetDeployment", id)
}

// ListDeployments implements [DeploymentStore].
func (w *Client) ListDeployments(ctx context.Context, f store.DeploymentFilter) (store.Page[*store.DeploymentRecord], error) {
	return call[store.Page[*store.DeploymentRecord]](ctx, w, "ListDeployments", f)
}

// DeleteDeployment implements [DeploymentStore].
func (w *Client) DeleteDeployment(ctx context.Context, p store.DeleteDeploymentParams) error {
	return w.tell(ctx, "DeleteDeployment", p)
}

// SetPause implements [DeploymentStore].
func (w *Client) SetPause(ctx context.Context, p store.SetPauseParams) (*store.DeploymentRecord, error) {
	return call[*store.DeploymentRecord](ctx, w, "SetPause", p)
}

// ListFlows implements [DeploymentStore].
func (w *Client) ListFlows(ctx context.Context, f store.FlowFilter) (store.Page[*store.FlowRecord], error) {
	return call[store.Page[*store.FlowRecord]](ctx, w, "ListFlows", f)
}

// RegisterRunner implements [RunnerStore].
func (w *Client) RegisterRunner(ctx context.Context, p store.RegisterRunnerParams) ([]uuid.UUID, error) {
	return call[[]uuid.UUID](ctx, w, "RegisterRunner", p)
}

// HeartbeatRunner implements [RunnerStore].
func (w *Client) HeartbeatRunner(ctx context.Context, p store.HeartbeatRunnerParams) error {
	return w.tell(ctx, "HeartbeatRunner", p)
}

// RemoveRunner implements [RunnerStore].
func (w *Client) RemoveRunner(ctx context.Context, p store.RemoveRunnerParams) error {
	return w.tell(ctx, "RemoveRunner", p)
}

// ListRunners implements [RunnerStore].
func (w *Client) ListRunners(ctx context.Context) ([]store.RunnerRecord, error) {
	return call[[]store.RunnerRecord](ctx, w, "ListRunners", struct{}{})
}

// DueSchedules implements [PlanStore].
func (w *Client) DueSchedules(ctx context.Context, p store.DueSchedulesParams) (store.DueSchedulesResult, error) {
	return call[store.DueSchedulesResult](ctx, w, "DueSchedules", p)
}

// PlanRuns implements [PlanStore].
func (w *Client) PlanRuns(ctx context.Context, p store.PlanRunsParams) (errs []error, err error) {
	return w.judge(ctx, "PlanRuns", p)
}

// ListSkips implements [PlanStore].
func (w *Client) ListSkips(ctx context.Context, f store.SkipFilter) (store.Page[store.Skip], error) {
	return call[store.Page[store.Skip]](ctx, w, "ListSkips", f)
}

// CreateRun implements [RunStore].
func (w *Client) CreateRun(ctx context.Context, p store.CreateRunParams) (*store.Run, error) {
	return call[*store.Run](ctx, w, "CreateRun", p)
}

// BackfillRuns implements [RunStore].
func (w *Client) BackfillRuns(ctx context.Context, p store.BackfillRunsParams) ([]*store.Run, error) {
	return call[[]*store.Run](ctx, w, "BackfillRuns", p)
}

// ClaimRuns implements [RunStore].
func (w *Client) ClaimRuns(ctx context.Context, p store.ClaimRunsParams) (store.ClaimRunsResult, error) {
	return call[store.ClaimRunsResult](ctx, w, "ClaimRuns", p)
}

// RenewLeases implements [RunStore].
func (w *Client) RenewLeases(ctx context.Context, p store.RenewLeasesParams) (store.RenewLeasesResult, error) {
	return call[store.RenewLeasesResult](ctx, w, "RenewLeases", p)
}

// SettleRuns implements [RunStore].
func (w *Client) SettleRuns(ctx context.Context, p store.SettleRunsParams) (errs []error, err error) {
	return w.judge(ctx, "SettleRuns", p)
}

// ReapLeases implements [RunStore].
func (w *Client) ReapLeases(ctx context.Context, p store.ReapLeasesParams) (store.ReapLeasesResult, error) {
	return call[store.ReapLeasesResult](ctx, w, "ReapLeases", p)
}

// CancelRun implements [RunStore].
func (w *Client) CancelRun(ctx context.Context, p store.CancelRunParams) (*store.Run, error) {
	return call[*store.Run](ctx, w, "CancelRun", p)
}

// RetryRun implements [RunStore].
func (w *Client) RetryRun(ctx context.Context, p store.RetryRunParams) (*store.Run, error) {
	return call[*store.Run](ctx, w, "RetryRun", p)
}

// GetRun implements [RunStore].
func (w *Client) GetRun(ctx context.Context, id uuid.UUID) (*store.Run, error) {
	return call[*store.Run](ctx, w, "GetRun", id)
}

// ListRuns implements [RunStore].
func (w *Client) ListRuns(ctx context.Context, f store.RunFilter) (store.Page[*store.Run], error) {
	return call[store.Page[*store.Run]](ctx, w, "ListRuns", f)
}

// CountRuns implements [RunStore].
func (w *Client) CountRuns(ctx context.Context, f store.RunFilter) (int, error) {
	return call[int](ctx, w, "CountRuns", f)
}

// DeleteRun implements [RunStore].
func (w *Client) DeleteRun(ctx context.Context, id uuid.UUID) error {
	return w.tell(ctx, "DeleteRun", id)
}

// PruneRuns implements [RunStore].
func (w *Client) PruneRuns(ctx context.Context, p store.PruneRunsParams) (int, error) {
	return call[int](ctx, w, "PruneRuns", p)
}

// AppendLogs implements [LogStore].
func (w *Client) AppendLogs(ctx context.Context, p store.AppendLogsParams) (errs []error, err error) {
	return w.judge(ctx, "AppendLogs", p)
}

// ListLogs implements [LogStore].
func (w *Client) ListLogs(ctx context.Context, f store.LogFilter) (store.LogPage, error) {
	filter := wireLogFilter{RunID: f.RunID, After: f.After, Limit: f.Limit}
	if f.MinLevel != nil {
		filter.MinLevel = new(f.MinLevel.Level())
	}
	return call[store.LogPage](ctx, w, "ListLogs", filter)
}
