//go:build unix

package postgres_test

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// way is the way to the server, which stalls and breaks when it is told to.
type way struct {
	dsn string // that leads over it

	listener net.Listener
	server   string
	passing  sync.WaitGroup

	mu      sync.Mutex
	changed *sync.Cond
	stalled bool
	conns   map[net.Conn]bool
}

func newWay(t *testing.T, dsn string) *way {
	t.Helper()
	to, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	w := &way{server: to.Host, conns: make(map[net.Conn]bool)}
	w.changed = sync.NewCond(&w.mu)
	if w.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	to.Host = w.listener.Addr().String()
	w.dsn = to.String()
	w.passing.Go(w.accept)
	t.Cleanup(func() {
		w.stall(false)
		w.listener.Close()
		w.cut()
		w.passing.Wait()
	})
	return w
}

func (w *way) accept() {
	for {
		in, err := w.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", w.server)
		if err != nil {
			in.Close()
			continue
		}
		w.mu.Lock()
		w.conns[in], w.conns[out] = true, true
		w.mu.Unlock()
		w.passing.Go(func() { w.pass(in, out) })
		w.passing.Go(func() { w.pass(out, in) })
	}
}

// pass carries what comes, until either end breaks.
func (w *way) pass(from, to net.Conn) {
	defer w.forget(from, to)
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		w.mu.Lock()
		for w.stalled {
			w.changed.Wait()
		}
		w.mu.Unlock()
		if _, failed := to.Write(buffer[:n]); err != nil || failed != nil {
			return
		}
	}
}

func (w *way) forget(conns ...io.Closer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		c.Close()
		delete(w.conns, c.(net.Conn))
	}
}

// stall lets nothing through, or again.
func (w *way) stall(stalled bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stalled = stalled
	w.changed.Broadcast()
}

// cut breaks all connections.
func (w *way) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		c.Close()
	}
}
