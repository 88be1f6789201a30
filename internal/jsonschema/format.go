package jsonschema

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/mail"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// formats lists the formats that provost checks. Any other format is an annotation, as the
// specification allows. A text that passes here can be decoded into the Go type of the format.
var formats = map[string]struct {
	example string
	text    func(string) bool      // nil: the format is for numbers
	number  func(json.Number) bool // nil: the format is for strings
}{
	"date-time":             {example: `"2026-03-05T14:00:00+01:00"`, text: func(s string) bool { _, err := ParseTime(s); return err == nil }},
	"date":                  {example: `"2026-03-05"`, text: func(s string) bool { _, err := time.Parse(time.DateOnly, s); return err == nil }},
	"time":                  {example: `"14:00:00Z"`, text: isTime},
	"duration":              {example: `"1h30m"`, text: func(s string) bool { _, err := time.ParseDuration(s); return err == nil }, number: isInt64},
	"uuid":                  {example: `"0197a5c4-71c2-7b3e-9d0f-2a5b8c1e4f60"`, text: isUUID},
	"email":                 {example: `"ada@example.com"`, text: func(s string) bool { return isEmail(s) && isASCII(s) }},
	"idn-email":             {example: `"ada@example.com"`, text: isEmail},
	"hostname":              {example: `"www.example.com"`, text: func(s string) bool { return isHost(s) && isASCII(s) }},
	"idn-hostname":          {example: `"www.example.com"`, text: isHost},
	"uri":                   {example: `"https://example.com/"`, text: func(s string) bool { return isURI(s) && isASCII(s) }},
	"uri-reference":         {example: `"/path?query"`, text: func(s string) bool { return isReference(s) && isASCII(s) }},
	"iri":                   {example: `"https://example.com/"`, text: isURI},
	"iri-reference":         {example: `"/path?query"`, text: isReference},
	"uri-template":          {example: `"https://example.com/{id}"`, text: isTemplate},
	"json-pointer":          {example: `"/a/0"`, text: isPointer},
	"relative-json-pointer": {example: `"1/a"`, text: isRelativePointer},
	"regex":                 {example: `"^[a-z]+$"`, text: isRegex},
	"ipv4":                  {example: `"192.0.2.1"`, text: func(s string) bool { a, err := netip.ParseAddr(s); return err == nil && a.Is4() }},
	"ipv6":                  {example: `"2001:db8::1"`, text: func(s string) bool { a, err := netip.ParseAddr(s); return err == nil && a.Is6() && a.Zone() == "" }},
	"byte":                  {example: `"aGVsbG8=", the standard base64`, text: func(s string) bool { _, err := base64.StdEncoding.DecodeString(s); return err == nil }},
	"json":                  {example: `"{\"a\": 1}"`, text: func(s string) bool { return json.Valid([]byte(s)) }},
	"byte of json":          {example: `"eyJhIjogMX0=", the standard base64 of JSON`, text: func(s string) bool { b, err := base64.StdEncoding.DecodeString(s); return err == nil && json.Valid(b) }},
	"int64":                 {example: "an integer of 64 bits", number: isInt64},
	"uint64":                {example: "an integer of 64 bits without sign", number: func(n json.Number) bool { _, err := ParseUint(string(n)); return err == nil }},
	"float":                 {example: "a number that a float32 can hold", number: func(n json.Number) bool { _, err := strconv.ParseFloat(string(n), 32); return err == nil }},
}

// matches reports whether v has the format, or the format does not apply to v.
func matches(format string, v any) bool {
	f := formats[format]
	switch v := v.(type) {
	case string:
		return f.text == nil || f.text(v)
	case json.Number:
		return f.number == nil || f.number(v)
	}
	return true
}

