package jsonschema

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

func mustCompile(t *testing.T, text string) *Schema {
	t.Helper()
	s, err := Compile([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func parse(t *testing.T, text string) any {
	t.Helper()
	v, err := Parse([]byte(text), ValueLimits)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func within(t *testing.T, start time.Time) {
	t.Helper()
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
}

func star(string, any) any { return "***" }

func asText(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestSecrets(t *testing.T) {
	const tree = `{"$ref":"#/definitions/n","definitions":{"n":{"properties":{"key":{"writeOnly":true},"all":{"items":{"$ref":"#/definitions/n"}}}}}}`
	tests := []struct{ name, schema, value, want string }{
		{"none", `{"properties":{"a":{"type":"string"}}}`, `{"a":"x"}`, `{"a":"x"}`},
		{"writeOnly", `{"properties":{"a":{"writeOnly":true}}}`, `{"a":"x","b":"y"}`, `{"a":"***","b":"y"}`},
		{"writeOnly false", `{"properties":{"a":{"writeOnly":false}}}`, `{"a":"x"}`, `{"a":"x"}`},
		{"password", `{"properties":{"a":{"type":"string","format":"password"}}}`, `{"a":"x"}`, `{"a":"***"}`},
		{"null", `{"properties":{"a":{"writeOnly":true}}}`, `{"a":null}`, `{"a":null}`},
		{"empty text", `{"properties":{"a":{"writeOnly":true}}}`, `{"a":""}`, `{"a":"***"}`},
		{"whole object", `{"properties":{"a":{"writeOnly":true}}}`, `{"a":{"b":[1]}}`, `{"a":"***"}`},
		{"beside a reference", `{"properties":{"a":{"$ref":"#/definitions/a","writeOnly":true}},"definitions":{"a":{"type":"string"}}}`, `{"a":"x"}`, `{"a":"***"}`},
		{"behind a reference", `{"properties":{"a":{"$ref":"#/definitions/a"}},"definitions":{"a":{"writeOnly":true}}}`, `{"a":"x"}`, `{"a":"***"}`},
		{"items", `{"properties":{"a":{"items":{"writeOnly":true}}}}`, `{"a":["x","y"]}`, `{"a":["***","***"]}`},
		{"tuple", `{"properties":{"a":{"items":[{},{"writeOnly":true}],"additionalItems":{"format":"password"}}}}`, `{"a":["x","y","z"]}`, `{"a":["x","***","***"]}`},
		{"additional", `{"additionalProperties":{"writeOnly":true}}`, `{"a":"x"}`, `{"a":"***"}`},
		{"pattern", `{"patternProperties":{"^a":{"writeOnly":true}}}`, `{"ab":"x","b":"y"}`, `{"ab":"***","b":"y"}`},
		{"any of", `{"properties":{"a":{"anyOf":[{"writeOnly":true,"type":"string"},{"type":"null"}]}}}`, `{"a":"x"}`, `{"a":"***"}`},
		{"one of", `{"oneOf":[{"properties":{"a":{"writeOnly":true}},"required":["a"]},{"required":["b"]}]}`, `{"a":"x"}`, `{"a":"***"}`},
		{"then", `{"if":{"required":["k"]},"then":{"properties":{"a":{"writeOnly":true}}}}`, `{"a":"x","k":1}`, `{"a":"***","k":1}`},
		{"dependency", `{"dependencies":{"k":{"properties":{"a":{"writeOnly":true}}}}}`, `{"a":"x","k":1}`, `{"a":"***","k":1}`},
		{"all of", `{"allOf":[{"properties":{"a":{"properties":{"b":{"writeOnly":true}}}}},{"properties":{"a":{"type":"object"}}}]}`, `{"a":{"b":1,"c":2}}`, `{"a":{"b":"***","c":2}}`},
		{"tree", tree, `{"key":1,"all":[{"key":2,"all":[{"key":3,"x":4}]}]}`, `{"all":[{"all":[{"key":"***","x":4}],"key":"***"}],"key":"***"}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, v := mustCompile(t, test.schema), parse(t, test.value)
			before := asText(t, v)
			if got := asText(t, s.ReplaceSecrets(v, star)); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
			if got := asText(t, s.Conceal(v, star)); got != test.want {
				t.Errorf("concealed %s, want %s", got, test.want)
			}
			if s.Secret() != (test.want != test.value) && test.name != "null" {
				t.Errorf("Secret is %v", s.Secret())
			}
			if after := asText(t, v); after != before {
				t.Errorf("the value became %s", after)
			}
		})
	}
}

// TestConceal checks that the invalid parts of a value are hidden.
func TestConceal(t *testing.T) {
	const schema = `{"type":"object","properties":{"a":{"type":"string"},"o":{"type":"object","properties":{"x":{"type":"string"}},"additionalProperties":false}},"additionalProperties":false,"required":["a"]}`
	for value, want := range map[string]string{
		`{}`:                          `{}`,
		`{"a":"x"}`:                   `{"a":"x"}`,
		`{"a":1}`:                     `{"a":"***"}`,
		`{"a":"x","old":"y"}`:         `{"a":"x","old":"***"}`,
		`{"a":"x","o":{"x":"y"}}`:     `{"a":"x","o":{"x":"y"}}`,
		`{"a":"x","o":{"old":"y"}}`:   `{"a":"x","o":"***"}`,
		`{"a":"x","o":"y"}`:           `{"a":"x","o":"***"}`,
		`{"a":"x","old":null,"o":{}}`: `{"a":"x","o":{},"old":null}`,
	} {
		if got := asText(t, mustCompile(t, schema).Conceal(parse(t, value), star)); got != want {
			t.Errorf("%s: got %s, want %s", value, got, want)
		}
	}
}

func TestSecretProblems(t *testing.T) {
	const canary = "canary"
	schema := mustCompile(t, `{"properties":{
		"s":{"type":"string","writeOnly":true,"minLength":9,"maxLength":20,"pattern":"^c"},
		"n":{"type":"number","writeOnly":true,"minimum":10,"exclusiveMaximum":20,"multipleOf":3},
		"e":{"enum":["a","b"],"format":"password"},
		"u":{"writeOnly":true,"uniqueItems":true,"contains":{"const":1},"maxItems":2},
		"f":{"type":"string","format":"email","writeOnly":true},
		"o":{"type":"object","properties":{"p":{"type":"integer","writeOnly":true}},"additionalProperties":false},
		"w":{"type":"object","writeOnly":true,"additionalProperties":{"type":"integer"},"propertyNames":{"maxLength":3}},
		"any":{"writeOnly":true,"anyOf":[{"type":"integer"},{"type":"boolean"}]},
		"one":{"writeOnly":true,"oneOf":[{"type":"integer"},{"type":"boolean"}]},
		"not":{"writeOnly":true,"not":{"type":"string"}}
	}}`)
	for value, path := range map[string]string{
		`{"s":"canary"}`:                  "s",
		`{"s":"canary, and many a word"}`: "s",
		`{"s":["canary"]}`:                "s",
		`{"s":"x-canary-x"}`:              "s",
		`{"n":7.5}`:                       "n",
		`{"n":"canary"}`:                  "n",
		`{"n":777}`:                       "n",
		`{"e":"canary"}`:                  "e",
		`{"u":["canary","canary","c"]}`:   "u",
		`{"f":"canary"}`:                  "f",
		`{"o":{"p":"canary"}}`:            "o.p",
		`{"o":"canary"}`:                  "o",
		`{"w":{"canary":"canary"}}`:       "w",
		`{"any":"canary"}`:                "any",
		`{"one":"canary"}`:                "one",
		`{"not":"canary"}`:                "not",
	} {
		problems := schema.Validate(parse(t, value))
		if len(problems) == 0 {
			t.Errorf("%s fits", value)
		}
		for _, p := range problems {
			if p.Path != path || strings.Contains(p.Reason, canary) || strings.Contains(p.Reason, "7.5") || strings.Contains(p.Reason, "777") {
				t.Errorf("%s: %v, want it at %s", value, p, path)
			}
		}
	}
	// The same holds for the schemas of lower layers, for keys that look like the library's own,
	// and for a reference at the root.
	for schema, value := range map[string]string{
		`{"$ref":"#/definitions/d","writeOnly":true,"definitions":{"d":{"type":"integer"}}}`:                                                              `"canary"`,
		`{"$ref":"#/definitions/d","writeOnly":true,"definitions":{"d":{"properties":{"a":{"type":"integer"}}}}}`:                                         `{"a":"canary"}`,
		`{"properties":{"k":{},"a":{"type":"integer"}},"dependencies":{"k":{"properties":{"a":{"writeOnly":true}}}}}`:                                     `{"k":1,"a":"canary"}`,
		`{"properties":{"a":{"type":"integer"}},"if":{"properties":{"k":{"const":1}}},"then":{"properties":{"a":{"writeOnly":true}}}}`:                    `{"a":"canary"}`,
		`{"properties":{"a":{"type":"integer"}},"oneOf":[{"properties":{"a":{"format":"password"}},"required":["b"]},{"required":["c"]}]}`:                `{"a":"canary"}`,
		"{\"additionalProperties\":{\"type\":\"integer\",\"writeOnly\":true}}":                                                                            "{\"a\\u001f\\u0000b\":\"canary\"}",
		`{"properties":{"a":{"items":{"properties":{"b":{"type":"integer","writeOnly":true}},"type":"object"}}}}`:                                         `{"a":["canary"]}`,
		`{"patternProperties":{"^a":{"properties":{"\"].[0":{"items":[{},{"type":"integer","writeOnly":true}]}}}},"properties":{"ab":{"type":"object"}}}`: `{"ab":{"\"].[0":[1,"canary"]}}`,
	} {
		s := mustCompile(t, schema)
		for _, problems := range [][]*Problem{s.Validate(parse(t, value)), s.ValidatePartial(parse(t, value))} {
			if len(problems) == 0 {
				t.Errorf("%s fits %s", value, schema)
			}
			for _, p := range problems {
				if strings.Contains(p.Error(), canary) {
					t.Errorf("%s: %v", schema, p)
				}
			}
		}
	}
	// A key is not a value, and what is not secret is shown.
	problems := schema.Validate(parse(t, `{"o":{"q":1}}`))
	if len(problems) != 1 || !strings.Contains(problems[0].Reason, "expected one of p") {
		t.Errorf("problems %v", problems)
	}
}

// TestSecretsBounded checks that hostile schemas and values cost a bounded time, and that
// everything beyond the bound is hidden.
func TestSecretsBounded(t *testing.T) {
	var all strings.Builder
	for i := range 900 {
		fmt.Fprintf(&all, `{"items":{"properties":{"k%d":{"writeOnly":true}}}},`, i)
	}
	schema := mustCompile(t, `{"properties":{"a":{"allOf":[`+all.String()+`{}]}}}`)
	value := parse(t, `{"a":[`+strings.Repeat(`{"x":"y"},`, 40_000)+`{"x":"last"}]}`)
	began := time.Now()
	shown := schema.ReplaceSecrets(value, star)
	within(t, began)
	began = time.Now()
	for _, p := range schema.Validate(parse(t, `{"a":[`+strings.Repeat(`"x",`, 40)+`"canary"]}`)) {
		if strings.Contains(p.Error(), "canary") {
			t.Errorf("%v", p)
		}
	}
	within(t, began)
	if strings.Contains(asText(t, shown), "last") {
		t.Error("what comes after the bound is shown")
	}

	var chain strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&chain, `"d%d":{"properties":{"a":{"$ref":"#/definitions/d%d"}}},`, i, i+1)
	}
	began = time.Now()
	if !mustCompile(t, `{"$ref":"#/definitions/d0","definitions":{`+chain.String()+`"d2000":{"writeOnly":true}}}`).Secret() {
		t.Error("a secret at the end of a long chain is not found")
	}
	within(t, began)
}

// TestConcealingIsCheap refuses values with more secrets than a message has room for.
func TestConcealingIsCheap(t *testing.T) {
	schema := mustCompile(t, `{"properties":{"l":{"items":{"type":"string","writeOnly":true}},"m":{"additionalProperties":{"type":"integer","writeOnly":true}}}}`)
	var wide strings.Builder
	for i := range 40_000 {
		fmt.Fprintf(&wide, `"k%d":"x",`, i)
	}
	for _, text := range []string{`{"l":[` + strings.Repeat("1,", 250_000) + `1]}`, `{"m":{` + wide.String() + `"k":"x"}}`} {
		value := parse(t, text)
		result := testing.AllocsPerRun(1, func() {
			began := time.Now()
			if problems := schema.Validate(value); len(problems) != MaxProblems {
				t.Errorf("%d problems", len(problems))
			}
			within(t, began)
		})
		if result > 100_000 {
			t.Errorf("%v allocations", result)
		}
	}
}

func TestUncovered(t *testing.T) {
	const derived = `{"properties":{"a":{"writeOnly":true},"l":{"items":{"$ref":"#"}},"m":{"additionalProperties":{"format":"password"}}}}`
	for schema, want := range map[string]string{
		derived:              "",
		`{"writeOnly":true}`: "",
		`{}`:                 "a",
		`{"properties":{"a":{"writeOnly":true}}}`: "m[key]",
	} {
		if got := mustCompile(t, schema).Uncovered(mustCompile(t, derived)); got != want {
			t.Errorf("%s: got %q, want %q", schema, got, want)
		}
	}
}
