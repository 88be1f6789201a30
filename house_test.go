package provost_test

import (
	"bufio"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Bounds on the source, which keep it readable.
const (
	maxRootFiles     = 25
	maxFileLines     = 800
	maxCommentColumn = 100
)

// TestSourceIsReadable holds every Go file to a length, and every comment to a width.
func TestSourceIsReadable(t *testing.T) {
	files := 0
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "node_modules" || entry.Name() == ".git"):
			return fs.SkipDir
		case entry.IsDir() || filepath.Ext(path) != ".go":
			return nil
		}
		files++
		return checkSource(t, path)
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 200 {
		t.Errorf("found %d files; is the test looking in the right place?", files)
	}
}

func checkSource(t *testing.T, path string) error {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines, output := 0, false
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		lines++
		line := strings.ReplaceAll(scanner.Text(), "\t", "    ")
		comment := strings.HasPrefix(strings.TrimSpace(line), "//")
		output = comment && (output || strings.Contains(line, "Output:")) // of an example
		code := strings.HasPrefix(strings.TrimSpace(scanner.Text()), "//\t")
		wrappable := comment && !output && !code && !strings.Contains(line, "://")
		if columns := len([]rune(line)); wrappable && columns > maxCommentColumn {
			t.Errorf("%s:%d: the comment has %d columns; wrap it at %d", path, lines, columns, maxCommentColumn)
		}
	}
	if lines > maxFileLines {
		t.Errorf("%s has %d lines; split it by noun, at most %d", path, lines, maxFileLines)
	}
	return scanner.Err()
}

// TestRootStaysSmall bounds the source files of the root.
func TestRootStaysSmall(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	files = slices.DeleteFunc(files, func(name string) bool { return strings.HasSuffix(name, "_test.go") })
	if len(files) > maxRootFiles {
		t.Errorf("the root has %d source files, want at most %d: %v", len(files), maxRootFiles, files)
	}
}

// publicPackages is what programs import, without the stores that come with a driver.
var publicPackages = []string{".", "params", "schedule", "store", "store/memory", "observe", "storetest", "provosttest"}

// TestPublicTypes holds the exported API to types of the standard library, of our own public
// packages and uuid.UUID, and every alias to a sentence that says where the full documentation is.
func TestPublicTypes(t *testing.T) {
	aliases := 0
	for _, dir := range publicPackages {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			api := &publicAPI{t: t, path: path, imports: importNames(t, parsed)}
			for _, declaration := range parsed.Decls {
				api.check(declaration)
			}
			aliases += api.aliases
		}
	}
	if aliases < 20 {
		t.Errorf("found %d aliases; is the test looking in the right place?", aliases)
	}
}

// importNames maps the names of imported packages to their paths.
func importNames(t *testing.T, file *ast.File) map[string]string {
	t.Helper()
	names := make(map[string]string)
	for _, spec := range file.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		name := path[strings.LastIndex(path, "/")+1:]
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = path
	}
	return names
}

// publicAPI checks the exported declarations of one file.
type publicAPI struct {
	t       *testing.T
	path    string
	imports map[string]string
	aliases int
}

func (a *publicAPI) check(declaration ast.Decl) {
	switch d := declaration.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && (d.Recv == nil || ast.IsExported(receiver(d.Recv.List[0].Type))) {
			a.checkType(d.Name.Name, d.Type)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() {
					a.checkTypeSpec(d, s)
				}
			case *ast.ValueSpec:
				if s.Names[0].IsExported() && s.Type != nil {
					a.checkType(s.Names[0].Name, s.Type)
				}
			}
		}
	}
}

func (a *publicAPI) checkTypeSpec(d *ast.GenDecl, s *ast.TypeSpec) {
	if s.Assign.IsValid() {
		a.aliases++
		if doc := d.Doc.Text(); !strings.Contains(strings.Join(strings.Fields(doc), " "), "ee [") {
			a.t.Errorf("%s: the alias %s does not say where its documentation is: see [package.Type]", a.path, s.Name)
		}
	}
	if structType, ok := s.Type.(*ast.StructType); ok {
		for _, field := range structType.Fields.List {
			if len(field.Names) == 0 || ast.IsExported(field.Names[0].Name) {
				a.checkType(s.Name.Name, field.Type)
			}
		}
		return
	}
	a.checkType(s.Name.Name, s.Type)
}

// checkType refuses types of other modules, and of internal packages. Interfaces with unexported
// methods are sealed: those may mention what users cannot call.
func (a *publicAPI) checkType(name string, expr ast.Expr) {
	ast.Inspect(expr, func(n ast.Node) bool {
		if field, ok := n.(*ast.Field); ok && len(field.Names) == 1 && !field.Names[0].IsExported() {
			if _, method := field.Type.(*ast.FuncType); method {
				return false
			}
		}
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		base, ok := selector.X.(*ast.Ident)
		if !ok {
			return true
		}
		path := a.imports[base.Name]
		first, _, _ := strings.Cut(path, "/")
		switch own := under(path, []string{module}); {
		case own && strings.Contains(path, "/internal/"):
			a.t.Errorf("%s: %s shows %s.%s, which is internal", a.path, name, base.Name, selector.Sel.Name)
		case !own && strings.Contains(first, ".") && path+"."+selector.Sel.Name != "github.com/google/uuid.UUID":
			a.t.Errorf("%s: %s shows %s.%s, a type of another module", a.path, name, path, selector.Sel.Name)
		}
		return true
	})
}

// receiver returns the name of a receiver's type.
func receiver(expr ast.Expr) string {
	switch e := expr.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.IndexListExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}
