package param

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/params"
)

type address struct {
	Street string `json:"street"`
	Zip    string `json:"zip" default:"00000"`
}

type base struct {
	ID    uuid.UUID `json:"id"`
	Owner string    `json:"owner,omitempty"`
}

type treeNode struct {
	Value int64       `json:"value"`
	Kids  []*treeNode `json:"kids"`
}

// level has a text form of its own, with pointer receivers on both sides.
type level struct{ n int }

func (l *level) MarshalText() ([]byte, error) { return []byte(strings.Repeat("*", l.n)), nil }

func (l *level) UnmarshalText(text []byte) error {
	if strings.Trim(string(text), "*") != "" {
		return fmt.Errorf("only stars make a level")
	}
	l.n = len(text)
	return nil
}

// everything has fields of many kinds.
type everything struct {
	base
	Bool     bool                     `json:"bool"`
	Int      int                      `json:"int"`
	Int8     int8                     `json:"int8"`
	Int64    int64                    `json:"int64"`
	Uint16   uint16                   `json:"uint16"`
	Uint64   uint64                   `json:"uint64"`
	Float32  float32                  `json:"float32"`
	Float64  float64                  `json:"float64"`
	Text     string                   `json:"text"`
	Quoted   int64                    `json:"quoted,string"`
	Time     time.Time                `json:"time"`
	Wait     time.Duration            `json:"wait"`
	Bytes    []byte                   `json:"bytes"`
	Addr     netip.Addr               `json:"addr"`
	Level    level                    `json:"level"`
	Strings  []string                 `json:"strings"`
	Pair     [2]int                   `json:"pair"`
	Waits    map[string]time.Duration `json:"waits"`
	Address  address                  `json:"address"`
	Places   []address                `json:"places"`
	ByName   map[string]address       `json:"byName"`
	Pointer  *int                     `json:"pointer"`
	PText    *string                  `json:"ptext"`
	PAddress *address                 `json:"paddress"`
	Tree     *treeNode                `json:"tree"`
	Forest   []treeNode               `json:"forest"`
	Matrix   [][]int                  `json:"matrix"`
	Skipped  chan int                 `json:"-"`
	Untagged uuid.UUID
}

