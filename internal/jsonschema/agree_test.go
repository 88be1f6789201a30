package jsonschema

import (
	_ "embed"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/provost-go/provost/internal/testenv"
)

// libraryAccepts returns the library's verdict alone.
func libraryAccepts(s *Schema, v any) bool {
	validator, err := s.library()
	if err != nil {
		panic(err)
	}
	return len(validator.problems(s.root, v)) == 0
}

// TestVerdictsAgree compares our own verdict with the library's for random schemas and values.
func TestVerdictsAgree(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	yes, no, schemas := 0, 0, 5000
	if testenv.Race {
		schemas = 500
	}
	for range schemas {
		text, _ := json.Marshal(randomSchema(random, 3))
		s, err := Compile(text)
		if err != nil {
			continue
		}
		for range 10 {
			v := randomValue(random, 3)
			got, want := s.Validate(v) == nil, libraryAccepts(s, v)
			switch {
			case got:
				yes++
			default:
				no++
			}
			if got != want {
				t.Fatalf("schema %s: Validate returns %t for %v, the library %t", text, got, show(v), want)
			}
		}
	}
	if yes < schemas || no < schemas {
		t.Errorf("only %d cases fit, %d did not", yes, no)
	}
}

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

// fuzzed holds schemas and values that fuzzing found, each of which covers a different path through
// the code.
//
//go:embed testdata/fuzzed.jsonl
var fuzzed string

// FuzzSchema looks for crashes and hangs, and for verdicts that differ from the library's.
func FuzzSchema(f *testing.F) {
	for line := range strings.Lines(fuzzed) {
		var pair [2]string
		if err := json.Unmarshal([]byte(line), &pair); err != nil {
			f.Fatal(err)
		}
		f.Add(pair[0], pair[1])
	}
	for _, g := range readSuite(f) {
		for _, test := range g.Tests {
			f.Add(string(g.Schema), string(test.Data))
		}
	}
	for _, seed := range [][2]string{
		{`{"type":"object","properties":{"a":{"type":"integer","maximum":3}},"required":["a"]}`, `{"a":1e5}`},
		{`{"$ref":"#"}`, `{}`},
		{`{"properties":{"a":{"allOf":[{"$ref":"#"},{"$ref":"#"}]}}}`, `{"a":{"a":{}}}`},
		{`{"anyOf":[{"type":"null"},{"$ref":"#/$defs/x"}],"$defs":{"x":{"pattern":"^a+$","$anchor":"y"}}}`, `"aaa"`},
		{`{"prefixItems":[{"const":1},{"enum":["x"]}],"items":false,"uniqueItems":true}`, `[1,"x",3]`},
		{`{"patternProperties":{"^a":{"not":{}}},"propertyNames":{"maxLength":3},"dependentRequired":{"a":["b"]}}`, `{"abcd":1}`},
		{`{"if":{"required":["a"]},"then":{"minProperties":2},"else":{"maxProperties":1},"default":{}}`, `{"a":1}`},
		{`{"$id":"http://x/y","items":{"$ref":"z"},"definitions":{"z":{"$id":"z","type":"string","nullable":true}}}`, `[null,-0,1.0e0]`},
		{`{"items":{"multipleOf":0.01,"format":"int64"},"minItems":1,"default":[1]}`, `[1.5,0.07,1e300]`},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, schema, value string) {
		start := testenv.CPU()
		defer func() {
			if took := testenv.CPU() - start; took > time.Second {
				t.Errorf("took %v", took)
			}
		}()
		s, err := Compile([]byte(schema))
		if err != nil {
			return
		}
		v, err := Parse([]byte(value), ValueLimits)
		if err != nil {
			return
		}
		problems := s.Validate(v)
		s.ValidatePartial(v)
		s.Defaults()
		for _, p := range problems {
			if strings.HasPrefix(p.Reason, "the schema library failed") {
				t.Fatal(p)
			}
			if strings.Contains(p.Reason, "takes more than") {
				return
			}
		}
		const affordable = 10 * maxLibrarySteps
		if s.root.cost(v, affordable) <= affordable && libraryAccepts(s, v) != (problems == nil) {
			t.Fatalf("schema %s, value %s: got %q, the library %t", schema, value, text(problems), libraryAccepts(s, v))
		}
	})
}
