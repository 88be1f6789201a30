package param

import (
	"encoding"
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/provost-go/provost/internal/jsonschema"
	"github.com/provost-go/provost/internal/sealed"
	"github.com/provost-go/provost/params"
)

// shape is the form that a Go type has in JSON.
type kind uint8

const (
	shapeNone kind = iota // no form: channels, functions, complex numbers
	shapeBool
	shapeInt
	shapeUint
	shapeFloat
	shapeString
	shapeNumber    // json.Number
	shapeTime      // time.Time, text
	shapeDuration  // time.Duration, text
	shapeBytes     // []byte, base64 text
	shapeRaw       // json.RawMessage, anything
	shapeJSON      // has its own MarshalJSON or UnmarshalJSON, anything
	shapeText      // has its own MarshalText or UnmarshalText, text
	shapeURL       // url.URL, text
	shapeAny       // any
	shapeInterface // another interface: can be written, not read
	shapePointer
	shapeSlice
	shapeArray
	shapeMap
	shapeStruct
	shapeSecret // Secret, as what it holds
)

// codec is what provost knows about a Go type: how to write it, how to read it, which fields it has. There is one per
// type, made once and never changed.
type codec struct {
	typ    reflect.Type
	kind   kind
	reason string // of shapeNone: why, and what to do
	empty  bool   // a struct without fields: nothing to do

	own    *jsonschema.Schema // of a type that describes itself
	elem   *codec             // of pointers, slices, arrays and maps
	fields []field            // of structs, embedded ones resolved, in the order of declaration
	byName map[string]int
	zeroer bool // has a method IsZero

	// hasDefaults says that a struct sets fields even from an empty object.
	hasDefaults bool
}

// field is a field of a struct under its JSON name.
type field struct {
	name   string
	goName string
	owner  reflect.Type // the struct that declares it
	index  []int
	codec  *codec
	tag    reflect.StructTag

	omitEmpty, omitZero, quoted, secret bool

	hasDefault bool
	value      any           // what it is read from when absent: the default, a plain value, or nothing of an object with defaults
	preset     reflect.Value // the default in Go, if that can be shared
	fault      *params.Error // the default is not of the field's type

	required bool
	rules    *rules
	unclear  bool // its tags make no schema, or it is a secret: nothing that only ever says yes may read it
}

var (
	codecs sync.Map // of *codec by reflect.Type

	timeType      = reflect.TypeFor[time.Time]()
	durationType  = reflect.TypeFor[time.Duration]()
	numberType    = reflect.TypeFor[json.Number]()
	urlType       = reflect.TypeFor[url.URL]()
	rawType       = reflect.TypeFor[json.RawMessage]()
	zeroerType    = reflect.TypeFor[interface{ IsZero() bool }]()
	jsonTypes     = []reflect.Type{reflect.TypeFor[json.Marshaler](), reflect.TypeFor[json.Unmarshaler]()}
	textTypes     = []reflect.Type{reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[encoding.TextUnmarshaler]()}
	marshalType   = textTypes[0]
	unmarshalType = textTypes[1]
)

func codecFor(t reflect.Type) *codec {
	if c, ok := codecs.Load(t); ok {
		return c.(*codec)
	}
	b := codecBuilder{made: map[reflect.Type]*codec{}}
	c := b.codec(t)
	// Only whole codecs are published: a recursive type's refer to each other.
	b.readDefaults()
	b.readRules()
	for t, made := range b.made {
		codecs.LoadOrStore(t, made)
	}
	return c
}

// codecBuilder makes the codecs of a type and of all that it is made of.
type codecBuilder struct {
	made map[reflect.Type]*codec
}

