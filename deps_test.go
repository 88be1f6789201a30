package provost_test

import (
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/provost-go/provost"

// goList runs go list with a template and returns its lines.
func goList(t *testing.T, arguments ...string) []string {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no go command")
	}
	output, err := exec.CommandContext(t.Context(), "go", append([]string{"list"}, arguments...)...).Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	return strings.Fields(string(output))
}

// TestDependencies holds the root package and its tests to few dependencies: whoever imports
// provost downloads what both import.
func TestDependencies(t *testing.T) {
	allowed := []string{
		"github.com/google/uuid",
		"github.com/robfig/cron/v3",
		"github.com/xeipuuv/gojsonschema",
		"github.com/xeipuuv/gojsonpointer",   // of gojsonschema
		"github.com/xeipuuv/gojsonreference", // of gojsonschema
		"golang.org/x/sync",
		module,
	}
	packages := 0
	for _, path := range goList(t, "-deps", "-test", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".") {
		if strings.HasPrefix(path, "[") { // a package that is built anew for a test is listed as "path [test]"
			continue
		}
		packages++
		path, _, _ = strings.Cut(path, "_test")
		path = strings.TrimSuffix(path, ".test")
		if !under(path, allowed) {
			t.Errorf("the root package or its tests import %s", path)
		}
		if under(path, []string{module + "/store/sqlite", module + "/store/postgres", module + "/store/internal"}) {
			t.Errorf("the root package or its tests import %s, which needs a database driver", path)
		}
	}
	if packages < 4 {
		t.Errorf("go list named %d packages; is the test looking in the right place?", packages)
	}
}

// rooms lists the packages of the module that other packages build on, from the bottom to the top,
// and what each of them may import of the others. Whatever is not listed stands on top: it may
// import all of them, and none of them imports it.
var rooms = []struct {
	path    string
	imports []string
}{
	{"internal/clock", nil},
	{"internal/instant", nil},
	{"internal/proc", nil},
	{"internal/testenv", nil},
	{"internal/sealed", nil},
	{"internal/sorted", nil},
	{"internal/wire", nil},
	{"internal/jsonschema", nil},
	{"internal/recur", nil},
	{"params", []string{"internal/jsonschema", "internal/sealed"}},
	{"internal/param", []string{"params", "internal/jsonschema", "internal/sealed"}},
	{"schedule", []string{"params", "internal/param", "internal/recur", "internal/instant"}},
	{"store", []string{"params", "schedule", "internal/param", "internal/instant"}},
	{"observe", []string{"store"}},
	{"internal/rules", []string{"store"}},
	{"store/memory", []string{"store", "internal/rules", "params", "schedule", "internal/instant", "internal/sorted"}},
	{"store/internal/sqlstore", []string{"store", "internal/rules", "params", "schedule", "internal/instant"}},
	{"store/sqlite", []string{"store", "store/internal/sqlstore"}},
	{"store/postgres", []string{"store", "store/internal/sqlstore"}},
	{"internal/rpc", []string{"store", "params", "internal/wire"}},
	{"internal/engine", []string{
		"observe", "store", "params", "schedule",
		"internal/clock", "internal/instant", "internal/param", "internal/proc", "internal/rpc", "internal/wire",
	}},
	{"", []string{ // the root
		"observe", "store", "store/memory", "params", "schedule",
		"internal/clock", "internal/engine", "internal/instant", "internal/param",
	}},
	{"storetest", []string{"store", "params", "schedule"}},
}

// TestDirections holds the packages to the directions in which they may import each other.
func TestDirections(t *testing.T) {
	allowed := make(map[string][]string)
	for _, room := range rooms {
		allowed[room.path] = room.imports
	}
	seen := make(map[string]bool)
	for _, line := range goList(t, "-f", `{{$path := .ImportPath}}{{range .Imports}}{{$path}}>{{.}}{{"\n"}}{{end}}`, "./...") {
		importer, imported, _ := strings.Cut(line, ">")
		if !under(imported, []string{module}) {
			continue
		}
		importer, imported = strings.TrimPrefix(strings.TrimPrefix(importer, module), "/"), strings.TrimPrefix(strings.TrimPrefix(imported, module), "/")
		seen[importer] = true
		switch may, listed := allowed[importer]; {
		case !listed:
			if _, listed := allowed[imported]; !listed && !strings.HasPrefix(imported, importer) && !strings.Contains(imported, "internal/") {
				t.Errorf("%s imports %s, which is on top too", importer, imported)
			}
		case !slices.Contains(may, imported):
			t.Errorf("%q imports %q; the directions of the house do not allow it", importer, imported)
		}
	}
	for path, imports := range allowed {
		if len(imports) > 0 && !seen[path] {
			t.Errorf("%q imports nothing of the module; is it still there?", path)
		}
	}
}

// TestSchemaLibrary lets nobody but internal/jsonschema import the JSON Schema library, which needs
// its care. Tests may compare with it.
func TestSchemaLibrary(t *testing.T) {
	found := false
	for _, line := range goList(t, "-f", `{{$path := .ImportPath}}{{range .Imports}}{{$path}}>{{.}}{{"\n"}}{{end}}`, "./...") {
		importer, imported, _ := strings.Cut(line, ">")
		switch {
		case !under(imported, []string{"github.com/xeipuuv"}):
		case importer == module+"/internal/jsonschema":
			found = true
		default:
			t.Errorf("%s imports %s; ask internal/jsonschema instead", importer, imported)
		}
	}
	if !found {
		t.Error("internal/jsonschema does not import the library; is the test looking in the right place?")
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
