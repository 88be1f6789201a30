package rpc

import (
	"context"
	"io"

	"github.com/google/uuid"

	"github.com/provost-go/provost/store"
)

// Client is a [store.Store] whose operations another process executes. It is safe for concurrent
// use.
type Client struct{ calls *Calls }

var _ store.Store = (*Client)(nil)

// NewClient returns a Client that makes its calls through calls.
func NewClient(calls *Calls) *Client { return &Client{calls} }

// Connect returns a store whose operations another process executes, with Serve. The caller must
// call run in a goroutine. run returns when the stream or ctx has ended; after that every operation
// fails. run returns nil if the other end closed the stream between two messages.
func Connect(stream io.ReadWriteCloser) (client *Client, run func(ctx context.Context) error) {
	conn := NewConn(stream)
	calls := NewCalls(func(ctx context.Context, call Call) error { return conn.Send(ctx, KindCall, call) })
	return NewClient(calls), func(ctx context.Context) error {
		err := conn.Run(ctx, func(kind Kind, body []byte) error {
			a, err := ReadMessage[Answer](kind, KindAnswer, body)
			if err == nil {
				calls.Answer(a)
			}
			return err
		})
		if err == nil {
			calls.Fail(io.EOF)
		} else {
			calls.Fail(err)
		}
		return err
	}
}

// call calls an operation that returns a result.
func call[R any](ctx context.Context, c *Client, method string, params any) (result R, err error) {
	if err = c.calls.call(ctx, method, params, &result); err != nil {
		var none R
		return none, err
	}
	return result, nil
}

// exec calls an operation that returns nothing but an error.
func (c *Client) exec(ctx context.Context, method string, params any) error {
	_, err := call[struct{}](ctx, c, method, params)
	return err
}

// callEach calls an operation that returns an error for each of its items.
func (c *Client) callEach(ctx context.Context, method string, params any) (errs []error, err error) {
	packed, err := call[[]*wireError](ctx, c, method, params)
	return unpackErrors(packed), err
}

// RegisterDeployments implements [store.DeploymentStore].
func (c *Client) RegisterDeployments(ctx context.Context, p store.RegisterDeploymentsParams) ([]store.Registration, error) {
	return call[[]store.Registration](ctx, c, "RegisterDeployments", p)
}

// GetDeployment implements [store.DeploymentStore].
func (c *Client) GetDeployment(ctx context.Context, id uuid.UUID) (*store.DeploymentRecord, error) {
	return call[*store.DeploymentRecord](ctx, c, "GetDeployment", id)
}

// ListDeployments implements [store.DeploymentStore].
func (c *Client) ListDeployments(ctx context.Context, f store.DeploymentFilter) (store.Page[*store.DeploymentRecord], error) {
	return call[store.Page[*store.DeploymentRecord]](ctx, c, "ListDeployments", f)
}

// DeleteDeployment implements [store.DeploymentStore].
func (c *Client) DeleteDeployment(ctx context.Context, p store.DeleteDeploymentParams) error {
	return c.exec(ctx, "DeleteDeployment", p)
}

// SetPause implements [store.DeploymentStore].
func (c *Client) SetPause(ctx context.Context, p store.SetPauseParams) (*store.DeploymentRecord, error) {
	return call[*store.DeploymentRecord](ctx, c, "SetPause", p)
}

// ListFlows implements [store.DeploymentStore].
func (c *Client) ListFlows(ctx context.Context, f store.FlowFilter) (store.Page[*store.FlowRecord], error) {
	return call[store.Page[*store.FlowRecord]](ctx, c, "ListFlows", f)
}

// RegisterRunner implements [store.RunnerStore].
func (c *Client) RegisterRunner(ctx context.Context, p store.RegisterRunnerParams) ([]uuid.UUID, error) {
	return call[[]uuid.UUID](ctx, c, "RegisterRunner", p)
}

// HeartbeatRunner implements [store.RunnerStore].
func (c *Client) HeartbeatRunner(ctx context.Context, p store.HeartbeatRunnerParams) error {
	return c.exec(ctx, "HeartbeatRunner", p)
}

// RemoveRunner implements [store.RunnerStore].
func (c *Client) RemoveRunner(ctx context.Context, p store.RemoveRunnerParams) error {
	return c.exec(ctx, "RemoveRunner", p)
}

// ListRunners implements [store.RunnerStore].
func (c *Client) ListRunners(ctx context.Context) ([]store.RunnerRecord, error) {
	return call[[]store.RunnerRecord](ctx, c, "ListRunners", struct{}{})
}