// fill sets v to a random value. Slices and maps inside are never nil, because nil is encoded as []
// and {}.
func fill(random *rand.Rand, v reflect.Value, depth int) {
	var ptr any
	if v.CanInterface() { // an unexported embedded struct has none, but its fields do
		ptr = v.Addr().Interface()
	}
	switch x := ptr.(type) {
	case *time.Time:
		*x = time.Unix(random.Int64N(4e9), random.Int64N(1e9)).In(pickOne(random, time.UTC, time.FixedZone("", 5400), time.FixedZone("", -12*3600)))
		return
	case *uuid.UUID:
		random64 := [2]uint64{random.Uint64(), random.Uint64()}
		copy(x[:], fmt.Appendf(nil, "%x", random64))
		return
	case *netip.Addr:
		*x = netip.AddrFrom4([4]byte{byte(random.Uint32()), 2, 3, 4})
		return
	case *level:
		x.n = random.IntN(5)
		return
	case *url.URL:
		*x = *pickOne(random, &url.URL{}, &url.URL{Scheme: "https", Host: "example.com", Path: "/a b", RawQuery: "c=d", User: url.UserPassword("u", "p")}, &url.URL{Scheme: "mailto", Opaque: "a@b"}, &url.URL{Path: "../x", Fragment: "é"})
		return
	case *json.Number:
		*x = pickOne[json.Number](random, "0", "-1.50", "1e300", "123456789012345678901234567890")
		return
	case *json.RawMessage:
		*x = pickOne(random, json.RawMessage("null"), json.RawMessage(`{"a":[1.0]}`), json.RawMessage("true"))
		return
	case *any:
		*x = pickOne[any](random, nil, true, "x", json.Number("1.0"), []any{nil}, map[string]any{"a": json.Number("9007199254740993")})
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(random.IntN(2) == 0)
	case reflect.Int, reflect.Int8, reflect.Int64:
		v.SetInt(pickOne(random, 0, 1, -1, math.MaxInt64, math.MinInt64, 1<<53+1, int64(random.Uint64())) >> (64 - v.Type().Bits()))
	case reflect.Uint16, reflect.Uint64, reflect.Uint8:
		v.SetUint(pickOne(random, 0, math.MaxUint64, random.Uint64()) >> (64 - v.Type().Bits()))
	case reflect.Float32:
		v.SetFloat(pickOne[float64](random, 0, 1.5, -1e30, float64(random.Float32()), math.SmallestNonzeroFloat32))
	case reflect.Float64:
		v.SetFloat(pickOne(random, 0, 1.5, -1e300, 1e21, random.NormFloat64(), math.MaxFloat64))
	case reflect.String:
		v.SetString(pickOne(random, "", "plain", "é\n\"<>&\x00\u2028", strings.Repeat("x", random.IntN(200))))
	case reflect.Pointer:
		if depth > 0 && random.IntN(2) == 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(random, v.Elem(), depth-1)
		}
	case reflect.Slice:
		n := 0
		if depth > 0 {
			n = random.IntN(4)
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(random, v.Index(i), depth-1)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(random, v.Index(i), depth-1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range random.IntN(3) {
			key, item := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(random, key, depth-1)
			fill(random, item, depth-1)
			v.SetMapIndex(key, item)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Type.Kind() != reflect.Chan {
				fill(random, v.Field(i), depth-1)
			}
		}
	}
}

func pickOne[T any](random *rand.Rand, list ...T) T { return list[random.IntN(len(list))] }

// TestRoundTrip checks that encoded values fit the schema of their type and decode to the same
// value, directly and through JSON text.
func TestRoundTrip(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 11))
	for _, typ := range []reflect.Type{
		reflect.TypeFor[everything](), reflect.TypeFor[treeNode](), reflect.TypeFor[base](), reflect.TypeFor[address](), reflect.TypeFor[struct{}](),
	} {
		schema, err := schemaFor(typ)
		if err != nil {
			t.Fatalf("%v: %v", typ, err)
		}
		v, err := Compile(schema)
		if err != nil {
			t.Fatalf("%v: %v", typ, err)
		}
		for range 300 {
			want := reflect.New(typ)
			fill(random, want.Elem(), 5)
			// Zero fields at the top level are omitted, and then replaced by their default.
			switch v := want.Interface().(type) {
			case *address:
				v.Zip = cmp.Or(v.Zip, "1")
			case *everything:
				v.Address.Street = cmp.Or(v.Address.Street, "x")
			}
			p, err := Encode(want.Elem().Interface())
			if err != nil {
				t.Fatalf("%v: %v", typ, err)
			}
			if err := v.Validate(p); err != nil {
				t.Fatalf("%v: %v does not fit: %v", typ, p, err)
			}
			got := reflect.New(typ)
			if err := Decode(p, got.Interface()); err != nil {
				t.Fatalf("%v: decode %v: %v", typ, p, err)
			}
			same(t, got, want)

			text, err := EncodeResult(want.Interface())
			if err != nil {
				t.Fatalf("%v: %v", typ, err)
			}
			got = reflect.New(typ)
			if err := DecodeResult(text, got.Interface()); err != nil {
				t.Fatalf("%v: decode %s: %v", typ, text, err)
			}
			same(t, got, want)
		}
	}
}

// same compares two values, with nil and empty slices and maps being equal.
func same(t testing.TB, got, want reflect.Value) {
	t.Helper()
	if reflect.DeepEqual(got.Interface(), want.Interface()) {
		return
	}
	g, _ := EncodeResult(got.Interface())
	w, _ := EncodeResult(want.Interface())
	if string(g) != string(w) {
		t.Fatalf("%v:\n got %s\nwant %s", want.Type(), g, w)
	}
}

