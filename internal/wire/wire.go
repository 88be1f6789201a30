// Package wire writes Go values as bytes and reads them back exactly: nil stays nil and empty stays empty, texts and raw JSON keep
// every byte, numbers every digit, times their offset. Struct fields go by position, so both ends have to be the same build.
//
// It knows what parameters and results of stores are made of. A value of any other type is an error, never a guess.
package wire

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"sync"
	"time"
)

// maxDepth bounds how deep values may be nested, so that neither end runs out of stack.
const maxDepth = 200

// What stands before a value that an interface holds.
const (
	tagNil byte = iota
	tagFalse
	tagTrue
	tagString
	tagNumber
	tagList
	tagMap
)

var (
	errShort = errors.New("the message ends too early")
	errDeep  = fmt.Errorf("the value is nested more than %d deep", maxDepth)
)

// How a type is written, beyond its kind.
type form uint8

const (
	plainForm form = iota
	timeForm
	bytesForm // slices of bytes
	jsonForm  // structs that write themselves as JSON
	brokenForm
)

var (
	timeType = reflect.TypeFor[time.Time]()
	forms    sync.Map // of structs, by reflect.Type: looking for methods is slow
)

func formOf(t reflect.Type) form {
	switch t.Kind() {
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return bytesForm
		}
	case reflect.Map:
		if t.Key().Kind() != reflect.String {
			return brokenForm
		}
	case reflect.Struct:
		if known, ok := forms.Load(t); ok {
			return known.(form)
		}
		f := structForm(t)
		forms.Store(t, f)
		return f
	}
	return plainForm
}

func structForm(t reflect.Type) form {
	switch {
	case t == timeType:
		return timeForm
	case t.Implements(reflect.TypeFor[json.Marshaler]()) && reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()):
		return jsonForm
	}
	for i := range t.NumField() {
		if !t.Field(i).IsExported() {
			return brokenForm
		}
	}
	return plainForm
}

// Append writes v behind what b holds.
func Append(b []byte, v any) ([]byte, error) {
	return appendValue(b, reflect.ValueOf(v), 0)
}

func appendValue(b []byte, v reflect.Value, depth int) ([]byte, error) {
	if depth > maxDepth {
		return b, errDeep
	}
	if !v.IsValid() {
		return b, errors.New("a bare nil has no form on the wire")
	}
	switch formOf(v.Type()) {
	case timeForm:
		text, err := v.Interface().(time.Time).MarshalBinary()
		return appendBytes(b, text), err
	case jsonForm:
		text, err := v.Interface().(json.Marshaler).MarshalJSON()
		return appendBytes(b, text), err
	case bytesForm:
		if v.IsNil() {
			return append(b, 0), nil
		}
		return append(appendSize(b, v.Len()), v.Bytes()...), nil
	case brokenForm:
		return b, fmt.Errorf("type %s has no form on the wire", v.Type())
	}
	switch v.Kind() {
	case reflect.Bool:
		if v.Bool() {
			return append(b, 1), nil
		}
		return append(b, 0), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return binary.AppendVarint(b, v.Int()), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return binary.AppendUvarint(b, v.Uint()), nil
	case reflect.Float64, reflect.Float32:
		return binary.BigEndian.AppendUint64(b, math.Float64bits(v.Float())), nil
	case reflect.String:
		return appendString(b, v.String()), nil
	case reflect.Array:
		return appendItems(b, v, depth)
	case reflect.Slice:
		if v.IsNil() {
			return append(b, 0), nil
		}
		return appendItems(appendSize(b, v.Len()), v, depth)
	case reflect.Map:
		return appendMap(b, v, depth)
	case reflect.Pointer:
		if v.IsNil() {
			return append(b, 0), nil
		}
		return appendValue(append(b, 1), v.Elem(), depth+1)
	case reflect.Struct:
		return appendFields(b, v, depth)
	case reflect.Interface:
		if v.NumMethod() == 0 {
			return appendAny(b, v.Interface(), depth)
		}
	}
	return b, fmt.Errorf("type %s has no form on the wire", v.Type())
}

