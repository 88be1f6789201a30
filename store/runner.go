package store

import (
	"time"

	"github.com/google/uuid"
)

// RunnerRecord is a runner as stores and clients know it. It round-trips JSON.
type RunnerRecord struct {
	ID          uuid.UUID `json:"id"`
	Name        string    `json:"name"`
	Version     string    `json:"version,omitempty"`
	Started     time.Time `json:"started"`
	SeenAt      time.Time `json:"seen_at"` // newest heartbeat
	Until       time.Time `json:"until"`   // end of its lease
	Deployments int       `json:"deployments"`
}

// RegisterRunnerParams holds the parameters of [RunnerStore].RegisterRunner.
type RegisterRunnerParams struct {
	Now         time.Time
	Runner      RunnerRecord
	Deployments []uuid.UUID // replace what the runner served before
}

// HeartbeatRunnerParams holds the parameters of [RunnerStore].HeartbeatRunner.
type HeartbeatRunnerParams struct {
	Now    time.Time // when the runner was alive
	Runner uuid.UUID
	Until  time.Time // end of its lease
}

// RemoveRunnerParams holds the parameters of [RunnerStore].RemoveRunner.
type RemoveRunnerParams struct {
	Now    time.Time
	Runner uuid.UUID
	Pause  bool // set the shutdown mark of deployments that nobody else serves
}
