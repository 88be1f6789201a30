package jsonschema

import (
	"maps"
	"slices"
	"strings"
)

// rules are the keywords that decide about values, of draft-07 and of the later drafts as far as they can be said in it.
var rules = map[string]bool{
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
		if rules[keyword] {
			return true
		}
	}
	return false
}

// foreign are keywords of other drafts that draft-07 has no words for, with what to write instead.
var foreign = map[string]string{
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

// apart are pairs of which only one may be there: they come from different drafts and say different things together.
var apart = [][2]string{
	{"prefixItems", "additionalItems"},
	{"dependentRequired", "dependencies"},
	{"dependentSchemas", "dependencies"},
}

// applicators judge a value by other schemas, which may evaluate its properties.
var applicators = []string{"$ref", "allOf", "anyOf", "oneOf", "not", "if", "dependencies", "dependentSchemas"}

// checkKeywords refuses what would be understood in another way than it was meant.
func (r *reader) checkKeywords(at string, m map[string]any) error {
	for _, keyword := range slices.Sorted(maps.Keys(m)) {
		fix, isForeign := foreign[keyword]
		if isForeign {
			return refuse(at, "%q is not supported; %s", keyword, fix)
		}
		if err := checkName(at, keyword, m[keyword]); err != nil {
			return err
		}
	}
	for _, pair := range apart {
		if m[pair[0]] != nil && m[pair[1]] != nil {
			return refuse(at, "%q and %q are of different drafts; keep one of them", pair[0], pair[1])
		}
	}
	if _, isRef := m["$ref"]; isRef && !r.newest && hasRules(m) {
		return refuse(at, `a rule beside "$ref" is ignored in draft-07 and counts in later drafts; write "allOf": [{"$ref": ...}] and put it beside that`)
	}
	if _, isList := m["items"].([]any); isList && m["prefixItems"] != nil {
		return refuse(at, `"items" beside "prefixItems" is the schema of the items after those; expected a schema, got a list`)
	}
	if m["unevaluatedProperties"] != nil {
		for _, keyword := range applicators {
			if m[keyword] != nil {
				return refuse(at, `"unevaluatedProperties" beside %q has no equal in draft-07; use "additionalProperties" in the schemas that list the properties`, keyword)
			}
		}
	}
	return nil
}

// checkName refuses names that mean something in one draft and nothing in another.
func checkName(at, keyword string, v any) error {
	_, isText := v.(string)
	switch {
	case keyword == "id" && at != "" && isText:
		return refuse(at, `"id" moves the base of references in draft-04 and means nothing later; remove it or write "$id"`)
	case keyword == "$schema" && at != "" && at != metaschemaID:
		return refuse(at, `"$schema" belongs to the top of the document; remove it here`)
	}
	return nil
}

// readDraft says whether a document is of a draft later than draft-07.
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
	return false, refuse("/$schema", `%s is not supported; write the schema in "http://json-schema.org/draft-07/schema#" or leave "$schema" out`, show(v))
}

// addNull lets null in where OpenAPI says "nullable", which adds to the type and to nothing else.
func addNull(n *node, m map[string]any) error {
	v, ok := m["nullable"]
	if !ok {
		return nil
	}
	nullable, isBool := v.(bool)
	spent := budget{steps: maxChecked}
	switch {
	case !isBool:
		return refuse(n.at+"/nullable", "expected true or false, got %s", describe(v))
	case !nullable && n.types&typeNull != 0:
		return refuse(n.at+"/nullable", `the type has "null"; remove one of the two`)
	case !nullable:
		return nil
	case n.types == 0:
		return refuse(n.at+"/nullable", `it adds null to a "type" and there is none; write "anyOf": [..., {"type": "null"}]`)
	case n.enum != nil && !n.listed(nil, &spent):
		return refuse(n.at+"/nullable", `null is not in the list of allowed values; add it there`)
	}
	n.types |= typeNull
	return nil
}
