package provost

import "github.com/provost-go/provost/params"

// Params are the parameters of a run by name; see [params.Params].
type Params = params.Params

// ParamError reports a parameter that was refused: Path names it, Reason says why and how to fix
// it. See [params.Error].
type ParamError = params.Error

// Secret is a value that shows itself to nobody but its flow; see [params.Secret].
type Secret[T any] = params.Secret[T]

// NewSecret returns a Secret that holds value.
func NewSecret[T any](value T) Secret[T] { return params.NewSecret(value) }
