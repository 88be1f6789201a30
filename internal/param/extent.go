package param

import (
	"github.com/provost-go/provost/internal/jsonschema"
)

// extent tracks the size and the nesting depth of a value that is being read, against the limits of
// parameters.
type extent struct{ size, depth int }

func (x *extent) enter() bool {
	x.depth++
	x.size += len("{}")
	return x.depth <= jsonschema.MaxDepth
}

func (x *extent) leave() { x.depth-- }

func (x *extent) spend(n int) bool {
	x.size += n + len(",")
	return x.size <= jsonschema.MaxValue
}

// spendText is spend for a text, which may be a key.
func (x *extent) spendText(s string) bool {
	n, ok := jsonschema.TextSize(s)
	return ok && x.spend(n+len(":"))
}
