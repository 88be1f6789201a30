package jsonschema

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

func TestCompileRefuses(t *testing.T) {
	hits := 0
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits++ }))
	defer server.Close()
	nested := func(n int) string { return strings.Repeat(`{"items":`, n) + "{}" + strings.Repeat("}", n) }
	doubling := func(n int) string {
		var b strings.Builder
		b.WriteString(`{"allOf":[{"$ref":"#/definitions/a0"}],"definitions":{`)
		for i := range n {
			fmt.Fprintf(&b, `"a%d":{"allOf":[{"$ref":"#/definitions/a%d"},{"$ref":"#/definitions/a%d"}]},`, i, i+1, i+1)
		}
		fmt.Fprintf(&b, `"a%d":{}}}`, n)
		return b.String()
	}
	tests := []struct{ name, schema, path, reason string }{
		{"remote reference", `{"properties":{"a":{"$ref":"` + server.URL + `/x"}}}`, "properties.a.$ref", "points outside the schema"},
		{"file reference", `{"$ref":"file:///etc/passwd"}`, "$ref", "points outside the schema"},
		{"relative reference", `{"$ref":"other.json#/a"}`, "$ref", "points outside the schema"},
		{"named anchor", `{"$ref":"#here"}`, "$ref", "does not exist"},
		{"dangling reference", `{"$ref":"#/definitions/a"}`, "$ref", "does not exist"},
		{"moved base", `{"properties":{"a":{"$id":"http://x/","$ref":"#/definitions/b"}},"definitions":{"b":{}}}`, "properties.a.$ref", "does not exist"},
		{"moved base to fetch", `{"$id":"` + server.URL + `/","properties":{"a":{"$ref":"x"}}}`, "properties.a.$ref", "points outside the schema"},
		{"moved base, draft-04", `{"items":{"id":"http://x/"}}`, "items", "changes the base"},
		{"one address twice", `{"definitions":{"a":{"$id":"x"},"b":{"$id":"x"}}}`, "definitions.b.$id", "names two schemas"},
		{"one name twice", `{"definitions":{"a":{"$anchor":"x"},"b":{"$id":"#x"}}}`, "definitions.b", "names two schemas"},
		{"bad address", `{"$id":"%zz"}`, "$id", "expected a URI"},
		{"posing as the metaschema", `{"$id":"http://json-schema.org/draft-07/schema#","$ref":"#"}`, "$id", "names two schemas"},
		{"self reference", `{"$ref":"#"}`, "", "form a cycle"},
		{"self reference in allOf", `{"allOf":[{"$ref":"#"}]}`, "", "form a cycle"},
		{"self reference in anyOf", `{"anyOf":[{"type":"string"},{"$ref":"#"}]}`, "", "form a cycle"},
		{"self reference in not", `{"not":{"$ref":"#"}}`, "", "form a cycle"},
		{"self reference in if", `{"if":{"$ref":"#"}}`, "", "form a cycle"},
		{"self reference in dependencies", `{"dependencies":{"a":{"$ref":"#"}}}`, "", "form a cycle"},
		{"mutual references", `{"$ref":"#/definitions/a","definitions":{"a":{"$ref":"#/definitions/b"},"b":{"$ref":"#/definitions/a"}}}`, "", "form a cycle"},
		{"circle through an unused part", `{"definitions":{"a":{"$ref":"#/definitions/a"}}}`, "definitions.a", "form a cycle"},
		{"references that multiply", doubling(20), "definitions.a", "expand to more than"},
		{"large", `{"description":"` + strings.Repeat("x", MaxSchema) + `"}`, "", "the limit is 262144"},
		{"deep", nested(MaxDepth), "", "nested deeper than 64"},
		{"look-ahead", `{"pattern":"(?=a)b"}`, "pattern", "RE2"},
		{"large pattern", `{"pattern":"` + strings.Repeat("[\\\\pL\\\\pN]{1,50}", 300) + `"}`, "pattern", "too large"},
		{"many patterns", `{"allOf":[` + strings.Repeat(`{"pattern":"\\pL{999}"},`, 1000) + `{}]}`, "", "too large"},
		{"bad patternProperties", `{"patternProperties":{"(":{}}}`, "patternProperties", "RE2"},
		{"unevaluatedItems", `{"unevaluatedItems":false}`, "", `"unevaluatedItems" is not supported`},
		{"unevaluatedProperties of others", `{"unevaluatedProperties":false,"allOf":[{}]}`, "", `beside "allOf" has no equivalent`},
		{"minContains", `{"contains":{},"minContains":2}`, "", `"minContains" is not supported`},
		{"$dynamicRef", `{"$dynamicRef":"#a"}`, "", `"$dynamicRef" is not supported`},
		{"$recursiveRef", `{"$recursiveRef":"#"}`, "", `"$recursiveRef" is not supported`},
		{"$vocabulary", `{"$vocabulary":{}}`, "", `"$vocabulary" is not supported`},
		{"draft-03", `{"items":{"divisibleBy":2}}`, "items", `"divisibleBy" is not supported; use "multipleOf"`},
		{"prefixItems beside a list", `{"prefixItems":[{}],"items":[{}]}`, "", "expected a schema, got a list"},
		{"prefixItems beside additionalItems", `{"prefixItems":[{}],"additionalItems":false}`, "", "belong to different drafts"},
		{"dependentRequired beside dependencies", `{"dependentRequired":{},"dependencies":{}}`, "", "belong to different drafts"},
		{"nullable without type", `{"nullable":true}`, "nullable", `which is missing`},
		{"nullable beside enum", `{"type":"string","enum":["a"],"nullable":true}`, "nullable", "null is not among"},
		{"not nullable but null", `{"type":["null","string"],"nullable":false}`, "nullable", "remove one of the two"},
		{"nullable of a wrong kind", `{"type":"string","nullable":"yes"}`, "nullable", "expected true or false"},
		{"unknown draft", `{"$schema":"https://json-schema.org/draft/next/schema"}`, "$schema", "draft-07"},
		{"draft below the top", `{"items":{"$schema":"http://json-schema.org/draft-07/schema#"}}`, "items", "belongs to the top"},
		{"rule beside a reference", `{"$ref":"#/definitions/a","maxLength":3,"definitions":{"a":{}}}`, "", "allOf"},
		{"large number", `{"maximum":1e5000000}`, "maximum", "exponent"},
		{"long number", `{"maximum":` + strings.Repeat("1", 41) + `}`, "maximum", "41 characters"},
		{"unknown type", `{"type":"float"}`, "type", "expected one of"},
		{"type of a wrong kind", `{"type":3}`, "type", "expected one of"},
		{"negative length", `{"minLength":-1}`, "minLength", "from 0 up"},
		{"bounds that cross", `{"minLength":3,"maxLength":2}`, "", "no value would be valid"},
		{"multipleOf 0", `{"multipleOf":0}`, "multipleOf", "above 0"},
		{"required beside the property", `{"properties":{"a":{"required":true}}}`, "properties.a.required", "belongs to the object"},
		{"properties of a wrong kind", `{"properties":[]}`, "properties", "expected an object of schemas"},
		{"a number for a schema", `{"items":3}`, "items", "expected a schema"},
		{"empty enum", `{"enum":[]}`, "enum", "expected a list"},
		{"trailing text", `{} {}`, "", "not a single JSON value"},
		{"duplicate key", `{"type":"string","type":"number"}`, "type", "duplicate key"},
		{"default that does not fit", `{"properties":{"a":{"type":"string","default":3}}}`, "properties.a.default", "expected text"},
		{"default that does not fit, by the library", `{"properties":{"a":{"multipleOf":2,"default":3}}}`, "properties.a.default", "multiple of 2"},
		{"nothing", ``, "", "not a single JSON value"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Compile([]byte(test.schema))
			problem, ok := err.(*Problem)
			if !ok {
				t.Fatalf("got %v, want a *Problem", err)
			}
			if !strings.HasPrefix(problem.Path, test.path) || !strings.Contains(problem.Reason, test.reason) {
				t.Errorf("got %q at %q, want %q at %q", problem.Reason, problem.Path, test.reason, test.path)
			}
		})
	}
	if hits != 0 {
		t.Errorf("the server of a remote reference was asked %d times", hits)
	}
}

