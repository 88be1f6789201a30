package param

import (
	"bytes"
	"encoding/json"
)

// members is a JSON object that keeps the order of its keys.
type members []member

type member struct {
	key   string
	value any
}

func (m members) MarshalJSON() ([]byte, error) {
	var text bytes.Buffer
	text.WriteByte('{')
	for i, each := range m {
		if i > 0 {
			text.WriteByte(',')
		}
		key, _ := marshal(each.key)
		value, err := marshal(each.value)
		if err != nil {
			return nil, err
		}
		text.Write(key)
		text.WriteByte(':')
		text.Write(value)
	}
	text.WriteByte('}')
	return text.Bytes(), nil
}

func (m members) get(key string) any {
	for _, each := range m {
		if each.key == key {
			return each.value
		}
	}
	return nil
}

func (m members) has(key string) bool {
	for i := range m {
		if m[i].key == key {
			return true
		}
	}
	return false
}

// with returns m with a keyword replaced or added. It may change m.
func (m members) with(key string, value any) members {
	for i := range m {
		if m[i].key == key {
			m[i].value = value
			return m
		}
	}
	return append(m, member{key, value})
}

// marshal is json.Marshal without the escaping of <, > and &.
func marshal(v any) ([]byte, error) {
	if m, ok := v.(members); ok {
		return m.MarshalJSON() // json.Marshal would escape its result
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), nil
}