func (b *codecBuilder) codec(t reflect.Type) *codec {
	if c, ok := codecs.Load(t); ok {
		return c.(*codec)
	}
	if c := b.made[t]; c != nil {
		return c
	}
	c := &codec{typ: t, kind: kindOf(t), zeroer: t.Implements(zeroerType)}
	b.made[t] = c
	switch c.kind {
	case shapeNone:
		c.reason = fmt.Sprintf("%v has no form in JSON; leave the field out with `json:\"-\"`", t)
	case shapeInterface:
		c.reason = fmt.Sprintf("%v cannot be read back from JSON; use a struct, or any", t)
	case shapeMap:
		if !keyFits(t.Key()) {
			c.kind = shapeNone
			c.reason = fmt.Sprintf("%v has keys that are not text; use map[string]%v", t, t.Elem())
			break
		}
		c.elem = b.codec(t.Elem())
	case shapePointer, shapeSlice, shapeArray:
		c.elem = b.codec(t.Elem())
	case shapeSecret:
		c.elem = b.codec(sealedElem(t))
	case shapeStruct:
		c.fields = b.fields(t)
		c.empty = len(c.fields) == 0
	}
	return c
}

func kindOf(t reflect.Type) kind {
	switch t {
	case timeType:
		return shapeTime
	case durationType:
		return shapeDuration
	case numberType:
		return shapeNumber
	case rawType:
		return shapeRaw
	case urlType:
		return shapeURL
	}
	kind := t.Kind()
	switch {
	case kind == reflect.Pointer:
		return shapePointer
	case kind == reflect.Interface && t.NumMethod() == 0:
		return shapeAny
	case kind == reflect.Interface:
		return shapeInterface
	case sealed.Is(t):
		return shapeSecret
	case implementsAny(t, jsonTypes):
		return shapeJSON
	case implementsAny(t, textTypes):
		return shapeText
	}
	switch kind {
	case reflect.Bool:
		return shapeBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return shapeInt
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return shapeUint
	case reflect.Float32, reflect.Float64:
		return shapeFloat
	case reflect.String:
		return shapeString
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 && kindOf(t.Elem()) == shapeUint {
			return shapeBytes
		}
		return shapeSlice
	case reflect.Array:
		return shapeArray
	case reflect.Map:
		return shapeMap
	case reflect.Struct:
		return shapeStruct
	}
	return shapeNone
}

func implementsAny(t reflect.Type, interfaces []reflect.Type) bool {
	return slices.ContainsFunc(interfaces, reflect.PointerTo(t).Implements)
}

func keyFits(t reflect.Type) bool {
	switch kindOf(t) {
	case shapeString, shapeNumber, shapeInt, shapeUint:
		return true
	}
	return reflect.PointerTo(t).Implements(marshalType)
}

// candidate is a field on its way into a struct's list, with what decides between fields of one name.
type candidate struct {
	field
	tagged bool
}

// fields resolves embedded structs as encoding/json does: the least deep field of a name wins, among equals the one with
// a tag, and if that leaves two there is none.
func (b *codecBuilder) fields(t reflect.Type) []field {
	var all []candidate
	b.collect(t, nil, map[reflect.Type]bool{}, &all)
	byName := map[string][]candidate{}
	for _, c := range all {
		byName[c.name] = append(byName[c.name], c)
	}
	var fields []field
	for _, c := range all {
		if winner := dominant(byName[c.name]); winner != nil && slices.Equal(winner.index, c.index) {
			fields = append(fields, c.field)
		}
	}
	return fields
}

// collect walks t in the order of declaration; open holds the structs it is inside of.
func (b *codecBuilder) collect(t reflect.Type, index []int, open map[reflect.Type]bool, all *[]candidate) {
	if open[t] {
		return
	}
	open[t] = true
	defer delete(open, t)
	for i := range t.NumField() {
		sf := t.Field(i)
		name, options, _ := strings.Cut(sf.Tag.Get("json"), ",")
		at := append(slices.Clone(index), i)
		inner := sf.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		isStruct := inner.Kind() == reflect.Struct && kindOf(inner) == shapeStruct
		switch {
		case sf.Tag.Get("json") == "-":
		case sf.Anonymous && isStruct && name == "" && (sf.IsExported() || sf.Type.Kind() == reflect.Struct):
			first := len(*all)
			b.collect(inner, at, open, all)
			for i := first; i < len(*all); i++ {
				(*all)[i].secret = (*all)[i].secret || sf.Tag.Get("secret") == "true"
			}
		case sf.IsExported():
			f := field{name: name, goName: sf.Name, owner: t, index: at, tag: sf.Tag, secret: sf.Tag.Get("secret") == "true"}
			if name == "" {
				f.name = sf.Name
			}
			f.codec = b.codec(sf.Type)
			for option := range strings.SplitSeq(options, ",") {
				f.omitEmpty = f.omitEmpty || option == "omitempty"
				f.omitZero = f.omitZero || option == "omitzero"
				f.quoted = f.quoted || option == "string" && f.codec.quotable()
			}
			*all = append(*all, candidate{f, name != ""})
		}
	}
}

