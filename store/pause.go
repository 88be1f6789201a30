package store

import (
	"time"

	"github.com/google/uuid"
)

// Pause holds the marks that keep schedules from firing. Runs made by hand are never paused.
type Pause struct {
	Declared bool  `json:"declared,omitempty"` // Deployment.Paused or Schedule.Paused
	Operator *bool `json:"operator,omitempty"` // overrides Declared until that changes or the operator clears it
	Shutdown bool  `json:"shutdown,omitempty"` // set by Runner.PauseOnShutdown, cleared by the next Serve
}

// Effective reports whether the marks together mean a pause: Shutdown pauses; otherwise Operator
// decides if it is set, else Declared.
func (p Pause) Effective() bool {
	if p.Shutdown {
		return true
	}
	if p.Operator != nil {
		return *p.Operator
	}
	return p.Declared
}

// Redeclare returns the marks after a new declaration. If the declared value changes, the
// operator's mark lapses.
func (p Pause) Redeclare(declared bool) Pause {
	if p.Declared != declared {
		p.Operator = nil
	}
	p.Declared = declared
	return p
}

// SetPauseParams holds the parameters of [DeploymentStore].SetPause.
type SetPauseParams struct {
	Now          time.Time
	DeploymentID uuid.UUID
	Schedule     string // key; "" for the whole deployment
	Operator     *bool  // nil clears the mark, so that the declared value counts
}
