package jsonschema

// budget limits a walk over a value: the steps left, some tens of nanoseconds each, and the current
// depth.
type budget struct{ steps, depth int }

func (b *budget) spend(steps int) { b.steps -= steps }

func (b *budget) spent() bool { return b.steps <= 0 }

// enter steps into an array or object. It returns false if the value is nested deeper than MaxDepth
// or the budget is spent. It bounds the stack, because a Go value may contain itself.
func (b *budget) enter() bool {
	if b.depth++; b.depth > MaxDepth {
		b.steps = 0
	}
	return !b.spent()
}

func (b *budget) leave() { b.depth-- }

// outOfBudget is what broken returns once the budget is spent. The owner of the budget must check
// spent before relying on the answer.
const outOfBudget = "budget"
