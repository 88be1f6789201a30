package param

import (
	"fmt"
	"reflect"
	"sync"

	"github.com/provost-go/provost/internal/jsonschema"
	"github.com/provost-go/provost/params"
)

// codec describes a Go type: how to encode it, how to decode it and which fields it has. There is
// one codec for each type. It does not change once it is published.
type codec struct {
	typ    reflect.Type
	kind   kind
	reason string // of kindNone: why, and what to do about it
	empty  bool   // a struct without fields: there is nothing to do

	own    *jsonschema.Schema // of a type that describes itself
	elem   *codec             // of pointers, slices, arrays, maps and secrets
	fields []field            // of structs: embedded ones resolved, in the order of declaration
	byName map[string]int
	zeroer bool // the type has a method IsZero

	// hasDefaults reports whether decoding an empty object sets fields of the struct.
	hasDefaults bool
}

// codecs caches a *codec for each reflect.Type.
var codecs sync.Map

func codecFor(t reflect.Type) *codec {
	if c, ok := codecs.Load(t); ok {
		return c.(*codec)
	}
	b := codecBuilder{made: map[reflect.Type]*codec{}}
	c := b.codec(t)
	// Publish only complete codecs, because those of a recursive type refer to each other.
	b.readDefaults()
	b.readRules()
	for t, made := range b.made {
		codecs.LoadOrStore(t, made)
	}
	return c
}

// codecBuilder builds the codecs of a type and of all types it consists of.
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
	case kindNone:
		c.reason = fmt.Sprintf("%v has no form in JSON; leave the field out with `json:\"-\"`", t)
	case kindInterface:
		c.reason = fmt.Sprintf("%v cannot be read back from JSON; use a struct, or any", t)
	case kindMap:
		if !keyFits(t.Key()) {
			c.kind = kindNone
			c.reason = fmt.Sprintf("%v has keys that are not text; use map[string]%v", t, t.Elem())
			break
		}
		c.elem = b.codec(t.Elem())
	case kindPointer, kindSlice, kindArray:
		c.elem = b.codec(t.Elem())
	case kindSecret:
		c.elem = b.codec(sealedElem(t))
	case kindStruct:
		c.fields = b.fields(t)
		c.empty = len(c.fields) == 0
	}
	return c
}

// pointee returns the codec behind pointers and secrets.
func (c *codec) pointee() *codec {
	for c.kind == kindPointer || c.kind == kindSecret {
		c = c.elem
	}
	return c
}

// scalar returns the kind behind pointers and secrets.
func (c *codec) scalar() kind { return c.pointee().kind }

// quotable reports whether the tag option ",string" has a meaning.
func (c *codec) quotable() bool {
	switch c.scalar() {
	case kindBool, kindInt, kindUint, kindFloat, kindNumber:
		return true
	}
	return false
}

func (c *codec) isZero(v reflect.Value) bool {
	if c.zeroer && !(c.kind == kindPointer && v.IsNil()) && c.kind != kindInterface {
		return v.Interface().(interface{ IsZero() bool }).IsZero()
	}
	return v.IsZero()
}

// isObject reports whether the type can be the parameters of a flow.
func (c *codec) isObject() bool {
	return c.kind == kindStruct || c.kind == kindMap && c.typ.Key().Kind() == reflect.String
}

// checksItself reports whether the type checks its values itself: it accepts any JSON as far as the
// schema is concerned, or it has a schema of its own.
func (c *codec) checksItself() bool {
	return c.own != nil || c.kind == kindAny || c.kind == kindRaw || c.kind == kindJSON
}

// want describes the expected value for a message.
func (c *codec) want() string {
	switch c.kind {
	case kindBool:
		return "true or false"
	case kindInt, kindUint:
		return "a whole number"
	case kindFloat, kindNumber:
		return "a number"
	case kindString:
		return "text"
	case kindTime:
		return `a time such as "2026-03-05T14:00:00+01:00"`
	case kindDuration:
		return `a duration such as "1h30m"`
	case kindBytes:
		return `bytes in standard base64 such as "aGVsbG8="`
	case kindText:
		return fmt.Sprintf("text of a %v", c.typ)
	case kindURL:
		return `a URL such as "https://example.com/"`
	case kindPointer, kindSecret:
		return c.elem.want()
	case kindSlice, kindArray:
		return "a list"
	case kindMap, kindStruct:
		return "an object"
	}
	return "a value"
}

// fault returns the first part of a type that cannot be encoded or, if decoding is true, cannot be
// decoded, with the path to it. It returns nil if there is none.
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
	case c.kind == kindNone, c.kind == kindInterface && decoding:
		reason = c.reason
	case c.kind == kindText && !reflect.PointerTo(c.typ).Implements(marshalType):
		reason = noMarshalText(c.typ)
	case c.kind == kindText && decoding && !reflect.PointerTo(c.typ).Implements(unmarshalType):
		reason = noUnmarshalText(c.typ)
	}
	if reason != "" {
		return &params.Error{Reason: reason}
	}
	if c.elem != nil {
		if fault := c.elem.findFault(decoding, seen); fault != nil {
			step := map[kind]string{kindSlice: "[]", kindArray: "[]", kindMap: "[key]"}[c.kind]
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
