package rrule_test

import (
	"os"
	"testing"

	"github.com/provost-go/provost/bench/rrule"
)

// startVoices starts the voices that this machine has; in CI it must have all.
func startVoices(t *testing.T) []*rrule.Voice {
	t.Helper()
	var voices []*rrule.Voice
	for _, v := range rrule.Voices(".", t.TempDir()) {
		if err := v.Start(); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal(err)
			}
			t.Logf("not heard: %v", err)
			continue
		}
		t.Cleanup(func() {
			if err := v.Close(); err != nil {
				t.Error(err)
			}
		})
		voices = append(voices, v)
	}
	return voices
}

func TestTheTableKnowsEveryDisagreement(t *testing.T) {
	table, err := rrule.LoadTable(".")
	if err != nil {
		t.Fatal(err)
	}
	if len(table.Rules) < 260 {
		t.Errorf("%d rules, want 260 and more", len(table.Rules))
	}
	voices := startVoices(t)
	if len(voices) == 0 {
		t.Skip("no voice on this machine")
	}
	survey, err := table.Ask(voices)
	if err != nil {
		t.Fatal(err)
	}
	for _, surprise := range survey.Surprises() {
		t.Error(surprise)
	}
	t.Log(survey.Counts())
}
