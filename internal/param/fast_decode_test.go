package param

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/xeipuuv/gojsonschema"

	"github.com/provost-go/provost/internal/jsonschema"
	"github.com/provost-go/provost/params"
)

// colour supplies its own schema.
type colour struct{ R, G, B uint8 }

func (colour) JSONSchema() map[string]any {
	return map[string]any{"type": "string", "pattern": "^#[0-9a-f]{6}$", "title": "Colour"}
}

func (c colour) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "#%02x%02x%02x", c.R, c.G, c.B), nil
}

func (c *colour) UnmarshalText(text []byte) error {
	_, err := fmt.Sscanf(string(text), "#%02x%02x%02x", &c.R, &c.G, &c.B)
	return err
}

// typeMaker makes random types. If rules is true, their tags set rules.
type typeMaker struct {
	*rand.Rand
	rules bool
}

var leafTypes = []reflect.Type{
	reflect.TypeFor[bool](), reflect.TypeFor[int](), reflect.TypeFor[int8](), reflect.TypeFor[int64](), reflect.TypeFor[uint8](), reflect.TypeFor[uint64](),
	reflect.TypeFor[float32](), reflect.TypeFor[float64](), reflect.TypeFor[string](), reflect.TypeFor[json.Number](), reflect.TypeFor[time.Time](),
	reflect.TypeFor[time.Duration](), reflect.TypeFor[[]byte](), reflect.TypeFor[uuid.UUID](), reflect.TypeFor[netip.Addr](), reflect.TypeFor[url.URL](),
	reflect.TypeFor[any](), reflect.TypeFor[json.RawMessage](), reflect.TypeFor[colour](), reflect.TypeFor[treeNode](), reflect.TypeFor[address](),
}

var keyTypes = []reflect.Type{
	reflect.TypeFor[string](), reflect.TypeFor[int8](), reflect.TypeFor[uint64](), reflect.TypeFor[uuid.UUID](), reflect.TypeFor[time.Time](), reflect.TypeFor[netip.Addr](),
}

func (m typeMaker) any(depth int) reflect.Type {
	if depth > 0 {
		switch m.IntN(10) {
		case 0:
			if t := m.any(depth - 1); m.rules || t.Kind() != reflect.Pointer && t != reflect.TypeFor[any]() && t != rawType {
				return reflect.PointerTo(t) // to a type that is never null itself, unless the value need not come back
			}
		case 1:
			return reflect.SliceOf(m.any(depth - 1))
		case 2:
			return reflect.ArrayOf(m.IntN(4), m.any(depth-1))
		case 3:
			return reflect.MapOf(pickOne(m.Rand, keyTypes...), m.any(depth-1))
		case 4:
			return m.object(depth - 1)
		}
	}
	leaves := leafTypes
	if !m.rules {
		leaves = leaves[:len(leaves)-1] // an address that is omitted gets its default
	}
	return pickOne(m.Rand, leaves...)
}

func (m typeMaker) object(depth int) reflect.Type {
	fields := make([]reflect.StructField, m.IntN(6))
	for i := range fields {
		t := m.any(depth)
		options := []string{"", "", "", ",string", ",omitempty", ",omitzero"}
		if !m.rules {
			options = options[:5] // a value that is empty but not zero is encoded and comes back zero
		}
		tag := fmt.Sprintf(`json:"%s%s"`, string(rune('a'+i)), pickOne(m.Rand, options...))
		for _, name := range slices.Sorted(maps.Keys(sampleTags)) {
			if m.rules && m.IntN(3) == 0 {
				candidate := tag + fmt.Sprintf(" %s:%s", name, strconv.Quote(pickOne(m.Rand, sampleTags[name]...)))
				if m.sound(t, candidate) {
					tag = candidate
				}
			}
		}
		fields[i] = reflect.StructField{Name: string(rune('A' + i)), Type: t, Tag: reflect.StructTag(tag)}
	}
	return reflect.StructOf(fields)
}

// sound reports whether a field with this tag has a schema.
func (m typeMaker) sound(t reflect.Type, tag string) bool {
	_, err := writeSchema(reflect.StructOf([]reflect.StructField{{Name: "A", Type: t, Tag: reflect.StructTag(tag)}}), nil)
	return err == nil
}

