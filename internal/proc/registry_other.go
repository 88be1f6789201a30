//go:build !linux

package proc

import (
	"context"
	"errors"
	"fmt"
)

// Registry is a file that lists the processes of one runner, for the runners after it. Only Linux
// has it.
type Registry struct {
	mark string
}

// OpenRegistry returns [errors.ErrUnsupported] on this system.
func OpenRegistry(string) (*Registry, error) {
	return nil, fmt.Errorf("process registry: %w", errors.ErrUnsupported)
}

// Close does nothing on this system.
func (r *Registry) Close() error { return nil }

func (r *Registry) add(int) (int, error) {
	return 0, fmt.Errorf("process registry: %w", errors.ErrUnsupported)
}

func (r *Registry) remove(int) {}

// Sweep does nothing on this system.
func Sweep(context.Context, string) (killed int, err error) { return 0, nil }
