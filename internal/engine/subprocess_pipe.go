package engine

import (
	"errors"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/provost-go/provost/internal/rpc"
)

// pipes is the byte stream between a runner and a subprocess: one pipe for each direction.
type pipes struct {
	in       *os.File
	out      *os.File
	draining atomic.Bool
}

func (p *pipes) Read(b []byte) (int, error) {
	if p.draining.Load() {
		_ = p.in.SetReadDeadline(time.Now().Add(drainTimeout)) // Drain has set a deadline before: it works
	}
	return p.in.Read(b)
}

func (p *pipes) Write(b []byte) (int, error) { return p.out.Write(b) }

func (p *pipes) Close() error { return errors.Join(p.in.Close(), p.out.Close()) }

// Drain makes reading end once nothing has arrived for drainTimeout. It is for when the other end
// is dead or unresponsive: what it has written is read, however slowly, but the end of the pipe may
// never come, because a process that has left the group may hold the pipe. Drain implements
// rpc.Drainer.
func (p *pipes) Drain() error {
	p.draining.Store(true)
	return p.in.SetReadDeadline(time.Now().Add(drainTimeout))
}

var (
	_ io.ReadWriteCloser = (*pipes)(nil)
	_ rpc.Drainer        = (*pipes)(nil)
)
