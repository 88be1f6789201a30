package rpc

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/wire"
	"github.com/provost-go/provost/params"
	"github.com/provost-go/provost/store"
)

// A store at the other end of a byte stream, for processes of one build. One end has a wireStore, which turns each operation into
// a wireCall; the other answers calls with a storeServer. Neither knows how messages travel: a link carries them, beside frames
// of other kinds that others may send.
//
// Everything travels in clear, secrets too: the stream is a pipe between a process and its own children.

// wireCall asks for one operation.
type Call struct {
	ID      uint64
	Method  string
	Timeout time.Duration // what is left for the answer; 0: as long as the answering end allows
	Params  []byte
}

// wireAnswer is what became of a call.
type Answer struct {
	ID     uint64
	Result []byte
	Error  *wireError
}

const (
	maxWireMessage = 64 << 20    // bytes of the parameters or of the result of one operation
	maxWireCalls   = 64          // operations that one end works on at once
	maxWireTimeout = time.Minute // of an operation whose caller sets none
	frameOverhead  = 64 << 10    // what a frame may have beside parameters or a result
	linkQueue      = 16          // frames that wait to be written
)

// wireError is an error on its way: its text, and what of it callers branch on.
type wireError struct {
	Text      string
	Sentinels []int // indices into wireSentinels
	Param     *params.Error
	Run       *store.RunError
}

// wireSentinels are the errors that stay themselves. The order is the same at both ends, which are of one build.
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
	packed.Param, _ = errors.AsType[*params.Error](err)
	packed.Run, _ = errors.AsType[*store.RunError](err)
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
	if e.Param != nil {
		unpacked.wrapped = append(unpacked.wrapped, e.Param)
	}
	if e.Run != nil {
		unpacked.wrapped = append(unpacked.wrapped, e.Run)
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

// remoteError is an error of the other end.
type remoteError struct {
	text    string
	wrapped []error
}

func (e *remoteError) Error() string { return e.text }

func (e *remoteError) Unwrap() []error { return e.wrapped }

// storeCalls is the calls under way of the asking end.
type Calls struct {
	send func(ctx context.Context, call Call) error

	// mu guards what follows; nothing blocks under it.
	mu      sync.Mutex
	last    uint64
	waiting map[uint64]chan Answer
	broken  error // why there will be no more answers
}

// newStoreCalls makes calls by send, which must end when its context does. Whoever reads the stream gives each answer to answer,
// and says with fail that no more will come.
func NewCalls(send func(ctx context.Context, call Call) error) *Calls {
	return &Calls{send: send, waiting: make(map[uint64]chan Answer)}
}

// answer passes an answer on to who waits for it. One that nobody waits for any more is dropped.
func (c *Calls) Answer(a Answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ch := c.waiting[a.ID]; ch != nil {
		delete(c.waiting, a.ID)
		ch <- a // has room
	}
}

// fail ends all calls under way, and every later one, with an error.
func (c *Calls) Fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken != nil {
		return
	}
	c.broken = fmt.Errorf("connection to the store: %w", err)
	for id, ch := range c.waiting {
		delete(c.waiting, id)
		close(ch)
	}
}

// call asks for one operation and waits for what becomes of it, or for the end of ctx.
func (c *Calls) call(ctx context.Context, method string, params, result any) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	encoded, err := encodeWire(method, "parameters", params)
	if err != nil {
		return err
	}
	call := Call{Method: method, Params: encoded}
	if deadline, ok := ctx.Deadline(); ok {
		call.Timeout = max(time.Until(deadline), 1)
	}
	answered := make(chan Answer, 1)
	if call.ID, err = c.await(answered); err != nil {
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

func (c *Calls) await(answered chan Answer) (id uint64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken != nil {
		return 0, c.broken
	}
	c.last++
	c.waiting[c.last] = answered
	return c.last, nil
}

func (c *Calls) forget(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, id)
}

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
		return fmt.Errorf("%s: read the store's answer: %w", method, err)
	}
	return nil
}

