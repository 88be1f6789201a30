package rpc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/provost-go/provost/internal/wire"
)

// Conn carries frames over a byte stream in both directions. Send, Put and Flush are safe for
// concurrent use.
type Conn struct {
	stream io.ReadWriteCloser
	out    chan Frame
	Closed chan struct{} // closed once nothing is written any more
}

// writeQueue is how many frames may wait to be written.
const writeQueue = 16

var errClosed = errors.New("the connection is closed")

// NewConn returns a Conn over a stream. Nothing is read or written before Run.
func NewConn(stream io.ReadWriteCloser) *Conn {
	return &Conn{stream: stream, out: make(chan Frame, writeQueue), Closed: make(chan struct{})}
}

// Send encodes a value and queues it for writing. It waits for room in the queue. It returns before
// the value is written: the value is lost if the stream breaks.
func (c *Conn) Send(ctx context.Context, kind Kind, v any) error {
	body, err := wire.Append(nil, v)
	if err != nil {
		return err
	}
	if len(body) > maxMessage+frameOverhead {
		return fmt.Errorf("send a message: its length is %d bytes, more than the %d that a message may have", len(body), maxMessage)
	}
	return c.Put(ctx, Frame{Kind: kind, Body: body})
}

// Put queues a frame for writing. It waits for room in the queue.
func (c *Conn) Put(ctx context.Context, f Frame) error {
	select {
	case c.out <- f:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.Closed:
		return errClosed
	}
}

// Flush waits until everything sent before is written, so that it arrives even if this process ends
// right after.
func (c *Conn) Flush(ctx context.Context) error {
	written := make(chan struct{})
	if err := c.Put(ctx, Frame{written: written}); err != nil {
		return err
	}
	select {
	case <-written:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.Closed:
		return errClosed
	}
}

// Drainer is a stream that can still be read to its end after writing to it failed. The last
// messages of the other end may be the ones that matter.
type Drainer interface {
	// Drain makes reading end once nothing has arrived for a moment.
	Drain() error
}

// Run reads and writes frames until the stream ends, handle returns an error, writing fails or ctx
// ends, and closes the stream. If writing fails on a [Drainer], Run drains the stream first. Run is
// called once. It returns nil if the other end closed the stream between two frames. handle owns
// the body that it gets. Nothing is read while handle runs.
func (c *Conn) Run(ctx context.Context, handle func(kind Kind, body []byte) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var loops sync.WaitGroup
	closeOnce := sync.OnceFunc(func() { close(c.Closed) })
	loops.Add(1)
	context.AfterFunc(ctx, func() {
		defer loops.Done()
		closeOnce()
		_ = c.stream.Close() // the error that matters is why it is closed
	})
	loops.Go(func() {
		err := c.Write(ctx)
		closeOnce()
		if err == nil {
			return
		}
		if d, ok := c.stream.(Drainer); !ok || d.Drain() != nil {
			cancel(fmt.Errorf("write: %w", err))
		}
	})
	GrowStack()
	err := c.read(handle)
	cause := context.Cause(ctx) // before this function ends ctx
	cancel(nil)
	loops.Wait()
	if cause != nil {
		return cause
	}
	return err
}

// GrowStack grows the stack of a goroutine while there is little to copy. When a deep stack grows,
// the runtime looks up every frame of it, and in a young process many of these lookups cost a page
// fault.
//
//go:noinline
func GrowStack() {
	var room [6 << 10]byte
	runtime.KeepAlive(&room[0])
}

// Write writes the queued frames until ctx ends, then it returns nil. It returns the first error of
// the stream. Run calls it; call it alone only to write without reading.
func (c *Conn) Write(ctx context.Context) error {
	w := bufio.NewWriter(c.stream)
	for {
		select {
		case <-ctx.Done():
			return nil
		case f := <-c.out:
			if f.written != nil {
				if err := w.Flush(); err != nil {
					return err
				}
				close(f.written)
				continue
			}
			if err := writeFrame(w, f); err != nil {
				return err
			}
		}
		if len(c.out) > 0 {
			continue
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
}

func (c *Conn) read(handle func(kind Kind, body []byte) error) error {
	r := bufio.NewReader(c.stream)
	for {
		f, err := readFrame(r)
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = handle(f.Kind, f.Body)
		}
		if err != nil {
			return err
		}
	}
}
