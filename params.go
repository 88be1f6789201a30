package provost

// Params are the parameters of a run by name, as a person wrote them in Go or as they came from JSON.
type Params map[string]any

func (p Params) clone() Params { return cloneMap(p) }

func cloneMap[M ~map[string]any](m M) M {
	if m == nil {
		return nil
	}
	c := make(M, len(m))
	for k, v := range m {
		c[k] = cloneValue(v)
	}
	return c
}

func cloneValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		return cloneMap(v)
	case Params:
		return cloneMap(v)
	case []any:
		c := make([]any, len(v))
		for i := range v {
			c[i] = cloneValue(v[i])
		}
		return c
	}
	return v
}

func mergeParams(layers ...Params) Params {
	var merged Params
	for _, layer := range layers {
		for k, v := range layer {
			if merged == nil {
				merged = make(Params)
			}
			merged[k] = v
		}
	}
	return merged
}

func normalizeParams(p Params) (Params, error) { return p, nil }