// appendSize writes the length of what may be nil, which is 0.
func appendSize(b []byte, n int) []byte { return binary.AppendUvarint(b, uint64(n)+1) }

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendBytes(b, text []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

func appendItems(b []byte, v reflect.Value, depth int) (_ []byte, err error) {
	for i := range v.Len() {
		if b, err = appendValue(b, v.Index(i), depth+1); err != nil {
			return b, err
		}
	}
	return b, nil
}

func appendMap(b []byte, v reflect.Value, depth int) (_ []byte, err error) {
	if v.IsNil() {
		return append(b, 0), nil
	}
	b = appendSize(b, v.Len())
	for entries := v.MapRange(); entries.Next(); {
		if b, err = appendValue(b, entries.Key(), depth+1); err != nil {
			return b, err
		}
		if b, err = appendValue(b, entries.Value(), depth+1); err != nil {
			return b, err
		}
	}
	return b, nil
}

func appendFields(b []byte, v reflect.Value, depth int) (_ []byte, err error) {
	for i := range v.NumField() {
		if b, err = appendValue(b, v.Field(i), depth+1); err != nil {
			return b, fmt.Errorf("%s: %w", v.Type().Field(i).Name, err)
		}
	}
	return b, nil
}

// appendAny writes what JSON is read into, and nothing else: a secret must not go as its mask.
func appendAny(b []byte, v any, depth int) (_ []byte, err error) {
	if depth > maxDepth {
		return b, errDeep
	}
	switch v := v.(type) {
	case nil:
		return append(b, tagNil), nil
	case bool:
		if v {
			return append(b, tagTrue), nil
		}
		return append(b, tagFalse), nil
	case string:
		return appendString(append(b, tagString), v), nil
	case json.Number:
		return appendString(append(b, tagNumber), string(v)), nil
	case []any:
		b = append(b, tagList)
		if v == nil {
			return append(b, 0), nil
		}
		b = appendSize(b, len(v))
		for _, item := range v {
			if b, err = appendAny(b, item, depth+1); err != nil {
				return b, err
			}
		}
		return b, nil
	case map[string]any:
		b = append(b, tagMap)
		if v == nil {
			return append(b, 0), nil
		}
		b = appendSize(b, len(v))
		for key, item := range v {
			if b, err = appendAny(appendString(b, key), item, depth+1); err != nil {
				return b, fmt.Errorf("%s: %w", key, err)
			}
		}
		return b, nil
	}
	return b, fmt.Errorf("a value of type %T has no form on the wire; only what JSON is read into, with json.Number, has", v)
}

// Read reads what Append wrote of a value of the type that to points to. It takes all of b. Bytes that are something else are an
// error, whatever they are; what to points to is not to be used then.
func Read(b []byte, to any) error {
	r := &reader{b: b}
	r.value(reflect.ValueOf(to).Elem(), 0)
	if r.err == nil && len(r.b) > 0 {
		r.err = fmt.Errorf("%d bytes too many", len(r.b))
	}
	return r.err
}

// reader reads until the first error, and zeros from then on.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.b = nil
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail(errShort)
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) flag() bool {
	c := r.byte()
	if c > 1 {
		r.fail(fmt.Errorf("%d is neither true nor false", c))
	}
	return c == 1
}

func (r *reader) uint() uint64 {
	u, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail(errShort)
		return 0
	}
	r.b = r.b[n:]
	return u
}

func (r *reader) int() int64 {
	i, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail(errShort)
		return 0
	}
	r.b = r.b[n:]
	return i
}

// take gives the next n bytes, which are those of the message itself.
func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail(errShort)
		return nil
	}
	part := r.b[:n]
	r.b = r.b[n:]
	return part
}

func (r *reader) bytes() []byte { return r.take(r.uint()) }

// size is the length of what may be nil. Every item takes a byte or more, so that a length alone makes nothing grow.
func (r *reader) size() (n int, isNil bool) {
	u := r.uint()
	if u == 0 {
		return 0, true
	}
	if u-1 > uint64(len(r.b)) {
		r.fail(errShort)
		return 0, true
	}
	return int(u - 1), false
}

