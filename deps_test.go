package provost_test

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// TestDependencies holds the root package and its tests to few dependencies: who imports provost downloads what both import.
func TestDependencies(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no go command")
	}
	const module = "github.com/provost-go/provost"
	allowed := []string{
		"github.com/google/uuid",
		"github.com/robfig/cron/v3",
		"github.com/xeipuuv/gojsonschema",
		"github.com/xeipuuv/gojsonpointer",   // of gojsonschema
		"github.com/xeipuuv/gojsonreference", // of gojsonschema
		"golang.org/x/sync",
		module + "/internal",
		module + "/provosttest", // std and the root only
		module + "/storetest",   // what the tests of the memory store use; std and the root only
	}
	const outside = "{{if not .Standard}}{{.ImportPath}}{{end}}"
	list, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-test", "-f", outside, ".").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	packages := 0
	for line := range strings.Lines(string(list)) {
		// A package that is built anew for a test is listed as "path [test]".
		path, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if path == "" {
			continue
		}
		packages++
		own := path == module || path == module+"_test" || path == module+".test"
		if !own && !under(path, allowed) {
			t.Errorf("the root package or its tests import %s", path)
		}
	}
	if packages < 4 {
		t.Errorf("go list named %d packages; is the test looking in the right place?", packages)
	}
}

// TestGuardedLibrary lets nobody but internal/guard import the JSON Schema library, which needs its care; tests may compare with it.
func TestGuardedLibrary(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no go command")
	}
	const template = `{{$path := .ImportPath}}{{range .Imports}}{{$path}} {{.}}{{"\n"}}{{end}}`
	list, err := exec.CommandContext(t.Context(), "go", "list", "-f", template, "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	guarded := false
	for line := range strings.Lines(string(list)) {
		importer, imported, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case !under(imported, []string{"github.com/xeipuuv"}):
		case importer == "github.com/provost-go/provost/internal/guard":
			guarded = true
		default:
			t.Errorf("%s imports %s; ask internal/guard instead", importer, imported)
		}
	}
	if !guarded {
		t.Error("internal/guard does not import the library; is the test looking in the right place?")
	}
}

func under(path string, roots []string) bool {
	for _, root := range roots {
		if path == root || strings.HasPrefix(path, root+"/") {
			return true
		}
	}
	return false
}
