package jsonschema

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
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

// ValueLimits are the bounds of parameters.
var ValueLimits = Limits{Bytes: MaxValue, Depth: MaxDepth, Numbers: true}

// Parse reads one JSON text into nil, bool, string, json.Number, []any and map[string]any. Unlike encoding/json it
// refuses a key that comes twice. The error is a *Problem.
func Parse(text []byte, limits Limits) (any, error) {
	if limits.Bytes > 0 && len(text) > limits.Bytes {
		return nil, &Problem{Reason: fmt.Sprintf("%d bytes of JSON, the limit is %d; pass a reference to large data, not the data", len(text), limits.Bytes)}
	}
	if err := json.Unmarshal(text, new(json.RawMessage)); err != nil {
		return nil, &Problem{Reason: syntaxReason(err)}
	}
	p := parser{text: text, limits: limits, sizes: countItems(text)}
	return p.value(0)
}

// countItems counts the items of each array and the keys of each object, in the order in which they begin. Knowing them
// before keeps a long list from being copied while it grows.
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
		return fmt.Sprintf("not one JSON text: %v at byte %d", syntax, syntax.Offset)
	}
	return "not one JSON text: " + err.Error()
}

// parser walks a text that is known to be valid JSON.
type parser struct {
	text   []byte
	at     int
	limits Limits
	sizes  []int32 // of the arrays and objects that are yet to begin
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
			return nil, &Problem{Path: Join("", key), Reason: "the key comes twice in one object; remove one of them"}
		}
		m[key] = v
		p.skipComma()
	}
	p.at++
	return m, nil
}

// enter steps over the opening bracket and says how many values come, at the most.
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

// smallNumbers saves an allocation for each of the numbers that are met most.
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
	// The text is valid JSON, so this cannot fail; it replaces what is not UTF-8.
	_ = json.Unmarshal(p.text[start:p.at], &s)
	return s
}

// next moves to the next character that is not space.
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

// CheckValue measures a value against the limits of parameters and says what is wrong, nil if nothing is.
func CheckValue(v any) *Problem {
	size := 0
	if problem := measure(v, 0, &size); problem != nil {
		return problem
	}
	if size > MaxValue {
		return &Problem{Reason: fmt.Sprintf("%d bytes of JSON, the limit is %d; pass a reference to large data, not the data", size, MaxValue)}
	}
	return nil
}

// measure adds the length of v's JSON to size.
func measure(v any, depth int, size *int) *Problem {
	switch v := v.(type) {
	case nil:
		*size += len("null")
	case bool:
		*size += len("false")
	case string:
		n, ok := stringSize(v)
		if !ok {
			return &Problem{Reason: "text is not valid UTF-8; send bytes as base64, a []byte field does"}
		}
		*size += n
	case json.Number:
		if reason := CheckNumber(string(v)); reason != "" {
			return &Problem{Reason: reason}
		}
		*size += len(v)
	case []any:
		if depth++; depth > MaxDepth {
			return &Problem{Reason: tooDeep(MaxDepth)}
		}
		*size += 2
		for i, item := range v {
			if *size > MaxValue { // no need to know by how much
				return nil
			}
			*size++
			if problem := measure(item, depth, size); problem != nil {
				return under(index(i), problem)
			}
		}
	case map[string]any:
		if depth++; depth > MaxDepth {
			return &Problem{Reason: tooDeep(MaxDepth)}
		}
		*size += 2
		return measureKeys(v, depth, size)
	default:
		return &Problem{Reason: fmt.Sprintf("%T is not a plain JSON value", v)}
	}
	return nil
}

// measureKeys returns the problem of the first key that has one, whatever the order of the map.
func measureKeys(m map[string]any, depth int, size *int) (first *Problem) {
	for key, item := range m {
		if *size > MaxValue {
			break
		}
		n, ok := stringSize(key)
		*size += n + 2
		problem := measure(item, depth, size)
		switch {
		case !ok:
			problem = &Problem{Reason: fmt.Sprintf("the key %q is not valid UTF-8", cut(key, 60))}
		case problem != nil:
			problem = under(Join("", key), problem)
		}
		if problem != nil && (first == nil || comparePaths(problem.Path, first.Path) < 0) {
			first = problem
		}
	}
	return first
}

