package guard

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// within fails a test whose work is not bounded. Under -race and on a busy machine the real times of some tens of
// milliseconds grow tenfold.
func within(t *testing.T, start time.Time) {
	t.Helper()
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
}

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
		{"remote reference", `{"properties":{"a":{"$ref":"` + server.URL + `/x"}}}`, "properties.a.$ref", "leads out of the schema"},
		{"file reference", `{"$ref":"file:///etc/passwd"}`, "$ref", "leads out of the schema"},
		{"relative reference", `{"$ref":"other.json#/a"}`, "$ref", "leads out of the schema"},
		{"named anchor", `{"$ref":"#here"}`, "$ref", "leads out of the schema"},
		{"dangling reference", `{"$ref":"#/definitions/a"}`, "$ref", "names nothing"},
		{"moved base", `{"properties":{"a":{"$id":"http://x/"}}}`, "properties.a", "would move the base"},
		{"moved base, draft-04", `{"items":{"id":"http://x/"}}`, "items", "would move the base"},
		{"self reference", `{"$ref":"#"}`, "", "lead back here"},
		{"self reference in allOf", `{"allOf":[{"$ref":"#"}]}`, "", "lead back here"},
		{"self reference in anyOf", `{"anyOf":[{"type":"string"},{"$ref":"#"}]}`, "", "lead back here"},
		{"self reference in not", `{"not":{"$ref":"#"}}`, "", "lead back here"},
		{"self reference in if", `{"if":{"$ref":"#"}}`, "", "lead back here"},
		{"self reference in dependencies", `{"dependencies":{"a":{"$ref":"#"}}}`, "", "lead back here"},
		{"mutual references", `{"$ref":"#/definitions/a","definitions":{"a":{"$ref":"#/definitions/b"},"b":{"$ref":"#/definitions/a"}}}`, "", "lead back here"},
		{"circle through an unused part", `{"definitions":{"a":{"$ref":"#/definitions/a"}}}`, "definitions.a", "lead back here"},
		{"references that multiply", doubling(20), "definitions.a", "expand to more than"},
		{"large", `{"description":"` + strings.Repeat("x", MaxSchema) + `"}`, "", "the limit is 262144"},
		{"deep", nested(MaxDepth), "", "nested deeper than 64"},
		{"look-ahead", `{"pattern":"(?=a)b"}`, "pattern", "RE2"},
		{"large pattern", `{"pattern":"` + strings.Repeat("[\\\\pL\\\\pN]{1,50}", 300) + `"}`, "pattern", "too large"},
		{"many patterns", `{"allOf":[` + strings.Repeat(`{"pattern":"\\pL{999}"},`, 1000) + `{}]}`, "", "too large"},
		{"bad patternProperties", `{"patternProperties":{"(":{}}}`, "patternProperties", "RE2"},
		{"prefixItems", `{"prefixItems":[]}`, "", `"prefixItems" is not a keyword`},
		{"$defs", `{"$defs":{}}`, "", `call it "definitions"`},
		{"unevaluatedProperties", `{"unevaluatedProperties":false}`, "", "additionalProperties"},
		{"dependentRequired", `{"dependentRequired":{}}`, "", "dependencies"},
		{"nullable", `{"properties":{"a":{"type":"string","nullable":true}}}`, "properties.a", `"type": ["string", "null"]`},
		{"newer draft", `{"$schema":"https://json-schema.org/draft/2020-12/schema"}`, "$schema", "draft-07"},
		{"rule beside a reference", `{"$ref":"#/definitions/a","maxLength":3,"definitions":{"a":{}}}`, "", "allOf"},
		{"large number", `{"maximum":1e5000000}`, "maximum", "exponent"},
		{"long number", `{"maximum":` + strings.Repeat("1", 41) + `}`, "maximum", "41 characters"},
		{"unknown type", `{"type":"float"}`, "type", "expected one of"},
		{"type of a wrong kind", `{"type":3}`, "type", "expected one of"},
		{"negative length", `{"minLength":-1}`, "minLength", "from 0 up"},
		{"bounds that cross", `{"minLength":3,"maxLength":2}`, "", "nothing would fit"},
		{"multipleOf 0", `{"multipleOf":0}`, "multipleOf", "above 0"},
		{"required beside the property", `{"properties":{"a":{"required":true}}}`, "properties.a.required", "belongs to the object"},
		{"properties of a wrong kind", `{"properties":[]}`, "properties", "expected an object of schemas"},
		{"a number for a schema", `{"items":3}`, "items", "expected a schema"},
		{"empty enum", `{"enum":[]}`, "enum", "expected a list"},
		{"trailing text", `{} {}`, "", "not one JSON text"},
		{"duplicate key", `{"type":"string","type":"number"}`, "type", "comes twice"},
		{"default that does not fit", `{"properties":{"a":{"type":"string","default":3}}}`, "properties.a.default", "expected text"},
		{"default that does not fit, by the library", `{"properties":{"a":{"multipleOf":2,"default":3}}}`, "properties.a.default", "multiple of 2"},
		{"nothing", ``, "", "not one JSON text"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			start := time.Now()
			_, err := Compile([]byte(test.schema))
			within(t, start)
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

func TestValidateBoundsHostileValues(t *testing.T) {
	number := json.Number("1e5000000")
	ones := make([]any, 200_000)
	for i := range ones {
		ones[i] = json.Number("1")
	}
	deep := any("x")
	for range 60 {
		deep = map[string]any{"a": deep}
	}
	tooDeep := any("x")
	for range 100 {
		tooDeep = []any{tooDeep}
	}
	tests := []struct {
		name, schema string
		value        any
		reason       string
	}{
		{"huge number under maximum", `{"maximum":3}`, number, "exponent"},
		{"huge number under integer", `{"type":"integer"}`, number, "exponent"},
		{"huge number under enum", `{"enum":[1]}`, number, "exponent"},
		{"long number", `{"multipleOf":3}`, json.Number(strings.Repeat("9", 100_000)), "characters"},
		{"not a number", `{"type":"string"}`, json.Number("NaN"), "not a number"},
		{"deep", `{"type":"string"}`, tooDeep, "nested deeper"},
		{"large", `{"type":"integer"}`, strings.Repeat("x", MaxValue), "the limit is 524288"},
		{"too many items", `{"maxItems":2,"items":{"type":"string"}}`, ones, "at most 2 items, got 200000"},
		{"many wrong items", `{"items":{"type":"string"}}`, ones, "takes more than"},
		{"many items that fit no alternative", `{"items":{"oneOf":[{"type":"string"},{"type":"null"}]}}`, ones[:24_000], "expected text"},
		{"multiplying recursion", `{"properties":{"a":{"allOf":[{"$ref":"#"},{"$ref":"#"}]}},"minProperties":1}`, deep, "takes more than"},
		{"patterns compiled for each key", `{"patternProperties":{"\\pL{100}":{}},"minProperties":1}`, keys(40_000), "takes more than"},
		{"slow pattern", `{"pattern":"^(.?){900}$"}`, strings.Repeat("x", 500_000), "takes more than"},
		{"wrong Go type", `{"type":"string"}`, 3, "not a plain JSON value"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := Compile([]byte(test.schema))
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			problems := s.Validate(test.value)
			within(t, start)
			if len(problems) == 0 || len(problems) > MaxProblems || !strings.Contains(problems[0].Reason, test.reason) {
				t.Errorf("got %v, want %q", problems, test.reason)
			}
		})
	}
}

