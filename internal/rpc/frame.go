package rpc

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/provost-go/provost/internal/wire"
)

// Frame is one message on a [Conn]. On the stream it is the length of the body in four bytes, the
// kind in one, and the body.
type Frame struct {
	Kind    Kind
	Body    []byte
	written chan struct{} // set by Flush, on a frame with nothing else: closed once all frames before it are written
}

// Kind is the kind of a frame. Those who share the stream with the calls of a store use kinds from
// FirstFreeKind on.
type Kind byte

const (
	KindCall   Kind = 1 // of a Call
	KindAnswer Kind = 2 // of an Answer

	FirstFreeKind Kind = 16
)

// frameOverhead is how many bytes a frame may have beyond the parameters or the result in it.
const frameOverhead = 64 << 10

// ReadMessage decodes the body of a frame. It fails if the frame is not of the wanted kind.
func ReadMessage[M any](kind, want Kind, body []byte) (message M, err error) {
	if kind != want {
		return message, fmt.Errorf("a message has kind %d, want %d", kind, want)
	}
	return message, wire.Read(body, &message)
}

func writeFrame(w *bufio.Writer, f Frame) error {
	head := binary.BigEndian.AppendUint32(nil, uint32(len(f.Body)))
	if _, err := w.Write(append(head, byte(f.Kind))); err != nil {
		return err
	}
	_, err := w.Write(f.Body)
	return err
}

// readFrame returns io.EOF itself only if the stream ends before a frame. It allocates the body as
// bytes arrive, not as the length promises.
func readFrame(r *bufio.Reader) (Frame, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		if err == io.EOF {
			return Frame{}, err
		}
		return Frame{}, fmt.Errorf("read a message: %w", err)
	}
	length := int64(binary.BigEndian.Uint32(head[:4]))
	if length > maxMessage+frameOverhead {
		return Frame{}, fmt.Errorf("read a message: its length is %d bytes, more than the %d that a message may have", length, maxMessage)
	}
	var body bytes.Buffer
	if _, err := io.CopyN(&body, r, length); err != nil {
		return Frame{}, fmt.Errorf("read a message of %d bytes: %w", length, err)
	}
	return Frame{Kind: Kind(head[4]), Body: body.Bytes()}, nil
}
