package provost

import (
	"time"

	"github.com/provost-go/provost/store"
)

// lateAfter is how long after its due time a run is late.
const lateAfter = 5 * time.Second

// overdue reports whether a run is due and not claimed.
func overdue(r *Run, now time.Time) bool {
	return r.State.Type == StateScheduled && !r.DueTime.After(now)
}

// waitReason is what a run of a deployment, nil if it is deleted, waits for. What the store says of limits comes in WaitReason.
func waitReason(r *Run, record *DeploymentRecord, now time.Time) string {
	switch {
	case record == nil || !overdue(r, now):
		return r.WaitReason
	case !record.ServedAt(now):
		return store.WaitUnserved
	case r.WaitReason == "" && r.State.Name == store.NameVersionMismatch:
		return store.WaitVersionMismatch
	case r.WaitReason == "" && now.Sub(r.DueTime) > lateAfter:
		return store.WaitLate
	}
	return r.WaitReason
}
