package provost_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestGuaranteesNameTheirProof holds the page of guarantees to tests that exist.
func TestGuaranteesNameTheirProof(t *testing.T) {
	text, err := os.ReadFile("docs/guarantees.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`(?:([a-z/]+): )?(Test[A-Za-z]+|[A-Z][a-z]+)`").FindAllStringSubmatch(string(text), -1)
	proofs := 0
	for _, match := range named {
		directory, name := match[1], match[2]
		pattern := filepath.Join(directory, "*_test.go")
		want := "func " + name + "("
		switch {
		case directory == "storetest": // a group of cases of the conformance suite
			pattern, want = filepath.Join(directory, "*.go"), `"`+name+`"`
		case !strings.HasPrefix(name, "Test"):
			continue
		}
		proofs++
		if !inFiles(t, pattern, want) {
			t.Errorf("%s is named as a proof, and not there", strings.Trim(match[0], "`"))
		}
	}
	if proofs < 60 {
		t.Errorf("%d proofs were understood", proofs)
	}
}

func inFiles(t *testing.T, pattern, want string) bool {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), want) {
			return true
		}
	}
	return false
}