func (r *reader) value(v reflect.Value, depth int) {
	if r.err != nil {
		return
	}
	if depth > maxDepth {
		r.fail(errDeep)
		return
	}
	switch formOf(v.Type()) {
	case timeForm:
		if err := v.Addr().Interface().(*time.Time).UnmarshalBinary(r.bytes()); err != nil {
			r.fail(err)
		}
		return
	case jsonForm:
		if err := v.Addr().Interface().(json.Unmarshaler).UnmarshalJSON(r.bytes()); err != nil {
			r.fail(err)
		}
		return
	case bytesForm:
		if n, isNil := r.size(); !isNil {
			v.SetBytes(append(make([]byte, 0, n), r.take(uint64(n))...))
		}
		return
	case brokenForm:
		r.fail(fmt.Errorf("type %s has no form on the wire", v.Type()))
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(r.flag())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		i := r.int()
		if v.OverflowInt(i) {
			r.fail(fmt.Errorf("%d is too large for %s", i, v.Type()))
			return
		}
		v.SetInt(i)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		u := r.uint()
		if v.OverflowUint(u) {
			r.fail(fmt.Errorf("%d is too large for %s", u, v.Type()))
			return
		}
		v.SetUint(u)
	case reflect.Float64, reflect.Float32:
		if part := r.take(8); r.err == nil {
			v.SetFloat(math.Float64frombits(binary.BigEndian.Uint64(part)))
		}
	case reflect.String:
		v.SetString(string(r.bytes()))
	case reflect.Array:
		for i := range v.Len() {
			r.value(v.Index(i), depth+1)
		}
	case reflect.Slice:
		r.slice(v, depth)
	case reflect.Map:
		r.mapping(v, depth)
	case reflect.Pointer:
		if r.flag() {
			v.Set(reflect.New(v.Type().Elem()))
			r.value(v.Elem(), depth+1)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			r.value(v.Field(i), depth+1)
		}
	default:
		if v.Kind() == reflect.Interface && v.NumMethod() == 0 {
			if item := r.any(depth); item != nil {
				v.Set(reflect.ValueOf(item))
			}
			return
		}
		r.fail(fmt.Errorf("type %s has no form on the wire", v.Type()))
	}
}

// firstItems is how many items get room before they are read.
const firstItems = 1000

func (r *reader) slice(v reflect.Value, depth int) {
	n, isNil := r.size()
	if isNil {
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), 0, min(n, firstItems)))
	for i := 0; i < n && r.err == nil; i++ {
		if i == v.Cap() {
			v.Grow(i)
		}
		v.SetLen(i + 1)
		r.value(v.Index(i), depth+1)
	}
}

func (r *reader) mapping(v reflect.Value, depth int) {
	n, isNil := r.size()
	if isNil {
		return
	}
	m := reflect.MakeMapWithSize(v.Type(), min(n, firstItems))
	for i := 0; i < n && r.err == nil; i++ {
		key, item := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		r.value(key, depth+1)
		r.value(item, depth+1)
		m.SetMapIndex(key, item)
	}
	v.Set(m)
}

func (r *reader) any(depth int) any {
	if depth > maxDepth {
		r.fail(errDeep)
		return nil
	}
	switch tag := r.byte(); tag {
	case tagNil:
	case tagFalse:
		return false
	case tagTrue:
		return true
	case tagString:
		return string(r.bytes())
	case tagNumber:
		return json.Number(r.bytes())
	case tagList:
		n, isNil := r.size()
		if isNil {
			return []any(nil)
		}
		items := make([]any, 0, min(n, firstItems))
		for i := 0; i < n && r.err == nil; i++ {
			items = append(items, r.any(depth+1))
		}
		return items
	case tagMap:
		n, isNil := r.size()
		if isNil {
			return map[string]any(nil)
		}
		m := make(map[string]any, min(n, firstItems))
		for i := 0; i < n && r.err == nil; i++ {
			key := string(r.bytes())
			m[key] = r.any(depth + 1)
		}
		return m
	default:
		r.fail(fmt.Errorf("%d stands for no type", tag))
	}
	return nil
}
