package engine

import (
	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/param"
	"github.com/provost-go/provost/store"
)

// served is a deployment as a runner executes it.
type Deployment struct {
	Record  *store.DeploymentRecord // dropped after registration
	ID      uuid.UUID
	Name    string
	Version string
	Flow    *Flow
	Schema  *param.Schema // nil: parameters are not validated
	Derived bool          // the schema is that of the flow's parameter type
	Secrets *param.Schema // nil: there are none
	OnStart bool
	Once    bool // AtMostOnce
	Limited bool // its runs need a slot of a limit

	Isolated bool // its runs have processes of their own
	Path     string
	Env      map[string]string

	Retention store.Retention
}
