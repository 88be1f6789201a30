package wire

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"time"
)

// Read decodes b into the value that to points to; b must be the encoding of one value of its type,
// as Append returned it. Any other bytes are an error, and never a panic. After an error the value
// must not be used.
func Read(b []byte, to any) error {
	r := &reader{b: b}
	r.value(reflect.ValueOf(to).Elem(), 0)
	if r.err == nil && len(r.b) > 0 {
		r.err = fmt.Errorf("the message has %d bytes too many", len(r.b))
	}
	return r.err
}

// reader decodes until the first error. After that it returns zeros.
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
		r.fail(fmt.Errorf("%d is neither 0 nor 1", c))
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

// take returns the next n bytes. They share the memory of the message.
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

// size reads the length of a value that may be nil. Every item takes at least a byte, so a length
// above the rest of the message is refused, and allocates nothing.
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
	case unsupported:
		r.fail(fmt.Errorf("type %s cannot be sent", v.Type()))
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
		r.fail(fmt.Errorf("type %s cannot be sent", v.Type()))
	}
}

// firstItems is for how many items memory is allocated before they are read.
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
		r.fail(fmt.Errorf("%d is not a tag of a type", tag))
	}
	return nil
}
