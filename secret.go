package provost

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/provost-go/provost/internal/guard"
)

// Secret is a value that shows itself to nobody but its flow: fmt, log/slog, encoding/json and whatever else writes text print
// *** in its place. Reveal gives the value. The zero Secret holds the zero value of T.
//
// As a field of a flow's parameters it is written writeOnly in the schema. The tag secret:"true" does the same for a field of
// any other type, which its own code may then print, of course:
//
//	type SyncParams struct {
//		Token    provost.Secret[string] `json:"token"`
//		Password string                 `json:"password" secret:"true"`
//	}
//
// Stores keep the value in clear: it is hidden from people, not encrypted. A [Client] reads *** unless it comes from
// [Client.RevealSecrets]. In a run that has secrets, texts of at least 4 bytes that are the same as one of them become *** in
// the log, in the messages of its states and in the texts of its result. A secret in a result is not stored at all: reading it
// gives the zero value. docs/parameters.md has the details.
//
// Two Secrets are equal with == only if one is a copy of the other; compare what they reveal.
type Secret[T any] struct {
	// fmt prints what lies in unexported fields of other structs without asking its methods. It follows one pointer, never two.
	value **T
}

// mask stands for a secret.
const mask = "***"

// NewSecret hides a value.
func NewSecret[T any](value T) Secret[T] { return Secret[T]{new(&value)} }

// Reveal is the value. Take care where it goes from here.
func (s Secret[T]) Reveal() T {
	if s.value == nil {
		var zero T
		return zero
	}
	return **s.value
}

// IsZero says that the value is the zero value of its type, for omitzero.
func (s Secret[T]) IsZero() bool {
	return s.value == nil || reflect.ValueOf(*s.value).Elem().IsZero()
}

// String is ***.
func (Secret[T]) String() string { return mask }

// Format writes *** for every verb.
func (Secret[T]) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, mask) } // fmt.State does not fail

// LogValue is ***.
func (Secret[T]) LogValue() slog.Value { return slog.StringValue(mask) }

// MarshalText is ***.
func (Secret[T]) MarshalText() ([]byte, error) { return []byte(mask), nil }

// MarshalJSON is "***". Parameters go into a store by [Flow.Params] and the like, which write the value.
func (Secret[T]) MarshalJSON() ([]byte, error) { return []byte(`"` + mask + `"`), nil }

// UnmarshalJSON reads a value of T. The error does not repeat what it read.
func (s *Secret[T]) UnmarshalJSON(text []byte) error {
	value := new(T)
	switch err := json.Unmarshal(text, value); {
	case string(text) == `"`+mask+`"`:
		return errors.New("provost: *** stands for a secret and is not its value")
	case err != nil:
		return fmt.Errorf("provost: not a %T; what came is secret and not shown", *value)
	}
	s.value = &value
	return nil
}

// sealed is a *Secret of any type, to the codec.
type sealed interface {
	open() reflect.Value // of type T
	seal(value reflect.Value)
}

var (
	_ sealed = (*Secret[string])(nil)

	sealedType = reflect.TypeFor[sealed]()
	ownPackage = reflect.TypeFor[Run]().PkgPath()
)

func (s *Secret[T]) open() reflect.Value {
	if s.value == nil {
		return reflect.New(reflect.TypeFor[T]()).Elem()
	}
	return reflect.ValueOf(*s.value).Elem()
}

func (s *Secret[T]) seal(value reflect.Value) { s.value = new(value.Addr().Interface().(*T)) }

// isSealed says that t is a Secret, not a struct that embeds one.
func isSealed(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t.PkgPath() == ownPackage && reflect.PointerTo(t).Implements(sealedType)
}

// sealedElem is the T of a Secret.
func sealedElem(t reflect.Type) reflect.Type {
	return reflect.New(t).Interface().(sealed).open().Type()
}

// encodeSecret gives the value itself: whoever shows parameters masks them.
func (c *codec) encodeSecret(v reflect.Value, depth int) (any, error) {
	plain, err := c.elem.encode(addressable(v).Interface().(sealed).open(), depth)
	if err != nil {
		return nil, unshown(c, err)
	}
	return plain, nil
}