var sampleTags = map[string][]string{
	"default":          {"1", "0", "a", "true", "1h", "[]", "{}", "null", "2026-01-01T00:00:00Z", `["a","b"]`, "0.5", "#102030"},
	"enum":             {"1,2,3", "a,b", "0.5,1", "true", "1h,90m", "0,-1"},
	"minimum":          {"0", "1", "-1", "0.5", "-1e3", "9007199254740993"},
	"maximum":          {"10", "100", "1.5", "9007199254740993"},
	"exclusiveMinimum": {"0", "-0.1"},
	"exclusiveMaximum": {"3", "9007199254740993"},
	"multipleOf":       {"2", "0.1", "0.5"},
	"minLength":        {"0", "1", "2"},
	"maxLength":        {"3", "40"},
	"pattern":          {"^[a-z]+$", "a", "^.{1,40}$"},
	"format":           {"email", "uri", "date", "int64", "nonsense", "ipv4", "uint64"},
	"minItems":         {"0", "1", "2"},
	"maxItems":         {"2", "4"},
	"uniqueItems":      {"true", "false"},
	"required":         {"true", "false"},
	"title":            {"A title"},
	"description":      {"A description"},
	"examples":         {"1", "a,b", "[1]"},
}

// valueMaker makes random values that mostly fit a schema.
type valueMaker struct {
	*rand.Rand
	root map[string]any
}

var oddValues = []any{
	nil, true, "", "x", "1", json.Number("1.0"), json.Number("1e2"), json.Number("0.1"), json.Number("256"), json.Number("9007199254740993"),
	json.Number("18446744073709551615"), json.Number("-9223372036854775809"), json.Number("1e-300"), json.Number("3.4028236e38"),
	[]any{},
	[]any{nil},
	map[string]any{},
	map[string]any{"a": json.Number("1")},
	"é\x01\"", "2026-01-01T00:00:00Z", "1h", "+1", strings.Repeat("z", 100),
}

var sampleTexts = map[string][]string{
	"date-time":     {"2026-03-05T14:00:00+01:00", "1999-12-31T23:59:60Z", "2026-03-05T14:00:00.123456789Z"},
	"duration":      {"1h", "1h30m0s", "-5ns", "0"},
	"uuid":          {"0197a5c4-71c2-7b3e-9d0f-2a5b8c1e4f60", "0197A5C4-71C2-7B3E-9D0F-2A5B8C1E4F60"},
	"iri-reference": {"https://example.com/a?b#c", "", "a/b", "%zz", "/?q=ä"},
	"email":         {"ada@example.com"},
	"uri":           {"https://example.com/", "mailto:a@b"},
	"date":          {"2026-03-05"},
	"ipv4":          {"192.0.2.1"},
	"byte":          {"aGVsbG8=", ""},
	"":              {"a", "b", "abc", "ééé", "", "é", "192.0.2.1", "#102030", "#A0B0C0", "0.5", "-7", "2001:db8::1%eth0"},
}

func (m valueMaker) value(schema map[string]any, depth int) any {
	if m.IntN(40) == 0 {
		return pickOne(m.Rand, oddValues...)
	}
	if ref, ok := schema["$ref"].(string); ok {
		if ref == "#" {
			return m.value(m.root, depth-1)
		}
		return m.value(m.root["definitions"].(map[string]any)[strings.TrimPrefix(ref, "#/definitions/")].(map[string]any), depth-1)
	}
	for _, keyword := range []string{"anyOf", "allOf"} {
		if list, ok := schema[keyword].([]any); ok {
			return m.value(pickOne(m.Rand, list...).(map[string]any), depth)
		}
	}
	if list, ok := schema["enum"].([]any); ok && m.IntN(5) > 0 {
		return pickOne(m.Rand, list...)
	}
	types, ok := schema["type"].([]any)
	if !ok {
		types = []any{schema["type"]}
	}
	switch pickOne(m.Rand, types...) {
	case "boolean":
		return m.IntN(2) == 0
	case "integer":
		if bound := m.bound(schema); bound != "" {
			return bound
		}
		return json.Number(strconv.FormatInt(pickOne(m.Rand, m.Int64N(12), m.Int64N(12), -m.Int64N(300), 1<<53+1, m.Int64()), 10))
	case "number":
		if bound := m.bound(schema); bound != "" {
			return bound
		}
		return json.Number(pickOne(m.Rand, "1", "0.5", "2", "0.1", "0.30000000000000004", "1e2", "-3.25", strconv.FormatFloat(m.NormFloat64(), 'g', -1, 64)))
	case "string":
		format, _ := schema["format"].(string)
		if schema["contentEncoding"] != nil {
			format = "byte"
		}
		return pickOne(m.Rand, append(sampleTexts[""], sampleTexts[format]...)[max(0, m.IntN(len(sampleTexts[""])+1)-1):]...)
	case "array":
		return m.list(schema, depth)
	case "object":
		return m.object(schema, depth)
	case "null":
		return nil
	}
	return pickOne(m.Rand, oddValues...)
}

