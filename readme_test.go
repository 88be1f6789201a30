package provost_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"
)

// TestReadme holds the README's Go code to files that are compiled and, if they are tests, run:
// each block consists of all declarations of its file, without package clause and imports. Its main
// is the file's Example_program.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	files := []string{"example_program_test.go", "report_test.go", "nightly_test.go"}
	blocks := strings.Split(strings.ReplaceAll(string(readme), "\r\n", "\n"), "```go\n")[1:]
	if len(blocks) != len(files) {
		t.Fatalf("the README has %d blocks of Go, want %d: %v", len(blocks), len(files), files)
	}
	for i, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		block, _, _ := strings.Cut(blocks[i], "```")
		got, want := declarations(t, block), declarations(t, strings.ReplaceAll(string(source), "\r\n", "\n"))
		want = strings.ReplaceAll(want, "func Example_program()", "func main()")
		if got != want {
			t.Errorf("block %d of the README is not %s:\n%s", i+1, file, got)
		}
		if strings.Contains(block, "package main") && imports(t, block) != imports(t, string(source)) {
			t.Errorf("block %d of the README imports other packages than %s", i+1, file)
		}
	}
}

// parse parses a file, or the declarations of one.
func parse(t *testing.T, source string) (*token.FileSet, *ast.File, string) {
	t.Helper()
	if !strings.HasPrefix(source, "package ") {
		source = "package p\n\n" + source
	}
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "", source, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return set, file, source
}

// declarations returns the text after the package clause and the imports.
func declarations(t *testing.T, source string) string {
	t.Helper()
	set, file, source := parse(t, source)
	end := file.Name.End()
	for _, d := range file.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.IMPORT {
			end = g.End()
		}
	}
	return strings.TrimSpace(source[set.Position(end).Offset:])
}

// imports returns the import paths of a file, in their order.
func imports(t *testing.T, source string) string {
	t.Helper()
	_, file, _ := parse(t, source)
	var paths []string
	for _, i := range file.Imports {
		paths = append(paths, i.Path.Value)
	}
	return strings.Join(paths, " ")
}