// decodeSecret takes the value of T. In parameters the mask is refused; in a result it is all that is left of a secret.
func (c *codec) decodeSecret(src any, dst reflect.Value, defaults bool) error {
	if src == any(mask) {
		return masked(defaults)
	}
	value := reflect.New(c.elem.typ).Elem()
	if err := c.elem.decode(src, value, defaults); err != nil {
		return unshown(c, err)
	}
	dst.Addr().Interface().(sealed).seal(value)
	return nil
}

// masked is what decoding the mask gives.
func masked(parameters bool) error {
	if !parameters {
		return nil
	}
	return errMasked
}

var errMasked = &ParamError{Reason: `"***" stands for a secret and is not its value; read the parameters with Client.RevealSecrets, or send the value`}

const notShown = "; what came is secret and not shown"

// unshown is the error of a secret that does not encode or decode, without what came.
func unshown(c *codec, err error) error {
	if err == error(errMasked) {
		return err
	}
	return &ParamError{Reason: "expected " + c.want() + notShown}
}

// sheltered is the error of decoding a field: where the field is secret, or has secrets inside and got something else than
// its form, without what came.
func (f *field) sheltered(src any, err error) error {
	switch src.(type) {
	case map[string]any, []any:
		if !f.secret {
			return err
		}
	default:
		if !f.secret && !f.codec.mayHide(false, map[*codec]bool{}) {
			return err
		}
	}
	return unshown(f.codec, err)
}

// secretSchema marks a schema as that of a secret.
func secretSchema(schema members, c *codec) members {
	if s := c.scalar(); s == shapeString || s == shapeText && !schema.has("format") {
		schema = schema.with("format", "password")
	}
	return schema.with("writeOnly", true)
}

func (m members) has(key string) bool {
	for i := range m {
		if m[i].key == key {
			return true
		}
	}
	return false
}

// secretTag reads the tag of a field and marks its schema.
func secretTag(f *field, schema members) (members, error) {
	switch text := f.tag.Get("secret"); {
	case f.secret: // also by the tag of the struct that is embedded
		return secretSchema(schema, f.codec), nil
	case text == "" || text == "false":
		return schema, nil
	default:
		return nil, &ParamError{Reason: fmt.Sprintf("secret %q: write true or false", text)}
	}
}

// hiding keeps what mayHide found out, by type and question.
var hiding sync.Map

type hidingKey struct {
	typ     reflect.Type
	dynamic bool
}

// mayHide says that values of a type may hold secrets: by their type and its tags alone or, dynamic, also by what an any in it
// turns out to hold.
func mayHide(t reflect.Type, dynamic bool) bool {
	key := hidingKey{t, dynamic}
	if known, ok := hiding.Load(key); ok {
		return known.(bool)
	}
	found := codecFor(t).mayHide(dynamic, map[*codec]bool{})
	hiding.Store(key, found)
	return found
}

func (c *codec) mayHide(dynamic bool, seen map[*codec]bool) bool {
	if seen[c] {
		return false
	}
	seen[c] = true
	switch c.shape {
	case shapeSecret:
		return true
	case shapeAny, shapeInterface:
		return dynamic
	}
	if c.elem != nil && c.elem.mayHide(dynamic, seen) {
		return true
	}
	for i := range c.fields {
		if c.fields[i].secret || c.fields[i].codec.mayHide(dynamic, seen) {
			return true
		}
	}
	return false
}

// masking is what takes the place of a secret that is shown.
func masking(any) any { return mask }

// hideSecrets puts what hide returns in the place of each secret in plain, which is the encoding of v and is changed.
func hideSecrets(v reflect.Value, plain any, hide func(plain any) any) any {
	if !v.IsValid() || plain == nil || !mayHide(v.Type(), true) {
		return plain
	}
	c := codecFor(v.Type())
	switch c.shape {
	case shapeSecret:
		return hide(plain)
	case shapePointer, shapeAny, shapeInterface:
		return hideSecrets(v.Elem(), plain, hide)
	case shapeSlice, shapeArray:
		list := plain.([]any)
		for i := range list {
			list[i] = hideSecrets(v.Index(i), list[i], hide)
		}
	case shapeMap:
		m := plain.(map[string]any)
		for iter := v.MapRange(); iter.Next(); {
			if key, err := encodeKey(iter.Key()); err == nil { // it has been encoded before
				m[key] = hideSecrets(iter.Value(), m[key], hide)
			}
		}
	case shapeStruct:
		c.hideFields(v, plain.(map[string]any), hide)
	}
	return plain
}

