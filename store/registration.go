package store

import (
	"time"

	"github.com/google/uuid"
)

// RegisterDeploymentsParams holds the parameters of [DeploymentStore].RegisterDeployments. Of each
// record only the declared part counts.
type RegisterDeploymentsParams struct {
	Now         time.Time
	Runner      uuid.UUID // the runner that is about to serve them; Nil for Client.Deploy
	Deployments []*DeploymentRecord
}

// Registration is what became of one declaration.
type Registration struct {
	ID         uuid.UUID
	Generation int64
	Change     Change
	Previous   *DeploymentRecord // the declaration that was replaced; nil unless Change is ChangeUpdated
	ServedBy   []string          // names of the other live runners that serve the deployment
}

// Change is what a registration did to the stored declaration.
type Change string

// The changes that a registration makes.
const (
	ChangeNone    Change = "unchanged"
	ChangeCreated Change = "created"
	ChangeUpdated Change = "updated"
)

// DeleteDeploymentParams holds the parameters of [DeploymentStore].DeleteDeployment.
type DeleteDeploymentParams struct {
	Now time.Time
	ID  uuid.UUID
}
