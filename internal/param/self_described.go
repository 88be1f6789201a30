package param

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/provost-go/provost/internal/jsonschema"
	"github.com/provost-go/provost/params"
)

// selfDescribed is implemented by types that supply their own schema, which replaces the derived
// one.
type selfDescribed interface{ JSONSchema() map[string]any }

var selfDescribedType = reflect.TypeFor[selfDescribed]()

func describesItself(t reflect.Type) bool {
	return t.Kind() != reflect.Pointer && t.Kind() != reflect.Interface && reflect.PointerTo(t).Implements(selfDescribedType)
}

// ownSchema returns the schema that a type supplies, with sorted keys, or nil if it supplies none.
func ownSchema(t reflect.Type) (_ members, err error) {
	if !describesItself(t) {
		return nil, nil
	}
	defer Recover(&err)
	described := reflect.New(t).Interface().(selfDescribed).JSONSchema()
	text, err := json.Marshal(described)
	if err != nil {
		return nil, &params.Error{Reason: fmt.Sprintf("JSONSchema of %v: %v", t, err)}
	}
	plain, err := jsonschema.Parse(text, jsonschema.Limits{Bytes: jsonschema.MaxSchema, Depth: jsonschema.MaxDepth, Numbers: true})
	if err != nil {
		return nil, &params.Error{Reason: fmt.Sprintf("JSONSchema of %v: %v", t, err)}
	}
	if hasReference(plain) {
		return nil, &params.Error{Reason: fmt.Sprintf(`JSONSchema of %v: "$ref" points outside it, into the schema that contains it; write the target in its place`, t)}
	}
	own := members{}
	object, _ := plain.(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(object)) {
		if key != "$schema" && key != "$id" {
			own = append(own, member{key, object[key]})
		}
	}
	return own, nil
}

// hasReference reports whether a schema contains a reference.
func hasReference(schema any) bool {
	switch schema := schema.(type) {
	case []any:
		return slices.ContainsFunc(schema, hasReference)
	case map[string]any:
		if _, ok := schema["$ref"].(string); ok {
			return true
		}
		for _, v := range schema {
			if hasReference(v) {
				return true
			}
		}
	}
	return false
}
