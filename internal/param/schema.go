package param

import (
	"bytes"
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

// schemas keeps what schemaWithDocs has made, by schemaKey.
var schemas sync.Map

type schemaKey struct {
	typ    reflect.Type
	source fs.FS
}

type madeSchema struct {
	text json.RawMessage
	err  error
}

// schemaFor writes the JSON Schema (draft-07) of the parameters P. The bytes are the same for the same type, with
// properties in the order of the fields, which the keyword position repeats for readers that lose it. The error is a
// *ParamError that names the field.
//
// A field is required only if tagged required:"true". No object takes keys that it does not list. The documentation of the
// package lists the tags; they become keywords of the same names.
func schemaFor(t reflect.Type) (json.RawMessage, error) { return SchemaWithDocs(t, nil) }

// schemaWithDocs is schemaFor with the doc comments that source, if there is one, has for fields that no tag describes.
func SchemaWithDocs(t reflect.Type, source fs.FS) (json.RawMessage, error) {
	key := schemaKey{t, source}
	lasting := source == nil || reflect.ValueOf(source).Comparable() // an embed.FS is
	if lasting {
		if made, ok := schemas.Load(key); ok {
			return made.(madeSchema).text, made.(madeSchema).err
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
	made, _ := schemas.LoadOrStore(key, madeSchema{text, err})
	return made.(madeSchema).text, made.(madeSchema).err
}

func writeSchema(t reflect.Type, docs fieldDocs) (json.RawMessage, error) {
	c := codecFor(t)
	root := members{{"$schema", "http://json-schema.org/draft-07/schema#"}}
	if fault := c.fault(true); fault != nil && c.takesObject() {
		return nil, fault
	}
	own, err := ownSchema(t)
	switch {
	case err != nil:
		return nil, err
	case own != nil && c.takesObject():
		root = append(root, own...)
	case c.kind == shapeMap && c.elem.kind == shapeAny && t.Key().Kind() == reflect.String:
		root = append(root, member{"type", "object"})
	case c.kind == shapeStruct:
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

// members are a JSON object that keeps its order.
type members []member

type member struct {
	key   string
	value any
}

func (m members) MarshalJSON() ([]byte, error) {
	var text bytes.Buffer
	text.WriteByte('{')
	for i, each := range m {
		if i > 0 {
			text.WriteByte(',')
		}
		key, _ := marshal(each.key)
		value, err := marshal(each.value)
		if err != nil {
			return nil, err
		}
		text.Write(key)
		text.WriteByte(':')
		text.Write(value)
	}
	text.WriteByte('}')
	return text.Bytes(), nil
}

// marshal is json.Marshal that leaves <, > and & alone.
func marshal(v any) ([]byte, error) {
	if m, ok := v.(members); ok {
		return m.MarshalJSON() // json.Marshal would escape what it returns
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), nil
}

// schemaWriter writes the schema of one P. Structs that contain themselves go to definitions, all others in place.
type schemaWriter struct {
	root  *codec
	docs  fieldDocs
	names map[*codec]string
	queue []*codec
}

// definitions adds those that were referred to, in the order in which they were.
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
	if len(schema) == 1 && schema[0].key == "$ref" { // beside which other keywords mean nothing
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

// description is the tag, else the doc comment.
func (w *schemaWriter) description(f *field) string {
	if text, ok := f.tag.Lookup("description"); ok {
		return text
	}
	return w.docs[f.owner][f.goName]
}

// schema describes a type, without the tags of a field.
func (w *schemaWriter) schema(c *codec) (members, error) {
	if own, err := ownSchema(c.typ); own != nil || err != nil {
		return own, err
	}
	switch c.kind {
	case shapeBool:
		return members{{"type", "boolean"}}, nil
	case shapeInt, shapeUint:
		return integerSchema(c.typ), nil
	case shapeFloat:
		format := "double"
		if c.typ.Bits() == 32 {
			format = "float"
		}
		return members{{"type", "number"}, {"format", format}}, nil
	case shapeNumber:
		return members{{"type", "number"}}, nil
	case shapeString:
		return members{{"type", "string"}}, nil
	case shapeText:
		if isUUID(c.typ) {
			return members{{"type", "string"}, {"format", "uuid"}}, nil
		}
		return members{{"type", "string"}}, nil
	case shapeURL:
		return members{{"type", "string"}, {"format", "iri-reference"}}, nil
	case shapeTime:
		return members{{"type", "string"}, {"format", "date-time"}}, nil
	case shapeDuration:
		return members{{"type", []string{"string", "integer"}}, {"format", "duration"}}, nil // text, or Go's nanoseconds
	case shapeBytes:
		return members{{"type", "string"}, {"contentEncoding", "base64"}}, nil
	case shapePointer:
		schema, err := w.schema(c.elem)
		if describesItself(c.elem.typ) {
			return members{{"anyOf", []any{schema, members{{"type", "null"}}}}}, err
		}
		return nullable(schema), err
	case shapeSecret:
		schema, err := w.schema(c.elem)
		return secretSchema(schema, c.elem), err
	case shapeSlice, shapeArray:
		items, err := w.schema(c.elem)
		schema := members{{"type", "array"}, {"items", items}}
		if c.kind == shapeArray {
			schema = append(schema, member{"minItems", c.typ.Len()}, member{"maxItems", c.typ.Len()})
		}
		return schema, inList(err)
	case shapeMap:
		schema := members{{"type", "object"}}
		if names := keySchema(c.typ.Key()); names != nil {
			schema = append(schema, member{"propertyNames", names})
		}
		values, err := w.schema(c.elem)
		return append(schema, member{"additionalProperties", values}), inMap(err)
	case shapeStruct:
		return w.structSchema(c)
	}
	return members{}, nil // any, json.RawMessage, a type with its own MarshalJSON
}

// keySchema is what the keys of a map are held to, nil if any text will do.
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

// How integers are spelled as keys.
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

// freeName is the type's name, made to fit a reference, with a number if another package's type has it.
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

// recursive says that a struct contains itself somewhere.
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

// integerSchema bounds an integer by what its type can hold.
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

// quotedSchema is for the tag option ",string".
func quotedSchema(c *codec) members {
	schema := members{{"type", "string"}}
	switch c.scalar() {
	case shapeBool:
		schema = append(schema, member{"enum", []any{"true", "false"}})
	case shapeInt:
		schema = append(schema, member{"pattern", "^-?(0|[1-9][0-9]{0,18})$"})
	case shapeUint:
		schema = append(schema, member{"pattern", "^(0|[1-9][0-9]{0,19})$"})
	default:
		schema = append(schema, member{"pattern", `^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$`})
	}
	if c.kind == shapePointer {
		return nullable(schema)
	}
	return schema
}

// nullable lets null in, as the value of a nil pointer.
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

// addRules adds the tags that decide about values.
func addRules(f *field, schema members) (members, error) {
	if text, ok := f.tag.Lookup("enum"); ok {
		var err error
		if schema, err = addEnum(f, schema, text); err != nil {
			return nil, err
		}
	}
	for _, rule := range tagRules {
		text, ok := f.tag.Lookup(rule.tag)
		if !ok {
			continue
		}
		if kind := f.codec.scalar(); !slices.Contains(rule.shapes, kind) || f.quoted || describesItself(f.codec.pointee().typ) {
			return nil, &params.Error{Reason: fmt.Sprintf("%s %s: the tag is for %s, this is %v; drop it and check the value in the flow", rule.tag, quote(text), rule.about, f.codec.typ)}
		}
		value, fix := rule.read(text)
		if fix == "" && (rule.tag == "minimum" || rule.tag == "maximum") {
			fix = beyondType(f.codec, text)
		}
		if fix != "" {
			return nil, &params.Error{Reason: fmt.Sprintf("%s %s: %s", rule.tag, quote(text), fix)}
		}
		schema = schema.with(rule.tag, value)
	}
	return schema, nil
}

// with replaces a keyword or adds it.
func (m members) with(key string, value any) members {
	for i := range m {
		if m[i].key == key {
			m[i].value = value
			return m
		}
	}
	return append(m, member{key, value})
}

// tagRules are the tags that become a keyword of the same name.
var tagRules = []struct {
	tag    string
	about  string
	shapes []kind
	read   func(text string) (value any, fix string)
}{
	{"minimum", "numbers", numberShapes, readNumberTag},
	{"maximum", "numbers", numberShapes, readNumberTag},
	{"exclusiveMinimum", "numbers", numberShapes, readNumberTag},
	{"exclusiveMaximum", "numbers", numberShapes, readNumberTag},
	{"multipleOf", "numbers", numberShapes, readNumberTag},
	{"minLength", "text", textShapes, readLengthTag},
	{"maxLength", "text", textShapes, readLengthTag},
	{"pattern", "text", textShapes, readPatternTag},
	{"format", "text and numbers", slices.Concat(textShapes, numberShapes), func(text string) (any, string) { return text, "" }},
	{"minItems", "slices", listShapes, readLengthTag},
	{"maxItems", "slices", listShapes, readLengthTag},
	{"uniqueItems", "slices", listShapes, readFlagTag},
}

var (
	numberShapes = []kind{shapeInt, shapeUint, shapeFloat, shapeNumber}
	textShapes   = []kind{shapeString, shapeText, shapeURL}
	listShapes   = []kind{shapeSlice}
)

func readNumberTag(text string) (any, string) {
	if jsonschema.CheckNumber(text) != "" {
		return nil, "write a number"
	}
	return json.Number(text), ""
}

func readLengthTag(text string) (any, string) {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return nil, "write a whole number from 0 up"
	}
	return n, ""
}

func readPatternTag(text string) (any, string) {
	if _, err := regexp.Compile(text); err != nil {
		return nil, fmt.Sprintf("%v; the syntax is RE2, which has no look-around and no backreferences", err)
	}
	return text, ""
}

// addEnum lists the values of the tag as the field's type has them. Of a type that is text in JSON a value's own spelling
// stands beside its canonical one, so that "1h" is taken as well as "1h0m0s".
func addEnum(f *field, schema members, text string) (members, error) {
	c := f.codec
	isList := c.kind == shapeSlice || c.kind == shapeArray
	if isList {
		c = c.elem
	}
	var values []any
	add := func(v any) {
		if f.quoted {
			v = fmt.Sprint(v)
		}
		if !slices.Contains(values, v) {
			values = append(values, v)
		}
	}
	isScalar := false
	switch c.scalar() {
	case shapeBool, shapeInt, shapeUint, shapeFloat, shapeNumber, shapeString, shapeText, shapeURL, shapeTime, shapeDuration:
		isScalar = !describesItself(c.pointee().typ)
	}
	if !isScalar {
		return nil, &params.Error{Reason: fmt.Sprintf("enum %s: the tag is for text, numbers and lists of them, this is %v; drop it and check the value in the flow", quote(text), f.codec.typ)}
	}
	for each := range strings.SplitSeq(text, ",") {
		each = strings.TrimSpace(each)
		v, err := c.parseText(each)
		if err != nil {
			return nil, &params.Error{Reason: fmt.Sprintf("enum %s: %s", quote(text), reasonOf(err))}
		}
		if _, isText := v.(string); isText && v != each {
			add(each)
		}
		add(v)
	}
	if c.kind == shapePointer {
		values = append(values, nil)
	}
	if !isList {
		return schema.with("enum", values), nil
	}
	for i := range schema {
		if schema[i].key == "items" {
			schema[i].value = schema[i].value.(members).with("enum", values)
		}
	}
	return schema, nil
}

// fieldError turns a problem of the schema that schemaFor wrote into one of the field: from
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

// validator holds parameters to a schema. It is safe for concurrent use.
type Schema struct {
	Schema *jsonschema.Schema
	// emptyFits says that no parameters at all are fine, which is then answered without work.
	emptyFits bool
}

// validators keeps compiled schemas by their text.
var validators validatorCache

// compileSchema reads a schema, which may come from outside. The error is a *ParamError whose path leads into the schema.
func Compile(raw json.RawMessage) (*Schema, error) {
	if v := validators.get(raw); v != nil {
		return v, nil
	}
	schema, err := jsonschema.Compile(raw)
	if err != nil {
		return nil, fromGuard(err)
	}
	v := &Schema{Schema: schema, emptyFits: schema.AcceptsEmpty()}
	validators.put(raw, v)
	return v, nil
}

// validate says what is wrong with complete parameters: *ParamErrors joined, sorted by path, at most 50.
func (v *Schema) Validate(p params.Params) error {
	if len(p) == 0 && v.emptyFits {
		return nil
	}
	return v.run(p, v.Schema.Validate)
}

// validatePartial is validate for defaults that a later layer completes: nothing is required at the top.
func (v *Schema) ValidatePartial(p params.Params) error {
	if len(p) == 0 {
		return nil
	}
	return v.run(p, v.Schema.ValidatePartial)
}

func (v *Schema) run(p params.Params, judge func(any) []*jsonschema.Problem) error {
	plain, err := Normalize(p)
	if err != nil {
		return err
	}
	if plain == nil {
		plain = params.Params{}
	}
	problems := judge(map[string]any(plain))
	if problems == nil {
		return nil
	}
	errs := make([]error, len(problems))
	for i, problem := range problems {
		errs[i] = &params.Error{Path: problem.Path, Reason: problem.Reason}
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// defaults are what the schema itself gives to parameters that are absent, nested ones included; nil if nothing.
func (v *Schema) Defaults() params.Params { return v.Schema.Defaults() }

// validatorCache is bounded by the text it holds; what makes room is any entry, since a process knows few schemas.
type validatorCache struct {
	mu    sync.RWMutex // guards the fields below
	known map[string]*Schema
	bytes int
}

const maxCachedSchemas = 4 << 20 // bytes of schema text

func (c *validatorCache) get(raw []byte) *Schema {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.known[string(raw)]
}

func (c *validatorCache) put(raw []byte, v *Schema) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known[string(raw)] != nil {
		return
	}
	if c.known == nil {
		c.known = map[string]*Schema{}
	}
	for text := range c.known {
		if c.bytes+len(raw) <= maxCachedSchemas {
			break
		}
		delete(c.known, text)
		c.bytes -= len(text)
	}
	c.known[string(raw)] = v
	c.bytes += len(raw)
}
