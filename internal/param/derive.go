package param

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/provost-go/provost/internal/jsonschema"
	"github.com/provost-go/provost/params"
)

// derivedSchemas caches the results of SchemaWithDocs, by derivedKey.
var derivedSchemas sync.Map

type derivedKey struct {
	typ    reflect.Type
	source fs.FS
}

type derivedSchema struct {
	text json.RawMessage
	err  error
}

// schemaFor derives the JSON Schema (draft-07) of the parameters P. The bytes are always the same
// for the same type. Properties are in the order of the fields, and the keyword position repeats
// that order for readers that lose it. The error is a [*params.Error] that names the field.
//
// A field is required only if it is tagged required:"true". Objects do not accept keys that they do
// not list. The documentation of the root package lists the tags, which become keywords of the same
// name.
func schemaFor(t reflect.Type) (json.RawMessage, error) { return SchemaWithDocs(t, nil) }

// SchemaWithDocs derives the JSON Schema of the parameters P. Fields without a description tag are
// described by their doc comments in source, which may be nil. The error is a [*params.Error] that
// names the field.
func SchemaWithDocs(t reflect.Type, source fs.FS) (json.RawMessage, error) {
	key := derivedKey{t, source}
	lasting := source == nil || reflect.ValueOf(source).Comparable() // an embed.FS is comparable
	if lasting {
		if made, ok := derivedSchemas.Load(key); ok {
			return made.(derivedSchema).text, made.(derivedSchema).err
		}
	}
	docs := fieldDocs{}
	if source != nil {
		docs.read(source, codecFor(t))
	}
	text, err := writeSchema(t, docs)
	if !lasting {
		return text, err
	}
	made, _ := derivedSchemas.LoadOrStore(key, derivedSchema{text, err})
	return made.(derivedSchema).text, made.(derivedSchema).err
}

func writeSchema(t reflect.Type, docs fieldDocs) (json.RawMessage, error) {
	c := codecFor(t)
	root := members{{"$schema", "http://json-schema.org/draft-07/schema#"}}
	if fault := c.fault(true); fault != nil && c.isObject() {
		return nil, fault
	}
	own, err := ownSchema(t)
	switch {
	case err != nil:
		return nil, err
	case own != nil && c.isObject():
		root = append(root, own...)
	case c.kind == kindMap && c.elem.kind == kindAny && t.Key().Kind() == reflect.String:
		root = append(root, member{"type", "object"})
	case c.kind == kindStruct:
		w := schemaWriter{root: c, docs: docs, names: map[*codec]string{}}
		object, err := w.object(c)
		if err != nil {
			return nil, err
		}
		root = append(root, object...)
		if root, err = w.definitions(root); err != nil {
			return nil, err
		}
	default:
		return nil, &params.Error{Reason: fmt.Sprintf("%v cannot be the parameters of a flow; use a struct with a field for each, or Params", t)}
	}
	text, err := marshal(root)
	if err != nil {
		return nil, err
	}
	if _, err := jsonschema.Compile(text); err != nil {
		return nil, fieldError(err)
	}
	return text, nil
}

// schemaWriter writes the schema of one P. Structs that contain themselves are written to
// definitions, all others in place.
type schemaWriter struct {
	root  *codec
	docs  fieldDocs
	names map[*codec]string
	queue []*codec
}

// definitions adds the schemas that were referenced, in the order of their first reference.
func (w *schemaWriter) definitions(root members) (members, error) {
	var definitions members
	for i := 0; i < len(w.queue); i++ {
		object, err := w.object(w.queue[i])
		if err != nil {
			return nil, err
		}
		definitions = append(definitions, member{w.names[w.queue[i]], object})
	}
	if definitions == nil {
		return root, nil
	}
	return append(root, member{"definitions", definitions}), nil
}

func (w *schemaWriter) object(c *codec) (members, error) {
	properties := members{}
	var required []string
	for i := range c.fields {
		f := &c.fields[i]
		property, err := w.field(f)
		if err != nil {
			return nil, under(jsonschema.Join("", f.name), err)
		}
		properties = append(properties, member{f.name, property.with("position", i)})
		switch must := f.tag.Get("required"); must {
		case "true":
			required = append(required, f.name)
		case "", "false":
		default:
			return nil, &params.Error{Path: jsonschema.Join("", f.name), Reason: fmt.Sprintf("required %q: write true or false", must)}
		}
	}
	object := members{{"type", "object"}, {"properties", properties}}
	if required != nil {
		object = append(object, member{"required", required})
	}
	return append(object, member{"additionalProperties", false}), nil
}

