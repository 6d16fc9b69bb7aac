package realtime

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"runtime"
	"sync"

	"github.com/coder/websocket"
)

// messageReader is the WebSocket library, with the six kilobytes that it needs to read, for
// one connection after the other: a connection has one while it sends something, and an
// idle one has none. Between messages that are not compressed, the library keeps nothing
// about the connection.
//
// It is the net.Conn that the library reads from and writes to. The goroutine that reads
// from the connection uses it, and the library's own when a control frame takes too long.
type messageReader struct {
	*socket // of the connection that has it; nil in the pool
	session *session
	conn    *websocket.Conn
	// buffered is what the library reads from.
	buffered *bufio.Reader

	// failed is an error of the network. The library takes an end between two fragments of
	// a message for the end of the message, so check it after each message.
	failed error
	// single says that no other connection may have it.
	single bool
	filling
}

// Buffers of the library. The writer's holds one control frame, which has at most 127
// bytes.
const (
	readBuffer    = 4 << 10
	controlBuffer = 128
)

// newMessageReader has the library answer a handshake that nobody made: it reads no
// messages otherwise.
func newMessageReader(compressed bool) (*messageReader, error) {
	// The library's decompressor keeps what follows the end of a message, for the next one.
	m := &messageReader{single: compressed}
	r := &http.Request{Method: http.MethodGet, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{
		"Connection":            {"Upgrade"},
		"Upgrade":               {"websocket"},
		"Sec-Websocket-Version": {"13"},
		"Sec-Websocket-Key":     {"AAAAAAAAAAAAAAAAAAAAAA=="},
	}}
	options := websocket.AcceptOptions{
		CompressionMode: websocket.CompressionDisabled,
		// The library would reply within 5 s or cut the connection, however healthy a peer
		// with a large frame on its way to it may be.
		OnPingReceived: func(_ context.Context, payload []byte) bool {
			m.single = true // the library may still close it, as too slow
			m.session.receivePing(payload)
			return false
		},
		OnPongReceived: func(context.Context, []byte) {
			m.single = true
			m.session.allowControlFrame()
		},
	}
	if compressed {
		r.Header.Set("Sec-WebSocket-Extensions", "permessage-deflate")
		options.CompressionMode = websocket.CompressionNoContextTakeover
	}
	var err error
	if m.conn, err = websocket.Accept(&noResponse{header: http.Header{}, reader: m}, r, &options); err != nil {
		return nil, err
	}
	runtime.SetFinalizer(m.conn, nil) // with it, the two would never be freed, as each refers to the other
	m.conn.SetReadLimit(-1)           // it would close with 1009 and without an error frame
	m.buffered.Reset(m)               // the library has put something between
	return m, nil
}

// Read is called by the library.
func (m *messageReader) Read(p []byte) (int, error) {
	switch {
	case m.failed != nil:
		return 0, m.failed
	case m.isFilling:
		return m.readNow(p)
	}
	n, err := m.socket.Read(p)
	if n > 0 {
		return n, nil // the next Read has the error again
	}
	m.failed = err
	return 0, err
}

// messageReaders has readers of messages that no connection has.
type messageReaders struct{ pool sync.Pool } // *messageReader

// put takes back a reader that is between messages.
func (p *messageReaders) put(m *messageReader) {
	if m.single || m.failed != nil || m.buffered.Buffered() > 0 {
		return
	}
	m.socket, m.session = nil, nil
	p.pool.Put(m)
}

// get returns a reader for a connection.
func (p *messageReaders) get(s *session, t *socket, compressed bool) (m *messageReader, err error) {
	if !compressed {
		m, _ = p.pool.Get().(*messageReader)
	}
	if m == nil {
		if m, err = newMessageReader(compressed); err != nil {
			return nil, err
		}
	}
	m.socket, m.session = t, s
	return m, nil
}

// noResponse is the http.ResponseWriter of newMessageReader.
type noResponse struct {
	header http.Header
	reader *messageReader
}

func (n *noResponse) Header() http.Header         { return n.header }
func (n *noResponse) Write(p []byte) (int, error) { return len(p), nil }
func (n *noResponse) WriteHeader(int)             {}

// Hijack implements http.Hijacker.
func (n *noResponse) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	n.reader.buffered = bufio.NewReaderSize(n.reader, readBuffer)
	return n.reader, bufio.NewReadWriter(n.reader.buffered, bufio.NewWriterSize(n.reader, controlBuffer)), nil
}
