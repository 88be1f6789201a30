package guard

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// suiteGroup is one schema of the JSON Schema Test Suite with its cases.
type suiteGroup struct {
	keyword     string
	Description string
	Schema      json.RawMessage
	Tests       []struct {
		Description string
		Data        json.RawMessage
		Valid       bool
	}
}

// readSuite finds the suite for draft-07 in the module of the library, which ships it.
func readSuite(t *testing.T) []suiteGroup {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/xeipuuv/gojsonschema").Output()
	dir := filepath.Join(strings.TrimSpace(string(out)), "testdata", "draft7")
	if _, statErr := os.Stat(dir); err != nil || statErr != nil {
		t.Skipf("the suite is not here: %v, %v", err, statErr)
	}
	var groups []suiteGroup
	for _, pattern := range []string{"*.json", "optional/*.json", "optional/format/*.json"} {
		files, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(pattern)))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var each []suiteGroup
			if err := json.Unmarshal(text, &each); err != nil {
				t.Fatal(err)
			}
			keyword := strings.TrimSuffix(filepath.Base(file), ".json")
			if strings.Contains(pattern, "format") {
				keyword = "format: " + keyword
			}
			for _, g := range each {
				g.keyword = keyword
				groups = append(groups, g)
			}
		}
	}
	return groups
}

func TestSuite(t *testing.T) {
	count := map[string][2]int{}
	total := [2]int{}
	for _, g := range readSuite(t) {
		if g.keyword == "refRemote" {
			continue
		}
		var s *Schema
		root, _, err := parseSchema(g.Schema)
		if err == nil {
			s, err = compile(root)
		}
		for _, test := range g.Tests {
			c := count[g.keyword]
			c[1]++
			total[1]++
			got := ""
			if err != nil {
				got = "schema refused: " + err.Error()
			} else if v, err := Parse(test.Data, ValueLimits); err != nil {
				got = "value refused: " + err.Error()
			} else if problems := s.Validate(v); (problems == nil) != test.Valid {
				got = fmt.Sprintf("%t, problems %s", problems == nil, text(problems))
			}
			if got == "" {
				c[0]++
				total[0]++
			} else {
				t.Logf("%s / %s / %s: want %t, got %s", g.keyword, g.Description, test.Description, test.Valid, got)
			}
			count[g.keyword] = c
		}
	}
	t.Log(total)
	_ = slices.Sorted[string]
}
