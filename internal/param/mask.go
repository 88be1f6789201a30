package param

import (
	"encoding/json"

	"github.com/provost-go/provost/params"
)

// paramMask hides what is secret in the parameters of one deployment's runs.
type Mask struct {
	Schema *Schema // nil: nothing is known, and everything is hidden
}

// hide is p with the mask where it must not be read; p itself stays as it is.
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

// secretValues are the secrets in parameters.
func (v *Schema) SecretValues(p params.Params) []any {
	if v == nil {
		return nil
	}
	var values []any
	v.Schema.ReplaceSecrets(map[string]any(p), func(_ string, item any) any {
		values = append(values, item)
		return nil
	})
	return values
}

// wrapSecrets is p with each secret in a Secret[any]: code can reveal it, and whatever prints it cannot.
func (v *Schema) WrapSecrets(p params.Params) params.Params {
	if v == nil || len(p) == 0 {
		return p
	}
	wrapped, _ := v.Schema.ReplaceSecrets(map[string]any(p), func(_ string, item any) any { return params.NewSecret(item) }).(map[string]any)
	return wrapped
}

// checkSecrets refuses parameters that would lay a secret open or put the mask in its place. given is what the user wrote, plain
// the same normalised.
func (v *Schema) CheckSecrets(given, plain params.Params) error {
	if err := v.refuseBare(given, plain); err != nil {
		return err
	}
	return v.refuseMask(plain)
}

// covers refuses a schema given by the user that shows what is secret in the flow's own type.
func (v *Schema) HidesAllOf(derived json.RawMessage) error {
	own, err := Compile(derived)
	if err != nil {
		return err
	}
	if path := v.Schema.Uncovered(own.Schema); path != "" {
		return &params.Error{Path: path, Reason: `is secret in the flow's type but not in this schema, which would expose it; add "writeOnly": true`}
	}
	return nil
}
