package params_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/provost-go/provost/params"
)

type login struct {
	User     string                `json:"user,omitempty"`
	Password params.Secret[string] `json:"password,omitzero"`
	Legacy   string                `json:"legacy,omitempty"`
}

var verbs = []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%T", "%p", "%t"}

// show writes values in every way there is.
func show(t *testing.T, out *strings.Builder, values ...any) {
	t.Helper()
	handlers := []slog.Handler{
		slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug}), slog.NewJSONHandler(out, nil),
	}
	for _, v := range values {
		for _, verb := range verbs {
			fmt.Fprintf(out, verb+"\n", v)
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Errorf("marshal %T: %v", v, err)
		}
		out.Write(text)
		for _, handler := range handlers {
			slog.New(handler).Info("shown", "value", v, slog.Group("group", "value", v))
		}
	}
}

// TestSecretDoesNotLeak searches everything that shows a Secret, also in an unexported field.
func TestSecretDoesNotLeak(t *testing.T) {
	canaries := []string{"canary-01-tweet", "7000001", "canary-03-tweet", "canary-04-tweet", "canary-05-tweet"}
	type hidden struct {
		inner params.Secret[string]
		whole params.Secret[login]
	}
	s, number := params.NewSecret(canaries[0]), params.NewSecret(7_000_001)
	object := params.NewSecret(login{User: "ada", Password: params.NewSecret(canaries[2]), Legacy: canaries[3]})
	var out strings.Builder
	show(t, &out, s, &s, number, object, []any{s}, map[string]any{"k": s}, struct{ S params.Secret[string] }{s},
		params.NewSecret([]byte(canaries[4])))
	for _, verb := range verbs {
		fmt.Fprintf(&out, verb, hidden{s, object})
		fmt.Fprintf(&out, verb, &hidden{s, object})
	}
	text, err := s.MarshalText()
	fmt.Fprintln(&out, string(text), err, s.String(), s.LogValue(), errors.New("x "+s.String()))
	for _, canary := range canaries {
		for _, form := range []string{canary, base64.StdEncoding.EncodeToString([]byte(canary))} {
			if before, after, found := strings.Cut(out.String(), form); found {
				t.Errorf("%s is shown: %q, %q", canary, before[max(0, len(before)-200):], after[:min(len(after), 60)])
			}
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d"} {
		if got := fmt.Sprintf(verb, s); got != "***" {
			t.Errorf("%s prints %s, want ***", verb, got)
		}
	}
	var zero params.Secret[map[string]int]
	if zero.Reveal() != nil || !zero.IsZero() || zero.String() != "***" || !params.NewSecret("").IsZero() || s.IsZero() {
		t.Error("the zero Secret is not usable")
	}
}

func TestSecretUnmarshal(t *testing.T) {
	var p login
	if err := json.Unmarshal([]byte(`{"password":"open"}`), &p); err != nil || p.Password.Reveal() != "open" {
		t.Errorf("got %q, %v, want open", p.Password.Reveal(), err)
	}
	var n params.Secret[int]
	for _, text := range []string{`"canary"`, `"***"`, `12345678901234567890`} {
		if err := json.Unmarshal([]byte(text), &n); err == nil || strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "1234") {
			t.Errorf("%s: error %v, want one without the secret", text, err)
		}
	}
}
