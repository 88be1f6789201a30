package params_test

import (
	"reflect"
	"testing"

	"github.com/provost-go/provost/params"
)

func TestCloneIsDeep(t *testing.T) {
	if params.Params(nil).Clone() != nil {
		t.Error("a clone of nil is not nil")
	}
	p := params.Params{"a": map[string]any{"b": []any{"c"}}, "d": params.Params{"e": "f"}}
	c := p.Clone()
	c["a"].(map[string]any)["b"].([]any)[0] = "changed"
	c["d"].(params.Params)["e"] = "changed"
	want := params.Params{"a": map[string]any{"b": []any{"c"}}, "d": params.Params{"e": "f"}}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("the original became %v", p)
	}
}

func TestCloneKeepsNilAndEmpty(t *testing.T) {
	p := params.Params{"list": []any{}, "map": map[string]any{}, "nil list": []any(nil), "nil map": map[string]any(nil), "null": nil}
	if c := p.Clone(); !reflect.DeepEqual(c, p) {
		t.Errorf("got %#v, want %#v", c, p)
	}
}

func TestCloneOfParamsThatContainThemselves(t *testing.T) {
	self := params.Params{}
	self["self"] = self
	self.Clone() // ends
}

func TestMerge(t *testing.T) {
	tests := []struct {
		name   string
		layers []params.Params
		want   params.Params
	}{
		{"no layers", nil, nil},
		{"empty layers", []params.Params{nil, {}, nil}, nil},
		{"later wins", []params.Params{{"a": 1, "b": 1}, {"b": 2}, nil, {"c": 3}}, params.Params{"a": 1, "b": 2, "c": 3}},
		{"objects are replaced whole", []params.Params{{"a": map[string]any{"x": 1}}, {"a": map[string]any{"y": 2}}}, params.Params{"a": map[string]any{"y": 2}}},
		{"null overrides", []params.Params{{"a": 1}, {"a": nil}}, params.Params{"a": nil}},
	}
	for _, test := range tests {
		if got := params.Merge(test.layers...); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

func TestMergeDoesNotChangeLayers(t *testing.T) {
	low, high := params.Params{"a": 1}, params.Params{"a": 2, "b": 3}
	params.Merge(low, high)["a"] = 4
	if low["a"] != 1 || len(low) != 1 || high["a"] != 2 {
		t.Errorf("the layers became %v and %v", low, high)
	}
}

func TestErrorText(t *testing.T) {
	for want, err := range map[string]*params.Error{
		"parameter customer.address[2].zip: expected text": {Path: "customer.address[2].zip", Reason: "expected text"},
		"parameters: expected an object":                   {Reason: "expected an object"},
	} {
		if got := err.Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
