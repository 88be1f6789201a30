package param

import (
	"encoding"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"reflect"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/jsonschema"
	"github.com/provost-go/provost/params"
)

// This file reads parameters into P and holds them to P's schema in one pass. It says yes only where the schema does. Its
// no means that the schema has to be asked, which finds the words for what is wrong or, for a value that is spelled in an
// unusual way, still says yes.

// takeParams sets dst, a pointer to P, if it is sure that the parameters fit.
func fastDecodeParams(p params.Params, dst any) bool {
	ptr := reflect.ValueOf(dst)
	c := codecFor(ptr.Type().Elem())
	if c.empty && c.own == nil {
		return len(p) == 0
	}
	if p == nil {
		p = params.Params{}
	}
	ptr.Elem().SetZero()
	return c.take(map[string]any(p), ptr.Elem(), nil, new(extent))
}

// readParams sets dst, a pointer to P, from parameters that are held to a schema, if there is one; derived says that it is
// P's own. The error is a *ParamError, or several joined.
func DecodeChecked(p params.Params, schema *Schema, derived bool, dst any) error {
	if schema == nil {
		return Decode(p, dst)
	}
	if derived && fastDecodeParams(p, dst) {
		return nil
	}
	if err := schema.Validate(p); err != nil {
		return err
	}
	return Decode(p, dst)
}

// extent is how much of a value has been read and how deep inside of it the reader is, against the limits of parameters.
type extent struct{ size, depth int }

func (x *extent) enter() bool {
	x.depth++
	x.size += len("{}")
	return x.depth <= jsonschema.MaxDepth
}

func (x *extent) leave() { x.depth-- }

func (x *extent) spend(n int) bool {
	x.size += n + len(",")
	return x.size <= jsonschema.MaxValue
}

// spendText is spend for a text, which may be a key.
func (x *extent) spendText(s string) bool {
	n, ok := jsonschema.TextSize(s)
	return ok && x.spend(n+len(":"))
}

// take sets dst, which is zero, from a plain value.
func (c *codec) take(in any, dst reflect.Value, r *rules, x *extent) bool {
	if c.takesAnything() {
		return c.takeAny(in, dst, x)
	}
	if c.kind == shapePointer {
		if in == nil {
			return x.spend(len("null"))
		}
		ptr := reflect.New(c.typ.Elem())
		dst.Set(ptr)
		return c.elem.take(in, ptr.Elem(), r, x)
	}
	switch in := in.(type) {
	case bool:
		return x.spend(len("false")) && c.takeBool(in, dst, r)
	case string:
		return x.spendText(in) && c.takeString(in, dst, r)
	case json.Number:
		return x.spend(len(in)) && c.takeNumber(string(in), dst, r)
	case []any:
		return c.takeList(in, dst, r, x)
	case map[string]any:
		switch c.kind {
		case shapeStruct:
			return c.takeStruct(in, dst, x)
		case shapeMap:
			return c.takeMap(in, dst, x)
		}
	}
	return false
}

// takesAnything says that the type itself, not its schema, decides what a value may be; or that it has a schema of its own
// making.
func (c *codec) takesAnything() bool {
	return c.own != nil || c.kind == shapeAny || c.kind == shapeRaw || c.kind == shapeJSON
}

func (c *codec) takeAny(in any, dst reflect.Value, x *extent) bool {
	size, ok := jsonschema.Measure(in, x.depth)
	return ok && x.spend(size) && (c.own == nil || !c.own.HasSecrets() && c.own.Validate(in) == nil) && c.decode(in, dst, true) == nil
}

func (c *codec) takeBool(b bool, dst reflect.Value, r *rules) bool {
	if c.kind != shapeBool || !r.fitBool(b) {
		return false
	}
	dst.SetBool(b)
	return true
}

func (c *codec) takeNumber(literal string, dst reflect.Value, r *rules) bool {
	if jsonschema.CheckNumber(literal) != "" || r != nil && (r.quoted || !r.fitNumber(literal)) {
		return false
	}
	return c.setNumber(literal, dst)
}

// setNumber takes a literal that is a number in JSON.
func (c *codec) setNumber(literal string, dst reflect.Value) bool {
	switch c.kind {
	case shapeInt:
		n, err := strconv.ParseInt(literal, 10, 64)
		if err != nil || dst.OverflowInt(n) {
			return false
		}
		dst.SetInt(n)
	case shapeUint:
		n, err := strconv.ParseUint(literal, 10, 64)
		if err != nil || dst.OverflowUint(n) {
			return false
		}
		dst.SetUint(n)
	case shapeFloat:
		f, err := strconv.ParseFloat(literal, c.typ.Bits())
		if err != nil {
			return false
		}
		dst.SetFloat(f)
	case shapeNumber:
		dst.SetString(literal)
	case shapeDuration:
		n, err := strconv.ParseInt(literal, 10, 64)
		if err != nil {
			return false
		}
		dst.SetInt(n)
	default:
		return false
	}
	return true
}

