package param

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/provost-go/provost/internal/jsonschema"
	"github.com/provost-go/provost/internal/sealed"
	"github.com/provost-go/provost/params"
)

// SecretValues returns the secrets in parameters. A nil Schema has none.
func (s *Schema) SecretValues(p params.Params) []any {
	if s == nil {
		return nil
	}
	var values []any
	s.Schema.ReplaceSecrets(map[string]any(p), func(_ string, item any) any {
		values = append(values, item)
		return nil
	})
	return values
}

// WrapSecrets returns p with each secret in a Secret[any]: code can reveal it, and whatever prints
// it cannot. It does not change p.
func (s *Schema) WrapSecrets(p params.Params) params.Params {
	if s == nil || len(p) == 0 {
		return p
	}
	wrapped, _ := s.Schema.ReplaceSecrets(map[string]any(p), func(_ string, item any) any { return params.NewSecret(item) }).(map[string]any)
	return wrapped
}

// CheckSecrets refuses parameters that would expose a secret, or that have the mask in the place of
// one. The user wrote given; plain is the same normalized. The error is a [*params.Error].
func (s *Schema) CheckSecrets(given, plain params.Params) error {
	if err := s.refuseExposed(given, plain); err != nil {
		return err
	}
	return s.refuseMask(plain)
}

// HidesAllOf returns an error if a schema of the user exposes what is secret in the schema derived
// from the flow's type.
func (s *Schema) HidesAllOf(derived json.RawMessage) error {
	own, err := Compile(derived)
	if err != nil {
		return err
	}
	if path := s.Schema.Uncovered(own.Schema); path != "" {
		return &params.Error{Path: path, Reason: `is secret in the flow's type but not in this schema, which would expose it; add "writeOnly": true`}
	}
	return nil
}

// RedactedError returns err, without the value if that is secret by the schema. A value may be
// secret by the schema and not by the type that refuses it. If limits is true, err is about a limit
// and contains no value. It is then redacted only inside a secret, where its path and reason may
// contain a key.
func (s *Schema) RedactedError(p params.Params, err error, limits bool) error {
	refused, ok := err.(*params.Error)
	if s == nil || !ok || !s.Schema.Secret() {
		return err
	}
	if refused.Reason == errMask.Reason || strings.HasSuffix(refused.Reason, notShown) {
		return err
	}
	path, ok := s.Schema.SecretAround(map[string]any(p), refused.Path)
	if !ok || limits && path == refused.Path {
		return err
	}
	return &params.Error{Path: path, Reason: "cannot be decoded into the type that the flow takes" + notShown}
}

// refuseMask refuses parameters that have the mask in the place of a secret.
func (s *Schema) refuseMask(p params.Params) error {
	if !s.Schema.Secret() || !hasMask(map[string]any(p)) {
		return nil
	}
	var refused *params.Error
	for key, item := range p {
		s.Schema.ReplaceSecrets(map[string]any{key: item}, func(path string, item any) any {
			if item == any(params.Mask) && (refused == nil || path < refused.Path) {
				refused = &params.Error{Path: path, Reason: fmt.Sprintf(
					`you sent "***", which stands for a secret, back in its place; leave %s out to keep what is set, or send the value`, key)}
			}
			return nil
		})
	}
	if refused == nil {
		return nil
	}
	return refused
}

func hasMask(v any) bool {
	switch v := v.(type) {
	case string:
		return v == params.Mask
	case []any:
		return slices.ContainsFunc(v, hasMask)
	case map[string]any:
		for _, item := range v {
			if hasMask(item) {
				return true
			}
		}
	}
	return false
}

// refuseExposed refuses a Secret where the schema declares none: it would be shown.
func (s *Schema) refuseExposed(given, plain params.Params) error {
	var exposed map[string]bool
	findSecrets(map[string]any(given), "", 0, func(path string) {
		if exposed == nil {
			exposed = map[string]bool{}
		}
		exposed[path] = true
	})
	if exposed == nil {
		return nil
	}
	s.Schema.ReplaceSecrets(map[string]any(plain), func(path string, _ any) any {
		maps.DeleteFunc(exposed, func(place string, _ bool) bool {
			rest, within := strings.CutPrefix(place, path)
			return within && (rest == "" || rest[0] == '.' || rest[0] == '[')
		})
		return nil
	})
	for _, path := range slices.Sorted(maps.Keys(exposed)) {
		return &params.Error{Path: path, Reason: `is given as a Secret, but the flow does not declare one and would expose it; make the field a Secret, or tag it secret:"true"`}
	}
	return nil
}

// findSecrets reports the Secrets in maps and lists, down to the depth limit of parameters.
func findSecrets(v any, path string, depth int, found func(path string)) {
	if depth > jsonschema.MaxDepth || v == nil {
		return
	}
	switch v := v.(type) {
	case map[string]any:
		for key, item := range v {
			findSecrets(item, jsonschema.Join(path, key), depth+1, found)
		}
	case params.Params:
		findSecrets(map[string]any(v), path, depth, found)
	case []any:
		for i, item := range v {
			findSecrets(item, path+indexStep(i), depth+1, found)
		}
	case string, bool, json.Number:
	default:
		if t := reflect.TypeOf(v); sealed.Is(t) || t.Kind() == reflect.Pointer && sealed.Is(t.Elem()) {
			found(path)
		}
	}
}
