package engine

import "errors"

// Permanent returns err marked as one that another attempt would not fix. It returns nil for nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// permanentError is an error that another attempt would not fix.
type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }

func (e *permanentError) Unwrap() error { return e.err }

// isPermanent reports whether err, or an error that it wraps, is marked as permanent. It returns
// false if a method of a user's error panics.
func isPermanent(err error) (permanent bool) {
	defer func() {
		if recover() != nil {
			permanent = false
		}
	}()
	_, permanent = errors.AsType[*permanentError](err)
	return permanent
}
