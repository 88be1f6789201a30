package rpc

import (
	"context"
	"errors"

	"github.com/provost-go/provost/store"
)

// wireError is an error in transit: its text, and the sentinels that callers branch on.
type wireError struct {
	Text      string
	Sentinels []int // indices into sentinels
}

// sentinels are the errors that errors.Is still finds at the other end. Their order is part of the
// encoding; both ends are the same build.
var sentinels = []error{
	store.ErrNotFound, store.ErrConflict, store.ErrLeaseLost, store.ErrQueueFull, context.Canceled, context.DeadlineExceeded,
}

func packError(err error) *wireError {
	if err == nil {
		return nil
	}
	packed := &wireError{Text: err.Error()}
	for i, sentinel := range sentinels {
		if errors.Is(err, sentinel) {
			packed.Sentinels = append(packed.Sentinels, i)
		}
	}
	return packed
}

func packErrors(errs []error) []*wireError {
	if errs == nil {
		return nil
	}
	packed := make([]*wireError, len(errs))
	for i, err := range errs {
		packed[i] = packError(err)
	}
	return packed
}

func (e *wireError) unpack() error {
	if e == nil {
		return nil
	}
	unpacked := &remoteError{text: e.Text}
	for _, i := range e.Sentinels {
		if i >= 0 && i < len(sentinels) {
			unpacked.wrapped = append(unpacked.wrapped, sentinels[i])
		}
	}
	return unpacked
}

func unpackErrors(packed []*wireError) []error {
	if packed == nil {
		return nil
	}
	errs := make([]error, len(packed))
	for i, e := range packed {
		errs[i] = e.unpack()
	}
	return errs
}

// remoteError is an error that the other end returned.
type remoteError struct {
	text    string
	wrapped []error
}

func (e *remoteError) Error() string { return e.text }

func (e *remoteError) Unwrap() []error { return e.wrapped }
