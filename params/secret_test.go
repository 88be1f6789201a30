package params_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/provost-go/provost/params"
)

func TestSecretShowsOnlyTheMask(t *testing.T) {
	const canary = "canary"
	secret := params.NewSecret(canary)
	holder := struct {
		Public params.Secret[string]
		hidden params.Secret[string]
	}{secret, secret}
	inJSON, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", secret, "holder", holder)
	shown := []string{string(inJSON), log.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		shown = append(shown, fmt.Sprintf(verb, secret), fmt.Sprintf(verb, &secret), fmt.Sprintf(verb, holder))
	}
	for _, text := range shown {
		if strings.Contains(text, canary) || strings.Contains(text, fmt.Sprintf("%x", canary)) {
			t.Errorf("%s shows the secret", text)
		}
	}
	if got := secret.Reveal(); got != canary {
		t.Errorf("got %q, want %q", got, canary)
	}
}

func TestSecretFromJSON(t *testing.T) {
	var secret params.Secret[int]
	if !secret.IsZero() || secret.Reveal() != 0 {
		t.Error("the zero Secret is not zero")
	}
	if err := json.Unmarshal([]byte("7"), &secret); err != nil || secret.Reveal() != 7 || secret.IsZero() {
		t.Errorf("got %d, %v, want 7", secret.Reveal(), err)
	}
	for text, want := range map[string]string{`"***"`: "stands for a secret", `"canary"`: "not a valid int"} {
		err := json.Unmarshal([]byte(text), &secret)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
		if secret.Reveal() != 7 {
			t.Errorf("%s: the secret became %d", text, secret.Reveal())
		}
	}
}
