package param

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/provost-go/provost/params"
)

func TestNormalizeParams(t *testing.T) {
	type named string
	berlin := time.FixedZone("", 2*60*60)
	got, err := Normalize(params.Params{
		"null": nil, "bool": true, "text": "x", "named": named("y"), "int": int64(1 << 60), "uint8": uint8(7),
		"float": 1e6, "small": 1e-7, "float32": float32(0.1), "number": json.Number("1.50"),
		"wait": 90 * time.Minute, "at": time.Date(2026, 3, 5, 14, 0, 0, 500, berlin),
		"list": []string{"a"}, "none": []int(nil), "map": map[string]time.Duration{"a": time.Second},
		"nested": params.Params{"d": []any{time.Second}}, "pointer": new(3), "nil": (*int)(nil),
		"struct": struct {
			A int `json:"a"`
		}{1},
		"raw": json.RawMessage(`{"a":1.0}`), "bytes": []byte("hi"),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := params.Params{
		"null": nil, "bool": true, "text": "x", "named": "y", "int": json.Number("1152921504606846976"), "uint8": json.Number("7"),
		"float": json.Number("1000000"), "small": json.Number("1e-07"), "float32": json.Number("0.1"), "number": json.Number("1.50"),
		"wait": "1h30m0s", "at": "2026-03-05T14:00:00.0000005+02:00",
		"list": []any{"a"}, "none": []any{}, "map": map[string]any{"a": "1s"},
		"nested": map[string]any{"d": []any{"1s"}}, "pointer": json.Number("3"), "nil": nil,
		"struct": map[string]any{"a": json.Number("1")},
		"raw":    map[string]any{"a": json.Number("1.0")}, "bytes": "aGk=",
	}
	for key := range want {
		if !reflect.DeepEqual(got[key], want[key]) {
			t.Errorf("%s: got %#v, want %#v", key, got[key], want[key])
		}
	}
	again, err := Normalize(got)
	if err != nil || !reflect.DeepEqual(again, got) {
		t.Errorf("what is plain changed: %v, %v", again, err)
	}
}

func TestNormalizeParamsRefuses(t *testing.T) {
	deep := any("x")
	for range 64 { // plus the parameters themselves
		deep = []any{deep}
	}
	self := map[string]any{}
	self["self"] = self
	type node struct{ Next *node }
	ring := &node{}
	ring.Next = ring
	zero := time.FixedZone("", 0)
	tests := []struct {
		name         string
		value        any
		path, reason string
	}{
		{"NaN", []any{math.NaN()}, "p[0]", "NaN has no form in JSON"},
		{"infinity", map[string]float32{"x": float32(math.Inf(1))}, "p.x", "+Inf has no form"},
		{"channel", struct{ C chan int }{}, "p.C", "no form in JSON"},
		{"function", func() {}, "p", "no form in JSON"},
		{"complex", []complex128{1}, "p[0]", "no form in JSON"},
		{"deep", deep, "p" + strings.Repeat("[0]", 63), "nested deeper than 64"},
		{"a map in itself", self, "p.self.self", "nested deeper than"},
		{"a pointer to itself", ring, "p.Next.Next", "nested deeper than"},
		{"large", strings.Repeat("x", 512<<10), "", "the limit is 524288"},
		{"large once escaped", strings.Repeat("\x01", 100<<10), "", "the limit is 524288"},
		{"many small", make([]int, 300_000), "", "the limit is 524288"},
		{"long number", json.Number(strings.Repeat("1", 41)), "p", "41 characters"},
		{"large exponent", json.Number("1e5000000"), "p", "exponent"},
		{"no number", json.Number("x"), "p", "not a JSON number"},
		{"empty number", json.Number(""), "p", "not a JSON number"},
		{"not UTF-8", "a\xff", "p", "not valid UTF-8"},
		{"key not UTF-8", map[string]any{"\xff": 1}, "p", "not valid UTF-8"},
		{"bad raw text", json.RawMessage(`{} {}`), "p", "not a single JSON value"},
		{"key twice in raw text", json.RawMessage(`{"a":{"b":1,"b":2}}`), "p.a.b", "duplicate key"},
		{"year 10000", time.Date(10000, 1, 1, 0, 0, 0, 0, zero), "p", "year 10000"},
		{"key with a dot", map[string]any{"a.b": math.NaN()}, `p["a.b"]`, "NaN"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Normalize(params.Params{"p": test.value})
			refused(t, err, test.path, test.reason)
		})
	}
}

// refused requires a *params.Error whose path begins with path and whose reason contains reason.
func refused(t *testing.T, err error, path, reason string) {
	t.Helper()
	p, ok := errors.AsType[*params.Error](err)
	if !ok {
		t.Fatalf("got %v, want a *ParamError", err)
	}
	if !strings.HasPrefix(p.Path, path) || path == "" && p.Path != "" || !strings.Contains(p.Reason, reason) {
		t.Errorf("got %q at %q, want %q at %q", p.Reason, p.Path, reason, path)
	}
}

func TestLimitsAreInclusive(t *testing.T) {
	deep := any("x")
	for range 63 {
		deep = []any{deep}
	}
	for name, v := range map[string]any{
		"depth":  deep,
		"number": json.Number(strings.Repeat("1", 40)),
		"size":   strings.Repeat("x", 512<<10-len(`{"p":""}`)-1),
	} {
		if _, err := Normalize(params.Params{"p": v}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTimeKeepsItsInstant(t *testing.T) {
	// Amsterdam's local mean time has an offset with seconds, which RFC 3339 cannot express.
	old := time.Date(1900, 1, 1, 0, 0, 0, 0, time.FixedZone("LMT", 19*60+32))
	text, err := formatTime(old)
	if want := "1899-12-31T23:40:28Z"; err != nil || text != want {
		t.Errorf("got %s, %v, want %s", text, err, want)
	}
}

func BenchmarkNormalizeParams(b *testing.B) {
	for name, p := range map[string]params.Params{
		"none":  nil,
		"plain": {"region": "us", "since": "2026-03-05T14:00:00Z", "limit": json.Number("10")},
		"go":    {"region": "us", "wait": time.Minute, "limit": 10},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Normalize(p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
