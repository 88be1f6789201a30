package jsonschema

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// maxPattern bounds the total weight of the regular expressions of a schema: some 12,000
// instructions.
const maxPattern = 200_000

// pattern is a regular expression with its costs: size is the cost of matching one character,
// weight the cost of compiling.
type pattern struct {
	expr         *regexp.Regexp
	size, weight int
}

// matches reports whether s matches, and spends the cost: in the worst case each instruction reads
// each character once.
func (p *pattern) matches(s string, b *budget) bool {
	b.spend(p.steps(s, 32))
	return !b.spent() && p.expr.MatchString(s)
}

// steps returns the cost of reading s, where one step covers that many pairs of character and
// instruction.
func (p *pattern) steps(s string, step int64) int {
	return int(min(int64(len(s))*int64(p.size)/step, 2*maxSteps))
}

func (r *reader) readPattern(v any, at string) (*pattern, error) {
	source, ok := v.(string)
	if !ok {
		return nil, refuse(at, "expected a regular expression, got %s", describe(v))
	}
	parsed, err := parsePattern(source)
	if err != nil {
		return nil, refuse(at, "%v", err)
	}
	// Compiling expands what is counted here, so weigh the expression before.
	weight := weighPattern(parsed)
	if r.weight += weight; r.weight > maxPattern {
		return nil, refuse(at, tooLarge)
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, refuse(at, "%v", withoutPrefix(err))
	}
	expr, err := regexp.Compile(source)
	if err != nil {
		return nil, refuse(at, "%v", withoutPrefix(err))
	}
	return &pattern{expr, len(program.Inst), weight}, nil
}

func parsePattern(source string) (*syntax.Regexp, error) {
	if len(source) > maxPattern/50 {
		return nil, errors.New(tooLarge)
	}
	parsed, err := syntax.Parse(source, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("%s; the syntax is RE2, which has no look-around and no backreferences", withoutPrefix(err))
	}
	return parsed, nil
}

const tooLarge = "the regular expressions are too large; shorten them or check the value in the flow"

func withoutPrefix(err error) string {
	return strings.TrimPrefix(err.Error(), "error parsing regexp: ")
}

// weighPattern counts what an expression compiles to: instructions, and the ranges of their
// characters, which cost less. Repetitions multiply. It stops counting where the weight is too
// large anyway.
func weighPattern(re *syntax.Regexp) int {
	const instruction = 16
	weight := instruction + len(re.Rune)
	if re.Op == syntax.OpLiteral {
		weight = instruction * (1 + len(re.Rune))
	}
	for _, sub := range re.Sub {
		weight = min(weight+weighPattern(sub), 2*maxPattern)
	}
	if re.Op == syntax.OpRepeat {
		weight *= max(re.Min, re.Max, 1)
	}
	return weight
}
