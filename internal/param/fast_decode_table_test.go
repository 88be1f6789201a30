package param

import (
	"encoding/json"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/jsonschema"
	"github.com/provost-go/provost/params"
)

// TestFastPathByRule has valid values for each rule, which the fast path must accept, and invalid
// ones, as JSON separated by spaces.
func TestFastPathByRule(t *testing.T) {
	tests := []struct {
		name     string
		typ      reflect.Type
		yes, not string
	}{
		{"bool", plainField[bool](), `true false`, `1 "true" null [] {}`},
		{"int8", plainField[int8](), `127 -128 0 -0`, `128 -129 1.5 "1" null`},
		{"int64", plainField[int64](), `9223372036854775807 -9223372036854775808`, `9223372036854775808 1e300`},
		{"uint64", plainField[uint64](), `18446744073709551615`, `-1 18446744073709551616`},
		{"float32", plainField[float32](), `3.4028234e38 0.1 -1e-45`, `3.5e38 "1"`},
		{"float64", plainField[float64](), `1e308 -0.0 12345678901234567890`, `1e309 true`},
		{"number", plainField[json.Number](), `1e2 1.50`, `"1" 1e999`},
		{"text", plainField[string](), `"" "é" "\u0000"`, `1 null ["a"]`},
		{"time", plainField[time.Time](), `"2026-03-05T14:00:00+01:00"`, `"2026-03-05" 1 "2026-03-05T14:00Z"`},
		{"duration", plainField[time.Duration](), `"1h30m" 1500 -1 "0"`, `"1y" 1.5 9223372036854775808`},
		{"uuid", plainField[uuid.UUID](), `"0197a5c4-71c2-7b3e-9d0f-2a5b8c1e4f60"`, `"0197a5c471c27b3e9d0f2a5b8c1e4f60" "{0197a5c4-71c2-7b3e-9d0f-2a5b8c1e4f60}" ""`},
		{"url", plainField[url.URL](), `"" "https://example.com/a?b" "../x"`, `"%zz" ":" 1`},
		{"bytes", plainField[[]byte](), `"" "aGk="`, `"aGk" "*" [1]`},
		{"own text", plainField[netip.Addr](), `"::1"`, `"x" 1`},
		{"own schema", plainField[colour](), `"#a0b0c0"`, `"#A0B0C0" "#a0b0c0x" 1 null`},
		{"pointer to own schema", plainField[*colour](), `"#a0b0c0" null`, `"#A0B0C0"`},
		{"any", plainField[any](), `null 1 [{"a":[]}]`, ``},
		{"pointer", plainField[**int](), `null 1`, `"1" 1.5`},
		{"slice", plainField[[]int](), `[] [1,2]`, `null {} [1,"2"] [null]`},
		{"array", plainField[[2]int](), `[1,2]`, `[] [1] [1,2,3] null`},
		{"struct", plainField[address](), `{} {"zip":"1"}`, `{"x":1} [] null {"zip":1}`},
		{"map", plainField[map[string]int](), `{} {"":1,"é":2}`, `{"a":"1"} [] null`},
		{"map of structs", plainField[map[string]address](), `{"a":{"street":"x"},"b":{"zip":"1"}}`, `{"a":{"x":1}}`},
		{"integer keys", plainField[map[int8]bool](), `{"0":true,"-7":true,"127":true}`, `{"+1":true} {"01":true} {"-0":true} {"128":true} {"":true}`},
		{"natural keys", plainField[map[uint]bool](), `{"0":true}`, `{"-1":true} {"00":true}`},
		{"uuid keys", plainField[map[uuid.UUID]bool](), `{"0197a5c4-71c2-7b3e-9d0f-2a5b8c1e4f60":true}`, `{"0197a5c471c27b3e9d0f2a5b8c1e4f60":true}`},
		{"time keys", plainField[map[time.Time]bool](), `{"2026-03-05T14:00:00Z":true}`, `{"2026-03-05":true}`},
		{"quoted int", reflect.TypeFor[struct {
			V int `json:"v,string"`
		}](), `"1" "-7" "0"`, `1 "1.5" "01" "+1" "" null "99999999999999999999"`},
		{"quoted bool", reflect.TypeFor[struct {
			V bool `json:"v,string"`
		}](), `"true" "false"`, `true "" "True"`},
		{"quoted float", reflect.TypeFor[struct {
			V float64 `json:"v,string"`
		}](), `"1.5" "1e2"`, `1.5 "1e0002" ".5" "1e999"`},
		{"quoted pointer", reflect.TypeFor[struct {
			V *uint `json:"v,string"`
		}](), `"1" null`, `1 "-0" "-1"`},
		{"minimum", taggedField[int](`minimum:"2"`), `2 3`, `1 -2`},
		{"maximum", taggedField[int64](`maximum:"9007199254740993"`), `9007199254740993 9007199254740992`, `9007199254740994`},
		{"minimum beyond floats", taggedField[int64](`minimum:"9007199254740993"`), `9007199254740993`, `9007199254740992`},
		{"maximum of a float", taggedField[json.Number](`maximum:"9007199254740993"`), `9007199254740992.5`, `9007199254740993.5`},
		{"maximum of a float32", taggedField[float32](`maximum:"0.1"`), `0.1 0.0999999999`, `0.10000000001`},
		{"exclusiveMinimum", taggedField[float64](`exclusiveMinimum:"0"`), `1e-300 1`, `0 -0 0.0 -1`},
		{"exclusiveMaximum", taggedField[float64](`exclusiveMaximum:"1"`), `0.9999999999999999`, `1 1.0 1e0 2`},
		{"multipleOf", taggedField[json.Number](`multipleOf:"0.1"`), `0.3 7 -0.2 0`, `0.35 1e-2`},
		{"minLength", taggedField[string](`minLength:"2"`), `"ab" "éé"`, `"é" "" "a"`},
		{"maxLength", taggedField[string](`maxLength:"2"`), `"éé" ""`, `"abc"`},
		{"pattern", taggedField[string](`pattern:"^a"`), `"ab"`, `"ba" ""`},
		{"format", taggedField[string](`format:"email"`), `"ada@example.com"`, `"ada" ""`},
		{"format of a number", taggedField[json.Number](`format:"uint64"`), `1`, `-1 1.5`},
		{"format nobody checks", taggedField[string](`format:"nonsense"`), `""`, `1`},
		{"format behind a pointer", taggedField[*url.URL](`format:"uri"`), `"https://example.com/" null`, `"../x"`},
		{"enum", taggedField[string](`enum:"a,b"`), `"a" "b"`, `"c" "" "a,b" null`},
		{"enum of numbers", taggedField[int](`enum:"1,2"`), `1`, `3 "1"`},
		{"enum of bools", taggedField[bool](`enum:"true"`), `true`, `false`},
		{"enum of a pointer", taggedField[*string](`enum:"a"`), `"a" null`, `"b"`},
		{"enum of durations", taggedField[time.Duration](`enum:"1h"`), `"1h" "1h0m0s"`, `"60m" 3600000000000`},
		{"enum of items", taggedField[[]string](`enum:"a,b"`), `[] ["a","b","a"]`, `["c"] "a"`},
		{"minItems", taggedField[[]int](`minItems:"1"`), `[1] [1,2]`, `[]`},
		{"maxItems", taggedField[[]int](`maxItems:"1"`), `[] [1]`, `[1,2]`},
		{"items behind a pointer", taggedField[*[]int](`maxItems:"1"`), `null [1]`, `[1,2]`},
		{"uniqueItems", taggedField[[]string](`uniqueItems:"true"`), `[] ["a","b"]`, `["a","a"] ["a","b","a"]`},
		{"required", taggedField[*int](`required:"true"`), `null 1`, `"1"`},
	}
	for _, test := range tests {
		text, err := writeSchema(test.typ, nil)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		library := newLibrary(t, text)
		schema, err := Compile(text)
		if err != nil {
			t.Fatal(err)
		}
		for want, values := range map[bool]string{true: test.yes, false: test.not} {
			for _, value := range strings.Fields(values) {
				plain, err := jsonschema.Parse([]byte(`{"v":`+value+`}`), jsonschema.Limits{})
				if err != nil {
					t.Fatal(err)
				}
				var n tally
				if err := n.disagree(test.typ, library, schema, plain.(map[string]any)); err != nil {
					t.Errorf("%s: %v", test.name, err)
				} else if n.fast == 1 != want || n.yes == 1 != want {
					t.Errorf("%s: %s fits %t, accepted by the fast path %t, want %t", test.name, value, n.yes == 1, n.fast == 1, want)
				}
			}
		}
	}
}

