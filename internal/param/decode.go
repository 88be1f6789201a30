package param

import (
	"encoding"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"strconv"
	"time"

	"github.com/provost-go/provost/internal/jsonschema"
	"github.com/provost-go/provost/params"
)

// Decode sets dst, a pointer to a P, from parameters. An absent key gets the default of its field,
// at any depth, or else the zero value. Keys that P does not have are ignored. The error is a
// [*params.Error].
func Decode(p params.Params, dst any) error {
	ptr := reflect.ValueOf(dst)
	c := codecFor(ptr.Type().Elem())
	if c.empty {
		return nil
	}
	ptr.Elem().SetZero()
	if p == nil {
		p = params.Params{}
	}
	return c.decode(map[string]any(p), ptr.Elem(), true)
}

// decode sets dst, which must be zero, from a value. If defaults is true, default tags fill what is
// absent.
func (c *codec) decode(src any, dst reflect.Value, defaults bool) error {
	switch src.(type) {
	case nil:
		return c.decodeNull(dst)
	case bool, string, json.Number, []any, map[string]any:
	default:
		plain, err := normalizeValue(src, 0)
		if err != nil {
			return err
		}
		return c.decode(plain, dst, defaults)
	}
	switch c.kind {
	case kindBool:
		if b, ok := src.(bool); ok {
			dst.SetBool(b)
			return nil
		}
	case kindInt, kindUint, kindFloat, kindNumber:
		if number, ok := src.(json.Number); ok {
			return c.decodeNumber(number, dst)
		}
	case kindString:
		if s, ok := src.(string); ok {
			dst.SetString(s)
			return nil
		}
	case kindTime, kindDuration, kindBytes, kindText, kindURL:
		return c.decodeText(src, dst)
	case kindPointer:
		ptr := reflect.New(c.typ.Elem())
		dst.Set(ptr)
		return c.elem.decode(src, ptr.Elem(), defaults)
	case kindAny:
		plain, err := normalizeValue(src, 0)
		if err != nil {
			return err
		}
		dst.Set(reflect.ValueOf(plain))
		return nil
	case kindRaw, kindJSON:
		return c.decodeJSON(src, dst)
	case kindSlice, kindArray:
		if list, ok := src.([]any); ok {
			return c.decodeList(list, dst, defaults)
		}
	case kindMap:
		if m, ok := src.(map[string]any); ok {
			return c.decodeMap(m, dst, defaults)
		}
	case kindStruct:
		if m, ok := src.(map[string]any); ok {
			return c.decodeStruct(m, dst, defaults)
		}
	case kindSecret:
		return c.decodeSecret(src, dst, defaults)
	default:
		return &params.Error{Reason: c.reason}
	}
	return c.mismatch(src)
}

func (c *codec) decodeNull(dst reflect.Value) error {
	switch c.kind {
	case kindPointer, kindAny, kindSlice, kindMap, kindInterface, kindBytes:
		return nil
	case kindRaw, kindJSON:
		return c.decodeJSON(nil, dst)
	case kindSecret:
		return c.decodeSecret(nil, dst, false)
	}
	return &params.Error{Reason: "expected " + c.want() + ", got null; leave it out, or make the field a pointer"}
}

func (c *codec) decodeNumber(number json.Number, dst reflect.Value) error {
	literal := string(number)
	var err error
	switch c.kind {
	case kindInt:
		var n int64
		if n, err = jsonschema.ParseInt(literal); err == nil && !dst.OverflowInt(n) {
			dst.SetInt(n)
			return nil
		}
	case kindUint:
		var n uint64
		if n, err = jsonschema.ParseUint(literal); err == nil && !dst.OverflowUint(n) {
			dst.SetUint(n)
			return nil
		}
	case kindFloat:
		var f float64
		if f, err = strconv.ParseFloat(literal, c.typ.Bits()); err == nil {
			dst.SetFloat(f)
			return nil
		}
	case kindNumber:
		dst.SetString(literal)
		return nil
	}
	if err == jsonschema.ErrFraction {
		return &params.Error{Reason: fmt.Sprintf("expected a whole number, got %s; round it", literal)}
	}
	return &params.Error{Reason: fmt.Sprintf("%s does not fit %v; send a number in its range", literal[:min(len(literal), jsonschema.MaxNumber)], c.typ)}
}

// decodeText reads the types that are text in JSON but not in Go.
func (c *codec) decodeText(src any, dst reflect.Value) error {
	if number, ok := src.(json.Number); ok && c.kind == kindDuration {
		return c.decodeNanoseconds(number, dst)
	}
	s, ok := src.(string)
	if !ok {
		return c.mismatch(src)
	}
	var err error
	switch c.kind {
	case kindTime:
		var t time.Time
		if t, err = jsonschema.ParseTime(s); err == nil {
			*dst.Addr().Interface().(*time.Time) = t
			return nil
		}
	case kindDuration:
		var d time.Duration
		if d, err = time.ParseDuration(s); err == nil {
			dst.SetInt(int64(d))
			return nil
		}
	case kindURL:
		var u *url.URL
		if u, err = url.Parse(s); err == nil {
			*dst.Addr().Interface().(*url.URL) = *u
			return nil
		}
	case kindBytes:
		var b []byte
		if b, err = base64.StdEncoding.DecodeString(s); err == nil {
			dst.SetBytes(b)
			return nil
		}
	case kindText:
		u, ok := dst.Addr().Interface().(encoding.TextUnmarshaler)
		if !ok {
			return &params.Error{Reason: noUnmarshalText(c.typ)}
		}
		if err = u.UnmarshalText([]byte(s)); err == nil {
			return nil
		}
		return &params.Error{Reason: fmt.Sprintf("%s is not a %v: %v", quote(s), c.typ, err)}
	}
	return &params.Error{Reason: fmt.Sprintf("expected %s, got %s", c.want(), quote(s))}
}

