package param

import (
	"encoding"
	"encoding/json"
	"net/url"
	"reflect"
	"slices"
	"time"

	"github.com/provost-go/provost/internal/sealed"
)

// kind is the form that a Go type has in JSON.
type kind uint8

const (
	kindNone kind = iota // no form: channels, functions, complex numbers
	kindBool
	kindInt
	kindUint
	kindFloat
	kindString
	kindNumber    // json.Number
	kindTime      // time.Time, as text
	kindDuration  // time.Duration, as text
	kindBytes     // []byte, as base64 text
	kindRaw       // json.RawMessage, any JSON
	kindJSON      // a type with MarshalJSON or UnmarshalJSON, any JSON
	kindText      // a type with MarshalText or UnmarshalText, as text
	kindURL       // url.URL, as text
	kindAny       // any
	kindInterface // another interface: can be encoded, not decoded
	kindPointer
	kindSlice
	kindArray
	kindMap
	kindStruct
	kindSecret // params.Secret, as the value in it
)

var (
	timeType      = reflect.TypeFor[time.Time]()
	durationType  = reflect.TypeFor[time.Duration]()
	numberType    = reflect.TypeFor[json.Number]()
	urlType       = reflect.TypeFor[url.URL]()
	rawType       = reflect.TypeFor[json.RawMessage]()
	zeroerType    = reflect.TypeFor[interface{ IsZero() bool }]()
	jsonTypes     = []reflect.Type{reflect.TypeFor[json.Marshaler](), reflect.TypeFor[json.Unmarshaler]()}
	textTypes     = []reflect.Type{reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[encoding.TextUnmarshaler]()}
	marshalType   = textTypes[0]
	unmarshalType = textTypes[1]
)

func kindOf(t reflect.Type) kind {
	switch t {
	case timeType:
		return kindTime
	case durationType:
		return kindDuration
	case numberType:
		return kindNumber
	case rawType:
		return kindRaw
	case urlType:
		return kindURL
	}
	kind := t.Kind()
	switch {
	case kind == reflect.Pointer:
		return kindPointer
	case kind == reflect.Interface && t.NumMethod() == 0:
		return kindAny
	case kind == reflect.Interface:
		return kindInterface
	case sealed.Is(t):
		return kindSecret
	case implementsAny(t, jsonTypes):
		return kindJSON
	case implementsAny(t, textTypes):
		return kindText
	}
	switch kind {
	case reflect.Bool:
		return kindBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return kindInt
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return kindUint
	case reflect.Float32, reflect.Float64:
		return kindFloat
	case reflect.String:
		return kindString
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 && kindOf(t.Elem()) == kindUint {
			return kindBytes
		}
		return kindSlice
	case reflect.Array:
		return kindArray
	case reflect.Map:
		return kindMap
	case reflect.Struct:
		return kindStruct
	}
	return kindNone
}

func implementsAny(t reflect.Type, interfaces []reflect.Type) bool {
	return slices.ContainsFunc(interfaces, reflect.PointerTo(t).Implements)
}

func keyFits(t reflect.Type) bool {
	switch kindOf(t) {
	case kindString, kindNumber, kindInt, kindUint:
		return true
	}
	return reflect.PointerTo(t).Implements(marshalType)
}