func (c *codec) hideFields(v reflect.Value, m map[string]any, hide func(any) any) {
	for i := range c.fields {
		f := &c.fields[i]
		item, ok := m[f.name]
		if !ok || item == nil {
			continue
		}
		if f.secret {
			m[f.name] = hide(item)
		} else if fv, ok := f.get(v); ok {
			m[f.name] = hideSecrets(fv, item, hide)
		}
	}
}

// refuseMask refuses parameters that send the mask back where a secret belongs.
func (v *validator) refuseMask(p Params) error {
	if !v.schema.Secret() || !hasMask(map[string]any(p)) {
		return nil
	}
	var refused *ParamError
	for key, item := range p {
		v.schema.Secrets(map[string]any{key: item}, func(path string, item any) any {
			if item == any(mask) && (refused == nil || path < refused.Path) {
				refused = &ParamError{Path: path, Reason: fmt.Sprintf(
					`you sent "***", which stands for a secret, back in its place; leave %s out to keep what is set, or send the value`, key)}
			}
			return nil
		})
	}
	if refused == nil {
		return nil
	}
	return refused
}

func hasMask(v any) bool {
	switch v := v.(type) {
	case string:
		return v == mask
	case []any:
		return slices.ContainsFunc(v, hasMask)
	case map[string]any:
		for _, item := range v {
			if hasMask(item) {
				return true
			}
		}
	}
	return false
}

// unshown is err without what came, where that is secret by the schema, be it none by the type that refuses it. An error about
// limits tells no value: only where it lies inside of a secret, its path and reason may tell a key.
func (v *validator) unshown(p Params, err error, limits bool) error {
	refused, ok := err.(*ParamError)
	if v == nil || !ok || !v.schema.Secret() {
		return err
	}
	if refused.Reason == errMasked.Reason || strings.HasSuffix(refused.Reason, notShown) {
		return err
	}
	path, ok := v.schema.SecretAround(map[string]any(p), refused.Path)
	if !ok || limits && path == refused.Path {
		return err
	}
	return &ParamError{Path: path, Reason: "cannot be read as what the flow takes" + notShown}
}

// refuseBare refuses a Secret where the schema does not say that there is one: it would be shown.
func (v *validator) refuseBare(given, plain Params) error {
	var bare map[string]bool
	findSealed(map[string]any(given), "", 0, func(path string) {
		if bare == nil {
			bare = map[string]bool{}
		}
		bare[path] = true
	})
	if bare == nil {
		return nil
	}
	v.schema.Secrets(map[string]any(plain), func(path string, _ any) any {
		maps.DeleteFunc(bare, func(place string, _ bool) bool {
			rest, within := strings.CutPrefix(place, path)
			return within && (rest == "" || rest[0] == '.' || rest[0] == '[')
		})
		return nil
	})
	for _, path := range slices.Sorted(maps.Keys(bare)) {
		return &ParamError{Path: path, Reason: `is given as a Secret where the flow has none, so it would be shown; make the field a Secret, or tag it secret:"true"`}
	}
	return nil
}

// findSealed looks for Secrets in maps and lists, as deep as parameters may be.
func findSealed(v any, path string, depth int, found func(path string)) {
	if depth > guard.MaxDepth || v == nil {
		return
	}
	switch v := v.(type) {
	case map[string]any:
		for key, item := range v {
			findSealed(item, guard.Join(path, key), depth+1, found)
		}
	case Params:
		findSealed(map[string]any(v), path, depth, found)
	case []any:
		for i, item := range v {
			findSealed(item, path+indexStep(i), depth+1, found)
		}
	case string, bool, json.Number:
	default:
		if t := reflect.TypeOf(v); isSealed(t) || t.Kind() == reflect.Pointer && isSealed(t.Elem()) {
			found(path)
		}
	}
}