func dominant(same []candidate) *candidate {
	least := len(slices.MinFunc(same, func(a, b candidate) int { return len(a.index) - len(b.index) }).index)
	var winner *candidate
	for pass := range 2 {
		for i := range same {
			if len(same[i].index) > least || pass == 0 && !same[i].tagged {
				continue
			}
			if winner != nil {
				return nil
			}
			winner = &same[i]
		}
		if winner != nil {
			return winner
		}
	}
	return nil
}

// pointee is the codec behind pointers and secrets.
func (c *codec) pointee() *codec {
	for c.kind == shapePointer || c.kind == shapeSecret {
		c = c.elem
	}
	return c
}

// scalar is the shape behind pointers and secrets.
func (c *codec) scalar() kind { return c.pointee().kind }

// quotable says that the tag option ",string" means something.
func (c *codec) quotable() bool {
	switch c.scalar() {
	case shapeBool, shapeInt, shapeUint, shapeFloat, shapeNumber:
		return true
	}
	return false
}

// readDefaults reads the `default` tags, now that each codec is whole.
func (b *codecBuilder) readDefaults() {
	for _, c := range b.made {
		for i := range c.fields {
			f := &c.fields[i]
			text, ok := f.tag.Lookup("default")
			if !ok {
				continue
			}
			f.hasDefault = true
			var err error
			if f.value, err = f.codec.parseText(text); err != nil {
				f.fault = &params.Error{Path: jsonschema.Join("", f.name), Reason: fmt.Sprintf("default %s: %v", quote(text), reasonOf(err))}
			} else if f.quoted {
				f.value = fmt.Sprint(f.value)
			}
		}
	}
	for _, c := range b.made {
		c.findDefaults()
	}
}

// findDefaults looks through structs in structs, which Go does not let go in a circle.
func (c *codec) findDefaults() bool {
	if c.kind != shapeStruct || c.hasDefaults {
		return c.hasDefaults
	}
	for i := range c.fields {
		f := &c.fields[i]
		switch {
		case f.hasDefault:
			c.hasDefaults = true
		case f.codec.findDefaults():
			c.hasDefaults, f.value = true, map[string]any(nil)
		}
	}
	return c.hasDefaults
}

// readRules reads the tags that decide about values.
func (b *codecBuilder) readRules() {
	for t, c := range b.made {
		if own, err := ownSchema(t); own != nil && err == nil {
			text, _ := marshal(own)
			c.own, _ = jsonschema.Compile(text) // what is wrong with it shows in the schema of P
		}
		c.byName = make(map[string]int, len(c.fields))
		for i := range c.fields {
			f := &c.fields[i]
			c.byName[f.name] = i
			f.required = f.tag.Get("required") == "true"
			f.readPreset(t)
			f.readRules()
		}
	}
}

// readRules goes by way of the keywords that the tags become.
func (f *field) readRules() {
	var schema members
	switch {
	case f.quoted:
		schema = quotedSchema(f.codec)
	case f.codec.kind == shapeSlice || f.codec.kind == shapeArray:
		schema = members{{"items", members{}}}
	}
	schema, err := addRules(f, schema)
	f.unclear = err != nil || f.secret
	if err == nil {
		f.rules = newRules(f, schema)
	}
}

func (f *field) readPreset(owner reflect.Type) {
	if f.value == nil || f.fault != nil {
		return
	}
	switch f.codec.kind {
	case shapeBool, shapeInt, shapeUint, shapeFloat, shapeString, shapeNumber, shapeTime, shapeDuration:
		v := reflect.New(owner).Elem()
		if f.decode(f.value, v, true) == nil {
			f.preset = f.set(v)
		}
	}
}

