package realtime

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"sync"

	"github.com/coder/websocket"
)

// messageReader is the WebSocket library, with its two kilobytes of state, for one
// connection after the other: a connection has one while it sends something, and an idle
// one has none. Between messages the library keeps nothing about the connection.
//
// It is the net.Conn that the library reads from and writes to. Only the goroutine that
// reads from the connection uses it.
type messageReader struct {
	*socket // of the connection that has it; nil in the pool
	session *session
	conn    *websocket.Conn
	// buffered is what the library reads from.
	buffered   *bufio.Reader
	compressed bool // whether messages may be

	// failed is an error of the network. The library takes an end between two fragments of
	// a message for the end of the message, so it is to be asked for after each.
	failed error
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
	m := &messageReader{compressed: compressed}
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
			m.session.receivePing(payload)
			return false
		},
		OnPongReceived: func(context.Context, []byte) { m.session.allowControlFrame() },
	}
	if compressed {
		r.Header.Set("Sec-WebSocket-Extensions", "permessage-deflate")
		options.CompressionMode = websocket.CompressionNoContextTakeover
	}
	var err error
	if m.conn, err = websocket.Accept(&noResponse{header: http.Header{}, reader: m}, r, &options); err != nil {
		return nil, err
	}
	m.conn.SetReadLimit(-1) // it would close with 1009 and without an error frame
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

// Close is called by the library, also when it finds a reader that is not used any more.
func (m *messageReader) Close() error {
	if m.socket == nil {
		return nil
	}
	return m.socket.Close()
}

// messageReaders has readers of messages that no connection has.
type messageReaders struct {
	plain, compressed sync.Pool // *messageReader
}

func (p *messageReaders) pool(compressed bool) *sync.Pool {
	if compressed {
		return &p.compressed
	}
	return &p.plain
}

// put takes a reader back that is between messages and has nothing buffered.
func (p *messageReaders) put(m *messageReader) {
	m.socket, m.session = nil, nil
	p.pool(m.compressed).Put(m)
}

// get returns a reader for a connection.
func (p *messageReaders) get(s *session, t *socket, compressed bool) (*messageReader, error) {
	m, ok := p.pool(compressed).Get().(*messageReader)
	if !ok {
		var err error
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
