package param

import (
	"reflect"
	"sync"

	"github.com/provost-go/provost/internal/sealed"
	"github.com/provost-go/provost/params"
)

// sealedElem returns the T of a Secret[T].
func sealedElem(t reflect.Type) reflect.Type {
	return sealed.Open(reflect.New(t).Interface()).Type()
}

// encodeSecret encodes the value itself: masking is left to the code that shows parameters.
func (c *codec) encodeSecret(v reflect.Value, depth int) (any, error) {
	plain, err := c.elem.encode(sealed.Open(addressable(v).Interface()), depth)
	if err != nil {
		return nil, redactedError(c, err)
	}
	return plain, nil
}

// decodeSecret decodes the value of T. The mask is refused in parameters. In a result the mask is
// all that is left of a secret, and decodes to the zero value.
func (c *codec) decodeSecret(src any, dst reflect.Value, defaults bool) error {
	if src == any(params.Mask) {
		return decodeMask(defaults)
	}
	value := reflect.New(c.elem.typ).Elem()
	if err := c.elem.decode(src, value, defaults); err != nil {
		return redactedError(c, err)
	}
	sealed.Seal(dst.Addr().Interface(), value)
	return nil
}

// decodeMask is the result of decoding the mask.
func decodeMask(parameters bool) error {
	if !parameters {
		return nil
	}
	return errMask
}

var errMask = &params.Error{Reason: `"***" stands for a secret and is not its value; read the parameters with Client.RevealSecrets, or send the value`}

const notShown = "; the given value is secret and not shown"

// redactedError returns the error of encoding or decoding a secret, without the value.
func redactedError(c *codec, err error) error {
	if err == error(errMask) {
		return err
	}
	return &params.Error{Reason: "expected " + c.want() + notShown}
}

// redactedFieldError returns the error of decoding a field. It omits the value if the field is
// secret, or if the field has secrets inside and was given something other than an object or list.
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
	return redactedError(f.codec, err)
}

// mayHideResults caches the results of MayHide.
var mayHideResults sync.Map

type mayHideKey struct {
	typ     reflect.Type
	dynamic bool
}

// MayHide reports whether values of a type may hold secrets. If dynamic is false, it looks only at
// the type and its tags. If dynamic is true, it also allows for what an interface may hold.
func MayHide(t reflect.Type, dynamic bool) bool {
	key := mayHideKey{t, dynamic}
	if known, ok := mayHideResults.Load(key); ok {
		return known.(bool)
	}
	found := codecFor(t).mayHide(dynamic, map[*codec]bool{})
	mayHideResults.Store(key, found)
	return found
}

func (c *codec) mayHide(dynamic bool, seen map[*codec]bool) bool {
	if seen[c] {
		return false
	}
	seen[c] = true
	switch c.kind {
	case kindSecret:
		return true
	case kindAny, kindInterface:
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

// AsMask returns the mask, whatever the secret.
func AsMask(any) any { return params.Mask }

// HideSecrets replaces each secret in plain by what hide returns, and returns the result. The value
// plain must be the encoding of v, and is changed.
func HideSecrets(v reflect.Value, plain any, hide func(plain any) any) any {
	if !v.IsValid() || plain == nil || !MayHide(v.Type(), true) {
		return plain
	}
	c := codecFor(v.Type())
	switch c.kind {
	case kindSecret:
		return hide(plain)
	case kindPointer, kindAny, kindInterface:
		return HideSecrets(v.Elem(), plain, hide)
	case kindSlice, kindArray:
		list := plain.([]any)
		for i := range list {
			list[i] = HideSecrets(v.Index(i), list[i], hide)
		}
	case kindMap:
		m := plain.(map[string]any)
		for iter := v.MapRange(); iter.Next(); {
			if key, err := encodeKey(iter.Key()); err == nil { // it has been encoded before
				m[key] = HideSecrets(iter.Value(), m[key], hide)
			}
		}
	case kindStruct:
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
