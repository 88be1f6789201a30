// Package params contains the types for the parameters of runs: [Params], the map in which all
// packages pass them, [Secret], for values that must not be shown, and [Error], for values that are
// refused. Programs use them through package provost, as provost.Params, provost.Secret and
// provost.ParamError.
package params
