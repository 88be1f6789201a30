// Package wire encodes Go values as bytes and decodes them exactly: nil stays nil and empty stays
// empty, strings and raw JSON keep every byte, numbers every digit, times their offset. Struct
// fields are encoded by position, so both ends must be the same build.
//
// It supports the types that parameters and results of stores consist of. A value of any other type
// is an error.
package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"
)

// maxDepth is how deep values may be nested, so that neither end runs out of stack.
const maxDepth = 200

// Tags before a value that an interface holds.
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
	errShort = errors.New("the message is cut short")
	errDeep  = fmt.Errorf("the value is nested more than %d deep", maxDepth)
)

// form is how a type is encoded, where its kind does not decide that.
type form uint8

const (
	plainForm   form = iota // as its kind
	timeForm                // time.Time
	bytesForm               // slices of bytes
	jsonForm                // structs that encode themselves as JSON
	unsupported             // not at all
)

var (
	timeType = reflect.TypeFor[time.Time]()
	forms    sync.Map // of structs, by reflect.Type: looking up methods is slow
)

func formOf(t reflect.Type) form {
	switch t.Kind() {
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return bytesForm
		}
	case reflect.Map:
		if t.Key().Kind() != reflect.String {
			return unsupported
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
			return unsupported
		}
	}
	return plainForm
}
