package param

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/provost-go/provost/internal/jsonschema"
)

// scanner reads JSON and accepts nothing else. It must not be used any more once a method has
// returned false.
type scanner struct {
	text string
	at   int
	extent
	broken bool
}

// next skips white space and returns the next character, which remains unread, or 0 at the end.
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

// more steps over the separator of two items and reports whether there is another item. At the end
// of the array or object it steps out.
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

// closed reports whether the array or object that more has finished ended well.
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

// number returns the characters of a number. They may not form a valid one.
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

// plain reads any value as a plain value.
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
