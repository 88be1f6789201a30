package param

import (
	"go/ast"
	"io/fs"
	"reflect"
	"slices"
	"strings"
)

// fieldDocs holds the doc comments of struct fields, by struct and Go name.
type fieldDocs map[reflect.Type]map[string]string

// read collects the comments of all structs that a type consists of and source declares.
func (d fieldDocs) read(source fs.FS, c *codec) {
	wanted := map[string][]reflect.Type{} // by package and name, such as "report.Params"
	for owner := range c.owners() {
		if name := typeName(owner); name != "" {
			wanted[name] = append(wanted[name], owner)
		}
	}
	if len(wanted) == 0 {
		return
	}
	eachFile(source, func(file *ast.File) bool {
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok {
				if declared, ok := spec.Type.(*ast.StructType); ok {
					for _, owner := range wanted[file.Name.Name+"."+spec.Name.Name] {
						d.add(owner, declared)
					}
				}
			}
			return true
		})
		return true
	})
}

// owners returns the structs whose fields a codec lists, including embedded structs and those in
// lists and maps.
func (c *codec) owners() map[reflect.Type]bool {
	owners := map[reflect.Type]bool{}
	seen := map[*codec]bool{}
	var walk func(c *codec)
	walk = func(c *codec) {
		if c == nil || seen[c] {
			return
		}
		seen[c] = true
		walk(c.elem)
		for i := range c.fields {
			owners[c.fields[i].owner] = true
			walk(c.fields[i].codec)
		}
	}
	walk(c)
	return owners
}

// typeName returns the package and name of a declared type without its type arguments, or "" if it
// has no name.
func typeName(t reflect.Type) string {
	if t.Name() == "" {
		return ""
	}
	qualified, _, _ := strings.Cut(t.String(), "[")
	return qualified
}

// add reads the comments of a struct declaration. A declaration with other fields is a different
// type of the same name.
func (d fieldDocs) add(t reflect.Type, declared *ast.StructType) {
	if d[t] != nil || !slices.Equal(fieldNames(t), declaredNames(declared)) {
		return
	}
	d[t] = map[string]string{}
	i := 0
	for _, f := range declared.Fields.List {
		doc := strings.TrimSpace(f.Doc.Text())
		if doc == "" {
			doc = strings.TrimSpace(f.Comment.Text())
		}
		for range max(1, len(f.Names)) {
			if doc != "" {
				d[t][t.Field(i).Name] = doc
			}
			d.addInner(t.Field(i).Type, f.Type)
			i++
		}
	}
}

// addInner reads the comments of a struct that is declared where it is used.
func (d fieldDocs) addInner(t reflect.Type, expr ast.Expr) {
	switch e := expr.(type) {
	case *ast.StructType:
		if t.Kind() == reflect.Struct {
			d.add(t, e)
		}
		return
	case *ast.StarExpr:
		expr = e.X
	case *ast.ArrayType:
		expr = e.Elt
	case *ast.MapType:
		expr = e.Value
	default:
		return
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		d.addInner(t.Elem(), expr)
	}
}

func fieldNames(t reflect.Type) []string {
	names := make([]string, t.NumField())
	for i := range names {
		names[i] = t.Field(i).Name
	}
	return names
}

func declaredNames(declared *ast.StructType) []string {
	var names []string
	for _, f := range declared.Fields.List {
		for _, name := range f.Names {
			names = append(names, name.Name)
		}
		if f.Names == nil {
			names = append(names, embeddedName(f.Type))
		}
	}
	return names
}

// embeddedName returns the name that an embedded field takes from its type.
func embeddedName(expr ast.Expr) string {
	switch e := expr.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.StarExpr:
		return embeddedName(e.X)
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.IndexExpr:
		return embeddedName(e.X)
	case *ast.IndexListExpr:
		return embeddedName(e.X)
	}
	return ""
}
