package param

import (
	"encoding/json"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/provost-go/provost/internal/jsonschema"
	"github.com/provost-go/provost/params"
)

// readJSON sets dst, a pointer to P, from JSON text that is held to P's schema.
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
		return schema.RedactedError(nil, fromGuard(err), true)
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

// takeJSON is takeParams for JSON text, without making Params of it first.
func fastScanJSON(text string, dst any) bool {
	if len(text) > jsonschema.MaxValue {
		return false
	}
	ptr := reflect.ValueOf(dst)
	ptr.Elem().SetZero()
	s := scanner{text: text}
	return s.next() == '{' && codecFor(ptr.Type().Elem()).scan(&s, ptr.Elem(), nil) && s.next() == 0 && s.at == len(text)
}

// scan is take for the value that the scanner stands at.
func (c *codec) scan(s *scanner, dst reflect.Value, r *rules) bool {
	switch {
	case c.takesAnything():
		in, ok := s.plain()
		return ok && c.takeAny(in, dst, &s.extent)
	case c.kind == shapePointer:
		if s.next() == 'n' {
			return s.word("null")
		}
		ptr := reflect.New(c.typ.Elem())
		dst.Set(ptr)
		return c.elem.scan(s, ptr.Elem(), r)
	}
	switch s.next() {
	case '"':
		text, ok := s.string()
		return ok && c.takeString(text, dst, r)
	case 't':
		return s.word("true") && c.takeBool(true, dst, r)
	case 'f':
		return s.word("false") && c.takeBool(false, dst, r)
	case '[':
		return s.enter() && c.scanList(s, dst, r)
	case '{':
		switch c.kind {
		case shapeStruct:
			return s.enter() && c.scanStruct(s, dst)
		case shapeMap:
			return s.enter() && c.scanMap(s, dst)
		}
		return false
	}
	return c.takeNumber(s.number(), dst, r)
}

func (c *codec) scanList(s *scanner, dst reflect.Value, r *rules) bool {
	switch c.kind {
	case shapeSlice:
		dst.Set(reflect.MakeSlice(c.typ, 0, 0))
	case shapeArray:
	default:
		return false
	}
	n := 0
	for more := s.more(']', true); more; more = s.more(']', false) {
		if c.kind == shapeSlice {
			if n == dst.Cap() {
				dst.Grow(max(4, n))
			}
			dst.SetLen(n + 1)
		}
		if n == dst.Len() || !c.elem.scan(s, dst.Index(n), r.ofItems()) {
			return false
		}
		n++
	}
	return s.closed() && n == dst.Len() && r.fitLength(n) && (r == nil || !r.unique || c.distinct(dst))
}

func (c *codec) scanMap(s *scanner, dst reflect.Value) bool {
	w := c.newMap(dst, 0)
	n := 0
	for more := s.more('}', true); more; more = s.more('}', false) {
		key, ok := s.key()
		if !ok || !w.key(key) || !c.elem.scan(s, w.item, nil) {
			return false
		}
		w.put()
		n++
	}
	return s.closed() && n == dst.Len() // fewer if a key came twice
}

func (c *codec) scanStruct(s *scanner, dst reflect.Value) bool {
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
		i := expected // keys mostly come in the order of the fields
		if i >= len(c.fields) || c.fields[i].name != key {
			if i, ok = c.byName[key]; !ok {
				return false
			}
		}
		f := &c.fields[i]
		if seen[i] || f.unclear || !f.codec.scan(s, f.set(dst), f.rules) {
			return false
		}
		seen[i] = true
		expected = i + 1
	}
	for i := range c.fields {
		if !seen[i] && !c.fields[i].leaveOut(dst) {
			return false
		}
	}
	return s.closed()
}

// scanner reads JSON and accepts nothing else. Once a method has said no, it is of no more use.
type scanner struct {
	text string
	at   int
	extent
	broken bool
}

// next moves to the next character that is not space; 0 is the end.
func (s *scanner) next() byte {
	for s.at < len(s.text) {
		switch c := s.text[s.at]; c {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return c
		}
	}
	return 0
}

// enter steps into an array or object.
func (s *scanner) enter() bool {
	s.at++
	return s.extent.enter()
}

// more steps over what is between two items and says that there is another one. At the end it steps out.
func (s *scanner) more(end byte, first bool) bool {
	switch c := s.next(); {
	case c == end && !s.broken:
		s.at++
		s.leave()
		return false
	case first && c != end && c != 0:
		return !s.broken
	case !first && c == ',':
		s.at++
		s.broken = s.broken || s.next() == end
		return !s.broken
	}
	s.broken = true
	return false
}

// closed says that the array or object that more has come to the end of ended well.
func (s *scanner) closed() bool { return !s.broken }

func (s *scanner) key() (string, bool) {
	if s.next() != '"' {
		return "", false
	}
	key, ok := s.string()
	if !ok || s.next() != ':' {
		return "", false
	}
	s.at++
	return key, true
}

func (s *scanner) word(word string) bool {
	ok := strings.HasPrefix(s.text[s.at:], word)
	s.at += len(word)
	return ok
}

// number is the characters of a number, which may not be one.
func (s *scanner) number() string {
	start := s.at
	for s.at < len(s.text) && (s.text[s.at]-'0' <= 9 || strings.IndexByte("+-.eE", s.text[s.at]) >= 0) {
		s.at++
	}
	return s.text[start:s.at]
}

func (s *scanner) string() (string, bool) {
	start := s.at
	simple, ascii := true, true
	for s.at++; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; {
		case c == '"':
			s.at++
			body := s.text[start+1 : s.at-1]
			if simple {
				return body, ascii || utf8.ValidString(body)
			}
			var text string
			ok := utf8.ValidString(body) && json.Unmarshal([]byte(s.text[start:s.at]), &text) == nil
			return text, ok
		case c == '\\':
			simple = false
			s.at++
		case c < ' ':
			return "", false
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return "", false
}

// plain reads any value as plain ones.
func (s *scanner) plain() (any, bool) {
	switch s.next() {
	case 'n':
		return nil, s.word("null")
	case 't':
		return true, s.word("true")
	case 'f':
		return false, s.word("false")
	case '"':
		return s.string()
	case '[':
		return s.plainList()
	case '{':
		return s.plainObject()
	}
	literal := s.number()
	return json.Number(literal), jsonschema.CheckNumber(literal) == ""
}

func (s *scanner) plainList() (any, bool) {
	list := []any{}
	ok := s.enter()
	for more := ok && s.more(']', true); more; more = s.more(']', false) {
		item, ok := s.plain()
		if !ok {
			return nil, false
		}
		list = append(list, item)
	}
	return list, ok && s.closed()
}

func (s *scanner) plainObject() (any, bool) {
	m := map[string]any{}
	ok := s.enter()
	for more := ok && s.more('}', true); more; more = s.more('}', false) {
		key, ok := s.key()
		if _, twice := m[key]; !ok || twice {
			return nil, false
		}
		item, ok := s.plain()
		if !ok {
			return nil, false
		}
		m[key] = item
	}
	return m, ok && s.closed()
}
