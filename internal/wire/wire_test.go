package wire

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

type Inner struct {
	Name  string
	Maybe *bool
}

type outer struct {
	Inner
	When   time.Time
	Raw    json.RawMessage
	Items  []Inner
	Empty  []string
	Nil    []string
	ByName map[string]int64
	Ratio  float64
	Small  int8
	Tiny   uint16
	ID     [16]byte
	Any    map[string]any
}

func sample() outer {
	return outer{
		Inner: Inner{Name: "a"}, When: time.Date(2026, 3, 29, 2, 30, 0, 1000, time.UTC),
		Raw: json.RawMessage(" { \"a\" : 1.0 }\n"), Items: []Inner{{}, {Name: "\xff\x00", Maybe: new(bool)}}, Empty: []string{},
		ByName: map[string]int64{"": -1, "b": 1 << 62}, Ratio: 0.1, Small: -128, Tiny: 65535, ID: [16]byte{15: 1},
		Any: map[string]any{"n": json.Number("1e400"), "null": nil, "list": []any{true, false, "x", map[string]any{}, []any(nil)}},
	}
}

// TestRoundTrip checks that values arrive exactly as they were sent.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	encoded, err := Append([]byte("before"), sample())
	if err != nil {
		t.Fatal(err)
	}
	var got outer
	if err := Read(encoded[len("before"):], &got); err != nil || !reflect.DeepEqual(got, sample()) {
		t.Errorf("%+v arrived as %+v, %v", sample(), got, err)
	}
	abroad := time.Date(2026, 3, 29, 2, 30, 0, 0, time.FixedZone("", -3*3600))
	encoded, err = Append(nil, abroad)
	var at time.Time
	if err2 := Read(encoded, &at); err != nil || err2 != nil || at.Format(time.RFC3339Nano) != abroad.Format(time.RFC3339Nano) {
		t.Errorf("%v arrived as %v, %v, %v", abroad, at, err, err2)
	}
}

// TestReadRefuses checks that Read refuses a message that is cut short anywhere, too long or wrong,
// and that a large length in a message allocates nothing.
func TestReadRefuses(t *testing.T) {
	encoded, err := Append(nil, sample())
	if err != nil {
		t.Fatal(err)
	}
	for n := range encoded {
		if err := Read(encoded[:n], new(outer)); err == nil {
			t.Errorf("Read accepted %d of %d bytes", n, len(encoded))
		}
	}
	if err := Read(append(encoded, 0), new(outer)); err == nil {
		t.Error("Read accepted a byte too many")
	}
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}
	for _, to := range []any{new([]outer), new(map[string]outer), new(string), new([]byte), new([]any)} {
		if allocated := testing.AllocsPerRun(1, func() { err = Read(huge, to) }); err == nil || allocated > 10 {
			t.Errorf("%T: %v after %v allocations", to, err, allocated)
		}
	}
	nested := make([]byte, 0, 4000)
	for range 1000 {
		nested = append(nested, tagList, 2)
	}
	if err := Read(append(nested, tagNil), new(any)); err == nil {
		t.Error("Read accepted lists nested 1000 deep")
	}
	for _, wrong := range []struct {
		to    any
		bytes []byte
	}{{new(bool), []byte{2}}, {new(int8), []byte{0xff, 0x7f}}, {new(uint16), []byte{0xff, 0xff, 0x7f}}, {new(any), []byte{99}}, {new(time.Time), []byte{1, 1}}} {
		if err := Read(wrong.bytes, wrong.to); err == nil {
			t.Errorf("Read accepted %v as a %T", wrong.bytes, wrong.to)
		}
	}
}

// TestAppendRefuses checks that Append refuses types that it does not support.
func TestAppendRefuses(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]any{
		"unexported field": struct{ a int }{1}, "channel": make(chan int), "function": func() {}, "nil": nil, "map by number": map[int]int{},
		"interface": struct{ E error }{}, "complex": 1i,
	} {
		if b, err := Append(nil, v); err == nil {
			t.Errorf("%s: encoded as %x", name, b)
		}
	}
}
