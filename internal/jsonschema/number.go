package jsonschema

import (
	"errors"
	"math"
	"math/big"
	"strconv"
	"strings"
)

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

// isWhole is exact without computing.
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
	zeros := 0 // at the end of all digits
	for i := len(mantissa) - 1; i >= 0 && (mantissa[i] == '0' || mantissa[i] == '.'); i-- {
		if mantissa[i] == '0' {
			zeros++
		}
	}
	return strings.Trim(mantissa, "0.") == "" || len(fraction)-zeros <= shift
}

// fraction is what exact arithmetic costs in steps.
const fraction = 128

// compareNumbers is exact. Literals that are too large to compute with are not compared: ok is false.
func compareNumbers(x, y string, b *budget) (sign int, ok bool) {
	if i, err := strconv.ParseInt(x, 10, 64); err == nil {
		if j, err := strconv.ParseInt(y, 10, 64); err == nil {
			return compare(i, j), true
		}
	}
	// Rounding keeps order, so only what is rounded to the same number needs more.
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

// compare is cmp.Compare without its care for NaN.
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
		// In the unit of the smaller exponent both are whole.
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

// decimal reads a literal as mantissa × 10^exponent, where 64 bits are enough.
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

// scale multiplies by a power of ten that is not negative; others leave m as it is.
func scale(m int64, power int) (scaled int64, ok bool) {
	for ; power > 0 && m != 0; power-- {
		if m > math.MaxInt64/10 || m < math.MinInt64/10 {
			return 0, false
		}
		m *= 10
	}
	return m, true
}
