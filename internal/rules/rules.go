// Package rules holds what the memory store and the SQL stores refuse alike, so that they do it
// by the same rules and in the same words. Its functions judge what they are given: they read no
// store and change nothing.
package rules

import (
	"fmt"

	"github.com/google/uuid"

	"github.com/provost-go/provost/store"
)

// LimitGroups returns a deployment of each shared limit that is declared, by LimitGroup. It returns
// an error that wraps [store.ErrConflict] if two of the deployments give one limit different sizes.
func LimitGroups(declared []*store.DeploymentRecord) (map[string]*store.DeploymentRecord, error) {
	groups := make(map[string]*store.DeploymentRecord)
	for _, r := range declared {
		if r.LimitGroup == "" {
			continue
		}
		if other := groups[r.LimitGroup]; other != nil && other.ConcurrencyLimit != r.ConcurrencyLimit {
			return nil, LimitConflict(r, other)
		}
		groups[r.LimitGroup] = r
	}
	return groups, nil
}

// LimitConflict returns the error about a deployment whose shared limit has another size than the
// one that other declares.
func LimitConflict(r, other *store.DeploymentRecord) error {
	return fmt.Errorf("%w: deployment %s: LimitGroup %q has size %d, but %s declares %d; give both the same ConcurrencyLimit",
		store.ErrConflict, r.Handle(), r.LimitGroup, r.ConcurrencyLimit, other.Handle(), other.ConcurrencyLimit)
}

// Retry returns an error that wraps [store.ErrConflict] if a run in a state cannot be retried.
func Retry(id uuid.UUID, state store.StateType, child, deploymentDeleted bool) error {
	switch {
	case child:
		return fmt.Errorf("%w: run %s is a child run; retry its parent", store.ErrConflict, id)
	case deploymentDeleted:
		return fmt.Errorf("%w: the deployment of run %s is deleted", store.ErrConflict, id)
	case !state.Terminal() || state == store.StateCompleted:
		return fmt.Errorf("%w: run %s is %s; only a failed, crashed or cancelled run can be retried", store.ErrConflict, id, state)
	}
	return nil
}

// Update returns an error that wraps [store.ErrConflict] if an update does not fit the state of its
// run, which has not finished.
func Update(u *store.RunUpdate, state store.StateType, child bool) error {
	next := u.State.Type
	if state == store.StatePending && !u.StartTime.IsZero() {
		state = store.StateRunning
	}
	switch {
	case next == store.StateScheduled && child:
		return fmt.Errorf("%w: child run %s cannot be given back", store.ErrConflict, u.RunID)
	case next == "", state == store.StateCancelling && GivesUp(next):
		return nil
	case !state.CanBecome(next):
		return fmt.Errorf("%w: run %s in state %s cannot become %s", store.ErrConflict, u.RunID, state, next)
	}
	return nil
}

// GivesUp reports whether a state says that the attempt came to nothing: a run in CANCELLING is
// CANCELLED by that.
func GivesUp(next store.StateType) bool {
	return next == store.StateScheduled || next == store.StateCrashed
}
