package jsonschema

import (
	"maps"
	"slices"
	"strings"
)

// ruleKeywords are the keywords that constrain values: those of draft-07, and those of later drafts
// that draft-07 can express.
var ruleKeywords = map[string]bool{
	"type": true, "enum": true, "const": true, "format": true, "pattern": true, "nullable": true,
	"properties": true, "required": true, "additionalProperties": true, "patternProperties": true, "propertyNames": true, "dependencies": true,
	"dependentRequired": true, "dependentSchemas": true, "unevaluatedProperties": true,
	"items": true, "additionalItems": true, "contains": true, "uniqueItems": true, "prefixItems": true,
	"minimum": true, "maximum": true, "exclusiveMinimum": true, "exclusiveMaximum": true, "multipleOf": true,
	"minLength": true, "maxLength": true, "minItems": true, "maxItems": true, "minProperties": true, "maxProperties": true,
	"allOf": true, "anyOf": true, "oneOf": true, "not": true, "if": true, "then": true, "else": true,
	"contentEncoding": true, "contentMediaType": true,
}

func hasRules(m map[string]any) bool {
	for keyword := range m {
		if ruleKeywords[keyword] {
			return true
		}
	}
	return false
}

// unsupported lists keywords of other drafts that draft-07 cannot express, with the advice for
// each.
var unsupported = map[string]string{
	"unevaluatedItems": `use "items" beside "prefixItems", or "additionalItems"`,
	"minContains":      `use "contains", which asks for one`,
	"maxContains":      "drop it and count in the flow",
	"$dynamicRef":      `use "$ref"`,
	"$dynamicAnchor":   `use "$anchor"`,
	"$recursiveRef":    `use "$ref": "#"`,
	"$recursiveAnchor": `use "$ref": "#"`,
	"$vocabulary":      "drop it",
	"extends":          `use "allOf"`,
	"disallow":         `use "not"`,
	"divisibleBy":      `use "multipleOf"`,
}

// conflicting lists pairs of keywords that cannot stand together: they belong to different drafts
// and have a different meaning together.
var conflicting = [][2]string{
	{"prefixItems", "additionalItems"},
	{"dependentRequired", "dependencies"},
	{"dependentSchemas", "dependencies"},
}

// applicators are keywords that apply other schemas to the same value, which may evaluate its
// properties.
var applicators = []string{"$ref", "allOf", "anyOf", "oneOf", "not", "if", "dependencies", "dependentSchemas"}

// checkKeywords refuses keywords that would be understood differently from what their author meant.
func (r *reader) checkKeywords(at string, m map[string]any) error {
	for _, keyword := range slices.Sorted(maps.Keys(m)) {
		fix, isUnsupported := unsupported[keyword]
		if isUnsupported {
			return refuse(at, "%q is not supported; %s", keyword, fix)
		}
		if err := checkName(at, keyword, m[keyword]); err != nil {
			return err
		}
	}
	for _, pair := range conflicting {
		if m[pair[0]] != nil && m[pair[1]] != nil {
			return refuse(at, "%q and %q belong to different drafts; keep one of them", pair[0], pair[1])
		}
	}
	if _, isRef := m["$ref"]; isRef && !r.newest && hasRules(m) {
		return refuse(at, `draft-07 ignores a keyword beside "$ref" and later drafts apply it; write "allOf": [{"$ref": ...}] and put it beside that`)
	}
	if _, isList := m["items"].([]any); isList && m["prefixItems"] != nil {
		return refuse(at, `"items" beside "prefixItems" describes the items after those; expected a schema, got a list`)
	}
	if m["unevaluatedProperties"] != nil {
		for _, keyword := range applicators {
			if m[keyword] != nil {
				return refuse(at, `"unevaluatedProperties" beside %q has no equivalent in draft-07; use "additionalProperties" in the schemas that list the properties`, keyword)
			}
		}
	}
	return nil
}

// checkName refuses names whose meaning depends on the draft.
func checkName(at, keyword string, v any) error {
	_, isText := v.(string)
	switch {
	case keyword == "id" && at != "" && isText:
		return refuse(at, `"id" changes the base URI in draft-04 and means nothing in later drafts; remove it or write "$id"`)
	case keyword == "$schema" && at != "" && at != metaschemaID:
		return refuse(at, `"$schema" belongs to the top of the document; remove it here`)
	}
	return nil
}

// readDraft reports whether a document declares a draft later than draft-07.
func readDraft(document any) (newest bool, err error) {
	m, _ := document.(map[string]any)
	v, ok := m["$schema"]
	if !ok {
		return false, nil
	}
	name, _ := v.(string)
	_, name, _ = strings.Cut(name, "//")
	switch strings.TrimSuffix(name, "#") {
	case "json-schema.org/draft-07/schema", "json-schema.org/draft-06/schema", "json-schema.org/draft-04/schema", "json-schema.org/schema":
		return false, nil
	case "json-schema.org/draft/2019-09/schema", "json-schema.org/draft/2020-12/schema":
		return true, nil
	}
	return false, refuse("/$schema", `%s is not supported; use "http://json-schema.org/draft-07/schema#" or leave "$schema" out`, show(v))
}

// addNull applies OpenAPI's "nullable", which adds null to the type and changes nothing else.
func addNull(n *node, m map[string]any) error {
	v, ok := m["nullable"]
	if !ok {
		return nil
	}
	nullable, isBool := v.(bool)
	spent := budget{steps: maxSteps}
	switch {
	case !isBool:
		return refuse(n.at+"/nullable", "expected true or false, got %s", describe(v))
	case !nullable && n.types&typeNull != 0:
		return refuse(n.at+"/nullable", `the type has "null"; remove one of the two`)
	case !nullable:
		return nil
	case n.types == 0:
		return refuse(n.at+"/nullable", `it adds null to a "type", which is missing; write "anyOf": [..., {"type": "null"}]`)
	case n.enum != nil && !n.listed(nil, &spent):
		return refuse(n.at+"/nullable", `null is not among the allowed values; add it`)
	}
	n.types |= typeNull
	return nil
}