func TestDecodeParams(t *testing.T) {
	type options struct {
		Retries int      `json:"retries" default:"3"`
		Hosts   []string `json:"hosts" default:"[\"a\",\"b\"]"`
	}
	type given struct {
		Int     int64         `json:"int"`
		Uint8   uint8         `json:"uint8"`
		Float   float64       `json:"float"`
		Wait    time.Duration `json:"wait" default:"1m"`
		At      time.Time     `json:"at"`
		On      *bool         `json:"on" default:"true"`
		Opts    options       `json:"opts"`
		POpts   *options      `json:"popts"`
		List    []options     `json:"list"`
		Quoted  int           `json:"quoted,string" default:"5"`
		Any     any           `json:"any"`
		Array   [2]int        `json:"array"`
		Keys    map[int]string
		Private struct{ Zip string }
	}
	defaults := given{Wait: time.Minute, On: new(true), Quoted: 5, Opts: options{3, []string{"a", "b"}}}
	with := func(change func(*given)) given {
		p := defaults
		change(&p)
		return p
	}
	number := func(s string) json.Number { return json.Number(s) }
	tests := []struct {
		name string
		p    params.Params
		want given
	}{
		{"nothing", nil, defaults},
		{"unknown key", params.Params{"x": 1, "INT": number("3")}, defaults},
		{"int beyond 2^53", params.Params{"int": number("9223372036854775807")}, with(func(p *given) { p.Int = math.MaxInt64 })},
		{"int as 3.0", params.Params{"int": number("3.0")}, with(func(p *given) { p.Int = 3 })},
		{"int as 1e3", params.Params{"int": number("1e3")}, with(func(p *given) { p.Int = 1000 })},
		{"Go values", params.Params{"int": 7, "float": 2, "wait": time.Hour, "array": []int{1, 2}}, with(func(p *given) { p.Int, p.Float, p.Wait, p.Array = 7, 2, time.Hour, [2]int{1, 2} })},
		{"duration", params.Params{"wait": "1h30m"}, with(func(p *given) { p.Wait = 90 * time.Minute })},
		{"nanoseconds", params.Params{"wait": number("1500")}, with(func(p *given) { p.Wait = 1500 })},
		{"time", params.Params{"at": "2026-03-05T14:00:00.5+05:30"}, with(func(p *given) {
			p.At = time.Date(2026, 3, 5, 14, 0, 0, 5e8, time.FixedZone("", 19800))
		})},
		{"false over a default", params.Params{"on": false}, with(func(p *given) { p.On = new(false) })},
		{"null over a default", params.Params{"on": nil}, with(func(p *given) { p.On = nil })},
		{"nested default", params.Params{"opts": map[string]any{"retries": number("0")}}, with(func(p *given) { p.Opts.Retries = 0 })},
		{"default behind a pointer", params.Params{"popts": map[string]any{}}, with(func(p *given) { p.POpts = &options{3, []string{"a", "b"}} })},
		{"default in a list", params.Params{"list": []any{map[string]any{"retries": number("1")}}}, with(func(p *given) { p.List = []options{{1, []string{"a", "b"}}} })},
		{"null list", params.Params{"list": nil}, defaults},
		{"quoted", params.Params{"quoted": "-7"}, with(func(p *given) { p.Quoted = -7 })},
		{"any", params.Params{"any": []any{1, "x", number("1.0")}}, with(func(p *given) { p.Any = []any{number("1"), "x", number("1.0")} })},
		{"integer keys", params.Params{"Keys": map[string]any{"-3": "x"}}, with(func(p *given) { p.Keys = map[int]string{-3: "x"} })},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := given{Int: 99} // the old value is cleared
			if err := Decode(test.p, &got); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}

	refusals := []struct {
		name         string
		p            params.Params
		path, reason string
	}{
		{"fraction", params.Params{"int": number("1.5")}, "int", "expected a whole number, got 1.5"},
		{"overflow", params.Params{"uint8": number("256")}, "uint8", "256 does not fit uint8"},
		{"negative", params.Params{"uint8": number("-1")}, "uint8", "-1 does not fit uint8"},
		{"huge exponent", params.Params{"int": number("1e5000000")}, "int", "does not fit int64"},
		{"text for a number", params.Params{"int": "3"}, "int", `expected a whole number, got the text "3"`},
		{"null", params.Params{"int": nil}, "int", "got null; leave it out"},
		{"bad duration", params.Params{"wait": "1 hour"}, "wait", `such as "1h30m", got "1 hour"`},
		{"lax time", params.Params{"at": "2026-03-05T1:00:00Z"}, "at", "expected a time"},
		{"deep inside", params.Params{"list": []any{map[string]any{"hosts": []any{"a", true}}}}, "list[0].hosts[1]", "expected text, got true"},
		{"short array", params.Params{"array": []any{number("1")}}, "array", "expected 2 items, got 1"},
		{"object for a list", params.Params{"list": map[string]any{}}, "list", "expected a list, got an object"},
		{"not a Go value either", params.Params{"any": math.Inf(1)}, "any", "no form in JSON"},
		{"key of a wrong kind", params.Params{"Keys": map[string]any{"x": "y"}}, `Keys.x`, "the key is not a int"},
		{"quoted nonsense", params.Params{"quoted": "x"}, "quoted", "in quotes"},
	}
	for _, test := range refusals {
		t.Run(test.name, func(t *testing.T) {
			refused(t, Decode(test.p, new(given)), test.path, test.reason)
		})
	}
}

func TestDefaultsAreNotShared(t *testing.T) {
	type given struct {
		Hosts []string `json:"hosts" default:"[\"a\"]"`
	}
	var first, second given
	for _, p := range []*given{&first, &second} {
		if err := Decode(nil, p); err != nil {
			t.Fatal(err)
		}
		p.Hosts[0] += "!"
	}
	if second.Hosts[0] != "a!" {
		t.Errorf("the second run got %q", second.Hosts[0])
	}
}