// ParseTime parses a date and time of RFC 3339. It is stricter than time.Parse, which accepts
// one-digit hours and decimal commas. It also accepts what time.Parse refuses: lower-case t and z,
// and leap seconds, which become the instant after them. The offset is kept as written and never
// becomes time.Local.
func ParseTime(s string) (time.Time, error) {
	if len(s) < len("2006-01-02T15:04:05Z") || s[10]|0x20 != 't' || !isClock(s[11:]) {
		return time.Time{}, errors.New("not a date and time of RFC 3339")
	}
	leap := s[17:19] == "60"
	if leap || s[10] == 't' || s[len(s)-1] == 'z' {
		s = strings.ToUpper(s)
		if leap {
			s = s[:17] + "59" + s[19:]
		}
	}
	t, err := time.ParseInLocation(time.RFC3339Nano, s, time.UTC)
	if err != nil || !leap {
		return t, err
	}
	if u := t.UTC(); u.Hour() != 23 || u.Minute() != 59 {
		return time.Time{}, errors.New("no leap second is at this time")
	}
	return t.Truncate(time.Second).Add(time.Second), nil
}

func isInt64(n json.Number) bool {
	_, err := ParseInt(string(n))
	return err == nil
}

// isClock reports whether s has the shape of "15:04:05Z" or "15:04:05.9+01:00". It does not check
// the hours, minutes and seconds.
func isClock(s string) bool {
	if len(s) < len("15:04:05Z") || s[2] != ':' || s[5] != ':' || strings.Contains(s, ",") {
		return false
	}
	if s[len(s)-1]|0x20 == 'z' {
		return true
	}
	i := len(s) - len("+00:00")
	return i >= len("15:04:05") && (s[i] == '+' || s[i] == '-') && s[i+1:] <= "23:59" && s[i+4:] <= "59"
}

// isTime reports whether s is a time of day that ParseTime accepts after a date.
func isTime(s string) bool {
	_, err := ParseTime("2000-01-02T" + s)
	return err == nil
}

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range []byte(s) {
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if !('0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f') {
				return false
			}
		}
	}
	return true
}

func isEmail(s string) bool {
	address, err := mail.ParseAddress(s)
	return err == nil && address.Address == s
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(c rune) bool { return c >= utf8.RuneSelf }) < 0
}

// isHost reports whether s is a host name in letters of any script. For the length of a label in
// ASCII it counts one character for each letter, which is the least it can be.
func isHost(s string) bool {
	if len(s) > 253 && isASCII(s) {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		length := utf8.RuneCountInString(label)
		if !isASCII(label) {
			length += len("xn--")
		}
		if length == 0 || length > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.IndexFunc(label, notInHost) >= 0 {
			return false
		}
	}
	return true
}

func notInHost(c rune) bool {
	switch c {
	case '-', '\u00b7', '\u0375', '\u05f3', '\u05f4', '\u30fb', '\u200c', '\u200d':
		return false
	case '\u0640', '\u07fa', '\u302e', '\u302f', '\u3031', '\u3032', '\u3033', '\u3034', '\u3035', '\u303b': // RFC 5892, 2.6
		return true
	}
	return !unicode.IsLetter(c) && !unicode.IsMark(c) && !unicode.IsDigit(c)
}

func isReference(s string) bool {
	_, err := url.Parse(s)
	return err == nil && !strings.ContainsAny(s, " <>\"{}|\\^`")
}

func isURI(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme != "" && isReference(s)
}

// isTemplate reports whether s is text with expressions in braces, none inside another.
func isTemplate(s string) bool {
	var plain strings.Builder
	for {
		before, rest, open := strings.Cut(s, "{")
		plain.WriteString(before)
		if !open {
			return isReference(plain.String())
		}
		expression, after, closed := strings.Cut(rest, "}")
		if !closed || expression == "" || strings.ContainsAny(expression, "{ ") {
			return false
		}
		plain.WriteByte('x')
		s = after
	}
}

func isPointer(s string) bool {
	if s != "" && s[0] != '/' {
		return false
	}
	for i := range len(s) {
		if s[i] == '~' && (i+1 == len(s) || s[i+1] != '0' && s[i+1] != '1') {
			return false
		}
	}
	return true
}

func isRelativePointer(s string) bool {
	up := leadingDigits(s)
	rest := s[up:]
	return up > 0 && (up == 1 || s[0] != '0') && (rest == "#" || isPointer(rest))
}

func isRegex(s string) bool {
	_, err := parsePattern(s)
	return err == nil
}
