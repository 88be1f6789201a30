package engine

import (
	"slices"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/store"
)

// skipReporter reports instants that became no run to the log and to the observer.
type skipReporter struct {
	*Access
	deployments map[uuid.UUID]*Deployment
}

// report reports a range of instants. A pause is what somebody asked for, and not worth a line in
// the log.
func (s *skipReporter) report(message string, skip store.Skip) {
	s.events.skipped(s.now(), s.deployments[skip.DeploymentID], skip)
	if skip.Reason != store.SkipPaused {
		s.log.Warn(message, "deployment", skip.DeploymentID, "schedule", skip.Schedule, "reason", skip.Reason,
			"count", skip.Count, "first", skip.First, "last", skip.Last)
	}
}

// reportRuns reports the runs that a claim decided against, schedule by schedule: there may be
// many.
func (s *skipReporter) reportRuns(runs []store.SkippedRun) {
	var skips []store.Skip
	for _, run := range runs {
		at := slices.IndexFunc(skips, func(skip store.Skip) bool {
			return skip.DeploymentID == run.DeploymentID && skip.Schedule == run.Schedule && skip.Reason == run.Reason
		})
		if at < 0 {
			at = len(skips)
			skips = append(skips, store.Skip{
				DeploymentID: run.DeploymentID, Schedule: run.Schedule, Reason: run.Reason, First: run.ScheduledTime, Last: run.ScheduledTime,
			})
		}
		skip := &skips[at]
		skip.Count++
		skip.First, skip.Last = instant.Earliest(skip.First, run.ScheduledTime), instant.Latest(skip.Last, run.ScheduledTime)
	}
	for _, skip := range skips {
		s.report("runs skipped", skip)
	}
}
