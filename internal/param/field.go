package param

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/provost-go/provost/internal/jsonschema"
	"github.com/provost-go/provost/params"
)

// field is a field of a struct, under its JSON name.
type field struct {
	name   string
	goName string
	owner  reflect.Type // the struct that declares it
	index  []int
	codec  *codec
	tag    reflect.StructTag

	omitEmpty, omitZero, quoted, secret bool

	// value is what an absent field is decoded from, as a plain value: the default, or a nil map
	// for an object that has defaults inside.
	value      any
	hasDefault bool
	preset     reflect.Value // the default as a Go value, if it may be shared
	fault      *params.Error // the default does not fit the field's type

	required bool
	rules    *rules

	// slowOnly excludes the field from the fast path: its tags make no schema, or it is a secret.
	slowOnly bool
}

// candidate is a field that may be hidden by another of the same name.
type candidate struct {
	field
	tagged bool
}

// fields resolves embedded structs as encoding/json does: of several fields with one name the least
// deep wins, and among equally deep ones the one with a tag. If that leaves two, there is none.
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

// collect walks t in the order of declaration. The set open holds the structs that it is inside of.
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
		isStruct := inner.Kind() == reflect.Struct && kindOf(inner) == kindStruct
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

// readDefaults reads the tags named default, now that all codecs are complete.
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

// findDefaults searches structs within structs, which cannot be recursive in Go.
func (c *codec) findDefaults() bool {
	if c.kind != kindStruct || c.hasDefaults {
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

// readRules reads the tags that constrain values.
func (b *codecBuilder) readRules() {
	for t, c := range b.made {
		if own, err := ownSchema(t); own != nil && err == nil {
			text, _ := marshal(own)
			c.own, _ = jsonschema.Compile(text) // errors are reported with the schema of P
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

// readRules derives the rules from the schema keywords that the tags become.
func (f *field) readRules() {
	var schema members
	switch {
	case f.quoted:
		schema = quotedSchema(f.codec)
	case f.codec.kind == kindSlice || f.codec.kind == kindArray:
		schema = members{{"items", members{}}}
	}
	schema, err := addRules(f, schema)
	f.slowOnly = err != nil || f.secret
	if err == nil {
		f.rules = newRules(f, schema)
	}
}

func (f *field) readPreset(owner reflect.Type) {
	if f.value == nil || f.fault != nil {
		return
	}
	switch f.codec.kind {
	case kindBool, kindInt, kindUint, kindFloat, kindString, kindNumber, kindTime, kindDuration:
		v := reflect.New(owner).Elem()
		if f.decode(f.value, v, true) == nil {
			f.preset = f.set(v)
		}
	}
}

// parseText parses the text of a tag as a value of the codec's type and returns its plain form. The
// text is JSON, or plain text for types that are text in JSON.
func (c *codec) parseText(text string) (any, error) {
	var plain any
	switch c.scalar() {
	case kindString, kindTime, kindDuration, kindBytes, kindText, kindURL:
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

// get returns the field's value in v. It returns false if an embedded pointer on the way is nil.
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

// set returns the field in v, and allocates embedded pointers on the way.
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
