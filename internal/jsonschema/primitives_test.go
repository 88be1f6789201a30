package jsonschema

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestCompareIsExact(t *testing.T) {
	tests := []struct {
		a, b string
		sign int
		ok   bool
	}{
		{"1", "1", 0, true},
		{"1", "1.0", 0, true},
		{"0", "-0", 0, true},
		{"9007199254740993", "9007199254740992", 1, true},
		{"0.1", "0.10000000000000000001", -1, true},
		{"1e5000000", "1", 0, false},
	}
	for _, test := range tests {
		if sign, ok := Compare(test.a, test.b); sign != test.sign || ok != test.ok {
			t.Errorf("Compare(%s, %s) is %d, %t; want %d, %t", test.a, test.b, sign, ok, test.sign, test.ok)
		}
	}
}

func TestIsMultiple(t *testing.T) {
	tests := []struct {
		literal, of string
		want        bool
	}{
		{"6", "2", true},
		{"7", "2", false},
		{"0.3", "0.1", true}, // false in floats
		{"0.35", "0.1", false},
		{"-1e2", "0.5", true},
		{"0", "3", true},
		{"1", "0", false},
		{"1e5000000", "1", false},
	}
	for _, test := range tests {
		if got := IsMultiple(test.literal, test.of); got != test.want {
			t.Errorf("IsMultiple(%s, %s) is %t", test.literal, test.of, got)
		}
	}
}

func TestMeasureCountsFromDepth(t *testing.T) {
	v := map[string]any{"a": []any{json.Number("1"), "é", nil, true}}
	if size, ok := Measure(v, MaxDepth-2); !ok || size < len(`{"a":[1,"é",null,true]}`) {
		t.Errorf("got %d, %t", size, ok)
	}
	if _, ok := Measure(v, MaxDepth-1); ok {
		t.Error("accepted although too deep")
	}
	if _, ok := Measure([]any{strings.Repeat("x", MaxValue)}, 0); ok {
		t.Error("accepted although too large")
	}
}
