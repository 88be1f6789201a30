package jsonschema

import (
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/provost-go/provost/internal/testenv"
)

// Bounds of one refusal: processor time, and bytes allocated.
const (
	hostileTime   = 50 * time.Millisecond
	hostileMemory = 16 << 20
)

// refusedCheaply runs refuse, which returns the problems. It checks the text of the first problem,
// and the cost of the best of ten tries, because other work on the machine slows single ones.
func refusedCheaply(t *testing.T, words string, refuse func() []*Problem) {
	t.Helper()
	took, memory := time.Duration(math.MaxInt64), uint64(math.MaxUint64)
	for try := 0; try == 0 || !testenv.Race && try < 10 && (took > hostileTime || memory > hostileMemory); try++ {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := testenv.CPU()
		problems := refuse()
		took = min(took, testenv.CPU()-start)
		runtime.ReadMemStats(&after)
		memory = min(memory, after.TotalAlloc-before.TotalAlloc)
		if len(problems) == 0 || len(problems) > MaxProblems {
			t.Fatalf("%d problems", len(problems))
		}
		if got := problems[0].Error(); !strings.Contains(got, words) || len(got) > 1000 {
			t.Fatalf("got %.1000q, want %q", got, words)
		}
	}
	t.Logf("%v, %.1f MiB", took.Round(10*time.Microsecond), float64(memory)/(1<<20))
	if !testenv.Race && (took > hostileTime || memory > hostileMemory) {
		t.Errorf("took %v and %d bytes", took, memory)
	}
}

func repeat(s string, n int) string { return strings.TrimSuffix(strings.Repeat(s+",", n), ",") }

func nested(open, inner, end string, n int) string {
	return strings.Repeat(open, n) + inner + strings.Repeat(end, n)
}

// doubling returns a schema whose references apply 2^n schemas to one value.
func doubling(n int) string {
	var b strings.Builder
	b.WriteString(`{"allOf":[{"$ref":"#/definitions/a0"}],"definitions":{`)
	for i := range n {
		fmt.Fprintf(&b, `"a%d":{"allOf":[{"$ref":"#/definitions/a%d"},{"$ref":"#/definitions/a%d"}]},`, i, i+1, i+1)
	}
	fmt.Fprintf(&b, `"a%d":{}}}`, n)
	return b.String()
}

