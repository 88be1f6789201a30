package rpc

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/provost-go/provost/internal/wire"
)

// Call requests one operation of the store.
type Call struct {
	ID      uint64
	Method  string
	Timeout time.Duration // until the caller's deadline; 0: the default of the server
	Params  []byte
}

// Answer is the outcome of the call with the same ID.
type Answer struct {
	ID     uint64
	Result []byte
	Error  *wireError
}

// maxMessage is the limit for the parameters or the result of one operation, in bytes.
const maxMessage = 64 << 20

// encode encodes the parameters or the result of an operation. It refuses a message that is too
// large, so that neither end dies of one page.
func encode(method, what string, v any) ([]byte, error) {
	encoded, err := wire.Append(nil, v)
	if err != nil {
		return nil, fmt.Errorf("%s: encode %s: %w", method, what, err)
	}
	if len(encoded) > maxMessage {
		return nil, fmt.Errorf("%s: %s take %d bytes, more than the %d that a message may have; send less, or ask for less with a lower Limit",
			method, what, len(encoded), maxMessage)
	}
	return encoded, nil
}

// Calls are the pending calls of a client. They are safe for concurrent use.
type Calls struct {
	send func(ctx context.Context, call Call) error

	// mu guards the fields below; nothing blocks under it.
	mu      sync.Mutex
	last    uint64
	pending map[uint64]chan Answer
	broken  error // why no more answers will come
}

// NewCalls returns Calls that are sent with send, which must return when its context ends. The
// reader of the stream passes each answer to Answer, and calls Fail when no more will come.
func NewCalls(send func(ctx context.Context, call Call) error) *Calls {
	return &Calls{send: send, pending: make(map[uint64]chan Answer)}
}

// Answer passes an answer to its caller. It drops an answer whose caller has stopped waiting.
func (c *Calls) Answer(a Answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ch := c.pending[a.ID]; ch != nil {
		delete(c.pending, a.ID)
		ch <- a // has room
	}
}

// Fail ends all pending calls, and every later one, with an error that wraps err. Only the first
// Fail counts.
func (c *Calls) Fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken != nil {
		return
	}
	c.broken = fmt.Errorf("connection to the store: %w", err)
	for id, ch := range c.pending {
		delete(c.pending, id)
		close(ch)
	}
}

// call requests one operation, and waits for its answer or the end of ctx. It decodes the result
// into the value that result points to.
func (c *Calls) call(ctx context.Context, method string, params, result any) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	encoded, err := encode(method, "the parameters", params)
	if err != nil {
		return err
	}
	call := Call{Method: method, Params: encoded}
	if deadline, ok := ctx.Deadline(); ok {
		call.Timeout = max(time.Until(deadline), 1)
	}
	answered := make(chan Answer, 1)
	if call.ID, err = c.register(answered); err != nil {
		return err
	}
	defer c.forget(call.ID)
	if err := c.send(ctx, call); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("%s: %w", method, err)
	}
	select {
	case a, ok := <-answered:
		return c.outcome(method, a, ok, result)
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", method, ctx.Err())
	}
}

// register returns the ID of a new call whose answer goes to answered.
func (c *Calls) register(answered chan Answer) (id uint64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken != nil {
		return 0, c.broken
	}
	c.last++
	c.pending[c.last] = answered
	return c.last, nil
}

func (c *Calls) forget(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, id)
}

// outcome decodes an answer; answered is false if Fail ended the call instead.
func (c *Calls) outcome(method string, a Answer, answered bool, result any) error {
	if !answered {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.broken
	}
	if a.Error != nil {
		return a.Error.unpack()
	}
	if err := wire.Read(a.Result, result); err != nil {
		return fmt.Errorf("%s: decode the store's answer: %w", method, err)
	}
	return nil
}
