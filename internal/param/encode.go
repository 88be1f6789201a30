package param

import (
	"encoding"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/provost-go/provost/internal/jsonschema"
	"github.com/provost-go/provost/params"
)

// Encode converts a typed P to parameters. It omits top-level fields that are zero, so that lower
// layers apply. A pointer that is not nil is sent even if it points to zero. The error is a
// [*params.Error].
func Encode(v any) (params.Params, error) {
	rv := reflect.ValueOf(v)
	if !rv.IsValid() {
		return nil, nil
	}
	c := codecFor(rv.Type())
	for c.kind == kindPointer {
		if rv.IsNil() {
			return nil, nil
		}
		rv, c = rv.Elem(), c.elem
	}
	var p params.Params
	switch c.kind {
	case kindStruct:
		m, err := c.encodeStruct(rv, 1, true)
		if err != nil {
			return nil, err
		}
		p = m
	case kindMap:
		plain, err := c.encode(rv, 1)
		if err != nil {
			return nil, err
		}
		p = plain.(map[string]any)
	default:
		return nil, &params.Error{Reason: fmt.Sprintf("%v is not a struct; parameters need one, with a field for each", rv.Type())}
	}
	if len(p) == 0 {
		return nil, nil
	}
	if problem := jsonschema.CheckValue(map[string]any(p)); problem != nil {
		return nil, &params.Error{Path: problem.Path, Reason: problem.Reason}
	}
	return p, nil
}

// maxEncodeDepth bounds the depth of a Go value. It detects values that contain themselves.
const maxEncodeDepth = 1000

// encode converts a Go value of the codec's type to a plain value.
func (c *codec) encode(v reflect.Value, depth int) (any, error) {
	if depth++; depth > maxEncodeDepth {
		return nil, &params.Error{Reason: fmt.Sprintf("nested deeper than %d; does the value contain itself?", maxEncodeDepth)}
	}
	switch c.kind {
	case kindBool:
		return v.Bool(), nil
	case kindInt:
		return json.Number(strconv.FormatInt(v.Int(), 10)), nil
	case kindUint:
		return json.Number(strconv.FormatUint(v.Uint(), 10)), nil
	case kindFloat:
		return formatFloat(v.Float(), v.Type().Bits())
	case kindString:
		return v.String(), nil
	case kindNumber:
		return encodeNumber(v.String())
	case kindTime:
		return formatTime(v.Interface().(time.Time))
	case kindDuration:
		return time.Duration(v.Int()).String(), nil
	case kindURL:
		return encodeURL(addressable(v).Interface().(*url.URL)), nil
	case kindBytes:
		return base64.StdEncoding.EncodeToString(v.Bytes()), nil
	case kindRaw:
		return encodeRaw(v.Bytes())
	case kindJSON:
		return encodeMarshaler(v)
	case kindText:
		return encodeText(v)
	case kindPointer:
		if v.IsNil() {
			return nil, nil
		}
		return c.elem.encode(v.Elem(), depth)
	case kindAny, kindInterface:
		if v.IsNil() {
			return nil, nil
		}
		return normalizeValue(v.Elem().Interface(), depth)
	case kindSlice, kindArray:
		return c.encodeList(v, depth)
	case kindMap:
		return c.encodeMap(v, depth)
	case kindStruct:
		return c.encodeStruct(v, depth, false)
	case kindSecret:
		return c.encodeSecret(v, depth)
	}
	return nil, &params.Error{Reason: c.reason}
}

func (c *codec) encodeList(v reflect.Value, depth int) (any, error) {
	list := make([]any, v.Len())
	for i := range list {
		item, err := c.elem.encode(v.Index(i), depth)
		if err != nil {
			return nil, under(indexStep(i), err)
		}
		list[i] = item
	}
	return list, nil
}