func (w *schemaWriter) field(f *field) (members, error) {
	schema, err := w.schema(f.codec)
	if err != nil {
		return nil, err
	}
	if f.quoted {
		schema = quotedSchema(f.codec)
	}
	if schema, err = secretTag(f, schema); err != nil {
		return nil, err
	}
	if schema, err = addRules(f, schema); err != nil {
		return nil, err
	}
	if len(schema) == 1 && schema[0].key == "$ref" { // other keywords beside it have no meaning
		schema = members{{"allOf", []any{schema}}}
	}
	if title, ok := f.tag.Lookup("title"); ok {
		schema = schema.with("title", title)
	}
	if description := w.description(f); description != "" {
		schema = schema.with("description", description)
	}
	if f.hasDefault {
		schema = schema.with("default", f.value)
	}
	return addExamples(f, schema)
}

// description returns the description tag, or else the doc comment.
func (w *schemaWriter) description(f *field) string {
	if text, ok := f.tag.Lookup("description"); ok {
		return text
	}
	return w.docs[f.owner][f.goName]
}

// schema returns the schema of a type, without the tags of a field.
func (w *schemaWriter) schema(c *codec) (members, error) {
	if own, err := ownSchema(c.typ); own != nil || err != nil {
		return own, err
	}
	switch c.kind {
	case kindBool:
		return members{{"type", "boolean"}}, nil
	case kindInt, kindUint:
		return integerSchema(c.typ), nil
	case kindFloat:
		format := "double"
		if c.typ.Bits() == 32 {
			format = "float"
		}
		return members{{"type", "number"}, {"format", format}}, nil
	case kindNumber:
		return members{{"type", "number"}}, nil
	case kindString:
		return members{{"type", "string"}}, nil
	case kindText:
		if isUUID(c.typ) {
			return members{{"type", "string"}, {"format", "uuid"}}, nil
		}
		return members{{"type", "string"}}, nil
	case kindURL:
		return members{{"type", "string"}, {"format", "iri-reference"}}, nil
	case kindTime:
		return members{{"type", "string"}, {"format", "date-time"}}, nil
	case kindDuration:
		return members{{"type", []string{"string", "integer"}}, {"format", "duration"}}, nil // text, or nanoseconds as in Go
	case kindBytes:
		return members{{"type", "string"}, {"contentEncoding", "base64"}}, nil
	case kindPointer:
		schema, err := w.schema(c.elem)
		if describesItself(c.elem.typ) {
			return members{{"anyOf", []any{schema, members{{"type", "null"}}}}}, err
		}
		return nullable(schema), err
	case kindSecret:
		schema, err := w.schema(c.elem)
		return secretSchema(schema, c.elem), err
	case kindSlice, kindArray:
		items, err := w.schema(c.elem)
		schema := members{{"type", "array"}, {"items", items}}
		if c.kind == kindArray {
			schema = append(schema, member{"minItems", c.typ.Len()}, member{"maxItems", c.typ.Len()})
		}
		return schema, inList(err)
	case kindMap:
		schema := members{{"type", "object"}}
		if names := keySchema(c.typ.Key()); names != nil {
			schema = append(schema, member{"propertyNames", names})
		}
		values, err := w.schema(c.elem)
		return append(schema, member{"additionalProperties", values}), inMap(err)
	case kindStruct:
		return w.structSchema(c)
	}
	return members{}, nil // any, json.RawMessage, and types with MarshalJSON
}

// keySchema returns the schema of a map's keys, or nil if any text is valid.
func keySchema(key reflect.Type) members {
	switch {
	case key.Kind() == reflect.String:
		return nil
	case reflect.Zero(key).CanInt():
		return members{{"pattern", wholeKey}}
	case reflect.Zero(key).CanUint():
		return members{{"pattern", naturalKey}}
	case key == timeType:
		return members{{"format", "date-time"}}
	case isUUID(key):
		return members{{"format", "uuid"}}
	}
	return nil
}

// Patterns of integers as keys.
const (
	wholeKey   = "^(0|-?[1-9][0-9]{0,18})$"
	naturalKey = "^(0|[1-9][0-9]{0,19})$"
)

func isUUID(t reflect.Type) bool {
	return t.PkgPath() == "github.com/google/uuid" && t.Name() == "UUID"
}

func inMap(err error) error {
	if err == nil {
		return nil
	}
	return under("[key]", err)
}

func inList(err error) error {
	if err == nil {
		return nil
	}
	return under("[]", err)
}