func TestDecodeIntoParams(t *testing.T) {
	in := params.Params{"a": map[string]any{"b": json.Number("1")}}
	var out params.Params
	if err := Decode(in, &out); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(in, out) {
		t.Errorf("got %v", out)
	}
	out["a"].(map[string]any)["b"] = "changed"
	if in["a"].(map[string]any)["b"] != json.Number("1") {
		t.Error("the flow can change what is stored")
	}
}

func TestEncodeParamsLeavesZeroOut(t *testing.T) {
	type inner struct {
		A int `json:"a"`
		B int `json:"b,omitempty"`
	}
	type given struct {
		base
		Int   int       `json:"int"`
		PInt  *int      `json:"pint"`
		At    time.Time `json:"at"`
		List  []string  `json:"list"`
		Inner inner     `json:"inner"`
	}
	tests := []struct {
		v    any
		want params.Params
	}{
		{given{}, nil},
		{(*given)(nil), nil},
		{nil, nil},
		{given{PInt: new(0)}, params.Params{"pint": json.Number("0")}},
		{&given{List: []string{}}, params.Params{"list": []any{}}},
		{given{At: time.Time{}.In(time.FixedZone("", 3600))}, nil},
		{given{base: base{Owner: "x"}}, params.Params{"owner": "x"}},
		{struct{ In inner }{inner{B: 1}}, params.Params{"In": map[string]any{"a": json.Number("0"), "b": json.Number("1")}}},
		{params.Params{"a": 1, "z": nil}, params.Params{"a": json.Number("1"), "z": nil}},
	}
	for _, test := range tests {
		got, err := Encode(test.v)
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%+v: got %v, %v, want %v", test.v, got, err, test.want)
		}
	}
	_, err := Encode(3)
	refused(t, err, "", "int is not a struct")
}

func TestEmbeddedFields(t *testing.T) {
	type Deep struct{ X, Y, Z int }
	type Left struct {
		*Deep
		Y int
		W int
	}
	type Right struct {
		W int
		V int `json:"Z"`
	}
	type given struct {
		Left
		Right
	}
	v := given{Left{&Deep{1, 2, 3}, 4, 5}, Right{6, 7}}
	got, err := EncodeResult(v)
	if err != nil {
		t.Fatal(err)
	}
	// Y of Left hides that of Deep. W exists twice and is dropped. Z of Right hides the deeper one.
	if want, _ := json.Marshal(v); string(sortedJSON(t, want)) != string(got) {
		t.Errorf("got %s, want %s as encoding/json has it", got, want)
	}
	var back given
	if err := DecodeResult([]byte(`{"X":1,"Z":7}`), &back); err != nil || back.Deep == nil || back.X != 1 || back.V != 7 {
		t.Errorf("got %+v, %v", back, err)
	}
}

