package param

import (
	"github.com/provost-go/provost/params"
)

// Mask hides the secrets in the parameters of one deployment's runs.
type Mask struct {
	Schema *Schema // nil: unknown, so everything is hidden
}

// Hide returns p with the mask in place of every secret. It does not change p. Values that do not
// fit the schema are hidden as well, because it is unknown what they are.
func (m Mask) Hide(p params.Params) params.Params {
	if len(p) == 0 {
		return p
	}
	if plain, err := Normalize(p); err == nil && m.Schema != nil {
		shown, _ := m.Schema.Schema.Conceal(map[string]any(plain), func(string, any) any { return params.Mask }).(map[string]any)
		return shown
	}
	hidden := make(params.Params, len(p))
	for key := range p {
		hidden[key] = params.Mask
	}
	return hidden
}