func (c *codec) decodeNanoseconds(number json.Number, dst reflect.Value) error {
	n, err := jsonschema.ParseInt(string(number))
	if err != nil {
		return &params.Error{Reason: fmt.Sprintf("%s is not a whole number of nanoseconds; write a duration such as \"1h30m\"", number)}
	}
	dst.SetInt(n)
	return nil
}

// decodeJSON passes the value on as JSON: to json.RawMessage, or to the UnmarshalJSON of a type.
func (c *codec) decodeJSON(src any, dst reflect.Value) error {
	text, err := EncodeResult(src)
	if err != nil {
		return &params.Error{Reason: err.Error()}
	}
	if c.kind == kindRaw {
		dst.SetBytes(text)
		return nil
	}
	if err := json.Unmarshal(text, dst.Addr().Interface()); err != nil {
		return &params.Error{Reason: fmt.Sprintf("is not a %v: %v", c.typ, err)}
	}
	return nil
}

func (c *codec) decodeList(list []any, dst reflect.Value, defaults bool) error {
	if c.kind == kindSlice {
		dst.Set(reflect.MakeSlice(c.typ, len(list), len(list)))
	} else if len(list) != dst.Len() {
		return &params.Error{Reason: fmt.Sprintf("expected %d items, got %d", dst.Len(), len(list))}
	}
	for i, item := range list {
		if err := c.elem.decode(item, dst.Index(i), defaults); err != nil {
			return under(indexStep(i), err)
		}
	}
	return nil
}

func (c *codec) decodeMap(m map[string]any, dst reflect.Value, defaults bool) error {
	dst.Set(reflect.MakeMapWithSize(c.typ, len(m)))
	for key, item := range m {
		k := reflect.New(c.typ.Key()).Elem()
		if err := decodeKey(key, k); err != nil {
			return err
		}
		v := reflect.New(c.typ.Elem()).Elem()
		if err := c.elem.decode(item, v, defaults); err != nil {
			return under(jsonschema.Join("", key), err)
		}
		dst.SetMapIndex(k, v)
	}
	return nil
}

func decodeKey(key string, dst reflect.Value) error {
	var err error
	switch {
	case dst.Kind() == reflect.String:
		dst.SetString(key)
		return nil
	case dst.CanInt():
		var n int64
		if n, err = strconv.ParseInt(key, 10, dst.Type().Bits()); err == nil {
			dst.SetInt(n)
		}
	case dst.CanUint():
		var n uint64
		if n, err = strconv.ParseUint(key, 10, dst.Type().Bits()); err == nil {
			dst.SetUint(n)
		}
	default:
		if u, ok := dst.Addr().Interface().(encoding.TextUnmarshaler); ok {
			err = u.UnmarshalText([]byte(key))
		}
	}
	if err != nil {
		return &params.Error{Path: jsonschema.Join("", key), Reason: fmt.Sprintf("the key is not a %v", dst.Type())}
	}
	return nil
}

func (c *codec) decodeStruct(m map[string]any, dst reflect.Value, defaults bool) error {
	for i := range c.fields {
		f := &c.fields[i]
		src, ok := m[f.name]
		switch {
		case ok:
		case !defaults:
			continue
		case f.fault != nil:
			return f.fault
		case f.value == nil:
			continue
		default:
			src = f.value
		}
		if err := f.decode(src, dst, defaults); err != nil {
			return under(jsonschema.Join("", f.name), err)
		}
	}
	return nil
}

// decode sets the field in dst, the struct.
func (f *field) decode(src any, dst reflect.Value, defaults bool) error {
	if f.secret && src == any(params.Mask) {
		return decodeMask(defaults)
	}
	given := src
	if f.quoted {
		plain, err := normalizeValue(src, 0)
		if err == nil {
			src, err = unquote(f.codec, plain)
		}
		if err != nil {
			return f.redactedFieldError(given, err)
		}
	}
	if err := f.codec.decode(src, f.set(dst), defaults); err != nil {
		return f.redactedFieldError(given, err)
	}
	return nil
}

// unquote reverts the tag option ",string".
func unquote(c *codec, src any) (any, error) {
	s, ok := src.(string)
	if !ok {
		return src, nil
	}
	if c.scalar() == kindBool {
		if s == "true" || s == "false" {
			return s == "true", nil
		}
	} else if jsonschema.CheckNumber(s) == "" {
		return json.Number(s), nil
	}
	return nil, &params.Error{Reason: fmt.Sprintf("expected %s in quotes, got %s", c.want(), quote(s))}
}

func (c *codec) mismatch(src any) error {
	if c.mayHide(false, map[*codec]bool{}) { // src may be the secret itself, one level too high
		return redactedError(c, nil)
	}
	got := "an object"
	switch v := src.(type) {
	case bool:
		got = strconv.FormatBool(v)
	case string:
		got = "the text " + quote(v)
	case json.Number:
		got = "the number " + string(v[:min(len(v), jsonschema.MaxNumber)])
	case []any:
		got = "a list"
	}
	return &params.Error{Reason: "expected " + c.want() + ", got " + got}
}
