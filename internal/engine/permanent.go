package engine

import (
	"errors"
)

// Permanent marks an error so that another attempt is pointless. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }

func (e *permanentError) Unwrap() error { return e.err }

// isPermanent reports whether another attempt is pointless. The methods of a user's error may panic, and say nothing then.
func isPermanent(err error) (permanent bool) {
	defer func() {
		if recover() != nil {
			permanent = false
		}
	}()
	_, permanent = errors.AsType[*permanentError](err)
	return permanent
}
