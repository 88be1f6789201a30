package jsonschema

// cost counts the steps that the library takes over v, and stops at limit. A step applies one
// schema to one value. It takes some microseconds, and allocates about a kilobyte if the value is
// invalid.
func (n *node) cost(v any, limit int) int {
	c := costCounter{limit: limit}
	c.walk(n, v)
	return c.steps
}

type costCounter struct{ steps, limit int }

func (c *costCounter) walk(n *node, v any) {
	if c.steps++; c.steps > c.limit {
		return
	}
	if n.enum != nil {
		// The library encodes the value and compares it with the encoding of each allowed value.
		c.steps += weigh(v)/8 + len(n.enum)/16
	}
	for _, other := range n.inPlace() {
		c.walk(other, v)
	}
	switch v := v.(type) {
	case string:
		// A regular expression reads each character once per instruction.
		c.steps += len(v) / 1024
		if n.pattern != nil {
			c.steps += n.pattern.steps(v, 1024)
		}
	case []any:
		c.list(n, v)
	case map[string]any:
		c.object(n, v)
	}
}

func (c *costCounter) list(n *node, list []any) {
	if n.unique {
		c.steps += weigh(list) / 4
	}
	for i, item := range list {
		if c.steps > c.limit {
			return
		}
		if child := n.itemNode(i); child != nil {
			c.walk(child, item)
		}
		if n.contains != nil {
			c.walk(n.contains, item)
		}
	}
}

func (c *costCounter) object(n *node, m map[string]any) {
	c.steps += len(m) * len(n.properties) / 64 // the library looks up each key in a list
	for _, p := range n.patterns {
		c.steps += len(m) * (1 + p.weight/256) // and compiles each pattern for each key
	}
	for key, v := range m {
		if c.steps > c.limit {
			return
		}
		free := budget{steps: maxSteps}
		for _, child := range n.keyNodes(key, &free) {
			c.walk(child, v)
		}
		if n.names != nil {
			c.walk(n.names, key)
		}
		if n.additional != nil {
			c.steps++
		}
	}
}

// weigh returns roughly the number of values inside v, which is the cost of encoding v.
func weigh(v any) int {
	weight := 1
	switch v := v.(type) {
	case string:
		weight += len(v) / 16
	case []any:
		for _, item := range v {
			weight += weigh(item)
		}
	case map[string]any:
		for _, item := range v {
			weight += 1 + weigh(item)
		}
	}
	return weight
}