func sortedJSON(t *testing.T, text []byte) []byte {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestResults(t *testing.T) {
	type summary struct {
		Took  time.Duration
		Names []string
		Any   any
	}
	tests := []struct {
		v    any
		want string
	}{
		{nil, `null`},
		{struct{}{}, `{}`},
		{"<é>", `"<é>"`},
		{time.Minute, `"1m0s"`},
		{[]time.Duration{time.Second}, `["1s"]`},
		{[]int(nil), `[]`},
		{(*int)(nil), `null`},
		{int64(math.MaxInt64), `9223372036854775807`},
		{summary{Took: time.Second, Any: []any{1, 2.5}}, `{"Any":[1,2.5],"Names":[],"Took":"1s"}`},
		{map[int]bool{3: true}, `{"3":true}`},
		{map[uuid.UUID]int{uuid.Nil: 1}, `{"00000000-0000-0000-0000-000000000000":1}`},
		{*big.NewInt(7), `7`},
		{new(big.Int).Exp(big.NewInt(10), big.NewInt(50), nil), `1` + strings.Repeat("0", 50)},
		{level{2}, `"**"`},
		{json.RawMessage(`{"b":1,"a":2}`), `{"a":2,"b":1}`},
		{fmt.Stringer(time.Second), `"1s"`},
	}
	for _, test := range tests {
		got, err := EncodeResult(test.v)
		if err != nil || string(got) != test.want {
			t.Errorf("%#v: got %s, %v, want %s", test.v, got, err, test.want)
			continue
		}
		if test.v == nil {
			continue
		}
		back := reflect.New(reflect.TypeOf(test.v))
		if err := DecodeResult(got, back.Interface()); err != nil {
			t.Errorf("decode %s: %v", got, err)
		}
		if again, err := EncodeResult(back.Elem().Interface()); err != nil || string(again) != test.want {
			t.Errorf("%s came back as %s, %v", got, again, err)
		}
	}
	type ring struct{ Next *ring }
	self := &ring{}
	self.Next = self
	for _, v := range []any{make(chan int), func() {}, math.NaN(), []any{math.Inf(1)}, self, map[string]any{"c": complex(1, 2)}} {
		if got, err := EncodeResult(v); err == nil {
			t.Errorf("%T was encoded as %.40s", v, got)
		}
	}
	x := 5
	if err := DecodeResult(nil, &x); err != nil || x != 0 {
		t.Errorf("no result decodes to %d, %v", x, err)
	}
	for _, text := range []string{`1 2`, `"x"`, `{`, `{"a":1,"a":2}`} {
		if err := DecodeResult([]byte(text), &x); err == nil {
			t.Errorf("%s decodes to an int", text)
		}
	}
}

func TestCheckResultType(t *testing.T) {
	type inner struct{ Done []chan int }
	type loop struct {
		Next *loop
		F    func() `json:"f"`
	}
	tests := []struct {
		t    reflect.Type
		want string
	}{
		{nil, ""},
		{reflect.TypeFor[everything](), ""},
		{reflect.TypeFor[any](), ""},
		{reflect.TypeFor[error](), ""}, // its value decides
		{reflect.TypeFor[chan int](), "chan int has no form"},
		{reflect.TypeFor[map[string]inner](), "[key].Done[]: chan int"},
		{reflect.TypeFor[loop](), "f: func() has no form"},
		{reflect.TypeFor[[]complex64](), "[]: complex64"},
		{reflect.TypeFor[map[struct{}]int](), "keys that are not text"},
	}
	for _, test := range tests {
		err := CheckResult(test.t)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%v: got %v, want %q", test.t, err, test.want)
		}
	}
}

// FuzzDecode checks that no text makes decoding panic, and that whatever fits the schema decodes.
func FuzzDecode(f *testing.F) {
	schema, err := schemaFor(reflect.TypeFor[everything]())
	if err != nil {
		f.Fatal(err)
	}
	v, err := Compile(schema)
	if err != nil {
		f.Fatal(err)
	}
	random := rand.New(rand.NewPCG(3, 5))
	for range 20 {
		var seed everything
		fill(random, reflect.ValueOf(&seed).Elem(), 3)
		text, err := EncodeResult(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(text))
	}
	f.Add([]byte(`{"int":1e300,"uint64":-1,"float32":1e39,"time":"2026-02-30T00:00:00Z","wait":"1y","bytes":"*","addr":"","quoted":"9999999999999999999"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var p params.Params
		if err := DecodeResult(text, &p); err != nil {
			return
		}
		p, err := Normalize(p)
		if err != nil {
			return
		}
		var got everything
		if decodeErr := Decode(p, &got); decodeErr != nil && v.Validate(p) == nil && !beyondSchema(decodeErr) {
			t.Fatalf("%s fits and is not decoded: %v", text, decodeErr)
		}
	})
}

// beyondSchema reports whether an error is about something that the schema does not express: what a
// type's own UnmarshalText requires, or the range of a quoted integer.
func beyondSchema(err error) bool {
	p, ok := err.(*params.Error)
	return ok && (p.Path == "addr" || p.Path == "level" || p.Path == "quoted")
}

func BenchmarkDecodeParams(b *testing.B) {
	type given struct {
		Region string    `json:"region" default:"eu"`
		Since  time.Time `json:"since,omitzero"`
		Limit  int       `json:"limit" default:"10"`
	}
	b.Run("three", func(b *testing.B) {
		p := params.Params{"region": "us", "since": "2026-03-05T14:00:00Z", "limit": json.Number("10")}
		b.ReportAllocs()
		for b.Loop() {
			var dst given
			if err := Decode(p, &dst); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("defaults", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var dst given
			if err := Decode(nil, &dst); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("none", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var dst struct{}
			if err := Decode(nil, &dst); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	type given struct {
		Region string    `json:"region"`
		Since  time.Time `json:"since"`
		Limit  int       `json:"limit"`
	}
	v := given{"us", time.Date(2026, 3, 5, 14, 0, 0, 0, time.UTC), 10}
	b.Run("params", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Encode(v); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("result", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := EncodeResult(v); err != nil {
				b.Fatal(err)
			}
		}
	})
}