func TestCompileTakes(t *testing.T) {
	for _, schema := range []string{
		`{}`, `true`, `false`,
		`{"$id":"https://example.com/s","$ref":"#/definitions/a~1b","definitions":{"a/b":{"type":"string"}}}`,
		`{"properties":{"id":{"type":"string"},"$ref":{"type":"string"},"enum":{"$ref":"#/properties/id"}}}`,
		`{"default":{"$ref":"x","id":3},"examples":[{"$ref":"http://x"}]}`,
		`{"properties":{"next":{"$ref":"#"}}}`,
		`{"minimum":1,"exclusiveMinimum":true}`,
		`{"pattern":"^[\\pL\\pN]{1,50}$","properties":{"a":{"pattern":"^([a-z0-9]{1,63}\\.){1,10}[a-z]{2,63}$"}}}`,
		`{"properties":` + object(1_000, `{"default":[1,2,3,4,5,6,7,8,9]}`) + `}`,
		`{"enum":[1,1.0,1e0]}`,
		`{"definitions":{"enum":{"$ref":"#/definitions/const"},"const":{"type":"null"}},"items":[{"$ref":"#/definitions/enum"}]}`,
		`{"dependencies":{"a":[],"b":["a"],"c":{"minProperties":2}}}`,
		`{"x-order":3,"position":1,"discriminator":{"propertyName":"kind"}}`,
	} {
		if _, err := Compile([]byte(schema)); err != nil {
			t.Errorf("%s: %v", schema, err)
		}
	}
}