// encodeWire refuses what is too large to be sent: neither end should die of one page.
func encodeWire(method, what string, v any) ([]byte, error) {
	encoded, err := wire.Append(nil, v)
	if err != nil {
		return nil, fmt.Errorf("%s: write %s: %w", method, what, err)
	}
	if len(encoded) > maxWireMessage {
		return nil, fmt.Errorf("%s: %s of %d bytes are more than the %d that pass between processes; ask for less at once, with a lower Limit",
			method, what, len(encoded), maxWireMessage)
	}
	return encoded, nil
}

// storeServer is the answering end: it has a store and works on several calls at once.
type Server struct {
	store   store.Store
	reply   func(ctx context.Context, a Answer) error // of a broken connection says no more than its reader does
	slots   chan struct{}
	working sync.WaitGroup
}

func NewServer(store store.Store, reply func(ctx context.Context, a Answer) error) *Server {
	return &Server{store: store, reply: reply, slots: make(chan struct{}, maxWireCalls)}
}

// handle works on a call in a goroutine of its own. While there are too many it waits, which makes the caller wait.
func (s *Server) Handle(ctx context.Context, call Call) {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return
	}
	s.working.Go(func() {
		defer func() { <-s.slots }()
		// An answer that can't be sent belongs to a connection that is gone, or to a caller that has stopped waiting.
		_ = s.reply(ctx, answerCall(ctx, s.store, call))
	})
}

// wait waits for the calls under way, which end with the context that handle was given.
func (s *Server) Wait() { s.working.Wait() }

// answerCall carries out one call.
func answerCall(ctx context.Context, store store.Store, call Call) Answer {
	timeout := call.Timeout
	if timeout <= 0 {
		timeout = maxWireTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	operation, known := operations[call.Method]
	if !known {
		return Answer{ID: call.ID, Error: packError(fmt.Errorf("the store has no operation %.40q; both ends must be the same build", call.Method))}
	}
	result, err := operation.call(ctx, store, call.Params)
	if err != nil {
		return Answer{ID: call.ID, Error: packError(err)}
	}
	encoded, err := encodeWire(call.Method, "the results", result)
	return Answer{ID: call.ID, Result: encoded, Error: packError(err)}
}

// wireOperation carries out an operation whose parameters came over the wire.
type operation_ func(ctx context.Context, store store.Store, params []byte) (result any, err error)

// call turns a panic into an error: what another process asks for must not end this one.
func (o operation_) call(ctx context.Context, store store.Store, params []byte) (result any, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic in the store: %v\n\n%s", v, debug.Stack())
		}
	}()
	return o(ctx, store, params)
}

// wireOperations are those of Store by name. wireStore calls each under the same name.
var operations = map[string]operation_{
	"RegisterDeployments": operation(store.Store.RegisterDeployments),
	"GetDeployment":       operation(store.Store.GetDeployment),
	"ListDeployments":     operation(store.Store.ListDeployments),
	"DeleteDeployment":    resultless(store.Store.DeleteDeployment),
	"SetPause":            operation(store.Store.SetPause),
	"ListFlows":           operation(store.Store.ListFlows),
	"RegisterRunner":      operation(store.Store.RegisterRunner),
	"HeartbeatRunner":     resultless(store.Store.HeartbeatRunner),
	"RemoveRunner":        resultless(store.Store.RemoveRunner),
	"ListRunners":         operation(listRunners),
	"DueSchedules":        operation(store.Store.DueSchedules),
	"PlanRuns":            judging(store.Store.PlanRuns),
	"ListSkips":           operation(store.Store.ListSkips),
	"CreateRun":           operation(store.Store.CreateRun),
	"BackfillRuns":        operation(store.Store.BackfillRuns),
	"ClaimRuns":           operation(store.Store.ClaimRuns),
	"RenewLeases":         operation(store.Store.RenewLeases),
	"SettleRuns":          judging(store.Store.SettleRuns),
	"ReapLeases":          operation(store.Store.ReapLeases),
	"CancelRun":           operation(store.Store.CancelRun),
	"RetryRun":            operation(store.Store.RetryRun),
	"GetRun":              operation(store.Store.GetRun),
	"ListRuns":            operation(store.Store.ListRuns),
	"CountRuns":           operation(store.Store.CountRuns),
	"DeleteRun":           resultless(store.Store.DeleteRun),
	"PruneRuns":           operation(store.Store.PruneRuns),
	"AppendLogs":          judging(store.Store.AppendLogs),
	"ListLogs":            operation(listLogs),
}

