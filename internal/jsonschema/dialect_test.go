package jsonschema

import "testing"

// TestDialects validates values against schemas of other drafts that have an equivalent in
// draft-07.
func TestDialects(t *testing.T) {
	tests := []struct {
		name, schema     string
		fits, doesNotFit []string
	}{
		{"$defs", `{"$defs":{"a":{"type":"string"}},"$ref":"#/$defs/a"}`, []string{`"x"`}, []string{`1`}},
		{"prefixItems", `{"prefixItems":[{"type":"string"}]}`, []string{`[]`, `["x",1]`}, []string{`[1]`}},
		{"items after prefixItems", `{"prefixItems":[{"type":"string"}],"items":{"type":"null"}}`, []string{`["x",null]`}, []string{`["x",1]`}},
		{"no items after prefixItems", `{"prefixItems":[{"type":"string"}],"items":false}`, []string{`["x"]`}, []string{`["x",1]`}},
		{"dependentRequired", `{"dependentRequired":{"a":["b","c"]}}`, []string{`{}`, `{"b":1}`, `{"a":1,"b":1,"c":1}`}, []string{`{"a":1}`, `{"a":1,"b":1}`}},
		{"dependentSchemas", `{"dependentSchemas":{"a":{"required":["b"]}}}`, []string{`{}`, `{"a":1,"b":1}`}, []string{`{"a":1}`}},
		{
			"dependentSchemas and dependentRequired", `{"dependentSchemas":{"a":{"maxProperties":2}},"dependentRequired":{"a":["b"]}}`,
			[]string{`{"b":1}`, `{"a":1,"b":1}`},
			[]string{`{"a":1}`, `{"a":1,"b":1,"c":1}`},
		},
		{"nullable", `{"type":"string","nullable":true}`, []string{`"x"`, `null`}, []string{`1`}},
		{"not nullable", `{"type":"string","nullable":false}`, []string{`"x"`}, []string{`null`}},
		{"nullable beside enum", `{"type":"string","enum":["x",null],"nullable":true}`, []string{`"x"`, `null`}, []string{`"y"`}},
		{"$anchor", `{"properties":{"a":{"$ref":"#name"}},"$defs":{"x":{"$anchor":"name","type":"string"}}}`, []string{`{"a":"x"}`}, []string{`{"a":1}`}},
		{"name in $id", `{"items":{"$ref":"#name"},"definitions":{"x":{"$id":"#name","type":"string"}}}`, []string{`["x"]`}, []string{`[1]`}},
		{
			"address in the document", `{"$id":"http://x/a/b","items":{"$ref":"c"},"definitions":{"x":{"$id":"c","type":["string","array"],"items":{"$ref":"b"}}}}`,
			[]string{`["x"]`, `[["x"]]`, `[[["x"]]]`},
			[]string{`[1]`, `[[[1]]]`},
		},
		{
			"pointer into a schema with an address", `{"items":{"$ref":"http://x/c#/properties/a"},"definitions":{"x":{"$id":"http://x/c","properties":{"a":{"type":"string"},"b":{"$ref":"#/properties/a"}}}}}`,
			[]string{`["x"]`},
			[]string{`[1]`},
		},
		{"own address", `{"$id":"http://x/y","items":{"$ref":"http://x/y#/definitions/a"},"definitions":{"a":{"type":"string"}}}`, []string{`["x"]`}, []string{`[1]`}},
		{"rule beside $ref", `{"$schema":"https://json-schema.org/draft/2020-12/schema","$ref":"#/$defs/a","maxLength":1,"$defs":{"a":{"type":"string"}}}`, []string{`"x"`}, []string{`1`, `"xy"`}},
		{"unevaluatedProperties", `{"properties":{"a":true},"unevaluatedProperties":false}`, []string{`{"a":1}`}, []string{`{"b":1}`}},
		{"additionalProperties evaluates", `{"additionalProperties":{"type":"string"},"unevaluatedProperties":false}`, []string{`{"a":"x"}`}, []string{`{"a":1}`}},
		{"exclusive bounds of draft-04", `{"minimum":1,"exclusiveMinimum":true,"maximum":2,"exclusiveMaximum":false}`, []string{`1.5`, `2`}, []string{`1`, `3`}},
		{"contentEncoding", `{"contentEncoding":"base64","contentMediaType":"application/json","format":"uri"}`, []string{}, []string{`"e30="`, `"http://x/"`}},
		{"the schema of schemas", `{"$ref":"http://json-schema.org/draft-07/schema#"}`, []string{`true`, `{"items":{"type":"string"}}`}, []string{`{"items":{"type":"text"}}`, `1`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := Compile([]byte(test.schema))
			if err != nil {
				t.Fatal(err)
			}
			check := func(value string, want bool) {
				v, err := Parse([]byte(value), ValueLimits)
				if err != nil {
					t.Fatal(err)
				}
				if problems := s.Validate(v); (problems == nil) != want || libraryAccepts(s, v) != want {
					t.Errorf("%s: got %q, library %t, want it to fit: %t", value, text(problems), libraryAccepts(s, v), want)
				}
			}
			for _, value := range test.fits {
				check(value, true)
			}
			for _, value := range test.doesNotFit {
				check(value, false)
			}
		})
	}
}
