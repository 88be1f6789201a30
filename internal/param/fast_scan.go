package param

import (
	"reflect"

	"github.com/provost-go/provost/internal/jsonschema"
	"github.com/provost-go/provost/params"
)

// DecodeJSON sets dst, a pointer to a P, from JSON text that is held to P's schema. The error is a
// [*params.Error], or several joined.
func DecodeJSON(text []byte, dst any) error {
	if fastScanJSON(string(text), dst) {
		return nil
	}
	reflect.ValueOf(dst).Elem().SetZero()
	derived, err := schemaFor(reflect.TypeOf(dst).Elem())
	if err != nil {
		return err
	}
	schema, err := Compile(derived)
	if err != nil {
		return err
	}
	plain, err := jsonschema.Parse(text, jsonschema.ValueLimits)
	if err != nil {
		return schema.RedactedError(nil, fromProblem(err), true)
	}
	object, ok := plain.(map[string]any)
	if !ok {
		return &params.Error{Reason: "expected an object with a key for each parameter"}
	}
	if err := schema.refuseMask(object); err != nil {
		return err
	}
	if err := schema.Validate(object); err != nil {
		return err
	}
	return schema.RedactedError(object, Decode(object, dst), false)
}

// fastScanJSON is fastDecodeParams for JSON text, without building Params first.
func fastScanJSON(text string, dst any) bool {
	if len(text) > jsonschema.MaxValue {
		return false
	}
	ptr := reflect.ValueOf(dst)
	ptr.Elem().SetZero()
	s := scanner{text: text}
	return s.next() == '{' && codecFor(ptr.Type().Elem()).fastScan(&s, ptr.Elem(), nil) && s.next() == 0 && s.at == len(text)
}

// fastScan is fastDecode for the next value of the scanner.
func (c *codec) fastScan(s *scanner, dst reflect.Value, r *rules) bool {
	switch {
	case c.checksItself():
		in, ok := s.plain()
		return ok && c.fastDecodeAny(in, dst, &s.extent)
	case c.kind == kindPointer:
		if s.next() == 'n' {
			return s.word("null")
		}
		ptr := reflect.New(c.typ.Elem())
		dst.Set(ptr)
		return c.elem.fastScan(s, ptr.Elem(), r)
	}
	switch s.next() {
	case '"':
		text, ok := s.string()
		return ok && c.fastDecodeString(text, dst, r)
	case 't':
		return s.word("true") && c.fastDecodeBool(true, dst, r)
	case 'f':
		return s.word("false") && c.fastDecodeBool(false, dst, r)
	case '[':
		return s.enter() && c.fastScanList(s, dst, r)
	case '{':
		switch c.kind {
		case kindStruct:
			return s.enter() && c.fastScanStruct(s, dst)
		case kindMap:
			return s.enter() && c.fastScanMap(s, dst)
		}
		return false
	}
	return c.fastDecodeNumber(s.number(), dst, r)
}

func (c *codec) fastScanList(s *scanner, dst reflect.Value, r *rules) bool {
	switch c.kind {
	case kindSlice:
		dst.Set(reflect.MakeSlice(c.typ, 0, 0))
	case kindArray:
	default:
		return false
	}
	n := 0
	for more := s.more(']', true); more; more = s.more(']', false) {
		if c.kind == kindSlice {
			if n == dst.Cap() {
				dst.Grow(max(4, n))
			}
			dst.SetLen(n + 1)
		}
		if n == dst.Len() || !c.elem.fastScan(s, dst.Index(n), r.itemRules()) {
			return false
		}
		n++
	}
	return s.closed() && n == dst.Len() && r.fitLength(n) && (r == nil || !r.unique || c.distinct(dst))
}

func (c *codec) fastScanMap(s *scanner, dst reflect.Value) bool {
	w := c.newMapWriter(dst, 0)
	n := 0
	for more := s.more('}', true); more; more = s.more('}', false) {
		key, ok := s.key()
		if !ok || !w.key(key) || !c.elem.fastScan(s, w.item, nil) {
			return false
		}
		w.put()
		n++
	}
	return s.closed() && n == dst.Len() // fewer if a key is a duplicate
}

func (c *codec) fastScanStruct(s *scanner, dst reflect.Value) bool {
	var few [64]bool
	seen := few[:]
	if len(c.fields) > len(few) {
		seen = make([]bool, len(c.fields))
	}
	expected := 0
	for more := s.more('}', true); more; more = s.more('}', false) {
		key, ok := s.key()
		if !ok {
			return false
		}
		i := expected // keys mostly follow the order of the fields
		if i >= len(c.fields) || c.fields[i].name != key {
			if i, ok = c.byName[key]; !ok {
				return false
			}
		}
		f := &c.fields[i]
		if seen[i] || f.slowOnly || !f.codec.fastScan(s, f.set(dst), f.rules) {
			return false
		}
		seen[i] = true
		expected = i + 1
	}
	for i := range c.fields {
		if !seen[i] && !c.fields[i].fastDefault(dst) {
			return false
		}
	}
	return s.closed()
}