func operation[P, R any](method func(store.Store, context.Context, P) (R, error)) operation_ {
	return func(ctx context.Context, store store.Store, params []byte) (any, error) {
		var p P
		if err := wire.Read(params, &p); err != nil {
			return nil, fmt.Errorf("read the parameters of a store operation: %w", err)
		}
		return method(store, ctx, p)
	}
}

func resultless[P any](method func(store.Store, context.Context, P) error) operation_ {
	return operation(func(store store.Store, ctx context.Context, p P) (struct{}, error) {
		return struct{}{}, method(store, ctx, p)
	})
}

// judging is for operations that judge each of their items.
func judging[P any](method func(store.Store, context.Context, P) ([]error, error)) operation_ {
	return operation(func(store store.Store, ctx context.Context, p P) ([]*wireError, error) {
		errs, err := method(store, ctx, p)
		return packErrors(errs), err
	})
}

func listRunners(store store.Store, ctx context.Context, _ struct{}) ([]store.RunnerRecord, error) {
	return store.ListRunners(ctx)
}

// wireLogFilter is a LogFilter whose level is a value: a Leveler may be anything.
type wireLogFilter struct {
	RunID    uuid.UUID
	After    int64
	MinLevel *slog.Level
	Limit    int
}

func listLogs(st store.Store, ctx context.Context, f wireLogFilter) (store.LogPage, error) {
	filter := store.LogFilter{RunID: f.RunID, After: f.After, Limit: f.Limit}
	if f.MinLevel != nil {
		filter.MinLevel = *f.MinLevel
	}
	return st.ListLogs(ctx, filter)
}

// link carries frames over a byte stream, both ways. A frame is its length in four bytes, its kind in one, and a body.
type Conn struct {
	stream io.ReadWriteCloser
	out    chan Frame
	Closed chan struct{} // nothing is written any more
}

type Frame struct {
	Kind    Kind
	Body    []byte
	written chan struct{} // of flush: closed when all before it is written; there is nothing else in it
}

// frameKind says what a frame is. Those who share a stream with the calls of a store choose kinds from firstFreeKind on.
type Kind byte

const (
	KindCall   Kind = 1
	KindAnswer Kind = 2

	FirstFreeKind Kind = 16
)

var errLinkClosed = errors.New("the connection is closed")

func NewConn(stream io.ReadWriteCloser) *Conn {
	return &Conn{stream: stream, out: make(chan Frame, linkQueue), Closed: make(chan struct{})}
}

// send hands a value to the writer, encoded; it waits for room. What is handed over may still get lost with the stream.
func (l *Conn) Send(ctx context.Context, kind Kind, v any) error {
	body, err := wire.Append(nil, v)
	if err != nil {
		return err
	}
	if len(body) > maxWireMessage+frameOverhead {
		return fmt.Errorf("a message of %d bytes is more than the %d that pass between processes", len(body), maxWireMessage)
	}
	return l.Put(ctx, Frame{Kind: kind, Body: body})
}

func (l *Conn) Put(ctx context.Context, f Frame) error {
	select {
	case l.out <- f:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-l.Closed:
		return errLinkClosed
	}
}

// flush waits until what was sent before is written, so that it arrives even if this process ends the next moment.
func (l *Conn) Flush(ctx context.Context) error {
	written := make(chan struct{})
	if err := l.Put(ctx, Frame{written: written}); err != nil {
		return err
	}
	select {
	case <-written:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-l.Closed:
		return errLinkClosed
	}
}

// fader is a stream that can be read to its end when the other end takes nothing any more: what it said last may be what counts.
type Drainer interface {
	// fade lets reading end once nothing has come for a moment.
	Drain() error
}