func (c *codec) takeString(s string, dst reflect.Value, r *rules) bool {
	if !r.fitText(s) {
		return false
	}
	if r != nil && r.quoted {
		return c.takeQuoted(s, dst)
	}
	switch c.kind {
	case shapeString:
		dst.SetString(s)
		return true
	case shapeTime:
		t, err := jsonschema.ParseTime(s)
		if err != nil {
			return false
		}
		*dst.Addr().Interface().(*time.Time) = t
		return true
	case shapeDuration:
		d, err := time.ParseDuration(s)
		if err != nil {
			return false
		}
		dst.SetInt(int64(d))
		return true
	case shapeBytes:
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return false
		}
		dst.SetBytes(b)
		return true
	case shapeURL:
		u, err := url.Parse(s)
		if err != nil || !jsonschema.TextFits("iri-reference", s) {
			return false
		}
		*dst.Addr().Interface().(*url.URL) = *u
		return true
	case shapeText:
		return c.takeText(s, dst)
	}
	return false
}

func (c *codec) takeText(s string, dst reflect.Value) bool {
	switch u := dst.Addr().Interface().(type) {
	case *uuid.UUID:
		if !jsonschema.TextFits("uuid", s) {
			return false
		}
		id, err := uuid.Parse(s)
		*u = id
		return err == nil
	case encoding.TextUnmarshaler:
		return u.UnmarshalText([]byte(s)) == nil
	}
	return false
}

func (c *codec) takeQuoted(s string, dst reflect.Value) bool {
	if c.kind == shapeBool {
		dst.SetBool(s == "true")
		return s == "true" || s == "false"
	}
	return jsonschema.CheckNumber(s) == "" && c.setNumber(s, dst)
}

func (c *codec) takeList(list []any, dst reflect.Value, r *rules, x *extent) bool {
	switch {
	case c.kind == shapeSlice && r.fitLength(len(list)):
		dst.Set(reflect.MakeSlice(c.typ, len(list), len(list)))
	case c.kind == shapeArray && len(list) == dst.Len():
	default:
		return false
	}
	if !x.enter() {
		return false
	}
	for i, item := range list {
		if !c.elem.take(item, dst.Index(i), r.ofItems(), x) {
			return false
		}
	}
	x.leave()
	return r == nil || !r.unique || c.distinct(dst)
}

func (r *rules) ofItems() *rules {
	if r == nil {
		return nil
	}
	return r.items
}

// distinct says that no two items are equal in Go, and so none in JSON.
func (c *codec) distinct(list reflect.Value) bool {
	const most = 200 // more are left to the schema, which hashes them
	switch c.elem.kind {
	case shapeBool, shapeInt, shapeUint, shapeFloat, shapeString:
	default:
		return list.Len() < 2
	}
	for i := range list.Len() {
		for j := range i {
			if i == most || list.Index(i).Equal(list.Index(j)) {
				return false
			}
		}
	}
	return true
}

func (c *codec) takeMap(m map[string]any, dst reflect.Value, x *extent) bool {
	if !x.enter() {
		return false
	}
	w := c.newMap(dst, len(m))
	for key, in := range m {
		if !x.spendText(key) || !w.key(key) || !c.elem.take(in, w.item, nil, x) {
			return false
		}
		w.put()
	}
	x.leave()
	return true
}

// mapWriter fills a map through one key and one item that are used again and again.
type mapWriter struct {
	dst, name, item reflect.Value
}

func (c *codec) newMap(dst reflect.Value, size int) *mapWriter {
	dst.Set(reflect.MakeMapWithSize(c.typ, size))
	return &mapWriter{dst, reflect.New(c.typ.Key()).Elem(), reflect.New(c.typ.Elem()).Elem()}
}

// key reads a key that is spelled as the schema has it.
func (w *mapWriter) key(key string) bool {
	w.name.SetZero()
	w.item.SetZero()
	if decodeKey(key, w.name) != nil {
		return false
	}
	switch t := w.name.Type(); {
	case w.name.Kind() == reflect.String:
		return true
	case w.name.CanInt():
		return strconv.FormatInt(w.name.Int(), 10) == key
	case w.name.CanUint():
		return strconv.FormatUint(w.name.Uint(), 10) == key
	case t == timeType:
		return jsonschema.TextFits("date-time", key)
	case isUUID(t):
		return jsonschema.TextFits("uuid", key)
	}
	return true
}

func (w *mapWriter) put() { w.dst.SetMapIndex(w.name, w.item) }

func (c *codec) takeStruct(m map[string]any, dst reflect.Value, x *extent) bool {
	if !x.enter() {
		return false
	}
	found := 0
	for i := range c.fields {
		f := &c.fields[i]
		in, ok := m[f.name]
		if !ok {
			if !f.leaveOut(dst) {
				return false
			}
			continue
		}
		found++
		if f.unclear || !x.spendText(f.name) || !f.codec.take(in, f.set(dst), f.rules, x) {
			return false
		}
	}
	x.leave()
	return found == len(m)
}

// leaveOut gives a field that is absent its default.
func (f *field) leaveOut(dst reflect.Value) bool {
	switch {
	case f.required || f.fault != nil:
		return false
	case f.preset.IsValid():
		f.set(dst).Set(f.preset)
		return true
	case f.value == nil:
		return true
	}
	return f.decode(f.value, dst, true) == nil
}