func keys(n int) map[string]any {
	m := map[string]any{}
	for i := range n {
		m[fmt.Sprint(i)] = nil
	}
	return m
}

const orderSchema = `{
	"type": "object", "required": ["region"], "additionalProperties": false,
	"properties": {
		"region": {"enum": ["europe", "america"]},
		"limit": {"type": "integer", "minimum": 1, "maximum": 10},
		"name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 5},
		"at": {"type": "string", "format": "date-time"},
		"customer": {"properties": {"address": {"items": {"properties": {"zip": {"type": "string"}}}}}},
		"size": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
		"even": {"multipleOf": 2}, "one": {"oneOf": [{"type": "integer"}, {"type": "number"}]},
		"nested": {"required": ["n"], "properties": {"n": {"type": "integer"}}}
	}}`

func TestProblems(t *testing.T) {
	tests := []struct{ value, want string }{
		{`{}`, `region: is required and missing; add one of "europe", "america"`},
		{`{"region":"eurape"}`, `region: expected one of "europe", "america"; got the text "eurape"; did you mean "europe"?`},
		{`{"region":"europe","limit":"5"}`, `limit: expected a whole number, got the text "5"; write 5 without quotes`},
		{`{"region":"europe","limit":11}`, "limit: expected at most 10, got the number 11"},
		{`{"region":"europe","limit":0.5}`, "limit: expected a whole number, got the number 0.5"},
		{`{"region":"europe","limt":5}`, "limt: is not a parameter here; did you mean limit?"},
		{`{"region":"europe","a.b":5}`, `["a.b"]: is not a parameter here; expected one of at, customer, even, limit, name, nested, one, region, size`},
		{`{"region":"europe","name":"ABCDEFG"}`, `name: expected at most 5 characters, got 7: the text "ABCDEFG"` + "\n" + `name: expected text that matches ^[a-z]+$, got the text "ABCDEFG"`},
		{`{"region":"europe","at":"12:00:00"}`, `at: expected the format date-time, such as "2026-03-05T14:00:00+01:00"; got the text "12:00:00"`},
		{`{"region":"europe","customer":{"address":[{},{},{"zip":3}]}}`, `customer.address[2].zip: expected text, got the number 3; write "3" in quotes`},
		{`{"region":"europe","size":"x"}`, `size: expected a whole number, got the text "x"`},
		{`{"region":"europe","one":3}`, "one: must match exactly one of the allowed forms, got the number 3"},
		{`{"region":"europe","nmae":"x"}`, "nmae: is not a parameter here; did you mean name?"},
		{`{"region":"europe","nested":{}}`, "nested.n: is required and missing; add a whole number"},
		{`{"region":"europe","even":3}`, "even: expected a multiple of 2, got the number 3; the nearest are 2 and 4"},
		{`{"region":"europe","size":null,"limit":1e1,"name":"abc","at":"2026-03-05T14:00:00.5+01:00"}`, ""},
	}
	s, err := Compile([]byte(orderSchema))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range tests {
		v, err := Parse([]byte(test.value), ValueLimits)
		if err != nil {
			t.Fatal(err)
		}
		if got := text(s.Validate(v)); got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.value, got, test.want)
		}
	}
}

