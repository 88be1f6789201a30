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

// fastDecodeParams sets dst, a pointer to a P, and reports whether the parameters are certain to be
// valid.
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
	return c.fastDecode(map[string]any(p), ptr.Elem(), nil, new(extent))
}

// DecodeChecked sets dst, a pointer to a P, from parameters that are held to a schema. The schema
// may be nil, and derived reports whether it is P's own. The error is a [*params.Error], or several
// joined.
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

// fastDecode sets dst, which must be zero, from a plain value.
func (c *codec) fastDecode(in any, dst reflect.Value, r *rules, x *extent) bool {
	if c.checksItself() {
		return c.fastDecodeAny(in, dst, x)
	}
	if c.kind == kindPointer {
		if in == nil {
			return x.spend(len("null"))
		}
		ptr := reflect.New(c.typ.Elem())
		dst.Set(ptr)
		return c.elem.fastDecode(in, ptr.Elem(), r, x)
	}
	switch in := in.(type) {
	case bool:
		return x.spend(len("false")) && c.fastDecodeBool(in, dst, r)
	case string:
		return x.spendText(in) && c.fastDecodeString(in, dst, r)
	case json.Number:
		return x.spend(len(in)) && c.fastDecodeNumber(string(in), dst, r)
	case []any:
		return c.fastDecodeList(in, dst, r, x)
	case map[string]any:
		switch c.kind {
		case kindStruct:
			return c.fastDecodeStruct(in, dst, x)
		case kindMap:
			return c.fastDecodeMap(in, dst, x)
		}
	}
	return false
}

func (c *codec) fastDecodeAny(in any, dst reflect.Value, x *extent) bool {
	size, ok := jsonschema.Measure(in, x.depth)
	return ok && x.spend(size) && (c.own == nil || !c.own.Secret() && c.own.Validate(in) == nil) && c.decode(in, dst, true) == nil
}

func (c *codec) fastDecodeBool(b bool, dst reflect.Value, r *rules) bool {
	if c.kind != kindBool || !r.fitBool(b) {
		return false
	}
	dst.SetBool(b)
	return true
}

func (c *codec) fastDecodeNumber(literal string, dst reflect.Value, r *rules) bool {
	if jsonschema.CheckNumber(literal) != "" || r != nil && (r.quoted || !r.fitNumber(literal)) {
		return false
	}
	return c.setNumber(literal, dst)
}

// setNumber sets dst from a literal that is known to be a JSON number.
func (c *codec) setNumber(literal string, dst reflect.Value) bool {
	switch c.kind {
	case kindInt:
		n, err := strconv.ParseInt(literal, 10, 64)
		if err != nil || dst.OverflowInt(n) {
			return false
		}
		dst.SetInt(n)
	case kindUint:
		n, err := strconv.ParseUint(literal, 10, 64)
		if err != nil || dst.OverflowUint(n) {
			return false
		}
		dst.SetUint(n)
	case kindFloat:
		f, err := strconv.ParseFloat(literal, c.typ.Bits())
		if err != nil {
			return false
		}
		dst.SetFloat(f)
	case kindNumber:
		dst.SetString(literal)
	case kindDuration:
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

func (c *codec) fastDecodeString(s string, dst reflect.Value, r *rules) bool {
	if !r.fitText(s) {
		return false
	}
	if r != nil && r.quoted {
		return c.fastDecodeQuoted(s, dst)
	}
	switch c.kind {
	case kindString:
		dst.SetString(s)
		return true
	case kindTime:
		t, err := jsonschema.ParseTime(s)
		if err != nil {
			return false
		}
		*dst.Addr().Interface().(*time.Time) = t
		return true
	case kindDuration:
		d, err := time.ParseDuration(s)
		if err != nil {
			return false
		}
		dst.SetInt(int64(d))
		return true
	case kindBytes:
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return false
		}
		dst.SetBytes(b)
		return true
	case kindURL:
		u, err := url.Parse(s)
		if err != nil || !jsonschema.TextFits("iri-reference", s) {
			return false
		}
		*dst.Addr().Interface().(*url.URL) = *u
		return true
	case kindText:
		return c.fastDecodeText(s, dst)
	}
	return false
}

func (c *codec) fastDecodeText(s string, dst reflect.Value) bool {
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

func (c *codec) fastDecodeQuoted(s string, dst reflect.Value) bool {
	if c.kind == kindBool {
		dst.SetBool(s == "true")
		return s == "true" || s == "false"
	}
	return jsonschema.CheckNumber(s) == "" && c.setNumber(s, dst)
}

func (c *codec) fastDecodeList(list []any, dst reflect.Value, r *rules, x *extent) bool {
	switch {
	case c.kind == kindSlice && r.fitLength(len(list)):
		dst.Set(reflect.MakeSlice(c.typ, len(list), len(list)))
	case c.kind == kindArray && len(list) == dst.Len():
	default:
		return false
	}
	if !x.enter() {
		return false
	}
	for i, item := range list {
		if !c.elem.fastDecode(item, dst.Index(i), r.itemRules(), x) {
			return false
		}
	}
	x.leave()
	return r == nil || !r.unique || c.distinct(dst)
}

func (r *rules) itemRules() *rules {
	if r == nil {
		return nil
	}
	return r.items
}

// distinct reports whether no two items are equal in Go, and so none in JSON.
func (c *codec) distinct(list reflect.Value) bool {
	const most = 200 // longer lists are left to the schema, which hashes the items
	switch c.elem.kind {
	case kindBool, kindInt, kindUint, kindFloat, kindString:
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

func (c *codec) fastDecodeMap(m map[string]any, dst reflect.Value, x *extent) bool {
	if !x.enter() {
		return false
	}
	w := c.newMapWriter(dst, len(m))
	for key, in := range m {
		if !x.spendText(key) || !w.key(key) || !c.elem.fastDecode(in, w.item, nil, x) {
			return false
		}
		w.put()
	}
	x.leave()
	return true
}

// mapWriter fills a map and reuses one key and one item.
type mapWriter struct {
	dst, name, item reflect.Value
}

func (c *codec) newMapWriter(dst reflect.Value, size int) *mapWriter {
	dst.Set(reflect.MakeMapWithSize(c.typ, size))
	return &mapWriter{dst, reflect.New(c.typ.Key()).Elem(), reflect.New(c.typ.Elem()).Elem()}
}

// key reads a key. It returns false if the key is not spelled as the schema requires.
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

func (c *codec) fastDecodeStruct(m map[string]any, dst reflect.Value, x *extent) bool {
	if !x.enter() {
		return false
	}
	found := 0
	for i := range c.fields {
		f := &c.fields[i]
		in, ok := m[f.name]
		if !ok {
			if !f.fastDefault(dst) {
				return false
			}
			continue
		}
		found++
		if f.slowOnly || !x.spendText(f.name) || !f.codec.fastDecode(in, f.set(dst), f.rules, x) {
			return false
		}
	}
	x.leave()
	return found == len(m)
}

// fastDefault sets a field that is absent to its default.
func (f *field) fastDefault(dst reflect.Value) bool {
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
