package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/store"
)

// register makes the deployments and the runner known, and returns the deployments that nobody
// served before.
func (e *Engine) register(ctx context.Context) (unserved []uuid.UUID, err error) {
	deployments := e.config.Deployments
	records := make([]*store.DeploymentRecord, len(deployments))
	for i, d := range deployments {
		records[i] = d.Record
	}
	now := instant.Of(e.now())
	callCtx, cancel := e.call(ctx)
	defer cancel()
	registrations, err := e.store.RegisterDeployments(callCtx, store.RegisterDeploymentsParams{Now: now, Runner: e.heart.id, Deployments: records})
	if err != nil {
		return nil, fmt.Errorf("register deployments: %w", err)
	}
	for i, registration := range registrations {
		e.announce(i, records[i], registration)
	}
	if unserved, err = e.heart.register(callCtx, now); err != nil {
		e.heart.leave(ctx, false) // the runner may be registered
		return nil, err
	}
	if e.config.Prune {
		if err := e.pruneDeployments(ctx); err != nil {
			e.heart.leave(ctx, false)
			return nil, fmt.Errorf("prune deployments: %w", err)
		}
	}
	for _, d := range deployments {
		d.Record = nil // the store has it, and 100,000 of them are worth forgetting
	}
	e.config.Deployments = nil
	return unserved, nil
}

// maxAnnounced bounds the lines that say at the start what is served.
const maxAnnounced = 20

// announce logs what is served, and warns where it replaces what another live runner declares.
func (e *Engine) announce(i int, record *store.DeploymentRecord, r store.Registration) {
	if r.Change == store.ChangeUpdated && len(r.ServedBy) > 0 {
		e.log.Warn("deployment replaced while another runner serves it with another declaration; the last to start wins",
			"deployment", record.Handle(), "fields", r.Previous.Diff(record), "served_by", r.ServedBy)
	}
	switch {
	case i < maxAnnounced:
		e.log.Info("serving", servingAttrs(record, e.now())...)
	case i == maxAnnounced:
		e.log.Info("serving more deployments", "total", len(e.deployments))
	}
}

func servingAttrs(record *store.DeploymentRecord, now time.Time) []any {
	attrs := []any{"deployment", record.Handle()}
	var next time.Time
	var words []string
	for _, s := range record.Schedules {
		words = append(words, s.Schedule.String())
		if at, ok := s.Schedule.Next(now); ok {
			next = instant.Earlier(next, at)
		}
	}
	switch {
	case len(words) == 0:
		attrs = append(attrs, "schedule", "none: runs are made by hand")
	case len(words) == 1:
		attrs = append(attrs, "schedule", words[0])
	default:
		attrs = append(attrs, "schedules", words)
	}
	if record.Pause.Declared {
		attrs = append(attrs, "paused", true)
	}
	if !next.IsZero() {
		attrs = append(attrs, "next", next.Local().Format(time.RFC3339))
	}
	return attrs
}

// pruneDeployments deletes deployments of the served flows that are not served, here or elsewhere.
func (e *Engine) pruneDeployments(ctx context.Context) error {
	for _, name := range flowNames(e.config.Deployments) {
		for record, err := range store.Pages(ctx, func(ctx context.Context, cursor string) (store.Page[*store.DeploymentRecord], error) {
			callCtx, cancel := e.call(ctx)
			defer cancel()
			return e.store.ListDeployments(callCtx, store.DeploymentFilter{Flow: name, Cursor: cursor})
		}) {
			if err != nil {
				return err
			}
			if e.deployments[record.ID] != nil || record.ServedAt(e.now()) || record.WorkPool != "" {
				continue
			}
			callCtx, cancel := e.call(ctx)
			err := e.store.DeleteDeployment(callCtx, store.DeleteDeploymentParams{Now: instant.Of(e.now()), ID: record.ID})
			cancel()
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			e.log.Info("deployment pruned", "deployment", record.Handle())
		}
	}
	return nil
}

// flowNames returns the names of the flows of deployments, each once.
func flowNames(deployments []*Deployment) []string {
	var all []string
	for _, d := range deployments {
		all = append(all, d.Flow.Name)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