// bound sometimes returns a number at a bound, or so close to it that only exact arithmetic tells
// them apart.
func (m valueMaker) bound(schema map[string]any) json.Number {
	bound, ok := schema[pickOne(m.Rand, "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")].(json.Number)
	switch {
	case !ok || m.IntN(2) == 0:
		return ""
	case bound == "0": // -0 is a different text, and for the library a different enum value
		return "0"
	case bound == "9007199254740993":
		return pickOne[json.Number](m.Rand, "9007199254740992", "9007199254740993", "9007199254740994", "9007199254740992.5")
	}
	return pickOne(m.Rand, bound, bound, json.Number("-"+strings.TrimPrefix(string(bound), "-")))
}

func (m valueMaker) list(schema map[string]any, depth int) any {
	n := m.IntN(3)
	if least, ok := schema["minItems"].(json.Number); ok {
		bound, _ := least.Int64()
		n = int(bound) + max(0, m.IntN(8)-5)
	}
	if most, ok := schema["maxItems"].(json.Number); ok && m.IntN(6) == 0 {
		bound, _ := most.Int64()
		n = int(bound) + m.IntN(2)
	}
	if m.IntN(30) == 0 {
		n++
	}
	list := []any{}
	for range n {
		if depth < -8 {
			break
		}
		list = append(list, m.value(schema["items"].(map[string]any), depth-1))
	}
	return list
}

func (m valueMaker) object(schema map[string]any, depth int) any {
	object := map[string]any{}
	properties, _ := schema["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		if m.IntN(4) > 0 && depth > -8 {
			object[name] = m.value(properties[name].(map[string]any), depth-1)
		}
	}
	if additional, ok := schema["additionalProperties"].(map[string]any); ok && depth > -8 {
		for range m.IntN(3) {
			key := pickOne(m.Rand, "a", "1", "-7", "01", "é", "2026-03-05T14:00:00Z", "0197a5c4-71c2-7b3e-9d0f-2a5b8c1e4f60", "192.0.2.1")
			object[key] = m.value(additional, depth-1)
		}
	} else if m.IntN(60) == 0 {
		object["unknown"] = true
	}
	return object
}

// library is the schema library alone. It knows our formats under names of their own.
type library struct {
	*gojsonschema.Schema
	root map[string]any
}

