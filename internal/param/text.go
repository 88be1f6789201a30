package param

import (
	"encoding"
	"encoding/json"
	"fmt"
	"runtime/debug"
)

// errorText is err.Error(), of an error whose method may panic: a nil pointer returned as an error is a common mistake.
func ErrorText(err error) (text string) {
	defer func() {
		if v := recover(); v != nil {
			text = fmt.Sprintf("the flow returned a %T whose Error method panics: %v", err, v)
		}
	}()
	return err.Error()
}

// recovered turns a panic of a user's own MarshalJSON or UnmarshalText into an error: they are called outside of the flow's
// function, where a panic would end the process.
func Recover(err *error) {
	if v := recover(); v != nil {
		*err = fmt.Errorf("panic: %v\n\n%s", v, debug.Stack())
	}
}

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

// jsonText is v in JSON, "" if it has no such form.
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