func text(problems []*Problem) string {
	var lines []string
	for _, p := range problems {
		lines = append(lines, p.Error())
	}
	return strings.Join(lines, "\n")
}

// TestManualQuotesProblems checks the error texts that the manual shows.
func TestManualQuotesProblems(t *testing.T) {
	manual, err := os.ReadFile("../../docs/parameters.md")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Compile([]byte(orderSchema))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(strings.ReplaceAll(string(manual), "\r\n", "\n"), "| sent | refusal |\n|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	rows := strings.Split(table, "\n")
	if len(rows) < 5 {
		t.Fatalf("the manual has no table of refusals: %q", table)
	}
	for _, row := range rows {
		cells := strings.Split(strings.Trim(row, "|` "), "` | `")
		v, err := Parse([]byte(cells[0]), ValueLimits)
		if err != nil {
			t.Fatal(err)
		}
		if got := text(s.Validate(v)); !strings.Contains(got+"\n", cells[1]+"\n") {
			t.Errorf("%s:\n got %s\nwant %s", cells[0], got, cells[1])
		}
	}
}

func TestProblemsAreSortedAndBounded(t *testing.T) {
	s, err := Compile([]byte(`{"additionalProperties":{"type":"string"}}`))
	if err != nil {
		t.Fatal(err)
	}
	first := text(s.Validate(any(keys(200))))
	if n := strings.Count(first, "\n") + 1; n != MaxProblems {
		t.Errorf("got %d problems, want %d", n, MaxProblems)
	}
	if !strings.HasPrefix(first, "0: ") || !strings.Contains(first, "\n9: ") || strings.Contains(first, "\n50: ") {
		t.Errorf("these are not the first %d:\n%s", MaxProblems, first)
	}
	for range 10 {
		if again := text(s.Validate(any(keys(200)))); again != first {
			t.Fatalf("the problems changed:\n%s\n%s", first, again)
		}
	}
}

func TestPartialRequiresNothingAtTheTop(t *testing.T) {
	for _, schema := range []string{
		`{"required":["a"],"minProperties":1,"properties":{"a":{"required":["b"]}}}`,
		`{"$ref":"#/definitions/p","definitions":{"p":{"required":["a"],"properties":{"a":{"required":["b"]}}}}}`,
		`{"allOf":[{"required":["a"]},{"properties":{"a":{"required":["b"]}}}]}`,
		`{"oneOf":[{"required":["a"]},{"required":["c"]}],"properties":{"a":{"required":["b"]}}}`,
		`{"if":{},"then":{"required":["a"]},"properties":{"a":{"required":["b"]}}}`,
	} {
		s, err := Compile([]byte(schema))
		if err != nil {
			t.Fatal(err)
		}
		empty, inner := map[string]any{}, map[string]any{"a": map[string]any{}}
		if s.Validate(empty) == nil {
			t.Errorf("%s: the empty object is complete", schema)
		}
		if problems := s.ValidatePartial(empty); problems != nil {
			t.Errorf("%s: partial: %v", schema, text(problems))
		}
		if got, want := text(s.ValidatePartial(inner)), "a.b: is required and missing; add it"; got != want {
			t.Errorf("%s: got %q, want %q", schema, got, want)
		}
	}
}

func TestDefaults(t *testing.T) {
	s, err := Compile([]byte(`{"properties":{
		"a":{"default":3},
		"b":{"properties":{"c":{"default":"x"},"d":{}}},
		"e":{"required":["f"],"properties":{"f":{},"g":{"default":1}}},
		"h":{"$ref":"#/definitions/h"},
		"next":{"$ref":"#"}},
		"definitions":{"h":{"default":[1]}}}`))
	if err != nil {
		t.Fatal(err)
	}
	got, _ := json.Marshal(s.Defaults())
	// "next" is the schema itself and would never end.
	want := `{"a":3,"b":{"c":"x"},"h":[1]}`
	if string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestParse(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{`{"a":[1,{"b":"\u00e9\n"}],"c":null}`, ""},
		{` [ ] `, ""},
		{`{"a":{"b":1,"b":2}}`, "a.b: duplicate key in an object; remove one of them"},
		{`[1] 2`, "not a single JSON value: invalid character '2' after top-level value at byte 5"},
		{`[1e309]`, "[0]: the exponent of the number is outside -308 to 308; send it as a string"},
		{`[9e308]`, "[0]: the number is too large for a float64; send it as a string"},
		{`{"a.b":[0,1e400]}`, `["a.b"][1]: the exponent of the number is outside -308 to 308; send it as a string`},
	} {
		v, err := Parse([]byte(test.text), ValueLimits)
		if got := fmt.Sprint(err); err != nil && got != test.want || err == nil && test.want != "" {
			t.Errorf("%s: got %v, want %q", test.text, err, test.want)
		}
		if err != nil {
			continue
		}
		var want any
		decoder := json.NewDecoder(strings.NewReader(test.text))
		decoder.UseNumber()
		if err := decoder.Decode(&want); err != nil {
			t.Fatal(err)
		}
		if got, want := fmt.Sprintf("%#v", v), fmt.Sprintf("%#v", want); got != want {
			t.Errorf("%s: got %s, want %s", test.text, got, want)
		}
	}
}

func TestCheckNumber(t *testing.T) {
	for _, literal := range []string{"0", "-0", "12", "1.5", "1e308", "1E-308", "1.7976931348623157e308", strings.Repeat("1", MaxNumber)} {
		if reason := CheckNumber(literal); reason != "" {
			t.Errorf("%s is refused: %s", literal, reason)
		}
	}
	for _, literal := range []string{"", "-", "+1", "01", "1.", ".5", "1e", "1e+", "0x1", "1_0", "Inf", "NaN", "1e309", "9e308", "1e-309", "1e99999999999999999999", strings.Repeat("1", MaxNumber+1), "1 "} {
		if CheckNumber(literal) == "" {
			t.Errorf("%q is accepted", literal)
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	s, err := Compile([]byte(`{"type":"object","additionalProperties":false,"properties":{
		"region":{"type":"string","enum":["eu","us"]},"since":{"type":"string","format":"date-time"},"limit":{"type":"integer","minimum":1}}}`))
	if err != nil {
		b.Fatal(err)
	}
	good := map[string]any{"region": "us", "since": "2026-03-05T14:00:00Z", "limit": json.Number("10")}
	bad := map[string]any{"region": "su", "since": "2026-03-05T14:00:00Z", "limit": json.Number("10")}
	b.Run("fits", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if s.Validate(good) != nil {
				b.Fatal("refused")
			}
		}
	})
	b.Run("library", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if !libraryAccepts(s, good) {
				b.Fatal("refused")
			}
		}
	})
	b.Run("refused", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if s.Validate(bad) == nil {
				b.Fatal("accepted")
			}
		}
	})
}
