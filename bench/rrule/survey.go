package rrule

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// Survey is what the oracle and the voices say about each rule of a table.
type Survey struct {
	Table    *Table
	Voices   []*Voice
	Expected [][]time.Time       // by the oracle
	Answers  map[string][]Answer // by name of the voice
}

// Expand asks the oracle for the instants of every rule.
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

// Ask asks the voices, which must have been started, for every rule, all at the same time.
func (t *Table) Ask(voices []*Voice, expected [][]time.Time) (*Survey, error) {
	s := &Survey{Table: t, Voices: voices, Expected: expected, Answers: make(map[string][]Answer)}
	var group errgroup.Group
	for _, v := range voices {
		answers := make([]Answer, len(t.Rules))
		s.Answers[v.Name] = answers
		group.Go(func() error {
			for i, r := range t.Rules {
				var err error
				if answers[i], err = v.Ask(r); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return s, group.Wait()
}

// Surprises lists what the table does not say: a voice that does not agree, or one that does after all.
func (s *Survey) Surprises() []string {
	var surprises []string
	for i, r := range s.Table.Rules {
		for _, v := range s.Voices {
			answer := s.Answers[v.Name][i]
			outcome, known := answer.Outcome(s.Expected[i]), Agrees
			if reason, ok := r.Differs[v.Name]; ok {
				known = s.Table.Reasons[reason].How
			}
			if outcome != known {
				surprises = append(surprises, fmt.Sprintf("%s: %s %s, the table says %s\n%q in %q\n%s",
					r.Name, v.Name, outcome, known, r.Text, r.Zone, s.difference(i, answer)))
			}
		}
	}
	return surprises
}

func (s *Survey) difference(i int, answer Answer) string {
	if answer.Refused != "" {
		return "refused: " + answer.Refused
	}
	return Difference(s.Expected[i], answer.Instants)
}

// Difference shows where a list of instants leaves the expected one.
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

// Agreeing names the voices that agree with the oracle on rule i.
func (s *Survey) Agreeing(i int) []string {
	var names []string
	for _, v := range s.Voices {
		if s.Answers[v.Name][i].Outcome(s.Expected[i]) == Agrees {
			names = append(names, v.Name)
		}
	}
	return names
}

// Counts says how often each voice agrees or not.
func (s *Survey) Counts() string {
	text := fmt.Sprintf("%d rules\n", len(s.Table.Rules))
	for _, v := range s.Voices {
		counts := make(map[Outcome]int)
		reasons := make(map[string]int)
		for i, r := range s.Table.Rules {
			counts[s.Answers[v.Name][i].Outcome(s.Expected[i])]++
			if reason, ok := r.Differs[v.Name]; ok {
				reasons[reason]++
			}
		}
		text += fmt.Sprintf("%-9s agrees %d, answers otherwise %d, refuses %d, hangs %d\n", v.Name,
			counts[Agrees], counts[Answers], counts[Refuses], counts[Hangs])
		for _, reason := range slices.Sorted(maps.Keys(reasons)) {
			text += fmt.Sprintf("%13d %s\n", reasons[reason], reason)
		}
	}
	return text
}
