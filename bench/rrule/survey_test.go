package rrule_test

import (
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/bench/rrule"
)

type tableAndInstants struct {
	*rrule.Table
	expected [][]time.Time
}

// loadTable takes some seconds for the oracle, once.
var loadTable = sync.OnceValues(func() (tableAndInstants, error) {
	table, err := rrule.LoadTable(".")
	if err != nil {
		return tableAndInstants{}, err
	}
	expected, err := table.Expand()
	return tableAndInstants{table, expected}, err
})

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
	table, err := loadTable()
	if err != nil {
		t.Fatal(err)
	}
	voices := startVoices(t)
	if len(voices) == 0 {
		t.Skip("no voice on this machine")
	}
	survey, err := table.Ask(voices, table.expected)
	if err != nil {
		t.Fatal(err)
	}
	for _, surprise := range survey.Surprises() {
		t.Error(surprise)
	}
	t.Log(survey.Counts())
}

// Provost has no disagreement to list: where it agrees with the oracle, it agrees with every voice that does.
func TestProvostAgreesWithTheOracle(t *testing.T) {
	table, err := loadTable()
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range table.Rules {
		t.Run(r.Name, func(t *testing.T) {
			schedule := provost.RRule(r.Text)
			if r.Zone != "" {
				schedule = schedule.In(r.Zone)
			}
			if err := schedule.Err(); err != nil {
				t.Fatalf("%q in %q: %v", r.Text, r.Zone, err)
			}
			got := schedule.Upcoming(rrule.Origin, r.N)
			if want := table.expected[i]; !slices.EqualFunc(got, want, time.Time.Equal) {
				t.Errorf("%q in %q: %s", r.Text, r.Zone, rrule.Difference(want, got))
			}
		})
	}
}

func TestRandomRulesAreThoseOfTheSeed(t *testing.T) {
	table, err := loadTable()
	if err != nil {
		t.Fatal(err)
	}
	drawn := rrule.Draw(rrule.Seed, rrule.Drawn)
	random := table.Rules[len(table.Rules)-len(drawn):]
	for i, r := range drawn {
		if random[i].Name != r.Name || random[i].Text != r.Text {
			t.Errorf("%s is %q, the seed gives %q", random[i].Name, random[i].Text, r.Text)
		}
	}
}
