package provost

import (
	"encoding/json"
	"reflect"
)

func decodeParams(p Params, dst any) error {
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, dst)
}

func encodeParams(v any) (Params, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var p Params
	return p, json.Unmarshal(data, &p)
}

func encodeResult(v any) (json.RawMessage, error)      { return json.Marshal(v) }
func decodeResult(data json.RawMessage, dst any) error { return json.Unmarshal(data, dst) }
func checkResultType(t reflect.Type) error             { return nil }
