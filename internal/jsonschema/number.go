package jsonschema

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// Errors of ParseInt and ParseUint: the number is not whole, or its type cannot hold it.
var (
	ErrFraction = errors.New("not a whole number")
	ErrRange    = errors.New("out of range")
)

// ParseInt parses an integer exactly, however JSON spells it: 3, 3.0, 3e2.
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

// ParseUint is like ParseInt for unsigned integers.
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

// rational returns the exact value of a literal. It returns false if the literal is too large to
// compute with.
func rational(literal string) (*big.Rat, bool) {
	if CheckNumber(literal) != "" {
		return nil, false
	}
	return new(big.Rat).SetString(literal)
}

// isWhole reports whether a literal is a whole number. It is exact, without arithmetic.
func isWhole(literal string) bool {
	digits, exponent, ok := scanNumber(literal)
	if digits || !ok {
		return ok
	}
	shift := 0
	if exponent != "" {
		var err error
		if shift, err = strconv.Atoi(exponent); err != nil || shift > MaxExponent {
			return false
		}
	}
	mantissa := strings.TrimPrefix(literal, "-")
	if i := strings.IndexAny(mantissa, "eE"); i >= 0 {
		mantissa = mantissa[:i]
	}
	_, fraction, _ := strings.Cut(mantissa, ".")
	zeros := 0 // trailing zeros of all digits
	for i := len(mantissa) - 1; i >= 0 && (mantissa[i] == '0' || mantissa[i] == '.'); i-- {
		if mantissa[i] == '0' {
			zeros++
		}
	}
	return strings.Trim(mantissa, "0.") == "" || len(fraction)-zeros <= shift
}

// fraction is the cost of exact arithmetic, in steps.
const fraction = 128

// compareNumbers compares two literals exactly. It returns false if they are too large to compute
// with.
func compareNumbers(x, y string, b *budget) (sign int, ok bool) {
	if i, err := strconv.ParseInt(x, 10, 64); err == nil {
		if j, err := strconv.ParseInt(y, 10, 64); err == nil {
			return compare(i, j), true
		}
	}
	// Rounding keeps the order, so only numbers that round to the same float need more.
	f, errX := strconv.ParseFloat(x, 64)
	g, errY := strconv.ParseFloat(y, 64)
	if errX == nil && errY == nil && f != g {
		return compare(f, g), true
	}
	b.spend(fraction)
	r, okX := rational(x)
	s, okY := rational(y)
	if !okX || !okY {
		return 0, false
	}
	return r.Cmp(s), true
}

// compare is cmp.Compare without the handling of NaN.
func compare[T int64 | float64](x, y T) int {
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

func isMultiple(x, of string, b *budget) bool {
	m, e, okX := decimal(x)
	n, f, okOf := decimal(of)
	if okX && okOf {
		// Scaled by the smaller exponent, both are whole.
		m, okX = scale(m, e-f)
		n, okOf = scale(n, f-e)
		if okX && okOf && n != 0 {
			return m%n == 0
		}
	}
	b.spend(4 * fraction)
	r, okX := rational(x)
	s, okOf := rational(of)
	return okX && okOf && s.Sign() != 0 && new(big.Rat).Quo(r, s).IsInt()
}

// decimal parses a literal as mantissa × 10^exponent. It returns false if 64 bits are not enough.
func decimal(literal string) (mantissa int64, exponent int, ok bool) {
	if i := strings.IndexAny(literal, "eE"); i >= 0 {
		var err error
		if exponent, err = strconv.Atoi(literal[i+1:]); err != nil || exponent > MaxExponent || exponent < -MaxExponent {
			return 0, 0, false
		}
		literal = literal[:i]
	}
	whole, part, _ := strings.Cut(literal, ".")
	mantissa, err := strconv.ParseInt(whole+part, 10, 64)
	return mantissa, exponent - len(part), err == nil
}

// scale multiplies m by a power of ten. A negative power leaves m as it is.
func scale(m int64, power int) (scaled int64, ok bool) {
	for ; power > 0 && m != 0; power-- {
		if m > math.MaxInt64/10 || m < math.MinInt64/10 {
			return 0, false
		}
		m *= 10
	}
	return m, true
}

// CheckNumber returns why provost does not accept a literal as a number, or "" if it does. A
// literal that passes is valid JSON and a finite float64, and small enough for exact arithmetic.
// The reason does not repeat the literal, because CheckNumber does not know whether it is secret.
func CheckNumber(literal string) (reason string) {
	if len(literal) > MaxNumber {
		return fmt.Sprintf("the number has %d characters, the limit is %d; send it as a string", len(literal), MaxNumber)
	}
	digits, exponent, ok := scanNumber(literal)
	switch {
	case !ok:
		return "not a JSON number"
	case digits:
		return ""
	}
	if exponent != "" {
		if n, err := strconv.Atoi(exponent); err != nil || n > MaxExponent || n < -MaxExponent {
			return fmt.Sprintf("the exponent of the number is outside -%d to %d; send it as a string", MaxExponent, MaxExponent)
		}
	}
	if f, err := strconv.ParseFloat(literal, 64); err != nil || math.IsInf(f, 0) {
		return "the number is too large for a float64; send it as a string"
	}
	return ""
}

// scanNumber checks the grammar of a number and returns its exponent. The result digits reports
// whether the number is an integer in plain digits.
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
