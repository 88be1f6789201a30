package provost_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/provost-go/provost"
)

type mirror struct {
	Key provost.Secret[string] `json:"key"`
}

// TestSecretMisplaced passes secrets one level too high, where the code that refuses them cannot
// tell by their place that they are secret.
func TestSecretMisplaced(t *testing.T) {
	type params struct {
		List  []mirror          `json:"list"`
		Map   map[string]mirror `json:"map"`
		Lists [][]mirror        `json:"lists"`
		Array [2]*mirror        `json:"array"`
		Dict  map[string]string `json:"dict" secret:"true"`
	}
	const canary = "canary-misplaced"
	flow := provost.NewAction("f", func(context.Context, params) error { return nil })
	for _, p := range []provost.Params{
		{"list": canary},
		{"list": []any{canary}},
		{"list": []any{[]any{canary}}},
		{"map": map[string]any{"a": canary}},
		{"lists": []any{canary}},
		{"lists": []any{[]any{canary}}},
		{"array": []any{canary, canary}},
		{"dict": map[string]any{canary: json.Number("1e999")}},
	} {
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		_, decoded := flow.Decode(p)
		_, read := flow.DecodeJSON(text)
		for _, err := range []error{decoded, read, (&provost.Deployment{Flow: flow, Name: "d", Parameters: p}).Validate()} {
			if err == nil || strings.Contains(err.Error(), canary) {
				t.Errorf("%s: error %v, want one without the secret", text, err)
			}
		}
	}
	invalid := provost.Params{"dict": map[string]any{canary: "\xff"}}
	if err := (&provost.Deployment{Flow: flow, Name: "d", Parameters: invalid}).Validate(); err == nil || strings.Contains(err.Error(), canary) {
		t.Errorf("error %v, want one without the secret", err)
	}
}

// TestSecretBySchemaAlone checks parameters that only the schema declares secret and that the
// flow's type refuses. The texts are one that is too short to be searched for in messages, and one
// that is truncated in them.
func TestSecretBySchemaAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		type params struct {
			Token int `json:"token"`
		}
		flow := provost.NewAction("f", func(context.Context, params) error { return nil })
		for _, skip := range []bool{false, true} {
			var logs logBuffer
			r := &provost.Runner{Store: provost.NewMemoryStore(), Logger: logs.logger()}
			stop := start(t, r, &provost.Deployment{
				Flow: flow, Name: "d", SkipParameterValidation: skip,
				ParameterSchema: json.RawMessage(`{"properties":{"token":{"writeOnly":true}}}`),
			})
			client := provost.NewClient(r.Store)
			for _, token := range []string{"7zq", "canary-" + strings.Repeat("z", 100)} {
				run := wait(t, client, request(t, client, "f/d", &provost.RunOptions{Parameters: provost.Params{"token": token}}).ID)
				wantState(t, run, provost.StateFailed, "token", "secret and not shown")
				for _, text := range append(logs.lines(""), run.State.Message) {
					if strings.Contains(text, "7zq") || strings.Contains(text, "canary") {
						t.Errorf("the secret is shown: %s", text)
					}
				}
			}
			clean(t, stop)
		}
	})
}

// silent is an error whose text only JSON handlers write.
type silent struct{ text string }

func (s silent) Error() string              { return s.text }
func (s silent) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, "silent") }

// TestSecretInBytes logs secrets in types that slog formats specially.
func TestSecretInBytes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const canary = "canary-in-bytes"
		type named []byte
		flow := provost.NewAction("f", func(ctx context.Context, p mirror) error {
			log, key := provost.Logger(ctx), p.Key.Reveal()
			log.Info("bytes", "b", []byte("<"+key+">"))
			log.Info("named", slog.Group("g", "b", named(key)))
			log.With("with", []byte(key)).Info("error", "e", silent{key})
			log.Info("kept", "b", []byte("plain"))
			return nil
		})
		for name, handler := range map[string]func(*logBuffer) slog.Handler{
			"text": func(b *logBuffer) slog.Handler { return slog.NewTextHandler(b, nil) },
			"json": func(b *logBuffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		} {
			var logs logBuffer
			r := &provost.Runner{Store: provost.NewMemoryStore(), Logger: slog.New(handler(&logs))}
			stop := start(t, r, &provost.Deployment{Flow: flow, Name: "d"})
			runNow(t, provost.NewClient(r.Store), "f/d", provost.Params{"key": canary})
			clean(t, stop)
			for _, line := range logs.lines("") {
				if strings.Contains(line, canary) {
					t.Errorf("%s: the secret is logged: %s", name, line)
				}
			}
			if len(logs.lines("***")) != 3 {
				t.Errorf("%s: %d lines with the mask, want 3: %q", name, len(logs.lines("***")), logs.lines(""))
			}
		}
	})
}

type ownSecret string

func (ownSecret) JSONSchema() map[string]any {
	return map[string]any{"type": "string", "writeOnly": true}
}

// TestMaskOfOwnSchema checks that the mask is refused if only the type's own schema declares the
// secret.
func TestMaskOfOwnSchema(t *testing.T) {
	flow := provost.NewAction("f", func(context.Context, struct {
		Token ownSecret `json:"token"`
	},
	) error {
		return nil
	})
	if p, err := flow.DecodeJSON([]byte(`{"token":"x"}`)); err != nil || p.Token != "x" {
		t.Errorf("DecodeJSON = %+v, %v, want token x", p, err)
	}
	_, err := flow.DecodeJSON([]byte(`{"token":"***"}`))
	wantError(t, err, "token", "stands for a secret")
}
