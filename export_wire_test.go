package provost

import (
	"context"
	"io"
)

// What the tests of package provost_test need of the wire.

// ServeStore is serveStore.
func ServeStore(ctx context.Context, stream io.ReadWriteCloser, store Store) error {
	return serveStore(ctx, stream, store)
}

// ConnectStore is connectStore.
func ConnectStore(stream io.ReadWriteCloser) (Store, func(ctx context.Context) error) {
	return connectStore(stream)
}
