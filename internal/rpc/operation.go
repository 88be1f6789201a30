package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/wire"
	"github.com/provost-go/provost/store"
)

// operation decodes the parameters of one operation of the store and executes it.
type operation func(ctx context.Context, st store.Store, params []byte) (result any, err error)

// execute executes the operation. It turns a panic into an error: a request of another process must
// not end this one.
func (o operation) execute(ctx context.Context, st store.Store, params []byte) (result any, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic in the store: %v\n\n%s", v, debug.Stack())
		}
	}()
	return o(ctx, st, params)
}

// operations has every operation of [store.Store] under its name, by which Client calls it.
var operations = map[string]operation{
	"RegisterDeployments": withResult(store.Store.RegisterDeployments),
	"GetDeployment":       withResult(store.Store.GetDeployment),
	"ListDeployments":     withResult(store.Store.ListDeployments),
	"DeleteDeployment":    withoutResult(store.Store.DeleteDeployment),
	"SetPause":            withResult(store.Store.SetPause),
	"ListFlows":           withResult(store.Store.ListFlows),
	"RegisterRunner":      withResult(store.Store.RegisterRunner),
	"HeartbeatRunner":     withoutResult(store.Store.HeartbeatRunner),
	"RemoveRunner":        withoutResult(store.Store.RemoveRunner),
	"ListRunners":         withResult(listRunners),
	"DueSchedules":        withResult(store.Store.DueSchedules),
	"PlanRuns":            withErrors(store.Store.PlanRuns),
	"ListSkips":           withResult(store.Store.ListSkips),
	"CreateRun":           withResult(store.Store.CreateRun),
	"BackfillRuns":        withResult(store.Store.BackfillRuns),
	"ClaimRuns":           withResult(store.Store.ClaimRuns),
	"RenewLeases":         withResult(store.Store.RenewLeases),
	"SettleRuns":          withErrors(store.Store.SettleRuns),
	"ReapLeases":          withResult(store.Store.ReapLeases),
	"CancelRun":           withResult(store.Store.CancelRun),
	"RetryRun":            withResult(store.Store.RetryRun),
	"GetRun":              withResult(store.Store.GetRun),
	"ListRuns":            withResult(store.Store.ListRuns),
	"CountRuns":           withResult(store.Store.CountRuns),
	"DeleteRun":           withoutResult(store.Store.DeleteRun),
	"PruneRuns":           withResult(store.Store.PruneRuns),
	"AppendLogs":          withErrors(store.Store.AppendLogs),
	"ListLogs":            withResult(listLogs),
}

// withResult returns the operation for a method that returns a result.
func withResult[P, R any](method func(store.Store, context.Context, P) (R, error)) operation {
	return func(ctx context.Context, st store.Store, params []byte) (any, error) {
		var p P
		if err := wire.Read(params, &p); err != nil {
			return nil, fmt.Errorf("decode the parameters of a store operation: %w", err)
		}
		return method(st, ctx, p)
	}
}

// withoutResult returns the operation for a method that returns nothing but an error.
func withoutResult[P any](method func(store.Store, context.Context, P) error) operation {
	return withResult(func(st store.Store, ctx context.Context, p P) (struct{}, error) {
		return struct{}{}, method(st, ctx, p)
	})
}

// withErrors returns the operation for a method that returns an error for each of its items.
func withErrors[P any](method func(store.Store, context.Context, P) ([]error, error)) operation {
	return withResult(func(st store.Store, ctx context.Context, p P) ([]*wireError, error) {
		errs, err := method(st, ctx, p)
		return packErrors(errs), err
	})
}

func listRunners(st store.Store, ctx context.Context, _ struct{}) ([]store.RunnerRecord, error) {
	return st.ListRunners(ctx)
}

// logFilter is a [store.LogFilter] whose level can be encoded: a slog.Leveler can be of any type.
type logFilter struct {
	RunID    uuid.UUID
	After    int64
	MinLevel *slog.Level
	Limit    int
}

func listLogs(st store.Store, ctx context.Context, f logFilter) (store.LogPage, error) {
	filter := store.LogFilter{RunID: f.RunID, After: f.After, Limit: f.Limit}
	if f.MinLevel != nil {
		filter.MinLevel = *f.MinLevel
	}
	return st.ListLogs(ctx, filter)
}