// parseText reads the text of a tag as a value of the codec's type and returns its plain form: JSON, or for types that
// are text in JSON the text alone.
func (c *codec) parseText(text string) (any, error) {
	var plain any
	switch c.scalar() {
	case shapeString, shapeTime, shapeDuration, shapeBytes, shapeText, shapeURL:
		plain = text
	default:
		var err error
		if plain, err = jsonschema.Parse([]byte(text), jsonschema.ValueLimits); err != nil {
			return nil, &params.Error{Reason: "expected " + c.want() + " as JSON"}
		}
	}
	v := reflect.New(c.typ).Elem()
	if err := c.decode(plain, v, true); err != nil {
		return nil, err
	}
	return c.encode(v, 0)
}

func reasonOf(err error) string {
	if p, ok := err.(*params.Error); ok {
		return p.Reason
	}
	return err.Error()
}

// get is the field's value in v; not ok behind an embedded pointer that is nil.
func (f *field) get(v reflect.Value) (reflect.Value, bool) {
	if len(f.index) == 1 {
		return v.Field(f.index[0]), true
	}
	for _, i := range f.index {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return reflect.Value{}, false
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v, true
}

// set is the field's place in v, with embedded pointers made on the way.
func (f *field) set(v reflect.Value) reflect.Value {
	for _, i := range f.index {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v
}

func (c *codec) isZero(v reflect.Value) bool {
	if c.zeroer && !(c.kind == shapePointer && v.IsNil()) && c.kind != shapeInterface {
		return v.Interface().(interface{ IsZero() bool }).IsZero()
	}
	return v.IsZero()
}

// want names the type in a message.
func (c *codec) want() string {
	switch c.kind {
	case shapeBool:
		return "true or false"
	case shapeInt, shapeUint:
		return "a whole number"
	case shapeFloat, shapeNumber:
		return "a number"
	case shapeString:
		return "text"
	case shapeTime:
		return `a time such as "2026-03-05T14:00:00+01:00"`
	case shapeDuration:
		return `a duration such as "1h30m"`
	case shapeBytes:
		return `bytes in standard base64 such as "aGVsbG8="`
	case shapeText:
		return fmt.Sprintf("text of a %v", c.typ)
	case shapeURL:
		return `a URL such as "https://example.com/"`
	case shapePointer, shapeSecret:
		return c.elem.want()
	case shapeSlice, shapeArray:
		return "a list"
	case shapeMap, shapeStruct:
		return "an object"
	}
	return "a value"
}

// fault finds the first part of a type that cannot be encoded (or, for parameters, decoded), with the path to it; nil if
// there is none.
func (c *codec) fault(decoding bool) *params.Error {
	return c.findFault(decoding, map[*codec]bool{})
}

func (c *codec) findFault(decoding bool, seen map[*codec]bool) *params.Error {
	if seen[c] {
		return nil
	}
	seen[c] = true
	reason := ""
	switch {
	case c.kind == shapeNone, c.kind == shapeInterface && decoding:
		reason = c.reason
	case c.kind == shapeText && !reflect.PointerTo(c.typ).Implements(marshalType):
		reason = noMarshalText(c.typ)
	case c.kind == shapeText && decoding && !reflect.PointerTo(c.typ).Implements(unmarshalType):
		reason = noUnmarshalText(c.typ)
	}
	if reason != "" {
		return &params.Error{Reason: reason}
	}
	if c.elem != nil {
		if fault := c.elem.findFault(decoding, seen); fault != nil {
			step := map[kind]string{shapeSlice: "[]", shapeArray: "[]", shapeMap: "[key]"}[c.kind]
			return &params.Error{Path: jsonschema.Prepend(step, fault.Path), Reason: fault.Reason}
		}
	}
	for i := range c.fields {
		f := &c.fields[i]
		if decoding && f.fault != nil {
			return f.fault
		}
		if fault := f.codec.findFault(decoding, seen); fault != nil {
			return &params.Error{Path: jsonschema.Prepend(jsonschema.Join("", f.name), fault.Path), Reason: fault.Reason}
		}
	}
	return nil
}

func noMarshalText(t reflect.Type) string {
	return fmt.Sprintf("%v has UnmarshalText but no MarshalText; add it", t)
}

func noUnmarshalText(t reflect.Type) string {
	return fmt.Sprintf("%v has MarshalText but no UnmarshalText; add it", t)
}
