package provost

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// problems collects everything that is wrong with one thing that the user gave.
type problems struct {
	subject string // what it is, for the messages
	errs    []error
}

func (p *problems) add(field, format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf("%s: %s: "+format, append([]any{p.subject, field}, args...)...))
}

func (p *problems) join() error { return errors.Join(p.errs...) }

// checkName checks the name of a flow or a deployment by Prefect's rule, and its length.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("is empty; give it a name")
	case len(name) > maxNameLength:
		return fmt.Errorf("has %d bytes; shorten it to at most %d", len(name), maxNameLength)
	case strings.TrimSpace(name) != name:
		return fmt.Errorf("%q begins or ends with a space; remove it", name)
	}
	for _, r := range name {
		if strings.ContainsRune("/%&<>", r) || unicode.IsControl(r) || r == unicode.ReplacementChar {
			return fmt.Errorf("%q contains %q; use letters, digits, - and _ instead", name, r)
		}
	}
	return nil
}

// checkText checks a short text that stores keep and index. "" passes: it means that the text is
// not set.
func checkText(text string, most int) error {
	switch {
	case len(text) > most:
		return fmt.Errorf("has %d bytes; shorten it to at most %d", len(text), most)
	case !utf8.ValidString(text):
		return fmt.Errorf("%q is not valid UTF-8; encode it, for example in hexadecimal", text)
	case strings.ContainsFunc(text, unicode.IsControl):
		return fmt.Errorf("%q contains a control character; remove it", text)
	}
	return nil
}

// checkTags refuses too many tags, and tags that are too long.
func (p *problems) checkTags(tags []string) {
	if len(tags) > maxTagged {
		p.add("Tags", "%d tags; give at most %d", len(tags), maxTagged)
	}
	for i, tag := range tags {
		if err := checkText(tag, maxNameLength); err != nil {
			p.add(indexed("Tags", i), "%w", err)
		}
	}
}

// indexed returns the name of an element of a field.
func indexed(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }

// checkRetention refuses negative bounds.
func checkRetention(p *problems, r Retention) {
	if r.Age < 0 {
		p.add("Retention.Age", "is %v; give 0 (no bound) or more", r.Age)
	}
	if r.Runs < 0 {
		p.add("Retention.Runs", "is %d; give 0 (no bound) or more", r.Runs)
	}
}