func keys(n int) map[string]any {
	m := map[string]any{}
	for i := range n {
		m[fmt.Sprint(i)] = nil
	}
	return m
}

func TestProblems(t *testing.T) {
	const schema = `{
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
	tests := []struct{ value, want string }{
		{`{}`, `region: is required and missing; add one of "europe", "america"`},
		{`{"region":"eurape"}`, `region: expected one of "europe", "america"; got the text "eurape"; did you mean "europe"?`},
		{`{"region":"europe","limit":"5"}`, `limit: expected a whole number, got the text "5"; write 5 without quotes`},
		{`{"region":"europe","limit":11}`, "limit: expected at most 10, got the number 11"},
		{`{"region":"europe","limit":0.5}`, "limit: expected a whole number, got the number 0.5"},
		{`{"region":"europe","limt":5}`, "limt: is not a parameter here; did you mean limit?"},
		{`{"region":"europe","a.b":5}`, `["a.b"]: is not a parameter here; known are at, customer, even, limit, name, nested, one, region, size`},
		{`{"region":"europe","name":"ABCDEFG"}`, `name: expected at most 5 characters, got 7: the text "ABCDEFG"` + "\n" + `name: expected text that matches ^[a-z]+$, got the text "ABCDEFG"`},
		{`{"region":"europe","at":"12:00:00"}`, `at: expected the format date-time, such as "2026-03-05T14:00:00+01:00"; got the text "12:00:00"`},
		{`{"region":"europe","customer":{"address":[{},{},{"zip":3}]}}`, `customer.address[2].zip: expected text, got the number 3; write "3" in quotes`},
		{`{"region":"europe","size":"x"}`, `size: expected a whole number, got the text "x"`},
		{`{"region":"europe","one":3}`, "one: must fit exactly one of the allowed forms, got the number 3"},
		{`{"region":"europe","nmae":"x"}`, "nmae: is not a parameter here; did you mean name?"},
		{`{"region":"europe","nested":{}}`, "nested.n: is required and missing; add a whole number"},
		{`{"region":"europe","even":3}`, "even: expected a multiple of 2, got the number 3"},
		{`{"region":"europe","size":null,"limit":1e1,"name":"abc","at":"2026-03-05T14:00:00.5+01:00"}`, ""},
	}
	s, err := Compile([]byte(schema))
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

func TestProblemsAreSortedAndBounded(t *testing.T) {
	s, err := Compile([]byte(`{"additionalProperties":{"type":"string"}}`))
	if err != nil {
		t.Fatal(err)
	}
	first := text(s.Validate(any(keys(200))))
	if n := strings.Count(first, "\n") + 1; n != MaxProblems {
		t.Errorf("got %d problems, want %d", n, MaxProblems)
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
			t.Errorf("%s takes nothing for complete", schema)
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
	// "next" is the schema itself and would go on for ever.
	want := `{"a":3,"b":{"c":"x"},"h":[1]}`
	if string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestParse(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{`{"a":[1,{"b":"\u00e9\n"}],"c":null}`, ""},
		{` [ ] `, ""},
		{`{"a":{"b":1,"b":2}}`, "a.b: the key comes twice in one object; remove one of them"},
		{`[1] 2`, "not one JSON text: invalid character '2' after top-level value at byte 5"},
		{`[1e309]`, "[0]: a number with an exponent outside -308 to 308; send it as a string"},
		{`[9e308]`, "[0]: a number larger than a float64 can hold; send it as a string"},
		{`{"a.b":[0,1e400]}`, `["a.b"][1]: a number with an exponent outside -308 to 308; send it as a string`},
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
			t.Errorf("%q is taken", literal)
		}
	}
}

// libraryTakes is the verdict without the fast way.
func libraryTakes(s *Schema, v any) bool {
	judge, err := s.library()
	if err != nil {
		panic(err)
	}
	return len(judge.problems(s.root, v)) == 0
}

// TestCheckAgreesWithLibrary compares the fast way with the library over random schemas and values: for the schemas that
// check takes on alone, its yes must be the library's yes, and for scalars its no the library's no.
func TestCheckAgreesWithLibrary(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	fast, yes := 0, 0
	for range 3000 {
		text, _ := json.Marshal(randomSchema(random, 3))
		s, err := Compile(text)
		if err != nil {
			continue
		}
		for range 10 {
			v := randomValue(random, 3)
			got, want := s.root.fits(v), libraryTakes(s, v)
			if s.direct {
				fast++
				if got {
					yes++
				}
				if got && !want {
					t.Fatalf("schema %s takes %v, the library does not", text, show(v))
				}
				if !got && want && !mayHesitate(s, v) {
					t.Fatalf("schema %s refuses %v, the library takes it", text, show(v))
				}
			}
			if valid := s.Validate(v) == nil; valid != want {
				t.Fatalf("schema %s: Validate says %t to %v, the library %t", text, valid, show(v), want)
			}
		}
	}
	if fast < 5000 || yes < 1000 {
		t.Errorf("only %d cases went the fast way, %d of them fit", fast, yes)
	}
}

// mayHesitate: enums of lists and objects are left to the library.
func mayHesitate(s *Schema, v any) bool { return strings.ContainsAny(show(v), "[{") }

func pick[T any](random *rand.Rand, list ...T) T { return list[random.IntN(len(list))] }

func randomSchema(random *rand.Rand, depth int) any {
	if random.IntN(20) == 0 {
		return random.IntN(2) == 0
	}
	m := map[string]any{}
	sub := func() any { return randomSchema(random, depth-1) }
	for range random.IntN(4) {
		switch k := random.IntN(22); {
		case k < 4:
			m["type"] = pick[any](random, "string", "integer", "number", "boolean", "null", "object", "array", []string{"string", "null"}, []string{"integer", "object"})
		case k == 4:
			m["enum"] = []any{randomValue(random, 1), randomValue(random, 1)}
		case k == 5:
			m["minimum"] = pick(random, json.Number("0"), "1.5", "-3", "1e2")
		case k == 6:
			m["exclusiveMaximum"] = pick(random, json.Number("2"), "1e1", "0.5")
		case k == 7:
			m["maxLength"] = random.IntN(4)
		case k == 8:
			m["pattern"] = pick(random, "^a", "b$", "[0-9]")
		case k == 9:
			m["format"] = pick(random, "date-time", "duration", "uuid", "int64", "uint64", "float", "byte", "email", "unknown")
		case k == 10:
			m["minItems"] = random.IntN(3)
		case k == 11:
			m["maxProperties"] = random.IntN(3)
		case k == 12:
			m["required"] = []string{pick(random, "a", "b")}
		case k == 13:
			m["multipleOf"] = pick(random, json.Number("2"), "0.5")
		case depth == 0:
		case k < 17:
			m["properties"] = map[string]any{"a": sub(), "b": sub()}
		case k == 17:
			m["additionalProperties"] = sub()
		case k == 18:
			m["items"] = sub()
		case k == 19:
			m["anyOf"] = []any{sub(), sub()}
		case k == 20:
			m["allOf"] = []any{sub(), sub()}
		case k == 21:
			m[pick(random, "not", "contains", "propertyNames")] = sub()
		}
	}
	return m
}

func randomValue(random *rand.Rand, depth int) any {
	kinds := 9
	if depth == 0 {
		kinds = 7
	}
	switch random.IntN(kinds) {
	case 0:
		return nil
	case 1:
		return random.IntN(2) == 0
	case 2, 3:
		return pick(random, json.Number("0"), "1", "2.0", "2.5", "-3", "1e2", "9007199254740993", "18446744073709551615", "1e300", "-0")
	case 4, 5, 6:
		return pick(random, "", "a", "ab", "b", "abc7", "é", "1h", "2026-03-05T14:00:00Z", "0197a5c4-71c2-7b3e-9d0f-2A5B8C1E4F60", "aGk=", "a@b.c")
	case 7:
		list := []any{}
		for range random.IntN(4) {
			list = append(list, randomValue(random, depth-1))
		}
		return list
	default:
		m := map[string]any{}
		for range random.IntN(4) {
			m[pick(random, "a", "b", "c")] = randomValue(random, depth-1)
		}
		return m
	}
}

func FuzzSchemaAndValue(f *testing.F) {
	for _, seed := range [][2]string{
		{`{"type":"object","properties":{"a":{"type":"integer","maximum":3}},"required":["a"]}`, `{"a":1e5}`},
		{`{"$ref":"#"}`, `{}`},
		{`{"properties":{"a":{"allOf":[{"$ref":"#"},{"$ref":"#"}]}}}`, `{"a":{"a":{}}}`},
		{`{"anyOf":[{"type":"null"},{"$ref":"#/definitions/x"}],"definitions":{"x":{"pattern":"^a+$"}}}`, `"aaa"`},
		{`{"items":[{"const":1},{"enum":["x"]}],"additionalItems":false,"uniqueItems":true}`, `[1,"x",3]`},
		{`{"patternProperties":{"^a":{"not":{}}},"propertyNames":{"maxLength":3},"dependencies":{"a":["b"]}}`, `{"abcd":1}`},
		{`{"if":{"required":["a"]},"then":{"minProperties":2},"else":{"maxProperties":1},"default":{}}`, `{"a":1}`},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, schema, value string) {
		s, err := Compile([]byte(schema))
		if err != nil {
			return
		}
		v, err := Parse([]byte(value), ValueLimits)
		if err != nil {
			return
		}
		start := time.Now()
		problems := s.Validate(v)
		s.ValidatePartial(v)
		s.Defaults()
		within(t, start)
		for _, p := range problems {
			if strings.HasPrefix(p.Reason, "the schema library failed") {
				t.Fatal(p)
			}
		}
		if s.direct && s.root.fits(v) && s.root.checkSizes(v) == nil && !libraryTakes(s, v) {
			t.Fatalf("schema %s takes %s, the library does not", schema, value)
		}
	})
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
			if !libraryTakes(s, good) {
				b.Fatal("refused")
			}
		}
	})
	b.Run("refused", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if s.Validate(bad) == nil {
				b.Fatal("taken")
			}
		}
	})
}
