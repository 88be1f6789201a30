package rrule_test

import (
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/provost-go/provost/bench/rrule"
	"github.com/provost-go/provost/schedule"
)

type tableAndInstants struct {
	*rrule.Table
	expected [][]time.Time
}

// loadTable loads the table and expands it, once; the oracle takes some seconds.
var loadTable = sync.OnceValues(func() (tableAndInstants, error) {
	table, err := rrule.LoadTable(".")
	if err != nil {
		return tableAndInstants{}, err
	}
	expected, err := table.Expand()
	return tableAndInstants{table, expected}, err
})

// startPeers starts the peers that are installed on this machine. In CI all of them must be.
func startPeers(t *testing.T) []*rrule.Peer {
	t.Helper()
	var peers []*rrule.Peer
	for _, p := range rrule.Peers(".", t.TempDir()) {
		if err := p.Start(); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal(err)
			}
			t.Logf("left out: %v", err)
			continue
		}
		t.Cleanup(func() {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
		peers = append(peers, p)
	}
	return peers
}

func TestTheTableKnowsEveryDisagreement(t *testing.T) {
	table, err := loadTable()
	if err != nil {
		t.Fatal(err)
	}
	peers := startPeers(t)
	if len(peers) == 0 {
		t.Skip("no peer is installed on this machine")
	}
	survey, err := table.Ask(peers, table.expected)
	if err != nil {
		t.Fatal(err)
	}
	for _, unexpected := range survey.Unexpected() {
		t.Error(unexpected)
	}
	t.Log(survey.Counts())
}

// provost agrees with the oracle on every rule, and so with every peer that does.
func TestProvostAgreesWithTheOracle(t *testing.T) {
	table, err := loadTable()
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range table.Rules {
		t.Run(r.Name, func(t *testing.T) {
			s := schedule.RRule(r.Text)
			if r.Zone != "" {
				s = s.In(r.Zone)
			}
			if err := s.Err(); err != nil {
				t.Fatalf("%q in %q: %v", r.Text, r.Zone, err)
			}
			got := s.Upcoming(rrule.Origin, r.N)
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
			t.Errorf("%s is %q, but the seed draws %q", random[i].Name, random[i].Text, r.Text)
		}
	}
}
