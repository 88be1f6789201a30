package wire

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"time"
)

// Append appends the encoding of v to b. It fails if v, or a value in it, is of an unsupported type
// or nested more than 200 deep.
func Append(b []byte, v any) ([]byte, error) {
	return appendValue(b, reflect.ValueOf(v), 0)
}

func appendValue(b []byte, v reflect.Value, depth int) ([]byte, error) {
	if depth > maxDepth {
		return b, errDeep
	}
	if !v.IsValid() {
		return b, errors.New("a nil without a type cannot be sent")
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
	case unsupported:
		return b, fmt.Errorf("type %s cannot be sent", v.Type())
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
	return b, fmt.Errorf("type %s cannot be sent", v.Type())
}

// appendSize appends the length of a value that may be nil. 0 means nil.
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

// appendAny appends a value of the types that JSON is decoded into. It refuses any other, so that a
// secret is not sent as its mask.
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
	return b, fmt.Errorf("a value of type %T cannot be sent; use what encoding/json decodes into, with json.Number for numbers", v)
}
