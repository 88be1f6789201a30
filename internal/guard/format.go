package guard

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"net/mail"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// formats are the formats that provost checks; any other is a hint to people, as the specification has it. What passes
// here decodes into the Go type that stands for the format.
var formats = map[string]struct {
	example string
	text    func(string) bool      // nil: a format of numbers
	number  func(json.Number) bool // nil: a format of strings
}{
	"date-time":     {example: `"2026-03-05T14:00:00+01:00"`, text: func(s string) bool { _, err := ParseTime(s); return err == nil }},
	"date":          {example: `"2026-03-05"`, text: func(s string) bool { _, err := time.Parse(time.DateOnly, s); return err == nil }},
	"time":          {example: `"14:00:00Z"`, text: isTime},
	"duration":      {example: `"1h30m"`, text: func(s string) bool { _, err := time.ParseDuration(s); return err == nil }, number: isInt64},
	"uuid":          {example: `"0197a5c4-71c2-7b3e-9d0f-2a5b8c1e4f60"`, text: isUUID},
	"email":         {example: `"ada@example.com"`, text: isEmail},
	"uri":           {example: `"https://example.com/"`, text: isURI},
	"uri-reference": {example: `"https://example.com/"`, text: func(s string) bool { _, err := url.Parse(s); return err == nil }},
	"ipv4":          {example: `"192.0.2.1"`, text: func(s string) bool { a, err := netip.ParseAddr(s); return err == nil && a.Is4() }},
	"ipv6":          {example: `"2001:db8::1"`, text: func(s string) bool { a, err := netip.ParseAddr(s); return err == nil && a.Is6() && a.Zone() == "" }},
	"byte":          {example: `"aGVsbG8=", the standard base64`, text: func(s string) bool { _, err := base64.StdEncoding.DecodeString(s); return err == nil }},
	"int64":         {example: "an integer of 64 bits", number: isInt64},
	"uint64":        {example: "an integer of 64 bits without sign", number: func(n json.Number) bool { _, err := ParseUint(string(n)); return err == nil }},
	"float":         {example: "a number that a float32 can hold", number: func(n json.Number) bool { _, err := strconv.ParseFloat(string(n), 32); return err == nil }},
}

// matches says that v has the format, or that the format does not apply to v.
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

// ParseTime reads a date and time of RFC 3339, strictly: time.Parse takes one-digit hours and decimal commas. The offset
// is kept as it is written and never becomes time.Local.
func ParseTime(s string) (time.Time, error) {
	if len(s) < len("2006-01-02T15:04:05Z") || s[10] != 'T' || s[13] != ':' || strings.Contains(s, ",") {
		return time.Time{}, errors.New("not a date and time of RFC 3339")
	}
	if last := s[len(s)-1]; last != 'Z' {
		if i := len(s) - len("+00:00"); s[i] != '+' && s[i] != '-' || s[i+1:] > "23:59" || s[i+4:] > "59" {
			return time.Time{}, errors.New("the offset is outside of RFC 3339")
		}
	}
	return time.ParseInLocation(time.RFC3339Nano, s, time.UTC)
}

func isInt64(n json.Number) bool {
	_, err := ParseInt(string(n))
	return err == nil
}

func isTime(s string) bool {
	for _, layout := range []string{"15:04:05Z07:00", "15:04:05"} {
		if _, err := time.Parse(layout, s); err == nil && !strings.Contains(s, ",") {
			return true
		}
	}
	return false
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

func isURI(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme != "" && !strings.Contains(s, `\`)
}

// ErrFraction says that a number is not whole, ErrRange that its type cannot hold it.
var (
	ErrFraction = errors.New("not a whole number")
	ErrRange    = errors.New("out of range")
)

// ParseInt reads an integer exactly, in whatever way JSON spells it: 3, 3.0, 3e2.
func ParseInt(literal string) (int64, error) {
	if n, err := strconv.ParseInt(literal, 10, 64); err == nil {
		return n, nil
	}
	n, err := parseWhole(literal)
	if err != nil {
		return 0, err
	}
	if !n.IsInt64() {
		return 0, ErrRange
	}
	return n.Int64(), nil
}

// ParseUint is ParseInt for integers without sign.
func ParseUint(literal string) (uint64, error) {
	if n, err := strconv.ParseUint(literal, 10, 64); err == nil {
		return n, nil
	}
	n, err := parseWhole(literal)
	if err != nil {
		return 0, err
	}
	if !n.IsUint64() {
		return 0, ErrRange
	}
	return n.Uint64(), nil
}

func parseWhole(literal string) (*big.Int, error) {
	r, ok := rational(literal)
	switch {
	case !ok:
		return nil, ErrRange
	case !r.IsInt():
		return nil, ErrFraction
	}
	return r.Num(), nil
}

// rational is the exact value of a literal; not ok if the literal is too large to compute with.
func rational(literal string) (*big.Rat, bool) {
	if CheckNumber(literal) != "" {
		return nil, false
	}
	return new(big.Rat).SetString(literal)
}

func isWhole(literal string) bool {
	if digits, _, ok := scanNumber(literal); digits {
		return ok
	}
	r, ok := rational(literal)
	return ok && r.IsInt()
}

// compareNumbers is exact. Literals that are too large to compute with are not compared: ok is false.
func compareNumbers(a, b string) (sign int, ok bool) {
	if x, err := strconv.ParseInt(a, 10, 64); err == nil {
		if y, err := strconv.ParseInt(b, 10, 64); err == nil {
			return max(-1, min(1, sub(x, y))), true
		}
	}
	x, okX := rational(a)
	y, okY := rational(b)
	if !okX || !okY {
		return 0, false
	}
	return x.Cmp(y), true
}

// sub is the sign of x - y, free of overflow.
func sub(x, y int64) int {
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// sameNumber compares as floats, as the library does for enum and const.
func sameNumber(a, b string) bool {
	if a == b {
		return true
	}
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	return errX == nil && errY == nil && x == y && !math.IsInf(x, 0)
}