// DueSchedules implements [store.PlanStore].
func (c *Client) DueSchedules(ctx context.Context, p store.DueSchedulesParams) (store.DueSchedulesResult, error) {
	return call[store.DueSchedulesResult](ctx, c, "DueSchedules", p)
}

// PlanRuns implements [store.PlanStore].
func (c *Client) PlanRuns(ctx context.Context, p store.PlanRunsParams) (errs []error, err error) {
	return c.callEach(ctx, "PlanRuns", p)
}

// ListSkips implements [store.PlanStore].
func (c *Client) ListSkips(ctx context.Context, f store.SkipFilter) (store.Page[store.Skip], error) {
	return call[store.Page[store.Skip]](ctx, c, "ListSkips", f)
}

// CreateRun implements [store.RunStore].
func (c *Client) CreateRun(ctx context.Context, p store.CreateRunParams) (*store.Run, error) {
	return call[*store.Run](ctx, c, "CreateRun", p)
}

// BackfillRuns implements [store.RunStore].
func (c *Client) BackfillRuns(ctx context.Context, p store.BackfillRunsParams) ([]*store.Run, error) {
	return call[[]*store.Run](ctx, c, "BackfillRuns", p)
}

// ClaimRuns implements [store.RunStore].
func (c *Client) ClaimRuns(ctx context.Context, p store.ClaimRunsParams) (store.ClaimRunsResult, error) {
	return call[store.ClaimRunsResult](ctx, c, "ClaimRuns", p)
}

// RenewLeases implements [store.RunStore].
func (c *Client) RenewLeases(ctx context.Context, p store.RenewLeasesParams) (store.RenewLeasesResult, error) {
	return call[store.RenewLeasesResult](ctx, c, "RenewLeases", p)
}

// SettleRuns implements [store.RunStore].
func (c *Client) SettleRuns(ctx context.Context, p store.SettleRunsParams) (errs []error, err error) {
	return c.callEach(ctx, "SettleRuns", p)
}

// ReapLeases implements [store.RunStore].
func (c *Client) ReapLeases(ctx context.Context, p store.ReapLeasesParams) (store.ReapLeasesResult, error) {
	return call[store.ReapLeasesResult](ctx, c, "ReapLeases", p)
}

// CancelRun implements [store.RunStore].
func (c *Client) CancelRun(ctx context.Context, p store.CancelRunParams) (*store.Run, error) {
	return call[*store.Run](ctx, c, "CancelRun", p)
}

// RetryRun implements [store.RunStore].
func (c *Client) RetryRun(ctx context.Context, p store.RetryRunParams) (*store.Run, error) {
	return call[*store.Run](ctx, c, "RetryRun", p)
}

// GetRun implements [store.RunStore].
func (c *Client) GetRun(ctx context.Context, id uuid.UUID) (*store.Run, error) {
	return call[*store.Run](ctx, c, "GetRun", id)
}

// ListRuns implements [store.RunStore].
func (c *Client) ListRuns(ctx context.Context, f store.RunFilter) (store.Page[*store.Run], error) {
	return call[store.Page[*store.Run]](ctx, c, "ListRuns", f)
}

// CountRuns implements [store.RunStore].
func (c *Client) CountRuns(ctx context.Context, f store.RunFilter) (int, error) {
	return call[int](ctx, c, "CountRuns", f)
}

// DeleteRun implements [store.RunStore].
func (c *Client) DeleteRun(ctx context.Context, id uuid.UUID) error {
	return c.exec(ctx, "DeleteRun", id)
}

// PruneRuns implements [store.RunStore].
func (c *Client) PruneRuns(ctx context.Context, p store.PruneRunsParams) (int, error) {
	return call[int](ctx, c, "PruneRuns", p)
}

// AppendLogs implements [store.LogStore].
func (c *Client) AppendLogs(ctx context.Context, p store.AppendLogsParams) (errs []error, err error) {
	return c.callEach(ctx, "AppendLogs", p)
}

// ListLogs implements [store.LogStore].
func (c *Client) ListLogs(ctx context.Context, f store.LogFilter) (store.LogPage, error) {
	filter := logFilter{RunID: f.RunID, After: f.After, Limit: f.Limit}
	if f.MinLevel != nil {
		filter.MinLevel = new(f.MinLevel.Level())
	}
	return call[store.LogPage](ctx, c, "ListLogs", filter)
}
