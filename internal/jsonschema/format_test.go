package jsonschema

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestFormats(t *testing.T) {
	tests := map[string]struct{ fits, doesNotFit []string }{
		"date-time": {
			[]string{"2026-03-05T14:00:00Z", "2026-03-05t14:00:00z", "2026-03-05T14:00:00.123456789+01:00", "2016-12-31T23:59:60Z", "2016-12-31T15:59:60.5-08:00"},
			[]string{"2026-03-05", "2026-03-05 14:00:00Z", "2026-03-05T14:00:00", "2026-03-05T4:00:00Z", "2026-03-05T14:00:00,5Z", "2026-02-30T14:00:00Z", "2026-03-05T14:00:60Z", "2026-03-05T14:00:00+24:00", "2026-03-05T24:00:00Z", "2026-03-05T14:00:61Z"},
		},
		"date":                  {[]string{"2026-03-05", "2024-02-29"}, []string{"2026-3-5", "2026-02-29", "05/03/2026"}},
		"time":                  {[]string{"14:00:00Z", "14:00:00.5z", "14:00:00+01:00", "23:59:60Z"}, []string{"14:00:00", "14:00Z", "14:00:00,5Z", "24:00:00Z", "08:30:06 PST", "12:00:60Z"}},
		"duration":              {[]string{"1h30m", "-5s", "1.5h", "0"}, []string{"", "1", "90 minutes", "1d"}},
		"uuid":                  {[]string{"0197a5c4-71c2-7b3e-9d0f-2a5b8c1e4f60", "0197A5C4-71C2-7B3E-9D0F-2A5B8C1E4F60"}, []string{"0197a5c471c27b3e9d0f2a5b8c1e4f60", "{0197a5c4-71c2-7b3e-9d0f-2a5b8c1e4f60}", "0197a5c4-71c2-7b3e-9d0f-2a5b8c1e4f6g"}},
		"email":                 {[]string{"ada@example.com", "a+b@x.y"}, []string{"ada", "Ada <ada@example.com>", "<ada@example.com>", "ada@", "ädä@example.com"}},
		"idn-email":             {[]string{"ädä@exämple.com"}, []string{"ada"}},
		"hostname":              {[]string{"localhost", "www.example.com", strings.Repeat("a", 63)}, []string{"", "-a", "a-", "a..b", "a_b", "exämple.com", strings.Repeat("a", 64), strings.Repeat("a.", 127) + "a"}},
		"idn-hostname":          {[]string{"exämple.com", "例え.テスト"}, []string{"〮a", "a b", strings.Repeat("ä", 60)}},
		"uri":                   {[]string{"https://example.com/a?b#c", "urn:x:y", "mailto:a@b.c"}, []string{"/a", "https://exämple.com/", "https://a b/", `https://a\b`, "https://a/<b>"}},
		"uri-reference":         {[]string{"", "/a", "a?b#c", "https://example.com/"}, []string{`\a`, "a b", "ä"}},
		"iri":                   {[]string{"https://exämple.com/ö"}, []string{"/ö"}},
		"iri-reference":         {[]string{"/ö"}, []string{`\ö`}},
		"uri-template":          {[]string{"https://x/{id}{?q*}", "{a}/{b}"}, []string{"https://x/{id", "https://x/{}", "{a{b}}"}},
		"json-pointer":          {[]string{"", "/", "/a~0b/~1"}, []string{"a", "/a~", "/~2"}},
		"relative-json-pointer": {[]string{"0", "1/a", "10#"}, []string{"", "/a", "01", "1a", "-1"}},
		"regex":                 {[]string{"", "^[a-z]+$"}, []string{"(", "(?=a)", `\Z`, strings.Repeat("a", 5_000)}},
		"ipv4":                  {[]string{"192.0.2.1"}, []string{"192.0.2", "192.0.2.256", "::1", "192.0.02.1"}},
		"ipv6":                  {[]string{"::1", "2001:db8::1"}, []string{"192.0.2.1", "::1%eth0", "1::2::3"}},
		"byte":                  {[]string{"", "aGk="}, []string{"aGk", "a b="}},
		"json":                  {[]string{"{}", " 1 "}, []string{"", "{:}", "{}{}"}},
		"byte of json":          {[]string{"e30="}, []string{"{}", "ezp9Cg=="}},
	}
	for name, f := range formats {
		test, ok := tests[name]
		if !ok && f.text != nil {
			t.Errorf("%s has no test", name)
		}
		for _, s := range test.fits {
			if !matches(name, s) {
				t.Errorf("%s refuses %q", name, s)
			}
		}
		for _, s := range test.doesNotFit {
			if matches(name, s) {
				t.Errorf("%s accepts %q", name, s)
			}
		}
		if example, _, quoted := strings.Cut(strings.TrimPrefix(f.example, `"`), `"`); quoted && name != "json" && !matches(name, example) {
			t.Errorf("%s refuses its own example %s", name, example)
		}
	}
}

