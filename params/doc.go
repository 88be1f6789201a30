// Package params holds the parameters of runs: [Params], the map in which every other package passes them on, [Secret] for
// values that must not be read, and [Error] for values that do not fit. Programs use them under their names in package
// provost: provost.Params, provost.Secret and provost.ParamError.
package params