// object returns the text of an object with n keys.
func object(n int, value string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"k%d":%s`, i, value)
	}
	return "{" + b.String()[1:] + "}"
}

func TestHostileSchemas(t *testing.T) {
	hits := 0
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits++ }))
	defer server.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts connections and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	tests := []struct{ name, schema, words string }{
		{"reference to a server", `{"$ref":"` + server.URL + `/x"}`, "points outside the schema"},
		{"reference to a server that never answers", `{"$ref":"http://` + silent.Addr().String() + `/x"}`, "points outside the schema"},
		{"reference to a file", `{"$ref":"file:///etc/passwd"}`, "points outside the schema"},
		{"reference relative to a server", `{"$id":"` + server.URL + `/","items":{"$ref":"x#/a"}}`, "points outside the schema"},
		{"draft on a server", `{"$schema":"` + server.URL + `/schema"}`, "is not supported"},
		{"reference to itself", `{"$ref":"#"}`, "form a cycle"},
		{"reference to itself in allOf", `{"allOf":[{"$ref":"#"}]}`, "form a cycle"},
		{"reference to itself in anyOf", `{"anyOf":[{"type":"null"},{"$ref":"#"}]}`, "form a cycle"},
		{"reference to itself in oneOf", `{"oneOf":[{"type":"null"},{"$ref":"#"}]}`, "form a cycle"},
		{"reference to itself in not", `{"not":{"$ref":"#"}}`, "form a cycle"},
		{"reference to itself in if", `{"if":{"$ref":"#"}}`, "form a cycle"},
		{"reference to itself in dependentSchemas", `{"dependentSchemas":{"a":{"$ref":"#"}}}`, "form a cycle"},
		{"reference to itself by address", `{"$id":"http://x/y","$ref":"y"}`, "form a cycle"},
		{"reference to itself by name", `{"$anchor":"a","$ref":"#a"}`, "form a cycle"},
		{"references to each other", `{"$ref":"#/definitions/a","definitions":{"a":{"$ref":"#/definitions/b"},"b":{"$ref":"#/definitions/a"}}}`, "form a cycle"},
		{"long chain of references", chain(6_000), "more than 5000 schemas"},
		{"2^20 paths", doubling(20), "expand to more than"},
		{"2^12 paths", doubling(12), "expand to more than"},
		{"1 MiB", `{"description":"` + strings.Repeat("x", 1<<20) + `"}`, "the limit is 262144"},
		{"nested 4,500 deep", nested(`{"properties":{"a":`, "{}", "}}", 4_500), "nested deeper than 64"},
		{"nested 1,000,000 deep", strings.Repeat("[", 1_000_000), "the limit is"},
		{"20,000 properties", `{"properties":` + object(20_000, "{}") + `}`, "more than 5000 schemas"},
		{"regular expression of 1 MB", `{"pattern":"` + strings.Repeat("a", 1<<20) + `"}`, "the limit is"},
		{"regular expression of 200 kB", `{"pattern":"` + strings.Repeat("a", 200_000) + `"}`, "too large"},
		{"regular expression of large classes", `{"pattern":"` + strings.Repeat(`[\\pL\\pN]{1,50}`, 600) + `"}`, "too large"},
		{"regular expression that repeats repeats", `{"pattern":"((a{100}){100}){100}"}`, "RE2"},
		{"many regular expressions", `{"allOf":[` + repeat(`{"pattern":"\\pL{999}"}`, 900) + `]}`, "too large"},
		{"many long regular expressions", `{"properties":` + object(60, `{"pattern":"`+strings.Repeat("a", 3_900)+`"}`) + `}`, "too large"},
		{"regular expression with look-ahead", `{"pattern":"(?=a)b"}`, "RE2"},
		{"regular expression with a back-reference", `{"pattern":"(a)\\1"}`, "RE2"},
		{"invalid regular expression of properties", `{"patternProperties":{"(":{}}}`, "RE2"},
		{"number with a large exponent", `{"maximum":1e1000000000}`, "exponent"},
		{"number of 200,000 digits", `{"multipleOf":` + strings.Repeat("9", 200_000) + `}`, "the limit is 40"},
		{"defaults that multiply", multiplying(), "takes more than"},
		{"trailing garbage", `{} garbage`, "not a single JSON value"},
		{"one key twice", `{"type":"string","type":"null"}`, "duplicate key"},
		{"nothing", ``, "not a single JSON value"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			refusedCheaply(t, test.words, func() []*Problem {
				_, err := Compile([]byte(test.schema))
				problem, ok := err.(*Problem)
				if !ok {
					t.Fatalf("got %v", err)
				}
				return []*Problem{problem}
			})
		})
	}
	if hits != 0 {
		t.Errorf("the server was asked %d times", hits)
	}
}

// chain returns a schema of n references, each to the next.
func chain(n int) string {
	var b strings.Builder
	b.WriteString(`{"definitions":{`)
	for i := range n {
		fmt.Fprintf(&b, `"%d":{"$ref":"#/definitions/%d"},`, i, i+1)
	}
	fmt.Fprintf(&b, `"%d":{}}}`, n)
	return b.String()
}

// multiplying returns a schema with many properties that share one large default.
func multiplying() string {
	return `{"definitions":{"a":{"default":[` + repeat("1", 10_000) + `]}},"properties":` + object(4_000, `{"$ref":"#/definitions/a"}`) + `}`
}

func TestHostileTexts(t *testing.T) {
	tests := []struct{ name, text, words string }{
		{"64 MiB", strings.Repeat(" ", 64<<20), "the limit is 524288"},
		{"1,000,000 keys", object(1_000_000, "1"), "the limit is 524288"},
		{"1,000,000 deep", strings.Repeat("[", 1_000_000), "the limit is 524288"},
		{"100,000 deep", nested("[", "", "]", 100_000), "exceeded max depth"},
		{"9,900 deep", nested(`{"a":`, "1", "}", 9_900), "nested deeper than 64"},
		{"number with a large exponent", `1e999999999`, "exponent"},
		{"199 numbers with large exponents", "[" + repeat("1e1000000", 199) + "]", "exponent"},
		{"number of 500,000 digits", strings.Repeat("9", 500_000), "the limit is 40"},
		{"trailing garbage", `{} garbage`, "not a single JSON value"},
		{"two texts", `{}{}`, "not a single JSON value"},
		{"one key twice", `{"a":1,"a":2}`, "duplicate key"},
		{"one key twice, escaped", `{"a":1,"\u0061":2}`, "duplicate key"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			text := []byte(test.text)
			refusedCheaply(t, test.words, func() []*Problem {
				_, err := Parse(text, ValueLimits)
				problem, ok := err.(*Problem)
				if !ok {
					t.Fatalf("got %v", err)
				}
				return []*Problem{problem}
			})
		})
	}
}

func TestHostileValues(t *testing.T) {
	number := json.Number("1e1000000000")
	list := func(text string, n int) json.RawMessage { return json.RawMessage("[" + repeat(text, n) + "]") }
	deep := func(n int) json.RawMessage { return json.RawMessage(nested(`{"a":`, "1", "}", n)) }
	tooDeep := any("x")
	for range 100_000 {
		tooDeep = []any{tooDeep}
	}
	around := []any{nil}
	around[0] = around
	tests := []struct {
		name, schema string
		value        any // a json.RawMessage is its text, a func makes it late
		words        string
	}{
		{"large exponent under minimum", `{"minimum":3}`, number, "exponent"},
		{"large exponent under maximum", `{"maximum":3}`, number, "exponent"},
		{"large exponent under multipleOf", `{"multipleOf":3}`, number, "exponent"},
		{"large exponent under enum", `{"enum":[1]}`, number, "exponent"},
		{"large exponent under const", `{"const":1}`, number, "exponent"},
		{"large exponent under integer", `{"type":"integer"}`, number, "exponent"},
		{"small exponent under integer", `{"type":"integer"}`, json.Number("1e-1000000000"), "exponent"},
		{"large exponent under format", `{"format":"int64"}`, number, "exponent"},
		{"large exponent in an item", `{"items":{"type":"integer"}}`, []any{json.Number("1e1000001")}, "[0]: the exponent of the number"},
		{"1,000,000 digits", `{"type":"integer","maximum":3}`, json.Number(strings.Repeat("9", 1_000_000)), "1000000 characters"},
		{"not a number", `{"type":"string"}`, json.Number("NaN"), "not a JSON number"},
		{"100,000 deep", `{"items":{"$ref":"#"},"type":"string"}`, tooDeep, "nested deeper"},
		{"100,000 deep, under a recursive schema", `{"items":{"$ref":"#"},"type":"array"}`, tooDeep, "nested deeper"},
		{"inside itself", `{"items":{"$ref":"#"}}`, around, "nested deeper"},
		{"1 MiB of text", `{"type":"integer"}`, strings.Repeat("x", 1<<20), "the limit is 524288"},
		{"200,000 keys", `{"additionalProperties":{"type":"string"}}`, func() any { return keys(200_000) }, "the limit is 524288"},
		{"wrong Go type", `{"type":"string"}`, 3, "not a plain JSON value"},
		{"98,000 wrong items", `{"items":{"type":"string"}}`, list("1", 98_000), `[0]: expected text, got the number 1; write "1" in quotes`},
		{"200,000 wrong items", `{"items":{"type":"string"}}`, list("1", 200_000), "[0]: expected text"},
		{"one wrong item, the last", `{"items":{"type":"integer"}}`, append(list("1", 100_000)[:200_000], `,"x"]`...), "[100000]: expected a whole number, got the text"},
		{"200,000 items, two allowed", `{"maxItems":2,"items":{"type":"string"}}`, list("1", 200_000), "expected at most 2 items, got 200000; send fewer"},
		{"200,000 items that fit no form", `{"items":{"oneOf":[{"type":"string"},{"type":"null"}]}}`, list("1", 200_000), "[0]: "},
		{"a list that fits no form", `{"anyOf":[{"items":{"type":"string"}},{"items":{"type":"null"}}]}`, list("1", 100_000), "matches none of the allowed forms, got a list of 100000 items"},
		{"items of wrong objects", `{"items":{"required":["b"],"properties":{"a":{"type":"string"}}}}`, list(`{"a":1}`, 40_000), "[0].a: expected text"},
		{"200,000 items, two equal", `{"uniqueItems":true}`, list("1", 200_000), "two of the 200000 items are equal"},
		{"none of 200,000 items as it must be", `{"contains":{"type":"string"}}`, list("1", 200_000), "no item matches the form"},
		{"not this list", `{"not":{"items":{"type":"integer"}}}`, list("1", 100_000), "a list of 100000 items is excluded here"},
		{"numbers close to a bound", `{"items":{"maximum":0.1}}`, list("0.1000000000000000055511151231257827021", 12_000), "expected at most 0.1"},
		{"fractions under multipleOf", `{"items":{"multipleOf":0.01}}`, list("0.015", 80_000), "expected a multiple of 0.01"},
		{"long fractions under multipleOf", `{"items":{"multipleOf":0.01}}`, list("0.2500000000000000000000000000000000000", 12_000), "takes more than"},
		{"large enum, many values", `{"items":{"enum":[` + repeat(`"x"`, 50_000) + `,"y"]}}`, list(`"y"`, 100_000), "takes more than"},
		{"large enum, wrong values", `{"items":{"enum":[` + repeat(`"xx"`, 50_000) + `]}}`, list(`"y"`, 100_000), "expected one of"},
		{"40,000 unknown keys", `{"additionalProperties":false,"properties":{"a":{}}}`, json.RawMessage(object(40_000, "1")), "is not a parameter here; expected one of a"},
		{"40,000 wrong keys", `{"propertyNames":{"maxLength":1}}`, json.RawMessage(object(40_000, "1")), `violates "propertyNames"`},
		{"40,000 keys, two allowed", `{"maxProperties":2,"additionalProperties":{"type":"string"}}`, json.RawMessage(object(40_000, "1")), "expected at most 2 keys"},
		{"40,000 keys and expensive patterns", `{"patternProperties":{"(\\pL|\\pN){100}":{}}}`, json.RawMessage(object(40_000, "1")), "takes more than"},
		{"5,000 wrong properties", `{"properties":` + object(4_500, `{"type":"string"}`) + `}`, json.RawMessage(object(4_500, "1")), "k0: expected text"},
		{"recursion that multiplies", `{"properties":{"a":{"allOf":[{"$ref":"#"},{"$ref":"#"}]}},"minProperties":1}`, deep(60), "takes more than"},
		{"63 deep, wrong at the bottom", `{"properties":{"a":{"$ref":"#"}},"type":"object"}`, deep(63), "a.a.a"},
		{"^(a+)+$", `{"pattern":"^(a+)+$"}`, strings.Repeat("a", 100_000) + "b", "expected text that matches ^(a+)+$"},
		{"expensive pattern, long text", `{"pattern":"^(.?){900}$"}`, strings.Repeat("x", 500_000), "takes more than"},
		{"long text, short allowed", `{"pattern":"^(.?){900}$","maxLength":3}`, strings.Repeat("x", 500_000), "expected at most 3 characters, got 500000"},
		{"long text of a format", `{"format":"email"}`, strings.Repeat("a@", 250_000), "expected the format email"},
		{"long text of the format regex", `{"format":"regex"}`, strings.Repeat("(", 500_000), "expected the format regex"},
		{"name and address", `{"format":"email"}`, "Bob <a@b.c>", "expected the format email"},
		{"second item of prefixItems", `{"prefixItems":[{},{"type":"string"}]}`, list("1", 2), "[1]: expected text"},
		{"dependentRequired", `{"dependentRequired":{"a":["b"]}}`, deep(1), "b: is required together with another parameter"},
		{"one wrong of 500,000 characters", `{"enum":["a"]}`, strings.Repeat("b", 500_000), `expected "a"; got the text "bbb`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := Compile([]byte(test.schema))
			if err != nil {
				t.Fatal(err)
			}
			if late, ok := test.value.(func() any); ok {
				test.value = late()
			}
			refusedCheaply(t, test.words, func() []*Problem {
				v := test.value
				if text, ok := v.(json.RawMessage); ok { // for text the reading counts too
					if v, err = Parse(text, ValueLimits); err != nil {
						t.Fatal(err)
					}
				}
				return s.Validate(v)
			})
		})
	}
}