func TestParseTimeTakesLeapSeconds(t *testing.T) {
	for text, want := range map[string]string{
		"2016-12-31T23:59:60Z":          "2017-01-01T00:00:00Z",
		"2016-12-31t15:59:60.25-08:00":  "2016-12-31T16:00:00-08:00",
		"2026-03-05t14:00:00z":          "2026-03-05T14:00:00Z",
		"2026-03-05T14:00:00.125+05:30": "2026-03-05T14:00:00.125+05:30",
	} {
		got, err := ParseTime(text)
		if err != nil || got.Format(time.RFC3339Nano) != want {
			t.Errorf("%s: got %v, %v, want %s", text, got, err, want)
		}
	}
}

func TestNumbers(t *testing.T) {
	whole := []string{"0", "-0", "0.0", "0e5", "1.0", "10e-1", "1.50e1", "120e-1", "-3e2", "1e308", "0.00e-300"}
	broken := []string{"0.5", "1e-1", "1.05e1", "-12e-2", "1e309", "x", "1.", "10.01"}
	for i, literal := range slices.Concat(whole, broken) {
		if want := i < len(whole); isWhole(literal) != want {
			t.Errorf("isWhole(%s) is not %t", literal, want)
		}
	}
	for _, test := range []struct {
		x, of string
		want  bool
	}{
		{"6", "3", true},
		{"7", "3", false},
		{"0", "3", true},
		{"-6", "3", true},
		{"4.5", "1.5", true},
		{"35", "1.5", false},
		{"0.0075", "0.0001", true},
		{"0.00751", "0.0001", false},
		{"1e3", "10", true},
		{"1e308", "3", false},
		{"1e-308", "1e-308", true},
		{"9223372036854775807", "0.5", true},
		{"12345678901234567890123", "3", true},
		{"12345678901234567890123.1", "3", false},
		{"1.0", "1", true},
	} {
		b := budget{steps: maxSteps}
		if got := isMultiple(test.x, test.of, &b); got != test.want {
			t.Errorf("isMultiple(%s, %s) = %t", test.x, test.of, got)
		}
	}
	for _, test := range []struct {
		x, y string
		want int
	}{
		{"1", "2", -1},
		{"2", "1.5", 1},
		{"1.0", "1", 0},
		{"9007199254740993", "9007199254740992", 1},
		{"9007199254740993.0", "9007199254740992", 1},
		{"1e308", "1e-308", 1},
		{"-1", "1e-300", -1},
		{"0.1", "0.10000000000000000001", -1},
		{"-0", "0", 0},
	} {
		b := budget{steps: maxSteps}
		if got, ok := compareNumbers(test.x, test.y, &b); !ok || got != test.want {
			t.Errorf("compareNumbers(%s, %s) = %d, %t", test.x, test.y, got, ok)
		}
	}
}
