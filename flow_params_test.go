package provost_test

import (
	"context"
	"encoding/json"
	"math"
	"net/url"
	"testing"
	"time"

	"github.com/provost-go/provost"
)

// TestURLFitsItsSchema sends URLs that url.Parse accepts and url.URL writes, although they are not
// valid URLs.
func TestURLFitsItsSchema(t *testing.T) {
	type params struct {
		URL  url.URL `json:"url"`
		Page url.URL `json:"page,omitzero" format:"uri"`
	}
	flow := provost.NewAction("f", func(context.Context, params) error { return nil })
	for text, want := range map[string]string{
		"https://example.com/ü?q=ü#ü": "https://example.com/%C3%BC?q=%C3%BC#%C3%BC",
		"https://example.com/?q=a b":  "https://example.com/?q=a%20b",
		`https://example.com/?{"a"}`:  "https://example.com/?%7B%22a%22%7D",
		"https://example.com/?\xff":   "https://example.com/?%FF",
		"mailto:ü@example.com":        "mailto:%C3%BC@example.com",
		"https://example.com/?a%20b":  "https://example.com/?a%20b",
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		p := flow.Params(params{URL: *u, Page: *u})
		if p["url"] != want || p["page"] != want {
			t.Errorf("Params of %q = %v, want %s", text, p, want)
		}
		if err := (&provost.Deployment{Flow: flow, Name: "d", Parameters: p}).Validate(); err != nil {
			t.Errorf("Validate with %q: %v", text, err)
		}
	}
	// Pasted text is accepted unchanged.
	p, err := flow.DecodeJSON([]byte(`{"url":"https://example.com/?q=ü"}`))
	if err != nil || p.URL.Query().Get("q") != "ü" {
		t.Errorf("DecodeJSON: URL %v, error %v, want query ü", p.URL, err)
	}
}

// TestPointersSendZero checks that pointers to zero values are sent, also for types with an IsZero
// method.
func TestPointersSendZero(t *testing.T) {
	type params struct {
		At    *time.Time               `json:"at"`
		Key   *provost.Secret[string]  `json:"key"`
		Count *int                     `json:"count"`
		Left  *time.Time               `json:"left"`
		Omit  *time.Time               `json:"omit,omitzero"` // as encoding/json omits it
		Deep  **provost.Secret[string] `json:"deep"`
	}
	flow := provost.NewAction("f", func(context.Context, params) error { return nil })
	key := new(provost.Secret[string])
	text, err := json.Marshal(flow.Params(params{At: new(time.Time), Key: key, Count: new(int), Omit: new(time.Time), Deep: &key}))
	if want := `{"at":"0001-01-01T00:00:00Z","count":0,"deep":"","key":""}`; string(text) != want || err != nil {
		t.Errorf("got %s, %v, want %s", text, err, want)
	}
}

// TestParamsThatDoNotEncode checks that such parameters are refused with the reason, also for a
// flow that accepts any parameters.
func TestParamsThatDoNotEncode(t *testing.T) {
	type params struct {
		X float64 `json:"x"`
	}
	p := provost.NewAction("f", func(context.Context, params) error { return nil }).Params(params{math.NaN()})
	for _, flow := range []provost.AnyFlow{
		provost.NewAction("f", func(context.Context, params) error { return nil }),
		provost.NewAction("f", func(context.Context, provost.Params) error { return nil }),
	} {
		for _, skip := range []bool{false, true} {
			err := (&provost.Deployment{Flow: flow, Name: "d", Parameters: p, SkipParameterValidation: skip}).Validate()
			wantError(t, err, "x", "NaN has no form in JSON")
		}
	}
}
