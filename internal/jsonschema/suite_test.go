package jsonschema

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the measured table to the manual")

// suiteGroup is a schema of the JSON Schema Test Suite with its cases.
type suiteGroup struct {
	subject     string
	Description string
	Schema      json.RawMessage
	Tests       []struct {
		Description string
		Data        json.RawMessage
		Valid       bool
	}
}

// readSuite reads the suite for draft-07 from the module of the library, which ships it. It leaves
// out refRemote, which fetches documents.
func readSuite(t testing.TB) []suiteGroup {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/xeipuuv/gojsonschema").Output()
	dir := filepath.Join(strings.TrimSpace(string(out)), "testdata", "draft7")
	if _, statErr := os.Stat(dir); err != nil || statErr != nil {
		t.Skipf("the suite is not in the module cache: %v, %v", err, statErr)
	}
	var groups []suiteGroup
	for _, part := range []struct{ pattern, prefix string }{{"*.json", ""}, {"optional/*.json", "optional: "}, {"optional/format/*.json", "format: "}} {
		files, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(part.pattern)))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			subject := strings.TrimSuffix(filepath.Base(file), ".json")
			if subject == "refRemote" {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var each []suiteGroup
			if err := json.Unmarshal(text, &each); err != nil {
				t.Fatal(err)
			}
			for _, g := range each {
				g.subject = part.prefix + subject
				groups = append(groups, g)
			}
		}
	}
	return groups
}

// suiteExceptions lists the cases that do not pass, by subject and description of the group, with
// the cause.
var suiteExceptions = map[string]struct {
	byDesign bool
	cause    string
}{
	"ref: ref overrides any sibling keywords": {true, "a rule beside `$ref`, which draft-07 silently ignores, is refused when the schema is registered"},
	"optional: bignum: integer":               {true, "numbers of more than 40 characters are refused"},
	"optional: bignum: number":                {true, "numbers of more than 40 characters are refused"},
	"optional: bignum: string":                {true, "a number of more than 40 characters is refused, as the case expects, but because of its length"},
	"format: iri: validation of IRIs":         {false, "`http://2001:0db8:85a3:0000:0000:8a2e:0370:7334` is not an IRI by RFC 3987, which requires brackets around the address; later editions of the suite agree"},
}

// emitted lists the subjects of the keywords in the schemas that are derived from Go types.
var emitted = []string{
	"additionalProperties", "anyOf", "const", "default", "definitions", "enum", "exclusiveMaximum", "exclusiveMinimum", "items", "maximum", "maxItems",
	"maxLength", "minimum", "minItems", "minLength", "multipleOf", "pattern", "properties", "ref", "required", "type", "uniqueItems", "format: date-time",
}

type suiteCount struct{ cases, passed, byDesign int }

func TestSuite(t *testing.T) {
	counts := map[string]*suiteCount{"all": {}}
	failed := map[string]int{}
	for _, g := range readSuite(t) {
		if counts[g.subject] == nil {
			counts[g.subject] = &suiteCount{}
		}
		var s *Schema
		root, _, err := parseSchema(g.Schema)
		if err == nil { // without checking the defaults, since some of the suite's are invalid
			s, err = compile(root)
		}
		for _, test := range g.Tests {
			verdict, reason := verdictOn(s, err, test.Data)
			name := g.subject + ": " + g.Description
			exception, known := suiteExceptions[name]
			for _, c := range []*suiteCount{counts[g.subject], counts["all"]} {
				c.cases++
				switch {
				case verdict == test.Valid && reason == "":
					c.passed++
				case exception.byDesign:
					c.byDesign++
				}
			}
			if verdict == test.Valid && reason == "" {
				continue
			}
			failed[name]++
			if !known || exception.byDesign != (reason != "") {
				t.Errorf("%s: %s: got %t (%s), want %t", name, test.Description, verdict, reason, test.Valid)
			}
		}
	}
	for name := range suiteExceptions {
		if failed[name] == 0 {
			t.Errorf("%s passes", name)
		}
	}
	for _, subject := range emitted {
		if c := counts[subject]; c == nil || c.passed+c.byDesign != c.cases {
			t.Errorf("%s is used in derived schemas: %+v", subject, c)
		}
	}
	if all := counts["all"]; all.cases != 539 || all.passed < 530 {
		t.Errorf("got %+v, want 530 of 539", all)
	}
	compareManual(t, suiteTable(counts, failed))
}

// verdictOn returns the verdict on a case, or the reason why there is none.
func verdictOn(s *Schema, err error, data []byte) (verdict bool, reason string) {
	if err != nil {
		return false, err.Error()
	}
	v, err := Parse(data, ValueLimits)
	if err != nil {
		return false, err.Error()
	}
	return s.Validate(v) == nil, ""
}

// suiteTable formats the measured results as the manual shows them.
func suiteTable(counts map[string]*suiteCount, failed map[string]int) string {
	var b strings.Builder
	b.WriteString("| subject | cases | passed | refused by design |\n|---|---|---|---|\n")
	subjects := slices.SortedFunc(maps.Keys(counts), func(x, y string) int {
		return cmp.Or(cmp.Compare(suitePart(x), suitePart(y)), cmp.Compare(strings.ToLower(x), strings.ToLower(y)))
	})
	for _, subject := range subjects {
		c := counts[subject]
		fmt.Fprintf(&b, "| %s | %d | %d | %s |\n", subject, c.cases, c.passed, strings.TrimPrefix(fmt.Sprint(c.byDesign), "0"))
	}
	for _, part := range []struct {
		title    string
		byDesign bool
	}{{"Refused by design", true}, {"Failed", false}} {
		fmt.Fprintf(&b, "\n%s:\n\n", part.title)
		for _, name := range slices.Sorted(maps.Keys(suiteExceptions)) {
			if e := suiteExceptions[name]; e.byDesign == part.byDesign {
				fmt.Fprintf(&b, "- %s (%d): %s.\n", name, failed[name], e.cause)
			}
		}
	}
	return b.String()
}

// suitePart returns the place of a subject in the table: keywords, optional parts, formats, the
// sum.
func suitePart(subject string) int {
	switch {
	case subject == "all":
		return 3
	case strings.HasPrefix(subject, "format: "):
		return 2
	case strings.HasPrefix(subject, "optional: "):
		return 1
	}
	return 0
}

// compareManual checks that the manual shows what was measured.
func compareManual(t *testing.T, table string) {
	t.Helper()
	const file, begin, end = "../../docs/parameters.md", "<!-- suite -->\n", "<!-- end of suite -->"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	manual := strings.ReplaceAll(string(text), "\r\n", "\n")
	before, rest, ok := strings.Cut(manual, begin)
	written, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no place for the table", file)
	}
	if written == table {
		return
	}
	if !*update {
		t.Fatalf("%s is not what was measured; go test ./internal/jsonschema -run TestSuite -update writes:\n%s", file, table)
	}
	if err := os.WriteFile(file, []byte(before+begin+table+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
