package rpc

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/provost-go/provost/store"
)

const (
	maxCalls       = 64          // calls that a server executes at once
	defaultTimeout = time.Minute // for a call whose caller has no deadline
)

// Server executes calls on a store, several at once.
type Server struct {
	store store.Store
	reply func(ctx context.Context, a Answer) error
	slots chan struct{}
	calls sync.WaitGroup
}

// NewServer returns a Server that sends its answers with reply. It ignores the errors of reply: the
// reader of a broken connection learns as much.
func NewServer(st store.Store, reply func(ctx context.Context, a Answer) error) *Server {
	return &Server{store: st, reply: reply, slots: make(chan struct{}, maxCalls)}
}

// Handle executes a call in a goroutine of its own. While 64 calls are executing it blocks, which
// makes the other end wait. It drops the call if ctx ends first.
func (s *Server) Handle(ctx context.Context, call Call) {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return
	}
	s.calls.Go(func() {
		defer func() { <-s.slots }()
		// If this fails, the connection is gone or the caller has stopped waiting.
		_ = s.reply(ctx, execute(ctx, s.store, call))
	})
}

// Wait waits for the calls that are executing. They end with the context that Handle got.
func (s *Server) Wait() { s.calls.Wait() }

// execute executes a call. The context of the operation ends at the call's timeout.
func execute(ctx context.Context, st store.Store, call Call) Answer {
	timeout := call.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	op, known := operations[call.Method]
	if !known {
		return Answer{ID: call.ID, Error: packError(fmt.Errorf("the store has no operation %.40q; run the same build at both ends", call.Method))}
	}
	result, err := op.execute(ctx, st, call.Params)
	if err != nil {
		return Answer{ID: call.ID, Error: packError(err)}
	}
	encoded, err := encode(call.Method, "the results", result)
	return Answer{ID: call.ID, Result: encoded, Error: packError(err)}
}

// Serve answers calls on a store over a stream, until the other end closes the stream or ctx ends.
// It returns nil if the other end closed the stream between two messages.
func Serve(ctx context.Context, stream io.ReadWriteCloser, st store.Store) error {
	ctx, cancel := context.WithCancel(ctx)
	conn := NewConn(stream)
	server := NewServer(st, func(ctx context.Context, a Answer) error { return conn.Send(ctx, KindAnswer, a) })
	err := conn.Run(ctx, func(kind Kind, body []byte) error {
		call, err := ReadMessage[Call](kind, KindCall, body)
		if err == nil {
			server.Handle(ctx, call)
		}
		return err
	})
	cancel()
	server.Wait()
	return err
}