// TestFastPathKeepsLimits checks that the fast path leaves large values, deep values and malformed
// numbers to the schema, which refuses them.
func TestFastPathKeepsLimits(t *testing.T) {
	type given struct {
		Any   any               `json:"any"`
		Texts []string          `json:"texts"`
		Map   map[string]string `json:"map"`
		Num   json.Number       `json:"num"`
		Next  *treeNode         `json:"next"`
	}
	half := strings.Repeat("x", jsonschema.MaxValue/2)
	deep, tree := any("x"), any(map[string]any{})
	for range jsonschema.MaxDepth {
		deep = []any{deep}
		tree = map[string]any{"kids": []any{tree}}
	}
	for name, p := range map[string]params.Params{
		"large text":        {"any": half + half},
		"two large texts":   {"texts": []any{half, half}},
		"large keys":        {"map": map[string]any{half + "a": "", half + "b": ""}},
		"deep":              {"any": deep},
		"deep tree":         {"next": tree},
		"no number":         {"num": json.Number("x")},
		"long number":       {"num": json.Number(strings.Repeat("1", jsonschema.MaxNumber+1))},
		"large exponent":    {"num": json.Number("1e309")},
		"text not in UTF-8": {"texts": []any{"\xff"}},
		"key not in UTF-8":  {"map": map[string]any{"\xff": ""}},
		"not a plain value": {"any": 1},
	} {
		if fastDecodeParams(p, new(given)) {
			t.Errorf("%s: accepted", name)
		}
		if _, err := Normalize(p); err == nil && name != "not a plain value" {
			t.Errorf("%s: within the limits", name)
		}
	}
}

func TestFastPathRequiresFields(t *testing.T) {
	type given struct {
		A  *int `json:"a" required:"true"`
		In *struct {
			B int `json:"b" required:"true" default:"3"`
		} `json:"in"`
	}
	for text, want := range map[string]bool{
		`{}`: false, `{"a":null}`: true, `{"a":1,"in":null}`: true, `{"a":1,"in":{}}`: false, `{"a":1,"in":{"b":2}}`: true, `{"in":{"b":2}}`: false,
	} {
		plain, err := jsonschema.Parse([]byte(text), jsonschema.ValueLimits)
		if err != nil {
			t.Fatal(err)
		}
		if byValue, byText := fastDecodeParams(plain.(map[string]any), new(given)), fastScanJSON(text, new(given)); byValue != want || byText != want {
			t.Errorf("%s: by value %t, by text %t, want %t", text, byValue, byText, want)
		}
	}
}
