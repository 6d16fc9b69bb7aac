package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"time"
)

const (
	opText  = 1 // and 0 continues one
	opClose = 8
	opPing  = 9
	opPong  = 10

	upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)

// webSocket is the client's side of a WebSocket (RFC 6455), as far as this program needs
// it. It trusts the server to keep to the protocol.
type webSocket struct {
	net.Conn
	in    *bufio.Reader
	parts excerpt

	writing sync.Mutex // pongs are written between proposals
	out     []byte
}

func (e *endpoint) openWebSocket(ctx context.Context, number int) (*webSocket, error) {
	conn, in, _, err := e.open(ctx, number, nil, upgrade, 101)
	if err != nil {
		return nil, err
	}
	return &webSocket{Conn: conn, in: in}, nil
}

// next returns the next message, or an excerpt of a large one. It is valid until the next
// call.
func (w *webSocket) next() ([]byte, error) {
	w.parts.text = w.parts.text[:0]
	for {
		op, final, size, err := w.header()
		if err != nil {
			return nil, err
		}
		if op == opText && final && size <= readBytes { // the usual case: nothing is copied
			message, err := w.in.Peek(size)
			if err == nil {
				_, err = w.in.Discard(size)
			}
			return message, err
		}
		var control excerpt
		parts := &w.parts
		if op >= opClose {
			parts = &control
		}
		if err := parts.addFrom(w.in, size); err != nil {
			return nil, err
		}
		switch {
		case op == opPing:
			err = w.write(opPong, control.text)
		case op == opClose && size >= 2:
			err = closeFailure(int(binary.BigEndian.Uint16(control.text)), string(control.text[2:]))
		case op == opClose:
			err = closeFailure(1005, "")
		case op <= opText && final:
			return w.parts.text, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// closeFailure is the end of a connection that the server closed.
func closeFailure(code int, reason string) error {
	return &failure{code: fmt.Sprintf("close-%d", code), cause: fmt.Errorf("closed by the server: %q", reason)}
}

func (w *webSocket) header() (op byte, final bool, size int, err error) {
	var length uint64
	first, err := w.in.ReadByte()
	if err == nil {
		length, err = w.integer(1)
	}
	switch {
	case err != nil:
	case length == 126:
		length, err = w.integer(2)
	case length == 127:
		length, err = w.integer(8)
	}
	return first & 15, first&128 != 0, int(length), err
}

func (w *webSocket) integer(bytes int) (value uint64, err error) {
	for range bytes {
		b, err := w.in.ReadByte()
		if err != nil {
			return 0, err
		}
		value = value<<8 | uint64(b)
	}
	return value, nil
}

// write sends one frame. Its masking key is 0, so that the payload goes as it is: masking
// protects proxies from what a web page can make a browser send (RFC 6455 section 10.3).
func (w *webSocket) write(op byte, payload []byte) error {
	w.writing.Lock()
	defer w.writing.Unlock()
	const masked = 128
	w.out = append(w.out[:0], 128|op)
	switch size := len(payload); {
	case size < 126:
		w.out = append(w.out, masked|byte(size))
	case size < 1<<16:
		w.out = binary.BigEndian.AppendUint16(append(w.out, masked|126), uint16(size))
	default:
		w.out = binary.BigEndian.AppendUint64(append(w.out, masked|127), uint64(size))
	}
	w.out = append(append(w.out, 0, 0, 0, 0), payload...)
	// A server that stops reading must not keep a run from its end.
	err := w.SetWriteDeadline(time.Now().Add(requestTimeout))
	if err == nil {
		_, err = w.Write(w.out)
	}
	return err
}
