package jsonschema

import "maps"

// readDefaults checks each default against its own schema. It returns the defaults that the whole
// schema defines for an empty object, or nil if there are none.
func readDefaults(root *node, nodes []*node) (map[string]any, error) {
	f := defaultCollector{open: map[*node]bool{}, budget: budget{steps: maxSteps}}
	for _, n := range nodes {
		if !n.isValue || n.fits(n.value, &f.budget) {
			continue
		}
		problem := newSchema(n).Validate(n.value)
		if f.budget.spent() {
			return nil, refuse(n.at+"/default", "checking the defaults takes more than %d steps; simplify the schema", maxSteps)
		}
		if problem != nil {
			return nil, refuse(n.at+"/default", "%s", problem[0].Error())
		}
	}
	var defaults map[string]any
	if v, ok := f.value(root); ok {
		defaults, _ = v.(map[string]any)
	}
	if f.budget.spent() {
		return nil, refuse("", "collecting the defaults takes more than %d steps; simplify the schema", maxSteps)
	}
	return defaults, nil
}

// defaultCollector collects the defaults of a schema.
type defaultCollector struct {
	open   map[*node]bool // nodes being collected; a schema inside itself contributes nothing
	budget budget         // bounds definitions that multiply
}

func (f *defaultCollector) value(n *node) (any, bool) {
	if n.isValue {
		f.budget.spend(4 * weigh(n.value))
		return clone(n.value), true
	}
	f.budget.spend(1)
	if f.budget.spent() || f.open[n] || n.types&typeNull != 0 { // null is a valid absence as well
		return nil, false
	}
	f.open[n] = true
	defer delete(f.open, n)
	if n.ref != nil {
		return f.value(n.ref)
	}
	m := map[string]any{}
	for _, other := range n.allOf {
		v, _ := f.value(other)
		if inner, ok := v.(map[string]any); ok {
			maps.Copy(m, inner)
		}
	}
	for _, name := range n.order {
		child := n.properties[name]
		v, ok := f.value(child)
		// The defaults of the properties may lack what the object requires. Then the object is left
		// out.
		if ok && (child.isValue || child.fits(v, &f.budget)) {
			m[name] = v
		}
	}
	return m, len(m) > 0
}

func clone(v any) any {
	switch v := v.(type) {
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = clone(v[i])
		}
		return list
	case map[string]any:
		m := make(map[string]any, len(v))
		for key := range v {
			m[key] = clone(v[key])
		}
		return m
	}
	return v
}