func newLibrary(t testing.TB, text json.RawMessage) library {
	t.Helper()
	plain, err := jsonschema.Parse(text, jsonschema.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	schema, err := gojsonschema.NewSchema(gojsonschema.NewRawLoader(withOwnFormats(plain)))
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return library{schema, plain.(map[string]any)}
}

// fits reports the library's verdict. It keeps away values that would crash the library.
func (l library) fits(p map[string]any) bool {
	if jsonschema.CheckValue(p) != nil {
		return false
	}
	result, err := l.Validate(gojsonschema.NewRawLoader(p))
	return err == nil && result.Valid()
}

func withOwnFormats(schema any) any {
	switch schema := schema.(type) {
	case []any:
		list := make([]any, len(schema))
		for i := range schema {
			list[i] = withOwnFormats(schema[i])
		}
		return list
	case map[string]any:
		m := map[string]any{}
		for key, v := range schema {
			m[key] = withOwnFormats(v)
		}
		if name, ok := schema["format"].(string); ok {
			delete(m, "format")
			if own := "provost-" + name; gojsonschema.FormatCheckers.Has(own) {
				m["format"] = own
			}
		}
		if schema["contentEncoding"] == "base64" {
			m["format"] = "provost-byte"
		}
		return m
	}
	return schema
}

// tally counts the verdicts of the schema library, and how many valid values the fast path
// accepted.
type tally struct{ yes, no, fast int }

// disagree compares the fast path, over values and over text, with the library and the codec.
func (n *tally) disagree(typ reflect.Type, library library, schema *Schema, p params.Params) error {
	text, textErr := marshal(map[string]any(p)) // fails for a malformed number
	slow, fast, scanned, both := reflect.New(typ), reflect.New(typ), reflect.New(typ), reflect.New(typ)
	valid := library.fits(p)
	slowErr := Decode(p, slow.Interface())
	fits := valid && slowErr == nil
	isFast := fastDecodeParams(p, fast.Interface())
	isScanned := textErr == nil && fastScanJSON(string(text), scanned.Interface())
	isBoth := DecodeChecked(p, schema, true, both.Interface()) == nil
	switch {
	case isFast && !fits, isScanned && !fits, isFast != isScanned, isBoth != fits:
		return fmt.Errorf("%s fits %t (library %t, codec %v), by value %t, by text %t, together %t", text, fits, valid, slowErr, isFast, isScanned, isBoth)
	case isFast && !(reflect.DeepEqual(fast.Interface(), slow.Interface()) && reflect.DeepEqual(scanned.Interface(), slow.Interface())):
		return fmt.Errorf("%s decodes to %+v by value, %+v by text, want %+v", text, fast, scanned, slow)
	case isBoth && !reflect.DeepEqual(both.Interface(), slow.Interface()):
		return fmt.Errorf("%s decodes to %+v together, want %+v", text, both, slow)
	}
	switch {
	case !fits:
		n.no++
	default:
		n.yes++
		if isFast {
			n.fast++
		}
	}
	return nil
}

// differ makes one random type and several values for it.
func (n *tally) differ(t testing.TB, random *rand.Rand) {
	typ := typeMaker{random, true}.object(3)
	text, err := writeSchema(typ, nil)
	if err != nil {
		return // conflicting tags
	}
	library := newLibrary(t, text)
	schema, err := Compile(text)
	if err != nil {
		t.Fatal(err)
	}
	maker := valueMaker{random, library.root}
	for range 10 {
		p, ok := maker.object(library.root, 4).(map[string]any)
		if !ok {
			continue
		}
		if err := n.disagree(typ, library, schema, p); err != nil {
			t.Fatalf("%v\n%s\n%v", typ, text, err)
		}
	}
}

// TestFastPathAgrees compares the fast path with the schema library over random types, tags and
// values.
func TestFastPathAgrees(t *testing.T) {
	const rounds = 100
	var n tally
	for seed := range rounds {
		n.differ(t, rand.New(rand.NewPCG(uint64(seed), 17)))
	}
	t.Logf("%d values fit, %d of them accepted by the fast path; %d do not fit", n.yes, n.fast, n.no)
	if n.yes < n.no/4 || n.fast < n.yes*9/10 {
		t.Errorf("of %d values that fit, %d were accepted by the fast path; %d do not fit", n.yes, n.fast, n.no)
	}
}

// FuzzFastPath is TestFastPathAgrees with types and values from the fuzzer.
func FuzzFastPath(f *testing.F) {
	for seed := range uint64(10) {
		f.Add(seed, ^seed)
	}
	f.Fuzz(func(t *testing.T, a, b uint64) {
		new(tally).differ(t, rand.New(rand.NewPCG(a, b)))
	})
}

// roundTrip makes a random type and values of it. As provost encodes them they must fit the schema,
// be accepted by the fast path, and come back unchanged.
func roundTrip(t testing.TB, random *rand.Rand) {
	typ := typeMaker{random, false}.object(3)
	text, err := writeSchema(typ, nil)
	if err != nil {
		t.Fatalf("%v: %v", typ, err)
	}
	schema, err := Compile(text)
	if err != nil {
		t.Fatalf("%v: %v", typ, err)
	}
	for range 5 {
		want := reflect.New(typ)
		fill(random, want.Elem(), 4)
		encoded, err := EncodeResult(want.Interface()) // all fields, so that no default replaces a zero
		if err != nil {
			t.Fatalf("%v: %v", typ, err)
		}
		plain, err := jsonschema.Parse(encoded, jsonschema.ValueLimits)
		if err != nil {
			t.Fatalf("%v: %v", typ, err)
		}
		p := params.Params(plain.(map[string]any))
		if err := schema.Validate(p); err != nil {
			t.Fatalf("%v: %s does not fit: %v", typ, encoded, err)
		}
		slow, fast, scanned := reflect.New(typ), reflect.New(typ), reflect.New(typ)
		if err := Decode(p, slow.Interface()); err != nil {
			t.Fatalf("%v: decode %s: %v", typ, encoded, err)
		}
		if !fastDecodeParams(p, fast.Interface()) || !fastScanJSON(string(encoded), scanned.Interface()) {
			t.Fatalf("%v: the fast path does not accept %s", typ, encoded)
		}
		for _, got := range []reflect.Value{slow, fast, scanned} {
			same(t, got, want)
		}
	}
}

func TestRoundTripOfRandomTypes(t *testing.T) {
	for seed := range uint64(100) {
		roundTrip(t, rand.New(rand.NewPCG(seed, 23)))
	}
}

func FuzzRoundTrip(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, a, b uint64) { roundTrip(t, rand.New(rand.NewPCG(a, b))) })
}

