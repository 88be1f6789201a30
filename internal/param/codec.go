package param

import (
	"bytes"
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

// decodeParams sets dst, a pointer to P, from parameters. Keys that are absent get the `default` of their field, at any
// depth, else the zero value; keys that P does not know are dropped. The error is a *ParamError.
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

// encodeParams turns a typed P into parameters. Top-level fields with their zero value are left out, so that lower layers
// show through; a pointer that is not nil sends its value even if that is zero. The error is a *ParamError.
func Encode(v any) (params.Params, error) {
	rv := reflect.ValueOf(v)
	if !rv.IsValid() {
		return nil, nil
	}
	c := codecFor(rv.Type())
	for c.kind == shapePointer {
		if rv.IsNil() {
			return nil, nil
		}
		rv, c = rv.Elem(), c.elem
	}
	var p params.Params
	switch c.kind {
	case shapeStruct:
		m, err := c.encodeStruct(rv, 1, true)
		if err != nil {
			return nil, err
		}
		p = m
	case shapeMap:
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

// encodeResult writes the result of a flow as JSON with the codec of parameters: durations as strings, times with their
// offset, nil slices as [] and nil maps as {}.
func EncodeResult(v any) (json.RawMessage, error) {
	plain, err := normalizeValue(v, 0)
	if err != nil {
		return nil, fmt.Errorf("encode result: %w", resultError(err))
	}
	plain = HideSecrets(reflect.ValueOf(v), plain, AsMask)
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(plain); err != nil {
		return nil, fmt.Errorf("encode result: %w", err)
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), nil
}

// resultLimits trust what this package has written, and guard the stack only.
var resultLimits = jsonschema.Limits{Depth: maxEncodeDepth}

// decodeResult sets dst, a pointer to R, from what encodeResult wrote. No result at all is the zero value. The `default`
// tags of R do not apply: a result says what it says.
func DecodeResult(data json.RawMessage, dst any) error {
	v := reflect.ValueOf(dst).Elem()
	v.SetZero()
	if len(data) == 0 {
		return nil
	}
	plain, err := jsonschema.Parse(data, resultLimits)
	if err != nil {
		return fmt.Errorf("decode result: %w", err)
	}
	if plain == nil {
		return nil
	}
	if err := codecFor(v.Type()).decode(plain, v, false); err != nil {
		return fmt.Errorf("decode result: %w", resultError(err))
	}
	return nil
}

// checkResultType says whether values of t can be encoded at all; nil stands for no result.
func CheckResult(t reflect.Type) error {
	if t == nil {
		return nil
	}
	if fault := codecFor(t).fault(false); fault != nil {
		return fmt.Errorf("result %v: %w", t, resultError(fault))
	}
	return nil
}

// resultError says "field x" where a ParamError would say "parameter x".
func resultError(err error) error {
	if p, ok := err.(*params.Error); ok {
		if p.Path == "" {
			return fmt.Errorf("%s", p.Reason)
		}
		return fmt.Errorf("%s: %s", p.Path, p.Reason)
	}
	return err
}

// maxEncodeDepth bounds how deep a Go value may go, which is how a value that contains itself is found.
const maxEncodeDepth = 1000

// encode turns a Go value of the codec's type into a plain value.
func (c *codec) encode(v reflect.Value, depth int) (any, error) {
	if depth++; depth > maxEncodeDepth {
		return nil, &params.Error{Reason: fmt.Sprintf("nested deeper than %d; does the value contain itself?", maxEncodeDepth)}
	}
	switch c.kind {
	case shapeBool:
		return v.Bool(), nil
	case shapeInt:
		return json.Number(strconv.FormatInt(v.Int(), 10)), nil
	case shapeUint:
		return json.Number(strconv.FormatUint(v.Uint(), 10)), nil
	case shapeFloat:
		return formatFloat(v.Float(), v.Type().Bits())
	case shapeString:
		return v.String(), nil
	case shapeNumber:
		return encodeNumber(v.String())
	case shapeTime:
		return formatTime(v.Interface().(time.Time))
	case shapeDuration:
		return time.Duration(v.Int()).String(), nil
	case shapeURL:
		return encodeURL(addressable(v).Interface().(*url.URL)), nil
	case shapeBytes:
		return base64.StdEncoding.EncodeToString(v.Bytes()), nil
	case shapeRaw:
		return encodeRaw(v.Bytes())
	case shapeJSON:
		return encodeMarshaler(v)
	case shapeText:
		return encodeText(v)
	case shapePointer:
		if v.IsNil() {
			return nil, nil
		}
		return c.elem.encode(v.Elem(), depth)
	case shapeAny, shapeInterface:
		if v.IsNil() {
			return nil, nil
		}
		return normalizeValue(v.Elem().Interface(), depth)
	case shapeSlice, shapeArray:
		return c.encodeList(v, depth)
	case shapeMap:
		return c.encodeMap(v, depth)
	case shapeStruct:
		return c.encodeStruct(v, depth, false)
	case shapeSecret:
		return c.encodeSecret(v, depth)
	}
	return nil, &params.Error{Reason: c.reason}
}

// encodeURL escapes what String leaves as it is in queries, though no URL has it.
func encodeURL(u *url.URL) string {
	s := u.String()
	var escaped []byte // nil: nothing is to be escaped
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
		return nil, fromGuard(err)
	}
	return v, nil
}

// encodeMarshaler leaves the value to its own MarshalJSON, which may have a pointer receiver.
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

// addressable is a pointer to v, or to a copy of it.
func addressable(v reflect.Value) reflect.Value {
	if v.CanAddr() {
		return v.Addr()
	}
	ptr := reflect.New(v.Type())
	ptr.Elem().Set(v)
	return ptr
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

func (c *codec) encodeStruct(v reflect.Value, depth int, omitZero bool) (map[string]any, error) {
	m := make(map[string]any, len(c.fields))
	for i := range c.fields {
		f := &c.fields[i]
		fv, ok := f.get(v)
		if !ok || f.omitZero && f.codec.isZero(fv) || f.omitEmpty && isEmpty(fv) {
			continue
		}
		if pointer := f.codec.kind == shapePointer; omitZero && (pointer && fv.IsNil() || !pointer && f.codec.isZero(fv)) {
			continue
		}
		item, err := f.codec.encode(fv, depth)
		if err != nil && f.secret {
			err = redacted(f.codec, err)
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

// isEmpty is what omitempty means in encoding/json.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}

// decode sets dst, which is zero, from a value. defaults says whether `default` tags fill what is absent.
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
	case shapeBool:
		if b, ok := src.(bool); ok {
			dst.SetBool(b)
			return nil
		}
	case shapeInt, shapeUint, shapeFloat, shapeNumber:
		if number, ok := src.(json.Number); ok {
			return c.decodeNumber(number, dst)
		}
	case shapeString:
		if s, ok := src.(string); ok {
			dst.SetString(s)
			return nil
		}
	case shapeTime, shapeDuration, shapeBytes, shapeText, shapeURL:
		return c.decodeText(src, dst)
	case shapePointer:
		ptr := reflect.New(c.typ.Elem())
		dst.Set(ptr)
		return c.elem.decode(src, ptr.Elem(), defaults)
	case shapeAny:
		plain, err := normalizeValue(src, 0)
		if err != nil {
			return err
		}
		dst.Set(reflect.ValueOf(plain))
		return nil
	case shapeRaw, shapeJSON:
		return c.decodeJSON(src, dst)
	case shapeSlice, shapeArray:
		if list, ok := src.([]any); ok {
			return c.decodeList(list, dst, defaults)
		}
	case shapeMap:
		if m, ok := src.(map[string]any); ok {
			return c.decodeMap(m, dst, defaults)
		}
	case shapeStruct:
		if m, ok := src.(map[string]any); ok {
			return c.decodeStruct(m, dst, defaults)
		}
	case shapeSecret:
		return c.decodeSecret(src, dst, defaults)
	default:
		return &params.Error{Reason: c.reason}
	}
	return c.mismatch(src)
}

func (c *codec) decodeNull(dst reflect.Value) error {
	switch c.kind {
	case shapePointer, shapeAny, shapeSlice, shapeMap, shapeInterface, shapeBytes:
		return nil
	case shapeRaw, shapeJSON:
		return c.decodeJSON(nil, dst)
	case shapeSecret:
		return c.decodeSecret(nil, dst, false)
	}
	return &params.Error{Reason: "expected " + c.want() + ", got null; leave it out, or make the field a pointer"}
}

func (c *codec) decodeNumber(number json.Number, dst reflect.Value) error {
	literal := string(number)
	var err error
	switch c.kind {
	case shapeInt:
		var n int64
		if n, err = jsonschema.ParseInt(literal); err == nil && !dst.OverflowInt(n) {
			dst.SetInt(n)
			return nil
		}
	case shapeUint:
		var n uint64
		if n, err = jsonschema.ParseUint(literal); err == nil && !dst.OverflowUint(n) {
			dst.SetUint(n)
			return nil
		}
	case shapeFloat:
		var f float64
		if f, err = strconv.ParseFloat(literal, c.typ.Bits()); err == nil {
			dst.SetFloat(f)
			return nil
		}
	case shapeNumber:
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
	if number, ok := src.(json.Number); ok && c.kind == shapeDuration {
		return c.decodeNanoseconds(number, dst)
	}
	s, ok := src.(string)
	if !ok {
		return c.mismatch(src)
	}
	var err error
	switch c.kind {
	case shapeTime:
		var t time.Time
		if t, err = jsonschema.ParseTime(s); err == nil {
			*dst.Addr().Interface().(*time.Time) = t
			return nil
		}
	case shapeDuration:
		var d time.Duration
		if d, err = time.ParseDuration(s); err == nil {
			dst.SetInt(int64(d))
			return nil
		}
	case shapeURL:
		var u *url.URL
		if u, err = url.Parse(s); err == nil {
			*dst.Addr().Interface().(*url.URL) = *u
			return nil
		}
	case shapeBytes:
		var b []byte
		if b, err = base64.StdEncoding.DecodeString(s); err == nil {
			dst.SetBytes(b)
			return nil
		}
	case shapeText:
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

// decodeJSON hands the value over as text: to json.RawMessage, or to a type's own UnmarshalJSON.
func (c *codec) decodeJSON(src any, dst reflect.Value) error {
	text, err := EncodeResult(src)
	if err != nil {
		return &params.Error{Reason: err.Error()}
	}
	if c.kind == shapeRaw {
		dst.SetBytes(text)
		return nil
	}
	if err := json.Unmarshal(text, dst.Addr().Interface()); err != nil {
		return &params.Error{Reason: fmt.Sprintf("is not a %v: %v", c.typ, err)}
	}
	return nil
}

func (c *codec) decodeList(list []any, dst reflect.Value, defaults bool) error {
	if c.kind == shapeSlice {
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
		return masked(defaults)
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

// unquote undoes the tag option ",string".
func unquote(c *codec, src any) (any, error) {
	s, ok := src.(string)
	if !ok {
		return src, nil
	}
	if c.scalar() == shapeBool {
		if s == "true" || s == "false" {
			return s == "true", nil
		}
	} else if jsonschema.CheckNumber(s) == "" {
		return json.Number(s), nil
	}
	return nil, &params.Error{Reason: fmt.Sprintf("expected %s in quotes, got %s", c.want(), quote(s))}
}

func (c *codec) mismatch(src any) error {
	if c.mayHide(false, map[*codec]bool{}) { // what came may be the secret, one level too high
		return redacted(c, nil)
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

func quote(s string) string {
	if len(s) > 60 {
		s = strings.ToValidUTF8(s[:60], "") + "..."
	}
	return strconv.Quote(s)
}

func indexStep(i int) string { return "[" + strconv.Itoa(i) + "]" }

func fromGuard(err error) error {
	if problem, ok := err.(*jsonschema.Problem); ok {
		return &params.Error{Path: problem.Path, Reason: problem.Reason}
	}
	return &params.Error{Reason: err.Error()}
}