func (w *schemaWriter) structSchema(c *codec) (members, error) {
	switch {
	case c == w.root:
		return members{{"$ref", "#"}}, nil
	case !c.recursive():
		return w.object(c)
	}
	name, ok := w.names[c]
	if !ok {
		name = w.freeName(c.typ.Name())
		w.names[c] = name
		w.queue = append(w.queue, c)
	}
	return members{{"$ref", "#/definitions/" + name}}, nil
}

var (
	packagePath = regexp.MustCompile(`[^\[\],*]*[./]`) // inside the name of a generic type
	notName     = regexp.MustCompile(`[^A-Za-z0-9_]+`)
)

// freeName returns a name for a type in definitions: its own, made valid for a reference, with a
// number if a type of another package has it.
func (w *schemaWriter) freeName(name string) string {
	name = packagePath.ReplaceAllString(name, "")
	name = strings.Trim(notName.ReplaceAllString(name, "_"), "_")
	taken := func(name string) bool {
		for _, other := range w.names {
			if other == name {
				return true
			}
		}
		return name == ""
	}
	free := name
	for n := 2; taken(free); n++ {
		free = name + "_" + strconv.Itoa(n)
	}
	return free
}

// recursive reports whether a struct contains itself.
func (c *codec) recursive() bool {
	seen := map[*codec]bool{}
	var leads func(from *codec) bool
	leads = func(from *codec) bool {
		if from == c && len(seen) > 0 {
			return true
		}
		if seen[from] {
			return false
		}
		seen[from] = true
		if from.elem != nil && leads(from.elem) {
			return true
		}
		return slices.ContainsFunc(from.fields, func(f field) bool { return leads(f.codec) })
	}
	return leads(c)
}

// integerSchema returns the schema of an integer, with the bounds of its type.
func integerSchema(t reflect.Type) members {
	schema := members{{"type", "integer"}}
	bits := t.Bits()
	switch signed := reflect.Zero(t).CanInt(); {
	case signed && bits == 64:
		return append(schema, member{"format", "int64"})
	case signed:
		return append(schema, member{"minimum", -1 << (bits - 1)}, member{"maximum", 1<<(bits-1) - 1})
	case bits == 64:
		return append(schema, member{"format", "uint64"}, member{"minimum", 0})
	default:
		return append(schema, member{"minimum", 0}, member{"maximum", 1<<bits - 1})
	}
}

// quotedSchema returns the schema of a field with the tag option ",string".
func quotedSchema(c *codec) members {
	schema := members{{"type", "string"}}
	switch c.scalar() {
	case kindBool:
		schema = append(schema, member{"enum", []any{"true", "false"}})
	case kindInt:
		schema = append(schema, member{"pattern", "^-?(0|[1-9][0-9]{0,18})$"})
	case kindUint:
		schema = append(schema, member{"pattern", "^(0|[1-9][0-9]{0,19})$"})
	default:
		schema = append(schema, member{"pattern", `^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$`})
	}
	if c.kind == kindPointer {
		return nullable(schema)
	}
	return schema
}

// nullable adds null, the value of a nil pointer, to a schema.
func nullable(schema members) members {
	for i, each := range schema {
		switch each.key {
		case "type":
			switch types := each.value.(type) {
			case string:
				schema[i].value = []string{types, "null"}
			case []string:
				if !slices.Contains(types, "null") {
					schema[i].value = append(slices.Clone(types), "null")
				}
			}
		case "enum":
			schema[i].value = append(each.value.([]any), nil)
		case "$ref":
			return members{{"anyOf", []any{schema, members{{"type", "null"}}}}}
		}
	}
	return schema
}

// fieldError converts a problem of a derived schema to one of the field: the path from
// "properties.opts.properties.n.default" to "opts.n", with the keyword before the reason.
func fieldError(err error) error {
	problem, ok := errors.AsType[*jsonschema.Problem](err)
	if !ok {
		return &params.Error{Reason: err.Error()}
	}
	path, keyword := "", ""
	for steps := strings.Split(problem.Path, "."); len(steps) > 0; steps = steps[1:] {
		switch step := steps[0]; {
		case (step == "properties" || step == "definitions") && len(steps) > 1:
			steps = steps[1:]
			path = jsonschema.Prepend(path, steps[0])
		case step == "allOf":
			steps = steps[1:]
		case step == "items":
			path += "[]"
		case step == "additionalProperties":
			path += "[key]"
		default:
			keyword = step + ": "
		}
	}
	return &params.Error{Path: path, Reason: keyword + problem.Reason}
}
