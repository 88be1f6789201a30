package param

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"path"
	"reflect"
	"regexp"
	"runtime"
	"strings"
)

// Entrypoint returns the name of a function as Go spells it: "import/path.Func" or
// "import/path.(*Type).Method". It also reports whether the function is a closure. The compiler
// makes up the name of a closure, so that it only serves readers.
func Entrypoint(function any) (name string, closure bool) {
	pc := reflect.ValueOf(function).Pointer()
	f := runtime.FuncForPC(pc)
	if f == nil {
		return "", true
	}
	name = strings.TrimSuffix(f.Name(), "-fm") // a method value
	name = strings.TrimSuffix(name, "[...]")   // an instance of a generic function
	return name, closureName.MatchString(name)
}

var closureName = regexp.MustCompile(`\.(func\d+|gowrap\d+)(\.|$)|\.\d+(\.|$)`)

// Bounds on the search for a doc comment.
const (
	maxSourceFiles = 2000
	maxSourceSize  = 1 << 20
)

// DocComment returns the doc comment of the function with an entrypoint, or "" if source does not
// contain it.
func DocComment(source fs.FS, entrypoint string) (doc string) {
	packageName, receiver, name := splitEntrypoint(entrypoint)
	eachFile(source, func(parsed *ast.File) (more bool) {
		if parsed.Name.Name == packageName || parsed.Name.Name == "main" {
			doc = docInFile(parsed, receiver, name)
		}
		return doc == ""
	})
	return doc
}

// eachFile visits the Go files of source until visit returns false. It skips files that do not
// parse: a description is not worth a failure.
func eachFile(source fs.FS, visit func(*ast.File) (more bool)) {
	files := 0
	_ = fs.WalkDir(source, ".", func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil
		case files >= maxSourceFiles:
			return fs.SkipAll
		case entry.IsDir() || path.Ext(file) != ".go" || strings.HasSuffix(file, "_test.go"):
			return nil
		}
		files++
		if parsed := parseFile(source, file); parsed != nil && !visit(parsed) {
			return fs.SkipAll
		}
		return nil
	})
}

// splitEntrypoint splits "a/b/pkg.(*T).Method".
func splitEntrypoint(entrypoint string) (packageName, receiver, name string) {
	base := path.Base(entrypoint)
	packageName, rest, _ := strings.Cut(base, ".")
	if owner, method, ok := strings.Cut(rest, "."); ok {
		return packageName, strings.Trim(owner, "(*)"), method
	}
	return packageName, "", rest
}

// parseFile returns nil for files that are not Go.
func parseFile(source fs.FS, file string) *ast.File {
	f, err := source.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSourceSize))
	if err != nil {
		return nil
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), file, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil
	}
	return parsed
}

func docInFile(parsed *ast.File, receiver, name string) string {
	for _, declaration := range parsed.Decls {
		function, ok := declaration.(*ast.FuncDecl)
		if ok && function.Name.Name == name && receiverName(function) == receiver {
			return strings.TrimSpace(function.Doc.Text())
		}
	}
	return ""
}

func receiverName(function *ast.FuncDecl) string {
	if function.Recv == nil || len(function.Recv.List) == 0 {
		return ""
	}
	expr := function.Recv.List[0].Type
	if star, ok := expr.(*ast.StarExpr); ok {
		expr = star.X
	}
	if index, ok := expr.(*ast.IndexExpr); ok {
		expr = index.X
	}
	if ident, ok := expr.(*ast.Ident); ok {
		return ident.Name
	}
	return ""
}
