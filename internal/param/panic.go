package param

import (
	"encoding"
	"encoding/json"
	"fmt"
	"runtime/debug"
)

// ErrorText returns err.Error(). It survives an Error method that panics, as with a nil pointer
// returned as an error, which is a common mistake.
func ErrorText(err error) (text string) {
	defer func() {
		if v := recover(); v != nil {
			text = fmt.Sprintf("the flow returned a %T whose Error method panics: %v", err, v)
		}
	}()
	return err.Error()
}

// Recover, when deferred, turns a panic into an error. It guards calls to methods of users, such as
// MarshalJSON and UnmarshalText, outside the flow's function, where a panic would end the process.
func Recover(err *error) {
	if v := recover(); v != nil {
		*err = fmt.Errorf("panic: %v\n\n%s", v, debug.Stack())
	}
}

// MarshaledText returns the text of v, the text of its error if it cannot be marshaled, or "" if
// MarshalText panics.
func MarshaledText(v encoding.TextMarshaler) (text string) {
	defer func() {
		if recover() != nil { // then no handler writes it either
			text = ""
		}
	}()
	data, err := v.MarshalText()
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// jsonText returns v as JSON, or "" if it has no such form.
func jsonText(v any) (text string) {
	defer func() {
		if recover() != nil { // a MarshalJSON that panics: then no handler writes it either
			text = ""
		}
	}()
	data, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(data)
}
