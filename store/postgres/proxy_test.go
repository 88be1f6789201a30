//go:build unix

package postgres_test

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// proxy stands in front of the server, and stalls and breaks on demand.
type proxy struct {
	dsn string // leads to the server through the proxy

	listener net.Listener
	server   string
	passing  sync.WaitGroup

	mu      sync.Mutex
	changed *sync.Cond
	stalled bool
	conns   map[net.Conn]bool
}

func newProxy(t *testing.T, dsn string) *proxy {
	t.Helper()
	to, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{server: to.Host, conns: make(map[net.Conn]bool)}
	p.changed = sync.NewCond(&p.mu)
	if p.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	to.Host = p.listener.Addr().String()
	p.dsn = to.String()
	p.passing.Go(p.accept)
	t.Cleanup(func() {
		p.stall(false)
		p.listener.Close()
		p.cut()
		p.passing.Wait()
	})
	return p
}

func (p *proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.server)
		if err != nil {
			in.Close()
			continue
		}
		p.mu.Lock()
		p.conns[in], p.conns[out] = true, true
		p.mu.Unlock()
		p.passing.Go(func() { p.pass(in, out) })
		p.passing.Go(func() { p.pass(out, in) })
	}
}

// pass copies what it reads, until either end breaks.
func (p *proxy) pass(from, to net.Conn) {
	defer p.forget(from, to)
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		p.mu.Lock()
		for p.stalled {
			p.changed.Wait()
		}
		p.mu.Unlock()
		if _, failed := to.Write(buffer[:n]); err != nil || failed != nil {
			return
		}
	}
}

func (p *proxy) forget(conns ...io.Closer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		c.Close()
		delete(p.conns, c.(net.Conn))
	}
}

// stall stops or resumes all traffic.
func (p *proxy) stall(stalled bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stalled = stalled
	p.changed.Broadcast()
}

// cut breaks all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}