// stringSize is the length of a string in JSON; not ok if it is not UTF-8.
func stringSize(s string) (n int, ok bool) {
	n = len(s) + 2
	ascii := true
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\' || c == '\n' || c == '\r' || c == '\t':
			n++
		case c < ' ':
			n += len(`\u0000`) - 1
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return n, ascii || utf8.ValidString(s)
}

// CheckNumber says why a literal is not a number that provost takes, "" if it is one. A literal that passes is valid
// JSON and a finite float64, and small enough for exact arithmetic. The reason does not repeat the literal: nothing is known
// here of whether it is secret.
func CheckNumber(literal string) (reason string) {
	if len(literal) > MaxNumber {
		return fmt.Sprintf("a number of %d characters, the limit is %d; send it as a string", len(literal), MaxNumber)
	}
	digits, exponent, ok := scanNumber(literal)
	switch {
	case !ok:
		return "not a number in JSON"
	case digits:
		return ""
	}
	if exponent != "" {
		if n, err := strconv.Atoi(exponent); err != nil || n > MaxExponent || n < -MaxExponent {
			return fmt.Sprintf("a number with an exponent outside -%d to %d; send it as a string", MaxExponent, MaxExponent)
		}
	}
	if f, err := strconv.ParseFloat(literal, 64); err != nil || math.IsInf(f, 0) {
		return "a number larger than a float64 can hold; send it as a string"
	}
	return ""
}

// scanNumber checks the grammar of a number and returns its exponent; digits says that it is an integer in plain digits.
func scanNumber(s string) (digits bool, exponent string, ok bool) {
	rest := strings.TrimPrefix(s, "-")
	whole := leadingDigits(rest)
	if whole == 0 || whole > 1 && rest[0] == '0' {
		return false, "", false
	}
	if rest = rest[whole:]; rest == "" {
		return true, "", true
	}
	if rest[0] == '.' {
		fraction := leadingDigits(rest[1:])
		if fraction == 0 {
			return false, "", false
		}
		rest = rest[1+fraction:]
	}
	if rest == "" {
		return false, "", true
	}
	if rest[0] != 'e' && rest[0] != 'E' {
		return false, "", false
	}
	exponent = rest[1:]
	unsigned := exponent
	if unsigned != "" && (unsigned[0] == '+' || unsigned[0] == '-') {
		unsigned = unsigned[1:]
	}
	return false, exponent, unsigned != "" && leadingDigits(unsigned) == len(unsigned)
}

func leadingDigits(s string) int {
	n := 0
	for n < len(s) && '0' <= s[n] && s[n] <= '9' {
		n++
	}
	return n
}

func tooDeep(limit int) string {
	return fmt.Sprintf("nested deeper than %d; flatten it, or send the inner part as a string", limit)
}

// Join adds a key to a path.
func Join(path, key string) string {
	if !plainKey(key) {
		return path + "[" + strconv.Quote(key) + "]"
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// Prepend puts a step before a path: a key, or an index as "[3]".
func Prepend(step, path string) string {
	if path == "" || step == "" || path[0] == '[' {
		return step + path
	}
	return step + "." + path
}

// plainKey says that a key needs no quotes in a path.
func plainKey(key string) bool {
	if key == "" {
		return false
	}
	for _, c := range key {
		if c <= ' ' || strings.ContainsRune(`.[]"`, c) || c == utf8.RuneError {
			return false
		}
	}
	return true
}

// index is the step of a path into an array.
func index(i int) string { return "[" + strconv.Itoa(i) + "]" }

// under moves a problem one step down the path.
func under(step string, err error) *Problem {
	problem, ok := err.(*Problem)
	if !ok {
		return &Problem{Path: step, Reason: err.Error()}
	}
	return &Problem{Path: Prepend(step, problem.Path), Reason: problem.Reason}
}
