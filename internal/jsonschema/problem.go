package jsonschema

import (
	"cmp"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with a schema or a value.
//
// It is the internal twin of params.Error, which programs see. The two stay apart because a Problem
// knows more: the rule that was violated and the rule's argument. From these it can be worded again
// without the value, which is necessary if the value turns out to be secret.
type Problem struct {
	Path   string // from the top, such as "customer.address[2].zip"; "" for the whole
	Reason string // what was expected, what was given and how to fix it

	rule, argument string // the violated rule and what it asks for; "" if unknown
}

func (p *Problem) Error() string {
	if p.Path == "" {
		return p.Reason
	}
	return p.Path + ": " + p.Reason
}

// expected returns what the violated rule asks for, without the value.
func (p *Problem) expected() string {
	switch p.rule {
	case "required", "additionalProperties", "propertyNames":
		return "an object with the keys of its schema"
	case "type":
		return article(strings.Split(p.argument, ","))
	case "minLength":
		return "at least " + plural(p.argument, "character")
	case "maxLength":
		return "at most " + plural(p.argument, "character")
	case "pattern":
		return "text that matches " + p.argument
	case "format":
		return "the format " + p.argument
	case "minimum":
		return "at least " + p.argument
	case "maximum":
		return "at most " + p.argument
	}
	return "a value that fits its schema"
}

func brokenRule(rule, path, reason string) *Problem {
	return &Problem{Path: path, Reason: reason, rule: rule}
}

func brokenByValue(rule, argument, path string, v any) *Problem {
	return &Problem{path, reason(rule, argument, v), rule, argument}
}

func sorted(problems []*Problem) []*Problem {
	slices.SortFunc(problems, func(a, b *Problem) int {
		return cmp.Or(comparePaths(a.Path, b.Path), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Reason, b.Reason))
	})
	problems = slices.CompactFunc(problems, func(a, b *Problem) bool { return *a == *b })
	return problems[:min(len(problems), MaxProblems)]
}