// FuzzFastScan checks that the fast path accepts only JSON that fits the schema, and reads it as
// the codec does.
func FuzzFastScan(f *testing.F) {
	text, err := schemaFor(reflect.TypeFor[everything]())
	if err != nil {
		f.Fatal(err)
	}
	library := newLibrary(f, text)
	random := rand.New(rand.NewPCG(1, 2))
	for range 10 {
		var seed everything
		fill(random, reflect.ValueOf(&seed).Elem(), 3)
		text, err := EncodeResult(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	for _, text := range []string{`{"int":1,}`, `{"int":1 "int8":2}`, `{"int":1,"int":1}`, `{} {}`, `{"strings":["a",]}`, `{"strings":[,]}`, "{\"text\":\"\xff\"}", `{"text":"\ud800"}`, `{"int":01}`, `{"wait":1}`, `{"bool":truex}`, `{"waits":{"a":"1s","a":"1s"}}`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var got, want everything
		if !fastScanJSON(text, &got) {
			return
		}
		plain, err := jsonschema.Parse([]byte(text), jsonschema.ValueLimits)
		if err != nil {
			t.Fatalf("%s was accepted: %v", text, err)
		}
		if !library.fits(plain.(map[string]any)) {
			t.Fatalf("%s was accepted and does not fit", text)
		}
		if err := Decode(plain.(map[string]any), &want); err != nil {
			t.Fatalf("%s was accepted: %v", text, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%s: got %+v, want %+v", text, got, want)
		}
	})
}

func TestFastScanRefuses(t *testing.T) {
	type given struct {
		N    int            `json:"n"`
		S    string         `json:"s"`
		L    []int          `json:"l"`
		M    map[string]int `json:"m"`
		Any  any            `json:"any"`
		Pair [2]int         `json:"pair"`
	}
	for _, text := range []string{
		``, ` `, `null`, `[]`, `{`, `}`, `{}x`, `{} {}`, `{,}`, `{"n":1,}`, `{"n" 1}`, `{"n":1 "s":""}`, `{n:1}`, `{"n":}`, `{"n":01}`, `{"n":+1}`, `{"n":1.5}`, `{"n":"1"}`,
		`{"n":1,"n":1}`, `{"s":"a` + "\n" + `"}`, `{"s":"\x"}`, `{"s":"a}`, `{"l":[1,]}`, `{"l":[,1]}`, `{"l":[1 2]}`, `{"l":[1}`, `{"l":[1]`, `{"l":[`, `{"m":{"a":1,"a":1}}`, `{"m":{"a":1,}}`,
		`{"any":[1,]}`, `{"any":{"a":1,"a":2}}`, `{"any":tru}`, `{"any":1e999}`, `{"any":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`, `{"pair":[1]}`, `{"pair":[1,2,3]}`, `{"x":1}`,
		`{"n":nul}`, `{"s":null}`, `{"l":null}`, strings.Repeat(" ", jsonschema.MaxValue) + `{}`,
	} {
		if fastScanJSON(text, new(given)) {
			t.Errorf("%.80s is accepted", text)
		}
	}
	for _, text := range []string{
		`{}`, " {\t\"n\" : 1 ,\r\n\"l\":[ ] } ", `{"s":"\u00e9\n","m":{"\"":1}}`, `{"any":{"a":[null,true,false,"x",-1.5e3,{}]}}`, `{"pair":[1,2]}`, `{"pair":[1,2],"n":3,"any":null}`,
		`{"any":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`,
	} {
		var got, want given
		plain, err := jsonschema.Parse([]byte(text), jsonschema.ValueLimits)
		if err != nil {
			t.Fatal(err)
		}
		if err := Decode(plain.(map[string]any), &want); err != nil {
			t.Fatal(err)
		}
		if !fastScanJSON(text, &got) || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", text, got, want)
		}
	}
}
