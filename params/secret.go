package params

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"

	"github.com/provost-go/provost/internal/sealed"
)

// Secret holds a value that only Reveal returns. Package fmt, log/slog, encoding/json and
// everything else that writes text write *** instead. The zero Secret holds the zero value of T.
//
// A field of this type is writeOnly in the schema of a flow's parameters. The tag secret:"true" has
// the same effect on a field of any other type, except that the flow's own code may print such a
// field:
//
//	type SyncParams struct {
//		Token    provost.Secret[string] `json:"token"`
//		Password string                 `json:"password" secret:"true"`
//	}
//
// Stores keep the value in clear text: it is hidden from people, not encrypted. A client reads ***
// unless it comes from Client.RevealSecrets. In a run that has secrets, every text of at least 4
// bytes that equals one of them becomes *** in the log, in the messages of its states and in the
// texts of its result. A secret in a result is not stored at all: reading it returns the zero
// value. See docs/parameters.md for details.
//
// Two Secrets are equal with == only if one is a copy of the other. Compare the revealed values
// instead.
type Secret[T any] struct {
	// fmt prints unexported fields of other structs without calling their methods. It follows one
	// pointer, but never two.
	value **T
}

// Mask is the text that is shown instead of a secret.
const Mask = "***"

// NewSecret returns a Secret that holds value.
func NewSecret[T any](value T) Secret[T] { return Secret[T]{new(&value)} }

// Reveal returns the value.
func (s Secret[T]) Reveal() T {
	if s.value == nil {
		var zero T
		return zero
	}
	return **s.value
}

// IsZero reports whether the value is the zero value of its type. The JSON option omitzero uses it.
func (s Secret[T]) IsZero() bool {
	return s.value == nil || reflect.ValueOf(*s.value).Elem().IsZero()
}

// String returns ***.
func (Secret[T]) String() string { return Mask }

// Format writes *** for every verb.
func (Secret[T]) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Mask) } // fmt.State does not fail

// LogValue returns ***.
func (Secret[T]) LogValue() slog.Value { return slog.StringValue(Mask) }

// MarshalText returns ***.
func (Secret[T]) MarshalText() ([]byte, error) { return []byte(Mask), nil }

// MarshalJSON returns "***". Flow.Params encodes the value itself, for the store.
func (Secret[T]) MarshalJSON() ([]byte, error) { return []byte(`"` + Mask + `"`), nil }

// UnmarshalJSON decodes a value of T. Its error does not contain the input.
func (s *Secret[T]) UnmarshalJSON(text []byte) error {
	value := new(T)
	switch err := json.Unmarshal(text, value); {
	case string(text) == `"`+Mask+`"`:
		return errors.New("provost: *** stands for a secret and is not its value")
	case err != nil:
		return fmt.Errorf("provost: not a valid %T; the given value is secret and not shown", *value)
	}
	s.value = &value
	return nil
}

// opener is implemented by *Secret[T] for every T.
type opener interface {
	open() reflect.Value
	seal(value reflect.Value)
}

var openerType = reflect.TypeFor[opener]()

func init() {
	own := reflect.TypeFor[Secret[string]]().PkgPath()
	sealed.Is = func(t reflect.Type) bool {
		return t.Kind() == reflect.Struct && t.PkgPath() == own && reflect.PointerTo(t).Implements(openerType)
	}
	sealed.Open = func(secret any) reflect.Value { return secret.(opener).open() }
	sealed.Seal = func(secret any, value reflect.Value) { secret.(opener).seal(value) }
}

func (s *Secret[T]) open() reflect.Value {
	if s.value == nil {
		return reflect.New(reflect.TypeFor[T]()).Elem()
	}
	return reflect.ValueOf(*s.value).Elem()
}

func (s *Secret[T]) seal(value reflect.Value) { s.value = new(value.Addr().Interface().(*T)) }
