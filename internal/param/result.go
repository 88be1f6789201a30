package param

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/provost-go/provost/internal/jsonschema"
	"github.com/provost-go/provost/params"
)

// EncodeResult encodes the result of a flow as JSON, with the codec of parameters: durations are
// strings, times keep their offset, nil slices are [] and nil maps are {}. Secrets are masked.
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

// resultLimits trust text that this package has written, and bound only the stack.
var resultLimits = jsonschema.Limits{Depth: maxEncodeDepth}

// DecodeResult sets dst, a pointer to an R, from what [EncodeResult] wrote. Without data it sets
// the zero value. The default tags of R do not apply.
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

// CheckResult returns an error if values of t cannot be encoded. A nil type stands for no result.
func CheckResult(t reflect.Type) error {
	if t == nil {
		return nil
	}
	if fault := codecFor(t).fault(false); fault != nil {
		return fmt.Errorf("result %v: %w", t, resultError(fault))
	}
	return nil
}

// resultError words a [*params.Error] without the prefix "parameter".
func resultError(err error) error {
	if p, ok := err.(*params.Error); ok {
		if p.Path == "" {
			return fmt.Errorf("%s", p.Reason)
		}
		return fmt.Errorf("%s: %s", p.Path, p.Reason)
	}
	return err
}
