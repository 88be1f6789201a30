package param

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/provost-go/provost/internal/jsonschema"
	"github.com/provost-go/provost/internal/sealed"
	"github.com/provost-go/provost/params"
)

// sealedElem is the T of a Secret.
func sealedElem(t reflect.Type) reflect.Type {
	return sealed.Open(reflect.New(t).Interface()).Type()
}

// encodeSecret gives the value itself: whoever shows parameters masks them.
func (c *codec) encodeSecret(v reflect.Value, depth int) (any, error) {
	plain, err := c.elem.encode(sealed.Open(addressable(v).Interface()), depth)
	if err != nil {
		return nil, redacted(c, err)
	}
	return plain, nil
}

// decodeSecret takes the value of T. In parameters the mask is refused; in a result it is all that is left of a secret.
func (c *codec) decodeSecret(src any, dst reflect.Value, defaults bool) error {
	if src == any(params.Mask) {
		return masked(defaults)
	}
	value := reflect.New(c.elem.typ).Elem()
	if err := c.elem.decode(src, value, defaults); err != nil {
		return redacted(c, err)
	}
	sealed.Seal(dst.Addr().Interface(), value)
	return nil
}

// masked is what decoding the mask gives.
func masked(parameters bool) error {
	if !parameters {
		return nil
	}
	return errMasked
}

var errMasked = &params.Error{Reason: `"***" stands for a secret and is not its value; read the parameters with Client.RevealSecrets, or send the value`}

const notShown = "; the given value is secret and not shown"

// unshown is the error of a secret that does not encode or decode, without what came.
func redacted(c *codec, err error) error {
	if err == error(errMasked) {
		return err
	}
	return &params.Error{Reason: "expected " + c.want() + notShown}
}

// sheltered is the error of decoding a field: where the field is secret, or has secrets inside and got something else than
// its form, without what came.
func (f *field) redactedFieldError(src any, err error) error {
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
	return redacted(f.codec, err)
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
		return nil, &params.Error{Reason: fmt.Sprintf("secret %q: write true or false", text)}
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
func MayHide(t reflect.Type, dynamic bool) bool {
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
	switch c.kind {
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
func AsMask(any) any { return params.Mask }

// hideSecrets puts what hide returns in the place of each secret in plain, which is the encoding of v and is changed.
func HideSecrets(v reflect.Value, plain any, hide func(plain any) any) any {
	if !v.IsValid() || plain == nil || !MayHide(v.Type(), true) {
		return plain
	}
	c := codecFor(v.Type())
	switch c.kind {
	case shapeSecret:
		return hide(plain)
	case shapePointer, shapeAny, shapeInterface:
		return HideSecrets(v.Elem(), plain, hide)
	case shapeSlice, shapeArray:
		list := plain.([]any)
		for i := range list {
			list[i] = HideSecrets(v.Index(i), list[i], hide)
		}
	case shapeMap:
		m := plain.(map[string]any)
		for iter := v.MapRange(); iter.Next(); {
			if key, err := encodeKey(iter.Key()); err == nil { // it has been encoded before
				m[key] = HideSecrets(iter.Value(), m[key], hide)
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
			m[f.name] = HideSecrets(fv, item, hide)
		}
	}
}

// refuseMask refuses parameters that send the mask back where a secret belongs.
func (v *Schema) refuseMask(p params.Params) error {
	if !v.Schema.HasSecrets() || !hasMask(map[string]any(p)) {
		return nil
	}
	var refused *params.Error
	for key, item := range p {
		v.Schema.ReplaceSecrets(map[string]any{key: item}, func(path string, item any) any {
			if item == any(params.Mask) && (refused == nil || path < refused.Path) {
				refused = &params.Error{Path: path, Reason: fmt.Sprintf(
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
		return v == params.Mask
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
func (v *Schema) RedactedError(p params.Params, err error, limits bool) error {
	refused, ok := err.(*params.Error)
	if v == nil || !ok || !v.Schema.HasSecrets() {
		return err
	}
	if refused.Reason == errMasked.Reason || strings.HasSuffix(refused.Reason, notShown) {
		return err
	}
	path, ok := v.Schema.SecretAround(map[string]any(p), refused.Path)
	if !ok || limits && path == refused.Path {
		return err
	}
	return &params.Error{Path: path, Reason: "cannot be decoded into the type that the flow takes" + notShown}
}

// refuseBare refuses a Secret where the schema does not say that there is one: it would be shown.
func (v *Schema) refuseBare(given, plain params.Params) error {
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
	v.Schema.ReplaceSecrets(map[string]any(plain), func(path string, _ any) any {
		maps.DeleteFunc(bare, func(place string, _ bool) bool {
			rest, within := strings.CutPrefix(place, path)
			return within && (rest == "" || rest[0] == '.' || rest[0] == '[')
		})
		return nil
	})
	for _, path := range slices.Sorted(maps.Keys(bare)) {
		return &params.Error{Path: path, Reason: `is given as a Secret, but the flow does not declare one and would expose it; make the field a Secret, or tag it secret:"true"`}
	}
	return nil
}

// findSealed looks for Secrets in maps and lists, as deep as parameters may be.
func findSealed(v any, path string, depth int, found func(path string)) {
	if depth > jsonschema.MaxDepth || v == nil {
		return
	}
	switch v := v.(type) {
	case map[string]any:
		for key, item := range v {
			findSealed(item, jsonschema.Join(path, key), depth+1, found)
		}
	case params.Params:
		findSealed(map[string]any(v), path, depth, found)
	case []any:
		for i, item := range v {
			findSealed(item, path+indexStep(i), depth+1, found)
		}
	case string, bool, json.Number:
	default:
		if t := reflect.TypeOf(v); sealed.Is(t) || t.Kind() == reflect.Pointer && sealed.Is(t.Elem()) {
			found(path)
		}
	}
}
