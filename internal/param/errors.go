package param

import (
	"errors"
	"strconv"
	"strings"

	"github.com/provost-go/provost/internal/jsonschema"
	"github.com/provost-go/provost/params"
)

// under returns err as an error one step further down the path.
func under(step string, err error) error {
	if inner, ok := errors.AsType[*params.Error](err); ok {
		return &params.Error{Path: jsonschema.Prepend(step, inner.Path), Reason: inner.Reason}
	}
	return &params.Error{Path: step, Reason: err.Error()}
}

func reasonOf(err error) string {
	if p, ok := err.(*params.Error); ok {
		return p.Reason
	}
	return err.Error()
}

func fromProblem(err error) error {
	if problem, ok := err.(*jsonschema.Problem); ok {
		return &params.Error{Path: problem.Path, Reason: problem.Reason}
	}
	return &params.Error{Reason: err.Error()}
}

func quote(s string) string {
	if len(s) > 60 {
		s = strings.ToValidUTF8(s[:60], "") + "..."
	}
	return strconv.Quote(s)
}

func indexStep(i int) string { return "[" + strconv.Itoa(i) + "]" }