// run reads and writes until the stream ends, a frame is refused or ctx ends, and closes the stream. It is called once. It gives
// nil if the other end closed the stream between two frames. What handle gets is its own; while handle works, nothing is read.
func (l *Conn) Run(ctx context.Context, handle func(kind Kind, body []byte) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var loops sync.WaitGroup
	noMore := sync.OnceFunc(func() { close(l.Closed) })
	loops.Add(1)
	context.AfterFunc(ctx, func() {
		defer loops.Done()
		noMore()
		_ = l.stream.Close() // why it is closed is the error that counts
	})
	loops.Go(func() {
		err := l.Write(ctx)
		noMore()
		if err == nil {
			return
		}
		if f, ok := l.stream.(Drainer); !ok || f.Drain() != nil {
			cancel(fmt.Errorf("write: %w", err))
		}
	})
	GrowStack()
	err := l.read(handle)
	cause := context.Cause(ctx) // before it is ended here
	cancel(nil)
	loops.Wait()
	if cause != nil {
		return cause
	}
	return err
}

// growStack grows the stack of a goroutine while there is little to copy. A deep stack that grows makes the runtime look up every
// frame, which costs a young process a page fault for many of them.
//
//go:noinline
func GrowStack() {
	var room [6 << 10]byte
	runtime.KeepAlive(&room[0])
}

func (l *Conn) Write(ctx context.Context) error {
	w := bufio.NewWriter(l.stream)
	for {
		select {
		case <-ctx.Done():
			return nil
		case f := <-l.out:
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
		if len(l.out) > 0 {
			continue
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
}

func writeFrame(w *bufio.Writer, f Frame) error {
	head := binary.BigEndian.AppendUint32(nil, uint32(len(f.Body)))
	if _, err := w.Write(append(head, byte(f.Kind))); err != nil {
		return err
	}
	_, err := w.Write(f.Body)
	return err
}

func (l *Conn) read(handle func(kind Kind, body []byte) error) error {
	r := bufio.NewReader(l.stream)
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

// readFrame gives io.EOF only where no frame has begun. A body gets room as it comes, not as its length promises.
func readFrame(r *bufio.Reader) (Frame, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		if err == io.EOF {
			return Frame{}, err
		}
		return Frame{}, fmt.Errorf("read a message: %w", err)
	}
	length := int64(binary.BigEndian.Uint32(head[:4]))
	if length > maxWireMessage+frameOverhead {
		return Frame{}, fmt.Errorf("a message of %d bytes is announced, more than the %d that pass between processes", length, maxWireMessage)
	}
	var body bytes.Buffer
	if _, err := io.CopyN(&body, r, length); err != nil {
		return Frame{}, fmt.Errorf("read a message of %d bytes: %w", length, err)
	}
	return Frame{Kind: Kind(head[4]), Body: body.Bytes()}, nil
}

// serveStore answers calls on a store over a stream, until the other end closes it or ctx ends.
func Serve(ctx context.Context, stream io.ReadWriteCloser, store store.Store) error {
	ctx, cancel := context.WithCancel(ctx)
	l := NewConn(stream)
	server := NewServer(store, func(ctx context.Context, a Answer) error { return l.Send(ctx, KindAnswer, a) })
	err := l.Run(ctx, func(kind Kind, body []byte) error {
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

// connectStore is a store whose operations another process carries out, by serveStore. run has to be called in a goroutine: it
// returns when the stream or ctx has ended, and no operation succeeds after that.
func Connect(stream io.ReadWriteCloser) (store *Client, run func(ctx context.Context) error) {
	l := NewConn(stream)
	calls := NewCalls(func(ctx context.Context, call Call) error { return l.Send(ctx, KindCall, call) })
	return NewClient(calls), func(ctx context.Context) error {
		err := l.Run(ctx, func(kind Kind, body []byte) error {
			a, err := ReadMessage[Answer](kind, KindAnswer, body)
			if err == nil {
				calls.Answer(a)
			}
			return err
		})
		if err == nil {
			calls.Fail(io.EOF)
		} else {
			calls.Fail(err)
		}
		return err
	}
}

// readMessage reads a frame that should be of a kind.
func ReadMessage[M any](kind, want Kind, body []byte) (message M, err error) {
	if kind != want {
		return message, fmt.Errorf("a message of kind %d came where only %d is expected", kind, want)
	}
	return message, wire.Read(body, &message)
}
