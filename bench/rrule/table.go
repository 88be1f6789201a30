package rrule

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Rule is one recurrence set of the table.
type Rule struct {
	Name string `json:"name"`
	Text string `json:"text"`
	Zone string `json:"zone,omitzero"` // for Schedule.In
	N    int    `json:"n,omitzero"`    // how many instants to ask for; 0: 60

	// Differs maps the peers that are known to disagree with the oracle to a key of Reasons.
	Differs map[string]string `json:"differs,omitzero"`
}

// Reason is why a peer disagrees.
type Reason struct {
	How Outcome `json:"how"`
	Why string  `json:"why"`
}

// Table holds the rules and what is known about them.
type Table struct {
	Reasons map[string]Reason
	Rules   []Rule
}

const defaultN = 60

// LoadTable reads reasons.json, rules.json (written by hand) and random.json (see Draw) from a
// directory.
func LoadTable(dir string) (*Table, error) {
	table := &Table{}
	if err := readJSON(filepath.Join(dir, "reasons.json"), &table.Reasons); err != nil {
		return nil, err
	}
	for _, name := range []string{"rules.json", "random.json"} {
		var rules []Rule
		if err := readJSON(filepath.Join(dir, name), &rules); err != nil {
			return nil, err
		}
		table.Rules = append(table.Rules, rules...)
	}
	for i := range table.Rules {
		if table.Rules[i].N == 0 {
			table.Rules[i].N = defaultN
		}
	}
	return table, table.validate()
}

func (t *Table) validate() error {
	names, unused := make(map[string]bool), maps.Clone(t.Reasons)
	for _, r := range t.Rules {
		if names[r.Name] {
			return fmt.Errorf("%s: two rules have this name", r.Name)
		}
		names[r.Name] = true
		for peer, reason := range r.Differs {
			if _, ok := t.Reasons[reason]; !ok {
				return fmt.Errorf("%s: %s: reason %q is not in reasons.json", r.Name, peer, reason)
			}
			delete(unused, reason)
		}
	}
	if len(unused) > 0 {
		return fmt.Errorf("reasons.json has reasons that no rule uses: %s", strings.Join(slices.Sorted(maps.Keys(unused)), ", "))
	}
	return nil
}

func readJSON(path string, v any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// MarshalLines returns a list as JSON with one item per line, so that a diff shows what changed.
func MarshalLines[T any](items []T) ([]byte, error) {
	var text bytes.Buffer
	text.WriteString("[\n")
	for i, item := range items {
		line, err := json.Marshal(item)
		if err != nil {
			return nil, err
		}
		text.Write(line)
		if i < len(items)-1 {
			text.WriteByte(',')
		}
		text.WriteByte('\n')
	}
	text.WriteString("]\n")
	return text.Bytes(), nil
}
