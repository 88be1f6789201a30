package recur

import (
	"encoding/json"
	"os"
	"slices"
	"testing"
	"time"
)

// TestRRuleVectors compares rules, in both directions, with instants on which independent
// implementations agree. The module bench writes the file; its README describes the
// implementations.
func TestRRuleVectors(t *testing.T) {
	text, err := os.ReadFile("testdata/rrule_vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Rule     string
		Zone     string
		Complete bool // there are no more instants
		Instants []time.Time
	}
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) < 200 {
		t.Errorf("%d vectors, want 200 and more", len(vectors))
	}
	origin := time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, v := range vectors {
		var zone *Zone
		if v.Zone != "" {
			if zone, err = LoadZone(v.Zone); err != nil {
				t.Fatal(err)
			}
		}
		rule, err := NewRRule(v.Rule, zone)
		if err != nil {
			t.Errorf("%q in %q: %v", v.Rule, v.Zone, err)
			continue
		}
		last := v.Instants[len(v.Instants)-1]

		var ahead []time.Time
		after, ok := rule.Next(origin)
		for ; ok && !after.After(last); after, ok = rule.Next(after) {
			ahead = append(ahead, after)
		}
		if !slices.EqualFunc(ahead, v.Instants, time.Time.Equal) {
			t.Errorf("%q in %q: Next returns %v, want %v", v.Rule, v.Zone, ahead, v.Instants)
		}
		if ok == v.Complete {
			t.Errorf("%q in %q: Next after %s returns %s, %t", v.Rule, v.Zone, last, after, ok)
		}

		var back []time.Time
		before, ok := rule.Prev(last.Add(time.Second))
		for ; ok; before, ok = rule.Prev(before) {
			back = append(back, before)
		}
		slices.Reverse(back)
		if !slices.EqualFunc(back, v.Instants, time.Time.Equal) {
			t.Errorf("%q in %q: Prev returns %v, want %v", v.Rule, v.Zone, back, v.Instants)
		}
	}
}
