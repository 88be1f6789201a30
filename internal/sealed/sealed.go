// Package sealed lets the code that encodes parameters reach the value inside a params.Secret,
// which the methods of that type show to nobody. Package params sets the variables when it is
// initialized.
package sealed

import "reflect"

var (
	// Is reports whether t is a params.Secret, not a type that embeds one.
	Is func(t reflect.Type) bool

	// Open returns the value inside a *params.Secret, of the type that it was declared with.
	Open func(secret any) reflect.Value

	// Seal puts an addressable value into a *params.Secret of its type.
	Seal func(secret any, value reflect.Value)
)