func (c *codec) encodeMap(v reflect.Value, depth int) (any, error) {
	m := make(map[string]any, v.Len())
	for iter := v.MapRange(); iter.Next(); {
		key, err := encodeKey(iter.Key())
		if err != nil {
			return nil, err
		}
		item, err := c.elem.encode(iter.Value(), depth)
		if err != nil {
			return nil, under(jsonschema.Join("", key), err)
		}
		m[key] = item
	}
	return m, nil
}

func (c *codec) encodeStruct(v reflect.Value, depth int, omitZero bool) (map[string]any, error) {
	m := make(map[string]any, len(c.fields))
	for i := range c.fields {
		f := &c.fields[i]
		fv, ok := f.get(v)
		if !ok || f.omitZero && f.codec.isZero(fv) || f.omitEmpty && isEmpty(fv) {
			continue
		}
		if pointer := f.codec.kind == kindPointer; omitZero && (pointer && fv.IsNil() || !pointer && f.codec.isZero(fv)) {
			continue
		}
		item, err := f.codec.encode(fv, depth)
		if err != nil && f.secret {
			err = redactedError(f.codec, err)
		}
		if err != nil {
			return nil, under(jsonschema.Join("", f.name), err)
		}
		if f.quoted && item != nil {
			item = fmt.Sprint(item)
		}
		m[f.name] = item
	}
	return m, nil
}

func encodeKey(key reflect.Value) (string, error) {
	switch {
	case key.Kind() == reflect.String:
		return key.String(), nil
	case key.CanInt():
		return strconv.FormatInt(key.Int(), 10), nil
	case key.CanUint():
		return strconv.FormatUint(key.Uint(), 10), nil
	}
	text, err := encodeText(key)
	if err != nil {
		return "", err
	}
	return text.(string), nil
}

// encodeURL also escapes the characters that URL.String leaves in queries although no URL may
// contain them.
func encodeURL(u *url.URL) string {
	s := u.String()
	var escaped []byte // nil until something is escaped
	for i, c := range []byte(s) {
		plain := c > ' ' && c < 0x7f && strings.IndexByte("<>\"{}|\\^`", c) < 0
		switch {
		case !plain && escaped == nil:
			escaped = append([]byte(s[:i]), fmt.Sprintf("%%%02X", c)...)
		case !plain:
			escaped = fmt.Appendf(escaped, "%%%02X", c)
		case escaped != nil:
			escaped = append(escaped, c)
		}
	}
	if escaped != nil {
		return string(escaped)
	}
	return s
}

func encodeNumber(literal string) (any, error) {
	if literal == "" { // the zero value of json.Number
		return json.Number("0"), nil
	}
	if !json.Valid([]byte(literal)) || strings.IndexByte("-0123456789", literal[0]) < 0 {
		return nil, &params.Error{Reason: fmt.Sprintf("%q is not a JSON number", literal)}
	}
	return json.Number(literal), nil
}

func encodeRaw(text []byte) (any, error) {
	if len(text) == 0 {
		return nil, nil
	}
	v, err := jsonschema.Parse(text, resultLimits)
	if err != nil {
		return nil, fromProblem(err)
	}
	return v, nil
}

// encodeMarshaler calls the value's own MarshalJSON, which may have a pointer receiver.
func encodeMarshaler(v reflect.Value) (any, error) {
	text, err := json.Marshal(addressable(v).Interface())
	if err != nil {
		return nil, &params.Error{Reason: err.Error()}
	}
	return encodeRaw(text)
}

func encodeText(v reflect.Value) (any, error) {
	m, ok := addressable(v).Interface().(encoding.TextMarshaler)
	if !ok {
		return nil, &params.Error{Reason: noMarshalText(v.Type())}
	}
	text, err := m.MarshalText()
	if err != nil {
		return nil, &params.Error{Reason: err.Error()}
	}
	return string(text), nil
}

// addressable returns a pointer to v, or to a copy of it.
func addressable(v reflect.Value) reflect.Value {
	if v.CanAddr() {
		return v.Addr()
	}
	ptr := reflect.New(v.Type())
	ptr.Elem().Set(v)
	return ptr
}

// isEmpty reports whether omitempty of encoding/json omits v.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}
