package rrule

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// Survey holds the answers of the oracle and of the peers for each rule of a table.
type Survey struct {
	Table    *Table
	Peers    []*Peer
	Expected [][]time.Time       // by the oracle
	Answers  map[string][]Answer // by peer name
}

// Expand returns the instants of every rule by the oracle.
func (t *Table) Expand() ([][]time.Time, error) {
	expected := make([][]time.Time, len(t.Rules))
	var mistakes []error
	for i, r := range t.Rules {
		instants, err := Expand(r.Text, r.Zone, r.N)
		if err != nil {
			mistakes = append(mistakes, fmt.Errorf("%s: %w", r.Name, err))
		}
		expected[i] = instants
	}
	return expected, errors.Join(mistakes...)
}

// Ask asks every peer for every rule. The peers must have been started; they work in parallel.
func (t *Table) Ask(peers []*Peer, expected [][]time.Time) (*Survey, error) {
	s := &Survey{Table: t, Peers: peers, Expected: expected, Answers: make(map[string][]Answer)}
	var group errgroup.Group
	for _, p := range peers {
		answers := make([]Answer, len(t.Rules))
		s.Answers[p.Name] = answers
		group.Go(func() error {
			for i, r := range t.Rules {
				var err error
				if answers[i], err = p.Ask(r); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return s, group.Wait()
}

// Unexpected lists the differences from the table: a peer that unexpectedly disagrees, or agrees.
func (s *Survey) Unexpected() []string {
	var unexpected []string
	for i, r := range s.Table.Rules {
		for _, p := range s.Peers {
			answer := s.Answers[p.Name][i]
			outcome, known := answer.Outcome(s.Expected[i]), Agrees
			if reason, ok := r.Differs[p.Name]; ok {
				known = s.Table.Reasons[reason].How
			}
			if outcome != known {
				unexpected = append(unexpected, fmt.Sprintf("%s: %s %s, the table says %s\n%q in %q\n%s",
					r.Name, p.Name, outcome, known, r.Text, r.Zone, s.difference(i, answer)))
			}
		}
	}
	return unexpected
}

// difference describes how an answer for rule i differs from the oracle's.
func (s *Survey) difference(i int, answer Answer) string {
	if answer.Refused != "" {
		return "refused: " + answer.Refused
	}
	return Difference(s.Expected[i], answer.Instants)
}

// Difference describes where a list of instants first differs from the expected one.
func Difference(expected, got []time.Time) string {
	k := 0
	for k < len(expected) && k < len(got) && expected[k].Equal(got[k]) {
		k++
	}
	some := func(list []time.Time) (text string) {
		for _, t := range list[k:min(k+3, len(list))] {
			text += t.Format(" 2006-01-02T15:04:05Z")
		}
		return text + fmt.Sprintf(" (of %d)", len(list))
	}
	return fmt.Sprintf("from instant %d on: expected%s, got%s", k+1, some(expected), some(got))
}

// Agreeing returns the names of the peers that agree with the oracle on rule i.
func (s *Survey) Agreeing(i int) []string {
	var names []string
	for _, p := range s.Peers {
		if s.Answers[p.Name][i].Outcome(s.Expected[i]) == Agrees {
			names = append(names, p.Name)
		}
	}
	return names
}

// Counts returns a text with how often each peer agrees, and why it does not.
func (s *Survey) Counts() string {
	text := fmt.Sprintf("%d rules\n", len(s.Table.Rules))
	for _, p := range s.Peers {
		counts := make(map[Outcome]int)
		reasons := make(map[string]int)
		for i, r := range s.Table.Rules {
			counts[s.Answers[p.Name][i].Outcome(s.Expected[i])]++
			if reason, ok := r.Differs[p.Name]; ok {
				reasons[reason]++
			}
		}
		text += fmt.Sprintf("%-9s agrees %d, answers otherwise %d, refuses %d, hangs %d\n", p.Name,
			counts[Agrees], counts[Answers], counts[Refuses], counts[Hangs])
		for _, reason := range slices.Sorted(maps.Keys(reasons)) {
			text += fmt.Sprintf("%13d %s\n", reasons[reason], reason)
		}
	}
	return text
}
