package jsonschema

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits bound what [Parse] accepts. Zero fields set no bound.
type Limits struct {
	Bytes   int
	Depth   int
	Numbers bool // refuse numbers that CheckNumber refuses
}

// ValueLimits are the limits of parameters.
var ValueLimits = Limits{Bytes: MaxValue, Depth: MaxDepth, Numbers: true}

// Parse parses a single JSON value into nil, bool, string, json.Number, []any and map[string]any.
// Unlike encoding/json it refuses duplicate keys. The error is a [*Problem].
func Parse(text []byte, limits Limits) (any, error) {
	if limits.Bytes > 0 && len(text) > limits.Bytes {
		return nil, &Problem{Reason: fmt.Sprintf("the JSON has %d bytes, the limit is %d; pass a reference to large data instead of the data", len(text), limits.Bytes)}
	}
	if err := json.Unmarshal(text, new(json.RawMessage)); err != nil {
		return nil, &Problem{Reason: syntaxReason(err)}
	}
	p := parser{text: text, limits: limits, sizes: countItems(text)}
	return p.value(0)
}

// countItems counts the items of each array and the keys of each object, in the order in which they
// begin. With the sizes known in advance, a long list is not copied while it grows.
func countItems(text []byte) []int32 {
	var sizes []int32
	var open []int
	for at := 0; at < len(text); at++ {
		switch text[at] {
		case '"':
			for at++; text[at] != '"'; at++ {
				if text[at] == '\\' {
					at++
				}
			}
		case '[', '{':
			open = append(open, len(sizes))
			sizes = append(sizes, 1)
		case ']', '}':
			open = open[:len(open)-1]
		case ',':
			sizes[open[len(open)-1]]++
		}
	}
	return sizes
}

func syntaxReason(err error) string {
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Sprintf("not a single JSON value: %v at byte %d", syntax, syntax.Offset)
	}
	return "not a single JSON value: " + err.Error()
}

// parser walks a text that is known to be valid JSON.
type parser struct {
	text   []byte
	at     int
	limits Limits
	sizes  []int32 // of the arrays and objects still to come
}

func (p *parser) value(depth int) (any, error) {
	switch c := p.next(); c {
	case 'n':
		p.at += len("null")
		return nil, nil
	case 't':
		p.at += len("true")
		return true, nil
	case 'f':
		p.at += len("false")
		return false, nil
	case '"':
		return p.string(), nil
	case '[':
		return p.array(depth + 1)
	case '{':
		return p.object(depth + 1)
	default:
		return p.number()
	}
}

func (p *parser) array(depth int) (any, error) {
	size, err := p.enter(depth)
	if err != nil {
		return nil, err
	}
	list := make([]any, 0, size)
	for p.next() != ']' {
		v, err := p.value(depth)
		if err != nil {
			return nil, under(index(len(list)), err)
		}
		list = append(list, v)
		p.skipComma()
	}
	p.at++
	return list, nil
}

func (p *parser) object(depth int) (any, error) {
	size, err := p.enter(depth)
	if err != nil {
		return nil, err
	}
	m := make(map[string]any, size)
	for p.next() != '}' {
		key := p.string()
		p.next()
		p.at++ // the colon
		v, err := p.value(depth)
		if err != nil {
			return nil, under(Join("", key), err)
		}
		if _, twice := m[key]; twice {
			return nil, &Problem{Path: Join("", key), Reason: "duplicate key in an object; remove one of them"}
		}
		m[key] = v
		p.skipComma()
	}
	p.at++
	return m, nil
}

// enter steps over the opening bracket and returns an upper bound of the number of values that
// follow.
func (p *parser) enter(depth int) (size int, err error) {
	p.at++
	if p.limits.Depth > 0 && depth > p.limits.Depth {
		return 0, &Problem{Reason: tooDeep(p.limits.Depth)}
	}
	size, p.sizes = int(p.sizes[0]), p.sizes[1:]
	if c := p.next(); c == ']' || c == '}' {
		size = 0
	}
	return size, nil
}

// smallNumbers saves an allocation for each of the most frequent numbers.
var smallNumbers = func() (numbers [100]any) {
	for i := range numbers {
		numbers[i] = json.Number(strconv.Itoa(i))
	}
	return numbers
}()

func (p *parser) number() (any, error) {
	start := p.at
	for p.at < len(p.text) && strings.IndexByte("+-.0123456789Ee", p.text[p.at]) >= 0 {
		p.at++
	}
	text := p.text[start:p.at]
	if len(text) <= 2 && text[0] != '-' {
		i := 0
		for _, digit := range text {
			i = 10*i + int(digit-'0')
		}
		return smallNumbers[i], nil
	}
	literal := string(text)
	if p.limits.Numbers {
		if reason := CheckNumber(literal); reason != "" {
			return nil, &Problem{Reason: reason}
		}
	}
	return json.Number(literal), nil
}

func (p *parser) string() string {
	start := p.at
	simple := true
	for p.at++; p.text[p.at] != '"'; p.at++ {
		if p.text[p.at] == '\\' {
			simple = false
			p.at++
		}
	}
	p.at++
	if body := p.text[start+1 : p.at-1]; simple && utf8.Valid(body) {
		return string(body)
	}
	var s string
	// The text is valid JSON, so this cannot fail. It replaces invalid UTF-8.
	_ = json.Unmarshal(p.text[start:p.at], &s)
	return s
}

// next skips white space and returns the next character, which remains unread.
func (p *parser) next() byte {
	for {
		switch c := p.text[p.at]; c {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return c
		}
	}
}

func (p *parser) skipComma() {
	if p.next() == ',' {
		p.at++
	}
}
